//! A deploy in the middle of a run: the server is replaced while the people are connected.

use crate::clock::{Clock, SECOND};
use crate::report::FAILED;
use crate::server::{Server, Spec, shell};
use std::thread::JoinHandle;

/// A drain may take this long before it counts as a fault.
const DRAIN_MAX: u64 = 60 * SECOND;

/// A server of ours that is ended and started anew.
#[derive(Debug)]
pub(crate) struct Managed {
    pub(crate) spec: Spec,
    pub(crate) server: Server,
}

/// How the server is restarted.
#[derive(Debug)]
pub(crate) enum Restart {
    /// By a command of the user's.
    Command(String),
    /// By us.
    Managed(Box<Managed>),
}

/// How far it has come.
#[derive(Debug)]
pub(super) enum Restarting {
    Waiting(Restart),
    Running(JoinHandle<(Option<Server>, String)>),
    /// The new server lives as long as this.
    Done {
        _server: Option<Server>,
    },
}

impl Restart {
    /// Does it; the new server, and what happened.
    pub(super) fn act(self) -> (Option<Server>, String) {
        let clock = Clock::start();
        let passed = || clock.now() as f64 / 1e9;
        match self {
            Self::Command(line) => {
                let text = match shell(&line, None).status() {
                    Ok(status) if status.success() => {
                        format!("restart command: done after {:.1} s", passed())
                    }
                    Ok(status) => format!("{FAILED}{line}: {status}"),
                    Err(error) => format!("{FAILED}{line}: {error}"),
                };
                (None, text)
            }
            Self::Managed(managed) => {
                let Managed { spec, mut server } = *managed;
                let (port, admin) = (server.port, server.admin);
                let drained = server.stop(DRAIN_MAX);
                drop(server);
                let ended = passed();
                let how = if drained { "ended" } else { "had to be killed" };
                match Server::start_on(&spec, port, admin) {
                    Ok(server) => {
                        let text = format!(
                            "the server {how} after {ended:.1} s, the new one was ready after {:.1} s",
                            passed()
                        );
                        (Some(server), text)
                    }
                    Err(why) => (None, format!("{FAILED}the new server did not start: {why}")),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_command_that_fails_is_said() {
        let (server, text) = Restart::Command("true".to_owned()).act();
        assert!(
            server.is_none() && text.starts_with("restart command: done"),
            "{text}"
        );
        let (_, text) = Restart::Command("exit 3".to_owned()).act();
        assert!(
            text.starts_with(FAILED) && text.contains("exit 3"),
            "{text}"
        );
    }

    #[test]
    fn a_server_that_does_not_come_back_is_said() {
        let folder = tempfile::tempdir().unwrap();
        // The server runs once; the second start finds its trace and ends.
        let spec = Spec {
            command: "sh -c 'mkdir once && exec sleep 60'".to_owned(),
            directory: Some(folder.path().to_owned()),
            ready: crate::server::Ready::Tcp,
            ..Spec::default()
        };
        // Below those that the kernel chooses: no other test gets it, and answers there, once it is free.
        let mut ports = 20_000..30_000;
        let bound = ports.find_map(|port| std::net::TcpListener::bind(("127.0.0.1", port)).ok());
        let listener = bound.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Server::spawn(&spec, port, 1).unwrap();
        while !folder.path().join("once").exists() {
            std::thread::yield_now();
        }
        // Nobody answers on the port any more, so only the process can tell.
        drop(listener);
        let managed = Managed { spec, server };
        let (server, text) = Restart::Managed(Box::new(managed)).act();
        assert!(server.is_none() && text.starts_with(FAILED), "{text}");
    }
}
