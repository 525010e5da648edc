//! Validated names: parsed once, valid ever after.
//!
//! A room is `chat_{business_id}_{session_id}`. The rules below keep that a legal Channels group
//! name (ASCII letters, digits, `-`, `_`, `.`, fewer than 100 characters; channels 4.3
//! `layers.py`), so a bridge may use it as it is, and no user text can reach a Redis pattern.

use compact_str::{CompactString, format_compact};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

/// Longest `business_id` in bytes: 18 digits always fit a signed 64-bit integer.
pub const BUSINESS_ID_BYTES_MAX: usize = 18;

/// Longest `session_id` in bytes.
pub const SESSION_ID_BYTES_MAX: usize = 64;

/// Is this a business id: 1 to 18 ASCII digits without a leading zero (a lone `0` is legal)?
#[must_use]
pub fn is_business_id(text: &str) -> bool {
    (1..=BUSINESS_ID_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'))
}

/// Is this a session id: 1 to 64 of `A-Z a-z 0-9 . _ -`?
#[must_use]
pub fn is_session_id(text: &str) -> bool {
    (1..=SESSION_ID_BYTES_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// A text of somebody else's, such as an error of Redis that quotes a key, with every room's name in it replaced by
/// its tag.
#[must_use]
pub fn hide_rooms(text: &str) -> String {
    const CHAT: &str = "chat_";
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    let first = |text: &str| {
        [CHAT, ROUTED]
            .into_iter()
            .filter_map(|prefix| Some((text.find(prefix)?, prefix)))
            .min()
    };
    while let Some((at, prefix)) = first(rest) {
        let (before, from) = rest.split_at(at);
        let is_inside = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let end = from.find(|c| !is_inside(c)).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        shown.push_str(before);
        match RoomName::parse(word) {
            Some(room) => shown.push_str(&format!("room {}", room.tag())),
            // A name that breaks the rules, or cut off: hidden all the same.
            None if word.len() > prefix.len() => shown.push_str(&format!("{prefix}(hidden)")),
            None => shown.push_str(word),
        }
        rest = after;
    }
    shown.push_str(rest);
    shown
}

/// Longest name of a room in bytes: a Channels group name has fewer than 100 characters.
const ROOM_BYTES_MAX: usize = 99;

/// What the name of a room begins with that is no chat's.
const ROUTED: &str = "route_";

/// Is this a slug: 1 to 64 of `A-Z a-z 0-9 _ -`?
#[must_use]
pub fn is_slug(text: &str) -> bool {
    is_session_id(text) && !text.contains('.')
}

/// Is this a UUID: 36 characters in groups of 8, 4, 4, 4 and 12 lower-case hexadecimal digits (RFC 9562 §4; as
/// Django's path converter, so that one UUID is one room)?
#[must_use]
pub fn is_uuid(text: &str) -> bool {
    let mut groups = text.split('-');
    let mut is_group = |length: usize| {
        groups.next().is_some_and(|group| {
            group.len() == length
                && group
                    .bytes()
                    .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        })
    };
    [8, 4, 4, 4, 12].into_iter().all(&mut is_group) && groups.next().is_none()
}

/// The name of a room. At most 99 bytes, a legal Channels group name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomName(CompactString);

impl RoomName {
    /// The room of a chat, or `None` if an id breaks its rule.
    #[must_use]
    pub fn chat(business_id: &str, session_id: &str) -> Option<Self> {
        (is_business_id(business_id) && is_session_id(session_id))
            .then(|| Self(format_compact!("chat_{business_id}_{session_id}")))
    }

    /// The room of a path that is no chat's: its segments, decoded, with dots between them, so that no two paths
    /// have one room. `None` if a segment holds more than `A-Z a-z 0-9 _ -`, or the name is longer than 99 bytes.
    #[must_use]
    pub fn routed(segments: &[&str]) -> Option<Self> {
        let is_plain = |segment: &&str| {
            let mut bytes = segment.bytes();
            bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
        };
        let name = || [ROUTED, &segments.join(".")].concat();
        segments
            .iter()
            .all(is_plain)
            .then(name)
            .and_then(|name| Self::parse(&name))
    }

    /// A room that no path names: for those who cannot have one of their own.
    #[must_use]
    pub fn lobby() -> Self {
        Self("chat_0_..".into())
    }

    /// The reverse of [`RoomName::as_str`], or `None` if `text` is not a room's name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix(ROUTED) {
            let is_inside =
                |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
            let is_name = text.len() <= ROOM_BYTES_MAX && path.bytes().all(is_inside);
            return is_name.then(|| Self(text.into()));
        }
        let (business_id, session_id) = text.strip_prefix("chat_")?.split_once('_')?;
        Self::chat(business_id, session_id)
    }

    /// `chat_{business_id}_{session_id}`, or `route_` and the segments of its path with dots between them.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Eight digits that stand for the name in this process's log: the same for the same room until the process
    /// ends, and without its key no way back to the name.
    #[must_use]
    pub fn tag(&self) -> String {
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        format!("{:08x}", KEY.hash_one(self.as_str()) >> 32)
    }

    /// The business id within the name; empty for a room that is no chat's.
    #[must_use]
    pub fn business_id(&self) -> &str {
        self.parts().0
    }

    /// The session id within the name; likewise.
    #[must_use]
    pub fn session_id(&self) -> &str {
        self.parts().1
    }

    fn parts(&self) -> (&str, &str) {
        // A business id holds no underscore, so the first one after the prefix ends it.
        self.0
            .strip_prefix("chat_")
            .and_then(|rest| rest.split_once('_'))
            .unwrap_or_default()
    }
}

/// The name of a room is the secret of its chat: whoever knows the name may join. So it shows itself as its
/// [`RoomName::tag`], in logs, errors and panics alike; [`RoomName::as_str`] is for wires, keys and the level `debug`.
impl fmt::Debug for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "room {}", self.tag())
    }
}

