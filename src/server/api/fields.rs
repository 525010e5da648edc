//! A JSON object, read strictly: every field once, none that is not asked for.

use super::problem::{ApiProblem, ProblemKind};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// What marks serde's error for a name that stands twice.
const TWICE: &str = "the field stands twice: ";

/// JSON in which no object has a name twice. What is nested deeper than serde_json reads (128) is refused.
struct Strict(Value);

struct StrictVisitor;

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            let Strict(value) = fields.next_value()?;
            if map.contains_key(&name) {
                return Err(de::Error::custom(format_args!("{TWICE}{name}")));
            }
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

/// The fields of an object that have not been asked for yet.
#[derive(Debug)]
pub(super) struct Fields(Map<String, Value>);

impl FromIterator<(String, Value)> for Fields {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(fields: I) -> Self {
        Self(fields.into_iter().collect())
    }
}

/// A value of the wrong type, or out of its bounds.
pub(super) fn invalid(field: &str, must: impl fmt::Display) -> ApiProblem {
    ApiProblem::field(ProblemKind::InvalidField, field, format!("must be {must}"))
}

impl Fields {
    /// The object that a body is.
    pub(super) fn parse(body: &[u8]) -> Result<Self, ApiProblem> {
        let not_json = |detail: String| ApiProblem::new(ProblemKind::NotJson, detail);
        match serde_json::from_slice(body) {
            Ok(Strict(Value::Object(fields))) => Ok(Self(fields)),
            Ok(_other) => Err(not_json("it is JSON, but no object".to_owned())),
            Err(error) => {
                let text = error.to_string();
                if let Some(name) = text.strip_prefix(TWICE) {
                    let name = name.rsplit_once(" at line ").map_or(name, |(name, _)| name);
                    let detail = "each may stand once in an object";
                    return Err(ApiProblem::field(ProblemKind::DuplicateField, name, detail));
                }
                // Where, and never what: the body may hold anything.
                let (line, column) = (error.line(), error.column());
                Err(not_json(format!(
                    "it ends or breaks at line {line}, column {column}"
                )))
            }
        }
    }

    /// The object in a field of another.
    pub(super) fn of(value: Value, field: &str) -> Result<Self, ApiProblem> {
        match value {
            Value::Object(fields) => Ok(Self(fields)),
            _ => Err(invalid(field, "an object")),
        }
    }

    /// Takes a field, if it is there.
    pub(super) fn take(&mut self, field: &str) -> Option<Value> {
        // The order of those that are left does not matter.
        self.0.swap_remove(field)
    }

    /// Takes a text, if it is there.
    pub(super) fn text(&mut self, field: &str) -> Result<Option<String>, ApiProblem> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(invalid(field, "a string")),
        }
    }

    /// Takes a text that must be there.
    pub(super) fn needed_text(&mut self, field: &str) -> Result<String, ApiProblem> {
        self.text(field)?.ok_or_else(|| missing(field))
    }

    /// Takes the one field that says which of several commands an object is.
    pub(super) fn only(self, known: &[&str]) -> Result<(String, Value), ApiProblem> {
        self.are_among(known)?;
        let mut fields = self.0.into_iter();
        match (fields.next(), fields.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(missing(&known.join(" or "))),
            (Some(_), Some((second, _))) => Err(invalid(
                &second,
                "in an object of its own: one command in each",
            )),
        }
    }

    /// No field but these.
    pub(super) fn are_among(&self, known: &[&str]) -> Result<(), ApiProblem> {
        let mut names = self.0.keys();
        match names.find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => {
                let detail = format!("known here: {}", known.join(", "));
                Err(ApiProblem::field(ProblemKind::UnknownField, name, detail))
            }
        }
    }
}

/// A field that must be there is not.
pub(super) fn missing(field: &str) -> ApiProblem {
    ApiProblem::field(ProblemKind::MissingField, field, "it must be given")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(body: &str) -> Result<(), ProblemKind> {
        let mut fields = Fields::parse(body.as_bytes()).map_err(|problem| problem.kind)?;
        fields.are_among(&["a"]).map_err(|problem| problem.kind)?;
        fields.text("a").map(drop).map_err(|problem| problem.kind)
    }

    #[test]
    fn an_object_is_read_strictly() {
        use ProblemKind::{DuplicateField, InvalidField, NotJson, UnknownField};
        for (body, expected) in [
            ("{}", Ok(())),
            (r#"{"a":"x"}"#, Ok(())),
            (r#" {"a" : "é\ud83d\ude00"} "#, Ok(())),
            (r#"{"a":"x","b":1}"#, Err(UnknownField)),
            (r#"{"a":"x","a":"x"}"#, Err(DuplicateField)),
            (r#"{"b":{"c":[{"d":1,"d":2}]}}"#, Err(DuplicateField)),
            (r#"{"a":1}"#, Err(InvalidField)),
            (r#"{"a":null}"#, Err(InvalidField)),
            ("[]", Err(NotJson)),
            ("1", Err(NotJson)),
            ("", Err(NotJson)),
            ("{", Err(NotJson)),
            ("{}{}", Err(NotJson)),
            (r#"{"a":"\ud83d"}"#, Err(NotJson)),
            ("{\"a\":\"\u{1}\"}", Err(NotJson)),
            (r#"{"a":1e999}"#, Err(NotJson)),
            (r#"{'a':1}"#, Err(NotJson)),
        ] {
            assert_eq!(kind(body), expected, "{body}");
        }
        assert_eq!(kind(&"[".repeat(100_000)), Err(NotJson));
        let broken = Fields::parse(b"{\"a\":\"\xff\"}").map_err(|problem| problem.kind);
        assert_eq!(broken.err(), Some(NotJson));
    }

    #[test]
    fn what_is_wrong_is_named_and_not_repeated() {
        let problem = Fields::parse(br#"{"x":1,"x":2}"#).unwrap_err().document();
        assert_eq!(problem["field"], "x");
        let problem = Fields::parse(b"{\"secret\": oops}").unwrap_err().document();
        assert!(!problem.to_string().contains("secret"), "{problem}");
        assert!(!problem.to_string().contains("oops"), "{problem}");
    }
}
