//! What a message may hold: the values msgpack and JSON share in Python, borrowed from the bytes
//! they were read from where that is possible.

use std::borrow::Cow;

/// One value of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// `None`
    Null,
    /// `True`, `False`
    Bool(bool),
    /// `int`
    Integer(i64),
    /// An `int` outside of 64 bits, as its decimal digits.
    Digits(Cow<'a, str>),
    /// `float`
    Float(f64),
    /// `str`
    Text(Cow<'a, str>),
    /// `bytes`; JSON has none.
    Bytes(Cow<'a, [u8]>),
    /// `list`, and `tuple` when written
    List(Vec<Self>),
    /// `dict`
    Map(Map<'a>),
}

impl Value<'_> {
    /// The text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The integer, if it is one of 64 bits.
    #[must_use]
    pub const fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

/// A dictionary in the order it was written. A key that comes twice counts with its last value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map<'a> {
    entries: Vec<(Cow<'a, str>, Value<'a>)>,
}

impl<'a> Map<'a> {
    /// An empty dictionary.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
        }
    }

    /// Appends an entry; a key that is there already is hidden by it.
    pub fn push(&mut self, key: impl Into<Cow<'a, str>>, value: impl Into<Value<'a>>) {
        self.entries.push((key.into(), value.into()));
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        let mut entries = self.entries.iter().rev();
        entries
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
    }

    /// Removes a key and returns its value.
    pub fn take(&mut self, key: &str) -> Option<Value<'a>> {
        let mut taken = None;
        self.entries.retain_mut(|(name, value)| {
            let is_it = name == key;
            if is_it {
                taken = Some(std::mem::replace(value, Value::Null));
            }
            !is_it
        });
        taken
    }

    /// Keys and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.entries.iter().map(|(key, value)| (&**key, value))
    }

    /// How many entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Whom a message is for, written into it (layer `core` only).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To<'a> {
    /// A general channel.
    Nobody,
    /// One channel, by its full name.
    One(&'a str),
    /// The channels of one process.
    Many(&'a [String]),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_comes_twice_counts_with_its_last_value_and_is_removed_whole() {
        let mut map = Map::new();
        map.push("a", 1);
        map.push("b", 2);
        map.push("a", 3);
        assert_eq!(map.get("a"), Some(&Value::Integer(3)));
        assert_eq!(map.take("a"), Some(Value::Integer(3)));
        assert_eq!((map.get("a"), map.len()), (None, 1));
        assert_eq!(map.take("a"), None);
    }
}
