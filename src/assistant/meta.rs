//! What is said beside a reply.

use serde_json::{Map, Value};

/// Longest [`ReplyMeta`] in bytes, as JSON without spaces.
pub const META_BYTES_MAX: usize = 1024;

/// What a backend says beside its reply, for the site's own page: an object of JSON, at most [`META_BYTES_MAX`] bytes. In
/// frames it comes as `meta`, beside the message; clients that do not know it pass it over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyMeta(Box<str>);

impl ReplyMeta {
    /// Reads an object; `None` if that is none, or too long.
    #[must_use]
    pub fn new(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok().and_then(Self::of)
    }

    /// The same of an object that was read.
    pub(super) fn of(object: Map<String, Value>) -> Option<Self> {
        let json = Value::Object(object).to_string();
        (json.len() <= META_BYTES_MAX).then(|| Self(json.into()))
    }

    /// The object, without spaces.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_of_one_kibibyte_is_taken_and_nothing_else_is() {
        let meta = ReplyMeta::new(" { \"a\" : [ 1, null ] } ").expect("an object");
        assert_eq!(meta.as_json(), r#"{"a":[1,null]}"#);
        let of = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
        assert!(ReplyMeta::new(&of(1024)).is_some());
        for bad in [&*of(1025), "[]", "\"a\"", "1", "null", "", "{", "{} {}"] {
            assert_eq!(ReplyMeta::new(bad), None, "{bad}");
        }
    }
}
