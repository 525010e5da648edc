//! The way over one Redis: down, or up. It tries for as long as the node lives.
//!
//! Each change of the state is one log line and one count, however often it tries in between. While
//! it is down, nobody waits for anything: members are welcomed at once, publications wait in the
//! outbox until they expire or a session sends them, and a full outbox drops.

use super::deployment::{Deployment, Failure};
use super::envelope::NodeId;
use super::outbox::{Outbox, Sending};
use super::pubsub::{self, Session};
use super::rooms::Rooms;
use super::{Error, Origin};
use crate::broker::Broker;
use crate::clock::{Clock, Millis};
use crate::config::Config;
use crate::config::redis::RedisUrl;
use crate::metrics::{Metrics, count};
use crate::name::RoomName;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// The first pause after a session broke; doubled each time up to `bridge.reconnect_max`.
const PAUSE_MIN: Duration = Duration::from_millis(20);

/// A session that held for this long begins the pauses anew when it breaks.
const STABLE: Duration = Duration::from_secs(1);

/// What is known of a link.
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

/// One Redis of `bridge.urls`.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) label: &'static str,
    pub(super) deployment: Deployment,
    pub(super) outbox: Arc<Outbox>,
    pub(super) rooms: Rooms,
    pub(super) room_prefix: String,
    pub(super) canary_channel: String,
    pub(super) node: NodeId,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    /// `queue.expiry`: nothing from another node is kept for longer.
    pub(super) expiry: Duration,
    pub(super) timeout: Duration,
    /// The last canary that came back.
    pub(super) canary: watch::Sender<u64>,
    canaries: AtomicU64,
    epoch: u64,
    pause_max: Duration,
    /// What has waited for a session waits this much longer.
    pub(super) settle: Duration,
    state: Mutex<State>,
}

/// Labels of metrics: the place in `bridge.urls`.
const LABELS: [&str; crate::config::bridge::LINKS_MAX] = ["0", "1", "2", "3", "4", "5", "6", "7"];

impl Link {
    pub(super) fn new(
        index: usize,
        url: &RedisUrl,
        config: &Config,
        origin: Origin,
        metrics: &Arc<Metrics>,
        clock: Clock,
    ) -> Result<Self, Error> {
        let settings = &config.bridge;
        let prefix = &settings.prefix;
        let label = LABELS.get(index).copied().unwrap_or("more");
        drop(metrics.bridge_up.get_or_create(&[("link", label)]));
        Ok(Self {
            label,
            deployment: Deployment::new(url, settings)?,
            outbox: Arc::new(Outbox::new(settings.outbox_capacity, settings.outbox_bytes)),
            rooms: Rooms::new(settings.linger, settings.confirm_timeout),
            room_prefix: format!("{prefix}:room:"),
            canary_channel: format!("{prefix}:canary:{:?}", origin.node),
            node: origin.node,
            clock,
            metrics: Arc::clone(metrics),
            expiry: config.queue.expiry,
            timeout: settings.command_timeout,
            canary: watch::Sender::new(0),
            canaries: AtomicU64::new(0),
            epoch: origin.epoch,
            pause_max: settings.reconnect_max,
            settle: settings.reconnect_max * 2,
            state: Mutex::new(State {
                is_up: false,
                since: clock.now(),
                reason: String::new(),
                canary: None,
            }),
        })
    }

    /// The channel of a room.
    pub(super) fn channel(&self, name: &RoomName) -> String {
        [self.room_prefix.as_str(), name.as_str()].concat()
    }

