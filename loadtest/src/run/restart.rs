//! A deploy in the middle of a run: the server is replaced while the people are connected.

use super::Run;
use crate::clock::{Clock, SECOND, nanos, pause};
use crate::server::{Server, Spec, shell};
use std::thread::JoinHandle;
use std::time::Duration;

/// A drain may take this long before it counts as a fault.
const DRAIN_MAX: u64 = 60 * SECOND;

/// A server of ours that is ended and started anew.
#[derive(Debug)]
pub(crate) struct Managed {
    pub(crate) spec: Spec,
    pub(crate) server: Server,
    /// Between the end of the old and the start of the new one.
    pub(crate) downtime: Duration,
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
    fn act(self) -> (Option<Server>, String) {
        let clock = Clock::start();
        let passed = || clock.now() as f64 / 1e9;
        match self {
            Self::Command(line) => {
                let said = match shell(&line, None).status() {
                    Ok(status) if status.success() => "done".to_owned(),
                    Ok(status) => format!("FAILED, {status}"),
                    Err(error) => format!("FAILED, {error}"),
                };
                (
                    None,
                    format!("restart command: {said} after {:.1} s", passed()),
                )
            }
            Self::Managed(managed) => {
                let Managed {
                    spec,
                    mut server,
                    downtime,
                } = *managed;
                let (port, admin) = (server.port, server.admin);
                let drained = server.stop(DRAIN_MAX);
                drop(server);
                let ended = passed();
                pause(downtime);
                let how = if drained { "ended" } else { "had to be killed" };
                match Server::start_on(&spec, port, admin) {
                    Ok(server) => {
                        let text = format!(
                            "the server {how} after {ended:.1} s, the new one was ready after {:.1} s",
                            passed()
                        );
                        (Some(server), text)
                    }
                    Err(why) => (None, format!("the new server did not start: {why}")),
                }
            }
        }
    }
}

impl Run {
    /// Begins the restart when its time has come.
    pub(super) fn restart_if_due(&mut self, elapsed: u64) {
        let due = self.plan.restart.is_some_and(|at| elapsed >= nanos(at));
        if !due {
            return;
        }
        if let Some(Restarting::Waiting(_)) = &self.restarting
            && let Some(Restarting::Waiting(restart)) = self.restarting.take()
        {
            let handle = std::thread::spawn(move || restart.act());
            self.restarting = Some(Restarting::Running(handle));
        }
    }

    /// Waits for it and notes what happened; the new server lives as long as the run.
    pub(super) fn end_of_restart(&mut self) {
        let Some(Restarting::Running(handle)) = self.restarting.take() else {
            return;
        };
        if let Ok((server, text)) = handle.join() {
            self.notes.push(text);
            self.restarting = Some(Restarting::Done { _server: server });
        }
    }
}
