//! Mode `pubsub`: what is published reaches whoever is there, and what is missing is counted.

mod arrivals;
mod asides;
mod lane;

use super::envelope::NodeId;
use super::link::{Boot, RedisLink};
use super::marks::held::HeldDigests;
use super::marks::questions::Questions;
use super::outbox::RoomBatch;
use crate::broker::Broker;
use crate::broker::uplink::Way;
use crate::config::BridgeSettings;
use crate::name::RoomName;
use crate::redis::client::{Answer, RedisClient};
use crate::redis::value::RedisValue;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::Notify;

/// From so many rooms on that are subscribed at once, one question names them; fewer have a hello each, which is
/// answered at once.
const MANY: usize = 16;

/// What a link has in this mode beside the rest.
#[derive(Debug)]
pub(super) struct Pubsub {
    room_prefix: String,
    canary_prefix: String,
    questions: Mutex<Questions>,
    held: Mutex<HeldDigests>,
    /// A question of this node is due at another time than before.
    asks: Notify,
    /// An answer is.
    tells: Notify,
    /// A room with members stays subscribed for longer than Redis may take for an answer: of those who are given what
    /// is said there, one is this node.
    counts_itself: bool,
}

impl Pubsub {
    /// Channels whose names begin with `prefix`.
    pub(super) fn new(prefix: &str, boot: &Boot, settings: &BridgeSettings) -> Self {
        let questions = Questions::new(boot.node, boot.epoch, settings.marks_expiry);
        Self {
            room_prefix: format!("{prefix}:room:"),
            canary_prefix: format!("{prefix}:canary:"),
            questions: Mutex::new(questions),
            held: Mutex::default(),
            asks: Notify::new(),
            tells: Notify::new(),
            counts_itself: settings.linger > settings.command_timeout * 2,
        }
    }

    /// The channel of a room.
    pub(super) fn channel(&self, name: &RoomName) -> String {
        [self.room_prefix.as_str(), name.as_str()].concat()
    }

    /// The room of a channel.
    pub(super) fn room<'c>(&self, channel: &'c str) -> Option<&'c str> {
        channel.strip_prefix(self.room_prefix.as_str())
    }

    /// The channel of a node's canary.
    pub(super) fn canary_channel(&self, node: NodeId) -> String {
        format!("{}{node:?}", self.canary_prefix)
    }

    /// Redis has these: members are welcomed, and the rooms' other nodes are asked for their marks.
    pub(super) fn subscribed(&self, link: &RedisLink, broker: &Broker, names: &[RoomName]) {
        let mut entered = Vec::new();
        for name in names {
            if link.rooms.confirm(name) {
                broker.confirm(name, Way::Nodes);
            }
            if link.enter(name) {
                entered.push(name.clone());
            }
        }
        let mut questions = self.questions.lock();
        let now = link.clock.now();
        questions.entered(&entered, now);
        if entered.len() < MANY {
            drop(questions);
            return asides::say_hellos(link, broker, entered);
        }
        questions.ask_for(entered, now);
        drop(questions);
        self.asks.notify_one();
    }

    /// A session begins.
    pub(super) fn begin(&self, link: &RedisLink) {
        self.questions.lock().begin(link.clock.now());
    }

    /// All rooms are subscribed that were known before the session.
    pub(super) fn caught_up(&self, link: &RedisLink) {
        if self.questions.lock().caught_up(link.clock.now()) {
            self.asks.notify_one();
        }
    }

    /// A session is over, or was none.
    pub(super) fn went_down(&self, link: &RedisLink) {
        self.questions.lock().absent(link.proven());
    }

    /// Arrivals were thrown away.
    pub(super) fn lagged(&self, link: &RedisLink) {
        let now = link.clock.now();
        self.questions.lock().lagged(link.proven(), now);
    }

    /// Takes a parcel to the other nodes. Where Redis says that nobody else listens, no mark needs to follow it: who
    /// comes later asks.
    pub(super) fn publish(
        &self,
        link: &RedisLink,
        client: &dyn RedisClient,
        parcel: RoomBatch,
    ) -> Answer {
        let name = parcel.room.name();
        let own = i64::from(self.counts_itself && link.rooms.stands(name));
        let (incarnation, last) = (parcel.room.incarnation(), parcel.last);
        let outbox = Arc::clone(&link.outbox);
        let publishing = client.publish(self.channel(name), parcel.envelope);
        Box::pin(async move {
            let receivers = publishing.await?;
            if matches!(receivers, RedisValue::Integer(count) if count <= own) {
                outbox.marks.told(incarnation, last);
            }
            Ok(receivers)
        })
    }
}
