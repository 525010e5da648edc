//! The way over one Redis: down, or up. It tries for as long as the node lives.
//!
//! Each change of the state is one log line and one count, however often it tries in between. While
//! it is down, nobody waits for anything: members are welcomed at once, publications wait in the
//! outbox until they expire or a session sends them, and a full outbox drops.

use super::deployment::{Deployment, Failure};
use super::envelope::NodeId;
use super::outbox::{Outbox, Sending};
use super::pubsub::{self, Session};
use super::roll::{Company, nodes_channel};
use super::rooms::Rooms;
use super::standing::{self, Deadline, Pauses, Report, Standing, told};
use super::streams::Streams;
use super::{Error, Origin};
use crate::broker::Broker;
use crate::clock::Clock;
use crate::config::redis::RedisAddress;
use crate::config::{BridgeMode, Config};
use crate::metrics::{Metrics, count};
use crate::name::RoomName;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// One Redis of `bridge.urls`.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) label: &'static str,
    pub(super) deployment: Deployment,
    pub(super) outbox: Arc<Outbox>,
    pub(super) rooms: Rooms,
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
    pub(super) standing: Standing,
    epoch: u64,
    pause_max: Duration,
    /// Nothing leaves for so long after an outage.
    settle: Duration,
    pub(super) deadline: Deadline,
    /// In mode `streams`.
    pub(super) streams: Option<Streams>,
}

impl Link {
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
        let label = standing::label(index);
        let (up, took) = (&metrics.bridge_up, &metrics.bridge_canary);
        let is_streams = settings.mode == BridgeMode::Streams;
        let streams = is_streams.then(|| Streams::new(config, &prefix));
        let rooms = Rooms::new(settings.linger, settings.confirm_timeout);
        let (rooms, canary_channel) = match &streams {
            None => (rooms, format!("{prefix}:canary:{:?}", origin.node)),
            Some(streams) => (
                rooms.with_lanes(Arc::clone(&streams.load)),
                streams.canary_channel(origin.node),
            ),
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
            standing: Standing::new(("link", label), up, took, clock),
            epoch: origin.epoch,
            pause_max: settings.reconnect_max,
            settle: settings.reconnect_max * 2,
            deadline: Deadline::new(),
            streams,
        })
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
            self.standing.see_canary(u64::from_be_bytes(bytes));
        }
    }

    pub(super) fn report(&self) -> Report {
        let (outbox, _) = self.outbox.load();
        self.standing.report(&self.deployment, &self.rooms, outbox)
    }

    /// Runs the link until `stop` says so, whatever happens in it.
    pub(super) async fn supervise(
        self: Arc<Self>,
        broker: Arc<Broker>,
        stop: watch::Receiver<bool>,
    ) {
        let begin = || Arc::clone(&self).run(Arc::clone(&broker), stop.clone());
        let mourn = || {
            tracing::error!(
                redis = self.label,
                "the bridge's code panicked; it begins anew"
            );
            self.went_down(&broker, &Failure::Ended);
        };
        standing::outlive(&self.metrics, self.pause_max, begin, mourn).await;
    }

    /// Runs sessions until `stop` says so; then what is left goes out.
    async fn run(self: Arc<Self>, broker: Arc<Broker>, stop: watch::Receiver<bool>) {
        let mut sending = Sending::new(Arc::clone(&self.outbox), self.node, self.epoch);
        if self.streams.is_some() {
            sending = sending.without_marks();
        }
        self.sessions(&broker, &mut sending, stop).await;
        self.sweep(&mut sending);
        self.count_lost(&sending);
    }

    async fn sessions(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        sending: &mut Sending,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut pauses = Pauses::new(self.pause_max);
        let mut settle = Duration::ZERO;
        loop {
            let started = self.clock.now();
            let failure = self.session(broker, sending, &mut stop, settle).await;
            if matches!(failure, Failure::Stopped) {
                return;
            }
            settle = self.settle;
            self.went_down(broker, &failure);
            self.sweep(sending);
            // Rooms come and go while it is down; those that went are forgotten.
            drop(self.rooms.due(self.clock.now()));
            let held = self.clock.now().since(started);
            if !pauses.pause(held, &mut stop).await {
                return;
            }
        }
    }

    /// Drops what has expired, while there is no session.
    fn sweep(&self, sending: &mut Sending) {
        sending.collect();
        sending.begin();
        sending.sweep(self.clock.now());
        pubsub::tally(self, sending);
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
        stop: &mut watch::Receiver<bool>,
        settle: Duration,
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
        if let Some(streams) = &self.streams {
            streams.begin(self);
        }
        self.went_up();
        tokio::select! {
            failure = session.run(self, broker, sending, settle) => failure,
            () = told(stop) => {
                session.flush(self, sending).await;
                Failure::Stopped
            }
        }
    }

    fn went_up(&self) {
        self.company.turned(self.place, Some(self.clock.now()));
        let down = self.standing.rise();
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
            pubsub::confirm(broker, &name);
        }
        if let Some(streams) = &self.streams {
            streams.went_down(self, broker);
        }
        if !self.standing.fall(failure) {
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
            let broker = Arc::new(Broker::new(&config.broker, wakes, bridge.uplinks()));
            let name = RoomName::chat("1", "abc").unwrap();
            let room = broker.join(&name, 0, RoomSlot::default).room;
            for deadline in [Millis(0), Millis::NEVER, Millis::NEVER, Millis::NEVER] {
                let frame = Bytes::from_static(b"\x81\x01x");
                broker.publish(&room, &Publication { frame, deadline }, Some(0));
            }
            bridge.run(&broker).unwrap();
            bridge.shutdown(Millis::NEVER);
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
