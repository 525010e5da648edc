//! What is worth a log line, but not one for each message.
//!
//! | What somebody else can repeat | Warnings at most |
//! |---|---|
//! | A model, a webhook, a view that vets, says who somebody is or what was said before, embeddings, sessions in the site's Redis, the site behind the node: away and there by turns | one a second each, and one when it ends ([`FaultLines`]) |
//! | A business whose questions open its breaker | one in `breaker_pause` |
//! | What comes over Redis and is no envelope, or no message of the layer; a stream or a group's key that is refused; messages that do not reach Django | one a second each |
//! | Nodes with other settings than this one | one when it begins and one when it ends, 3.5 s later at the earliest |
//! | A Redis that comes and goes, or is a server of a Cluster | one for each connection; the pause between two grows |
//! | An archive that cannot be read | one a second; of one of several Redis, or one record, one in ten |
//! | A disk that takes nothing | one in ten seconds |
//! | Documents that are not as they should be; vectors of another length | one a second |
//! | Keys that cannot be fetched | one in `auth.jwt.jwks_interval` |
//! | A proxy that is not believed | one a minute |
//! | Code that panics, a consumer that does not return, a socket that the kernel refuses | one each: it costs its connection or its link, and is a fault of ours, of the program's own consumer, or of the machine |

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

/// Lines about something that works or does not: why it ceased to, at most once a second, and that it works again, if the log
/// has heard that it did not. Who can make it fail and work by turns so writes two lines a second at most, however often that
/// happens; and what fails for longer than a second is said, whatever was said just before.
#[derive(Debug)]
pub(crate) struct FaultLines<F> {
    /// What the log has heard last: the fault, or that there is none.
    told: Option<F>,
    lines: LogLimiter,
}

impl<F> Default for FaultLines<F> {
    fn default() -> Self {
        Self {
            told: None,
            lines: LogLimiter::default(),
        }
    }
}

impl<F: PartialEq> FaultLines<F> {
    /// May there be a line at `now` about this fault, or that there is none? Then it counts as written.
    pub(crate) fn is_due(&mut self, fault: Option<F>, now: Millis) -> bool {
        let is_due = self.told != fault && (fault.is_none() || self.lines.is_due(now));
        if is_due {
            self.told = fault;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_a_line_its_end_is_one_if_it_was_and_by_turns_they_are_two_a_second() {
        // When, the fault, and whether that is a line.
        #[rustfmt::skip]
        let rows = [
            (0, None, false),
            (5, Some('a'), true),
            (6, Some('a'), false),
            (7, None, true),
            (8, Some('a'), false), (9, None, false),
            (10, Some('b'), false), (11, None, false),
            // What lasts is said, also if it is what was said last.
            (12, Some('a'), false), (1_004, Some('a'), false), (1_005, Some('a'), true),
            (1_006, Some('b'), false), (2_005, Some('b'), true),
            (2_006, None, true), (2_007, None, false),
        ];
        let mut lines = FaultLines::default();
        for (at, fault, expected) in rows {
            assert_eq!(lines.is_due(fault, Millis(at)), expected, "{at}: {fault:?}");
        }
        let mut lines = FaultLines::default();
        let faults = (0..10_000).map(|at| (at, (at % 2 == 0).then_some('a')));
        let said = faults.filter(|(at, fault)| lines.is_due(*fault, Millis(*at)));
        assert_eq!(said.count(), 20, "in ten seconds");
    }

    #[test]
    fn there_is_one_line_a_second() {
        let mut limiter = LogLimiter::default();
        assert!(limiter.is_due(Millis(5)));
        assert!(!limiter.is_due(Millis(1_004)));
        assert!(limiter.is_due(Millis(1_005)));
    }
}
