//! Which settings differ from those a node runs with.

use super::key::Applies;
use std::fmt;

/// Which keys have another value than those a node runs with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Keys whose new value holds from now on.
    pub applied: Vec<&'static str>,
    /// Keys whose new value holds from the next start on.
    pub waiting: Vec<&'static str>,
}

impl Changes {
    /// Notes that the value of a key differs; does it change in place?
    pub(super) fn note(&mut self, key: &'static str, applies: Applies) -> bool {
        let is_live = applies == Applies::Live;
        let keys = if is_live {
            &mut self.applied
        } else {
            &mut self.waiting
        };
        keys.push(key);
        is_live
    }
}

/// Keys alone: values may be secrets.
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.applied.as_slice(), self.waiting.as_slice()) {
            ([], []) => f.write_str("nothing has changed"),
            (applied, []) => write!(f, "changed: {}", applied.join(", ")),
            ([], waiting) => write!(f, "for the next start: {}", waiting.join(", ")),
            (applied, waiting) => write!(
                f,
                "changed: {}; for the next start: {}",
                applied.join(", "),
                waiting.join(", ")
            ),
        }
    }
}
