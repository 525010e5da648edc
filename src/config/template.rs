//! Templates of paths: what a route's path may be, which text each of its segments admits, and whether two of them could
//! match one path. The one parser of `[[routes]]`, checked here, and of what the server matches requests against.

use crate::name::{self, RoomName};
use serde::{Deserialize, Serialize};

/// What serves a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Handler {
    /// The chat contract; the path must name `{business_id}` and `{session_id}`.
    Chat,
    /// Sends every message back as it came, text and binary (conformance suites).
    Echo,
    /// Sends every message of a member to all members of the room as it came, text and binary.
    Relay,
}

/// The chat route of the guide, served when `[[routes]]` names none.
pub const CHAT_PATH: &str = "/ws/chat/{business_id}/{session_id}/";

/// A path with parts that differ from one request to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathTemplate {
    /// What stands between the slashes, behind the first.
    pub(crate) segments: Vec<Segment>,
}

/// What stands between two slashes of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    /// This text.
    Literal(Box<str>),
    /// The business of a chat.
    BusinessId,
    /// The session of a chat.
    SessionId,
    /// A part with this name.
    Typed(Box<str>, PartKind),
}

/// What a part of a path may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PartKind {
    /// 1 to 18 digits without a leading zero.
    Int,
    /// 1 to 64 of `A-Z a-z 0-9 _ -`.
    Slug,
    /// A UUID in lower case.
    Uuid,
}

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TemplateFault {
    /// The rule that it breaks.
    pub(crate) what: String,
    /// What to write instead.
    pub(crate) fix: String,
}

fn fault<T>(what: impl Into<String>, fix: impl Into<String>) -> Result<T, TemplateFault> {
    Err(TemplateFault {
        what: what.into(),
        fix: fix.into(),
    })
}

impl PartKind {
    const ALL: [(&str, Self); 3] = [
        ("int", Self::Int),
        ("slug", Self::Slug),
        ("uuid", Self::Uuid),
    ];

    /// Is this text one?
    pub(crate) fn admits(self, text: &str) -> bool {
        match self {
            Self::Int => name::is_business_id(text),
            Self::Slug => name::is_slug(text),
            Self::Uuid => name::is_uuid(text),
        }
    }
}

impl Segment {
    /// Could one text match both?
    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Literal(one), other) | (other, Self::Literal(one)) => other.admits(one),
            // A UUID has hyphens and letters in it, an int has none.
            (Self::Typed(_, PartKind::Uuid), Self::BusinessId | Self::Typed(_, PartKind::Int))
            | (Self::BusinessId | Self::Typed(_, PartKind::Int), Self::Typed(_, PartKind::Uuid)) => {
                false
            }
            _ => true,
        }
    }

    /// May a path have this text here?
    fn admits(&self, text: &str) -> bool {
        match self {
            Self::Literal(literal) => **literal == *text,
            Self::BusinessId => name::is_business_id(text),
            Self::SessionId => name::is_session_id(text),
            Self::Typed(_, kind) => kind.admits(text),
        }
    }

    /// One of the shortest texts that a path may have here.
    fn shortest(&self) -> &str {
        match self {
            Self::Literal(literal) => literal,
            Self::BusinessId | Self::SessionId | Self::Typed(_, PartKind::Int | PartKind::Slug) => {
                "0"
            }
            Self::Typed(_, PartKind::Uuid) => "00000000-0000-0000-0000-000000000000",
        }
    }

    /// What it is called; nothing for a literal.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::BusinessId => Some("business_id"),
            Self::SessionId => Some("session_id"),
            Self::Typed(name, _) => Some(name),
        }
    }

    /// The part that stands between braces in a template; `None` if it is none.
    fn placeholder(part: &str) -> Option<Self> {
        match part {
            "business_id" => return Some(Self::BusinessId),
            "session_id" => return Some(Self::SessionId),
            _ => {}
        }
        let (name, kind) = part.split_once(':')?;
        let mut bytes = name.bytes();
        let is_name = bytes.next().is_some_and(|byte| byte.is_ascii_lowercase())
            && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        let (_, kind) = PartKind::ALL.into_iter().find(|(word, _)| *word == kind)?;
        is_name.then(|| Self::Typed(name.into(), kind))
    }

    fn parse(text: &str) -> Result<Self, TemplateFault> {
        if [".", ".."].contains(&text) {
            let what = format!("clients resolve the segment {text:?} before they send a path");
            return fault(what, "leave it out");
        }
        if text.contains(['{', '}']) {
            let part = text
                .strip_prefix('{')
                .and_then(|part| part.strip_suffix('}'));
            return part.and_then(Self::placeholder).map_or_else(
                || {
                    fault(
                        format!("{text:?} is not a placeholder"),
                        "placeholders are the whole segments {business_id}, {session_id}, {name:int}, {name:slug} and \
                         {name:uuid}, their names of a-z, 0-9 and _",
                    )
                },
                Ok,
            );
        }
        if !text.bytes().all(is_literal) {
            return fault(
                format!("{text:?} has characters that a decoded path does not keep"),
                "use letters, digits and -._~!$&'()*+,;=:@ (no query, `%` or space)",
            );
        }
        Ok(Self::Literal(text.into()))
    }
}

