//! `[log]`: what is logged, and how; the levels of `log.level`.

use super::problem::Findings;
use super::setting::{choice, section};

section! {
    /// What is logged, and how.
    ["log"] LogSettings {
        /// Log lines for people (`text`) or one object a line (`json`), on standard error.
        format: LogFormat = LogFormat::Text, restart;
        /// Levels per module, as in `info,supportal::worker=debug` (off error warn info debug trace).
        level: String = "info".to_owned(), live;
    }
}

choice! {
    /// Form of a log line.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

/// What types cannot say.
pub(super) fn check(log: &LogSettings, found: &mut Findings) {
    log.check_ranges(found);
    if let Err(what) = check_level(&log.level) {
        let fix = "write levels such as \"info\" or \"info,supportal::worker=debug\"";
        found.error("log.level", what, fix);
    }
}

/// `level` or `module=level`, separated by commas.
///
/// Strict on purpose: the subscriber's own parser takes a misspelt level for the name of a module
/// and logs nothing.
fn check_level(text: &str) -> Result<(), String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    if text.trim().is_empty() {
        return Err("is empty".to_owned());
    }
    for directive in text.split(',').map(str::trim) {
        let (module, level) = directive
            .split_once('=')
            .map_or((None, directive), |(module, level)| (Some(module), level));
        if !LEVELS.contains(&level.to_ascii_lowercase().as_str()) {
            return Err(format!("{level:?} is not a level"));
        }
        let is_name = |name: &str| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_:".contains(&b))
        };
        if module.is_some_and(|module| !is_name(module)) {
            return Err(format!("{directive:?} names no module"));
        }
    }
    Ok(())
}
