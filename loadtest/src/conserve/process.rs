//! A program that is killed and started again, at the same address.

use crate::clock::{SECOND, until};
use crate::server::{Server, Spec, free_port, last_words};
use rustix::process::Signal;
use std::time::Duration;

/// What a killed program leaves behind (PostgreSQL's children, a lock) is gone after this long or never.
const START_MAX: u64 = 30 * SECOND;
/// Between two attempts.
const LOOK: Duration = Duration::from_millis(100);

/// One program of the run.
#[derive(Debug)]
pub(super) struct Process {
    /// For the reader of the report.
    pub(super) name: &'static str,
    spec: Spec,
    /// The program listens, and is there once it answers.
    is_server: bool,
    pub(super) port: u16,
    pub(super) admin: u16,
    running: Option<Server>,
}

impl Process {
    /// Starts it on ports of its own.
    /// Errors: Text that says why it is not there.
    pub(super) fn start(name: &'static str, spec: Spec, is_server: bool) -> Result<Self, String> {
        let mut process = Self {
            name,
            spec,
            is_server,
            port: free_port()?,
            admin: free_port()?,
            running: None,
        };
        process.restart()?;
        Ok(process)
    }

    /// SIGKILL to it and its children.
    pub(super) fn kill(&mut self) {
        if let Some(server) = self.running.take() {
            server.signal(Signal::KILL);
        }
    }

    /// Starts it again at its address.
    /// Errors: Text that says why it is not there.
    pub(super) fn restart(&mut self) -> Result<(), String> {
        let mut outcome = Err(String::new());
        until(START_MAX, LOOK, || {
            outcome = match self.is_server {
                true => Server::start_on(&self.spec, self.port, self.admin),
                false => Server::spawn(&self.spec, self.port, self.admin),
            };
            outcome.is_ok()
        });
        self.running = Some(outcome?);
        Ok(())
    }

    /// Why it is not running although nobody killed it.
    pub(super) fn fall(&mut self) -> Option<String> {
        let status = self.running.as_mut()?.ended()?;
        let name = self.name;
        Some(format!("{name} ended, {status}{}", last_words(&self.spec)))
    }
}
