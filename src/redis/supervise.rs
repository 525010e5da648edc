//! What keeps a way over a Redis alive: pauses between attempts, the node's end, and code that panics.
//!
//! While a Redis is down, the pauses between two attempts grow from 20 ms to `bridge.reconnect_max`.

use super::randomness::Randomness;
use crate::clock::{Clock, Millis};
use crate::metrics::Metrics;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The first pause after a session broke; doubled each time up to `bridge.reconnect_max`.
const PAUSE_MIN: Duration = Duration::from_millis(20);

/// A session that held for this long begins the pauses anew when it breaks.
const STABLE: Duration = Duration::from_secs(1);

/// The pauses between two attempts: growing, and different from node to node, so that a Redis that
/// comes back is not met by all at once.
#[derive(Debug)]
pub(crate) struct Pauses {
    next: Duration,
    max: Duration,
    randomness: Randomness,
}

impl Pauses {
    /// Pauses of 20 ms up to `max`.
    pub(crate) const fn new(max: Duration, randomness: Randomness) -> Self {
        Self {
            next: PAUSE_MIN,
            max,
            randomness,
        }
    }

    /// Waits, after a session that `held` for so long; false if the node goes down meanwhile.
    pub(crate) async fn pause(&mut self, held: Duration, stop: &mut watch::Receiver<bool>) -> bool {
        if held >= STABLE {
            self.next = PAUSE_MIN;
        }
        let share = self.randomness.number() as f64 / u64::MAX as f64;
        let jittered = self.next.mul_f64(0.5 + share / 2.0);
        self.next = (self.next * 2).min(self.max);
        tokio::select! {
            biased;
            () = stopped(stop) => false,
            () = tokio::time::sleep(jittered) => true,
        }
    }
}

/// When the node's end must be over: [`Millis::NEVER`] until the node knows.
#[derive(Debug)]
pub(crate) struct Deadline(AtomicU64);

impl Deadline {
    /// Not known yet.
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(Millis::NEVER.0))
    }

    /// To be called before the node says stop.
    pub(crate) fn set(&self, deadline: Millis) {
        self.0.store(deadline.0, Ordering::Relaxed);
    }

    /// What is left of it, but not more than `most`.
    pub(crate) fn left(&self, clock: Clock, most: Duration) -> Duration {
        let deadline = Millis(self.0.load(Ordering::Relaxed));
        deadline.since(clock.now()).min(most)
    }
}

/// Done when the node goes down.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The sender lives as long as the node: its end means the same.
    drop(stop.wait_for(|stop| *stop).await);
}

/// Runs what `begin` gives as a task of its own, and anew after each panic in it, since rooms' way
/// must not depend on it. `on_panic` hears of each before the next one begins, `pause` later.
pub(crate) async fn supervise<R>(
    metrics: &Metrics,
    pause: Duration,
    mut begin: impl FnMut() -> R,
    mut on_panic: impl FnMut(),
) where
    R: Future<Output = ()> + Send + 'static,
{
    loop {
        match tokio::spawn(begin()).await {
            Err(ended) if ended.is_panic() => {}
            _ => return,
        }
        metrics.panics.inc();
        on_panic();
        tokio::time::sleep(pause).await;
    }
}

/// A task that ends with its owner.
#[derive(Debug)]
pub(crate) struct OwnedTask<T>(pub(crate) JoinHandle<T>);

impl<T> Drop for OwnedTask<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
