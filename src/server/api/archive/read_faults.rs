//! What the log is told of an archive that cannot be read: not of each question that asks for it in vain.

use crate::clock::Clock;
use crate::redis::log_limiter::LogLimiter;
use parking_lot::Mutex;
use std::fmt::Display;

/// Of one archive.
#[derive(Debug)]
pub(super) struct ReadFaults {
    clock: Clock,
    lines: Mutex<LogLimiter>,
}

impl ReadFaults {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            lines: Mutex::default(),
        }
    }

    /// The archive could not be read, for this reason.
    pub(super) fn note(&self, fault: &dyn Display) {
        if self.lines.lock().is_due(self.clock.now()) {
            tracing::warn!(%fault, "the archive cannot be read");
        }
    }
}
