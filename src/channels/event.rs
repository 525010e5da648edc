//! What a Channels event means to the clients of a room, and what a worker is told of a client.
//!
//! The unmodified Python consumer drops every client of a group at an event it does not know; here
//! such an event is counted and ignored. Types are compared as Channels dispatches them, with `_` for
//! `.`.

use std::borrow::Cow;

use super::codec::text;
use super::codec::value::{Map, Value};
use crate::config::Dialect;
use crate::config::channels::ChannelsSettings;
use crate::name::RoomName;
use crate::protocol::{CloseReason, Event, EventDetails, EventOrigin, Moment, Sender, Stamp};

/// What the package's consumer shows as an error.
const ERROR_TYPE: &str = "send_error_message";

/// What becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A text frame for every client of the room; its payload was appended.
    Frame,
    /// Every connection of the room is closed with this code.
    Close(u16),
    /// Nothing; counted by the reason's label.
    Ignored(Ignored),
}

/// Why an event has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ignored {
    /// The event has no `type`, or one that is no text.
    NoType,
    /// The event's type is not configured.
    UnknownType,
    /// The event holds bytes, which no JSON can say.
    Bytes,
}

impl Ignored {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::NoType, Self::UnknownType, Self::Bytes];

    /// The value of a metric's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::NoType => "no_type",
            Self::UnknownType => "unknown_type",
            Self::Bytes => "bytes",
        }
    }
}

/// The mapping of one configuration.
#[derive(Clone, Debug)]
pub struct Mapping {
    dialect: Dialect,
    deliver: Vec<String>,
    close: Vec<String>,
    full_error: bool,
    send_type: String,
    node: Box<str>,
}

impl Mapping {
    /// The mapping of a configuration, for clients of `dialect`, on the node called `node`.
    #[must_use]
    pub fn new(channels: &ChannelsSettings, dialect: Dialect, node: &str) -> Self {
        let methods = |types: &[String]| -> Vec<String> {
            let methods = types.iter().map(|kind| method(kind).into_owned());
            methods.collect()
        };
        Self {
            dialect,
            deliver: methods(&channels.deliver_types),
            close: methods(&channels.close_types),
            full_error: channels.full_error,
            send_type: channels.send_type.clone(),
            node: node.into(),
        }
    }

    /// What `event` means, at the time of `stamp`. A frame's payload is appended to `out`; otherwise
    /// `out` stays as it was.
    ///
    /// - `close_types`: a close with the event's `code`, or 4500 if it has none that may be sent. Tested
    ///   first, so that it can name `send.error.message` too.
    /// - `send.error.message`: an error frame with the whole event, as the package's consumer sends it,
    ///   or with `full_error = false` only the text in `error` or `message`.
    /// - `deliver_types`: `text` as it is, if that is the only other key; otherwise the event without
    ///   `type` as JSON. Dialect `guide` promises `sender` and `timestamp` beside a `message`: missing
    ///   ones are added (`system`, now).
    pub fn read(&self, event: &Map<'_>, stamp: &Stamp, out: &mut Vec<u8>) -> Outcome {
        let Some(kind) = event.get("type").and_then(Value::as_str) else {
            return Outcome::Ignored(Ignored::NoType);
        };
        let method = method(kind);
        let is_in = |types: &[String]| types.iter().any(|known| *known == method);
        let start = out.len();
        let written = if is_in(&self.close) {
            return Outcome::Close(close_code(event));
        } else if method == ERROR_TYPE {
            self.push_error(event, out)
        } else if is_in(&self.deliver) {
            self.push_delivery(event, stamp, out)
        } else {
            return Outcome::Ignored(Ignored::UnknownType);
        };
        match written {
            Ok(()) => Outcome::Frame,
            Err(_only_bytes_cannot_be_written) => {
                out.truncate(start);
                Outcome::Ignored(Ignored::Bytes)
            }
        }
    }

    /// The message of an event that every client of the room is shown, accepted at `moment`: what it says, and whose words
    /// those are (`system` unless it says). `None` for an event without a text under `message`.
    pub fn said<'e>(&self, event: &'e Map<'_>, moment: Moment) -> Option<Event<'e>> {
        let method = method(event.get("type")?.as_str()?);
        let is_shown = self.deliver.iter().any(|known| *known == method);
        let text = event.get("message")?.as_str()?;
        let sender = match event.get("sender").and_then(Value::as_str) {
            Some("user") => Sender::User,
            Some("assistant") => Sender::Assistant,
            _ => Sender::System,
        };
        let details = EventDetails {
            origin: EventOrigin::Django,
            ..EventDetails::default()
        };
        (is_shown && method != ERROR_TYPE).then(|| Event::new(sender, text, moment).with(details))
    }

