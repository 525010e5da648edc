//! What a worker is handed to fan out.

use super::queue::Delivery;
use crate::protocol::CloseReason;
use bytes::Bytes;

/// A connection within a worker: generation and place, as one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionKey(pub u64);

/// A room's place in a worker's table of rooms. The generation tells a reused place from the room
/// that was there before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoomSlot {
    /// Place in the worker's table.
    pub index: u32,
    /// Which tenant of that place.
    pub generation: u32,
}

/// What a worker's mailbox holds.
#[derive(Debug)]
pub enum Parcel {
    /// A publication for this worker's members of a room.
    Room {
        /// The room's place on this worker.
        slot: RoomSlot,
        /// The publication's number in its room.
        sequence: u64,
        /// Members on this worker at the moment of publishing: what the ledger expects.
        members: u32,
        /// The publication, for each of them.
        delivery: Delivery,
    },
    /// An event for one connection alone.
    Direct {
        /// Whom it is for.
        connection: ConnectionKey,
        /// The event.
        delivery: Delivery,
        /// The event ends the wait of a connection that takes one command at a time.
        resume: bool,
    },
    /// What other nodes publish into a room reaches it from here on: members are welcomed.
    Confirmed {
        /// The room's place on this worker.
        slot: RoomSlot,
    },
    /// Every member's connection is closed, behind what was published before.
    Close {
        /// The room's place on this worker.
        slot: RoomSlot,
        /// Why.
        reason: CloseReason,
        /// What the close frames say in the place of the reason's own text.
        farewell: Option<Box<str>>,
    },
    /// A control frame for one connection, in order with its events but no delivery of its own.
    Control {
        /// Whom it is for.
        connection: ConnectionKey,
        /// The frame.
        frame: Bytes,
    },
    /// A connection that takes no message until then goes on.
    Resume {
        /// Which one.
        connection: ConnectionKey,
    },
    /// A connection is closed, behind what was sent to it before.
    End {
        /// Which one.
        connection: ConnectionKey,
        /// Why.
        reason: CloseReason,
        /// What the close frame says in the place of the reason's own text.
        farewell: Option<Box<str>>,
    },
    /// A question of this connection has been answered, in front of this.
    Answered {
        /// Who asked.
        connection: ConnectionKey,
    },
}

impl Parcel {
    /// How many deliveries come of it, one per member or connection.
    #[must_use]
    pub fn deliveries(&self) -> u64 {
        match self {
            Self::Room { members, .. } => u64::from(*members),
            Self::Direct { .. } => 1,
            Self::Answered { .. }
            | Self::Resume { .. }
            | Self::End { .. }
            | Self::Control { .. }
            | Self::Confirmed { .. }
            | Self::Close { .. } => 0,
        }
    }

    /// What it keeps alive, as mailboxes count it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Room { delivery, .. } | Self::Direct { delivery, .. } => delivery.frame.len(),
            Self::Control { frame, .. } => frame.len(),
            Self::Answered { .. }
            | Self::Resume { .. }
            | Self::End { .. }
            | Self::Confirmed { .. }
            | Self::Close { .. } => 0,
        }
    }
}
