//! Mode `pubsub`: what is published reaches whoever is there, and what is missing is counted.

mod arrivals;

use super::envelope::NodeId;
use super::link::RedisLink;
use super::outbox::{Outgoing, What};
use crate::broker::Broker;
use crate::broker::uplink::Way;
use crate::name::RoomName;
use std::time::Duration;

/// What a link has in this mode beside the rest.
#[derive(Debug)]
pub(super) struct Pubsub {
    room_prefix: String,
    canary_prefix: String,
}

impl Pubsub {
    /// Channels whose names begin with `prefix`.
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            room_prefix: format!("{prefix}:room:"),
            canary_prefix: format!("{prefix}:canary:"),
        }
    }

    /// The channel of a room.
    pub(super) fn channel(&self, name: &RoomName) -> String {
        [self.room_prefix.as_str(), name.as_str()].concat()
    }

    /// The room of a channel.
    fn room<'c>(&self, channel: &'c str) -> Option<&'c str> {
        channel.strip_prefix(self.room_prefix.as_str())
    }

    /// The channel of a node's canary.
    pub(super) fn canary_channel(&self, node: NodeId) -> String {
        format!("{}{node:?}", self.canary_prefix)
    }

    /// Redis has these: members are welcomed, and a hello asks the rooms' other nodes for their marks.
    pub(super) async fn subscribed(link: &RedisLink, broker: &Broker, names: &[RoomName]) {
        let mut rooms = Vec::new();
        for name in names {
            let is_held = link.rooms.confirm(name);
            let Some(room) = broker.named(name.as_str()) else {
                continue;
            };
            if is_held {
                broker.confirm(name, Way::Nodes);
            }
            rooms.push(room);
        }
        for room in rooms {
            // Many rooms at once: their hellos must not crowd out the messages. One task of each Redis looks, after a
            // reconnection: a list of those who wait would be longer than what it saves.
            while link.outbox.is_full() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            link.outbox.push(Outgoing {
                number: room.forwarded(),
                room,
                what: What::Hello,
            });
        }
    }
}
