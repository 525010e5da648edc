//! What Redis answers, as RESP2 has it.

use bytes::Bytes;

/// One value of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisValue {
    /// There is none.
    Nil,
    /// A number.
    Integer(i64),
    /// A text, or bytes.
    Bytes(Bytes),
    /// Several.
    Array(Vec<RedisValue>),
}

impl RedisValue {
    /// The text or the bytes; `None` of anything else.
    pub fn into_bytes(self) -> Option<Bytes> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Nil | Self::Integer(_) | Self::Array(_) => None,
        }
    }

    /// The values of an array; none of anything else.
    pub fn into_array(self) -> Vec<Self> {
        match self {
            Self::Array(values) => values,
            Self::Nil | Self::Integer(_) | Self::Bytes(_) => Vec::new(),
        }
    }

    /// The number, written as one or as a text; 0 of anything else.
    pub fn number(&self) -> u64 {
        let number = match self {
            Self::Integer(number) => u64::try_from(*number).ok(),
            Self::Bytes(text) => std::str::from_utf8(text)
                .ok()
                .and_then(|text| text.parse().ok()),
            Self::Nil | Self::Array(_) => None,
        };
        number.unwrap_or_default()
    }
}

impl From<&str> for RedisValue {
    fn from(text: &str) -> Self {
        Self::Bytes(Bytes::copy_from_slice(text.as_bytes()))
    }
}
