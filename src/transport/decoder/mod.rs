//! Incremental decoder of client frames: any split of the same bytes gives the same events.
//!
//! Sans-IO and pulled: the caller reads into a buffer of its own, lends it as an [`Input`], and asks for
//! what is in it, one message or control frame at a time. A whole, unfragmented frame in
//! that buffer is unmasked in place and handed over without a copy; anything else accumulates in
//! a box that exists only while a frame or message is incomplete, so an idle connection holds
//! eight bytes. What accumulates grows with what arrived, never by an announced length, and never
//! beyond `limits.message_bytes`. Text is checked as it arrives: the first impossible byte ends
//! the connection even in the middle of a frame (Autobahn 6.4.3 and 6.4.4).
//!
//! Source: RFC 6455 sections 5, 7.4 and 8.1.

mod head;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use super::encoder::CONTROL_BYTES_MAX;
use super::{Limits, MessageKind, Opcode, Violation, ViolationKind};
use fastwebsockets::unmask;
use head::{Begun, FrameHead, HEAD_BYTES_MAX};

/// Decoder of one connection's incoming bytes.
#[derive(Debug, Default)]
pub struct Decoder {
    partial: Option<Box<Partial>>,
}

/// Bytes lent to a [`Decoder`], and what of them is left.
#[derive(Debug)]
pub struct Input<'b> {
    rest: &'b mut [u8],
    /// What came in pieces, once its last piece is there.
    assembled: Vec<u8>,
}

impl<'b> Input<'b> {
    /// Input of these bytes; those that are decoded may be overwritten.
    #[must_use]
    pub fn new(bytes: &'b mut [u8]) -> Self {
        Self {
            rest: bytes,
            assembled: Vec::new(),
        }
    }

    /// The bytes that have not been used, untouched.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        self.rest
    }

    /// Cuts off the first `count` bytes, or as many as there are.
    #[inline]
    fn take(&mut self, count: usize) -> &'b mut [u8] {
        let rest = std::mem::take(&mut self.rest);
        let (taken, rest) = rest.split_at_mut(count.min(rest.len()));
        self.rest = rest;
        taken
    }
}

