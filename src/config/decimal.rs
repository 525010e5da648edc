//! Numbers with a fraction.

use super::key::KeyKind;
use super::setting::kinds;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of at least zero, to a thousandth: exact, so that settings can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decimal {
    thousandths: u32,
}

impl Decimal {
    /// So many thousandths.
    #[must_use]
    pub const fn thousandths(thousandths: u32) -> Self {
        Self { thousandths }
    }

    /// The number itself.
    #[must_use]
    pub fn value(self) -> f64 {
        f64::from(self.thousandths) / 1_000.0
    }

    /// The nearest one; `None` of what is no number, below zero or above four million.
    #[must_use]
    pub fn nearest(number: f64) -> Option<Self> {
        let thousandths = (number * 1_000.0).round();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number, and in range"
        )]
        (0.0..=f64::from(u32::MAX))
            .contains(&thousandths)
            .then(|| Self::thousandths(thousandths as u32))
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.value())
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        Self::nearest(number)
            .ok_or_else(|| serde::de::Error::custom("is no number of at least zero"))
    }
}

kinds! {
    Option<Decimal> => KeyKind::Decimal,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_to_a_thousandth_and_written_as_they_were() {
        for (text, thousandths) in [("0.7", Some(700)), ("2", Some(2_000)), ("0", Some(0))] {
            let read = toml::from_str(&format!("x = {text}"));
            let read: std::collections::BTreeMap<String, Decimal> = read.unwrap();
            assert_eq!(read.get("x").map(|one| one.thousandths), thousandths);
        }
        for number in [-0.1, f64::NAN, f64::INFINITY, 1e9] {
            assert_eq!(Decimal::nearest(number), None);
        }
        let seven = toml::Value::try_from(Decimal::thousandths(700)).unwrap();
        assert_eq!(seven.to_string(), "0.7");
    }
}
