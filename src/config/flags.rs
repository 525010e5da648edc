//! The flags that give settings: of the binary, and of a program around the library.

use super::load::Loader;
use clap::{Args, Parser};
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;

/// Exit code for flags and configuration (EX_USAGE of sysexits(3)).
pub const EXIT_CONFIG: u8 = 64;

/// The flags that give settings; a program with flags of its own flattens them into its command line.
#[derive(Args, Clone, Default)]
#[command(next_help_heading = "Settings (flag > environment > file > default)")]
pub struct Flags {
    /// TOML file with settings.
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Address and port of the public listener.
    #[arg(long, value_name = "ADDR", global = true)]
    pub listen: Option<String>,
    /// Address and port of the operator's listener.
    #[arg(long, value_name = "ADDR", global = true)]
    pub admin: Option<String>,
    /// Redis between nodes; turns the bridge on (`bridge.mode`) if no mode is named.
    #[arg(long, value_name = "URL", global = true)]
    pub redis_url: Option<String>,
    /// Data-plane threads; 0 = one per core.
    #[arg(long, value_name = "N", global = true)]
    pub workers: Option<String>,
    /// Any setting; may be given several times.
    #[arg(long, value_name = "section.key=value", global = true)]
    pub set: Vec<String>,
}

impl fmt::Debug for Flags {
    // An address and `--set` may carry secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flags").finish_non_exhaustive()
    }
}

impl Flags {
    /// What is to be loaded: these flags, and the environment.
    pub fn loader(self, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Loader {
        // Text that is not UTF-8 becomes replacement characters, which the loader refuses.
        let text = |text: OsString| text.to_string_lossy().into_owned();
        Loader {
            file: self.config,
            environment: environment
                .into_iter()
                .map(|(name, value)| (text(name), text(value)))
                .collect(),
            sets: self.set,
            listen: self.listen,
            admin: self.admin,
            workers: self.workers,
            redis_url: self.redis_url,
        }
    }
}

/// A command line of settings alone.
#[derive(Parser)]
#[command(about = None, long_about = None)]
struct SettingsAlone {
    #[command(flatten)]
    flags: Flags,
}

impl Loader {
    /// What this process was given: its arguments, its environment, and the file that they name. Ends the process where a
    /// command line does: with 0 after `--help`, and with 64 if the arguments are not understood.
    #[must_use]
    pub fn of_process() -> Self {
        match parse::<SettingsAlone>(std::env::args_os()) {
            Ok(SettingsAlone { flags }) => flags.loader(std::env::vars_os()),
            Err(usage) => {
                // Nobody is left to be told that nobody reads it.
                drop(usage.print());
                std::process::exit(i32::from(usage.code()))
            }
        }
    }
}

/// A command line that asks for no work: for help, or one that is not understood.
#[derive(Debug)]
pub struct Usage {
    /// `None`: its arguments are not shown.
    text: Option<clap::Error>,
    code: u8,
}

impl Usage {
    /// The exit code: 0 or 64.
    #[must_use]
    pub fn code(&self) -> u8 {
        self.code
    }

    /// Prints it where it belongs.
    ///
    /// # Errors
    /// The system's.
    pub fn print(&self) -> io::Result<()> {
        match &self.text {
            Some(text) => text.print(),
            None => io::stderr().write_all(
                b"supportal: the arguments are not understood; they are not shown, since an address may hold a \
                  password: put it in quotes, with its password percent-encoded\n",
            ),
        }
    }
}

/// Reads a command line.
///
/// # Errors
/// When it asks for no work.
pub fn parse<C: Parser>(arguments: impl IntoIterator<Item = OsString>) -> Result<C, Usage> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let mut shown = arguments.iter().map(|argument| argument.to_string_lossy());
    let has_address = shown.any(|argument| argument.contains("://"));
    C::try_parse_from(&arguments).map_err(|error| {
        let code = if error.use_stderr() { EXIT_CONFIG } else { 0 };
        // Without quotes, a password with a space or an & is several arguments.
        let is_shown = !(error.use_stderr() && has_address);
        Usage {
            text: is_shown.then_some(error),
            code,
        }
    })
}
