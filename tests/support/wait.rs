//! Waiting for a condition, with a deadline and a name; nothing here sleeps for a guess.

use std::thread;
use std::time::Duration;
use tokio::time::Instant;

/// The moment after which a wait has failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// A deadline this far away.
    pub(crate) fn after(duration: Duration) -> Self {
        Self(Instant::now() + duration)
    }

    /// What is left, or `None` when it is over.
    pub(crate) fn left(self) -> Option<Duration> {
        let left = self.0.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }
}

/// A stop-watch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch(Instant);

impl Watch {
    /// Starts now.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// Polls until `condition` holds; panics with `what` when `patience` is over.
#[track_caller]
pub(crate) fn until(what: &str, patience: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Deadline::after(patience);
    while !condition() {
        assert!(
            deadline.left().is_some(),
            "waited {patience:?} in vain: {what}"
        );
        thread::park_timeout(Duration::from_millis(5));
    }
}

/// Lets `duration` pass: only for tests of the passing of time itself (expiry, timeouts).
pub(crate) fn pass(duration: Duration) {
    let deadline = Deadline::after(duration);
    while let Some(left) = deadline.left() {
        thread::park_timeout(left);
    }
}
