//! What a consumer can do: speak to its room, to its connection, and ask who it is talking to.

use super::caller::{Caller, Identity};
use super::message::{Payload, Verdict};
use super::publication::Publication;
use super::registry::Broker;
use super::room::Room;
use super::uplink::Author;
use crate::clock::{Clock, Millis};
use crate::name::RoomName;
use crate::protocol::CloseReason;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Makes a frame of a payload: text or binary. The worker's, as frames are not the broker's business.
pub(crate) type Encode = fn(bool, &[u8]) -> Bytes;

/// One connection, as its [`Consumer`](super::Consumer) sees it during one call.
pub struct Context<'a> {
    pub(crate) broker: &'a Arc<Broker>,
    pub(crate) author: Author,
    pub(crate) room: Option<&'a Arc<Room>>,
    /// The room that it was a member of until it ended: another room may have this name by now.
    pub(crate) left: Option<&'a RoomName>,
    pub(crate) clock: Clock,
    /// When the turn began.
    pub(crate) now: Millis,
    /// How long what is said now is worth delivering.
    pub(crate) expiry: Duration,
    pub(crate) encode: Encode,
    pub(crate) caller: Option<Arc<Caller>>,
    /// The 101 is not written yet: the first event that is sent leaves with it, unless something was published before.
    pub(crate) is_opening: bool,
    pub(crate) greeting: Option<Publication>,
    /// Questions that the connection asked meanwhile.
    pub(crate) asked: u16,
    /// What the close frame says, if the consumer closes for that reason.
    pub(crate) farewell: Option<(CloseReason, Box<str>)>,
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("author", &self.author)
            .field("room", &self.room())
            .field("caller", &self.caller)
            .finish_non_exhaustive()
    }
}

impl Context<'_> {
    /// Who the client is.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.caller.as_ref().map(|caller| &*caller.identity)
    }

    /// A typed part of the path by its name, decoded: `parameter("id")` for `{id:int}`.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let parameters = &self.caller.as_ref()?.parameters;
        let found = parameters.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The room that the connection is a member of, as the path named it; in
    /// [`Consumer::close`](super::Consumer::close) the one that it has left.
    #[must_use]
    pub fn room(&self) -> Option<&RoomName> {
        self.room.map(|room| room.name()).or(self.left)
    }

    /// Says something to every member of the room, this one included, on every node. Never waits:
    /// what a member has not taken yet waits in its queue (`queue.capacity`, `queue.bytes_max`), for at most
    /// `queue.expiry`. Nothing happens without a room.
    pub fn publish<'p>(&mut self, payload: impl Into<Payload<'p>>) {
        let publication = self.publication(payload.into());
        self.publish_ready(&publication);
        // What is sent from here on comes behind this, and so by the mailbox too.
        self.is_opening = false;
    }

    /// Says something to this connection alone, in order with what its room is told. As
    /// [`Context::publish`].
    pub fn send<'p>(&mut self, payload: impl Into<Payload<'p>>) {
        let publication = self.publication(payload.into());
        self.send_ready(publication);
    }

    /// The verdict that ends the connection with this code, as [`Verdict::close`] reads it; the close frame says `reason`,
    /// of which at most 123 bytes fit (RFC 6455 §5.5).
    #[must_use = "the connection ends by what the consumer returns"]
    pub fn close(&mut self, code: u16, reason: &str) -> Verdict {
        let verdict = Verdict::close(code);
        if let Verdict::Close(ending) = verdict {
            self.farewell = ending.farewell(reason).map(|text| (ending, text));
        }
        verdict
    }

    /// What the close frame of a connection that ends for this reason says instead of the reason's own text: nothing if the
    /// consumer has asked for another end than it returned.
    pub(crate) fn take_farewell(&mut self, ending: CloseReason) -> Option<Box<str>> {
        let (asked, text) = self.farewell.take()?;
        (asked == ending).then_some(text)
    }

    fn publication(&self, payload: Payload<'_>) -> Publication {
        match payload {
            Payload::Text(text) => self.framed((self.encode)(true, text.as_bytes())),
            Payload::Binary(bytes) => self.framed((self.encode)(false, bytes)),
        }
    }

    /// A frame as a publication of now.
    pub(crate) fn framed(&self, frame: Bytes) -> Publication {
        Publication {
            frame,
            deadline: self.now + self.expiry,
            event: None,
        }
    }

    /// Publishes into the room, if the connection is a member of one or has just left it.
    pub(crate) fn publish_ready(&self, publication: &Publication) {
        if let Some(room) = self.room {
            self.broker
                .publish(room, publication, Some(self.author.worker));
        } else if let Some(name) = self.left {
            self.broker.publish_by_name(name, publication);
        }
    }

    /// Sends to this connection alone.
    pub(crate) fn send_ready(&mut self, publication: Publication) {
        if self.is_opening && self.greeting.is_none() {
            self.greeting = Some(publication);
            return;
        }
        let Author { worker, connection } = self.author;
        self.broker
            .direct(worker, connection, publication, false, Some(worker));
    }
}
