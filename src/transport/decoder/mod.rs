//! Incremental decoder of client frames: any split of the same bytes gives the same events.
//!
//! Sans-IO: the caller reads into a buffer of its own and lends it. A whole, unfragmented frame in
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
use super::{Flow, Kind, Limits, Opcode, Receiver, Violation, ViolationKind};
use fastwebsockets::unmask;
use head::{Begun, HEAD_BYTES_MAX, Head};

/// Decoder of one connection's incoming bytes.
#[derive(Debug, Default)]
pub struct Decoder {
    partial: Option<Box<Partial>>,
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
    message: Option<Message>,
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
struct Message {
    kind: Kind,
    payload: Vec<u8>,
    /// Bytes of `payload` known to be whole UTF-8 characters.
    checked: usize,
    fragments: usize,
}

/// What a partial message occupies beside its payload: the notes on it, a head cut off in the middle, and the
/// payload of a control frame among its fragments.
pub(crate) const PARTIAL_BYTES: usize = 512;
const _: () = assert!(size_of::<Partial>() + HEAD_BYTES_MAX + CONTROL_BYTES_MAX <= PARTIAL_BYTES);

enum Step {
    /// This many bytes were used; go on.
    Next(usize),
    /// This many bytes were used; the receiver wants no more.
    Stop(usize),
    /// A close frame: nothing behind it counts.
    Closed,
}

impl Step {
    fn after(self, bytes: usize) -> Self {
        match self {
            Self::Next(used) => Self::Next(bytes + used),
            Self::Stop(used) => Self::Stop(bytes + used),
            Self::Closed => Self::Closed,
        }
    }
}

impl Decoder {
    /// Decodes as much of `input` as the receiver takes and returns the bytes consumed.
    ///
    /// Less than all of `input` is consumed only if the receiver was not ready or said
    /// [`Flow::Stop`]; the caller keeps `input[consumed..]`, which is untouched, and passes it
    /// again. Consumed bytes may have been overwritten. After a close frame or a violation all
    /// further bytes are consumed and ignored.
    ///
    /// # Errors
    ///
    /// The first [`Violation`]; everything before it was received.
    pub fn decode(
        &mut self,
        limits: &Limits,
        input: &mut [u8],
        receiver: &mut impl Receiver,
    ) -> Result<usize, Violation> {
        if self.partial.as_ref().is_some_and(|partial| partial.ended) {
            return Ok(input.len());
        }
        let mut consumed = 0;
        while let Some(rest) = input.get_mut(consumed..).filter(|rest| !rest.is_empty()) {
            match self.step(limits, rest, receiver) {
                Ok(Step::Next(bytes)) => consumed += bytes,
                Ok(Step::Stop(bytes)) => return Ok(consumed + bytes),
                Ok(Step::Closed) => {
                    self.end();
                    return Ok(input.len());
                }
                Err(violation) => {
                    self.end();
                    return Err(violation);
                }
            }
        }
        Ok(consumed)
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
    fn step(
        &mut self,
        limits: &Limits,
        rest: &mut [u8],
        receiver: &mut impl Receiver,
    ) -> Result<Step, Violation> {
        let held = match self.partial.as_deref() {
            Some(partial) if partial.frame.is_some() => return self.feed(limits, rest, receiver),
            Some(partial) => partial.head_bytes,
            None => 0,
        };
        let Some(head) = self.parse_head(limits, rest)? else {
            self.keep_head(rest);
            return Ok(Step::Next(rest.len()));
        };
        if !head.opcode.is_control() && !receiver.ready() {
            return Ok(Step::Stop(0));
        }
        let skip = head.bytes - held;
        let payload = rest.get_mut(skip..).unwrap_or_default();
        let alone = head.opcode.is_control() || (head.fin && head.opcode != Opcode::Continuation);
        if alone && let Some(payload) = payload.get_mut(..head.payload_bytes) {
            self.forget_frame();
            unmask(payload, head.mask);
            let step = receive_whole(head.opcode, payload, receiver)?;
            return Ok(step.after(skip));
        }
        self.begin(&head);
        Ok(self.feed(limits, payload, receiver)?.after(skip))
    }

    /// The header made of the bytes kept and those of `rest`.
    fn parse_head(&self, limits: &Limits, rest: &[u8]) -> Result<Option<Head>, Violation> {
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
    fn begin(&mut self, head: &Head) {
        let partial = self.partial.get_or_insert_default();
        partial.head_bytes = 0;
        partial.frame = Some(Frame {
            opcode: head.opcode,
            fin: head.fin,
            remaining: head.payload_bytes,
            mask: head.mask,
        });
        match head.opcode {
            Opcode::Text => partial.message = Some(Message::new(Kind::Text)),
            Opcode::Binary => partial.message = Some(Message::new(Kind::Binary)),
            Opcode::Continuation => {
                if let Some(message) = partial.message.as_mut() {
                    message.fragments += 1;
                }
            }
            Opcode::Close | Opcode::Ping | Opcode::Pong => {}
        }
    }

    /// Takes the next piece of the open frame's payload, and what it completes.
    fn feed(
        &mut self,
        limits: &Limits,
        rest: &mut [u8],
        receiver: &mut impl Receiver,
    ) -> Result<Step, Violation> {
        let open = self.partial.as_deref_mut();
        let (frame, control, message) = open
            .and_then(|open| {
                let frame = open.frame.as_mut()?;
                Some((frame, &mut open.control, open.message.as_mut()))
            })
            .expect("invariant: step and begin leave a frame open before they feed it");
        let used = frame.remaining.min(rest.len());
        let piece = rest.get_mut(..used).unwrap_or_default();
        unmask(piece, frame.mask);
        frame.mask.rotate_left(used % 4);
        frame.remaining -= used;
        let (opcode, complete, fin) = (frame.opcode, frame.remaining == 0, frame.fin);

        if opcode.is_control() {
            control.extend_from_slice(piece);
            if !complete {
                return Ok(Step::Next(used));
            }
            let mut payload = std::mem::take(control);
            self.forget_frame();
            return match receive_whole(opcode, &mut payload, receiver)? {
                Step::Closed => Ok(Step::Closed),
                _ => Ok(Step::Next(used)),
            };
        }
        if let Some(message) = message {
            message.absorb(piece, limits)?;
        }
        if !complete {
            return Ok(Step::Next(used));
        }
        if !fin {
            self.forget_frame();
            return Ok(Step::Next(used));
        }
        let message = self.partial.take().and_then(|partial| partial.message);
        match message.map(|message| message.finish(receiver)) {
            Some(Ok(Flow::Stop)) => Ok(Step::Stop(used)),
            Some(Err(violation)) => Err(violation),
            Some(Ok(Flow::Continue)) | None => Ok(Step::Next(used)),
        }
    }
}

impl Message {
    fn new(kind: Kind) -> Self {
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
        if self.kind == Kind::Binary {
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

    fn finish(mut self, receiver: &mut impl Receiver) -> Result<Flow, Violation> {
        if self.kind == Kind::Text && self.checked != self.payload.len() {
            return Err(NOT_UTF8);
        }
        Ok(receiver.message(self.kind, &mut self.payload))
    }
}

const NOT_UTF8: Violation = Violation::new(ViolationKind::Utf8, "text is not UTF-8");

/// A whole control frame or unfragmented message, unmasked.
fn receive_whole(
    opcode: Opcode,
    payload: &mut [u8],
    receiver: &mut impl Receiver,
) -> Result<Step, Violation> {
    let used = payload.len();
    let kind = match opcode {
        Opcode::Ping => {
            receiver.ping(payload);
            return Ok(Step::Next(used));
        }
        Opcode::Pong => {
            receiver.pong(payload);
            return Ok(Step::Next(used));
        }
        Opcode::Close => {
            let (code, reason) = parse_close(payload)?;
            receiver.close(code, reason);
            return Ok(Step::Closed);
        }
        Opcode::Text => Kind::Text,
        Opcode::Binary | Opcode::Continuation => Kind::Binary,
    };
    if kind == Kind::Text && simdutf8::basic::from_utf8(payload).is_err() {
        return Err(NOT_UTF8);
    }
    Ok(match receiver.message(kind, payload) {
        Flow::Continue => Step::Next(used),
        Flow::Stop => Step::Stop(used),
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
