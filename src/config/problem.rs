//! What is wrong with a configuration: where, which key, what, and the fix.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// The code.
    #[default]
    Default,
    /// A line of a file.
    File {
        /// The file as the user named it.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
    /// A command-line flag, `--set` included.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// One mistake, or one piece of advice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where the value stands.
    pub source: Source,
    /// The key, empty when it is about no single key.
    pub key: String,
    /// What is wrong; never contains a secret.
    pub what: String,
    /// What to write instead, empty when `what` says it.
    pub fix: String,
}

impl Problem {
    pub(super) fn new(
        source: Source,
        key: impl Into<String>,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            source,
            key: key.into(),
            what: what.into(),
            fix: fix.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A default is at fault only together with another key, which the text names.
        if self.source != Source::Default {
            write!(f, "{}: ", self.source)?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.what)?;
        if !self.fix.is_empty() {
            write!(f, "; {}", self.fix)?;
        }
        Ok(())
    }
}

/// What the checks found; the sources are filled in by the loader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Stops the start.
    pub errors: Vec<Problem>,
    /// Legal, but probably not meant.
    pub warnings: Vec<Problem>,
}

impl Findings {
    pub(super) fn error(
        &mut self,
        key: impl Into<String>,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let problem = Problem::new(Source::Default, key, what, fix);
        self.errors.push(problem);
    }

    pub(super) fn warn(
        &mut self,
        key: impl Into<String>,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let problem = Problem::new(Source::Default, key, what, fix);
        self.warnings.push(problem);
    }
}

/// Everything that is wrong with a configuration, found in one go.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", list(.problems))]
pub struct Error {
    problems: Vec<Problem>,
}

impl Error {
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    /// One mistake that shows itself where a key is used.
    pub(crate) fn of_key(key: &str, what: impl Into<String>) -> Self {
        Self::new(vec![Problem::new(Source::Default, key, what, "")])
    }

    /// The mistakes, in the order of file, environment, flags, cross-checks.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

fn list(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
