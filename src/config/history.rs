//! `[history]`: what is kept of a room, and what that may be.

use super::archive::ArchiveMode;
use super::bridge::BridgeMode;
use super::limits::QueueSettings;
use super::problem::Findings;
use super::setting::{BYTES_MAX, choice, seconds, section};
use super::units;
use std::time::Duration;

/// Most messages kept of a room: a gap and an answer to `/history` are read from it.
const CAPACITY_MAX: usize = 10_000;

/// Fewest bytes kept of a room. Below a message the newest one is all that is kept.
const BYTES_MIN: usize = 4096;

/// Longest that a message is kept.
const EXPIRY_MAX: Duration = seconds(366 * 24 * 3600);

section! {
    /// What is kept of a room: in Redis, or in the node's journal.
    ["history"] HistorySettings {
        /// Where: `streams`, in Redis, with `bridge.mode = "streams"`; or `journal`, on a node without a bridge, in the file of `archive.path`, from which it is read again after a restart.
        mode: HistoryMode = HistoryMode::Streams, restart;
        /// Most messages kept of a room; in Redis a sixteenth more, until they are cut off together.
        capacity: usize = 100, restart, in 1..=CAPACITY_MAX;
        /// Most bytes kept of a room, as Redis needs them: a quarter more than a message has, and 128; the newest is kept whatever its size.
        bytes_max: usize = 256 * 1024, restart, in BYTES_MIN..=BYTES_MAX;
        /// A message is kept for this long, and a room's history for this long after its last message.
        #[serde(with = "units::duration")]
        expiry: Duration = seconds(2 * 3600), restart, in seconds(1)..=EXPIRY_MAX;
    }
}

choice! {
    /// Where a room's newest messages are kept.
    HistoryMode {
        /// In Redis.
        Streams = "streams",
        /// In the journal of the archive.
        Journal = "journal",
    }
}

/// Ranges, what has no effect, and what cannot be.
pub(super) fn check(
    history: &HistorySettings,
    (bridge, archive): (BridgeMode, ArchiveMode),
    queue: &QueueSettings,
    found: &mut Findings,
) {
    let is_in_journal = history.mode == HistoryMode::Journal;
    let is_kept = is_in_journal || bridge == BridgeMode::Streams;
    if is_in_journal && archive != ArchiveMode::Journal {
        let what = "is read from the archive's journal, and there is none";
        let fix = "set archive.mode = \"journal\", or remove it";
        found.error("history.mode", what, fix);
    }
    if is_in_journal && bridge != BridgeMode::Off {
        let what = "is of one node: a journal lacks what is said on the others";
        let fix = "remove it, with bridge.mode = \"streams\", or set bridge.mode = \"off\"";
        found.error("history.mode", what, fix);
    }
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
