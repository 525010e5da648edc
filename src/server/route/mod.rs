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
use crate::config::template::{PathTemplate, Segment};
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
    template: PathTemplate,
    target: Target,
    /// The number of its own settings, or 0.
    settings: u8,
}

/// What serves a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A consumer that the node comes with.
    BuiltIn(Handler),
    /// The program's own consumer of this number.
    Own(usize),
}

impl Target {
    /// What of the node's own serves it.
    const fn handler(self) -> Option<Handler> {
        match self {
            Self::BuiltIn(handler) => Some(handler),
            Self::Own(_) => None,
        }
    }
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

impl Match {
    /// What the path holds under this name of a part: of a chat, that is in the name of its room.
    pub(super) fn named<'a>(
        &'a self,
        name: &str,
        of_room: fn(&RoomName) -> &str,
    ) -> Option<&'a str> {
        let mut parameters = self.parameters.iter();
        let found = parameters.find(|(own, _)| own == name);
        let found = found.map(|(_, value)| value.as_str());
        let of_room = || self.room.as_ref().map(of_room);
        found.or_else(of_room).filter(|value| !value.is_empty())
    }
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
        let mut patterns: Vec<PathPattern> = Vec::with_capacity(routes.len());
        let mut paths: Vec<&str> = Vec::with_capacity(routes.len());
        for (path, target, settings) in built_in.chain(own) {
            let template = PathTemplate::parse(path, target.handler())
                .map_err(|fault| format!("route {path:?}: {}; {}", fault.what, fault.fix))?;
            let mut others = paths.iter().zip(&patterns);
            if let Some((twin, _)) = others.find(|(_, twin)| twin.template.overlaps(&template)) {
                return Err(format!("routes {twin:?} and {path:?} match the same paths"));
            }
            paths.push(path);
            patterns.push(PathPattern {
                template,
                target,
                settings,
            });
        }
        Ok(Self { patterns })
    }

    /// The number of the settings of the chat with this template, or 0; `None` if there is no such route.
    #[must_use]
    pub fn chat_at(&self, template: &str) -> Option<u8> {
        const CHAT: Handler = Handler::Chat;
        let template = PathTemplate::parse(template, Some(CHAT)).ok()?;
        let mut chats = self.patterns.iter();
        let found = chats.find(|pattern| {
            pattern.target == Target::BuiltIn(CHAT) && pattern.template == template
        });
        found.map(|pattern| pattern.settings)
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
    fn matches(&self, path: &str) -> Option<Match> {
        let mut business_id = None;
        let mut session_id = None;
        let mut parameters = Vec::new();
        let mut texts = path.split('/');
        for segment in &self.template.segments {
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
            .template
            .segments
            .iter()
            .zip(path.split('/'))
            .map(decoded)
            .collect();
        RoomName::routed(&segments)
    }
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
