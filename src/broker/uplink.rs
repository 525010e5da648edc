//! The way off this node.
//!
//! The broker owns the trait and calls it; a bridge on a higher floor implements it and hands
//! arrivals back to [`Broker::deliver_remote`](super::Broker::deliver_remote).
//!
//! A publication that leaves the node has a number of its own in its room ([`Room::incarnation`] and
//! the `number` of [`Uplink::forward`]): a room's sequence counts arrivals from other nodes too, so
//! it would tell a receiver of holes that are none.

use super::Publication;
use super::room::Room;
use std::sync::Arc;

/// What became of a publication on its way to the other nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// In the bridge's bounded outbox.
    Queued,
    /// Not forwarded; the bridge has counted why.
    Dropped,
}

/// Carries publications to other nodes.
pub trait Uplink: Send + Sync + std::fmt::Debug {
    /// Takes one publication, the `number`th that `room` forwards in this incarnation (from 1).
    /// Called under the room's lock, in the room's order: it must never wait and never call back
    /// into the broker or the room.
    fn forward(&self, room: &Arc<Room>, number: u64, publication: &Publication) -> Forwarded;

    /// The room has its first member on this node. True if what other nodes publish into it from
    /// here on arrives, or will not arrive however long one waits: then its members are welcomed at
    /// once. False if the bridge will say so with [`Broker::confirm`](super::Broker::confirm).
    ///
    /// Called without the room's lock, so it may come after the [`Uplink::unwatch`] of a later
    /// leave: count both, the sum is right. Never waits.
    fn watch(&self, room: &Arc<Room>) -> bool;

    /// The room's last member on this node has left. As [`Uplink::watch`].
    fn unwatch(&self, room: &Arc<Room>);
}
