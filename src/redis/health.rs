//! How one Redis is: down, or up. Shared by all that hold a way open over one, for as long as the
//! node lives. A change of the state is told once, however often it is tried in between.

use super::deployment::Deployment;
use super::failure::LinkFailure;
use super::subscriptions::Subscriptions;
use crate::clock::{Clock, Millis};
use crate::metrics::{Gauges, Seconds};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Labels of metrics: the place in the list of addresses. Further ones share one.
const LABELS: [&str; crate::config::bridge::LINKS_MAX] = ["0", "1", "2", "3", "4", "5", "6", "7"];

/// Canaries sent before the way is given up: fred throws arrivals away under a flood, and the canary
/// may be among them.
const TRIES: usize = 2;

/// The name of the Redis at a place of its list (`bridge.urls`, `channels.hosts`), for people: as the configuration's own
/// errors count, and as the label of its metrics does.
pub(crate) fn name(list: &str, index: usize) -> String {
    format!("{list}[{index}]")
}

/// The label of the Redis at a place of its list.
pub(crate) fn label(index: usize) -> &'static str {
    LABELS.get(index).copied().unwrap_or("more")
}

/// What is known of the way over one Redis.
#[derive(Clone, Debug)]
pub struct LinkReport {
    /// Which one: `bridge.urls[0]`, `channels.hosts[0]`.
    pub name: String,
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
    /// Publications waiting for an answer.
    pub outbox: usize,
}

#[derive(Debug)]
struct HealthState {
    is_up: bool,
    since: Millis,
    reason: String,
    canary: Option<Duration>,
}

/// Down or up, and the canaries that decide it.
#[derive(Debug)]
pub(crate) struct LinkHealth {
    state: Mutex<HealthState>,
    clock: Clock,
    up: Gauges,
    took: Seconds,
    /// What the series of this Redis are labelled with.
    series: [(&'static str, &'static str); 1],
    canaries: AtomicU64,
    /// The last canary that came back.
    seen: watch::Sender<u64>,
}

impl LinkHealth {
    /// Down, and never tried. `up` and `took` are the families of its gauges.
    pub(crate) fn new(
        series: (&'static str, &'static str),
        up: &Gauges,
        took: &Seconds,
        clock: Clock,
    ) -> Self {
        let series = [series];
        drop(up.get_or_create(&series));
        Self {
            state: Mutex::new(HealthState {
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

    /// This Redis is up; how long it was down, if it was said to be.
    pub(crate) fn mark_up(&self) -> Option<Duration> {
        let mut state = self.state.lock();
        let now = self.clock.now();
        let was_down = !state.reason.is_empty();
        let down = was_down.then(|| now.since(state.since));
        state.is_up = true;
        state.since = now;
        state.reason.clear();
        self.up.get_or_create(&self.series).set(1);
        down
    }

    /// This Redis is down; true if that is news.
    pub(crate) fn mark_down(&self, failure: &LinkFailure) -> bool {
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

    /// Has `send` send a canary, and another if the first one is not back within `timeout`.
    /// `is_held_back`: this node does not read, which is no fault of Redis.
    ///
    /// # Errors
    /// What `send` says, or [`LinkFailure::Canary`] if neither comes back.
    pub(crate) async fn prove<S: Future<Output = Result<(), LinkFailure>>>(
        &self,
        timeout: Duration,
        send: impl Fn(u64) -> S,
        is_held_back: impl Fn() -> bool,
    ) -> Result<(), LinkFailure> {
        for _ in 0..TRIES {
            let number = self.canaries.fetch_add(1, Ordering::Relaxed) + 1;
            let mut seen = self.seen.subscribe();
            let started = Instant::now();
            send(number).await?;
            let back = seen.wait_for(|&last| last >= number);
            if let Ok(Ok(_)) = tokio::time::timeout(timeout, back).await {
                let took = started.elapsed();
                self.state.lock().canary = Some(took);
                let series = self.took.get_or_create(&self.series);
                series.set(took.as_secs_f64());
                return Ok(());
            }
            if is_held_back() {
                return Ok(());
            }
        }
        Err(LinkFailure::Canary)
    }

    /// This one came back.
    pub(crate) fn see_canary(&self, number: u64) {
        self.seen.send_replace(number);
    }

    /// What is known, with what its owner knows.
    pub(crate) fn report<T>(
        &self,
        (name, deployment): (&str, &Deployment),
        rooms: &Subscriptions<T>,
        outbox: usize,
    ) -> LinkReport {
        let (rooms, confirmed) = rooms.counts();
        let state = self.state.lock();
        LinkReport {
            name: name.to_owned(),
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
