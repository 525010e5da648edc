//! Monotonic time of one run, in nanoseconds since its start. The only place that asks the system for it.

#![expect(
    clippy::disallowed_types,
    reason = "the generator measures real time; everything else takes it as an argument"
)]

use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

/// Nanoseconds in a second.
pub(crate) const SECOND: u64 = 1_000_000_000;
/// Nanoseconds in a millisecond.
pub(crate) const MILLISECOND: u64 = 1_000_000;

/// The clock of one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts at zero.
    pub(crate) fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// The zero of this clock on the clock that all processes of the machine share.
    pub(crate) fn epoch(&self) -> u64 {
        shared().saturating_sub(self.now())
    }

    /// A clock whose zero is another process's: what one of them writes into a message, the other can subtract.
    pub(crate) fn since(epoch: u64) -> Self {
        let now = Instant::now();
        let past = Duration::from_nanos(shared().saturating_sub(epoch));
        Self {
            start: now.checked_sub(past).unwrap_or(now),
        }
    }

    /// Nanoseconds since the start.
    pub(crate) fn now(&self) -> u64 {
        nanos(self.start.elapsed())
    }
}

/// Nanoseconds of the machine's monotonic clock.
fn shared() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * SECOND + time.tv_nsec as u64
}

/// A duration in nanoseconds, at most 584 years.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Nanoseconds as seconds.
pub(crate) fn seconds(nanos: u64) -> f64 {
    nanos as f64 / SECOND as f64
}

/// Waits; only for what has no event to wait for, such as another program's start.
#[expect(
    clippy::disallowed_methods,
    reason = "no connection is served by the thread that looks after other programs"
)]
pub(crate) fn pause(length: Duration) {
    std::thread::sleep(length);
}

/// Looks until something is so; false if that takes longer than so many nanoseconds.
pub(crate) fn until(longest: u64, look: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let clock = Clock::start();
    while !is_so() {
        if clock.now() > longest {
            return false;
        }
        pause(look);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_clocks_with_one_epoch_tell_the_same_time() {
        let first = Clock::start();
        pause(Duration::from_millis(2));
        let second = Clock::since(first.epoch());
        let (a, b, c) = (first.now(), second.now(), first.now());
        let tolerance = MILLISECOND;
        assert!(a <= b + tolerance && b <= c + tolerance, "{a} {b} {c}");
    }
}
