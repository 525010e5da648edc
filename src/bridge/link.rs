//! What all that use one Redis of `bridge.urls` share.

use super::envelope::{EnvelopeHead, NodeId};
use super::inquiry::Inquiries;
use super::marks::Marks;
use super::marks::letter::RoomMark;
use super::order::RoomOrder;
use super::origins::Origins;
use super::outbox::Outbox;
use super::roll::{Company, nodes_channel};
use super::wall::wall_millis;
use crate::clock::{Clock, Millis, SharedDuration};
use crate::config::{BridgeMode, Config};
use crate::metrics::Metrics;
use crate::name::RoomName;
use crate::redis::client::RedisClient;
use crate::redis::deployment::Deployment;
use crate::redis::health::{self, LinkHealth};
use crate::redis::subscriptions::Subscriptions;
use crate::redis::{LinkReport, Randomness};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// To which rooms a digest applies.
#[derive(Clone, Copy, Debug)]
pub(super) struct MarkTimes {
    /// When the digest came.
    pub(super) heard: Millis,
    /// In rooms that were entered before then, all of an absence was missed.
    pub(super) missed_since: Option<Millis>,
}

/// A room in mode `pubsub`.
#[derive(Debug, Default)]
pub(super) struct HeardRoom {
    /// Who said what there, of the other nodes.
    origins: Origins,
    /// When the others were asked where they are in it.
    entered: Option<Millis>,
}

impl HeardRoom {
    /// Takes in a mark of a digest; how many publications up to it never came. A node that is not known here and has
    /// begun to speak within an absence, in a room that was entered before, is missed from the first. What was told
    /// before this node entered is no baseline: more may have been said until then, for others.
    fn mark(
        &mut self,
        (head, mark): (&EnvelopeHead, &RoomMark),
        times: MarkTimes,
        now: Millis,
    ) -> u64 {
        let is_entered = self.entered.is_some_and(|at| at <= times.heard);
        if !is_entered && !self.origins.knows(head.node) {
            return 0;
        }
        let was_there = self.entered.is_some_and(|at| Some(at) < times.missed_since);
        if mark.has_begun && was_there {
            self.origins.begin(head, now);
        }
        self.origins.mark(head, mark.number, now)
    }
}

/// A moment by this process's clock and by the wall's.
type ProofTime = (Millis, u64);

/// Canaries, as proofs of what arrived.
#[derive(Debug, Default)]
struct Proof {
    /// The last one that left, and when.
    sent: (u64, ProofTime),
    /// When the last one left that came back: what was published before has arrived.
    proven: Option<ProofTime>,
}

impl Proof {
    /// When that was, and for how long the machine has slept since then: its clock stood still, those of the other
    /// nodes did not, and Redis may have given up on this one meanwhile. A wall clock that is put right counts as sleep.
    fn proven(&self, (now, wall): ProofTime) -> Option<(Millis, Duration)> {
        let (at, wall_then) = self.proven?;
        let by_wall = Duration::from_millis(wall.saturating_sub(wall_then));
        Some((at, by_wall.saturating_sub(now.since(at))))
    }
}

/// What is known of a room over one Redis, by the mode.
#[derive(Debug)]
pub(super) enum RoomState {
    /// What was heard there of the other nodes.
    Pubsub(Box<HeardRoom>),
    /// Where this node is in the room's stream.
    Streams(Box<RoomOrder>),
}

/// Who this node is to the others: random at each boot.
#[derive(Clone, Debug)]
pub(super) struct Boot {
    pub(super) node: NodeId,
    pub(super) epoch: u64,
    pub(super) randomness: Randomness,
}

/// One Redis of `bridge.urls`.
#[derive(Debug)]
pub(super) struct RedisLink {
    /// For people: `bridge.urls[0]`.
    pub(super) name: String,
    pub(super) deployment: Deployment,
    pub(super) outbox: Arc<Outbox>,
    pub(super) rooms: Subscriptions<RoomState>,
    pub(super) canary_channel: String,
    /// Where all nodes say who they are.
    pub(super) nodes_channel: String,
    /// In `bridge.urls`, from 0.
    pub(super) place: usize,
    pub(super) company: Arc<Company>,
    pub(super) inquiries: Arc<Inquiries>,
    /// Where commands go while a session lasts.
    client: Mutex<Option<Arc<dyn RedisClient>>>,
    proof: Mutex<Proof>,
    pub(super) node: NodeId,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    /// `queue.expiry`: nothing from another node is kept for longer.
    pub(super) expiry: SharedDuration,
    pub(super) timeout: Duration,
    pub(super) health: LinkHealth,
}

