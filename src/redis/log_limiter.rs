//! What is worth a log line, but not one for each message.

use crate::clock::Millis;
use std::time::Duration;

/// Time between two lines of one kind.
const EVERY: Duration = Duration::from_secs(1);

/// Lines of one kind: at most one a second.
#[derive(Debug, Default)]
pub(crate) struct LogLimiter {
    last: Option<Millis>,
}

impl LogLimiter {
    /// May there be a line at `now`? Then it counts as written.
    pub(crate) fn is_due(&mut self, now: Millis) -> bool {
        if self.last.is_some_and(|last| now.since(last) < EVERY) {
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
