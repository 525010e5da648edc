//! A private redis-server for one test: its own port, its own folder, gone at the end.

use super::PATIENCE;
use super::wait;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;
use tempfile::TempDir;

/// A signal to a Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blow {
    /// SIGKILL.
    Kill,
    /// SIGSTOP: it stands, connections and all.
    Stop,
    /// SIGCONT.
    Continue,
}

/// One redis-server, or none yet at its address.
#[derive(Debug)]
pub(crate) struct Redis {
    port: u16,
    arguments: Vec<String>,
    child: Option<Child>,
    /// A configuration file, for a Sentinel.
    file: Option<String>,
    folder: TempDir,
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// A port of a server of a Cluster, whose bus is the port above by 10,000: both free, and below those that the system
/// gives to whoever asks for any, so that nobody is there before the server is.
fn cluster_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    loop {
        let next = NEXT.fetch_add(1, Relaxed);
        let next = std::process::id().wrapping_mul(97).wrapping_add(next);
        let port = 12_000 + u16::try_from(next % 10_000).unwrap_or(0);
        if is_free(port) && is_free(port + 10_000) {
            return port;
        }
    }
}

impl Redis {
    /// A server with these further arguments, answering.
    #[track_caller]
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut redis = Self::absent(arguments);
        redis.launch();
        redis
    }

    /// A Sentinel with this file, which it rewrites.
    #[track_caller]
    pub(crate) fn sentinel(file: &std::path::Path) -> Self {
        let file = file.display().to_string();
        let mut sentinel = Self::absent(&["--sentinel"]);
        sentinel.file = Some(file);
        sentinel.launch();
        sentinel
    }

    /// Only an address so far.
    #[track_caller]
    pub(crate) fn absent(arguments: &[&str]) -> Self {
        Self {
            port: free_port(),
            arguments: arguments.iter().map(|&word| word.to_owned()).collect(),
            child: None,
            file: None,
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    /// The same, of a server of a Cluster.
    pub(crate) fn absent_of_cluster(arguments: &[&str]) -> Self {
        let mut redis = Self::absent(arguments);
        redis.port = cluster_port();
        redis
    }

    /// Starts it (again) at its address.
    #[track_caller]
    pub(crate) fn launch(&mut self) {
        let store = match self.file {
            Some(_) => &[][..],
            None => &["--save", "", "--appendonly", "no"],
        };
        let child = Command::new("redis-server")
            .args(&self.file)
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(store)
            .args(["--dir", &self.folder.path().display().to_string()])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("redis-server does not start ({error}); apt-get install redis-server")
            });
        self.child = Some(child);
        wait::until("redis to answer", Duration::from_secs(20), || {
            TcpStream::connect(self.address()).is_ok()
        });
    }

    /// Its address.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// `redis://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Hits the process.
    #[track_caller]
    pub(crate) fn blow(&mut self, blow: Blow) {
        let signal = match blow {
            Blow::Kill => rustix::process::Signal::KILL,
            Blow::Stop => rustix::process::Signal::STOP,
            Blow::Continue => rustix::process::Signal::CONT,
        };
        let child = self.child.as_mut().expect("a running redis");
        let pid = i32::try_from(child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.expect("a process id"), signal).expect("the signal");
        if blow == Blow::Kill {
            drop(child.wait());
            self.child = None;
        }
    }

    /// A connection for commands.
    #[track_caller]
    pub(crate) fn connect(&self) -> Conversation {
        Conversation::open(self.address())
    }

    /// One command on a connection of its own.
    #[track_caller]
    pub(crate) fn command(&self, words: &[&str]) -> Reply {
        self.connect().command(words)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// What Redis answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A simple string, a bulk string, or an error with its sign.
    Text(String),
    /// A number.
    Number(i64),
    /// Nothing.
    Nil,
    /// An array.
    Array(Vec<Reply>),
}

impl Reply {
    /// The text of a text.
    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            other => panic!("not a text: {other:?}"),
        }
    }

    /// The texts of an array of texts, sorted.
    #[track_caller]
    pub(crate) fn texts(&self) -> Vec<String> {
        let Self::Array(replies) = self else {
            panic!("not an array: {self:?}")
        };
        let mut texts: Vec<String> = replies.iter().map(|one| one.text().to_owned()).collect();
        texts.sort();
        texts
    }
}

/// A connection that speaks RESP2 by hand.
#[derive(Debug)]
pub(crate) struct Conversation {
    stream: BufReader<TcpStream>,
}

impl Conversation {
    /// Connects.
    #[track_caller]
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("connect to redis");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// Sends a command and reads its answer.
    #[track_caller]
    pub(crate) fn command(&mut self, words: &[&str]) -> Reply {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.send(&words);
        self.read()
    }

    /// Sends a command.
    #[track_caller]
    pub(crate) fn send(&mut self, words: &[&[u8]]) {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            bytes.extend_from_slice(word);
            bytes.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&bytes).expect("send");
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("send");
    }

    /// The payload of the next message of a subscription.
    #[track_caller]
    pub(crate) fn published(&mut self) -> Vec<u8> {
        assert_eq!(self.line(), "*3", "not a message");
        for _ in 0..2 {
            self.bulk();
        }
        self.bulk()
    }

    /// A bulk string with its length.
    #[track_caller]
    fn bulk(&mut self) -> Vec<u8> {
        let line = self.line();
        let length = line
            .strip_prefix('$')
            .and_then(|length| length.parse().ok());
        self.bytes(length.expect("a bulk string"))
    }

    #[track_caller]
    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length + 2];
        self.stream.read_exact(&mut bytes).expect("a bulk string");
        bytes.truncate(length);
        bytes
    }

    /// Reads one answer.
    #[track_caller]
    pub(crate) fn read(&mut self) -> Reply {
        let line = self.line();
        let (sign, rest) = line.split_at(1);
        match sign {
            "+" => Reply::Text(rest.to_owned()),
            "-" => Reply::Text(line),
            ":" => Reply::Number(rest.parse().expect("a number")),
            "$" => {
                let Ok(length) = rest.parse::<usize>() else {
                    return Reply::Nil;
                };
                Reply::Text(String::from_utf8_lossy(&self.bytes(length)).into_owned())
            }
            "*" => {
                let count = rest.parse::<usize>().unwrap_or(0);
                Reply::Array((0..count).map(|_| self.read()).collect())
            }
            _ => panic!("not RESP: {line}"),
        }
    }

    /// Reads a line, without its end.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("a line of RESP");
        line.trim_end_matches(['\r', '\n']).to_owned()
    }
}
