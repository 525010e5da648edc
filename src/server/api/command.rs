//! What is asked of the API, read from JSON and written for other nodes: every field checked, none unknown.

use super::connection_id::ConnectionId;
use super::fields::{Fields, invalid, missing};
use super::problem::{ApiProblem, ProblemKind};
use crate::name::{RoomName, is_business_id};
use crate::protocol::close::REASON_BYTES_MAX;
use crate::protocol::command::is_blank;
use crate::protocol::{CloseReason, Sender};
use serde_json::{Value, json};

/// Longest `id` in characters.
pub(super) const ID_CHARACTERS_MAX: usize = 64;

/// Longest `meta` in bytes, as JSON without spaces.
pub(super) const META_BYTES_MAX: usize = 1024;

/// Longest name of a user, in characters.
pub(super) const USER_CHARACTERS_MAX: usize = 256;

/// Codes by which a program may close connections, beside 3000 to 4999: those of RFC 6455 and its registry that an
/// endpoint may send and that say something about it, not about the protocol.
pub(super) const CODES: [u16; 6] = [1000, 1001, 1008, 1011, 1012, 1013];

/// What is published.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ApiMessage {
    pub(super) text: String,
    pub(super) sender: Sender,
    /// Published again with this, it is not shown again.
    pub(super) id: Option<String>,
    /// An object as JSON without spaces.
    pub(super) meta: Option<String>,
}

/// Whom to close.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum DisconnectTarget {
    User(String),
    Room(RoomName),
    Connection(ConnectionId),
}

/// One command.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ApiCommand {
    Publish {
        room: RoomName,
        message: ApiMessage,
    },
    /// To all rooms, or to those of one business.
    Broadcast {
        business_id: Option<String>,
        message: ApiMessage,
    },
    Disconnect {
        target: DisconnectTarget,
        reason: CloseReason,
        farewell: Option<Box<str>>,
    },
    Presence {
        room: RoomName,
    },
}

/// A kind of command, its name, its fields: those of the endpoint and of the OpenAPI document.
pub(super) const COMMANDS: [(&str, &[&str]); 4] = [
    (
        "publish",
        &[
            "room",
            "business_id",
            "session_id",
            "message",
            "sender",
            "id",
            "meta",
        ],
    ),
    (
        "broadcast",
        &["business_id", "message", "sender", "id", "meta"],
    ),
    (
        "disconnect",
        &["user", "room", "connection", "code", "reason"],
    ),
    ("presence", &["room"]),
];

/// The commands that a batch may hold: those that are no question.
pub(super) const BATCH: [&str; 3] = ["publish", "broadcast", "disconnect"];

/// The commands that a node asks others to carry out, too.
pub(super) const OF_ALL_NODES: [&str; 3] = ["broadcast", "disconnect", "presence"];

/// The fields of a kind of command.
pub(super) fn fields_of(name: &str) -> &'static [&'static str] {
    let found = COMMANDS.iter().find(|(other, _)| *other == name);
    found.map_or(&[], |(_, fields)| fields)
}

impl ApiCommand {
    /// Reads the fields of the command with this name; a text may have so many bytes.
    pub(super) fn read(
        name: &str,
        mut fields: Fields,
        text_bytes_max: usize,
    ) -> Result<Self, ApiProblem> {
        fields.are_among(fields_of(name))?;
        let fields = &mut fields;
        Ok(match name {
            "publish" => Self::Publish {
                room: room_of(fields)?,
                message: ApiMessage::read(fields, Sender::User, text_bytes_max)?,
            },
            "broadcast" => Self::Broadcast {
                business_id: business_of(fields)?,
                message: ApiMessage::read(fields, Sender::System, text_bytes_max)?,
            },
            "disconnect" => {
                let target = DisconnectTarget::read(fields)?;
                let (reason, farewell) = close_of(fields)?;
                Self::Disconnect {
                    target,
                    reason,
                    farewell,
                }
            }
            "presence" => {
                let room = fields.needed_text("room")?;
                let room = RoomName::parse(&room).ok_or_else(|| invalid("room", A_ROOM))?;
                Self::Presence { room }
            }
            _ => return Err(ProblemKind::NotFound.into()),
        })
    }

    /// Reads `{"publish": {…}}` or another of the `known` commands with its name around it.
    pub(super) fn read_named(
        fields: Fields,
        known: &[&str],
        text_bytes_max: usize,
    ) -> Result<Self, ApiProblem> {
        let (name, value) = fields.only(known)?;
        let inner = Fields::of(value, &name)?;
        Self::read(&name, inner, text_bytes_max).map_err(|problem| problem.within(&name))
    }

