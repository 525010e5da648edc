//! `[history]`: what is kept of a room, and what that may be.

use super::bridge::BridgeMode;
use super::limits::QueueSettings;
use super::problem::Findings;
use super::setting::{BYTES_MAX, seconds, section};
use super::units;
use std::time::Duration;

/// Most messages kept of a room: a gap and an answer to `/history` are read from it.
const CAPACITY_MAX: usize = 10_000;

/// Fewest bytes kept of a room. Below a message the newest one is all that is kept.
const BYTES_MIN: usize = 4096;

/// Longest that a message is kept.
const EXPIRY_MAX: Duration = seconds(366 * 24 * 3600);

section! {
    /// What is kept of a room, in Redis: `bridge.mode = "streams"`.
    ["history"] HistorySettings {
        /// Most messages kept of a room.
        capacity: usize = 100, restart, in 1..=CAPACITY_MAX;
        /// Most bytes kept of a room, as Redis needs them: a quarter more than a message has, and 128; the newest is kept whatever its size.
        bytes_max: usize = 256 * 1024, restart, in BYTES_MIN..=BYTES_MAX;
        /// A message is kept for this long, and a room's history for this long after its last message.
        #[serde(with = "units::duration")]
        expiry: Duration = seconds(2 * 3600), restart, in seconds(1)..=EXPIRY_MAX;
    }
}

/// Ranges, and what has no effect.
pub(super) fn check(
    history: &HistorySettings,
    mode: BridgeMode,
    queue: &QueueSettings,
    found: &mut Findings,
) {
    let is_kept = mode == BridgeMode::Streams;
    history.check_ranges(found);
    // What a queue may still deliver must be there to be read again after a cut.
    let is_meant = is_kept || *history != HistorySettings::default();
    if is_meant && history.expiry < queue.expiry {
        let expiry = units::format_duration(queue.expiry);
        let what = format!(
            "is below queue.expiry = \"{expiry}\": what is still delivered is no longer kept"
        );
        let fix = format!("write at least \"{expiry}\", or lower queue.expiry");
        found.error("history.expiry", what, fix);
    }
    if !is_kept && *history != HistorySettings::default() {
        let fix = "set bridge.mode = \"streams\", or remove it";
        found.warn("history", "has no effect: no history is kept", fix);
    }
}
