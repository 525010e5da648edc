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
    pub(super) counted: u64,
    /// The earliest timer that is set.
    pub(super) armed: Millis,
    /// Reading waits for the byte rate until then; [`Millis::NEVER`] if it does not.
    pub(super) slowed: Millis,
    pub(super) incoming: ReadSide,
    pub(super) outgoing: WriteSide,
    /// Questions that are not answered yet; enough of them are told from more.
    pub(super) asked: u16,
    pub(super) stage: Stage,
}

/// What the socket of a connection may still hold for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadSide {
    /// Nothing that an event will not announce.
    Drained,
    /// Perhaps bytes that no event will announce again.
    Unread,
    /// Nothing ever: the peer has sent its last byte.
    Finished,
}

/// Who says when the socket can be written to again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteSide {
    /// Nobody: the socket has taken everything so far.
    Unwatched,
    /// The port: asked for once the socket could not be written to.
    Watched,
}

/// How far a connection is on its way through its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The connection takes part in its room, and is welcomed once other nodes' publications reach that.
    Joining,
    /// The connection takes part in its room.
    Open,
    /// The connection says nothing more, and gets what its room was told before: it leaves after that.
    Ending,
    /// The connection takes no more deliveries: it has left its room, or never had one. The close frame may go
    /// out.
    Left,
}

impl<S> Client<S> {
    /// The socket may hold bytes that no event will announce again.
    pub(super) fn leave_unread(&mut self) {
        if self.incoming == ReadSide::Drained {
            self.incoming = ReadSide::Unread;
        }
    }

    /// Is it to be read although no event says so? That is asked once.
    pub(super) fn take_unread(&mut self) -> bool {
        let is_unread = self.incoming == ReadSide::Unread;
        if is_unread {
            self.incoming = ReadSide::Drained;
        }
        is_unread
    }

    /// Has the peer sent its last byte?
    pub(super) fn is_finished(&self) -> bool {
        self.incoming == ReadSide::Finished
    }

    /// Has it begun to end since this was asked last?
    pub(super) fn begins_to_end(&mut self) -> bool {
        let is_in = matches!(self.stage, Stage::Joining | Stage::Open);
        let begins = is_in && !self.connection.is_open();
        if begins {
            self.stage = Stage::Ending;
        }
        begins
    }

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

/// The label of [`Ended::Unwatched`].
pub(super) const UNWATCHED: &str = "unwatched";

/// How a connection ended, for the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// With a close frame: what it said.
    Closed(crate::protocol::CloseReason),
    /// Without one: reset, vanished, or cut off.
    Gone,
    /// The node stopped first.
    Shutdown,
    /// The system had no room to watch its socket.
    Unwatched,
}

impl Ended {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Closed(reason) => reason.label(),
            Self::Gone => "gone",
            Self::Shutdown => "shutdown",
            Self::Unwatched => UNWATCHED,
        }
    }
}

/// An idle connection is this and its share of a room: the figure behind
/// `loadtest idle` and the worst case that `supportal check` prints.
const _: () = assert!(size_of::<Client<mio::net::TcpStream>>() <= 176);
