//! What is worth a log line, but not one for each message.

use crate::clock::Millis;
use std::time::Duration;

/// Time between two lines of one kind.
const EVERY: Duration = Duration::from_secs(1);

/// Lines of one kind: at most one a second.
#[derive(Debug, Default)]
pub(super) struct Notices {
    last: Option<Millis>,
}

impl Notices {
    /// May there be a line at `now`? Then it counts as written.
    pub(super) fn is_due(&mut self, now: Millis) -> bool {
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
        let mut notices = Notices::default();
        assert!(notices.is_due(Millis(5)));
        assert!(!notices.is_due(Millis(1_004)));
        assert!(notices.is_due(Millis(1_005)));
    }
}
