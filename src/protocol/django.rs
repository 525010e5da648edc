//! What the Python consumer says on connect, without its database.
//!
//! Only for dialect `django`. `[[chat.exists]]` stands for the tables; an empty list means that
//! everything exists. Called by the server between routing and the 101.
//! Source: `channels` 4.3 `layers.py` (group names) and recorded connects.

use crate::config::Exists;
use crate::name::RoomName;

/// A group name is shorter than this, in code points.
const GROUP_NAME_CHARS: usize = 100;

const GROUP_NAME: &str = "Group name must be a valid unicode string with length < 100 containing \
                          only ASCII alphanumerics, hyphens, underscores, or periods.";
const INTEGER: &str = "Python int too large to convert to SQLite INTEGER";
const BUSINESS: &str = "Business matching query does not exist.";
const SESSION: &str = "ChatSession matching query does not exist.";

/// How a connection starts. The handshake is accepted in every case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// The text of the connection error that replaces the welcome.
    pub error: Option<&'static str>,
    /// Is a command answered, or does each one end in [`super::Command::failure`]?
    pub answers: bool,
    /// The room, if the ids make a legal name here; otherwise the connection stays alone.
    pub room: Option<RoomName>,
}

/// What happens to a connection of these ids, percent-decoded as in the path.
#[must_use]
pub fn join(exists: &[Exists], business_id: &str, session_id: &str) -> Join {
    let number = parse_integer(business_id);
    let business = number
        .map(|number| exists.is_empty() || exists.iter().any(|entry| entry.business_id == number));
    let session = exists.is_empty()
        || exists.iter().any(|entry| {
            Some(entry.business_id) == number
                && (entry.sessions.is_empty() || entry.sessions.iter().any(|id| id == session_id))
        });
    // The consumer joins the group before it asks the database.
    let error = if !is_group_name(business_id, session_id) {
        Some(GROUP_NAME)
    } else {
        match business {
            None => Some(INTEGER),
            Some(false) => Some(BUSINESS),
            Some(true) => (!session).then_some(SESSION),
        }
    };
    Join {
        error,
        answers: business == Some(true) && session,
        room: number.and_then(|number| RoomName::chat(&number.to_string(), session_id)),
    }
}

/// The number, if it fits the database's signed 64 bits.
fn parse_integer(digits: &str) -> Option<u64> {
    digits
        .chars()
        .try_fold(0_u64, |number, character| {
            number.checked_mul(10)?.checked_add(digit(character)?)
        })
        .filter(|&number| i64::try_from(number).is_ok())
}

fn is_group_name(business_id: &str, session_id: &str) -> bool {
    let chars = "chat__".len() + business_id.chars().count() + session_id.chars().count();
    // Python's `$` also matches before one last newline.
    let session_id = session_id.strip_suffix('\n').unwrap_or(session_id);
    chars < GROUP_NAME_CHARS
        && business_id
            .chars()
            .chain(session_id.chars())
            .all(|character| {
                character.is_ascii_alphabetic()
                    || matches!(character, '-' | '_' | '.')
                    || digit(character).is_some()
            })
}

/// The value of a decimal digit of any script (Unicode category Nd).
fn digit(character: char) -> Option<u64> {
    if character.is_ascii() {
        return character.to_digit(10).map(u64::from);
    }
    let code = u32::from(character);
    let start = ZEROS.partition_point(|&zero| zero <= code).checked_sub(1)?;
    let value = code - ZEROS.get(start)?;
    (value < 10).then_some(u64::from(value))
}

/// The zero of every script but ASCII in Unicode 14, which Python 3.11 has; nine follow each.
#[rustfmt::skip]
const ZEROS: &[u32] = &[
    0x0660, 0x06f0, 0x07c0, 0x0966, 0x09e6, 0x0a66, 0x0ae6, 0x0b66, 0x0be6, 0x0c66, 0x0ce6,
    0x0d66, 0x0de6, 0x0e50, 0x0ed0, 0x0f20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0,
    0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0,
    0xaa50, 0xabf0, 0xff10, 0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0,
    0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0,
    0x16a60, 0x16ac0, 0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0,
    0x1e950, 0x1fbf0,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture() -> Vec<Exists> {
        let entry = |business_id, sessions: &[&str]| Exists {
            business_id,
            sessions: sessions.iter().map(ToString::to_string).collect(),
        };
        let long = "L".repeat(92);
        vec![
            entry(1, &["session-123", "sess:1", "nl\n", &long]),
            entry(2, &["other-1"]),
            entry(3, &[]),
        ]
    }

    fn case(business_id: &str, session_id: &str) -> (Option<&'static str>, bool, bool) {
        let join = join(&fixture(), business_id, session_id);
        (join.error, join.answers, join.room.is_some())
    }

    #[test]
    fn what_exists_is_joined() {
        assert_eq!(case("1", "session-123"), (None, true, true));
        assert_eq!(case("01", "session-123"), (None, true, true));
        assert_eq!(case("١", "session-123"), (None, true, true));
        assert_eq!(case("3", "anything"), (None, true, true));
        assert_eq!(case("1", &"L".repeat(92)), (None, true, false));
        assert_eq!(case("1", "nl\n"), (None, true, false));
    }

    #[test]
    fn each_missing_part_has_its_text() {
        assert_eq!(case("7", "session-123"), (Some(BUSINESS), false, true));
        assert_eq!(case("1", "nope"), (Some(SESSION), false, true));
        assert_eq!(case("1", "other-1"), (Some(SESSION), false, true));
        assert_eq!(case("9223372036854775807", "x").0, Some(BUSINESS));
        assert_eq!(
            case("9223372036854775808", "x"),
            (Some(INTEGER), false, false)
        );
    }

    #[test]
    fn the_group_name_is_checked_first_and_commands_still_work() {
        assert_eq!(case("1", "sess:1"), (Some(GROUP_NAME), true, false));
        assert_eq!(case("1", "no:pe"), (Some(GROUP_NAME), false, false));
        assert_eq!(
            case(&"9".repeat(5000), "x"),
            (Some(GROUP_NAME), false, false)
        );
        assert_eq!(case("1", &"M".repeat(93)).0, Some(GROUP_NAME));
        assert_eq!(case("1", "a\nb").0, Some(GROUP_NAME));
        assert_eq!(case("1", "é").0, Some(GROUP_NAME));
    }

    #[test]
    fn an_empty_table_means_everything_exists() {
        let join = join(&[], "5", "abc");
        assert_eq!((join.error, join.answers), (None, true));
        assert_eq!(join.room, RoomName::chat("5", "abc"));
    }

    #[test]
    fn digits_of_every_script_make_a_business_id() {
        assert_eq!(["٣", "007", "９"].map(parse_integer), [3, 7, 9].map(Some));
        assert_eq!(["1a", "²"].map(parse_integer), [None; 2]);
        assert!(ZEROS.is_sorted());
    }
}
