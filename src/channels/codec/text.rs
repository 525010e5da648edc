//! Messages as JSON text: read like Python's `json.loads`, written like its `json.dumps` or, for
//! clients of dialect `guide`, without spaces and without Python's own words for numbers.

use std::borrow::Cow;

use super::fault::{DEPTH_MAX, Poison, Unwritable, VALUES_MAX};
use super::value::{Map, Value};
use crate::config::Dialect;
use crate::protocol::escape::{push_ascii, push_json};
use crate::protocol::python;

/// Reads a message.
///
/// Python's reader accepts more than JSON (NaN, integers of any length), and so does this one. The
/// tree holds four bytes a character and up to 300 a value; both are bounded, by `message_bytes` and
/// [`VALUES_MAX`].
pub(in crate::channels) fn read(bytes: &[u8]) -> Result<Map<'static>, Poison> {
    let text = std::str::from_utf8(bytes).map_err(|_not_shown| Poison::Utf8)?;
    let value = python::read_at_most(text, VALUES_MAX).map_err(|failure| match failure {
        python::PythonFailure::Syntax => Poison::Json,
        python::PythonFailure::Unprocessable => Poison::Depth,
        python::PythonFailure::TooMany => Poison::Values,
    })?;
    match convert(value, 0)? {
        Value::Map(map) => Ok(map),
        _ => Err(Poison::NotAMap),
    }
}

/// Reads what a user said, where that was no text: JSON as our own writer made it, and as deep and as
/// large as it may be within a message of ours, beside the sender and the time.
pub(in crate::channels) fn read_said(json: &str) -> Option<Value<'static>> {
    const BESIDE: usize = 3;
    let value = python::read_at_most(json, VALUES_MAX - BESIDE).ok()?;
    convert(value, 1).ok()
}

fn convert(value: python::PythonValue, depth: usize) -> Result<Value<'static>, Poison> {
    let is_open = matches!(
        value,
        python::PythonValue::List(_) | python::PythonValue::Dict(_)
    );
    if is_open && depth > DEPTH_MAX {
        return Err(Poison::Depth);
    }
    Ok(match value {
        python::PythonValue::Null => Value::Null,
        python::PythonValue::Bool(truth) => Value::Bool(truth),
        python::PythonValue::Integer(digits) => match digits.parse() {
            Ok(number) => Value::Integer(number),
            Err(_too_long) => Value::Digits(Cow::Owned(digits.into())),
        },
        python::PythonValue::Float(number) => Value::Float(number),
        python::PythonValue::Text(text) => Value::Text(Cow::Owned(unicode(&text)?)),
        python::PythonValue::List(items) => {
            let items = items.into_iter();
            let items = items.map(|item| convert(item, depth + 1));
            Value::List(items.collect::<Result<_, _>>()?)
        }
        python::PythonValue::Dict(dict) => {
            let mut map = Map::new();
            for (key, value) in dict.into_entries() {
                map.push(unicode(&key)?, convert(value, depth + 1)?);
            }
            Value::Map(map)
        }
    })
}

/// Text without lone surrogates, which only Python can hold.
fn unicode(text: &[u32]) -> Result<String, Poison> {
    let chars = text.iter().map(|&code| char::from_u32(code));
    chars.collect::<Option<_>>().ok_or(Poison::Utf8)
}

/// Writes JSON piece by piece.
///
/// Writing recurses; values that were read are at most [`DEPTH_MAX`] deep.
pub(in crate::channels) struct JsonWriter<'o> {
    pub(in crate::channels) out: &'o mut Vec<u8>,
    pub(in crate::channels) dialect: Dialect,
    /// Nothing of the innermost list or dictionary has been written.
    pub(in crate::channels) first: bool,
}

impl JsonWriter<'_> {
    pub(in crate::channels) fn open(&mut self, bracket: u8) {
        self.out.push(bracket);
        self.first = true;
    }

    pub(in crate::channels) fn end(&mut self, bracket: u8) {
        self.out.push(bracket);
        self.first = false;
    }

    fn separate(&mut self) {
        if !std::mem::take(&mut self.first) {
            self.out.extend_from_slice(match self.dialect {
                Dialect::Guide => b",",
                Dialect::Django => b", ",
            });
        }
    }

    pub(in crate::channels) fn key(&mut self, key: &str) {
        self.separate();
        self.string(key);
        self.out.extend_from_slice(match self.dialect {
            Dialect::Guide => b":",
            Dialect::Django => b": ",
        });
    }

    pub(in crate::channels) fn entry(
        &mut self,
        key: &str,
        value: &Value<'_>,
    ) -> Result<(), Unwritable> {
        self.key(key);
        self.value(value)
    }

    pub(in crate::channels) fn string(&mut self, text: &str) {
        self.out.push(b'"');
        match self.dialect {
            Dialect::Guide => push_json(self.out, text),
            Dialect::Django => push_ascii(self.out, text),
        }
        self.out.push(b'"');
    }

    pub(in crate::channels) fn value(&mut self, value: &Value<'_>) -> Result<(), Unwritable> {
        match value {
            Value::Null => self.out.extend_from_slice(b"null"),
            Value::Bool(true) => self.out.extend_from_slice(b"true"),
            Value::Bool(false) => self.out.extend_from_slice(b"false"),
            Value::Integer(number) => self.out.extend_from_slice(number.to_string().as_bytes()),
            Value::Digits(digits) => self.out.extend_from_slice(digits.as_bytes()),
            Value::Float(number) => self.float(*number),
            Value::Text(text) => self.string(text),
            Value::Bytes(_) => return Err(Unwritable::Bytes),
            Value::List(items) => {
                self.open(b'[');
                for item in items {
                    self.separate();
                    self.value(item)?;
                }
                self.end(b']');
            }
            Value::Map(map) => {
                self.open(b'{');
                for (key, value) in map.iter() {
                    self.entry(key, value)?;
                }
                self.end(b'}');
            }
        }
        Ok(())
    }

    fn float(&mut self, number: f64) {
        let text = if number.is_finite() {
            Cow::Owned(python::float(number))
        } else if self.dialect == Dialect::Guide {
            // A browser's JSON.parse knows none of Python's words for these.
            Cow::Borrowed("null")
        } else if number.is_nan() {
            Cow::Borrowed("NaN")
        } else if number > 0.0 {
            Cow::Borrowed("Infinity")
        } else {
            Cow::Borrowed("-Infinity")
        };
        self.out.extend_from_slice(text.as_bytes());
    }
}
