//! Which events are too old, by a clock that may be wrong.

use crate::clock::Millis;

/// How much faster than time the cutoff moves at most.
const PACE: u64 = 60;

/// Up to when events are too old: `archive.expiry` before the time of the wall clock, at last.
///
/// A clock that is ahead by a week would have everything removed that nobody has read yet. So the cutoff begins at the
/// oldest event, and moves at no more than [`PACE`] times the pace of a clock that nobody sets: a minute with a wrong clock
/// costs the oldest hour, and a node that has been away for a week has removed what is too old within three hours.
/// `archive.bytes_max` holds all the same.
#[derive(Debug, Default)]
pub(super) struct Cutoff {
    /// In microseconds since the Unix epoch, and when that was.
    last: Option<(u64, Millis)>,
}

impl Cutoff {
    /// The cutoff at `now`, if it is `wanted` there and the oldest event was accepted at `oldest` (both in microseconds since
    /// the Unix epoch).
    pub(super) fn advance(&mut self, wanted: u64, oldest: Option<u64>, now: Millis) -> u64 {
        let reached = match (self.last, oldest) {
            (Some((last, then)), Some(_)) => {
                let passed = u64::try_from(now.since(then).as_micros()).unwrap_or(u64::MAX);
                last.saturating_add(passed.saturating_mul(PACE))
            }
            (None, Some(oldest)) => oldest,
            // Nothing can be lost.
            (_, None) => wanted,
        };
        let cutoff = reached.min(wanted);
        self.last = Some((cutoff, now));
        cutoff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;
    const DAY: u64 = 24 * 3600 * SECOND;

    /// The cutoff that is reached when it is `wanted` for so many seconds, a step each second.
    fn after(seconds: u64, wanted: u64, oldest: u64) -> u64 {
        let mut cutoff = Cutoff::default();
        let steps =
            (0..=seconds).map(|second| cutoff.advance(wanted, Some(oldest), Millis(second * 1000)));
        steps.last().unwrap_or_default()
    }

    #[test]
    fn while_the_clock_is_right_the_cutoff_is_what_it_says() {
        let mut cutoff = Cutoff::default();
        for second in 0..100 {
            let wanted = 500 * DAY + second * SECOND;
            let oldest = (second % 3 > 0).then_some(wanted - 1);
            assert_eq!(
                cutoff.advance(wanted, oldest, Millis(second * 1000)),
                wanted
            );
        }
    }

    #[test]
    fn a_minute_with_a_clock_that_is_ahead_costs_an_hour_at_most() {
        let (oldest, ahead) = (500 * DAY, 600 * DAY);
        assert_eq!(after(0, ahead, oldest), oldest);
        assert_eq!(after(60, ahead, oldest), oldest + 3600 * SECOND);
    }

    #[test]
    fn who_was_away_for_a_week_has_caught_up_within_three_hours() {
        let (oldest, wanted) = (500 * DAY, 507 * DAY);
        assert_eq!(after(3 * 3600, wanted, oldest), wanted);
    }

    #[test]
    fn where_nothing_is_left_nothing_is_waited_for() {
        let mut cutoff = Cutoff::default();
        assert_eq!(cutoff.advance(9 * DAY, Some(DAY), Millis(0)), DAY);
        assert_eq!(cutoff.advance(9 * DAY, None, Millis(1)), 9 * DAY);
    }

    #[test]
    fn a_clock_that_is_set_back_takes_the_cutoff_back() {
        let mut cutoff = Cutoff::default();
        assert_eq!(cutoff.advance(9 * DAY, None, Millis(0)), 9 * DAY);
        assert_eq!(cutoff.advance(DAY, Some(2 * DAY), Millis(1)), DAY);
        assert_eq!(
            cutoff.advance(9 * DAY, Some(2 * DAY), Millis(2)),
            DAY + 60_000
        );
    }
}
