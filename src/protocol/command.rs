//! A complete text message into a command.
//!
//! One [`Parser`] per worker; its buffers are reused, so the guide's path does not allocate per
//! message. Text is borrowed from the payload, whose escapes are undone in place.
//! Limits: `chat.text_bytes_max`; 990 levels of nesting in either dialect.

use std::borrow::Cow;

use super::error::ErrorCode;
use super::event::{Event, Sender};
use super::json::{self, Members, MessageField, SimdReader, Type};
use super::python::{self, PythonFailure, PythonValue};
use super::stamp::Moment;
use crate::config::Dialect;

/// Messages above this many bytes do not leave their buffers behind. 64 KiB, the default of the
/// largest message, so that ordinary configurations never allocate here.
pub(super) const KEEP_BYTES_MAX: usize = 64 * 1024;

/// What a member's message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommandKind {
    /// Said by the user; the assistant answers it.
    User,
    /// A notification among the members.
    System,
}

/// A command, valid and within the limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command<'a> {
    /// User's or system message.
    pub kind: CommandKind,
    /// The text, for the room and for the assistant.
    pub text: Cow<'a, str>,
    /// Dialect `django`, when `message` was not a string: the JSON that echoes it.
    pub json: Option<Box<str>>,
}

impl Command<'_> {
    /// What a room is shown of it, accepted at `moment`.
    #[must_use]
    pub fn event(&self, moment: Moment) -> Event<'_> {
        let sender = match self.kind {
            CommandKind::User => Sender::User,
            CommandKind::System => Sender::System,
        };
        Event {
            json: self.json.as_deref().map(Cow::Borrowed),
            ..Event::new(sender, &self.text, moment)
        }
    }

    /// What `django` answers when it cannot store the message, as in a session that is missing.
    #[must_use]
    pub const fn failure(&self) -> ErrorCode {
        failure(self.kind)
    }
}

const fn failure(kind: CommandKind) -> ErrorCode {
    match kind {
        CommandKind::User => ErrorCode::UserFailed,
        CommandKind::System => ErrorCode::SystemFailed,
    }
}

/// Why there is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rejected {
    /// Answer with this error.
    Error(ErrorCode),
    /// Answer nothing: `django` does so for an unknown `type`.
    Ignored,
}

impl From<ErrorCode> for Rejected {
    fn from(code: ErrorCode) -> Self {
        Self::Error(code)
    }
}

/// Parses commands, one after the other.
#[derive(Debug)]
pub struct Parser {
    reader: SimdReader,
    /// The payload as it came, if it holds a backslash: undoing escapes would lose it for a second
    /// reading.
    original: Vec<u8>,
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

impl Parser {
    /// A parser with small buffers.
    #[must_use]
    pub fn new() -> Self {
        Self {
            reader: SimdReader::new(),
            original: Vec::new(),
        }
    }

    /// Reads one complete text message. The payload's content is unspecified afterwards, except
    /// for what the command borrows.
    ///
    /// # Errors
    /// What to answer instead, by the rules of `dialect`.
    pub fn parse<'a>(
        &mut self,
        dialect: Dialect,
        text_bytes_max: usize,
        payload: &'a mut [u8],
    ) -> Result<Command<'a>, Rejected> {
        if is_blank_payload(payload) {
            return Err(ErrorCode::Empty.into());
        }
        let payload_bytes = payload.len();
        let parsed = self.read(dialect, payload);
        if payload_bytes > KEEP_BYTES_MAX {
            *self = Self::new();
        }
        let command = parsed?;
        if command.text.len() > text_bytes_max {
            return Err(ErrorCode::TooLong.into());
        }
        Ok(command)
    }

    fn read<'a>(
        &mut self,
        dialect: Dialect,
        payload: &'a mut [u8],
    ) -> Result<Command<'a>, Rejected> {
        // The first reader leaves a payload without a backslash as it is.
        let is_escaped = memchr::memchr(b'\\', payload).is_some();
        if is_escaped {
            self.original.clear();
            self.original.extend_from_slice(payload);
        }
        let members = self.reader.read(payload).or_else(|| {
            if is_escaped {
                payload.copy_from_slice(&self.original);
            }
            json::read(payload)
        });
        match dialect {
            Dialect::Guide => parse_guide(members, payload),
            Dialect::Django => {
                let original = is_escaped.then_some(self.original.as_slice());
                parse_django(members, payload, original)
            }
        }
    }

    /// Bytes that it holds for originals.
    #[cfg(test)]
    pub(super) fn original_bytes(&self) -> usize {
        self.original.capacity()
    }
}

