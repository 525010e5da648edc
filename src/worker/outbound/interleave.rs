//! Events and control frames for one connection, in one write.

use super::{Outbound, Reader, Sent, write_some};
use crate::broker::queue::Delivery;
use crate::clock::Millis;
use crate::worker::per_route::PerRoute;
use bytes::Bytes;
use std::io::{self, Write};

/// One frame of several that leave together.
#[derive(Clone, Copy, Debug)]
pub enum OutboundPiece<'a> {
    /// A delivery.
    Event(&'a Delivery),
    /// A pong: no delivery, and of those that the socket does not take only the newest waits.
    Control(&'a Bytes),
}

impl<'a> OutboundPiece<'a> {
    /// Header and payload.
    #[must_use]
    pub fn frame(self) -> &'a Bytes {
        match self {
            Self::Event(delivery) => &delivery.frame,
            Self::Control(frame) => frame,
        }
    }
}

impl Outbound {
    /// Does nothing wait that comes before an event? A close frame does not.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.backlog.as_ref().is_none_or(|backlog| {
            backlog.queue.is_empty() && backlog.current.is_none() && backlog.control.is_none()
        })
    }

    /// As [`Outbound::offer`], of frames of both kinds; `bytes` are those of all `pieces` in a row, and
    /// are not looked at unless [`Outbound::is_clear`].
    /// Each control frame leaves in its place if the socket takes it now.
    ///
    /// # Errors
    /// The socket's, other than that it would block: the connection is gone.
    pub fn interleave<'a>(
        &mut self,
        now: Millis,
        readers: &PerRoute<Reader>,
        pieces: impl Iterator<Item = OutboundPiece<'a>>,
        bytes: &[u8],
        socket: &mut impl Write,
        sent: &mut Sent,
    ) -> io::Result<()> {
        let mut taken = 0;
        if self.is_clear() {
            taken = write_some(socket, bytes, sent)?;
            self.note(taken as u64, self.is_pinged);
            if taken < bytes.len() {
                self.moved = now;
            }
        }
        for piece in pieces {
            let length = piece.frame().len();
            let whole = taken >= length;
            let written = if whole {
                length
            } else {
                std::mem::take(&mut taken)
            };
            match piece {
                OutboundPiece::Event(_) if whole => sent.delivered += 1,
                OutboundPiece::Event(delivery) => {
                    self.queue_one(now, readers, delivery, written, sent);
                }
                OutboundPiece::Control(_) if whole => {}
                // The frame's rest comes before everything else.
                OutboundPiece::Control(frame) if written > 0 => {
                    self.backlog.get_or_insert_default().current = Some((frame.clone(), written));
                }
                OutboundPiece::Control(frame) => self.control(frame.clone()),
            }
            taken -= if whole { written } else { 0 };
        }
        Ok(())
    }
}
