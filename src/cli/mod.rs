//! The command line: flags to a [`Loader`], and the commands that only print.
//!
//! Usage mistakes end with 64, as mistakes in the configuration do. A reader that goes away
//! (`supportal config | head`) is no mistake.

mod credentials;
mod probes;
mod terminal;

pub(crate) use terminal::{fail, refuse};

use clap::{Parser, Subcommand, ValueEnum};
use credentials::{GrantFlags, TokenFlags};
use std::ffi::OsString;
use std::process::ExitCode;
use supportal::banner::{MachineFacts, Memory, banner};
use supportal::budget::{when_short, worst_case_memory};
use supportal::config::Config;
use supportal::config::document::{self, DocumentFormat};
use supportal::config::flags::{self, Flags};
use supportal::config::load::Loader;
use supportal::internal::tls::TlsServer;
use supportal::internal::{admin, auth};
use terminal::{finish, print, usage};

/// The real-time server for customer-support chat.
#[derive(Parser)]
#[command(name = "supportal", version, args_conflicts_with_subcommands = false)]
struct Cli {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Option<CliCommand>,
}

#[derive(Subcommand)]
enum CliCommand {
    /// Runs the server; also what happens without a command.
    Serve,
    /// Checks the configuration; prints limits and the worst case of memory.
    Check {
        /// Also connects to every Redis of `bridge.urls` and `channels.hosts`, sends a canary
        /// through, and listens for other nodes (2.5 s).
        #[arg(long)]
        redis: bool,
        /// Also asks whoever answers customers (`assistant.kind`, a model or a webhook) one short question with these
        /// settings, and says what came and in how long (at most `assistant.timeout`).
        #[arg(long)]
        model: bool,
    },
    /// Has the running node read its settings again, by way of `admin.listen`.
    Reload,
    /// Signs a token (`auth.jwt`), or explains one.
    Token(TokenFlags),
    /// Signs a link (`auth.link`): the query to put behind the address of a room.
    Link(GrantFlags),
    /// Prints every setting with its source; secrets are hidden.
    Config {
        /// Form of the output.
        #[arg(long, value_enum, default_value_t = Form::Toml)]
        format: Form,
        /// The defaults, with the meaning of each key.
        #[arg(long)]
        default: bool,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Form {
    Toml,
    Env,
    Markdown,
}

impl From<Form> for DocumentFormat {
    fn from(form: Form) -> Self {
        match form {
            Form::Toml => Self::Toml,
            Form::Env => Self::Environment,
            Form::Markdown => Self::Markdown,
        }
    }
}

/// What the command line asks for.
pub(crate) enum Action {
    /// Run the server.
    Serve(Loader),
    /// Do something that needs no server, and end with its exit code.
    Once(Box<dyn FnOnce() -> ExitCode>),
}

/// Reads the command line.
pub(crate) fn read(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Action {
    let cli = match flags::parse::<Cli>(arguments) {
        Ok(cli) => cli,
        Err(usage) => {
            let print = move || finish(usage.print(), ExitCode::from(usage.code()));
            return Action::Once(Box::new(print));
        }
    };
    let loader = cli.flags.loader(environment);
    match cli.command.unwrap_or(CliCommand::Serve) {
        CliCommand::Serve => Action::Serve(loader),
        CliCommand::Check { redis, model } => {
            Action::Once(Box::new(move || check(loader, Probes { redis, model })))
        }
        CliCommand::Reload => Action::Once(Box::new(move || reload(loader))),
        CliCommand::Token(flags) => {
            Action::Once(Box::new(move || credentials::token(loader, flags)))
        }
        CliCommand::Link(flags) => Action::Once(Box::new(move || credentials::link(loader, flags))),
        CliCommand::Config { format, default } => {
            Action::Once(Box::new(move || show(loader, format.into(), default)))
        }
    }
}

fn reload(loader: Loader) -> ExitCode {
    let config = match loader.load() {
        Ok(loaded) => loaded.config,
        Err(error) => return refuse(&error),
    };
    match admin::ask::reload(&config) {
        Ok((true, text)) => print(&format!("{text}\n")),
        Ok((false, text)) => fail(&text),
        Err(error) => {
            let address = config.admin.listen;
            fail(&format!(
                "no node answers at {address} (admin.listen): {error}; start it, or give this command the node's own file and environment"
            ))
        }
    }
}

/// What is asked beside the settings.
#[derive(Clone, Copy)]
struct Probes {
    redis: bool,
    model: bool,
}

fn check(loader: Loader, asked: Probes) -> ExitCode {
    let loaded = match loader.load() {
        Ok(loaded) => loaded,
        Err(error) => return refuse(&error),
    };
    // Keys are in files, which the settings alone do not tell of.
    if let Err(what) = auth::check(&loaded.config.auth) {
        return usage(&what);
    }
    let certificates = match TlsServer::check(&loaded.config.tls) {
        Ok(warnings) => warnings,
        Err(fault) => return usage(&fault.to_string()),
    };
    let facts = MachineFacts::gather();
    let (workers, connections) = (
        facts.workers(&loaded.config),
        facts.connections(&loaded.config),
    );
    let sum = worst_case_memory(&loaded.config, connections, workers);
    let memory = Memory {
        total: sum.total,
        per_connection: sum.per_connection,
    };
    let mut text = "the configuration is good\n\n".to_owned();
    for line in banner(&loaded, &facts, memory) {
        text.push_str(&format!("{line}\n"));
    }
    for warning in certificates {
        text.push_str(&format!("warning: {warning}\n"));
    }
    text.push_str("\nlimits\n");
    text.push_str(&document::render_limits(&loaded));
    text.push_str(&format!(
        "\nmemory at worst, {connections} connections and {workers} workers\n{sum}\n"
    ));
    if let Some(order) = when_short(&loaded.config) {
        text.push_str(&format!("\n{order}"));
    }
    text.push_str(&probes::folders(&loaded.config));
    if let Some(line) = probes::model_line(&loaded.config) {
        text.push_str(&format!("\n{line}"));
    }
    let mut is_good = true;
    for (is_asked, probe) in [
        (asked.redis, probes::check_redis as fn(&Config) -> _),
        (asked.model, probes::check_model),
    ] {
        if is_asked {
            let (found, is_found_good) = probe(&loaded.config);
            text.push_str(&format!("\n{found}"));
            is_good &= is_found_good;
        }
    }
    let printed = print(&text);
    if is_good { printed } else { ExitCode::FAILURE }
}

fn show(loader: Loader, format: DocumentFormat, default: bool) -> ExitCode {
    if default {
        return print(&document::render_default(format));
    }
    match loader.load() {
        Ok(loaded) => print(&document::render(&loaded, format)),
        Err(error) => refuse(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_stand_before_or_after_the_command() {
        for line in ["supportal --workers 2 check", "supportal check --workers 2"] {
            let cli = parse(line).ok().unwrap();
            assert_eq!(cli.flags.workers.as_deref(), Some("2"));
            assert!(matches!(cli.command, Some(CliCommand::Check { .. })));
        }
        assert!(parse("supportal").ok().unwrap().command.is_none());
    }

    #[test]
    fn every_set_is_kept_in_order() {
        let cli = parse("supportal serve --set a.b=1 --set c.d=x=y")
            .ok()
            .unwrap();
        assert_eq!(cli.flags.set, ["a.b=1", "c.d=x=y"]);
    }

    #[test]
    fn unknown_words_are_refused() {
        for line in [
            "supportal dance",
            "supportal --frob",
            "supportal config --format yaml",
        ] {
            assert!(parse(line).is_err_and(|error| error.use_stderr()), "{line}");
        }
    }
}
