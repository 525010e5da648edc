//! What the log has been told of the site.

use super::fault::VetFault;
use crate::clock::Clock;
use crate::redis::log_limiter::LogLimiter;
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
    /// The log has been told of a fault, and not of its end.
    is_told: bool,
    lines: LogLimiter,
}

impl VettingHealth {
    pub(super) fn new() -> Self {
        Self {
            clock: Clock::start(),
            said: Mutex::default(),
        }
    }

    /// One line when messages begin not to be vetted, or for another reason, at most one a second; and one when they are again,
    /// if the log has the other: who knows how to make the view fail writes no more lines.
    pub(super) fn note(&self, fault: Option<VetFault>) {
        let mut said = self.said.lock();
        if said.fault == fault {
            return;
        }
        said.fault = fault;
        match fault {
            Some(fault) if said.lines.is_due(self.clock.now()) => {
                said.is_told = true;
                tracing::warn!(fault = fault.label(), "the site has not vetted a message");
            }
            None if std::mem::take(&mut said.is_told) => {
                tracing::info!("the site vets messages again");
            }
            _ => {}
        }
    }

    /// Why messages are not vetted for now.
    pub(super) fn degraded(&self) -> Option<String> {
        let fault = self.said.lock().fault?;
        Some(format!("the site does not vet messages: {}", fault.label()))
    }
}
