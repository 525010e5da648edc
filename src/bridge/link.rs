//! The way over one Redis: down, or up. It tries for as long as the node lives.
//!
//! Each change of the state is one log line and one count, however often it tries in between. While
//! it is down, nobody waits for anything: members are welcomed at once, publications wait in the
//! outbox until they expire or a session sends them, and a full outbox drops.

use super::Origin;
use super::envelope::NodeId;
use super::origins::Origins;
use super::outbox::{Outbox, Sending};
use super::roll::{Company, nodes_channel};
use super::session::{self, Session};
use super::streams::{RoomOrder, Streams};
use crate::broker::Broker;
use crate::clock::Clock;
use crate::config::redis::RedisAddress;
use crate::config::{BridgeMode, Config};
use crate::metrics::{Metrics, count};
use crate::name::RoomName;
use crate::redis::deployment::Deployment;
use crate::redis::failure::Failure;
use crate::redis::health::{self, LinkHealth};
use crate::redis::subscriptions::Subscriptions;
use crate::redis::supervise::{Pauses, stopped, supervise};
use crate::redis::{Ending, Error, LinkReport};
use std::sync::Arc;
use std::time::Duration;

/// What is known of a room over one Redis.
#[derive(Debug)]
pub(super) struct RoomState {
    pub(super) origins: Origins,
    /// In mode `streams`.
    pub(super) order: Option<Box<RoomOrder>>,
}

/// One Redis of `bridge.urls`.
#[derive(Debug)]
pub(super) struct RedisLink {
    pub(super) label: &'static str,
    pub(super) deployment: Deployment,
    pub(super) outbox: Arc<Outbox>,
    pub(super) rooms: Subscriptions<RoomState>,
    pub(super) room_prefix: String,
    pub(super) canary_channel: String,
    /// Where all nodes say who they are.
    pub(super) nodes_channel: String,
    /// In `bridge.urls`, from 0.
    pub(super) place: usize,
    pub(super) company: Arc<Company>,
    pub(super) node: NodeId,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    /// `queue.expiry`: nothing from another node is kept for longer.
    pub(super) expiry: Duration,
    pub(super) timeout: Duration,
    pub(super) health: LinkHealth,
    epoch: u64,
    pause_max: Duration,
    /// Nothing leaves for so long after an outage.
    settle: Duration,
    /// In mode `streams`.
    pub(super) streams: Option<Streams>,
}

impl RedisLink {
    pub(super) fn new(
        index: usize,
        url: &RedisAddress,
        config: &Config,
        (origin, company): (Origin, &Arc<Company>),
        metrics: &Arc<Metrics>,
        clock: Clock,
    ) -> Result<Self, Error> {
        let settings = &config.bridge;
        let deployment = Deployment::new(url, settings)?;
        let prefix = deployment.prefix.clone();
        let label = health::label(index);
        let (up, took) = (&metrics.bridge_up, &metrics.bridge_canary);
        let is_streams = settings.mode == BridgeMode::Streams;
        let streams = is_streams.then(|| Streams::new(config, &prefix));
        let rooms = Subscriptions::new(settings.linger, settings.confirm_timeout);
        let canary_channel = match &streams {
            None => format!("{prefix}:canary:{:?}", origin.node),
            Some(streams) => streams.canary_channel(origin.node),
        };
        Ok(Self {
            label,
            deployment,
            outbox: Arc::new(Outbox::new(settings.outbox_capacity, settings.outbox_bytes)),
            rooms,
            room_prefix: format!("{prefix}:room:"),
            canary_channel,
            nodes_channel: nodes_channel(&prefix),
            place: index,
            company: Arc::clone(company),
            node: origin.node,
            clock,
            metrics: Arc::clone(metrics),
            expiry: config.queue.expiry,
            timeout: settings.command_timeout,
            health: LinkHealth::new(("link", label), up, took, clock),
            epoch: origin.epoch,
            pause_max: settings.reconnect_max,
            settle: settings.reconnect_max * 2,
            streams,
        })
    }

