//! The real server as a child process on private ports.

use super::client::{Client, Refusal};
use super::http::{self, Response};
use super::wait::{self, Deadline};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// How long a start or a stop may take: debug builds on a busy machine.
const START: Duration = Duration::from_secs(20);

/// Bytes of the end of a server's log that a failed test shows.
const LOG_SHOWN: usize = 8 * 1024;

/// Applied before a test's own settings: no notice, since no load balancer is there to see it, and
/// nobody answers, so that a test sees only its own frames.
const BASE: [&str; 3] = [
    "log.format=json",
    "server.drain_notice=0s",
    "assistant.kind=none",
];

/// A signal to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Drain, then exit 0.
    Term,
    /// Drain without notice, then exit 0.
    Int,
    /// Stop without being asked.
    Kill,
    /// Stand still.
    Stop,
    /// Go on.
    Continue,
    /// Read the settings again.
    Hangup,
}

/// How the server ended: an exit code, or `None` for a signal.
pub(crate) type Exit = Option<i32>;

/// What the server wrote to stderr, growing.
#[derive(Debug, Default)]
struct Log {
    text: Mutex<(String, bool)>,
    grew: Condvar,
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, (String, bool)> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One running server.
#[derive(Debug)]
pub(crate) struct Gateway {
    child: Mutex<Child>,
    pid: u32,
    public: SocketAddr,
    admin: SocketAddr,
    log: Arc<Log>,
    arguments: Vec<String>,
    checked: AtomicBool,
    /// Holds the configuration file.
    folder: Option<TempDir>,
}

impl Gateway {
    /// Starts a server with these settings on top of the test base.
    #[track_caller]
    pub(crate) fn start(settings: &[&str]) -> Self {
        Self::launch(arguments(settings), "127.0.0.1:0", None)
    }

    /// Starts a server from the text of a configuration file, on top of the test base.
    #[track_caller]
    pub(crate) fn start_with_toml(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("supportal.toml");
        std::fs::write(&file, text).expect("the configuration file");
        // A flag would win over the file's own assistant.
        let mut arguments = match text.contains("[assistant]") {
            true => pairs(&BASE[..2]),
            false => arguments(&[]),
        };
        arguments.extend(["--config".to_owned(), file.display().to_string()]);
        Self::launch(arguments, "127.0.0.1:0", Some(folder))
    }

    /// As [`Gateway::start`], with more arguments.
    #[track_caller]
    pub(crate) fn start_with_arguments(settings: &[&str], more: &[&str]) -> Self {
        let mut arguments = arguments(settings);
        arguments.extend(more.iter().map(|&argument| argument.to_owned()));
        Self::launch(arguments, "127.0.0.1:0", None)
    }

    /// Starts a server by the words and variables of a command line of the manual, on top of the test base.
    #[track_caller]
    pub(crate) fn start_by_words(variables: &[(String, String)], words: &[String]) -> Self {
        let mut program = Command::new("/usr/bin/env");
        let variables = variables
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        program.args(variables).arg(env!("CARGO_BIN_EXE_supportal"));
        let mut all = arguments(&[]);
        all.extend_from_slice(words);
        Self::launch_by(program, all, "127.0.0.1:0", None)
    }

    /// As [`Gateway::start`], where the process may have this many files open and no more.
    #[track_caller]
    pub(crate) fn start_with_files(settings: &[&str], files: u64) -> Self {
        let mut shell = Command::new("/bin/sh");
        let script = format!("ulimit -n {files} && exec \"$0\" \"$@\"");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_supportal")]);
        Self::launch_by(shell, arguments(settings), "127.0.0.1:0", None)
    }

