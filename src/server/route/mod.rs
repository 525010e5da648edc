//! Which path is served by what. Pure: a path in, a match out.
//!
//! Not for headers, origins or HTML. Called by the server's service for each request. The paths
//! come from `[[routes]]`; a request's path is compared as it was sent, segment by segment: no
//! merging of slashes but for those it begins with (Channels strips them), no resolving of dots, letters in their
//! case. Only the two ids are decoded, once, and must then obey the rules of [`crate::name`]. Dialect `django` is
//! lenient instead, as the package is: see [`match_django`].

mod django;
#[cfg(test)]
mod tests;

pub use django::{DjangoTarget, match_django};

use crate::config::{Handler, Route};
use crate::name::{self, RoomName};

/// The routes of a configuration.
#[derive(Clone, Debug)]
pub struct Router {
    patterns: Vec<PathPattern>,
}

#[derive(Clone, Debug)]
struct PathPattern {
    segments: Vec<Segment>,
    handler: Handler,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(Box<str>),
    BusinessId,
    SessionId,
}

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// What serves it.
    pub handler: Handler,
    /// The room, if the route names both ids; a chat route does.
    pub room: Option<RoomName>,
}

impl Segment {
    /// Could one text match both?
    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Literal(one), Self::Literal(two)) => one == two,
            (Self::Literal(text), Self::BusinessId) | (Self::BusinessId, Self::Literal(text)) => {
                name::is_business_id(text)
            }
            (Self::Literal(text), Self::SessionId) | (Self::SessionId, Self::Literal(text)) => {
                name::is_session_id(text)
            }
            _ => true,
        }
    }
}

impl Router {
    /// Checks and compiles routes.
    ///
    /// # Errors
    ///
    /// One sentence that names the path and the fix.
    pub fn new(routes: &[Route]) -> Result<Self, String> {
        let mut patterns: Vec<PathPattern> = Vec::with_capacity(routes.len());
        for route in routes {
            let pattern = PathPattern::parse(route)?;
            if let Some(twin) = patterns.iter().position(|other| other.overlaps(&pattern)) {
                let twin = routes.get(twin).map_or("", |route| &route.path);
                let path = &route.path;
                return Err(format!("routes {twin:?} and {path:?} match the same paths"));
            }
            patterns.push(pattern);
        }
        Ok(Self { patterns })
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
    fn parse(route: &Route) -> Result<Self, String> {
        let path = &route.path;
        let refuse = |rule: &str| Err(format!("route {path:?}: {rule}"));
        let Some(rest) = path.strip_prefix('/') else {
            return refuse("a path starts with /");
        };
        let count = rest.split('/').count();
        let mut segments = Vec::with_capacity(count);
        for (place, text) in rest.split('/').enumerate() {
            let segment = match text {
                "{business_id}" => Segment::BusinessId,
                "{session_id}" => Segment::SessionId,
                "" if place + 1 < count => return refuse("remove the double slash"),
                "." | ".." => return refuse("clients resolve . and .. before they send a path"),
                text if text.contains(['{', '}']) => {
                    return refuse(
                        "{business_id} and {session_id} are whole segments, nothing else",
                    );
                }
                text if !text.bytes().all(is_literal) => {
                    return refuse("use letters, digits and -._~!$&'()*+,;=:@");
                }
                text => Segment::Literal(text.into()),
            };
            if !matches!(segment, Segment::Literal(_)) && segments.contains(&segment) {
                return refuse("each id can be named once");
            }
            segments.push(segment);
        }
        let both =
            segments.contains(&Segment::BusinessId) == segments.contains(&Segment::SessionId);
        if !both || (route.handler == Handler::Chat && !segments.contains(&Segment::SessionId)) {
            return refuse("name both {business_id} and {session_id}");
        }
        Ok(Self {
            segments,
            handler: route.handler,
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
        let mut texts = path.split('/');
        for segment in &self.segments {
            let text = texts.next()?;
            match segment {
                Segment::Literal(literal) if **literal == *text => {}
                Segment::Literal(_) => return None,
                Segment::BusinessId => business_id = Some(decode_id(text)?),
                Segment::SessionId => session_id = Some(decode_id(text)?),
            }
        }
        if texts.next().is_some() {
            return None;
        }
        let room = match (business_id, session_id) {
            (Some(business_id), Some(session_id)) => {
                Some(RoomName::chat(&business_id, &session_id)?)
            }
            _ => None,
        };
        Some(Match {
            handler: self.handler,
            room,
        })
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

/// Decodes an id once. `None` for whatever an id cannot hold, and for `.` and `..`, which clients
/// and proxies resolve away: a session of that name would not always be reachable.
fn decode_id(raw: &str) -> Option<String> {
    if raw.len() > RAW_ID_BYTES_MAX {
        return None;
    }
    let mut id = String::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'%' {
            let high = hex_digit(bytes.next()?)?;
            high << 4 | hex_digit(bytes.next()?)?
        } else {
            byte
        };
        // Only what an id may hold: no second escape, slash, NUL or byte of another alphabet.
        if !byte.is_ascii_alphanumeric() && !matches!(byte, b'.' | b'_' | b'-') {
            return None;
        }
        id.push(char::from(byte));
    }
    (id != "." && id != "..").then_some(id)
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
