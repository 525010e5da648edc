//! `supportal token` and `supportal link`: credentials are made of the settings, and explained. No secret is printed.

use super::terminal::{fail, print, refuse, usage};
use clap::{Args, ValueEnum};
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::ExitCode;
use supportal::UserRole;
use supportal::config::load::Loader;
use supportal::config::units::parse_duration;
use supportal::config::{AuthMode, Config};
use supportal::internal::auth::{Grant, TokenSigner, inspect, sign_link};
use supportal::internal::clock;

/// Longest text that is read from standard input as a token, in bytes.
const INPUT_BYTES_MAX: u64 = 64 * 1024;

/// Who is to come in where, and until when.
#[derive(Args)]
pub(super) struct GrantFlags {
    /// The business, or `*`.
    #[arg(long, value_name = "ID")]
    business: Option<String>,
    /// The session, the beginning of some with `*` behind it, or `*`.
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// What the user is to the business.
    #[arg(long, value_enum, default_value_t = RoleFlag::Customer)]
    role: RoleFlag,
    /// How long it is good, such as 1h.
    #[arg(long, value_name = "TIME", default_value = "1h")]
    ttl: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum RoleFlag {
    Customer,
    Agent,
    Backend,
}

impl From<RoleFlag> for UserRole {
    fn from(role: RoleFlag) -> Self {
        match role {
            RoleFlag::Customer => Self::Customer,
            RoleFlag::Agent => Self::Agent,
            RoleFlag::Backend => Self::Backend,
        }
    }
}

#[derive(Args)]
pub(super) struct TokenFlags {
    #[command(flatten)]
    grant: GrantFlags,
    /// The user's name.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Signs with the private key of this PEM file instead of the first of `auth.jwt.secret`.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Says step by step what the server makes of a token; `-` reads it from standard input, where no list of processes
    /// shows it.
    #[arg(long, value_name = "TOKEN", allow_hyphen_values = true, conflicts_with_all = ["business", "session", "user", "key"])]
    check: Option<String>,
}

impl GrantFlags {
    fn grant(self, user: Option<String>, now: u64) -> Result<Grant, String> {
        let ttl = parse_duration(&self.ttl).map_err(|what| format!("--ttl: {what}"))?;
        if ttl.as_secs() == 0 {
            return Err("--ttl is shorter than a second".to_owned());
        }
        let grant = Grant {
            business_id: self.business,
            session_id: self.session,
            user,
            role: self.role.into(),
            expires_at: now.saturating_add(ttl.as_secs()),
        };
        grant.check().map_err(str::to_owned)?;
        Ok(grant)
    }
}

/// `supportal token`.
pub(super) fn token(loader: Loader, flags: TokenFlags) -> ExitCode {
    let config = match loader.load() {
        Ok(loaded) => loaded.config,
        Err(error) => return refuse(&error),
    };
    let now = clock::wall().0;
    match flags.check {
        Some(token) => check(&config, &token, now),
        None => sign(&config, flags, now),
    }
}

fn sign(config: &Config, flags: TokenFlags, now: u64) -> ExitCode {
    let grant = match flags.grant.grant(flags.user, now) {
        Ok(grant) => grant,
        Err(what) => return usage(&what),
    };
    let jwt = &config.auth.jwt;
    let signer = match &flags.key {
        Some(path) => TokenSigner::of_file(path).map_err(|error| error.to_string()),
        None => TokenSigner::of_settings(jwt).ok_or_else(|| {
            "nothing to sign with: set SUPPORTAL_AUTH__JWT__SECRET, or give a private key with --key"
                .to_owned()
        }),
    };
    match signer.map(|signer| signer.sign(&grant, jwt, now)) {
        Ok(Ok(token)) => print(&format!("{token}\n")),
        Ok(Err(_unspecified)) => fail("the token cannot be signed: no random numbers"),
        Err(what) => usage(&what),
    }
}

fn check(config: &Config, token: &str, now: u64) -> ExitCode {
    let mut input = String::new();
    let token = if token == "-" {
        let read = io::stdin().take(INPUT_BYTES_MAX).read_to_string(&mut input);
        if read.is_err() {
            return fail("standard input is no text");
        }
        input.trim()
    } else {
        token
    };
    let steps = match inspect(&config.auth.jwt, token, now) {
        Ok(steps) => steps,
        Err(error) => return usage(&error.to_string()),
    };
    let mut text = String::new();
    let is_asked = config.auth.mode.contains(&AuthMode::Jwt);
    if !is_asked {
        text.push_str("WRONG mode: auth.mode does not list \"jwt\", so the server looks at no token; add the mode\n");
    }
    for step in &steps {
        let mark = if step.is_good { "ok   " } else { "WRONG" };
        text.push_str(&format!("{mark} {}\n", step.text));
    }
    let is_good = is_asked && steps.iter().all(|step| step.is_good);
    text.push_str(match (is_asked, is_good) {
        (false, _) => "the server does not read this token\n",
        (true, true) => "the server lets this token in\n",
        (true, false) => "the server refuses this token\n",
    });
    let printed = print(&text);
    if is_good { printed } else { ExitCode::FAILURE }
}

/// `supportal link`.
pub(super) fn link(loader: Loader, flags: GrantFlags) -> ExitCode {
    let config = match loader.load() {
        Ok(loaded) => loaded.config,
        Err(error) => return refuse(&error),
    };
    if flags.business.is_none() || flags.session.is_none() {
        return usage("a link names its room: give --business and --session");
    }
    let grant = match flags.grant(None, clock::wall().0) {
        Ok(grant) => grant,
        Err(what) => return usage(&what),
    };
    match sign_link(&config.auth.link, &grant) {
        Some(link) => print(&format!("?link={link}\n")),
        None => usage("nothing to sign with: set SUPPORTAL_AUTH__LINK__KEY"),
    }
}
