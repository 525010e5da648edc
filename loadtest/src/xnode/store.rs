//! A private Redis, alone or with a replica and three Sentinels: started, hit, started again, and gone at the end.

use crate::clock::{SECOND, until};
use crate::server::{Ready, Server, Spec};
use rustix::process::Signal;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

/// Sentinels of a failover.
const SENTINELS: usize = 3;
/// What Sentinel calls its master.
const MASTER: &str = "bridge";
/// A Redis answers a command within this time or not at all.
const TIMEOUT: Duration = Duration::from_secs(2);
/// A replica, and Sentinels, know each other within this time.
const ACQUAINTED: u64 = 20 * SECOND;
/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// The Redis that the nodes share.
#[derive(Debug)]
pub(super) struct Store {
    /// Nothing between a kill and the start after it.
    master: Option<Server>,
    spec: Spec,
    port: u16,
    replica: Option<Server>,
    sentinels: Vec<Server>,
}

impl Store {
    /// One Redis.
    /// Errors: There is none on this machine, or it does not start.
    pub(super) fn start(home: Home<'_>) -> Result<Self, String> {
        let spec = home.redis("redis", "")?;
        let master = Server::start(&spec)?;
        Ok(Self {
            port: master.port,
            master: Some(master),
            spec,
            replica: None,
            sentinels: Vec::new(),
        })
    }

    /// A master, a replica, and three Sentinels that take it for dead after 500 ms.
    /// Errors: As [`Store::start`], or they do not find each other.
    pub(super) fn start_watched(home: Home<'_>) -> Result<Self, String> {
        let mut store = Self::start(home)?;
        let of = format!("--replicaof 127.0.0.1 {}", store.port);
        store.replica = Some(Server::start(&home.redis("replica", &of)?)?);
        store.until("the replica to follow", |store| {
            let info = store.replica_says(&["INFO", "replication"]);
            info.contains("master_link_status:up")
        })?;
        for number in 0..SENTINELS {
            let sentinel = home.sentinel(number, store.port)?;
            store.sentinels.push(Server::start(&sentinel)?);
        }
        store.until("the Sentinels to know each other", |store| {
            store.sentinels.iter().all(|sentinel| {
                let info = ask(sentinel.port, &["INFO", "sentinel"]);
                info.is_ok_and(|info| info.contains("slaves=1,sentinels=3"))
            })
        })?;
        Ok(store)
    }

    /// What the nodes are told.
    pub(super) fn url(&self) -> String {
        let mut ports = self.sentinels.iter().map(|sentinel| sentinel.port);
        let Some(first) = ports.next() else {
            return format!("redis://127.0.0.1:{}", self.port);
        };
        let nodes: String = ports
            .map(|port| format!("&node=127.0.0.1:{port}"))
            .collect();
        format!("redis-sentinel://127.0.0.1:{first}?sentinelServiceName={MASTER}{nodes}")
    }

    /// Where the master listens.
    pub(super) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// The master's process, while it lives.
    pub(super) fn pid(&self) -> Option<u32> {
        self.master.as_ref().map(Server::pid)
    }

    /// SIGKILL; nobody else may take the port meanwhile, which is the system's business.
    pub(super) fn kill(&mut self) {
        if let Some(master) = self.master.take() {
            master.signal(Signal::KILL);
        }
    }

    /// Starts the master again at its address and waits until it takes connections.
    /// Errors: It does not start.
    pub(super) fn restart(&mut self) -> Result<(), String> {
        self.master = Some(Server::start_on(&self.spec, self.port, 0)?);
        Ok(())
    }

    /// SIGSTOP, or SIGCONT.
    pub(super) fn hold(&self, stands: bool) {
        let signal = if stands { Signal::STOP } else { Signal::CONT };
        if let Some(master) = &self.master {
            master.signal(signal);
        }
    }

    /// Waits until the replica is a master.
    /// Errors: It does not become one.
    pub(super) fn until_promoted(&self) -> Result<(), String> {
        self.until("the replica to become the master", |store| {
            store.replica_says(&["ROLE"]).contains("master\r\n")
        })
    }

    /// What it says about itself; empty if it does not answer.
    pub(super) fn version(&self) -> String {
        let info = ask(self.port, &["INFO", "server"]).unwrap_or_default();
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix("redis_version:"));
        line.map_or_else(String::new, |version| format!("redis {}", version.trim()))
    }

    fn replica_says(&self, words: &[&str]) -> String {
        let replica = self.replica.as_ref();
        replica.map_or_else(String::new, |replica| {
            ask(replica.port, words).unwrap_or_default()
        })
    }

    fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) -> Result<(), String> {
        match until(ACQUAINTED, LOOK, || is_so(self)) {
            true => Ok(()),
            false => Err(format!("waited in vain for {what}")),
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // A process that stands cannot end.
        self.hold(false);
    }
}

/// Where this run's servers live, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Home<'a> {
    pub(super) folder: &'a Path,
    pub(super) appendonly: bool,
    pub(super) core: Option<usize>,
}

impl Home<'_> {
    fn redis(self, name: &str, more: &str) -> Result<Spec, String> {
        let appendonly = if self.appendonly { "yes" } else { "no" };
        let command = format!(
            "redis-server --port {{port}} --bind 127.0.0.1 --save '' --appendonly {appendonly} --dir . \
             --repl-diskless-sync-delay 0 {more}"
        );
        self.spec(name, command)
    }

    fn sentinel(self, number: usize, master: u16) -> Result<Spec, String> {
        let name = format!("sentinel-{number}");
        let text = format!(
            "bind 127.0.0.1\ndir .\n\
             sentinel monitor {MASTER} 127.0.0.1 {master} 2\n\
             sentinel down-after-milliseconds {MASTER} 500\n\
             sentinel failover-timeout {MASTER} 2000\n"
        );
        let command = "redis-server sentinel.conf --sentinel --port {port}".to_owned();
        let spec = self.spec(&name, command)?;
        let file = self.folder.join(name).join("sentinel.conf");
        std::fs::write(file, text).map_err(|error| error.to_string())?;
        Ok(spec)
    }

    /// A server in a folder of its own.
    fn spec(self, name: &str, command: String) -> Result<Spec, String> {
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        Ok(Spec {
            command,
            ready: Ready::Tcp,
            core: self.core,
            log: Some(folder.join("log.txt")),
            directory: Some(folder),
            ..Spec::default()
        })
    }
}

/// A command in Redis' protocol.
pub(super) fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// One command to a Redis on this machine; the bytes of its answer, of an array only what comes at once.
fn ask(port: u16, words: &[&str]) -> std::io::Result<String> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    stream.write_all(&command(&words))?;
    let mut reader = BufReader::with_capacity(64 * 1024, stream);
    let bytes = reader.fill_buf()?;
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_an_array_of_strings_with_lengths() {
        let bytes = command(&[b"PUBLISH", b"a", b"\r\n"]);
        assert_eq!(bytes, b"*3\r\n$7\r\nPUBLISH\r\n$1\r\na\r\n$2\r\n\r\n\r\n");
    }
}
