//! What a client may send and what it must get for it: bytes, the events in them, and the end.
//!
//! Plain data without dependencies: the decoder's unit tests feed it in pieces, the integration
//! tests send it to a real server's echo route. Limits: messages of [`MESSAGE_BYTES`] bytes and
//! [`FRAGMENTS`] fragments, the defaults of the server.

mod closes;
mod faults;
mod messages;
mod text;

/// `limits.message_bytes` that the table is written for.
pub(crate) const MESSAGE_BYTES: usize = 65_536;
/// `limits.fragments` that the table is written for.
pub(crate) const FRAGMENTS: usize = 128;

/// One row.
pub(crate) struct FrameCase {
    pub(crate) name: String,
    /// What the client sends after the handshake.
    pub(crate) bytes: Vec<u8>,
    /// What the server must understand, in order.
    pub(crate) events: Vec<Event>,
    pub(crate) end: End,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing is begun; the connection stays open.
    Open,
    /// A frame or message is begun; the connection stays open.
    Waiting,
    /// The client closed.
    Closed,
    /// The server must close with this code, and count it under this label.
    Violation(u16, &'static str),
}

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
const FIN: u8 = 0x80;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A masked frame; `first` is the whole first byte.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    frame_with_mask(first, payload, MASK)
}

fn frame_with_mask(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut bytes = header(first, payload.len() as u64);
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
    bytes
}

/// First byte and a minimal length with the mask bit, without the mask.
fn header(first: u8, length: u64) -> Vec<u8> {
    match length {
        0..126 => vec![first, 0x80 | length as u8],
        126..65_536 => header_16(first, length as u16),
        _ => header_64(first, length),
    }
}

fn header_16(first: u8, length: u16) -> Vec<u8> {
    let mut bytes = vec![first, 0x80 | 126];
    bytes.extend(length.to_be_bytes());
    bytes
}

fn header_64(first: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![first, 0x80 | 127];
    bytes.extend(length.to_be_bytes());
    bytes
}

fn close_frame(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(FIN | CLOSE, &[&code.to_be_bytes(), reason].concat())
}

fn letters(count: usize) -> Vec<u8> {
    (b'a'..=b'z').cycle().take(count).collect()
}

fn bytes(count: usize) -> Vec<u8> {
    (0..=255).cycle().take(count).collect()
}

struct Table(Vec<FrameCase>);

impl Table {
    fn row(&mut self, name: impl Into<String>, frames: &[Vec<u8>], events: Vec<Event>, end: End) {
        self.0.push(FrameCase {
            name: name.into(),
            bytes: frames.concat(),
            events,
            end,
        });
    }

    fn open(&mut self, name: impl Into<String>, frames: &[Vec<u8>], events: Vec<Event>) {
        self.row(name, frames, events, End::Open);
    }

    fn broken(
        &mut self,
        name: impl Into<String>,
        frames: &[Vec<u8>],
        code: u16,
        kind: &'static str,
    ) {
        self.row(name, frames, vec![], End::Violation(code, kind));
    }
}

/// The whole table.
pub(crate) fn cases() -> Vec<FrameCase> {
    let mut table = Table(Vec::new());
    messages::messages(&mut table);
    messages::controls(&mut table);
    messages::fragments(&mut table);
    messages::interleaving(&mut table);
    faults::headers(&mut table);
    faults::lengths(&mut table);
    faults::sequences(&mut table);
    closes::closes(&mut table);
    text::legal_text(&mut table);
    text::illegal_text(&mut table);
    faults::limits(&mut table);
    faults::incomplete(&mut table);
    table.0
}
