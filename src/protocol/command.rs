//! A complete text message into a command.
//!
//! One [`Parser`] per worker; its buffers are reused, so the guide's path does not allocate per
//! message. Text is borrowed from the payload, whose escapes are undone in place.
//! Limits: `chat.text_bytes_max`; 512 levels of nesting.

use std::borrow::Cow;
use std::fmt;

use simd_json::{Buffers, Node, Tape};

use super::error::ErrorCode;
use super::python::{self, Failure, Value};
use crate::config::Dialect;

/// Deepest nesting of keys nobody reads. Half of simd-json's default: the stack it keeps per
/// level is the worker's for good. Dialect `django` reads deeper ones the slow way.
const DEPTH_MAX: usize = 512;

/// Messages above this many bytes do not leave their buffers behind. 64 KiB, the default of the
/// largest message, so that ordinary configurations never allocate here.
const KEEP_BYTES_MAX: usize = 64 * 1024;

/// What a member's message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Said by the user; the assistant answers it.
    User,
    /// A notification among the members.
    System,
}

/// A command, valid and within the limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command<'a> {
    /// User's or system message.
    pub kind: Kind,
    /// The text, for the room and for the assistant.
    pub text: Cow<'a, str>,
    /// Dialect `django`, when `message` was not a string: the JSON that echoes it.
    pub json: Option<Box<str>>,
}

impl Command<'_> {
    /// What `django` answers when it cannot store the message, as in a session that is missing.
    #[must_use]
    pub const fn failure(&self) -> ErrorCode {
        failure(self.kind)
    }
}

const fn failure(kind: Kind) -> ErrorCode {
    match kind {
        Kind::User => ErrorCode::UserFailed,
        Kind::System => ErrorCode::SystemFailed,
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
pub struct Parser {
    buffers: Buffers,
    tape: Tape<'static>,
    /// The payload as it came, for the second reading of dialect `django`.
    original: Vec<u8>,
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Parser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parser").finish_non_exhaustive()
    }
}

/// The two keys that count, as the tape has them.
#[derive(Clone, Copy)]
struct Fields<'a> {
    message: Option<Node<'a>>,
    kind: Option<Node<'a>>,
}

impl Parser {
    /// A parser with small buffers.
    #[must_use]
    pub fn new() -> Self {
        Self {
            buffers: Buffers::with_max_depth(1024, DEPTH_MAX),
            tape: Tape(Vec::with_capacity(16)),
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
        let parsed = match dialect {
            Dialect::Guide => self.parse_guide(payload),
            Dialect::Django => self.parse_django(payload),
        };
        if payload_bytes > KEEP_BYTES_MAX {
            *self = Self::new();
        }
        let command = parsed?;
        if command.text.len() > text_bytes_max {
            return Err(ErrorCode::TooLong.into());
        }
        Ok(command)
    }

    fn parse_guide<'a>(&mut self, payload: &'a mut [u8]) -> Result<Command<'a>, Rejected> {
        let fields = self.fields(payload).ok_or(ErrorCode::Format)?;
        let text = match fields.message {
            None => return Err(ErrorCode::MissingField.into()),
            Some(Node::String(text)) => text,
            Some(_) => return Err(ErrorCode::Format.into()),
        };
        let kind = kind_of(fields.kind).ok_or(ErrorCode::UnknownType)?;
        if is_blank(text) {
            return Err(ErrorCode::Empty.into());
        }
        Ok(Command {
            kind,
            text: Cow::Borrowed(text),
            json: None,
        })
    }

    fn parse_django<'a>(&mut self, payload: &'a mut [u8]) -> Result<Command<'a>, Rejected> {
        self.original.clear();
        self.original.extend_from_slice(payload);
        if let Some(Fields {
            message: Some(Node::String(text)),
            kind,
        }) = self.fields(payload)
        {
            return Ok(Command {
                kind: kind_of(kind).ok_or(Rejected::Ignored)?,
                text: Cow::Borrowed(text),
                json: None,
            });
        }
        read_again(&self.original)
    }

    /// The fields of the object, or `None` if the payload is not one JSON object.
    fn fields<'a>(&mut self, payload: &'a mut [u8]) -> Option<Fields<'a>> {
        let mut tape: Tape<'a> = std::mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let fields = simd_json::fill_tape(payload, &mut self.buffers, &mut tape)
            .ok()
            .and_then(|()| find_fields(&tape.0));
        self.tape = tape.reset();
        fields
    }
}

/// Walks the keys of the outermost object; the last of equal keys wins.
fn find_fields<'a>(nodes: &[Node<'a>]) -> Option<Fields<'a>> {
    let (Node::Object { len, .. }, mut rest) = nodes.split_first()? else {
        return None;
    };
    let mut fields = Fields {
        message: None,
        kind: None,
    };
    for _ in 0..*len {
        let [Node::String(key), value, tail @ ..] = rest else {
            return None;
        };
        match *key {
            "message" => fields.message = Some(*value),
            "type" => fields.kind = Some(*value),
            _ => {}
        }
        let nested = match value {
            Node::Object { count, .. } | Node::Array { count, .. } => *count,
            Node::String(_) | Node::Static(_) => 0,
        };
        rest = tail.get(nested..)?;
    }
    Some(fields)
}

fn kind_of(node: Option<Node<'_>>) -> Option<Kind> {
    match node {
        None | Some(Node::String("user")) => Some(Kind::User),
        Some(Node::String("system")) => Some(Kind::System),
        Some(_) => None,
    }
}

/// What Python makes of a payload without a plain string in `message`.
fn read_again<'a>(payload: &[u8]) -> Result<Command<'a>, Rejected> {
    let Ok(text) = std::str::from_utf8(payload) else {
        return Err(ErrorCode::Format.into());
    };
    let value = python::read(text).map_err(|failure| match failure {
        Failure::Syntax => ErrorCode::Format,
        Failure::Unprocessable | Failure::TooMany => ErrorCode::Failed,
    })?;
    let Value::Dict(mut fields) = value else {
        return Err(ErrorCode::Failed.into());
    };
    let message = fields.take("message").ok_or(ErrorCode::MissingField)?;
    let kind = match fields.take("type") {
        None => Kind::User,
        Some(kind @ Value::Text(_)) => match python::to_str(&kind).as_deref() {
            Some("user") => Kind::User,
            Some("system") => Kind::System,
            _ => return Err(Rejected::Ignored),
        },
        Some(_) => return Err(Rejected::Ignored),
    };
    let (text, json) = match &message {
        Value::Null => (None, None),
        Value::Text(_) => (python::to_str(&message), None),
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