    /// The room has a first member. True if that member need not wait.
    pub(super) fn watch(&self, name: &RoomName) -> bool {
        let order = |streams: &Streams| Box::new(RoomOrder::new(Arc::clone(&streams.load)));
        self.rooms.watch(name, self.clock.now(), || RoomState {
            origins: Origins::default(),
            order: self.streams.as_ref().map(order),
        })
    }

    /// Runs `visit` on a room's order; `None` if the room is not wanted, or has none.
    pub(super) fn order<R>(
        &self,
        name: &str,
        visit: impl FnOnce(&mut RoomOrder) -> R,
    ) -> Option<R> {
        let visit = |state: &mut RoomState| state.order.as_deref_mut().map(visit);
        self.rooms.visit(name, visit).flatten()
    }

    /// Runs `visit` on the order of every room; the names of those for which it is true.
    pub(super) fn orders(&self, mut visit: impl FnMut(&mut RoomOrder) -> bool) -> Vec<RoomName> {
        self.rooms
            .visit_all(|state| state.order.as_deref_mut().is_some_and(&mut visit))
    }

    /// The channel of a room.
    pub(super) fn channel(&self, name: &RoomName) -> String {
        match &self.streams {
            None => [self.room_prefix.as_str(), name.as_str()].concat(),
            Some(streams) => streams.stream(name.as_str()),
        }
    }

    pub(super) fn see_canary(&self, bytes: &[u8]) {
        if let Ok(bytes) = bytes.try_into() {
            self.health.see_canary(u64::from_be_bytes(bytes));
        }
    }

    pub(super) fn report(&self) -> LinkReport {
        let (outbox, _) = self.outbox.load();
        self.health.report(&self.deployment, &self.rooms, outbox)
    }

    /// Runs the link until the node's end, whatever happens in it.
    pub(super) async fn supervise(self: Arc<Self>, broker: Arc<Broker>, ending: Ending) {
        let begin = || Arc::clone(&self).run(Arc::clone(&broker), ending.clone());
        let on_panic = || {
            tracing::error!(
                redis = self.label,
                "the bridge's code panicked; it begins anew"
            );
            self.went_down(&broker, &Failure::Ended);
        };
        supervise(&self.metrics, self.pause_max, begin, on_panic).await;
    }

    /// Runs sessions until the node's end; then what is left goes out.
    async fn run(self: Arc<Self>, broker: Arc<Broker>, ending: Ending) {
        let mut sending = Sending::new(Arc::clone(&self.outbox), self.node, self.epoch);
        if self.streams.is_some() {
            sending = sending.without_marks();
        }
        self.sessions(&broker, &mut sending, ending).await;
        self.sweep(&mut sending);
        self.count_lost(&sending);
    }

    async fn sessions(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        sending: &mut Sending,
        mut ending: Ending,
    ) {
        let mut pauses = Pauses::new(self.pause_max);
        let mut settle = Duration::ZERO;
        loop {
            let started = self.clock.now();
            let failure = self.session(broker, sending, &mut ending, settle).await;
            if matches!(failure, Failure::Stopped) {
                return;
            }
            settle = self.settle;
            self.went_down(broker, &failure);
            self.sweep(sending);
            // Rooms come and go while it is down; those that went are forgotten.
            drop(self.rooms.due(self.clock.now()));
            let held = self.clock.now().since(started);
            if !pauses.pause(held, &mut ending.stop).await {
                return;
            }
        }
    }

    /// Drops what has expired, while there is no session.
    fn sweep(&self, sending: &mut Sending) {
        sending.collect();
        sending.begin();
        sending.sweep(self.clock.now());
        session::tally(self, sending);
    }

