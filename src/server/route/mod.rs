//! Which path is served by what. Pure: a path in, a match out.
//!
//! Not for headers, origins or HTML. Called by the server's service for each request. The paths
//! come from `[[routes]]` and from the program's own consumers; a request's path is compared as it was sent, segment by segment: no
//! merging of slashes but for those it begins with (Channels strips them), no resolving of dots, letters in their
//! case. Only its parts (`{business_id}`, `{session_id}`, `{name:int}` …) are decoded, once, and must then obey the rules of
//! [`crate::name`]. No crate matches them: a router such as matchit chooses by position, and here the type decides too
//! (`/a/{id:int}/` beside `/a/{id:uuid}/`), and two routes that could match one path are refused at start. Dialect `django` is
//! lenient instead, as the package is: see [`match_django`].

mod django;
#[cfg(test)]
mod tests;

pub use django::{DjangoTarget, match_django};

use crate::broker;
use crate::config::{Handler, Route};
use crate::name::{self, RoomName};
use std::borrow::Cow;
use std::fmt;

/// The routes of a configuration.
#[derive(Clone, Debug)]
pub struct Router {
    patterns: Vec<PathPattern>,
}

#[derive(Clone, Debug)]
struct PathPattern {
    segments: Vec<Segment>,
    target: Target,
    /// The number of its own settings, or 0.
    settings: u8,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(Box<str>),
    BusinessId,
    SessionId,
    Typed(Box<str>, PartKind),
}

/// What a part of a path may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PartKind {
    /// 1 to 18 digits without a leading zero.
    Int,
    /// 1 to 64 of `A-Z a-z 0-9 _ -`.
    Slug,
    /// A UUID in lower case.
    Uuid,
}

impl PartKind {
    const ALL: [(&str, Self); 3] = [
        ("int", Self::Int),
        ("slug", Self::Slug),
        ("uuid", Self::Uuid),
    ];

    fn admits(self, text: &str) -> bool {
        match self {
            Self::Int => name::is_business_id(text),
            Self::Slug => name::is_slug(text),
            Self::Uuid => name::is_uuid(text),
        }
    }
}

/// What serves a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A consumer that the node comes with.
    BuiltIn(Handler),
    /// The program's own consumer of this number.
    Own(usize),
}

/// What a path leads to.
#[derive(Clone, PartialEq, Eq)]
pub struct Match {
    /// What serves it.
    pub target: Target,
    /// The number of the route's own settings from 1 in the order of the routes that have some, or 0.
    pub settings: u8,
    /// The room: that of both ids, of the whole path, or for an echo none.
    pub room: Option<RoomName>,
    /// The parts of the path by name, for a consumer of the program's own.
    pub parameters: Vec<(String, String)>,
}

/// As [`Caller`](crate::broker::Caller)'s.
impl fmt::Debug for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Match")
            .field("target", &self.target)
            .field("settings", &self.settings)
            .field("room", &self.room)
            .field("parameters", &broker::names(&self.parameters))
            .finish()
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

    /// What it is called; nothing for a literal.
    fn name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::BusinessId => Some("business_id"),
            Self::SessionId => Some("session_id"),
            Self::Typed(name, _) => Some(name),
        }
    }

    /// The part that stands between braces in a template; `None` if it is none.
    fn parse(part: &str) -> Option<Self> {
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
}

impl Router {
    /// Checks and compiles routes.
    ///
    /// # Errors
    ///
    /// One sentence that names the path and the fix.
    pub fn new(routes: &[Route]) -> Result<Self, String> {
        Self::with(routes, std::iter::empty())
    }

