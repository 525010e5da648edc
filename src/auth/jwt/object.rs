//! A JSON object read strictly: each member once, and no more than a bounded number of them.
//!
//! Two members of one name are two truths: the library that signed a token may have meant the other one
//! (RFC 7515 §4, RFC 8725 §2.4).

use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;

/// Members that a header or claims mostly have at most: their names are allocated once.
const NAMES: usize = 8;

/// Reads an object. The values of `known` names are kept, in their order; others are only checked.
///
/// # Errors
/// When the text is no object, names a member twice, or has more than `members_max`.
pub(super) fn read<const N: usize>(
    json: &[u8],
    known: [&'static str; N],
    members_max: usize,
) -> Result<[Option<Value>; N], serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let members = deserializer.deserialize_map(ObjectMembers { known, members_max })?;
    deserializer.end()?;
    Ok(members)
}

struct ObjectMembers<const N: usize> {
    known: [&'static str; N],
    members_max: usize,
}

/// A name, borrowed where it has no escapes.
#[derive(serde::Deserialize, PartialEq, Eq)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de, const N: usize> Visitor<'de> for ObjectMembers<N> {
    type Value = [Option<Value>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = [const { None }; N];
        let mut names: Vec<Name<'de>> = Vec::with_capacity(NAMES);
        while let Some(name) = map.next_key::<Name<'de>>()? {
            if names.len() == self.members_max || names.contains(&name) {
                return Err(A::Error::custom("a member twice, or too many"));
            }
            let place = self.known.iter().position(|known| *known == name.0);
            match place.and_then(|place| values.get_mut(place)) {
                Some(value) => *value = Some(map.next_value()?),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            names.push(name);
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_read_with_each_member_once() {
        let read = |json: &str| read(json.as_bytes(), ["a", "b"], 3).ok();
        assert_eq!(
            read(r#"{"b": 1, "x": {"a": 1, "a": 2}}"#),
            Some([None, Some(Value::from(1))])
        );
        assert_eq!(read(r#"{"a": null}"#), Some([Some(Value::Null), None]));
        for json in [
            "",
            "null",
            "[]",
            "1",
            "{}x",
            "{} {}",
            r#"{"a": 1, "a": 1}"#,
            r#"{"a": 1, "\u0061": 1}"#,
            r#"{"x": 1, "x": 1}"#,
            r#"{"a": 1, "b": 1, "c": 1, "d": 1}"#,
            r#"{"a": 01}"#,
            "{'a': 1}",
            "{\"a\": \"\u{1}\"}",
        ] {
            assert_eq!(read(json), None, "{json}");
        }
    }
}
