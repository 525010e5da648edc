//! Servers that the tool starts itself: pinned to a core, in a process group of their own, waited for until they answer, ended with all
//! their children.

use crate::clock::{SECOND, until};
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A server that has not answered after this long never will; interpreters with many imports take several seconds.
const READY_MAX: u64 = 40 * SECOND;
/// Between two looks at a process.
const LOOK: Duration = Duration::from_millis(20);
/// A server that has not ended after this long is killed.
const END_MAX: u64 = 5 * SECOND;
/// The handshake of the readiness check; the key is the example of RFC 6455.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// Route of the contract.
pub(crate) const PATH: &str = "/ws/chat/{business}/{room}/";

/// How to know that a server can be used.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ready {
    /// The server accepts a connection.
    Tcp,
    /// The server answers a WebSocket handshake with 101.
    #[default]
    Websocket,
}

/// What to start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spec {
    /// Line for `sh`, with `{port}`, `{admin}`, and `{behind}` for a port between two programs of it.
    pub(crate) command: String,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) ready: Ready,
    /// Path of the check's handshake.
    pub(crate) path: String,
    /// The core it may use; all without.
    pub(crate) core: Option<usize>,
    /// Where its output goes; nowhere without.
    pub(crate) log: Option<PathBuf>,
}

/// A running server; dropping it kills the whole group.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    /// The port it may serve its ledger on.
    pub(crate) admin: u16,
}

/// A port nobody listens on at this moment.
/// Errors: No port.
pub(crate) fn free_port() -> Result<u16, String> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| format!("no free port: {error}"))
}

/// A program, on one core if asked for.
pub(crate) fn pinned(program: impl AsRef<OsStr>, core: Option<usize>) -> Command {
    let Some(core) = core else {
        return Command::new(program);
    };
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program);
    command
}

/// `line` for `sh`, on one core if asked for.
pub(crate) fn shell(line: &str, core: Option<usize>) -> Command {
    let mut command = pinned("sh", core);
    command.args(["-c", line]);
    command
}

/// The line so that the server takes the shell's place: its process is the one that is measured. What only a shell can do stays as it is.
fn in_place(line: &str) -> String {
    let line = line.trim();
    let first = line.split_whitespace().next().unwrap_or_default();
    if first == "exec" || first.contains('=') || line.contains(['&', ';', '|', '\n']) {
        line.to_owned()
    } else {
        format!("exec {line}")
    }
}

/// What it said last, for whoever wonders why it is not there.
pub(crate) fn last_words(spec: &Spec) -> String {
    let text = spec.log.as_ref().map(std::fs::read_to_string);
    let text = text.and_then(Result::ok).unwrap_or_default();
    let last = text.lines().rfind(|line| !line.trim().is_empty());
    last.map_or(String::new(), |line| format!(": {}", line.trim()))
}

impl Server {
    /// Starts it on free ports and waits until it is ready.
    /// Errors: Text that says why it is not there.
    pub(crate) fn start(spec: &Spec) -> Result<Self, String> {
        Self::start_on(spec, free_port()?, free_port()?)
    }

    /// The same on these ports.
    /// Errors: Text that says why it is not there.
    pub(crate) fn start_on(spec: &Spec, port: u16, admin: u16) -> Result<Self, String> {
        let server = Self::spawn(spec, port, admin)?;
        server.wait_ready(spec)
    }

    /// Starts it without waiting.
    /// Errors: Text that says why it is not there.
    pub(crate) fn spawn(spec: &Spec, port: u16, admin: u16) -> Result<Self, String> {
        let line = spec
            .command
            .replace("{port}", &port.to_string())
            .replace("{behind}", &free_port()?.to_string())
            .replace("{admin}", &admin.to_string());
        let mut command = shell(&in_place(&line), spec.core);
        command.stdin(Stdio::null()).process_group(0);
        if let Some(directory) = &spec.directory {
            command.current_dir(directory);
        }
        let outputs = match &spec.log {
            None => (Stdio::null(), Stdio::null()),
            Some(path) => {
                let file = std::fs::File::create(path);
                let file = file.map_err(|error| format!("{}: {error}", path.display()))?;
                let copy = file.try_clone().map_err(|error| error.to_string())?;
                (Stdio::from(file), Stdio::from(copy))
            }
        };
        let child = command
            .stdout(outputs.0)
            .stderr(outputs.1)
            .spawn()
            .map_err(|error| format!("{line}: {error}"))?;
        Ok(Self { child, port, admin })
    }

    fn wait_ready(mut self, spec: &Spec) -> Result<Self, String> {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let mut ended = None;
        let is_ready = until(READY_MAX, LOOK, || {
            ended = self.ended();
            ended.is_some() || answers(address, spec.ready, &spec.path)
        });
        let why = match ended {
            Some(status) => format!("it ended at once, {status}"),
            None if is_ready => return Ok(self),
            None => format!("not ready after {} s", READY_MAX / SECOND),
        };
        Err(format!("{}: {why}{}", spec.command, last_words(spec)))
    }

    /// Its process number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its end, if it has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Asks it to end and waits for that, at most `longest` nanoseconds; then kills it. True if it ended by itself.
    pub(crate) fn stop(&mut self, longest: u64) -> bool {
        self.signal(Signal::TERM);
        until(longest, LOOK, || self.ended().is_some())
    }

    /// Sends the whole group a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(group) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw) {
            // A group that is gone needs no signal.
            kill_process_group(group, signal).ok();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop(END_MAX);
        // Children that outlived the first process of the group.
        self.signal(Signal::KILL);
        self.child.wait().ok();
    }
}

/// One try.
fn answers(address: SocketAddr, ready: Ready, path: &str) -> bool {
    let second = Duration::from_secs(1);
    let Ok(mut stream) = TcpStream::connect_timeout(&address, second) else {
        return false;
    };
    if ready == Ready::Tcp {
        return true;
    }
    let mut request = Vec::new();
    let path = path
        .replace("{business}", "1")
        .replace("{room}", "lt-ready");
    crate::handshake::request(&mut request, &address.to_string(), &path, KEY, "");
    let mut answer = [0; 12];
    stream.set_read_timeout(Some(second)).is_ok()
        && stream.write_all(&request).is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && answer.ends_with(b" 101")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_takes_the_place_of_its_shell_unless_only_a_shell_can_run_it() {
        assert_eq!(in_place("bun/start 1"), "exec bun/start 1");
        for line in ["exec bun/start 1", "A=1 bun/start 1", "cd a && ./b"] {
            assert_eq!(in_place(line), line);
        }
    }

    #[test]
    fn a_server_that_ends_at_once_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let spec = Spec {
            command: "echo no such port >&2; exit 7".to_owned(),
            ready: Ready::Tcp,
            log: Some(folder.path().join("log")),
            ..Spec::default()
        };
        let why = Server::start(&spec).unwrap_err();
        assert!(why.ends_with("exit status: 7: no such port"), "{why}");
    }
}