    /// As [`Router::new`], and behind them the templates of the program's own consumers, each with the number of
    /// its own settings or 0.
    ///
    /// # Errors
    ///
    /// As [`Router::new`].
    pub fn with<'a>(
        routes: &'a [Route],
        own: impl Iterator<Item = (&'a str, u8)>,
    ) -> Result<Self, String> {
        let mut count = 0_u8;
        let built_in = routes.iter().map(|route| {
            let has_own = route.has_own_settings();
            count = count.saturating_add(has_own.into());
            let settings = if has_own { count } else { 0 };
            (&*route.path, Target::BuiltIn(route.handler), settings)
        });
        let own = own.enumerate();
        let own = own.map(|(number, (path, settings))| (path, Target::Own(number), settings));
        let mut patterns: Vec<(&str, PathPattern)> = Vec::with_capacity(routes.len());
        for (path, target, settings) in built_in.chain(own) {
            let pattern = PathPattern {
                settings,
                ..PathPattern::parse(path, target)?
            };
            if let Some((twin, _)) = patterns.iter().find(|(_, other)| other.overlaps(&pattern)) {
                return Err(format!("routes {twin:?} and {path:?} match the same paths"));
            }
            patterns.push((path, pattern));
        }
        let patterns = patterns.into_iter().map(|(_, pattern)| pattern).collect();
        Ok(Self { patterns })
    }

    /// The number of the settings of the route with this template, or 0.
    #[must_use]
    pub fn settings_of(&self, template: &str) -> u8 {
        let Ok(twin) = PathPattern::parse(template, Target::BuiltIn(Handler::Chat)) else {
            return 0;
        };
        let mut patterns = self.patterns.iter();
        let found = patterns.find(|pattern| pattern.segments == twin.segments);
        found.map_or(0, |pattern| pattern.settings)
    }

    /// What a request's path, as it was sent and without its query, leads to; `None` is a 404.
    #[must_use]
    pub fn match_path(&self, raw_path: &str) -> Option<Match> {
        let segments = raw_path.strip_prefix('/')?.trim_start_matches('/');
        let mut patterns = self.patterns.iter();
        patterns.find_map(|pattern| pattern.matches(segments))
    }
}