impl RedisLink {
    /// The link to the Redis at a place of `bridge.urls`, over which nothing runs yet.
    pub(super) fn new(
        place: usize,
        (deployment, canary_channel): (Deployment, String),
        config: &Config,
        (boot, company, inquiries): (&Boot, &Arc<Company>, &Arc<Inquiries>),
        metrics: &Arc<Metrics>,
        clock: Clock,
    ) -> Self {
        let settings = &config.bridge;
        let label = health::label(place);
        let (up, took) = (&metrics.bridge_up, &metrics.bridge_canary);
        // A stream says itself where it ends.
        let rooms = match settings.mode {
            BridgeMode::Streams => 0,
            BridgeMode::Off | BridgeMode::Pubsub => settings.marks_capacity,
        };
        let marks = Marks::new(rooms, settings.marks_expiry);
        let (entries, bytes) = (settings.outbox_capacity, settings.outbox_bytes);
        Self {
            name: health::name("bridge.urls", place),
            outbox: Arc::new(Outbox::new(entries, bytes, marks)),
            rooms: Subscriptions::new(settings.linger, settings.confirm_timeout, &boot.randomness),
            canary_channel,
            nodes_channel: nodes_channel(&deployment.prefix),
            deployment,
            place,
            company: Arc::clone(company),
            inquiries: Arc::clone(inquiries),
            client: Mutex::default(),
            proof: Mutex::default(),
            node: boot.node,
            clock,
            metrics: Arc::clone(metrics),
            expiry: SharedDuration::new(config.queue.expiry),
            timeout: settings.command_timeout,
            health: LinkHealth::new(("link", label), up, took, clock),
        }
    }

    /// Runs `visit` on what is known of the other nodes in a room; `None` if the room is not wanted,
    /// or has an order.
    pub(super) fn origins<R>(
        &self,
        name: &str,
        visit: impl FnOnce(&mut Origins) -> R,
    ) -> Option<R> {
        let visit = |state: &mut RoomState| match state {
            RoomState::Pubsub(room) => Some(visit(&mut room.origins)),
            RoomState::Streams(_) => None,
        };
        self.rooms.visit(name, visit).flatten()
    }

    /// Takes in a mark of a digest, see [`HeardRoom::mark`].
    pub(super) fn mark(
        &self,
        (head, mark): (&EnvelopeHead, &RoomMark),
        times: MarkTimes,
        now: Millis,
    ) -> u64 {
        let visit = |state: &mut RoomState| match state {
            RoomState::Pubsub(room) => room.mark((head, mark), times, now),
            RoomState::Streams(_) => 0,
        };
        self.rooms
            .visit(mark.name.as_str(), visit)
            .unwrap_or_default()
    }

    /// The room is entered; true the first time in its life here.
    pub(super) fn enter(&self, name: &RoomName) -> bool {
        let now = self.clock.now();
        let visit = |state: &mut RoomState| match state {
            RoomState::Pubsub(room) => room.entered.replace(room.entered.unwrap_or(now)).is_none(),
            RoomState::Streams(_) => false,
        };
        self.rooms.visit(name.as_str(), visit).unwrap_or_default()
    }

    /// Runs `visit` on a room's order; `None` if the room is not wanted, or has none.
    pub(super) fn order<R>(
        &self,
        name: &str,
        visit: impl FnOnce(&mut RoomOrder) -> R,
    ) -> Option<R> {
        let visit = |state: &mut RoomState| match state {
            RoomState::Pubsub(_) => None,
            RoomState::Streams(order) => Some(visit(order)),
        };
        self.rooms.visit(name, visit).flatten()
    }

    /// Runs `visit` on the order of every room; the names of those for which it is true.
    pub(super) fn orders(&self, mut visit: impl FnMut(&mut RoomOrder) -> bool) -> Vec<RoomName> {
        self.rooms.visit_all(|state| match state {
            RoomState::Pubsub(_) => false,
            RoomState::Streams(order) => visit(order),
        })
    }

    /// Where commands go, while a session lasts.
    pub(super) fn client(&self) -> Option<Arc<dyn RedisClient>> {
        self.client.lock().clone()
    }

    /// A session begins with this client, or is over.
    pub(super) fn set_client(&self, client: Option<Arc<dyn RedisClient>>) {
        *self.client.lock() = client;
    }

    /// A canary leaves.
    pub(super) fn send_canary(&self, number: u64) {
        self.proof.lock().sent = (number, self.moment());
    }

    /// A canary came back.
    pub(super) fn see_canary(&self, bytes: &[u8]) {
        let Ok(bytes) = bytes.try_into() else {
            return;
        };
        let number = u64::from_be_bytes(bytes);
        let mut proof = self.proof.lock();
        if proof.sent.0 == number {
            proof.proven = Some(proof.sent.1);
        }
        drop(proof);
        self.health.see_canary(number);
    }

    /// What was published before has arrived, for sure, and for how long the machine has slept since then; `None` before
    /// the first canary.
    pub(super) fn proven(&self) -> Option<(Millis, Duration)> {
        self.proof.lock().proven(self.moment())
    }

    fn moment(&self) -> ProofTime {
        (self.clock.now(), wall_millis(self.clock))
    }

    /// How this Redis is.
    pub(super) fn report(&self) -> LinkReport {
        let (outbox, _) = self.outbox.load();
        let who = (self.name.as_str(), &self.deployment);
        self.health.report(who, &self.rooms, outbox)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_machine_slept_is_a_part_of_an_absence_and_a_wall_clock_put_back_is_not() {
        let mut proof = Proof::default();
        assert_eq!(proof.proven((Millis(9), 9)), None);
        proof.proven = Some((Millis(1_000), 50_000));
        for (now, wall, slept) in [
            (3_000, 52_000, 0),
            (3_000, 112_000, 60_000),
            (3_000, 10, 0),
            (3_000, u64::MAX, u64::MAX - 52_000),
        ] {
            let proven = proof.proven((Millis(now), wall));
            assert_eq!(proven, Some((Millis(1_000), Duration::from_millis(slept))));
        }
    }
}
