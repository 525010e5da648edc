//! The way over one Redis: down, or up. The link tries for as long as the node lives.
//!
//! Each change of the state is one log line and one count, however often it tries in between. While
//! it is down, nobody waits for anything: members are welcomed at once, publications wait in the
//! outbox until they expire or a session sends them, and a full outbox drops.

use super::inquiry::Inquiries;
use super::link::{Boot, RedisLink};
use super::mode::Mode;
use super::outbox::Sending;
use super::roll::Company;
use super::session::{self, LinkSession};
use crate::broker::Broker;
use crate::broker::uplink::Way;
use crate::clock::Clock;
use crate::config::Config;
use crate::metrics::{Metrics, count, count_all};
use crate::redis::deployment::Deployment;
use crate::redis::failure::LinkFailure;
use crate::redis::supervise::{Pauses, stopped, supervise};
use crate::redis::{NodeEnd, Randomness};
use std::sync::Arc;
use std::time::Duration;

/// One Redis of `bridge.urls`, and what is done over it.
#[derive(Clone, Debug)]
pub(super) struct SupervisedLink {
    pub(super) link: Arc<RedisLink>,
    pub(super) mode: Arc<Mode>,
    epoch: u64,
    randomness: Randomness,
    pause_max: Duration,
    /// Nothing leaves for so long after an outage.
    quiet_period: Duration,
}

impl SupervisedLink {
    /// The Redis at a place of `bridge.urls`. Nothing runs yet.
    pub(super) fn new(
        (place, deployment): (usize, Deployment),
        config: &Config,
        (boot, company, inquiries): (&Boot, &Arc<Company>, &Arc<Inquiries>),
        metrics: &Arc<Metrics>,
        clock: Clock,
    ) -> Self {
        let settings = &config.bridge;
        let mode = Mode::new(config, &deployment.prefix, boot);
        let at_redis = (deployment, mode.canary_channel(boot.node));
        let who = (boot, company, inquiries);
        Self {
            link: Arc::new(RedisLink::new(place, at_redis, config, who, metrics, clock)),
            mode: Arc::new(mode),
            epoch: boot.epoch,
            randomness: boot.randomness.clone(),
            pause_max: settings.reconnect_max,
            quiet_period: settings.reconnect_max * 2,
        }
    }

    /// Runs the link until the node's end, whatever happens in it.
    pub(super) async fn supervise(self, broker: Arc<Broker>, ending: NodeEnd) {
        let begin = || self.clone().run(Arc::clone(&broker), ending.clone());
        let on_panic = || {
            tracing::error!(
                redis = self.link.name,
                address = self.link.deployment.shown,
                "the bridge's code panicked; it begins anew"
            );
            self.went_down(&broker, &LinkFailure::Ended);
        };
        supervise(&self.link.metrics, self.pause_max, begin, on_panic).await;
    }

    /// Runs sessions until the node's end; then what is left goes out.
    async fn run(self, broker: Arc<Broker>, ending: NodeEnd) {
        let mut sending = Sending::new(Arc::clone(&self.link.outbox), self.link.node, self.epoch);
        if !self.mode.says_marks() {
            sending = sending.without_marks();
        }
        self.sessions(&broker, &mut sending, ending).await;
        self.sweep(&mut sending);
        self.count_lost(&sending);
    }

    async fn sessions(&self, broker: &Arc<Broker>, sending: &mut Sending, mut ending: NodeEnd) {
        let mut pauses = Pauses::new(self.pause_max, self.randomness.clone());
        let mut quiet_period = Duration::ZERO;
        loop {
            let started = self.link.clock.now();
            let failure = self
                .session(broker, sending, &mut ending, quiet_period)
                .await;
            if matches!(failure, LinkFailure::Stopped) {
                return;
            }
            quiet_period = self.quiet_period;
            self.went_down(broker, &failure);
            self.sweep(sending);
            // Rooms come and go while it is down; those that went are forgotten.
            drop(self.link.rooms.due(self.link.clock.now()));
            let held = self.link.clock.now().since(started);
            if !pauses.pause(held, &mut ending.stop).await {
                return;
            }
        }
    }

    /// Drops what has expired, while there is no session.
    fn sweep(&self, sending: &mut Sending) {
        sending.collect();
        sending.begin();
        sending.sweep(self.link.clock.now());
        session::tally(&self.link, sending);
    }

    /// The node is gone for the others: what Redis has not answered for is lost, so far as anybody
    /// here can know.
    fn count_lost(&self, sending: &Sending) {
        let lost = sending.messages();
        if lost == 0 {
            return;
        }
        let dropped = &self.link.metrics.bridge_dropped;
        count_all(dropped, "cause", "shutdown", lost);
        tracing::warn!(
            redis = self.link.name,
            address = self.link.deployment.shown,
            lost,
            "the node goes down without having told the others everything: Redis has not answered"
        );
    }

    async fn session(
        &self,
        broker: &Arc<Broker>,
        sending: &mut Sending,
        ending: &mut NodeEnd,
        quiet_period: Duration,
    ) -> LinkFailure {
        let opened = tokio::select! {
            biased;
            () = stopped(&mut ending.stop) => return LinkFailure::Stopped,
            opened = LinkSession::open(&self.link, &self.mode, broker) => opened,
        };
        let mut session = match opened {
            Ok(session) => session,
            Err(failure) => return failure,
        };
        self.link.set_client(Some(session.client()));
        self.link.rooms.begin();
        self.mode.begin(&self.link);
        self.went_up();
        tokio::select! {
            biased;
            failure = session.run((&self.link, &self.mode), broker, sending, quiet_period) => failure,
            () = stopped(&mut ending.stop) => {
                session.flush((&self.link, &self.mode), sending, ending).await;
                LinkFailure::Stopped
            }
        }
    }

    fn went_up(&self) {
        self.link
            .company
            .turned(self.link.place, Some(self.link.clock.now()));
        let down = self.link.health.mark_up();
        count(&self.link.metrics.bridge_changes, "state", "up");
        tracing::info!(
            redis = self.link.name,
            address = self.link.deployment.shown,
            down = down.map(tracing::field::debug),
            "the bridge is up: other nodes are reached over this Redis"
        );
    }

    fn went_down(&self, broker: &Broker, failure: &LinkFailure) {
        self.link.set_client(None);
        self.link.company.turned(self.link.place, None);
        for name in self.link.rooms.end() {
            broker.confirm(&name, Way::Nodes);
        }
        self.mode.went_down(&self.link, broker);
        if !self.link.health.mark_down(failure) {
            return;
        }
        count(&self.link.metrics.bridge_changes, "state", "down");
        tracing::warn!(
            redis = self.link.name,
            address = self.link.deployment.shown,
            reason = %failure,
            "the bridge is down: rooms go on within this node"
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::bridge::Bridge;
    use crate::broker::RoomSlot;
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
                broker.publish(
                    &room,
                    &Publication {
                        frame,
                        deadline,
                        event: None,
                    },
                    Some(0),
                );
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