impl std::borrow::Borrow<str> for RoomName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_name_round_trips_even_with_underscores_in_the_session() {
        let room = RoomName::chat("12", "a_b-c.D").expect("legal");
        assert_eq!(room.as_str(), "chat_12_a_b-c.D");
        assert_eq!((room.business_id(), room.session_id()), ("12", "a_b-c.D"));
        assert_eq!(RoomName::parse("chat_12_a_b-c.D"), Some(room));
    }

    #[test]
    fn a_name_shows_itself_as_a_tag() {
        let room = |session| RoomName::chat("1", session).expect("legal");
        assert_eq!(room("abc").tag(), room("abc").tag());
        assert_ne!(room("abc").tag(), room("abd").tag());
        assert_eq!(room("abc").tag().len(), 8);
        let shown = format!("{:?} {:?}", room("abc"), Some(vec![room("abc")]));
        assert!(!shown.contains("abc") && !shown.contains("chat"), "{shown}");
        assert!(shown.contains(&room("abc").tag()), "{shown}");
    }

    #[test]
    fn rooms_in_the_texts_of_others_are_hidden() {
        let tag = RoomName::chat("1", "a_b-c.D").expect("legal").tag();
        for (text, shown) in [
            ("", String::new()),
            ("WRONGTYPE of a key", "WRONGTYPE of a key".to_owned()),
            (
                "key 'site:room:chat_1_a_b-c.D'",
                format!("key 'site:room:room {tag}'"),
            ),
            (
                "{chat_1_a_b-c.D} chat_1_a_b-c.D",
                format!("{{room {tag}}} room {tag}"),
            ),
            (
                "asgi:group:chat_01_x",
                "asgi:group:chat_(hidden)".to_owned(),
            ),
            ("chat_1", "chat_(hidden)".to_owned()),
            ("chat_ chat", "chat_ chat".to_owned()),
        ] {
            assert_eq!(hide_rooms(text), shown, "{text}");
        }
    }

    #[test]
    fn a_path_that_is_no_chats_has_a_room_of_its_own() {
        let room = RoomName::routed(&["ws", "board", "7", ""]).expect("legal");
        assert_eq!(room.as_str(), "route_ws.board.7.");
        assert_eq!(RoomName::parse("route_ws.board.7."), Some(room.clone()));
        assert_eq!((room.business_id(), room.session_id()), ("", ""));
        let shown = hide_rooms("key 'route_ws.board.7.'");
        assert_eq!(shown, format!("key 'room {}'", room.tag()));
        for segment in ["a.b", "a/b", "a b", "a*", &"s".repeat(94)] {
            assert_eq!(RoomName::routed(&[segment]), None, "{segment:?}");
        }
        assert_eq!(RoomName::parse("route_a b"), None);
    }

    #[test]
    fn slugs_and_uuids_are_told_from_the_rest() {
        let uuid = "0f8fad5b-d9cb-469f-a165-70867728950e";
        assert!(is_uuid(uuid) && is_slug(uuid) && is_slug("a_B-9"));
        for text in ["", "a.b", "a/b", "\u{e9}", &"s".repeat(65)] {
            assert!(!is_slug(text), "{text:?}");
        }
        for text in [
            "",
            &uuid.to_uppercase(),
            uuid.trim_start_matches('0'),
            &format!("{uuid}-"),
            &uuid.replace('-', "_"),
        ] {
            assert!(!is_uuid(text), "{text:?}");
        }
    }

    #[test]
    fn the_longest_name_is_a_legal_group() {
        let room = RoomName::chat(&"9".repeat(18), &"s".repeat(64)).expect("legal");
        assert!(room.as_str().len() < 100);
    }

    #[test]
    fn ids_outside_the_rules_are_refused() {
        for id in ["", "01", "00", "-1", "1a", "١", "1234567890123456789", " 1"] {
            assert!(!is_business_id(id), "{id:?}");
        }
        for id in [
            "",
            "a/b",
            "a b",
            "é",
            "a\n",
            "a*",
            "a%41",
            "a:b",
            &"s".repeat(65),
        ] {
            assert!(!is_session_id(id), "{id:?}");
        }
        assert!(is_business_id("0") && is_session_id("..") && is_session_id("-_."));
    }
}