    pub(super) fn next_canary(&self) -> u64 {
        self.canaries.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn see_canary(&self, bytes: &[u8]) {
        if let Ok(bytes) = bytes.try_into() {
            self.canary.send_replace(u64::from_be_bytes(bytes));
        }
    }

    pub(super) fn canary_took(&self, took: Duration) {
        self.state.lock().canary = Some(took);
        let series = self
            .metrics
            .bridge_canary
            .get_or_create(&[("link", self.label)]);
        series.set(took.as_secs_f64());
    }

    pub(super) fn report(&self) -> Report {
        let (rooms, confirmed) = self.rooms.counts();
        let (outbox, _) = self.outbox.load();
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

    /// Runs the link, and anew after a panic in it: the other rooms' way must not depend on it.
    pub(super) async fn supervise(
        self: Arc<Self>,
        broker: Arc<Broker>,
        stop: watch::Receiver<bool>,
    ) {
        loop {
            let run = Arc::clone(&self).run(Arc::clone(&broker), stop.clone());
            match tokio::spawn(run).await {
                Err(ended) if ended.is_panic() => {}
                _ => return,
            }
            self.metrics.panics.inc();
            tracing::error!(
                redis = self.label,
                "the bridge's code panicked; it begins anew"
            );
            self.went_down(&broker, &Failure::Ended);
            tokio::time::sleep(self.pause_max).await;
        }
    }

    /// Runs sessions until `stop` says so; then what is left goes out.
    async fn run(self: Arc<Self>, broker: Arc<Broker>, mut stop: watch::Receiver<bool>) {
        let mut sending = Sending::new(Arc::clone(&self.outbox), self.node, self.epoch);
        let mut pause = PAUSE_MIN;
        loop {
            let started = self.clock.now();
            let failure = self.session(&broker, &mut sending, &mut stop).await;
            if matches!(failure, Failure::Stopped) {
                return;
            }
            self.went_down(&broker, &failure);
            if self.clock.now().since(started) >= STABLE {
                pause = PAUSE_MIN;
            }
            sending.collect();
            sending.begin();
            sending.sweep(self.clock.now());
            pubsub::tally(&self, &mut sending);
            // Rooms come and go while it is down; those that went are forgotten.
            drop(self.rooms.due(self.clock.now()));
            let jittered = pause.mul_f64(0.5 + super::random() as f64 / u64::MAX as f64 / 2.0);
            tokio::select! {
                () = tokio::time::sleep(jittered) => {}
                () = told(&mut stop) => return,
            }
            pause = (pause * 2).min(self.pause_max);
        }
    }

    async fn session(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        sending: &mut Sending,
        stop: &mut watch::Receiver<bool>,
    ) -> Failure {
        let opened = tokio::select! {
            opened = Session::open(self, broker) => opened,
            () = told(stop) => return Failure::Stopped,
        };
        let mut session = match opened {
            Ok(session) => session,
            Err(failure) => return failure,
        };
        self.rooms.begin();
        self.went_up();
        tokio::select! {
            failure = session.run(self, broker, sending) => failure,
            () = told(stop) => {
                session.flush(self, sending).await;
                Failure::Stopped
            }
        }
    }

    fn went_up(&self) {
        let mut state = self.state.lock();
        let now = self.clock.now();
        let down = now.since(state.since);
        state.is_up = true;
        state.since = now;
        state.reason.clear();
        let canary = state.canary;
        drop(state);
        self.metrics
            .bridge_up
            .get_or_create(&[("link", self.label)])
            .set(1);
        count(&self.metrics.bridge_changes, "state", "up");
        tracing::info!(
            redis = self.label,
            address = self.deployment.shown,
            ?down,
            ?canary,
            "the bridge is up: other nodes are reached over this Redis"
        );
    }

    fn went_down(&self, broker: &Broker, failure: &Failure) {
        for name in self.rooms.end() {
            pubsub::confirm(broker, &name);
        }
        let reason = failure.to_string();
        let mut state = self.state.lock();
        let is_change = state.is_up || state.reason.is_empty();
        state.reason = reason;
        if !is_change {
            return;
        }
        state.is_up = false;
        state.since = self.clock.now();
        drop(state);
        self.metrics
            .bridge_up
            .get_or_create(&[("link", self.label)])
            .set(0);
        count(&self.metrics.bridge_changes, "state", "down");
        tracing::warn!(
            redis = self.label,
            address = self.deployment.shown,
            reason = %failure,
            "the bridge is down: rooms go on within this node"
        );
    }
}

/// Done when the node goes down.
async fn told(stop: &mut watch::Receiver<bool>) {
    // The sender lives as long as the node: its end means the same.
    drop(stop.wait_for(|stop| *stop).await);
}
