//! What a peer is told when a command is not accepted: the connection lives on.
//!
//! Reasons that end a connection are in [`super::close`].

/// Why a command was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// Nothing but white space.
    Empty,
    /// Not JSON, or not the documented shape.
    Format,
    /// An object without `message`.
    MissingField,
    /// `type` is neither `user` nor `system` (dialect `guide`).
    UnknownType,
    /// `message` exceeds `chat.text_bytes_max`.
    TooLong,
    /// The connection sends faster than its token bucket fills.
    TooMany,
    /// The message cannot be taken on at the moment.
    Busy,
    /// JSON that the Python consumer cannot process (dialect `django`).
    Failed,
    /// A user's message that the Python consumer cannot store (dialect `django`).
    UserFailed,
    /// A system message that the Python consumer cannot store (dialect `django`).
    SystemFailed,
}

impl ErrorCode {
    /// Every code, in the order of the table in `docs/wire.md`.
    pub const ALL: [Self; 10] = [
        Self::Empty,
        Self::Format,
        Self::MissingField,
        Self::UnknownType,
        Self::TooLong,
        Self::TooMany,
        Self::Busy,
        Self::Failed,
        Self::UserFailed,
        Self::SystemFailed,
    ];

    /// The text of the frame's `error` field. Plain ASCII that no dialect escapes.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Empty => "Empty message received",
            Self::Format => "Invalid message format",
            Self::MissingField => "Missing required field in message",
            Self::UnknownType => "Unknown message type",
            Self::TooLong => "Message too long",
            Self::TooMany => "Too many messages",
            Self::Busy => "Too busy, please try again",
            Self::Failed => "Failed to process message",
            Self::UserFailed => "sorry, I encountered an error processing your message",
            Self::SystemFailed => "sorry, I encountered an error processing the system message",
        }
    }

    /// The value of the metric label `reason`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Format => "format",
            Self::MissingField => "missing_field",
            Self::UnknownType => "unknown_type",
            Self::TooLong => "too_long",
            Self::TooMany => "too_many",
            Self::Busy => "busy",
            Self::Failed => "failed",
            Self::UserFailed => "user_failed",
            Self::SystemFailed => "system_failed",
        }
    }

    /// Does the Python consumer leave `sender` out of this error's frame?
    pub(super) const fn is_parse_level(self) -> bool {
        matches!(
            self,
            Self::Empty | Self::Format | Self::MissingField | Self::Failed
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn texts_and_labels_are_distinct_and_need_no_escaping() {
        let texts: HashSet<_> = ErrorCode::ALL.iter().map(|code| code.text()).collect();
        let labels: HashSet<_> = ErrorCode::ALL.iter().map(|code| code.label()).collect();
        assert_eq!((texts.len(), labels.len()), (10, 10));
        for text in texts {
            assert!(text.bytes().all(|b| matches!(b, b' '..=b'~')), "{text}");
            assert!(!text.contains(['"', '\\']), "{text}");
        }
    }
}
