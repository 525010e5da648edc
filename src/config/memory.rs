//! `limits.memory`: how much memory the process is to stay under.

use super::key::KeyKind;
use super::setting::kinds;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// With less a node has no memory left for anybody.
pub(super) const LEAST: u64 = 32 * 1024 * 1024;

/// More is a slip.
pub(super) const MOST: u64 = 1 << 50;

/// How much memory the process is to stay under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemoryLimit {
    /// A share of what the container, or else the machine, has.
    #[default]
    Auto,
    /// There is no such limit.
    Off,
    /// So many bytes.
    Bytes(u64),
}

kinds! {
    MemoryLimit => KeyKind::Size,
}

impl Serialize for MemoryLimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Off => serializer.serialize_u64(0),
            Self::Bytes(bytes) => serializer.serialize_u64(*bytes),
        }
    }
}

impl<'de> Deserialize<'de> for MemoryLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = MemoryLimit;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"auto\" or a number of bytes")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<MemoryLimit, E> {
                match text {
                    "auto" => Ok(MemoryLimit::Auto),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<MemoryLimit, E> {
                Ok(match bytes {
                    0 => MemoryLimit::Off,
                    bytes => MemoryLimit::Bytes(bytes),
                })
            }
            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<MemoryLimit, E> {
                match u64::try_from(bytes) {
                    Ok(bytes) => self.visit_u64(bytes),
                    Err(_negative) => Err(E::invalid_value(de::Unexpected::Signed(bytes), &self)),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
