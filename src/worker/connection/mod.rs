//! One client's connection as a state machine: bytes and a clock in, messages and frames out.
//!
//! The machine decodes, spends tokens, answers pings, watches silence, and knows how a connection ends,
//! without I/O and without reading a clock: the worker hands it both, and a test can too. What a
//! message means is [`Surroundings`]' business.

mod rules;

pub use rules::{CLOSE_MAX, CLOSE_STILL, DISCARD_BYTES, LINGER, LINGER_SLOW, Rules};

use super::outbound::Outbound;
use super::rate_limit::TokenBucket;
use crate::broker::Verdict;
use crate::clock::Millis;
use crate::protocol::close::CloseReason;
use crate::transport::{Decoder, Incoming, Input, MessageKind, Violation, encoder};
use bytes::Bytes;
use rules::SLOWEST;
use std::time::Duration;

/// What is counted when a client pings above its rate.
pub const PINGS: &str = "pings";

/// What is counted when a message begun is not complete in time.
pub const STALL: &str = "stall";

/// What a connection asks of the worker around it while it reads.
pub trait Surroundings {
    /// May another message be taken? False when a mailbox it would go into is full.
    fn ready(&mut self) -> bool;
    /// One message. `MessageKind::Text` is valid UTF-8.
    fn message(&mut self, kind: MessageKind, payload: &mut [u8]) -> Verdict;
    /// Sends this pong, in order with the answers to messages.
    fn pong(&mut self, frame: Bytes);
    /// May a message of so many bytes be said, as far as that is shared with other connections?
    fn may_say(&mut self, bytes: usize) -> bool;
    /// A message was refused for its rate.
    fn too_many(&mut self);
    /// What the close frame says where the consumer has just closed for this reason; `None` for the reason's own text.
    fn farewell(&mut self, _reason: CloseReason) -> Option<Box<str>> {
        None
    }
    /// A frame broke the protocol or a cap; `label` is its kind.
    fn violation(&mut self, label: &'static str);
}

/// Where reading stands after some input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Ready for more.
    Open,
    /// A full mailbox: the rest of the input is kept; call [`Connection::resume`] when there is room.
    Stalled,
    /// A reply is awaited: the rest of the input is kept; call [`Connection::resume`] when it came.
    Awaiting,
    /// The byte rate is used up: read no more from the socket before this moment.
    Slowed(Millis),
    /// The connection is ending; input is read and ignored.
    Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Open,
    /// The peer has ended its side, and gets what it waits for.
    Listening,
    /// A close frame waits to be written or has been.
    Ending {
        /// For the record; `None`: the peer went without a close frame.
        reason: Option<CloseReason>,
        /// The close frame is with the kernel.
        is_said: bool,
        /// Bytes that may still be read.
        readable: u32,
    },
}

/// The state of one connection.
#[derive(Debug)]
pub struct Connection {
    decoder: Decoder,
    /// The writing half.
    pub outbound: Outbound,
    /// Input that must wait; at most one read's worth.
    #[expect(
        clippy::box_collection,
        reason = "8 bytes instead of 24 in every connection that keeps up"
    )]
    stash: Option<Box<Vec<u8>>>,
    messages: TokenBucket,
    bytes: TokenBucket,
    pings: TokenBucket,
    /// When the peer was last heard; once ending: when that began.
    heard: Millis,
    /// A message begun must be complete by then; once the peer has ended its side: it is waited for
    /// until then; once ending: the connection must be gone by then.
    deadline: Millis,
    refusals: u16,
    life: Life,
    pinged: bool,
    awaiting: bool,
}

impl Connection {
    /// A connection that opens at `now`, on a route with the settings of this number.
    #[must_use]
    pub fn new(now: Millis, settings: u8) -> Self {
        Self {
            decoder: Decoder::default(),
            outbound: Outbound::with_settings(settings),
            stash: None,
            messages: TokenBucket::default(),
            bytes: TokenBucket::default(),
            pings: TokenBucket::default(),
            heard: now,
            deadline: Millis::NEVER,
            refusals: 0,
            life: Life::Open,
            pinged: false,
            awaiting: false,
        }
    }

