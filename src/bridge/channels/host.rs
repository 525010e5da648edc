//! The way to one Redis of the site: down, or up. It tries for as long as the node lives.
//!
//! A session has two connections: one for commands, one that waits for messages. Either one's end
//! ends the session; the next one joins every group again, so whatever Redis forgot meanwhile, Django
//! finds this node again. Each change of the state is one log line and one count.
//!
//! A canary goes out every second and must come back by the connection that waits. In layer `core` a
//! marker stands beside it: when that is gone (`flush` of a Python layer, FLUSHALL, a restart without
//! its data), so are the memberships, and all are made again.

use super::layer::Layer;
use super::scripts::{Command, Score, Scores};
use super::session::Session;
use crate::bridge::deployment::{Deployment, Failure};
use crate::bridge::link::Report;
use crate::bridge::rooms::Rooms;
use crate::broker::Broker;
use crate::broker::uplink::Way;
use crate::clock::{self, Clock, Millis};
use crate::config::Bridge;
use crate::metrics::{Metrics, count};
use crate::name::RoomName;
use fred::clients::Client;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// The first pause after a session broke; doubled each time up to `bridge.reconnect_max`.
const PAUSE_MIN: Duration = Duration::from_millis(20);

/// A session that held for this long begins the pauses anew when it breaks.
const STABLE: Duration = Duration::from_secs(1);

/// Labels of metrics: the place in `bridge.channels.hosts`. Further hosts share one.
const LABELS: [&str; 8] = ["0", "1", "2", "3", "4", "5", "6", "7"];

#[derive(Debug)]
struct State {
    is_up: bool,
    since: Millis,
    reason: String,
    canary: Option<Duration>,
}

/// One Redis of `bridge.channels.hosts`.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) label: &'static str,
    pub(super) deployment: Deployment,
    /// The rooms whose groups this Redis keeps.
    pub(super) rooms: Rooms,
    /// The client for commands, while the host is up.
    client: Mutex<Option<Client>>,
    /// The last canary that came back.
    pub(super) canary: watch::Sender<u64>,
    canaries: AtomicU64,
    /// The reader waits for room in the workers' mailboxes.
    held_back: AtomicBool,
    scores: Mutex<Scores>,
    metrics: Arc<Metrics>,
    clock: Clock,
    state: Mutex<State>,
}

impl Host {
    pub(super) fn new(
        index: usize,
        deployment: Deployment,
        settings: &Bridge,
        metrics: &Arc<Metrics>,
        clock: Clock,
    ) -> Self {
        let label = LABELS.get(index).copied().unwrap_or("more");
        drop(metrics.channels_up.get_or_create(&[("host", label)]));
        Self {
            label,
            deployment,
            rooms: Rooms::new(settings.linger, settings.confirm_timeout),
            client: Mutex::new(None),
            canary: watch::Sender::new(0),
            canaries: AtomicU64::new(0),
            held_back: AtomicBool::new(false),
            scores: Mutex::default(),
            metrics: Arc::clone(metrics),
            clock,
            state: Mutex::new(State {
                is_up: false,
                since: clock.now(),
                reason: String::new(),
                canary: None,
            }),
        }
    }

    /// The client for commands, if this Redis is there.
    pub(super) fn client(&self) -> Option<Client> {
        self.client.lock().clone()
    }

    /// The time, for memberships.
    pub(super) fn score(&self) -> Score {
        let (second, micros) = clock::wall();
        self.scores.lock().next(second, micros)
    }

    pub(super) fn hold_back(&self, is_held: bool) {
        self.held_back.store(is_held, Ordering::Relaxed);
    }

    pub(super) fn is_held_back(&self) -> bool {
        self.held_back.load(Ordering::Relaxed)
    }

    pub(super) fn next_canary(&self) -> u64 {
        self.canaries.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn see_canary(&self, text: &[u8]) {
        let number = std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse().ok());
        if let Some(number) = number {
            self.canary.send_replace(number);
        }
    }

    pub(super) fn canary_took(&self, took: Duration) {
        self.state.lock().canary = Some(took);
        let series = self
            .metrics
            .channels_canary
            .get_or_create(&[("host", self.label)]);
        series.set(took.as_secs_f64());
    }

    pub(super) fn report(&self, outbox: usize) -> Report {
        let (rooms, confirmed) = self.rooms.counts();
        let state = self.state.lock();
        Report {
            address: self.deployment.shown.clone(),
            is_up: state.is_up,
            since: state.since,
            reason: state.reason.clone(),
            canary: state.canary,
            rooms,
            confirmed,
            outbox,
        }
    }

