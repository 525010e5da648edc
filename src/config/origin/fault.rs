//! What is said of an entry.

/// What is wrong with an entry, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternFault {
    /// Follows the entry in a sentence.
    pub what: String,
    /// What to write.
    pub fix: String,
}

impl PatternFault {
    pub(super) fn new(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            fix: fix.into(),
        }
    }

    pub(super) fn never(fix: impl Into<String>) -> Self {
        Self::new("can never match", fix)
    }
}
