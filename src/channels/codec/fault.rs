//! Why a message cannot be read or written, and how large one may be.

use thiserror::Error;

/// Deepest nesting of lists and dictionaries in a message, the message itself not counted. Python's
/// reader stops at 1024.
pub const DEPTH_MAX: usize = 64;

/// Most values in a message, keys not counted. One takes a byte at least and becomes up to 56.
pub const VALUES_MAX: usize = 65_536;

/// Why a message cannot be read. Such a message is dropped and counted by [`Poison::label`].
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
pub enum Poison {
    /// Longer than `message_bytes`.
    #[error("longer than channels.message_bytes")]
    TooLong,
    /// The message ends before what it announces.
    #[error("ends before what it announces")]
    Truncated,
    /// Bytes after its end.
    #[error("bytes after its end")]
    Trailing,
    /// Nested deeper than [`DEPTH_MAX`], or with an integer that Python refuses.
    #[error("nested too deeply")]
    Depth,
    /// More than [`VALUES_MAX`] values.
    #[error("too many values")]
    Values,
    /// Text that is not Unicode.
    #[error("text that is not Unicode")]
    Utf8,
    /// A key that is no text.
    #[error("a key that is no text")]
    Key,
    /// An extension type of msgpack.
    #[error("an extension type")]
    Extension,
    /// The byte that msgpack never uses.
    #[error("a reserved byte")]
    Reserved,
    /// Not JSON.
    #[error("not JSON")]
    Json,
    /// A value, but no dictionary.
    #[error("not a dictionary")]
    NotAMap,
    /// `__asgi_channel__` is neither a text nor a list of texts.
    #[error("recipients that are no names")]
    Recipients,
    /// No key of ours made this token, or it is damaged.
    #[error("not encrypted with a key of ours")]
    Token,
    /// A token older than `expiry` and 10 s, or more than a minute ahead of us (layer `core`).
    #[error("encrypted too long ago or in the future")]
    Stale,
}

impl Poison {
    /// Every reason.
    pub const ALL: [Self; 14] = [
        Self::TooLong,
        Self::Truncated,
        Self::Trailing,
        Self::Depth,
        Self::Values,
        Self::Utf8,
        Self::Key,
        Self::Extension,
        Self::Reserved,
        Self::Json,
        Self::NotAMap,
        Self::Recipients,
        Self::Token,
        Self::Stale,
    ];

    /// The value of a metric's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Truncated => "truncated",
            Self::Trailing => "trailing",
            Self::Depth => "depth",
            Self::Values => "values",
            Self::Utf8 => "utf8",
            Self::Key => "key",
            Self::Extension => "extension",
            Self::Reserved => "reserved",
            Self::Json => "json",
            Self::NotAMap => "not_a_map",
            Self::Recipients => "recipients",
            Self::Token => "token",
            Self::Stale => "stale",
        }
    }
}

/// Why a message cannot be written.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
pub enum Unwritable {
    /// JSON has no bytes.
    #[error("JSON has no bytes")]
    Bytes,
    /// msgpack has no integer of more than 64 bits.
    #[error("an integer of more than 64 bits")]
    Integer,
    /// The key in which the layer itself writes.
    #[error("the key __asgi_channel__ is the layer's own")]
    Recipients,
    /// Longer than `message_bytes`.
    #[error("longer than channels.message_bytes")]
    TooLong,
}
