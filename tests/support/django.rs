//! A real Django site in a process of its own, which takes orders.

use super::{repository, tools_dir};
use serde_json::Value;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The site's process; killed when this is dropped.
pub(crate) struct Django {
    child: Child,
    orders: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Django {
    /// Runs a script of `tests/` with these arguments.
    #[track_caller]
    pub(crate) fn start<A: AsRef<OsStr>>(script: &str, arguments: &[A]) -> Self {
        let python = tools_dir().join("channels/bin/python");
        let mut child = Command::new(&python)
            .arg(repository().join("tests").join(script))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; tests/run install", python.display()));
        let orders = child.stdin.take().expect("stdin is piped");
        let output = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Self {
            child,
            orders,
            lines: output.lines(),
        }
    }

    /// The next line that the site writes.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        self.lines.next().expect("a line").expect("text")
    }

    /// Has the site do something; its answer.
    #[track_caller]
    pub(crate) fn order(&mut self, order: &Value) -> Value {
        writeln!(self.orders, "{order}").expect("the site takes orders");
        serde_json::from_str(&self.line()).expect("JSON")
    }
}

impl Drop for Django {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
