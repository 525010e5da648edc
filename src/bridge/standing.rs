//! How one Redis stands: down, or up. Shared by all that hold a way open over one, for as long as
//! the node lives.
//!
//! A change of the state is told once, however often it is tried in between. While it is down, the
//! pauses between two attempts grow from 20 ms to `bridge.reconnect_max`.

use super::deployment::{Deployment, Failure};
use super::rooms::Rooms;
use crate::clock::{Clock, Millis};
use crate::metrics::{Gauges, Metrics, Seconds};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// The first pause after a session broke; doubled each time up to `bridge.reconnect_max`.
const PAUSE_MIN: Duration = Duration::from_millis(20);

/// A session that held for this long begins the pauses anew when it breaks.
const STABLE: Duration = Duration::from_secs(1);

/// Labels of metrics: the place in the list of addresses. Further ones share one.
const LABELS: [&str; crate::config::bridge::LINKS_MAX] = ["0", "1", "2", "3", "4", "5", "6", "7"];

/// The label of the Redis at a place of its list.
pub(super) fn label(index: usize) -> &'static str {
    LABELS.get(index).copied().unwrap_or("more")
}

/// What is known of the way over one Redis.
#[derive(Clone, Debug)]
pub struct Report {
    /// The address, without its password.
    pub address: String,
    /// Does a canary come back?
    pub is_up: bool,
    /// Since when.
    pub since: Millis,
    /// Why it is down; empty before the first attempt, and while it is up.
    pub reason: String,
    /// What the last canary took.
    pub canary: Option<Duration>,
    /// Rooms wanted.
    pub rooms: usize,
    /// Of these, confirmed by Redis.
    pub confirmed: usize,
    /// Publications and marks waiting for an answer.
    pub outbox: usize,
}

#[derive(Debug)]
struct State {
    is_up: bool,
    since: Millis,
    reason: String,
    canary: Option<Duration>,
}

/// Down or up, and the canaries that decide it.
#[derive(Debug)]
pub(super) struct Standing {
    state: Mutex<State>,
    clock: Clock,
    up: Gauges,
    took: Seconds,
    /// What the series of this Redis are labelled with.
    series: [(&'static str, &'static str); 1],
    canaries: AtomicU64,
    /// The last canary that came back.
    seen: watch::Sender<u64>,
}

impl Standing {
    /// Down, and never tried. `up` and `took` are the families of its gauges.
    pub(super) fn new(
        series: (&'static str, &'static str),
        up: &Gauges,
        took: &Seconds,
        clock: Clock,
    ) -> Self {
        let series = [series];
        drop(up.get_or_create(&series));
        Self {
            state: Mutex::new(State {
                is_up: false,
                since: clock.now(),
                reason: String::new(),
                canary: None,
            }),
            clock,
            up: up.clone(),
            took: took.clone(),
            series,
            canaries: AtomicU64::new(0),
            seen: watch::Sender::new(0),
        }
    }

    /// It is up; how long it was not.
    pub(super) fn rise(&self) -> Duration {
        let mut state = self.state.lock();
        let now = self.clock.now();
        let down = now.since(state.since);
        state.is_up = true;
        state.since = now;
        state.reason.clear();
        self.up.get_or_create(&self.series).set(1);
        down
    }

    /// It is down; true if that is news.
    pub(super) fn fall(&self, failure: &Failure) -> bool {
        let mut state = self.state.lock();
        let is_news = state.is_up || state.reason.is_empty();
        state.reason = failure.to_string();
        if is_news {
            state.is_up = false;
            state.since = self.clock.now();
            self.up.get_or_create(&self.series).set(0);
        }
        is_news
    }

    /// The number of the next canary, and how to hear of those that come back.
    pub(super) fn next_canary(&self) -> (u64, watch::Receiver<u64>) {
        let number = self.canaries.fetch_add(1, Ordering::Relaxed) + 1;
        (number, self.seen.subscribe())
    }

    /// This one came back.
    pub(super) fn see_canary(&self, number: u64) {
        self.seen.send_replace(number);
    }

    /// And it took that long.
    pub(super) fn canary_took(&self, took: Duration) {
        self.state.lock().canary = Some(took);
        self.took
            .get_or_create(&self.series)
            .set(took.as_secs_f64());
    }

    /// What is known, with what its owner knows.
    pub(super) fn report(&self, deployment: &Deployment, rooms: &Rooms, outbox: usize) -> Report {
        let (rooms, confirmed) = rooms.counts();
        let state = self.state.lock();
        Report {
            address: deployment.shown.clone(),
            is_up: state.is_up,
            since: state.since,
            reason: state.reason.clone(),
            canary: state.canary,
            rooms,
            confirmed,
            outbox,
        }
    }
}

/// The pauses between two attempts: growing, and different from node to node, so that a Redis that
/// comes back is not met by all at once.
#[derive(Debug)]
pub(super) struct Pauses {
    next: Duration,
    max: Duration,
}

impl Pauses {
    pub(super) const fn new(max: Duration) -> Self {
        Self {
            next: PAUSE_MIN,
            max,
        }
    }

    /// Waits, after a session that `held` for so long; false if the node goes down meanwhile.
    pub(super) async fn pause(&mut self, held: Duration, stop: &mut watch::Receiver<bool>) -> bool {
        if held >= STABLE {
            self.next = PAUSE_MIN;
        }
        let share = super::random() as f64 / u64::MAX as f64;
        let jittered = self.next.mul_f64(0.5 + share / 2.0);
        self.next = (self.next * 2).min(self.max);
        tokio::select! {
            () = tokio::time::sleep(jittered) => true,
            () = told(stop) => false,
        }
    }
}

/// When the node's end must be over: [`Millis::NEVER`] until the node knows.
#[derive(Debug)]
pub(super) struct Deadline(AtomicU64);

impl Deadline {
    pub(super) const fn new() -> Self {
        Self(AtomicU64::new(Millis::NEVER.0))
    }

    /// To be called before the node says stop.
    pub(super) fn set(&self, deadline: Millis) {
        self.0.store(deadline.0, Ordering::Relaxed);
    }

    /// What is left of it, but not more than `most`.
    pub(super) fn left(&self, clock: Clock, most: Duration) -> Duration {
        let deadline = Millis(self.0.load(Ordering::Relaxed));
        deadline.since(clock.now()).min(most)
    }
}

/// Done when the node goes down.
pub(super) async fn told(stop: &mut watch::Receiver<bool>) {
    // The sender lives as long as the node: its end means the same.
    drop(stop.wait_for(|stop| *stop).await);
}

/// Runs what `begin` gives as a task of its own, and anew after each panic in it, since rooms' way
/// must not depend on it. `mourn` hears of each before the next one begins, `pause` later.
pub(super) async fn outlive<R>(
    metrics: &Metrics,
    pause: Duration,
    mut begin: impl FnMut() -> R,
    mut mourn: impl FnMut(),
) where
    R: Future<Output = ()> + Send + 'static,
{
    loop {
        match tokio::spawn(begin()).await {
            Err(ended) if ended.is_panic() => {}
            _ => return,
        }
        metrics.panics.inc();
        mourn();
        tokio::time::sleep(pause).await;
    }
}
