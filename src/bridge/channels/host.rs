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
use crate::bridge::rooms::Rooms;
use crate::bridge::standing::{self, Pauses, Report, Standing, told};
use crate::broker::Broker;
use crate::broker::uplink::Way;
use crate::clock::{self, Clock};
use crate::config::Bridge;
use crate::metrics::{Metrics, count};
use crate::name::RoomName;
use fred::clients::Client;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

/// One Redis of `channels.hosts`.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) label: &'static str,
    pub(super) deployment: Deployment,
    /// The rooms whose groups this Redis keeps.
    pub(super) rooms: Rooms,
    /// The client for commands, while the host is up.
    client: Mutex<Option<Client>>,
    pub(super) standing: Standing,
    /// The reader waits for room in the workers' mailboxes.
    held_back: AtomicBool,
    scores: Mutex<Scores>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

impl Host {
    pub(super) fn new(
        index: usize,
        deployment: Deployment,
        settings: &Bridge,
        metrics: &Arc<Metrics>,
        clock: Clock,
    ) -> Self {
        let label = standing::label(index);
        let (up, took) = (&metrics.channels_up, &metrics.channels_canary);
        Self {
            label,
            deployment,
            rooms: Rooms::new(settings.linger, settings.confirm_timeout),
            client: Mutex::new(None),
            standing: Standing::new(("host", label), up, took, clock),
            held_back: AtomicBool::new(false),
            scores: Mutex::default(),
            metrics: Arc::clone(metrics),
            clock,
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

    pub(super) fn see_canary(&self, text: &[u8]) {
        let number = std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse().ok());
        if let Some(number) = number {
            self.standing.see_canary(number);
        }
    }

    pub(super) fn report(&self, outbox: usize) -> Report {
        self.standing.report(&self.deployment, &self.rooms, outbox)
    }

    /// Holds the way open until `stop` says so, whatever happens in it.
    pub(super) async fn supervise(
        self: Arc<Self>,
        layer: Arc<Layer>,
        broker: Arc<Broker>,
        stop: watch::Receiver<bool>,
    ) {
        let begin = || {
            let (layer, broker) = (Arc::clone(&layer), Arc::clone(&broker));
            Arc::clone(&self).run(layer, broker, stop.clone())
        };
        let mourn = || {
            tracing::error!(
                host = self.label,
                "the channel layer's code panicked; it begins anew"
            );
            self.client.lock().take();
            self.went_down(&broker, &Failure::Ended);
        };
        standing::outlive(&self.metrics, layer.pause_max, begin, mourn).await;
    }

    /// Runs sessions until `stop` says so; then the couriers finish, and the groups are left.
    async fn run(
        self: Arc<Self>,
        layer: Arc<Layer>,
        broker: Arc<Broker>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut pauses = Pauses::new(layer.pause_max);
        loop {
            let started = self.clock.now();
            let failure = self.session(&layer, &broker, &mut stop).await;
            self.client.lock().take();
            if matches!(failure, Failure::Stopped) {
                return;
            }
            self.went_down(&broker, &failure);
            // Rooms come and go while it is down; those that went are forgotten.
            drop(self.rooms.due(self.clock.now()));
            let held = self.clock.now().since(started);
            if !pauses.pause(held, &mut stop).await {
                return;
            }
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
        let patience = layer.deadline.left(self.clock, layer.timeout * 2);
        drop(tokio::time::timeout(patience, finished).await);
        let left = session.leave_all(self, layer);
        let patience = layer.deadline.left(self.clock, layer.timeout);
        drop(tokio::time::timeout(patience, left).await);
        Failure::Stopped
    }

    fn went_up(&self) {
        let down = self.standing.rise();
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
        if !self.standing.fall(failure) {
            return;
        }
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

/// A command of the link's own.
pub(super) fn command<const N: usize>(name: &'static str, arguments: [&[u8]; N]) -> Command {
    Command {
        name,
        arguments: arguments.map(<[u8]>::to_vec).to_vec(),
    }
}
