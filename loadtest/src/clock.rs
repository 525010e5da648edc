//! Monotonic time of one run, in nanoseconds since its start. The only place that asks the system for it.

#![expect(
    clippy::disallowed_types,
    reason = "the generator measures real time; everything else takes it as an argument"
)]

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

    /// Nanoseconds since the start.
    pub(crate) fn now(&self) -> u64 {
        nanos(self.start.elapsed())
    }
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