fn parse_guide(members: Option<Members>, payload: &mut [u8]) -> Result<Command<'_>, Rejected> {
    let members = members.ok_or(ErrorCode::Format)?;
    let text = match members.message {
        MessageField::Missing => return Err(ErrorCode::MissingField.into()),
        MessageField::Other => return Err(ErrorCode::Format.into()),
        MessageField::Text(text) => text,
    };
    let kind = kind_of(members.kind).ok_or(ErrorCode::UnknownType)?;
    let text = text.read(payload).ok_or(ErrorCode::Format)?;
    if is_blank(text) {
        return Err(ErrorCode::Empty.into());
    }
    Ok(Command {
        kind,
        text: Cow::Borrowed(text),
        json: None,
    })
}

/// `original`: what the payload was, if it may have changed since.
fn parse_django<'a>(
    members: Option<Members>,
    payload: &'a mut [u8],
    original: Option<&[u8]>,
) -> Result<Command<'a>, Rejected> {
    match members {
        Some(Members {
            message: MessageField::Text(text),
            kind,
            is_beyond_python: false,
        }) if !text.is_broken => Ok(Command {
            kind: kind_of(kind).ok_or(Rejected::Ignored)?,
            text: Cow::Borrowed(text.read(payload).ok_or(ErrorCode::Format)?),
            json: None,
        }),
        _ => read_as_python(original.unwrap_or(payload)),
    }
}

const fn kind_of(kind: Type) -> Option<CommandKind> {
    match kind {
        Type::Missing | Type::User => Some(CommandKind::User),
        Type::System => Some(CommandKind::System),
        Type::Unknown => None,
    }
}

/// What Python makes of a payload that is no plain command.
fn read_as_python<'a>(payload: &[u8]) -> Result<Command<'a>, Rejected> {
    let Ok(text) = std::str::from_utf8(payload) else {
        return Err(ErrorCode::Format.into());
    };
    let value = python::read(text).map_err(|failure| match failure {
        PythonFailure::Syntax => ErrorCode::Format,
        PythonFailure::Unprocessable | PythonFailure::TooMany => ErrorCode::Failed,
    })?;
    let PythonValue::Dict(mut fields) = value else {
        return Err(ErrorCode::Failed.into());
    };
    let message = fields.take("message").ok_or(ErrorCode::MissingField)?;
    let kind = match fields.take("type") {
        None => CommandKind::User,
        Some(kind @ PythonValue::Text(_)) => match python::to_str(&kind).as_deref() {
            Some("user") => CommandKind::User,
            Some("system") => CommandKind::System,
            _ => return Err(Rejected::Ignored),
        },
        Some(_) => return Err(Rejected::Ignored),
    };
    let (text, json) = match &message {
        PythonValue::Null => (None, None),
        PythonValue::Text(_) => (python::to_str(&message), None),
        other => (python::to_str(other), Some(python::to_json(other).into())),
    };
    Ok(Command {
        kind,
        text: Cow::Owned(text.ok_or(failure(kind))?),
        json,
    })
}

fn is_blank_payload(payload: &[u8]) -> bool {
    // Nearly every payload starts with a brace and needs no second look.
    payload.first() != Some(&b'{') && std::str::from_utf8(payload).is_ok_and(is_blank)
}

/// Is there nothing left after Python's `str.strip`? It takes U+001C–001F too, unlike `trim`.
#[must_use]
pub fn is_blank(text: &str) -> bool {
    text.chars()
        .all(|character| character.is_whitespace() || matches!(character, '\u{1c}'..='\u{1f}'))
}