/// What a client sent, whole: the payload is lent until the next one is asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A message. A text is valid UTF-8. The slice may be modified in place.
    Message(MessageKind, &'a mut [u8]),
    /// A ping; at most 125 bytes.
    Ping(&'a [u8]),
    /// A pong; at most 125 bytes.
    Pong(&'a [u8]),
    /// A close frame with a legal code and a reason of at most 123 bytes: whatever follows is used up
    /// and ignored.
    Close(Option<u16>, &'a str),
}

/// What is incomplete.
#[derive(Debug, Default)]
struct Partial {
    head: [u8; HEAD_BYTES_MAX],
    /// Bytes of `head` that have arrived.
    head_bytes: usize,
    /// A frame whose header was complete and whose payload is not.
    frame: Option<Frame>,
    /// Payload of an incomplete control frame so far.
    control: Vec<u8>,
    message: Option<PartialMessage>,
    /// A close frame or a violation was met; everything later is ignored.
    ended: bool,
}

#[derive(Debug)]
struct Frame {
    opcode: Opcode,
    fin: bool,
    /// Payload bytes still to come.
    remaining: usize,
    /// Rotated so that its first byte belongs to the next payload byte.
    mask: [u8; 4],
}

#[derive(Debug)]
struct PartialMessage {
    kind: MessageKind,
    payload: Vec<u8>,
    /// Bytes of `payload` known to be whole UTF-8 characters.
    checked: usize,
    fragments: usize,
}

/// What a partial message occupies beside its payload: the notes on it, a head cut off in the middle, and the
/// payload of a control frame among its fragments.
pub(crate) const PARTIAL_BYTES: usize = 512;
const _: () = assert!(size_of::<Partial>() + HEAD_BYTES_MAX + CONTROL_BYTES_MAX <= PARTIAL_BYTES);

enum Step<'b> {
    /// Nothing is whole yet.
    Partial,
    /// The caller takes no data frame now.
    Refused,
    /// A frame that lay in the input as a whole, unmasked.
    InPlace(Opcode, &'b mut [u8]),
    /// A control frame or message that came in pieces is in [`Input::assembled`]; its text has been
    /// checked.
    Assembled(Opcode),
}

impl Decoder {
    /// The next message or control frame in `input`, `None` if the bytes that are left hold no whole
    /// one: then they have been used, and are kept where they are needed.
    ///
    /// `takes_data` is asked before each data frame (continuations included) starts. `false` is
    /// backpressure: the answer is `None`, and [`Input::rest`] begins with that frame's bytes, which
    /// the caller passes again. This may be called again until it returns `None`, or left at any
    /// point with what is left of the input. After a close frame or a violation all further bytes are
    /// used up and ignored.
    ///
    /// # Errors
    ///
    /// The first [`Violation`]; everything before it was returned.
    pub fn next<'i>(
        &mut self,
        limits: &Limits,
        input: &'i mut Input<'_>,
        mut takes_data: impl FnMut() -> bool,
    ) -> Option<Result<Incoming<'i>, Violation>> {
        while !input.rest.is_empty() {
            let found = match self.step(limits, input, &mut takes_data) {
                Ok(Step::Partial) => continue,
                Ok(Step::Refused) => return None,
                Ok(Step::InPlace(opcode, payload)) => whole(opcode, payload),
                Ok(Step::Assembled(opcode)) => unchecked(opcode, &mut input.assembled),
                Err(violation) => Err(violation),
            };
            if let Ok(Incoming::Close(..)) | Err(_) = found {
                self.end();
                input.rest = &mut [];
            }
            return Some(found);
        }
        None
    }

    /// Has a message or a frame begun that is not complete?
    #[must_use]
    pub fn in_message(&self) -> bool {
        self.partial.as_ref().is_some_and(|partial| !partial.ended)
    }

    /// Memory held beyond the decoder itself, in bytes.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| {
            let message = partial.message.as_ref();
            size_of::<Partial>()
                + partial.control.capacity()
                + message.map_or(0, |message| message.payload.capacity())
        })
    }

    /// Drops what was held and ignores what comes.
    fn end(&mut self) {
        self.partial = Some(Box::new(Partial {
            ended: true,
            ..Partial::default()
        }));
    }

    /// One header with as much of its payload as there is, or one piece of a payload.
    fn step<'b>(
        &mut self,
        limits: &Limits,
        input: &mut Input<'b>,
        takes_data: &mut impl FnMut() -> bool,
    ) -> Result<Step<'b>, Violation> {
        let held = match self.partial.as_deref() {
            Some(partial) if partial.ended => {
                input.rest = &mut [];
                return Ok(Step::Partial);
            }
            Some(partial) if partial.frame.is_some() => return self.feed(limits, input),
            Some(partial) => partial.head_bytes,
            None => 0,
        };
        let Some(head) = self.parse_head(limits, input.rest)? else {
            let rest = std::mem::take(&mut input.rest);
            self.keep_head(rest);
            return Ok(Step::Partial);
        };
        if !head.opcode.is_control() && !takes_data() {
            return Ok(Step::Refused);
        }
        let skip = head.bytes - held;
        let alone = head.opcode.is_control() || (head.fin && head.opcode != Opcode::Continuation);
        if alone && head.payload_bytes <= input.rest.len() - skip {
            self.forget_frame();
            let frame = input.take(skip + head.payload_bytes);
            let payload = frame.get_mut(skip..).unwrap_or_default();
            unmask(payload, head.mask);
            return Ok(Step::InPlace(head.opcode, payload));
        }
        input.take(skip);
        self.begin(&head);
        self.feed(limits, input)
    }

    /// The header made of the bytes kept and those of `rest`.
    #[inline]
    fn parse_head(&self, limits: &Limits, rest: &[u8]) -> Result<Option<FrameHead>, Violation> {
        let Some(partial) = self.partial.as_deref() else {
            return head::parse(rest, limits, None);
        };
        let begun = partial.message.as_ref().map(|message| Begun {
            bytes: message.payload.len(),
            fragments: message.fragments,
        });
        if partial.head_bytes == 0 {
            return head::parse(rest, limits, begun);
        }
        let mut joined = partial.head;
        let free = joined.iter_mut().skip(partial.head_bytes);
        let copied = free.zip(rest).map(|(to, from)| *to = *from).count();
        let arrived = joined.get(..partial.head_bytes + copied);
        head::parse(arrived.unwrap_or_default(), limits, begun)
    }

    /// Keeps the bytes of a header that is not complete.
    fn keep_head(&mut self, rest: &[u8]) {
        let partial = self.partial.get_or_insert_default();
        let free = partial.head.iter_mut().skip(partial.head_bytes);
        partial.head_bytes += free.zip(rest).map(|(to, from)| *to = *from).count();
    }

    /// Frees the box unless a message is still open.
    fn forget_frame(&mut self) {
        match self.partial.as_deref_mut() {
            Some(partial) if partial.message.is_some() => {
                partial.head_bytes = 0;
                partial.frame = None;
            }
            _ => self.partial = None,
        }
    }

    /// Starts a frame whose payload is incomplete or belongs to a fragmented message.
    fn begin(&mut self, head: &FrameHead) {
        let partial = self.partial.get_or_insert_default();
        partial.head_bytes = 0;
        partial.frame = Some(Frame {
            opcode: head.opcode,
            fin: head.fin,
            remaining: head.payload_bytes,
            mask: head.mask,
        });
        match head.opcode {
            Opcode::Text => partial.message = Some(PartialMessage::new(MessageKind::Text)),
            Opcode::Binary => partial.message = Some(PartialMessage::new(MessageKind::Binary)),
            Opcode::Continuation => {
                if let Some(message) = partial.message.as_mut() {
                    message.fragments += 1;
                }
            }
            Opcode::Close | Opcode::Ping | Opcode::Pong => {}
        }
    }

    /// Takes the next piece of the open frame's payload, and what it completes.
    fn feed<'b>(&mut self, limits: &Limits, input: &mut Input<'b>) -> Result<Step<'b>, Violation> {
        let open = self.partial.as_deref_mut();
        let (frame, control, message) = open
            .and_then(|open| {
                let frame = open.frame.as_mut()?;
                Some((frame, &mut open.control, open.message.as_mut()))
            })
            .expect("invariant: step and begin leave a frame open before they feed it");
        let piece = input.take(frame.remaining);
        unmask(piece, frame.mask);
        frame.mask.rotate_left(piece.len() % 4);
        frame.remaining -= piece.len();
        let (opcode, complete, fin) = (frame.opcode, frame.remaining == 0, frame.fin);

        if opcode.is_control() {
            control.extend_from_slice(piece);
            if !complete {
                return Ok(Step::Partial);
            }
            input.assembled = std::mem::take(control);
            self.forget_frame();
            return Ok(Step::Assembled(opcode));
        }
        if let Some(message) = message {
            message.absorb(piece, limits)?;
        }
        if !complete {
            return Ok(Step::Partial);
        }
        if !fin {
            self.forget_frame();
            return Ok(Step::Partial);
        }
        match self.partial.take().and_then(|partial| partial.message) {
            Some(message) => message.finish(input),
            None => Ok(Step::Partial),
        }
    }
}

