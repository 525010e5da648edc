//! Counts that several processes add up.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::{AddAssign, Deref};

/// Occurrences by cause.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally(BTreeMap<String, u64>);

impl Tally {
    /// Once more.
    pub(crate) fn count(&mut self, why: impl Into<String>) {
        *self.0.entry(why.into()).or_default() += 1;
    }
}

impl Deref for Tally {
    type Target = BTreeMap<String, u64>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        for (why, number) in other.0 {
            *self.0.entry(why).or_default() += number;
        }
    }
}

/// `+=` field by field; one that is left out does not compile.
macro_rules! sum_of {
    ($name:ident: $($field:ident)+) => {
        impl std::ops::AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                let Self { $($field),+ } = other;
                $(self.$field += $field;)+
            }
        }
    };
}
pub(crate) use sum_of;