    fn push_error(
        &self,
        event: &Map<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), super::codec::Unwritable> {
        let short = ["error", "message"]
            .into_iter()
            .find_map(|key| event.get(key)?.as_str())
            .filter(|_| !self.full_error);
        let mut writer = self.writer(out);
        writer.open(b'{');
        writer.key("error");
        match short {
            Some(text) => writer.string(text),
            None => {
                writer.open(b'{');
                for (key, value) in event.iter() {
                    writer.entry(key, value)?;
                }
                writer.end(b'}');
            }
        }
        writer.key("sender");
        writer.string(Sender::System.as_str());
        writer.end(b'}');
        Ok(())
    }

    fn push_delivery(
        &self,
        event: &Map<'_>,
        stamp: &Stamp,
        out: &mut Vec<u8>,
    ) -> Result<(), super::codec::Unwritable> {
        let mut others = event.iter().filter(|(key, _)| *key != "type");
        if let (Some(("text", Value::Text(text))), None) = (others.next(), others.next()) {
            out.extend_from_slice(text.as_bytes());
            return Ok(());
        }
        let mut writer = self.writer(out);
        writer.open(b'{');
        for (key, value) in event.iter().filter(|(key, _)| *key != "type") {
            writer.entry(key, value)?;
        }
        if self.dialect == Dialect::Guide && event.get("message").is_some() {
            if event.get("sender").is_none() {
                writer.key("sender");
                writer.string(Sender::System.as_str());
            }
            if event.get("timestamp").is_none() {
                writer.key("timestamp");
                let stamp = stamp.text(self.dialect);
                writer.string(std::str::from_utf8(stamp).unwrap_or_default());
            }
        }
        writer.end(b'}');
        Ok(())
    }

    fn writer<'o>(&self, out: &'o mut Vec<u8>) -> text::JsonWriter<'o> {
        text::JsonWriter {
            out,
            dialect: self.dialect,
            first: true,
        }
    }

    /// What a worker or a group is told of a client's message.
    ///
    /// | Key | Value |
    /// |---|---|
    /// | `type` | `send_type`; the consumer's method, with `_` for `.` |
    /// | `message` | what the client said, without a prefix: a text, or in dialect `django` any value |
    /// | `sender` | `user`, or `system` for a message of type `system` |
    /// | `business_id` | number, as the primary key of Business |
    /// | `session_id` | text, as in the path |
    /// | `group` | the room as a group: `group_send(event["group"], …)` answers |
    /// | `timestamp` | when it was accepted, as the clients' dialect writes it |
    /// | `node` | who sent this, for consumers that hear several nodes |
    /// | `author` | the user's name; not there where nobody knows it |
    #[must_use]
    pub fn write<'a>(
        &'a self,
        room: &'a RoomName,
        (sender, message): (Sender, Value<'a>),
        timestamp: impl Into<Value<'a>>,
        author: Option<&'a str>,
    ) -> Map<'a> {
        let business_id: i64 = room.business_id().parse().unwrap_or_default();
        let mut event = Map::new();
        event.push("type", &*self.send_type);
        event.push("message", message);
        event.push("sender", sender.as_str());
        event.push("business_id", business_id);
        event.push("session_id", room.session_id());
        event.push("group", room.as_str());
        event.push("timestamp", timestamp);
        event.push("node", &*self.node);
        if let Some(author) = author {
            event.push("author", author);
        }
        event
    }
}

/// The name of the method to which Channels dispatches a type.
fn method(kind: &str) -> Cow<'_, str> {
    if kind.contains('.') {
        Cow::Owned(kind.replace('.', "_"))
    } else {
        Cow::Borrowed(kind)
    }
}

/// The event's `code`, if a close frame may carry it (RFC 6455 §7.4, IANA's registry).
fn close_code(event: &Map<'_>) -> u16 {
    let code = event.get("code").and_then(Value::as_integer);
    code.and_then(|code| u16::try_from(code).ok())
        .filter(|code| matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999))
        .unwrap_or(CloseReason::Removed.code())
}