impl PartialMessage {
    fn new(kind: MessageKind) -> Self {
        Self {
            kind,
            payload: Vec::new(),
            checked: 0,
            fragments: 1,
        }
    }

    /// Appends an unmasked piece; a text's new bytes are checked, each once.
    fn absorb(&mut self, piece: &[u8], limits: &Limits) -> Result<(), Violation> {
        let needed = self.payload.len() + piece.len();
        if needed > self.payload.capacity() {
            // Doubling keeps a dribble linear; the ceiling keeps what is held under the limit.
            let doubled = self.payload.capacity() * 2;
            let target = needed.max(doubled.min(limits.message_bytes));
            self.payload.reserve_exact(target - self.payload.len());
        }
        self.payload.extend_from_slice(piece);
        if self.kind == MessageKind::Binary {
            return Ok(());
        }
        let fresh = self.payload.get(self.checked..).unwrap_or_default();
        match simdutf8::compat::from_utf8(fresh) {
            Ok(_) => self.checked = self.payload.len(),
            // The last character is incomplete: at most 3 bytes are looked at again.
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(NOT_UTF8),
        }
        Ok(())
    }

    fn finish<'b>(self, input: &mut Input<'b>) -> Result<Step<'b>, Violation> {
        if self.kind == MessageKind::Text && self.checked != self.payload.len() {
            return Err(NOT_UTF8);
        }
        input.assembled = self.payload;
        Ok(Step::Assembled(match self.kind {
            MessageKind::Text => Opcode::Text,
            MessageKind::Binary => Opcode::Binary,
        }))
    }
}

const NOT_UTF8: Violation = Violation::new(ViolationKind::Utf8, "text is not UTF-8");

/// A whole control frame or unfragmented message, unmasked.
#[inline]
fn whole(opcode: Opcode, payload: &mut [u8]) -> Result<Incoming<'_>, Violation> {
    if opcode == Opcode::Text && simdutf8::basic::from_utf8(payload).is_err() {
        return Err(NOT_UTF8);
    }
    unchecked(opcode, payload)
}

/// The same, of a text that is known to be one.
#[inline]
fn unchecked(opcode: Opcode, payload: &mut [u8]) -> Result<Incoming<'_>, Violation> {
    Ok(match opcode {
        Opcode::Text => Incoming::Message(MessageKind::Text, payload),
        Opcode::Binary | Opcode::Continuation => Incoming::Message(MessageKind::Binary, payload),
        Opcode::Ping => Incoming::Ping(payload),
        Opcode::Pong => Incoming::Pong(payload),
        Opcode::Close => {
            let (code, reason) = parse_close(payload)?;
            Incoming::Close(code, reason)
        }
    })
}

/// Code and reason of a close frame (section 5.5.1).
fn parse_close(payload: &[u8]) -> Result<(Option<u16>, &str), Violation> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        if payload.is_empty() {
            return Ok((None, ""));
        }
        let reason = "close frame with half a code";
        return Err(Violation::new(ViolationKind::Close, reason));
    };
    let code = u16::from_be_bytes(*code);
    if !is_close_code(code) {
        return Err(Violation::new(ViolationKind::Close, "illegal close code"));
    }
    match simdutf8::basic::from_utf8(reason) {
        Ok(reason) => Ok((Some(code), reason)),
        Err(_) => Err(Violation::new(
            ViolationKind::Utf8,
            "close reason is not UTF-8",
        )),
    }
}

/// May an endpoint send this code? (Section 7.4; 1012 to 1014 from the IANA registry.)
#[must_use]
pub const fn is_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
