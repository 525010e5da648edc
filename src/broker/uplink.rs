//! The ways off this node: to its like, to a Django site, into the archive.
//!
//! The broker owns the trait and calls every uplink of its list; higher floors implement it and hand
//! arrivals back to [`Broker::deliver_remote`](super::Broker::deliver_remote), or in an order of its
//! own by [`Broker::deliver_taken`](super::Broker::deliver_taken).
//!
//! A publication that leaves the node has a number of its own in its room ([`Room::incarnation`] and
//! the `number` of [`Uplink::forward`]): a room's sequence counts arrivals from other nodes too, so
//! it would tell a receiver of holes that are none. A room without members here has such numbers too:
//! what is published by its name ([`Broker::publish_by_name`](super::Broker::publish_by_name)) is of an
//! incarnation of its own.

use super::parcel::ConnectionKey;
use super::publication::Publication;
use super::room::Room;
use crate::clock::Millis;
use crate::name::RoomName;
use crate::protocol::Event;
use std::sync::Arc;

/// What became of a publication on its way off the node.
#[derive(Clone, Debug)]
pub enum Forwarded {
    /// In the uplink's bounded outbox.
    Queued,
    /// Not forwarded: it is nothing for this uplink, or the uplink has counted why.
    Dropped,
    /// The event comes back in the order that all nodes share, by
    /// [`Broker::deliver_taken`](super::Broker::deliver_taken): the members are not given it now.
    Returns,
    /// These earlier ones were to come back and are not waited for any longer: the members are given
    /// them now, and then this one.
    Recalled(Vec<Publication>),
}

/// A way by which others publish into the rooms of this node, as a bit. Members are welcomed once
/// every way that the node has reaches their room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Way {
    /// Other nodes.
    Nodes = 1,
    /// A Django site.
    Django = 2,
}

impl Way {
    /// No way is waited for.
    pub const NONE: u8 = 0;

    /// The bit of this way, if it is one.
    pub(super) fn bits(way: Option<Self>) -> u8 {
        way.map_or(Self::NONE, Self::bit)
    }

    /// The way's bit.
    #[must_use]
    pub const fn bit(self) -> u8 {
        self as u8
    }
}

/// Which connection a member's message came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Author {
    /// The connection's worker.
    pub worker: usize,
    /// The connection's place there.
    pub connection: ConnectionKey,
}

/// Carries publications off the node.
pub trait Uplink: Send + Sync + std::fmt::Debug {
    /// The way by which its arrivals come, which a new room's members wait for. No two uplinks of a
    /// node have the same. `None`: nothing comes by it.
    fn way(&self) -> Option<Way> {
        None
    }

    /// Takes one publication, the `number`th that `room` forwards in this incarnation (from 1), with
    /// members on this node or without. Called under the room's lock, in the room's order: it must
    /// never wait and never call back into the broker or the room. At most one uplink of a node gives
    /// an order of its own ([`Forwarded::Returns`]).
    fn forward(&self, _room: &Arc<Room>, _number: u64, _publication: &Publication) -> Forwarded {
        Forwarded::Dropped
    }

    /// Does it read events, not only frames? Asked once, by [`Broker::new`](super::Broker::new); only
    /// if one says yes do publications hold them.
    fn reads_events(&self) -> bool {
        false
    }

    /// A member on this node said this in a room, as a user or as the system, worth telling until
    /// `deadline`. As [`Uplink::forward`], but for messages of members alone, whether other members are
    /// shown them or not, and as events: for those who read them.
    fn said(
        &self,
        _room: &Arc<Room>,
        _author: Author,
        _event: &Arc<Event<'static>>,
        _deadline: Millis,
    ) {
    }

    /// Does it keep events ([`Uplink::keep`], or those that it forwards)? Asked once, by [`Broker::new`](super::Broker::new).
    fn keeps_events(&self) -> bool {
        false
    }

    /// This happened in a room, on this node or at the Django site, and is worth keeping: messages of users, of
    /// the server and of assistants, whether other members are shown them or not, as events. True if it was taken.
    /// What is published is told under the room's lock, in the room's order. As [`Uplink::forward`], for those who
    /// read events.
    fn keep(&self, _room: &Arc<Room>, _event: &Arc<Event<'static>>) -> bool {
        false
    }

    /// Is a member's message better refused than published, since it would not be kept? Asked before each; never
    /// waits.
    fn refuses(&self) -> bool {
        false
    }

    /// The room has its first member on this node. False if its way does not reach the room yet and
    /// will, which is reported with [`Broker::confirm`](super::Broker::confirm). If every uplink says
    /// true, the members are welcomed at once: what others publish from here on arrives, or will not
    /// however long one waits.
    ///
    /// Called without the room's lock, so it may come after the [`Uplink::unwatch`] of a later
    /// leave: count both, the sum is right. Never waits.
    fn watch(&self, _name: &RoomName) -> bool {
        true
    }

    /// The room's last member on this node has left. As [`Uplink::watch`].
    fn unwatch(&self, _name: &RoomName) {}
}
