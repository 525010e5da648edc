//! The writing half of a connection: what goes to the socket, in which order, and what became of it.
//!
//! While a socket takes everything there is nothing here but a null pointer. A socket that is
//! behind gets a `Backlog`: the subscriber's bounded queue, one pending pong or ping (the newest),
//! one pending close. Control frames go between deliveries, never inside one; the close goes last.
//! No I/O of its own: the socket is any [`Write`].

mod interleave;
mod reader;

pub use interleave::OutboundPiece;
pub use reader::Reader;

use super::per_route::PerRoute;
use crate::broker::queue::{Delivery, Pushed, Queue, SLICES_MAX};
use crate::clock::Millis;
use bytes::Bytes;
use std::io::{self, ErrorKind, IoSlice, Write};

/// Frames of one turn for the same subscribers, also as one run of bytes.
#[derive(Clone, Copy, Debug)]
pub struct FrameBatch<'a> {
    /// The frames, oldest first.
    pub frames: &'a [Delivery],
    /// The same frames in a row.
    pub bytes: &'a [u8],
}

/// What became of offered and queued deliveries; the ledger's columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Deliveries whose last byte the kernel took.
    pub delivered: u64,
    /// Deliveries dropped for the queue's bounds.
    pub capacity: u64,
    /// Deliveries dropped for their age.
    pub expired: u64,
    /// Deliveries that went into the queue.
    pub queued: u64,
    /// Deliveries that left the queue, delivered or dropped.
    pub unqueued: u64,
    /// Bytes the kernel took.
    pub bytes: u64,
    /// Write calls made.
    pub calls: u64,
    /// `queue.overflow = "disconnect"` applies.
    pub overflow: bool,
}

/// Where a flush ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// Nothing is left to write.
    Idle,
    /// The socket takes no more for now.
    Blocked,
    /// The close frame is out: the last thing a connection says.
    Closed,
}

#[derive(Debug, Default)]
struct Backlog {
    queue: Queue,
    /// A control frame on its way, and how much of it has left.
    current: Option<(Bytes, usize)>,
    /// The newest pong or ping that waits for its turn.
    control: Option<Bytes>,
    close: Option<Bytes>,
    /// The control frame on its way is the close, the last thing of all.
    is_closing: bool,
}

/// The writing half of one connection: no backlog while the socket keeps up.
#[derive(Debug, Default)]
pub struct Outbound {
    backlog: Option<Box<Backlog>>,
    /// When the kernel last took something that had waited, or something began to wait.
    moved: Millis,
    /// Bytes the kernel took since [`Outbound::heard`] and before a ping; enough of them are told from
    /// more.
    taken: u32,
    /// The next control frame is our ping.
    is_pinging: bool,
    /// The ping has left.
    is_pinged: bool,
    /// Whose bounds hold: the number of its route's settings.
    settings: u8,
}

impl Outbound {
    /// The writing half of a connection whose route has the settings of this number.
    #[must_use]
    pub fn with_settings(settings: u8) -> Self {
        Self {
            settings,
            ..Self::default()
        }
    }

