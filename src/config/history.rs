//! `[history]`: what is kept of a room, and what that may be.

use super::validate::Findings;
use super::{Bridge, BridgeMode, units};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Most messages kept of a room: a gap and an answer to `/history` are read from it.
const CAPACITY_MAX: usize = 10_000;

/// Longest that a message is kept.
const EXPIRY_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// `[history]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct History {
    /// Most messages kept of a room.
    pub capacity: usize,
    /// A message is kept for this long, and so is a room's history after its last message.
    #[serde(with = "units::duration")]
    pub expiry: Duration,
}

impl Default for History {
    fn default() -> Self {
        Self {
            capacity: 100,
            expiry: Duration::from_secs(24 * 3600),
        }
    }
}

/// Ranges, and what has no effect.
pub(super) fn check(history: &History, bridge: &Bridge, found: &mut Findings) {
    found.at_least("history.capacity", history.capacity, 1);
    found.at_most("history.capacity", history.capacity, CAPACITY_MAX);
    let least = Duration::from_secs(1);
    found.duration("history.expiry", history.expiry, least, EXPIRY_MAX);
    if bridge.mode != BridgeMode::Streams && *history != History::default() {
        let fix = "set bridge.mode = \"streams\", or remove it";
        found.warn("history", "has no effect: no history is kept", fix);
    }
}