impl PathTemplate {
    /// Reads the template of a route that this serves; without a handler, of a consumer of the program's own.
    ///
    /// # Errors
    /// The first rule that it breaks, such as that no path could ever match it.
    pub(crate) fn parse(path: &str, handler: Option<Handler>) -> Result<Self, TemplateFault> {
        let Some(rest) = path.strip_prefix('/') else {
            let what = format!("{path:?} does not begin with `/`");
            return fault(what, format!("write {:?}", format!("/{path}")));
        };
        let count = rest.split('/').count();
        let mut segments: Vec<Segment> = Vec::with_capacity(count);
        for (place, text) in rest.split('/').enumerate() {
            if text.is_empty() && place + 1 < count {
                let what = format!("{path:?} has a double slash, and none is merged");
                return fault(what, "remove one slash");
            }
            let segment = Segment::parse(text)?;
            if let Some(name) = segment.name()
                && segments.iter().any(|other| other.name() == Some(name))
            {
                let what = format!("{{{name}}} appears twice");
                return fault(what, "keep one of them, or give the parts different names");
            }
            segments.push(segment);
        }
        let template = Self { segments };
        template.check_room(handler)?;
        Ok(template)
    }

    /// Has each path of this template the room that its consumer needs, or at least one of them?
    fn check_room(&self, handler: Option<Handler>) -> Result<(), TemplateFault> {
        for (id, name) in [
            (Segment::BusinessId, "{business_id}"),
            (Segment::SessionId, "{session_id}"),
        ] {
            if handler == Some(Handler::Chat) && !self.segments.contains(&id) {
                let what = format!("a chat route without {name} has no room");
                return fault(what, format!("add the segment {name}, as in {CHAT_PATH:?}"));
            }
        }
        let has = |id: &Segment| self.segments.contains(id);
        if has(&Segment::BusinessId) != has(&Segment::SessionId) {
            return fault(
                "one of {business_id} and {session_id} alone names no chat",
                "name both, or write {name:int} and {name:slug}",
            );
        }
        if matches!(handler, Some(Handler::Chat | Handler::Echo)) {
            return Ok(());
        }
        let is_plain = |text: &str| {
            let mut bytes = text.bytes();
            bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        };
        let mut literals = self.segments.iter();
        if let Some(Segment::Literal(text)) =
            literals.find(|segment| matches!(segment, Segment::Literal(text) if !is_plain(text)))
        {
            let what = format!("{text:?} cannot be in the name of a room");
            let fix = "its rooms are named after the path: use letters, digits, - and _";
            return fault(what, fix);
        }
        let shortest: Vec<&str> = self.segments.iter().map(Segment::shortest).collect();
        if RoomName::routed(&shortest).is_none() {
            let what = "the name of its rooms would always be longer than 99 bytes";
            return fault(what, "write a shorter path: its rooms are named after it");
        }
        Ok(())
    }

    /// Could one path match both?
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let mut pairs = self.segments.iter().zip(&other.segments);
        self.segments.len() == other.segments.len() && pairs.all(|(one, two)| one.overlaps(two))
    }
}

/// What a literal segment of a route may hold: the bytes that no client escapes in a path.
const fn is_literal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'')
        || matches!(
            byte,
            b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@'
        )
}