impl PathPattern {
    fn parse(path: &str, target: Target) -> Result<Self, String> {
        let refuse = |rule: &str| Err(format!("route {path:?}: {rule}"));
        let Some(rest) = path.strip_prefix('/') else {
            return refuse("a path starts with /");
        };
        let count = rest.split('/').count();
        let mut segments = Vec::with_capacity(count);
        for (place, text) in rest.split('/').enumerate() {
            let part = text
                .strip_prefix('{')
                .and_then(|part| part.strip_suffix('}'));
            let segment = match text {
                "" if place + 1 < count => return refuse("remove the double slash"),
                "." | ".." => return refuse("clients resolve . and .. before they send a path"),
                text if text.contains(['{', '}']) => {
                    let Some(part) = part.and_then(Segment::parse) else {
                        return refuse(
                            "{business_id}, {session_id}, {name:int}, {name:slug} and {name:uuid} are whole segments, \
                             nothing else",
                        );
                    };
                    part
                }
                text if !text.bytes().all(is_literal) => {
                    return refuse("use letters, digits and -._~!$&'()*+,;=:@");
                }
                text => Segment::Literal(text.into()),
            };
            let is_twin = |other: &Segment| {
                other
                    .name()
                    .is_some_and(|name| segment.name() == Some(name))
            };
            if segments.iter().any(is_twin) {
                return refuse("each part can be named once");
            }
            segments.push(segment);
        }
        let both =
            segments.contains(&Segment::BusinessId) == segments.contains(&Segment::SessionId);
        if !both
            || (target == Target::BuiltIn(Handler::Chat) && !segments.contains(&Segment::SessionId))
        {
            return refuse("name both {business_id} and {session_id}");
        }
        let has_room = !matches!(target, Target::BuiltIn(Handler::Chat | Handler::Echo));
        let is_plain = |segment: &Segment| match segment {
            Segment::Literal(text) => text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)),
            _ => true,
        };
        if has_room && !segments.iter().all(is_plain) {
            return refuse("its rooms are named after it: use letters, digits, - and _");
        }
        Ok(Self {
            segments,
            target,
            settings: 0,
        })
    }

    /// Could one path match both?
    fn overlaps(&self, other: &Self) -> bool {
        self.segments.len() == other.segments.len()
            && self
                .segments
                .iter()
                .zip(&other.segments)
                .all(|(one, two)| one.overlaps(two))
    }

    fn matches(&self, path: &str) -> Option<Match> {
        let mut business_id = None;
        let mut session_id = None;
        let mut parameters = Vec::new();
        let mut texts = path.split('/');
        for segment in &self.segments {
            let text = texts.next()?;
            match segment {
                Segment::Literal(literal) if **literal == *text => {}
                Segment::Literal(_) => return None,
                Segment::BusinessId => business_id = Some(decode_id(text)?),
                Segment::SessionId => session_id = Some(decode_id(text)?),
                Segment::Typed(name, kind) => {
                    let value = decode_id(text).filter(|value| kind.admits(value))?;
                    parameters.push((String::from(&**name), value.into_owned()));
                }
            }
        }
        if texts.next().is_some() {
            return None;
        }
        let chat = match (&business_id, &session_id) {
            (Some(business_id), Some(session_id)) => Some(RoomName::chat(business_id, session_id)?),
            _ => None,
        };
        let room = match self.target {
            Target::BuiltIn(Handler::Chat | Handler::Echo) => chat,
            // Never a chat's: its members would be shown what is no event.
            Target::BuiltIn(Handler::Relay) | Target::Own(_) => {
                let ids = [("business_id", business_id), ("session_id", session_id)];
                let named = |(name, id): (&str, Option<Cow<'_, str>>)| {
                    Some((name.to_owned(), id?.into_owned()))
                };
                parameters.extend(ids.into_iter().filter_map(named));
                Some(self.room(path, &parameters)?)
            }
        };
        Some(Match {
            target: self.target,
            settings: self.settings,
            room,
            parameters,
        })
    }

    /// The room of a path that this pattern matches.
    fn room(&self, path: &str, parameters: &[(String, String)]) -> Option<RoomName> {
        let value = |name: &str| {
            let mut parameters = parameters.iter();
            let found = parameters.find(|(own, _)| own == name);
            found.map_or("", |(_, value)| value.as_str())
        };
        let decoded = |(segment, text)| match Segment::name(segment) {
            Some(name) => value(name),
            None => text,
        };
        let segments: Vec<&str> = self
            .segments
            .iter()
            .zip(path.split('/'))
            .map(decoded)
            .collect();
        RoomName::routed(&segments)
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

/// Longest raw segment that is looked at: three bytes for each byte of the longest id.
const RAW_ID_BYTES_MAX: usize = 3 * name::SESSION_ID_BYTES_MAX;

/// What an id may hold: no second escape, slash, NUL or byte of another alphabet.
const fn is_inside_id(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// Decodes an id once; one without escapes stays where it is. `None` for whatever an id cannot hold, and for `.`
/// and `..`, which clients and proxies resolve away: a session of that name would not always be reachable.
fn decode_id(raw: &str) -> Option<Cow<'_, str>> {
    let id = if raw.len() > RAW_ID_BYTES_MAX {
        return None;
    } else if raw.bytes().all(is_inside_id) {
        Cow::Borrowed(raw)
    } else {
        Cow::Owned(unescape(raw)?)
    };
    (id != "." && id != "..").then_some(id)
}

/// An id with its escapes replaced.
fn unescape(raw: &str) -> Option<String> {
    let mut id = String::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'%' {
            let high = hex_digit(bytes.next()?)?;
            high << 4 | hex_digit(bytes.next()?)?
        } else {
            byte
        };
        if !is_inside_id(byte) {
            return None;
        }
        id.push(char::from(byte));
    }
    Some(id)
}

/// The value of a hexadecimal digit.
const fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}