    /// The command with its name around it, as [`ApiCommand::read_named`] reads it.
    pub(super) fn write(&self) -> Value {
        match self {
            Self::Publish { room, message } => {
                let mut fields = message.write();
                put(&mut fields, "room", Some(room.as_str()));
                json!({ "publish": fields })
            }
            Self::Broadcast {
                business_id,
                message,
            } => {
                let mut fields = message.write();
                put(&mut fields, "business_id", business_id.as_deref());
                json!({ "broadcast": fields })
            }
            Self::Disconnect {
                target,
                reason,
                farewell,
            } => {
                let mut fields = json!({ "code": reason.code() });
                put(&mut fields, "reason", farewell.as_deref());
                match target {
                    DisconnectTarget::User(user) => put(&mut fields, "user", Some(user)),
                    DisconnectTarget::Room(room) => put(&mut fields, "room", Some(room.as_str())),
                    DisconnectTarget::Connection(id) => {
                        put(&mut fields, "connection", Some(&id.to_string()));
                    }
                }
                json!({ "disconnect": fields })
            }
            Self::Presence { room } => json!({ "presence": { "room": room.as_str() } }),
        }
    }

    /// Messages that it publishes, as the rate counts.
    pub(super) fn messages(&self) -> u32 {
        match self {
            Self::Publish { .. } | Self::Broadcast { .. } => 1,
            Self::Disconnect { .. } | Self::Presence { .. } => 0,
        }
    }
}

fn put(fields: &mut Value, name: &str, text: Option<&str>) {
    if let (Some(fields), Some(text)) = (fields.as_object_mut(), text) {
        fields.insert(name.to_owned(), text.into());
    }
}

const A_ROOM: &str = "the name of a room: chat_BUSINESS_SESSION, or route_ and the segments of its path with dots between them";
const A_BUSINESS: &str = "1 to 18 digits without a leading zero";

/// `room`, or `business_id` with `session_id`.
fn room_of(fields: &mut Fields) -> Result<RoomName, ApiProblem> {
    let (room, business, session) = (
        fields.text("room")?,
        business_of(fields)?,
        fields.text("session_id")?,
    );
    match (room, business, session) {
        (Some(room), None, None) => RoomName::parse(&room).ok_or_else(|| invalid("room", A_ROOM)),
        (Some(_), _, _) => {
            let detail = "given beside business_id or session_id: one of the two ways names a room";
            Err(ApiProblem::field(ProblemKind::InvalidField, "room", detail))
        }
        (None, Some(business), Some(session)) => RoomName::chat(&business, &session)
            .ok_or_else(|| invalid("session_id", "1 to 64 of A-Z a-z 0-9 . _ -")),
        (None, Some(_), None) => Err(missing("session_id")),
        (None, None, Some(_)) => Err(missing("business_id")),
        (None, None, None) => Err(missing("room")),
    }
}

/// A whole number up to 2^53 - 1, also with a fraction of zero: in JSON 1.0 is 1, and a larger one may have been
/// rounded on its way here.
fn integer(value: &Value) -> Option<u64> {
    const MOST: u64 = (1 << 53) - 1;
    let number = match (value.as_u64(), value.as_f64()) {
        (Some(number), _) => number,
        // Such a float is exact, and so is what it becomes.
        (None, Some(float)) if (0.0..=MOST as f64).contains(&float) && float.fract() == 0.0 => {
            float.to_string().parse().ok()?
        }
        _ => return None,
    };
    (number <= MOST).then_some(number)
}

/// A business's id, as digits in a text or as a number.
fn business_of(fields: &mut Fields) -> Result<Option<String>, ApiProblem> {
    const FIELD: &str = "business_id";
    let text = match fields.take(FIELD) {
        None => return Ok(None),
        Some(Value::String(text)) => text,
        Some(value) => integer(&value)
            .map(|number| number.to_string())
            .unwrap_or_default(),
    };
    if is_business_id(&text) {
        Ok(Some(text))
    } else {
        Err(invalid(FIELD, A_BUSINESS))
    }
}

