//! Hellos and marks in a room's own channel, beside the messages.

use crate::bridge::link::RedisLink;
use crate::bridge::outbox::{Outgoing, What};
use crate::broker::Broker;
use crate::broker::room::Room;
use crate::name::RoomName;
use std::sync::Arc;

/// Asks in each of these rooms.
pub(super) fn say_hellos(link: &RedisLink, broker: &Broker, names: Vec<RoomName>) {
    for room in names.iter().filter_map(|name| broker.find(name)) {
        say_aside(link, room, What::Hello);
    }
}

/// Says a hello or a mark in a room.
pub(super) fn say_aside(link: &RedisLink, room: Arc<Room>, what: What) {
    // Whatever the room has forwarded so far is in the outbox, in front of this.
    link.outbox.say_aside(Outgoing {
        number: room.forwarded(),
        room,
        what,
    });
}
