//! Clients that are not ours talk to the server: Node's `ws`, Python's `websockets`, and the two
//! examples of the guide, word for word.
//!
//! The clients are scripts in `tests/clients/`; each prints one line per check and ends with a
//! status. A missing tool is a failure that names the line which installs it, never a skip.

use crate::support::wait::Deadline;
use crate::support::{Gateway, repository, tools_dir};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

/// How long a whole script may take; its steps have their own, shorter limits.
const SCRIPT: Duration = Duration::from_secs(180);

/// A running script of `tests/`, with everything it printed so far.
#[derive(Debug)]
pub(crate) struct Script {
    child: Child,
    lines: Receiver<String>,
    printed: String,
    deadline: Deadline,
}

impl Script {
    /// Starts `node tests/FOLDER/FILE ARGUMENTS…`, whose packages `npm` has installed there.
    #[track_caller]
    pub(crate) fn node<A: AsRef<OsStr>>(folder: &str, file: &str, arguments: &[A]) -> Self {
        let folder_path = repository().join("tests").join(folder);
        assert!(
            folder_path.join("node_modules").is_dir(),
            "packages are missing; install them with: npm ci --prefix tests/{folder}"
        );
        Self::start(
            Command::new("node")
                .arg(folder_path.join(file))
                .args(arguments),
        )
    }

    /// Starts `python tests/FOLDER/FILE ARGUMENTS…` in the tests' own environment.
    #[track_caller]
    fn python<A: AsRef<OsStr>>(folder: &str, file: &str, arguments: &[A]) -> Self {
        let python = tools_dir().join("venv/bin/python");
        assert!(
            python.is_file(),
            "the Python environment is missing; make it with: python3 -m venv tests/.tools/venv && \
             tests/.tools/venv/bin/pip install --requirement tests/clients/requirements.txt"
        );
        let file = repository().join("tests").join(folder).join(file);
        Self::start(Command::new(python).arg(file).args(arguments))
    }

    #[track_caller]
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("node 20 or newer is missing; install it with: apt-get install -y nodejs npm");
        let (sender, lines) = mpsc::channel();
        forward(
            child.stdout.take().expect("stdout is piped"),
            sender.clone(),
        );
        forward(child.stderr.take().expect("stderr is piped"), sender);
        Self {
            child,
            lines,
            printed: String::new(),
            deadline: Deadline::after(SCRIPT),
        }
    }

    /// Waits until the script prints `line`.
    #[track_caller]
    pub(crate) fn wait_line(&mut self, line: &str) {
        while let Some(printed) = self.next_line() {
            if printed == line {
                return;
            }
        }
        assert!(
            self.printed.contains(line),
            "no line {line}; it printed:\n{}",
            self.printed
        );
    }

    /// Writes one line to the script.
    #[track_caller]
    pub(crate) fn tell(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("stdin is piped");
        writeln!(stdin, "{line}").expect("the script reads");
    }

    /// Waits for the end and requires status 0; returns what it printed.
    #[track_caller]
    pub(crate) fn finish(mut self) -> String {
        while self.next_line().is_some() {}
        assert!(
            self.deadline.left().is_some(),
            "not done within {SCRIPT:?}; it printed:\n{}",
            self.printed
        );
        let status = self.child.wait().expect("the script's status");
        assert!(status.success(), "{status}; it printed:\n{}", self.printed);
        std::mem::take(&mut self.printed)
    }

    /// The next line, or `None` at the end of the output or of the time.
    fn next_line(&mut self) -> Option<String> {
        let line = self.lines.recv_timeout(self.deadline.left()?).ok()?;
        self.printed.push_str(&line);
        self.printed.push('\n');
        Some(line)
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // It has ended already unless the test failed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Sends every line of `output` until its end.
fn forward(output: impl Read + Send + 'static, sender: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
}

/// A server for the scripts: it answers, and lets a client send as fast as it likes.
fn gateway() -> Gateway {
    Gateway::start(&["assistant.kind=faq", "limits.messages_per_second=0"])
}

#[test]
fn the_guides_javascript_example_runs_as_it_is() {
    let gateway = gateway();
    Script::node("clients", "run_guide.mjs", &[gateway.port().to_string()]).finish();
}

#[test]
fn the_guides_python_example_runs_as_it_is() {
    let gateway = gateway();
    Script::python("clients", "run_guide.py", &[gateway.port().to_string()]).finish();
}

#[test]
fn a_node_client_chats_by_the_contract() {
    let gateway = gateway();
    Script::node("clients", "chat.mjs", &[gateway.port().to_string()]).finish();
}

#[test]
fn a_python_client_chats_by_the_contract() {
    let gateway = gateway();
    Script::python("clients", "chat.py", &[gateway.port().to_string()]).finish();
}