impl ApiMessage {
    fn read(
        fields: &mut Fields,
        without: Sender,
        text_bytes_max: usize,
    ) -> Result<Self, ApiProblem> {
        let text = fields.needed_text("message")?;
        if is_blank(&text) {
            return Err(invalid("message", "more than white space"));
        }
        if text.len() > text_bytes_max {
            let most = format!("at most {text_bytes_max} bytes (chat.text_bytes_max)");
            return Err(invalid("message", most));
        }
        let sender = match fields.text("sender")?.as_deref() {
            None => without,
            Some("user") => Sender::User,
            Some("assistant") => Sender::Assistant,
            Some("system") => Sender::System,
            Some(_) => return Err(invalid("sender", "user, assistant or system")),
        };
        let id = fields.text("id")?;
        let is_id = |id: &String| {
            let length = id.chars().count();
            (1..=ID_CHARACTERS_MAX).contains(&length) && !id.contains(char::is_control)
        };
        if id.as_ref().is_some_and(|id| !is_id(id)) {
            let most = format!("1 to {ID_CHARACTERS_MAX} characters, none of them a control");
            return Err(invalid("id", most));
        }
        let meta = match fields.take("meta") {
            None => None,
            Some(meta @ Value::Object(_)) => Some(meta.to_string()),
            Some(_) => return Err(invalid("meta", "an object")),
        };
        if meta
            .as_ref()
            .is_some_and(|meta| meta.len() > META_BYTES_MAX)
        {
            let most = format!("at most {META_BYTES_MAX} bytes of JSON without spaces");
            return Err(invalid("meta", most));
        }
        Ok(Self {
            text,
            sender,
            id,
            meta,
        })
    }

    fn write(&self) -> Value {
        let mut fields = json!({ "message": self.text, "sender": self.sender.as_str() });
        put(&mut fields, "id", self.id.as_deref());
        let meta = self.meta.as_ref();
        // Written by us: it is JSON.
        if let Some(Ok(meta)) = meta.map(|meta| serde_json::from_str::<Value>(meta))
            && let Some(fields) = fields.as_object_mut()
        {
            fields.insert("meta".to_owned(), meta);
        }
        fields
    }
}

impl DisconnectTarget {
    fn read(fields: &mut Fields) -> Result<Self, ApiProblem> {
        let (user, room, connection) = (
            fields.text("user")?,
            fields.text("room")?,
            fields.text("connection")?,
        );
        match (user, room, connection) {
            (Some(user), None, None) => {
                if (1..=USER_CHARACTERS_MAX).contains(&user.chars().count()) {
                    Ok(Self::User(user))
                } else {
                    let most = format!("1 to {USER_CHARACTERS_MAX} characters");
                    Err(invalid("user", most))
                }
            }
            (None, Some(room), None) => {
                let room = RoomName::parse(&room).ok_or_else(|| invalid("room", A_ROOM))?;
                Ok(Self::Room(room))
            }
            (None, None, Some(id)) => {
                let id = ConnectionId::parse(&id);
                let id = id.ok_or_else(|| invalid("connection", "as presence lists it"))?;
                Ok(Self::Connection(id))
            }
            (None, None, None) => Err(missing("user or room or connection")),
            _ => {
                let detail = "one of user, room and connection says whom to close";
                let field = "user, room, connection";
                Err(ApiProblem::field(ProblemKind::InvalidField, field, detail))
            }
        }
    }
}

/// `code` and `reason`; without them 4500, removed.
fn close_of(fields: &mut Fields) -> Result<(CloseReason, Option<Box<str>>), ApiProblem> {
    let code = match fields.take("code") {
        None => None,
        Some(code) => {
            let code = integer(&code).and_then(|code| u16::try_from(code).ok());
            let legal = |code: &u16| CODES.contains(code) || (3000..=4999).contains(code);
            let list = "1000, 1001, 1008, 1011, 1012, 1013 or 3000 to 4999";
            Some(code.filter(legal).ok_or_else(|| invalid("code", list))?)
        }
    };
    let text = fields.text("reason")?;
    let length = text.as_ref().map_or(0, String::len);
    if length > REASON_BYTES_MAX {
        let most = format!("at most {REASON_BYTES_MAX} bytes");
        return Err(invalid("reason", most));
    }
    let removed = CloseReason::Removed;
    let reason = match (code, &text) {
        (code, None) if code.unwrap_or(removed.code()) == removed.code() => removed,
        (code, _) => CloseReason::Asked(code.unwrap_or(removed.code())),
    };
    let farewell = text.and_then(|text| reason.farewell(&text));
    Ok((reason, farewell))
}