    /// One server for the tests that only need defaults; it ends with the last test that holds it.
    #[track_caller]
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Gateway>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let gateway = Arc::new(Self::start(&[]));
            *shared = Arc::downgrade(&gateway);
            gateway
        })
    }

    /// Do not check the ledger and the panic counter at the end.
    pub(crate) fn unchecked(self) -> Self {
        self.checked.store(false, Ordering::Relaxed);
        self
    }

    #[track_caller]
    fn launch(arguments: Vec<String>, listen: &str, folder: Option<TempDir>) -> Self {
        let program = Command::new(env!("CARGO_BIN_EXE_supportal"));
        Self::launch_by(program, arguments, listen, folder)
    }

    #[track_caller]
    fn launch_by(
        mut program: Command,
        arguments: Vec<String>,
        listen: &str,
        folder: Option<TempDir>,
    ) -> Self {
        let mut child = program
            .args(["--listen", listen, "--admin", "127.0.0.1:0"])
            .args(&arguments)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the supportal binary starts");
        let stderr = child.stderr.take().expect("stderr is piped");
        let log = Arc::new(Log::default());
        let writer = Arc::clone(&log);
        thread::spawn(move || {
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                let mut text = writer.lock();
                text.0.push_str(&String::from_utf8_lossy(&line));
                text.0.push('\n');
                writer.grew.notify_all();
            }
            writer.lock().1 = true;
            writer.grew.notify_all();
        });
        let pid = child.id();
        let Some((public, admin)) = listening(&log) else {
            drop(child.kill());
            drop(child.wait());
            panic!("the server did not start:\n{}", log.lock().0);
        };
        let child = Mutex::new(child);
        Self {
            child,
            pid,
            public,
            admin,
            log,
            arguments,
            checked: AtomicBool::new(true),
            folder,
        }
    }

    /// Stops with SIGTERM and starts again on the same public port with the same settings.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        self.signal(Signal::Term);
        assert_eq!(self.wait_exit(START), Some(0), "log:\n{}", self.log());
        self.launch_again();
    }

    /// Starts again on the same public port with the same settings, after the process has ended.
    #[track_caller]
    pub(crate) fn launch_again(&mut self) {
        let public = self.public.to_string();
        let folder = self.folder.take();
        *self = Self::launch(self.arguments.clone(), &public, folder);
    }

    /// Opens `path`.
    #[track_caller]
    pub(crate) fn connect(&self, path: &str) -> Client {
        self.connect_with(path, &[])
    }

    /// Opens `path` with extra headers.
    #[track_caller]
    pub(crate) fn connect_with(&self, path: &str, extra: &[(&str, &str)]) -> Client {
        Client::open(self.public, path, extra).unwrap_or_else(|refusal| {
            panic!("{path} refused: {} {}", refusal.status, refusal.text())
        })
    }

    /// Opens `path`, or returns the refusal.
    #[track_caller]
    pub(crate) fn try_connect(&self, path: &str) -> Result<Client, Refusal> {
        Client::open(self.public, path, &[])
    }

    /// Opens `path` with extra headers, or returns the refusal.
    #[track_caller]
    pub(crate) fn try_connect_with(
        &self,
        path: &str,
        extra: &[(&str, &str)],
    ) -> Result<Client, Refusal> {
        Client::open(self.public, path, extra)
    }

    /// The address of the listener of `http.redirect`.
    #[track_caller]
    pub(crate) fn redirect_address(&self) -> SocketAddr {
        let log = self.wait_log("redirecting to https", 1);
        let mut lines = log.lines();
        let line = lines.find(|line| line.contains("redirecting to https"));
        let line: serde_json::Value = serde_json::from_str(line.expect("the line")).expect("JSON");
        let address = line["address"].as_str().expect("an address");
        address.parse().expect("an address")
    }

    /// Joins the chat room of `session` of business 1 and passes over the welcome.
    #[track_caller]
    pub(crate) fn join(&self, session: &str) -> Client {
        let mut client = self.connect(&format!("/ws/chat/1/{session}/"));
        client.skip_welcome();
        client
    }

    /// The public listener.
    pub(crate) fn public(&self) -> SocketAddr {
        self.public
    }

    /// The operator's listener.
    pub(crate) fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// The public port.
    pub(crate) fn port(&self) -> u16 {
        self.public.port()
    }

    /// `http://127.0.0.1:PORT/path`.
    pub(crate) fn http_url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port())
    }

    /// One request to the public listener, as bytes; `None` if it closed without an answer.
    #[track_caller]
    pub(crate) fn exchange(&self, bytes: &[u8]) -> Option<Response> {
        http::exchange(self.public, bytes)
    }

    /// `GET` on the public listener.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Response {
        http::get(self.public, path)
    }

    /// `GET` on the admin listener.
    #[track_caller]
    pub(crate) fn admin(&self, path: &str) -> Response {
        http::get(self.admin, path)
    }

    /// The value of one series, `name` or `name{label="value"}`; a series never touched is 0.
    #[track_caller]
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let text = self.admin("/metrics").text();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0.0, |value| {
            value
                .parse()
                .unwrap_or_else(|_| panic!("{series} is {value}"))
        })
    }

    /// The sum over all series of `name`, whatever their labels.
    #[track_caller]
    pub(crate) fn metric_sum(&self, name: &str) -> f64 {
        let text = self.admin("/metrics").text();
        let series = text.lines().filter_map(|line| line.strip_prefix(name));
        let series = series.filter(|rest| rest.starts_with([' ', '{']));
        series
            .filter_map(|rest| rest.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }

    /// The node's account.
    #[track_caller]
    pub(crate) fn ledger(&self) -> serde_json::Value {
        self.admin("/ledger").json()
    }

    /// Waits until nothing is queued, then requires a residue of 0; returns the account.
    #[track_caller]
    pub(crate) fn settled_ledger(&self) -> serde_json::Value {
        wait::until("the queues to empty", START, || {
            self.ledger()["queued"] == 0
        });
        wait::until("a residue of 0", START, || {
            self.ledger()["unexplained"] == 0
        });
        self.ledger()
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Open file descriptors of the process.
    pub(crate) fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid)).map_or(0, Iterator::count)
    }

    /// Sends a signal; a server that ends is not asked for its account any more.
    pub(crate) fn signal(&self, signal: Signal) {
        if signal != Signal::Hangup {
            self.checked.store(false, Ordering::Relaxed);
        }
        let signal = match signal {
            Signal::Term => rustix::process::Signal::TERM,
            Signal::Int => rustix::process::Signal::INT,
            Signal::Kill => rustix::process::Signal::KILL,
            Signal::Stop => rustix::process::Signal::STOP,
            Signal::Continue => rustix::process::Signal::CONT,
            Signal::Hangup => rustix::process::Signal::HUP,
        };
        let pid = i32::try_from(self.pid)
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.expect("a process id"), signal).expect("the signal");
    }

    /// What it wrote to stderr, so far as it has been read here.
    pub(crate) fn log(&self) -> String {
        self.log.lock().0.clone()
    }

    /// Waits until `text` is in the log `times` times; returns the log.
    #[track_caller]
    pub(crate) fn wait_log(&self, text: &str, times: usize) -> String {
        let what = format!("{times} times in the log: {text}");
        wait::until(&what, START, || self.log().matches(text).count() >= times);
        self.log()
    }

    /// Waits for the end of the process.
    #[track_caller]
    pub(crate) fn wait_exit(&self, patience: Duration) -> Exit {
        let mut status = None;
        wait::until("the server to exit", patience, || {
            status = self.poll_exit();
            status.is_some()
        });
        status.expect("just seen").code()
    }

    fn poll_exit(&self) -> Option<std::process::ExitStatus> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.try_wait().expect("the child's status")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let mut fault = String::new();
        if self.checked.load(Ordering::Relaxed)
            && !thread::panicking()
            && self.poll_exit().is_none()
        {
            let deadline = Deadline::after(super::PATIENCE);
            while self.ledger()["unexplained"] != 0 && deadline.left().is_some() {
                thread::park_timeout(Duration::from_millis(20));
            }
            let ledger = self.ledger();
            if ledger["unexplained"] != 0 {
                write!(fault, "the ledger has a residue: {ledger}; ").expect("to a String");
            }
            let panics = self.metric("supportal_panics_total");
            if panics > 0.0 {
                write!(fault, "{panics} panics; ").expect("to a String");
            }
        }
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(child.kill());
        drop(child.wait());
        if thread::panicking() {
            let log = self.log();
            let start = log.len().saturating_sub(LOG_SHOWN);
            eprintln!(
                "log of a server:\n{}",
                String::from_utf8_lossy(&log.as_bytes()[start..])
            );
        }
        assert!(fault.is_empty(), "{fault}log:\n{}", self.log.lock().0);
    }
}

/// The command line of a list of settings.
fn arguments(settings: &[&str]) -> Vec<String> {
    [pairs(&BASE), pairs(settings)].concat()
}

fn pairs(settings: &[&str]) -> Vec<String> {
    settings
        .iter()
        .flat_map(|setting| ["--set".to_owned(), (*setting).to_owned()])
        .collect()
}

/// Waits for the log event `listening`; `None` if the process ended or took too long.
fn listening(log: &Log) -> Option<(SocketAddr, SocketAddr)> {
    let deadline = Deadline::after(START);
    let mut text = log.lock();
    loop {
        for line in text.0.lines().filter(|line| line.contains("\"listening\"")) {
            let Ok(event) = serde_json::from_str::<serde_json::Value>(line) else {
                continue;
            };
            let address = |name: &str| event[name].as_str()?.parse().ok();
            if let (Some(public), Some(admin)) = (address("public"), address("admin")) {
                return Some((public, admin));
            }
        }
        if text.1 {
            return None;
        }
        let left = deadline.left()?;
        text = log
            .grew
            .wait_timeout(text, left)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
    }
}
