//! Values with a unit in their text: durations are strings such as `"250ms"`, `"60s"`, `"5m"`,
//! `"1h"`; a bare number is an error that shows the fix. Sizes are bytes, and are shown in [`Bytes`].

use std::fmt;
use std::time::Duration;

/// Parses `"250ms"`, `"60s"`, `"5m"`, `"1h"`, `"1d"`.
///
/// # Errors
/// A sentence that names the mistake and shows the fix.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = trimmed.split_at(digits);
    let fix = || {
        format!(
            "`{text}` is not a duration: write a number and a unit, such as \"60s\" (units: ms s m h d)"
        )
    };
    let number: u64 = number
        .parse()
        .map_err(|_ignored: std::num::ParseIntError| fix())?;
    let millis = match unit.trim() {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        "d" => number.checked_mul(86_400_000),
        _ => return Err(fix()),
    };
    millis.map(Duration::from_millis).ok_or_else(fix)
}

/// The shortest exact text of a duration, the reverse of [`parse_duration`].
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    for (unit, factor) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
    ] {
        if millis >= factor && millis.is_multiple_of(factor) {
            return match (unit, millis / factor) {
                // "60s" reads better than "1m", and it is what Channels' documentation says.
                ("m", 1) => "60s".to_owned(),
                (unit, count) => format!("{count}{unit}"),
            };
        }
    }
    if millis == 0 {
        "0s".to_owned()
    } else {
        format!("{millis}ms")
    }
}

/// `#[serde(with = "units::duration")]`: a [`Duration`] as its text.
pub mod duration {
    use super::{Duration, fmt, format_duration, parse_duration};
    use serde::{Deserializer, Serializer, de};

    /// Writes the text of [`format_duration`].
    ///
    /// # Errors
    /// The serializer's own.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_duration(*duration))
    }

    /// Reads the text of [`parse_duration`].
    ///
    /// # Errors
    /// On a bare number or an unknown unit, with the fix.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Duration;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration with a unit, such as \"60s\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
                parse_duration(text).map_err(E::custom)
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Duration, E> {
                Err(E::custom(format!(
                    "a duration needs a unit: write \"{number}s\" or \"{number}ms\""
                )))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// `#[serde(with = "units::seconds")]`: as [`duration`], and a bare number, which a Django site's
/// settings have for seconds.
pub mod seconds {
    pub use super::duration::serialize;
    use super::{Duration, fmt, parse_duration};
    use serde::{Deserializer, de};

    /// Reads the text of [`parse_duration`], or a number of seconds.
    ///
    /// # Errors
    /// On a negative number or an unknown unit, with the fix.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Duration;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration, such as \"60s\", or a number of seconds")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
                match text.trim().parse() {
                    Ok(seconds) => Ok(Duration::from_secs(seconds)),
                    Err(_no_number) => parse_duration(text).map_err(E::custom),
                }
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Duration, E> {
                let seconds = u64::try_from(number);
                let seconds =
                    seconds.map_err(|_negative| E::custom("a duration is not negative"))?;
                Ok(Duration::from_secs(seconds))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// The bytes that `"512 MiB"`, `"1G"` or `"64kb"` stands for, all of them powers of 1024; `None` for anything else.
pub(super) fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_lowercase();
    let factor = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1_u64 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// A number of bytes for people: `64 KiB`, `1.5 GiB`.
#[derive(Clone, Copy, Debug)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, size) in [
            ("TiB", 1_u64 << 40),
            ("GiB", 1 << 30),
            ("MiB", 1 << 20),
            ("KiB", 1 << 10),
        ] {
            if self.0 >= size {
                let tenths = u128::from(self.0) * 10 / u128::from(size);
                return match tenths % 10 {
                    0 => write!(f, "{} {unit}", tenths / 10),
                    tenth => write!(f, "{}.{tenth} {unit}", tenths / 10),
                };
            }
        }
        write!(f, "{} B", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_round_trip() {
        for text in ["250ms", "60s", "5m", "1h", "1d", "0s", "25s", "1500ms"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
    }

    #[test]
    fn a_bare_number_shows_the_fix() {
        assert!(parse_duration("60").unwrap_err().contains("\"60s\""));
        assert!(parse_duration("-1s").is_err());
        assert!(parse_duration("99999999999999999999d").is_err());
    }

    #[test]
    fn bytes_are_readable() {
        let texts = [0, 1023, 1024, 1536, 64 << 20].map(|bytes| Bytes(bytes).to_string());
        assert_eq!(texts, ["0 B", "1023 B", "1 KiB", "1.5 KiB", "64 MiB"]);
    }
}
