//! What is worth a log line, but not one for each message.

use crate::clock::Millis;
use std::time::Duration;

/// Lines of one kind: by default at most one a second.
#[derive(Debug)]
pub(crate) struct LogLimiter {
    every: Duration,
    last: Option<Millis>,
}

impl Default for LogLimiter {
    fn default() -> Self {
        Self::every(Duration::from_secs(1))
    }
}

impl LogLimiter {
    /// At most one in this time.
    pub(crate) const fn every(every: Duration) -> Self {
        Self { every, last: None }
    }

    /// May there be a line at `now`? Then it counts as written.
    pub(crate) fn is_due(&mut self, now: Millis) -> bool {
        if self.last.is_some_and(|last| now.since(last) < self.every) {
            return false;
        }
        self.last = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_line_a_second() {
        let mut limiter = LogLimiter::default();
        assert!(limiter.is_due(Millis(5)));
        assert!(!limiter.is_due(Millis(1_004)));
        assert!(limiter.is_due(Millis(1_005)));
    }
}
