//! One tenant of the slab: a socket, its state machine, and its seat in a room.

use super::connection::Connection;
use crate::broker::Role;
use crate::clock::Millis;

/// A member's place: which room, and where in its list. A seated room is alive, so its index in the
/// worker's table is enough.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    /// Place of the room in this worker's table.
    pub(super) room: u32,
    /// Position among the room's members here.
    pub(super) position: u32,
}

/// One connection of a worker.
#[derive(Debug)]
pub(super) struct Client<S> {
    pub(super) socket: S,
    pub(super) connection: Connection,
    pub(super) role: Role,
    pub(super) seat: Option<Seat>,
    /// What admission counted; given back when the connection is gone.
    pub(super) peer: u64,
    /// The earliest timer that is set.
    pub(super) armed: Millis,
    /// Reading waits for the byte rate until then; [`Millis::NEVER`] if it does not.
    pub(super) slowed: Millis,
    /// The poll says when the socket can be written to: asked for once it could not.
    pub(super) watched: bool,
    /// The socket may hold bytes that no event will announce again.
    pub(super) unread: bool,
    /// The peer has sent its last byte.
    pub(super) finished: bool,
    /// Questions that are not answered yet; enough of them are told from more.
    pub(super) asked: u16,
    /// Its welcome waits until the other nodes' publications reach its room.
    pub(super) unwelcomed: bool,
    /// It takes no more deliveries: it has left its room, or never had one and is ending.
    pub(super) left: bool,
}

impl<S> Client<S> {
    /// Must reading wait for something other than the socket?
    pub(super) fn is_paused(&self) -> bool {
        self.is_slowed() || self.connection.is_held()
    }

    /// How it ends, for the record.
    pub(super) fn ended(&self) -> Ended {
        self.connection.ending().map_or(Ended::Gone, Ended::Closed)
    }

    /// Does reading wait for the byte rate? Not once it is ending: what is read then has a bound of its
    /// own, and the peer's answer to the close frame is in there.
    pub(super) fn is_slowed(&self) -> bool {
        self.slowed != Millis::NEVER && self.connection.is_open()
    }
}

/// How a connection ended, for the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// With a close frame: what it said.
    Closed(crate::protocol::CloseReason),
    /// Without one: reset, vanished, or cut off.
    Gone,
    /// The node stopped first.
    Shutdown,
}

impl Ended {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Closed(reason) => reason.label(),
            Self::Gone => "gone",
            Self::Shutdown => "shutdown",
        }
    }
}

/// An idle connection is this and its share of a room: the figure behind
/// `loadtest idle` and the worst case that `supportal check` prints.
const _: () = assert!(size_of::<Client<mio::net::TcpStream>>() <= 176);
