//! Bytes and frames: a strict RFC 6455 decoder, the frame encoder and the checks of the opening
//! handshake.
//!
//! Not for sockets, time or chat: everything here is a function of bytes, so that a test feeds it
//! bytes. Called by the worker (floor 5: [`decoder`], [`encoder`]) and the server (floor 6:
//! [`handshake`]). Limits: `limits.message_bytes`, `limits.fragments`. Source: RFC 6455; probes
//! that fastwebsockets 0.10.0 fails are rows of `tests/cases/frames/`. No other module imports
//! fastwebsockets.

pub mod decoder;
pub mod encoder;
pub mod handshake;

pub use decoder::{Decoder, Incoming, Input};

/// What a frame is (RFC 6455 section 5.2, `opcode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// The next fragment of a message.
    Continuation = 0x0,
    /// A text message, or its first fragment.
    Text = 0x1,
    /// A binary message, or its first fragment.
    Binary = 0x2,
    /// The sender closes.
    Close = 0x8,
    /// Asks for a pong with the same payload.
    Ping = 0x9,
    /// Answers a ping, or says "still here".
    Pong = 0xa,
}

impl Opcode {
    /// The opcode of a first header byte's low half; `None` for the reserved ones.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0x0 => Some(Self::Continuation),
            0x1 => Some(Self::Text),
            0x2 => Some(Self::Binary),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xa => Some(Self::Pong),
            _ => None,
        }
    }

    /// Close, ping and pong: whole frames of at most 125 bytes (section 5.5).
    #[must_use]
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// What a message holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// UTF-8, checked.
    Text,
    /// Any bytes.
    Binary,
}

/// What one message may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest message in bytes, fragments together; exactly this many are accepted.
    pub message_bytes: usize,
    /// Most frames of one message, the first and empty ones included.
    pub fragments: usize,
}

/// The rule that a client broke, as a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ViolationKind {
    /// A frame without a mask (section 5.1).
    Mask,
    /// A reserved bit without an extension (section 5.2).
    Reserved,
    /// An unknown opcode (section 5.2).
    Opcode,
    /// A length that is not in its shortest form, or of 64 bits (section 5.2).
    Length,
    /// A control frame that is fragmented or longer than 125 bytes (section 5.5).
    Control,
    /// A continuation of nothing, or a message begun inside another (section 5.4).
    Sequence,
    /// A close frame with half a code or one that must not be sent (section 7.4).
    Close,
    /// A text or reason that is not UTF-8 (section 8.1).
    Utf8,
    /// A message above `limits.message_bytes`.
    Size,
    /// A message of more frames than `limits.fragments`.
    Fragments,
}

impl ViolationKind {
    /// Every kind, for a table of counters.
    pub const ALL: [Self; 10] = [
        Self::Mask,
        Self::Reserved,
        Self::Opcode,
        Self::Length,
        Self::Control,
        Self::Sequence,
        Self::Close,
        Self::Utf8,
        Self::Size,
        Self::Fragments,
    ];

    /// The metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Mask => "mask",
            Self::Reserved => "reserved",
            Self::Opcode => "opcode",
            Self::Length => "length",
            Self::Control => "control",
            Self::Sequence => "sequence",
            Self::Close => "close",
            Self::Utf8 => "utf8",
            Self::Size => "size",
            Self::Fragments => "fragments",
        }
    }

    /// The close code that answers it (section 7.4.1).
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Utf8 => 1007,
            Self::Fragments => 1008,
            Self::Size => 1009,
            _ => 1002,
        }
    }
}

/// Why a connection must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Violation {
    /// Close code: 1002, 1007, 1008 or 1009.
    pub code: u16,
    /// Close reason, fit to be sent: at most 123 bytes.
    pub reason: &'static str,
    /// The rule, for counting.
    pub kind: ViolationKind,
}

impl Violation {
    const fn new(kind: ViolationKind, reason: &'static str) -> Self {
        Self {
            code: kind.code(),
            reason,
            kind,
        }
    }
}
