//! What is kept of a room, as whoever keeps it answers.

/// Why there is no history.
#[derive(Debug, thiserror::Error)]
pub enum NoHistory {
    /// Nothing keeps one.
    #[error("no history is kept: bridge.mode is not \"streams\"")]
    NotKept,
    /// The room's Redis cannot be asked.
    #[error("the room's Redis is down")]
    Down,
    /// Redis did not answer.
    #[error("the room's Redis did not answer: {0}")]
    Unanswered(String),
    /// Redis answered that it does not say.
    #[error("the room's Redis refuses it: {0}")]
    Refused(String),
    /// What Redis holds under that name is of another type, or of somebody else.
    #[error("what Redis holds under that key is none of ours: {0}")]
    Foreign(String),
    /// As many are read as may be.
    #[error("too many histories are being read")]
    Busy,
    /// The journal cannot be read.
    #[error("the journal cannot be read: {0}")]
    Unreadable(String),
}

/// The newest messages of a room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Which numbering of the room's messages: no two of a room are the same. 0 without a message.
    pub epoch: u64,
    /// Offset of the last message; 0 without one.
    pub offset: u64,
    /// The newest, in order.
    pub messages: Vec<KeptMessage>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptMessage {
    /// The message's place in the room, from 1.
    pub offset: u64,
    /// Milliseconds since 1970, by the clock of whoever keeps it.
    pub millis: u64,
    /// The event as the members got it.
    pub event: String,
}
