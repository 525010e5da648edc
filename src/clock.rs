//! Monotonic time as an argument.
//!
//! The data plane, the broker and the queues never ask what time it is: they are handed a
//! [`Millis`]. Only the loops at the edge own a [`Clock`] and read it once per turn, so tests and
//! simulations drive the real code with any time they like, and a jump of the wall clock changes
//! nothing but the text of timestamps.

use std::ops::{Add, Sub};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[expect(
    clippy::disallowed_types,
    reason = "the one place that reads the monotonic clock"
)]
type Monotonic = std::time::Instant;

/// Milliseconds on the process's monotonic clock, counted from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// The end of time: a deadline that never comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// Time since `earlier`, zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Millis {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
        )
    }
}

impl Sub<Duration> for Millis {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
        )
    }
}

/// Where a simulation's wall clock begins, in seconds since the Unix epoch.
const SIMULATED_START: u64 = 1_000_000_000;

/// The source of [`Millis`]. Cheap to copy; all copies of one process agree.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    source: TimeSource,
}

#[derive(Clone, Copy, Debug)]
enum TimeSource {
    /// The system's, from this moment on.
    System(Monotonic),
    /// A simulation's: how long it has run.
    Simulated(fn() -> Duration),
}

impl Clock {
    /// A clock that starts at zero.
    #[must_use]
    pub fn start() -> Self {
        Self {
            source: TimeSource::System(Monotonic::now()),
        }
    }

    /// The clock of a simulation that has run for what `elapsed` says; its wall clock began in 2001
    /// and never jumps.
    #[must_use]
    pub fn simulated(elapsed: fn() -> Duration) -> Self {
        Self {
            source: TimeSource::Simulated(elapsed),
        }
    }

    /// Milliseconds since [`Clock::start`].
    #[must_use]
    pub fn now(&self) -> Millis {
        let elapsed = match self.source {
            TimeSource::System(start) => start.elapsed(),
            TimeSource::Simulated(elapsed) => elapsed(),
        };
        Millis(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
    }

    /// As [`wall`], by the clock of the simulation in one.
    #[must_use]
    pub fn wall(&self) -> (u64, u32) {
        match self.source {
            TimeSource::System(_) => wall(),
            TimeSource::Simulated(elapsed) => {
                let elapsed = elapsed();
                (SIMULATED_START + elapsed.as_secs(), elapsed.subsec_micros())
            }
        }
    }
}

/// A time span that may change while others go by it.
#[derive(Clone, Debug)]
pub struct SharedDuration(Arc<AtomicU64>);

impl SharedDuration {
    /// This span, in whole milliseconds.
    #[must_use]
    pub fn new(span: Duration) -> Self {
        let shared = Self(Arc::default());
        shared.set(span);
        shared
    }

    /// The span by now.
    #[must_use]
    pub fn get(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }

    /// Changes it for everybody.
    pub fn set(&self, span: Duration) {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        self.0.store(millis, Ordering::Relaxed);
    }
}

/// Wall-clock time for timestamps: whole seconds since the Unix epoch and the microseconds of that
/// second. Zero before 1970.
#[must_use]
pub fn wall() -> (u64, u32) {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    (since.as_secs(), since.subsec_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_saturate_instead_of_wrapping() {
        assert_eq!(Millis(5) - Duration::from_secs(1), Millis(0));
        assert_eq!(Millis::NEVER + Duration::from_secs(1), Millis::NEVER);
        assert_eq!(Millis(1).since(Millis(9)), Duration::ZERO);
    }
}
