//! What the log has been told of the site.

use super::fault::VetFault;
use crate::clock::Clock;
use crate::redis::log_limiter::FaultLines;
use parking_lot::Mutex;

/// How the site does.
#[derive(Debug)]
pub(super) struct VettingHealth {
    clock: Clock,
    said: Mutex<SaidOfVetting>,
}

#[derive(Debug, Default)]
struct SaidOfVetting {
    /// Why the last message was not vetted; `None` if it was.
    fault: Option<VetFault>,
    lines: FaultLines<VetFault>,
}

impl VettingHealth {
    pub(super) fn new() -> Self {
        Self {
            clock: Clock::start(),
            said: Mutex::default(),
        }
    }

    /// Tells the log when messages begin not to be vetted, or for another reason, and when they are again.
    pub(super) fn note(&self, fault: Option<VetFault>) {
        let mut said = self.said.lock();
        said.fault = fault;
        if !said.lines.is_due(fault, self.clock.now()) {
            return;
        }
        drop(said);
        match fault {
            Some(fault) => {
                tracing::warn!(fault = fault.label(), "the site has not vetted a message");
            }
            None => tracing::info!("the site vets messages again"),
        }
    }

    /// Why messages are not vetted for now.
    pub(super) fn degraded(&self) -> Option<String> {
        let fault = self.said.lock().fault?;
        Some(format!("the site does not vet messages: {}", fault.label()))
    }
}
