//! The decoder against a model of RFC 6455: sequences of frames, right and wrong, in any split and
//! with a caller that stops and starts.
#![no_main]

mod model;
#[path = "../../../tests/cases/received.rs"]
mod received;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use model::{Event, Outcome};
use std::cell::RefCell;
use supportal::internal::transport::{Decoder, Incoming, Input, Limits, MessageKind, Violation};

/// One frame as a client, honest or not, might write it.
#[derive(Arbitrary, Debug)]
struct Frame {
    first: First,
    length: Length,
    /// One in 16 is sent without a mask.
    masked: u8,
    mask: [u8; 4],
    payload: Payload,
}

#[derive(Arbitrary, Debug)]
enum First {
    Text,
    TextFragment,
    Binary,
    BinaryFragment,
    Fragment,
    LastFragment,
    Ping,
    Pong,
    Close,
    Any(u8),
}

#[derive(Arbitrary, Debug)]
enum Length {
    Shortest,
    Sixteen,
    SixtyFour,
    /// A length that is not the payload's.
    Claimed(u64),
}

#[derive(Arbitrary, Debug)]
enum Payload {
    Text(String),
    Bytes(Vec<u8>),
    /// A character cut in two, its halves in two frames.
    Half(char, bool),
    CloseCode(u16, String),
    Repeated(u8, u16),
}

#[derive(Arbitrary, Debug)]
enum Bytes {
    Frames {
        frames: Vec<Frame>,
        reads: Reads,
        /// The connection ends this many bytes early.
        cut: u8,
    },
    Raw {
        reads: Reads,
        bytes: Vec<u8>,
    },
}

/// How the bytes arrive and how the receiver takes them.
#[derive(Arbitrary, Debug)]
struct Reads {
    message_bytes: u16,
    fragments: u8,
    /// Sizes of the reads, over and over; zero is a read of everything.
    sizes: Vec<u8>,
    /// Answers of the receiver, over and over: bit 0 not ready, bit 1 stop after the message.
    answers: Vec<u8>,
}

impl First {
    fn byte(&self) -> u8 {
        match self {
            Self::Text => 0x81,
            Self::TextFragment => 0x01,
            Self::Binary => 0x82,
            Self::BinaryFragment => 0x02,
            Self::Fragment => 0x00,
            Self::LastFragment => 0x80,
            Self::Ping => 0x89,
            Self::Pong => 0x8a,
            Self::Close => 0x88,
            Self::Any(byte) => *byte,
        }
    }
}

impl Payload {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Bytes(bytes) => bytes.clone(),
            Self::Half(character, second) => {
                let text = character.to_string().into_bytes();
                let (one, two) = text.split_at(text.len() / 2);
                if *second { two } else { one }.to_vec()
            }
            Self::CloseCode(code, reason) => [&code.to_be_bytes()[..], reason.as_bytes()].concat(),
            Self::Repeated(byte, count) => vec![*byte; usize::from(*count % 2048)],
        }
    }
}

impl Frame {
    fn write(&self, out: &mut Vec<u8>) {
        let payload = self.payload.bytes();
        let bit = if self.masked % 16 == 0 { 0 } else { 0x80 };
        out.push(self.first.byte());
        let length = payload.len() as u64;
        match self.length {
            Length::Shortest => put_length(out, bit, length, length),
            Length::Sixteen => put_length(out, bit, length, length.max(126)),
            Length::SixtyFour => put_length(out, bit, length, u64::MAX),
            Length::Claimed(claimed) => put_length(out, bit, claimed, claimed),
        }
        if bit == 0 {
            out.extend(payload);
        } else {
            out.extend(self.mask);
            let mask = self.mask.iter().cycle();
            out.extend(payload.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
        }
    }
}

/// Writes `length` in the form that a length of `form` takes.
fn put_length(out: &mut Vec<u8>, bit: u8, length: u64, form: u64) {
    match form {
        0..126 => out.push(bit | length as u8),
        126..65_536 => {
            out.push(bit | 126);
            out.extend((length as u16).to_be_bytes());
        }
        _ => {
            out.push(bit | 127);
            out.extend(length.to_be_bytes());
        }
    }
}

/// What the decoder holds beside the bytes of a message: its box and a control frame's payload.
const HELD_BESIDE: usize = 512;

/// Feeds the decoder as a worker does and checks its promises about the bytes it leaves.
fn decode(bytes: &[u8], limits: &Limits, reads: &Reads) -> Outcome {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    let answers = RefCell::new(reads.answers.iter().cycle().take(10_000));
    let answer = |bit: u8| answers.borrow_mut().next().unwrap_or(&0) & bit != 0;
    let (takes_data, stops) = (|| !answer(1), || answer(2));
    let mut sizes = reads.sizes.iter().copied().cycle();
    let mut waiting: Vec<u8> = Vec::new();
    let mut rest = bytes;
    loop {
        let size = match sizes.next() {
            None | Some(0) => rest.len(),
            Some(size) => usize::from(size).min(rest.len()),
        };
        let (read, left) = rest.split_at(size);
        rest = left;
        waiting.extend_from_slice(read);
        loop {
            let before = waiting.clone();
            let found = events.len();
            let consumed = match received::decode(
                (&mut decoder, limits),
                &mut waiting,
                &mut events,
                takes_data,
                stops,
            ) {
                Ok(consumed) => consumed,
                Err(violation) => {
                    assert!(violation.reason.len() <= 123, "{violation:?}");
                    return (events, Some(violation.kind));
                }
            };
            assert_eq!(
                waiting[consumed..],
                before[consumed..],
                "changed what it left"
            );
            waiting.drain(..consumed);
            let most = limits.message_bytes + HELD_BESIDE;
            assert!(
                decoder.held_bytes() <= most,
                "holds {}",
                decoder.held_bytes()
            );
            let stuck = consumed == 0 && events.len() == found;
            if waiting.is_empty() || (stuck && !rest.is_empty()) {
                break;
            }
        }
        if rest.is_empty() && waiting.is_empty() {
            return (events, None);
        }
    }
}

fuzz_target!(|input: Bytes| {
    let (bytes, reads) = match input {
        Bytes::Raw { reads, bytes } => (bytes, reads),
        Bytes::Frames { frames, reads, cut } => {
            let mut bytes = Vec::new();
            frames.iter().for_each(|frame| frame.write(&mut bytes));
            bytes.truncate(bytes.len().saturating_sub(usize::from(cut % 32)));
            (bytes, reads)
        }
    };
    let limits = Limits {
        message_bytes: usize::from(reads.message_bytes % 2048),
        fragments: usize::from(reads.fragments % 8) + 1,
    };
    let expected = model::read(&bytes, &limits);
    assert_eq!(
        decode(&bytes, &limits, &reads),
        expected,
        "{bytes:02x?} {limits:?}"
    );
});
