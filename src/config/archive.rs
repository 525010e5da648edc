//! `[archive]`: every durable event, kept until the site has it, and what its settings may be.

use super::bridge::{BridgeMode, BridgeSettings};
use super::chat::Deliver;
use super::problem::{Findings, Problem, Source};
use super::redis::RedisAddress;
use super::setting::{BYTES_MAX, Ranged, choice, milliseconds, seconds, section};
use super::units;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// The smallest journal worth keeping, and the largest that one file should be.
const JOURNAL_BYTES: RangeInclusive<usize> = 16 * 1024 * 1024..=1 << 40;

/// Each occupies some megabytes while it is answered.
const READERS_MAX: usize = 1000;

/// Each is two series of the metrics.
const READER_NAMES_MAX: usize = 1000;

/// What a write gathers; above a minute nobody would call it written.
const INTERVAL: RangeInclusive<Duration> = milliseconds(1)..=seconds(60);

/// Longest that an event is kept: a year.
const EXPIRY_MAX: Duration = seconds(366 * 24 * 3600);

section! {
    /// Every message of every room, in a file, until the site has read it.
    ["archive"] ArchiveSettings {
        /// Where what is said is kept: `off` (nowhere), `journal` (in a file of this node) or `streams` (in the Redis of the bridge in mode `streams`, in the same step as the room's).
        mode: ArchiveMode = ArchiveMode::Off, restart;
        /// The journal's file, an SQLite database, in a folder that the server may write into: beside it lie its `-wal`, `-shm` and `.lock`. One node, one file.
        path: Option<PathBuf> = None, restart;
        /// When messages are written and synced to the disk: together, every `archive.interval` (`interval`), or as soon as there is one, with those that came meanwhile (`always`).
        sync: ArchiveSync = ArchiveSync::Interval, restart;
        /// How long messages are gathered before they are written (`archive.sync = "interval"`): what a power cut may cost.
        #[serde(with = "units::duration")]
        interval: Duration = milliseconds(10), restart, in INTERVAL;
        /// Most bytes of the journal's file, at least 16777216; its `-wal` may have 8 MiB more, and grows while another program holds a transaction open on it. With `streams` of each Redis, as Redis needs them.
        bytes_max: usize = 1 << 30, restart, in JOURNAL_BYTES;
        /// A message is kept for this long.
        #[serde(with = "units::duration")]
        expiry: Duration = seconds(7 * 24 * 3600), restart, in seconds(1)..=EXPIRY_MAX;
        /// Most bytes of messages that wait to be written; what comes above that is not kept, and counted.
        queue_bytes: usize = 16 * 1024 * 1024, restart, in ..=BYTES_MAX;
        /// Most readers of `GET /api/archive` that are answered at once or wait; more get 503.
        readers: usize = 8, restart, in 1..=READERS_MAX;
        /// Most names of readers (`reader=`) whose lag is in the metrics; who has not asked for longest makes room for a new name.
        reader_names: usize = 16, restart, in 1..=READER_NAMES_MAX;
        /// When a message cannot be kept, since the journal or its disk is full or out of order: chat goes on and it is counted, the oldest making room in a full journal (`drop`), or members' messages are refused with the error `Too busy, please try again` (`refuse`).
        full: ArchiveFull = ArchiveFull::Drop, restart;
    }
}

choice! {
    /// Where what is said is kept.
    ArchiveMode {
        /// Nowhere.
        Off = "off",
        /// In a file of this node.
        Journal = "journal",
        /// In the Redis of the bridge.
        Streams = "streams",
    }
}

choice! {
    /// When messages are written.
    ArchiveSync {
        /// Together, every `archive.interval`.
        Interval = "interval",
        /// As soon as there is one.
        Always = "always",
    }
}

choice! {
    /// What becomes of a message that cannot be kept.
    ArchiveFull {
        /// The message is published, and counted.
        Drop = "drop",
        /// The message is refused.
        Refuse = "refuse",
    }
}

/// Ranges, and keys that contradict each other. The event of the longest message has `event_bytes`; `is_read` by the API, or
/// as the rooms' history.
pub(super) fn check(
    archive: &ArchiveSettings,
    (bridge, deliver): (&BridgeSettings, Deliver),
    event_bytes: usize,
    is_read: bool,
    found: &mut Findings,
) {
    archive.check_ranges(found);
    let is_on = archive.mode != ArchiveMode::Off;
    let is_journal = archive.mode == ArchiveMode::Journal;
    if archive.mode == ArchiveMode::Streams {
        check_streams(bridge, deliver, found);
    }
    let least = if is_journal { event_bytes } else { 1 };
    archive
        .queue_bytes
        .check(least.., "archive.queue_bytes", found);
    let has_path = archive
        .path
        .as_ref()
        .is_some_and(|path| path.file_name().is_some());
    if is_journal && !has_path {
        let fix = "name a file, such as \"/var/lib/supportal/journal.db\"";
        found.error("archive.path", "names no file to keep the journal in", fix);
    }
    if is_journal && !is_read {
        let what = "is on, and nobody can read what is kept: there is no API";
        found.warn("archive.mode", what, "set api.token, or api.listen");
    }
    if !is_on && *archive != ArchiveSettings::default() {
        let fix = "set archive.mode = \"journal\", or remove it";
        found.warn("archive", "has no effect: archive.mode is \"off\"", fix);
    }
}

/// The folder must be there when the server starts.
pub(super) fn missing_folder(archive: &ArchiveSettings) -> Option<Problem> {
    let is_journal = archive.mode == ArchiveMode::Journal;
    let path = archive.path.as_ref().filter(|_| is_journal)?;
    let folder = path.parent()?;
    // A bare name is in the working directory.
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return None;
    }
    Some(Problem::new(
        Source::Default,
        "archive.path",
        format!("{folder:?} is not a folder"),
        "create the folder, and let the server write into it",
    ))
}

/// What an archive in Redis needs: one step that reaches both streams, and messages that go through it.
fn check_streams(bridge: &BridgeSettings, deliver: Deliver, found: &mut Findings) {
    let mut error = |what: &str, fix: &str| found.error("archive.mode", what, fix);
    if bridge.mode != BridgeMode::Streams {
        let fix = "set bridge.mode = \"streams\", or archive.mode = \"journal\"";
        error("is in the streams of the bridge, which has none", fix);
    }
    if bridge.urls.iter().any(RedisAddress::is_cluster) {
        let what = "needs all rooms of a Redis on one server, and a Cluster has none such";
        error(what, "set archive.mode = \"journal\", on each node");
    }
    if deliver == Deliver::Sender {
        let what =
            "has what goes through the rooms, and with chat.deliver = \"sender\" nothing does";
        error(what, "set archive.mode = \"journal\", on each node");
    }
}
