//! Counts by cause.

use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Deref;

/// Occurrences by cause.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
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
