//! What is said on the terminal, and the exit code that goes with it. A reader that goes away is no mistake.

use std::io::{self, Write};
use std::process::ExitCode;
use supportal::config::flags::EXIT_CONFIG;

/// Prints the mistakes of a configuration.
pub(crate) fn refuse(error: &supportal::config::problem::Error) -> ExitCode {
    let mut text = String::new();
    for problem in error.problems() {
        text.push_str(&format!("supportal: {problem}\n"));
    }
    let printed = io::stderr().write_all(text.as_bytes());
    finish(printed, ExitCode::from(EXIT_CONFIG))
}

/// Prints what is wrong with the arguments, or with a file that they name.
pub(super) fn usage(text: &str) -> ExitCode {
    let printed = io::stderr().write_all(format!("supportal: {text}\n").as_bytes());
    finish(printed, ExitCode::from(EXIT_CONFIG))
}

/// Prints an error that comes before the log.
pub(crate) fn fail(text: &str) -> ExitCode {
    let printed = io::stderr().write_all(format!("supportal: {text}\n").as_bytes());
    finish(printed, ExitCode::FAILURE)
}

/// Prints a result.
pub(super) fn print(text: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    finish(printed, ExitCode::SUCCESS)
}

/// The exit code, if what was printed could be.
pub(super) fn finish(printed: io::Result<()>, code: ExitCode) -> ExitCode {
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => code,
    }
}
