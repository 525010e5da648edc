//! `[history]`: what is kept of a room, and what that may be.

use super::validate::Findings;
use super::{BridgeMode, Config, units};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Most messages kept of a room: a gap and an answer to `/history` are read from it.
const CAPACITY_MAX: usize = 10_000;

/// Fewest bytes kept of a room. Below a message the newest one is all that is kept.
const BYTES_MIN: usize = 4096;

/// Most bytes kept of a room: the sum over rooms is Redis' memory.
const BYTES_MAX: usize = 1 << 30;

/// Longest that a message is kept.
const EXPIRY_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// `[history]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct History {
    /// Most messages kept of a room.
    pub capacity: usize,
    /// Most bytes kept of a room, as Redis needs them: a quarter more than a message has, and 128. The
    /// newest is kept whatever its size.
    pub bytes_max: usize,
    /// A message is kept for this long, and so is a room's history after its last message.
    #[serde(with = "units::duration")]
    pub expiry: Duration,
}

impl Default for History {
    fn default() -> Self {
        Self {
            capacity: 100,
            bytes_max: 256 * 1024,
            expiry: Duration::from_secs(2 * 3600),
        }
    }
}

/// Ranges, and what has no effect.
pub(super) fn check(config: &Config, found: &mut Findings) {
    let (history, bridge) = (&config.history, &config.bridge);
    let is_kept = bridge.mode == BridgeMode::Streams;
    found.at_least("history.capacity", history.capacity, 1);
    found.at_most("history.capacity", history.capacity, CAPACITY_MAX);
    let shortest = Duration::from_secs(1);
    found.duration("history.expiry", history.expiry, shortest, EXPIRY_MAX);
    found.at_least("history.bytes_max", history.bytes_max, BYTES_MIN);
    found.at_most("history.bytes_max", history.bytes_max, BYTES_MAX);
    // What a queue may still deliver must be there to be read again after a cut.
    let is_meant = is_kept || *history != History::default();
    if is_meant && history.expiry < config.queue.expiry {
        let expiry = units::format_duration(config.queue.expiry);
        let what = format!(
            "is below queue.expiry = \"{expiry}\": what is still delivered is no longer kept"
        );
        let fix = format!("write at least \"{expiry}\", or lower queue.expiry");
        found.error("history.expiry", what, fix);
    }
    if !is_kept && *history != History::default() {
        let fix = "set bridge.mode = \"streams\", or remove it";
        found.warn("history", "has no effect: no history is kept", fix);
    }
}