    /// [`Host::run`], and again should its code panic.
    pub(super) async fn supervise(
        self: Arc<Self>,
        layer: Arc<Layer>,
        broker: Arc<Broker>,
        stop: watch::Receiver<bool>,
    ) {
        loop {
            let (layer_again, broker_again) = (Arc::clone(&layer), Arc::clone(&broker));
            let run = Arc::clone(&self).run(layer_again, broker_again, stop.clone());
            match tokio::spawn(run).await {
                Err(ended) if ended.is_panic() => {}
                _ => return,
            }
            self.metrics.panics.inc();
            tracing::error!(
                host = self.label,
                "the channel layer's code panicked; it begins anew"
            );
            self.client.lock().take();
            self.went_down(&broker, &Failure::Ended);
            tokio::time::sleep(layer.pause_max).await;
        }
    }

    /// Runs sessions until `stop` says so; then the couriers finish, and the groups are left.
    async fn run(
        self: Arc<Self>,
        layer: Arc<Layer>,
        broker: Arc<Broker>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut pause = PAUSE_MIN;
        loop {
            let started = self.clock.now();
            let failure = self.session(&layer, &broker, &mut stop).await;
            self.client.lock().take();
            if matches!(failure, Failure::Stopped) {
                return;
            }
            self.went_down(&broker, &failure);
            if self.clock.now().since(started) >= STABLE {
                pause = PAUSE_MIN;
            }
            // Rooms come and go while it is down; those that went are forgotten.
            drop(self.rooms.due(self.clock.now()));
            let share = crate::bridge::random() as f64 / u64::MAX as f64;
            tokio::select! {
                () = tokio::time::sleep(pause.mul_f64(0.5 + share / 2.0)) => {}
                () = told(&mut stop) => return,
            }
            pause = (pause * 2).min(layer.pause_max);
        }
    }

    async fn session(
        self: &Arc<Self>,
        layer: &Arc<Layer>,
        broker: &Arc<Broker>,
        stop: &mut watch::Receiver<bool>,
    ) -> Failure {
        let opened = tokio::select! {
            opened = Session::open(self, layer, broker) => opened,
            () = told(stop) => return Failure::Stopped,
        };
        let mut session = match opened {
            Ok(session) => session,
            Err(failure) => return failure,
        };
        self.rooms.begin();
        *self.client.lock() = Some(session.client());
        self.went_up();
        let ended = tokio::select! {
            failure = session.run(self, layer, broker) => Some(failure),
            () = told(stop) => None,
        };
        if let Some(failure) = ended {
            return failure;
        }
        let mut done = layer.done.subscribe();
        let couriers = layer.couriers();
        let finished = async {
            // The sender lives in the layer: this ends when they are done.
            drop(done.wait_for(|done| *done >= couriers).await);
        };
        // Whatever is not out by then is lost with the node.
        drop(tokio::time::timeout(layer.timeout * 2, finished).await);
        let left = session.leave_all(self, layer);
        drop(tokio::time::timeout(layer.timeout, left).await);
        Failure::Stopped
    }

    fn went_up(&self) {
        let mut state = self.state.lock();
        let now = self.clock.now();
        let down = now.since(state.since);
        state.is_up = true;
        state.since = now;
        state.reason.clear();
        drop(state);
        self.metrics
            .channels_up
            .get_or_create(&[("host", self.label)])
            .set(1);
        count(&self.metrics.channels_changes, "state", "up");
        tracing::info!(
            host = self.label,
            address = self.deployment.shown,
            ?down,
            "the channel layer is up: Django is reached over this Redis"
        );
    }

    fn went_down(&self, broker: &Broker, failure: &Failure) {
        for name in self.rooms.end() {
            confirm(broker, &name);
        }
        let mut state = self.state.lock();
        let is_change = state.is_up || state.reason.is_empty();
        state.reason = failure.to_string();
        if !is_change {
            return;
        }
        state.is_up = false;
        state.since = self.clock.now();
        drop(state);
        self.metrics
            .channels_up
            .get_or_create(&[("host", self.label)])
            .set(0);
        count(&self.metrics.channels_changes, "state", "down");
        tracing::warn!(
            host = self.label,
            address = self.deployment.shown,
            reason = %failure,
            "the channel layer is down: rooms go on without Django"
        );
    }
}

/// The members that wait in a room need not wait for Django.
pub(super) fn confirm(broker: &Broker, name: &RoomName) {
    if let Some(room) = broker.named(name.as_str()) {
        broker.confirm_way(&room, Way::Django);
    }
}

/// Done when the node goes down.
async fn told(stop: &mut watch::Receiver<bool>) {
    // The sender lives as long as the node: its end means the same.
    drop(stop.wait_for(|stop| *stop).await);
}

/// A command of the link's own.
pub(super) fn command<const N: usize>(name: &'static str, arguments: [&[u8]; N]) -> Command {
    Command {
        name,
        arguments: arguments.map(<[u8]>::to_vec).to_vec(),
    }
}
