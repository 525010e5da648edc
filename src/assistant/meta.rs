//! What is said beside a reply.

use serde_json::{Map, Value};

/// Longest [`ReplyMeta`] in bytes, as JSON without spaces.
pub const META_BYTES_MAX: usize = 1024;

/// What a backend says beside its reply, for the site's own page: an object of JSON, at most [`META_BYTES_MAX`] bytes. In
/// frames it comes as `meta`, beside the message; clients that do not know it pass it over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyMeta {
    json: Box<str>,
    is_shown: bool,
}

impl ReplyMeta {
    /// Reads an object; `None` if that is none, or too long.
    #[must_use]
    pub fn new(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok().and_then(Self::of)
    }

    /// The same of an object that was read.
    pub(super) fn of(object: Map<String, Value>) -> Option<Self> {
        let json = Value::Object(object).to_string();
        (json.len() <= META_BYTES_MAX).then(|| Self {
            json: json.into(),
            is_shown: true,
        })
    }

    /// The documents that a reply stands on, by their ids: those that fit, in this order. For the site alone, in the archive
    /// and the history: which files a business has is nothing for its customers. `None` without any.
    pub(super) fn of_documents(ids: &[String]) -> Option<Self> {
        let mut bytes = r#"{"documents":[]}"#.len();
        let ids = ids.iter().map(|id| Value::from(id.as_str()));
        // A comma each.
        let fitting = ids.take_while(|id| {
            bytes += id.to_string().len() + 1;
            bytes <= META_BYTES_MAX
        });
        let documents: Vec<Value> = fitting.collect();
        if documents.is_empty() {
            return None;
        }
        let of_all = Map::from_iter([("documents".to_owned(), documents.into())]);
        let meta = Self::of(of_all)?;
        Some(Self {
            is_shown: false,
            ..meta
        })
    }

    /// The object, without spaces.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.json
    }

    /// Does this stand in frames too, or in what is kept alone?
    pub(crate) fn is_shown(&self) -> bool {
        self.is_shown
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

    #[test]
    fn the_documents_that_fit_are_for_the_site_alone() {
        let of = |ids: &[String]| ReplyMeta::of_documents(ids);
        let few = of(&["3".to_owned(), "a \"b\".md".to_owned()]).expect("two");
        assert_eq!(few.as_json(), r#"{"documents":["3","a \"b\".md"]}"#);
        assert!(!few.is_shown());
        assert!(ReplyMeta::new("{}").expect("an object").is_shown());
        let many: Vec<String> = (0..20).map(|id| format!("{id:0255}.md")).collect();
        let fitting = of(&many).expect("some");
        let ids: Value = serde_json::from_str(fitting.as_json()).expect("JSON");
        assert_eq!(ids["documents"], serde_json::json!(many[..3]));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["x".repeat(2000)]), None);
    }
}