    /// Nothing waits to be written.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.backlog.is_none()
    }

    /// When the kernel last took something that had waited, or something began to wait.
    #[must_use]
    pub fn moved(&self) -> Millis {
        self.moved
    }

    /// Bytes the kernel took since the peer was last heard and before the ping: no more than that
    /// stands before the ping in both kernels.
    #[must_use]
    pub fn taken(&self) -> u32 {
        self.taken
    }

    /// The peer was heard.
    pub fn heard(&mut self) {
        self.taken = 0;
        self.is_pinging = false;
        self.is_pinged = false;
    }

    /// Puts our ping in line, as [`Outbound::control`].
    pub fn ping(&mut self, frame: Bytes) {
        self.control(frame);
        self.is_pinging = true;
    }

    /// The kernel took these; the ping had left before if it `was_pinged`.
    fn note(&mut self, bytes: u64, was_pinged: bool) {
        if !was_pinged {
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            self.taken = self.taken.saturating_add(bytes);
        }
    }

    /// Deliveries waiting.
    #[must_use]
    pub fn queued(&self) -> u64 {
        self.backlog
            .as_ref()
            .map_or(0, |backlog| u64::from(backlog.queue.len()))
    }

    /// Puts a control frame in line; it replaces one that has not started (RFC 6455 §5.5.3 asks
    /// only for the newest ping to be answered).
    pub fn control(&mut self, frame: Bytes) {
        self.backlog.get_or_insert_default().control = Some(frame);
    }

    /// Bytes of the deliveries that wait.
    #[must_use]
    pub fn queued_bytes(&self) -> u64 {
        let backlog = self.backlog.as_ref();
        backlog.map_or(0, |backlog| backlog.queue.bytes() as u64)
    }

    /// Puts the close frame in line, behind everything else; the first one wins. An empty one: the end
    /// alone, for a peer that went without a close frame of its own.
    pub fn close(&mut self, frame: Bytes) {
        let backlog = self.backlog.get_or_insert_default();
        if !backlog.is_closing {
            backlog.close.get_or_insert(frame);
        }
    }

    /// Forgets everything that waits; returns the deliveries among it.
    pub fn abandon(&mut self) -> u64 {
        let queued = self.queued();
        self.backlog = None;
        queued
    }

    /// Forgets the deliveries that wait, so that a close need not wait behind them, and returns how
    /// many those were. The rest of a half-written one stays: it must come first.
    pub fn abandon_queue(&mut self) -> u64 {
        self.backlog
            .as_mut()
            .map_or(0, |backlog| u64::from(backlog.queue.clear_waiting()))
    }

    /// Forgets the deliveries beyond what a queue may hold by these `readers`, and returns how many those were.
    pub fn cut_queue(&mut self, readers: &PerRoute<Reader>) -> u64 {
        let Some(backlog) = &mut self.backlog else {
            return 0;
        };
        let (bounds, _) = readers.at(self.settings, Millis::NEVER);
        let dropped = u64::from(backlog.queue.cut(bounds));
        self.free_if_idle();
        dropped
    }

    /// Writes the answer to the handshake and the greeting behind it, before anything else; what the
    /// socket does not take waits.
    ///
    /// # Errors
    /// The socket's, other than that it would block: the connection is gone.
    pub fn greet(
        &mut self,
        now: Millis,
        readers: &PerRoute<Reader>,
        answer: &[u8],
        greeting: Option<&Delivery>,
        socket: &mut impl Write,
        sent: &mut Sent,
    ) -> io::Result<()> {
        let frame = greeting.map_or(&[][..], |greeting| &greeting.frame);
        let taken = write_some(socket, &[answer, frame].concat(), sent)?;
        // HTTP's bytes are not counted as the connection's.
        sent.bytes -= taken.min(answer.len()) as u64;
        self.note(taken as u64, self.is_pinged);
        if let Some(rest) = answer.get(taken..).filter(|rest| !rest.is_empty()) {
            let rest = Bytes::copy_from_slice(rest);
            self.backlog.get_or_insert_default().current = Some((rest, 0));
            self.moved = now;
        }
        let taken = taken.saturating_sub(answer.len());
        match greeting {
            Some(greeting) if taken < greeting.frame.len() => {
                self.queue_one(now, readers, greeting, taken, sent);
            }
            Some(_) => sent.delivered += 1,
            None => {}
        }
        Ok(())
    }

    /// Offers the frames of `batch` from number `first` on: writes them if nothing waits, queues
    /// what the socket does not take.
    ///
    /// # Errors
    /// The socket's, other than that it would block: the connection is gone.
    pub fn offer(
        &mut self,
        now: Millis,
        readers: &PerRoute<Reader>,
        batch: FrameBatch<'_>,
        first: usize,
        socket: &mut impl Write,
        sent: &mut Sent,
    ) -> io::Result<()> {
        let frames = batch.frames.get(first..).unwrap_or_default();
        let mut taken = 0;
        if self.is_clear() {
            let skipped: usize = batch
                .frames
                .iter()
                .take(first)
                .map(|frame| frame.frame.len())
                .sum();
            let bytes = batch.bytes.get(skipped..).unwrap_or_default();
            taken = write_some(socket, bytes, sent)?;
            self.note(taken as u64, self.is_pinged);
            if taken == bytes.len() {
                sent.delivered += frames.len() as u64;
                return Ok(());
            }
            self.moved = now;
        }
        for delivery in frames {
            let length = delivery.frame.len();
            if taken >= length {
                taken -= length;
                sent.delivered += 1;
                continue;
            }
            self.queue_one(now, readers, delivery, taken, sent);
            taken = 0;
        }
        Ok(())
    }

    fn queue_one(
        &mut self,
        now: Millis,
        readers: &PerRoute<Reader>,
        delivery: &Delivery,
        written: usize,
        sent: &mut Sent,
    ) {
        let queue = &mut self.backlog.get_or_insert_default().queue;
        let (bounds, deadline) = readers.at(self.settings, delivery.deadline);
        let delivery = Delivery {
            deadline,
            ..delivery.clone()
        };
        if written > 0 {
            queue.push_partial(delivery, written);
            sent.queued += 1;
            return;
        }
        let report = queue.push(now, bounds, delivery);
        sent.expired += u64::from(report.expired);
        // The offered one, if it expired, was never in the queue.
        sent.unqueued += u64::from(report.expired) - u64::from(report.outcome == Pushed::Expired);
        match report.outcome {
            Pushed::Expired => {}
            Pushed::Queued => sent.queued += 1,
            Pushed::MadeRoom { dropped } => {
                sent.queued += 1;
                sent.unqueued += u64::from(dropped);
                sent.capacity += u64::from(dropped);
            }
            Pushed::DroppedNewest => sent.capacity += 1,
            Pushed::Disconnect => {
                sent.capacity += 1;
                sent.overflow = true;
            }
        }
        if queue.is_empty() {
            self.free_if_idle();
        }
    }

    /// Writes what waits until nothing does or the socket takes no more; a close frame only if it
    /// `may_close`, that is, if nothing can come before it any more.
    ///
    /// # Errors
    /// The socket's, other than that it would block: the connection is gone.
    pub fn flush(
        &mut self,
        now: Millis,
        may_close: bool,
        socket: &mut impl Write,
        sent: &mut Sent,
    ) -> io::Result<Flushed> {
        let (before, was_pinged) = (sent.bytes, self.is_pinged);
        let flushed = self.flush_some(now, may_close, socket, sent);
        if sent.bytes > before {
            self.moved = now;
            self.note(sent.bytes - before, was_pinged);
        }
        flushed
    }

    fn flush_some(
        &mut self,
        now: Millis,
        may_close: bool,
        socket: &mut impl Write,
        sent: &mut Sent,
    ) -> io::Result<Flushed> {
        while let Some(backlog) = self.backlog.as_deref_mut() {
            if let Some((frame, written)) = &mut backlog.current {
                let rest = frame.get(*written..).unwrap_or_default();
                let count = write_some(socket, rest, sent)?;
                *written += count;
                if *written < frame.len() {
                    return Ok(Flushed::Blocked);
                }
                backlog.current = None;
                self.is_pinged |= self.is_pinging;
                if backlog.is_closing {
                    self.backlog = None;
                    return Ok(Flushed::Closed);
                }
                continue;
            }
            if !backlog.queue.has_partial_head() && backlog.control.is_some() {
                backlog.current = backlog.control.take().map(|frame| (frame, 0));
                continue;
            }
            if !backlog.queue.is_empty() {
                let expired = u64::from(backlog.queue.expire(now));
                sent.expired += expired;
                sent.unqueued += expired;
                if backlog.queue.is_empty() {
                    continue;
                }
                // A control frame goes behind the frame under way, not behind the queue.
                let most = match backlog.control {
                    Some(_) => 1,
                    None => SLICES_MAX,
                };
                if !write_queue(&mut backlog.queue, most, socket, sent)? {
                    return Ok(Flushed::Blocked);
                }
                continue;
            }
            if !may_close && backlog.close.is_some() {
                return Ok(Flushed::Idle);
            }
            match backlog.close.take() {
                Some(frame) => {
                    backlog.current = Some((frame, 0));
                    backlog.is_closing = true;
                }
                None => self.backlog = None,
            }
        }
        Ok(Flushed::Idle)
    }

    /// Gives the memory back if nothing waits.
    fn free_if_idle(&mut self) {
        if self.backlog.as_ref().is_some_and(|backlog| {
            backlog.queue.is_empty()
                && backlog.current.is_none()
                && backlog.control.is_none()
                && backlog.close.is_none()
        }) {
            self.backlog = None;
        }
    }
}