    /// The node is gone for the others: what Redis has not answered for is lost, so far as anybody
    /// here can know.
    fn count_lost(&self, sending: &Sending) {
        let lost = sending.messages();
        if lost == 0 {
            return;
        }
        let series = self
            .metrics
            .bridge_dropped
            .get_or_create(&[("cause", "shutdown")]);
        series.inc_by(lost);
        tracing::warn!(
            redis = self.label,
            address = self.deployment.shown,
            lost,
            "the node goes down without having told the others everything: Redis has not answered"
        );
    }

    async fn session(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        sending: &mut Sending,
        ending: &mut Ending,
        settle: Duration,
    ) -> Failure {
        let opened = tokio::select! {
            opened = Session::open(self, broker) => opened,
            () = stopped(&mut ending.stop) => return Failure::Stopped,
        };
        let mut session = match opened {
            Ok(session) => session,
            Err(failure) => return failure,
        };
        self.rooms.begin();
        if let Some(streams) = &self.streams {
            streams.begin(self);
        }
        self.went_up();
        tokio::select! {
            failure = session.run(self, broker, sending, settle) => failure,
            () = stopped(&mut ending.stop) => {
                session.flush(self, sending, ending).await;
                Failure::Stopped
            }
        }
    }

    fn went_up(&self) {
        self.company.turned(self.place, Some(self.clock.now()));
        let down = self.health.mark_up();
        count(&self.metrics.bridge_changes, "state", "up");
        tracing::info!(
            redis = self.label,
            address = self.deployment.shown,
            ?down,
            "the bridge is up: other nodes are reached over this Redis"
        );
    }

    fn went_down(&self, broker: &Broker, failure: &Failure) {
        self.company.turned(self.place, None);
        for name in self.rooms.end() {
            session::confirm(broker, &name);
        }
        if let Some(streams) = &self.streams {
            streams.went_down(self, broker);
        }
        if !self.health.mark_down(failure) {
            return;
        }
        count(&self.metrics.bridge_changes, "state", "down");
        tracing::warn!(
            redis = self.label,
            address = self.deployment.shown,
            reason = %failure,
            "the bridge is down: rooms go on within this node"
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::bridge::Bridge;
    use crate::broker::room::RoomSlot;
    use crate::broker::{Broker, Publication, Wake};
    use crate::clock::{Clock, Millis};
    use crate::config::redis::RedisAddress;
    use crate::config::{BridgeMode, Config};
    use crate::metrics::Metrics;
    use crate::name::RoomName;
    use crate::redis::Runtime;
    use bytes::Bytes;
    use std::sync::Arc;

    #[test]
    fn what_nobody_was_told_when_the_node_goes_down_is_counted_and_what_had_expired_is_not() {
        for mode in [BridgeMode::Pubsub, BridgeMode::Streams] {
            let mut config = Config::default();
            config.bridge.mode = mode;
            // Nobody listens there.
            config.bridge.urls = vec![RedisAddress::parse("redis://127.0.0.1:1").unwrap()];
            let metrics = Arc::new(Metrics::new());
            let bridge = Bridge::new(&config, &metrics, Clock::start())
                .unwrap()
                .unwrap();
            let wakes = vec![Box::new(|| {}) as Wake];
            let broker = Arc::new(Broker::new(&config.broker, wakes, Some(bridge.uplink())));
            let name = RoomName::chat("1", "abc").unwrap();
            let room = broker.join(&name, 0, RoomSlot::default).room;
            for deadline in [Millis(0), Millis::NEVER, Millis::NEVER, Millis::NEVER] {
                let frame = Bytes::from_static(b"\x81\x01x");
                broker.publish(&room, &Publication { frame, deadline }, Some(0));
            }
            let runtime = Runtime::default();
            bridge.run(&broker, &runtime).unwrap();
            runtime.shutdown(Millis::NEVER);
            let dropped = |cause| {
                metrics
                    .bridge_dropped
                    .get_or_create(&[("cause", cause)])
                    .get()
            };
            assert_eq!(
                (dropped("shutdown"), dropped("expired")),
                (3, 1),
                "{mode:?}"
            );
            bridge.measure();
            assert_eq!(metrics.bridge_outbox.get(), 0);
        }
    }
}
