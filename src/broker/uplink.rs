//! The way off this node.
//!
//! The broker owns the trait and calls it; a bridge on a higher floor implements it and hands
//! arrivals back to [`Broker::deliver_remote`](super::Broker::deliver_remote).

use super::Publication;
use crate::name::RoomName;

/// What became of a publication on its way to the other nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// In the bridge's bounded outbox.
    Queued,
    /// Not forwarded; the bridge has counted why.
    Dropped,
    /// There is nowhere to forward to.
    Alone,
}

/// Carries publications to other nodes.
pub trait Uplink: Send + Sync + std::fmt::Debug {
    /// Takes one publication. Called under the room's lock, in the room's order: it must never wait
    /// and never call back into the broker.
    fn forward(&self, room: &RoomName, sequence: u64, publication: &Publication) -> Forwarded;
}

/// One node alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoUplink;

impl Uplink for NoUplink {
    fn forward(&self, _room: &RoomName, _sequence: u64, _publication: &Publication) -> Forwarded {
        Forwarded::Alone
    }
}