    /// Takes part in its room; false once it is ending.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.life, Life::Open | Life::Listening)
    }

    /// Why it ends, if it does.
    #[must_use]
    pub fn ending(&self) -> Option<CloseReason> {
        match self.life {
            Life::Open | Life::Listening => None,
            Life::Ending { reason, .. } => reason,
        }
    }

    /// May more be read? Not of a peer that goes on sending although its connection ends.
    #[must_use]
    pub fn may_read(&self) -> bool {
        !matches!(self.life, Life::Ending { readable: 0, .. })
    }

    /// Input is kept back, or would be: the next bytes cannot be taken in yet.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.stash.is_some() || self.awaiting
    }

    /// Bytes that the network brought beside the input: what they cost shows with the next [`Connection::receive`].
    pub fn charge(&mut self, now: Millis, rules: &Rules, bytes: u32) {
        match &mut self.life {
            Life::Ending { readable, .. } => *readable = readable.saturating_sub(bytes),
            _ => drop(self.bytes.charge(now, rules.bytes, bytes)),
        }
    }

    /// Bytes just read from the socket.
    pub fn receive(
        &mut self,
        now: Millis,
        rules: &Rules,
        input: &mut [u8],
        surroundings: &mut impl Surroundings,
    ) -> Reading {
        let tokens = u32::try_from(input.len()).unwrap_or(u32::MAX);
        if let Life::Ending { readable, .. } = &mut self.life {
            *readable = readable.saturating_sub(tokens);
            return Reading::Ending;
        }
        self.hear(now);
        let debt = self.bytes.charge(now, rules.bytes, tokens);
        let reading = if let Some(stash) = &mut self.stash {
            stash.extend_from_slice(input);
            if self.awaiting {
                Reading::Awaiting
            } else {
                Reading::Stalled
            }
        } else {
            self.feed(now, rules, input, surroundings)
        };
        match (reading, debt) {
            (Reading::Open, Some(debt)) => {
                Reading::Slowed(now + debt.max(Duration::from_millis(1)))
            }
            (reading, _) => reading,
        }
    }

    /// Goes on with the input that was kept; `replied` says that an awaited reply came.
    pub fn resume(
        &mut self,
        now: Millis,
        rules: &Rules,
        replied: bool,
        surroundings: &mut impl Surroundings,
    ) -> Reading {
        self.awaiting &= !replied;
        if self.awaiting {
            return Reading::Awaiting;
        }
        let Some(mut stash) = self.stash.take() else {
            return Reading::Open;
        };
        self.forgive(now, rules);
        self.feed(now, rules, &mut stash, surroundings)
    }

    fn feed(
        &mut self,
        now: Millis,
        rules: &Rules,
        input: &mut [u8],
        surroundings: &mut impl Surroundings,
    ) -> Reading {
        if !self.is_open() {
            return Reading::Ending;
        }
        // A reply is awaited although nothing is stashed: the peer was quiet until just before.
        if self.awaiting {
            self.keep(input);
            return Reading::Awaiting;
        }
        let mut input = Input::new(input);
        while let Some(incoming) = self
            .decoder
            .next(&rules.limits, &mut input, || surroundings.ready())
        {
            match incoming {
                Ok(Incoming::Message(kind, payload)) => {
                    match self.message(now, rules, kind, payload, surroundings) {
                        Verdict::Done => {}
                        Verdict::Await => {
                            self.awaiting = true;
                            break;
                        }
                        Verdict::Close(reason) => {
                            let text = surroundings.farewell(reason);
                            let text = text.as_deref().unwrap_or(reason.reason());
                            self.close_saying(now, reason, text);
                        }
                    }
                }
                Ok(Incoming::Ping(payload)) => self.ping(now, rules, payload, surroundings),
                Ok(Incoming::Pong(_)) => {}
                // The peer's own code and reason go back to it, as uvicorn does (interop.md §3.1).
                Ok(Incoming::Close(code, reason)) => {
                    let frame = encoder::close(code, reason);
                    self.end(now, Some(CloseReason::Normal), frame);
                }
                Err(violation) => self.violate(now, &violation, surroundings),
            }
            // What came first is the reason, however the bytes were split.
            if !self.is_open() {
                return Reading::Ending;
            }
        }
        self.keep(input.rest());
        self.deadline = match (self.decoder.in_message(), self.deadline) {
            (false, _) => Millis::NEVER,
            (true, Millis::NEVER) => now + rules.message_timeout,
            (true, begun) => begun,
        };
        match (self.awaiting, input.rest().is_empty()) {
            (true, _) => Reading::Awaiting,
            (false, true) => Reading::Open,
            (false, false) => Reading::Stalled,
        }
    }

    /// A message, which costs a token.
    fn message(
        &mut self,
        now: Millis,
        rules: &Rules,
        kind: MessageKind,
        payload: &mut [u8],
        surroundings: &mut impl Surroundings,
    ) -> Verdict {
        // What begins behind this message has its own time.
        self.deadline = Millis::NEVER;
        if self.messages.take(now, rules.messages, 1) && surroundings.may_say(payload.len()) {
            self.refusals = 0;
            return surroundings.message(kind, payload);
        }
        self.refusals += 1;
        surroundings.too_many();
        if self.refusals >= rules.refusals {
            Verdict::Close(CloseReason::TooMany)
        } else {
            Verdict::Done
        }
    }

    fn ping(
        &mut self,
        now: Millis,
        rules: &Rules,
        payload: &[u8],
        surroundings: &mut impl Surroundings,
    ) {
        if self.pings.take(now, rules.pings, 1) {
            surroundings.pong(encoder::pong(payload));
        } else {
            surroundings.violation(PINGS);
            self.close(now, CloseReason::Policy);
        }
    }

    fn keep(&mut self, rest: &[u8]) {
        if !rest.is_empty() {
            self.stash = Some(Box::new(rest.to_vec()));
        }
    }

    fn violate(
        &mut self,
        now: Millis,
        violation: &Violation,
        surroundings: &mut impl Surroundings,
    ) {
        surroundings.violation(violation.kind.label());
        let frame = encoder::close(Some(violation.code), violation.reason);
        let reason = CloseReason::of_violation(violation.code);
        self.end(now, Some(reason), frame);
    }

    /// Ends the connection from this side, with the reason's own text.
    pub fn close(&mut self, now: Millis, reason: CloseReason) {
        self.close_saying(now, reason, reason.reason());
    }

    /// Ends the connection from this side; the close frame says `text`, at most 123 bytes of it.
    pub fn close_saying(&mut self, now: Millis, reason: CloseReason, text: &str) {
        let frame = encoder::close(Some(reason.code()), text);
        self.end(now, Some(reason), frame);
    }

    /// The peer has ended its side: it gets what is said to it until `until`.
    pub fn listen(&mut self, until: Millis) {
        if self.is_open() {
            self.life = Life::Listening;
            self.decoder = Decoder::default();
            self.deadline = until;
        }
    }

    /// Ends a connection whose peer went without a close frame, once what waits for it is written.
    pub fn part(&mut self, now: Millis) {
        self.end(now, None, Bytes::new());
    }

    fn end(&mut self, now: Millis, reason: Option<CloseReason>, frame: Bytes) {
        if !self.is_open() {
            return;
        }
        self.life = Life::Ending {
            reason,
            is_said: false,
            readable: DISCARD_BYTES,
        };
        self.decoder = Decoder::default();
        self.stash = None;
        self.awaiting = false;
        // A slow reader first has to take what is on its way.
        self.heard = now;
        self.deadline = now + CLOSE_MAX;
        self.outbound.close(frame);
    }

    /// Ends when the drain does: until then what is on its way is written.
    pub fn outlast(&mut self) {
        self.deadline = Millis::NEVER;
    }

    /// The close frame is with the kernel: the peer has [`LINGER`] to end its side, or [`LINGER_SLOW`].
    pub fn said_close(&mut self, now: Millis) {
        if let Life::Ending { is_said, .. } = &mut self.life {
            *is_said = true;
            let is_slow = now.since(self.heard) >= LINGER;
            self.deadline = now + if is_slow { LINGER_SLOW } else { LINGER };
        }
    }

    /// Has the peer taken the close frame, or at least the kernel?
    #[must_use]
    pub fn has_said_close(&self) -> bool {
        matches!(self.life, Life::Ending { is_said: true, .. })
    }

    /// What is due at `now`: a ping into [`Connection::outbound`], or the end. Returns the next
    /// moment to look again, `None` if the connection must be dropped.
    pub fn on_timer(&mut self, now: Millis, rules: &Rules) -> Option<Millis> {
        match self.life {
            Life::Open => {}
            Life::Listening => {
                if self.deadline <= now {
                    self.part(now);
                }
                return Some(self.next_timer(rules));
            }
            Life::Ending { .. } => {
                let next = self.next_timer(rules);
                return (now < next).then_some(next);
            }
        }
        if self.is_held() || self.bytes.charge(now, rules.bytes, 0).is_some() {
            self.forgive(now, rules);
        }
        if self.deadline <= now {
            self.close(now, CloseReason::Policy);
        } else if now >= self.silent_until(rules) {
            if self.pinged {
                let is_still = !self.outbound.is_idle();
                self.close(now, CloseReason::NoPong);
                if is_still {
                    // The peer has taken nothing for so long, nor will it take the close frame.
                    self.deadline = now + LINGER;
                }
            } else {
                self.pinged = true;
                // The pong window starts when the ping is sent, however late the timer was.
                self.heard = now - rules.ping_interval;
                self.outbound.ping(encoder::ping(&[]));
            }
        }
        Some(self.next_timer(rules))
    }

    /// When [`Connection::on_timer`] wants to be called.
    #[must_use]
    pub fn next_timer(&self, rules: &Rules) -> Millis {
        match self.life {
            Life::Open => self.deadline.min(self.silent_until(rules)),
            Life::Listening | Life::Ending { is_said: true, .. } => self.deadline,
            // The drain's end is the end, however long the socket stands still before.
            Life::Ending { is_said: false, .. } if self.deadline == Millis::NEVER => self.deadline,
            Life::Ending { is_said: false, .. } => {
                let still = self.outbound.moved().max(self.heard) + CLOSE_STILL;
                still.min(self.deadline)
            }
        }
    }

    /// When silence has a consequence: a ping, then the end.
    ///
    /// Slow is not dead: while something waits for the socket, the end comes when the socket has taken
    /// nothing for [`Rules::patience`]. The time for the pong runs from when the ping has left for the
    /// kernel, and is longer by the time that a slow peer takes to read what stands before it there.
    /// Nobody looks up what the peer's kernel has acknowledged: an acknowledgement is its kernel's,
    /// not its program's, which may be gone.
    fn silent_until(&self, rules: &Rules) -> Millis {
        let ping = self.heard + rules.ping_interval;
        if !self.pinged {
            return ping;
        }
        let moved = self.outbound.moved().max(ping);
        if !self.outbound.is_idle() {
            return moved + rules.patience;
        }
        let before = Duration::from_secs((self.outbound.taken() / SLOWEST).into());
        moved + rules.ping_timeout + before.min(rules.patience)
    }

    fn hear(&mut self, now: Millis) {
        self.heard = now;
        self.pinged = false;
        self.outbound.heard();
    }

    /// A peer whose input we did not read cannot be blamed for its silence, nor for the part of a
    /// message that is kept back.
    fn forgive(&mut self, now: Millis, rules: &Rules) {
        self.hear(now);
        if self.deadline != Millis::NEVER {
            self.deadline = now + rules.message_timeout;
        }
    }
}

#[cfg(test)]
mod tests;