/// One vectored write of at most `most` deliveries from the queue; false if the socket blocks.
fn write_queue(
    queue: &mut Queue,
    most: usize,
    socket: &mut impl Write,
    sent: &mut Sent,
) -> io::Result<bool> {
    let mut slices = std::array::from_fn(|_| IoSlice::new(&[]));
    let count = queue.slices(&mut slices).min(most);
    let slices = slices.get(..count).unwrap_or_default();
    let offered: usize = slices.iter().map(|slice| slice.len()).sum();
    sent.calls += 1;
    let written = match socket.write_vectored(slices) {
        Ok(0) => return Err(ErrorKind::WriteZero.into()),
        Ok(written) => written,
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
        Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(true),
        Err(error) => return Err(error),
    };
    sent.bytes += written as u64;
    let whole = u64::from(queue.advance(written));
    sent.delivered += whole;
    sent.unqueued += whole;
    Ok(written == offered)
}

/// Writes until the socket takes no more; how much it took.
fn write_some(socket: &mut impl Write, bytes: &[u8], sent: &mut Sent) -> io::Result<usize> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        sent.calls += 1;
        match socket.write(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => {
                written += count;
                sent.bytes += count as u64;
                // A short write means that the buffer is full; asking again would only say so.
                if count < rest.len() {
                    break;
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests;
