//! What is said to Redis about streams: the two Lua functions and their arguments.

use crate::bridge::order::{Position, SeenPlace};
use crate::redis::deployment::Deployment;
use bytes::Bytes;
use std::time::Duration;

/// Appends and publishes.
pub(in crate::bridge) const APPEND: &str = concat!(
    include_str!("append/head.lua"),
    include_str!("append/rare.lua"),
    include_str!("append/archive.lua"),
    include_str!("append/rooms.lua"),
);

/// Reads the tail, and what is after a position.
pub(super) const READ: &str = include_str!("read.lua");

/// Entries in one page of a gap.
pub(super) const PAGE_ENTRIES: usize = 128;

/// Bytes in one page, and one message more.
pub(in crate::bridge) const PAGE_BYTES: usize = 256 * 1024;

/// A room's origins, and where its numbering stands, are kept for so many times as long as its stream: a room that was
/// idle goes on where it was.
const ORIGINS_KEPT: u32 = 12;

/// What is kept of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keeps {
    pub(super) capacity: usize,
    pub(super) bytes_max: usize,
    pub(super) expiry: Duration,
    origins_expiry: Duration,
}

impl Keeps {
    /// Of rooms.
    pub(super) fn new(capacity: usize, bytes_max: usize, expiry: Duration) -> Self {
        Self {
            capacity,
            bytes_max,
            expiry,
            origins_expiry: expiry.saturating_mul(ORIGINS_KEPT),
        }
    }

    /// The newest entry alone, and nothing for longer.
    pub(super) fn one(bytes_max: usize, expiry: Duration) -> Self {
        Self {
            capacity: 1,
            bytes_max,
            expiry,
            origins_expiry: expiry,
        }
    }
}

fn text(number: impl ToString) -> Bytes {
    Bytes::from(number.to_string())
}

/// The arguments of the appending function in front of the rooms. An empty `life`: Redis is asked which it is.
pub(super) fn append_arguments(
    deployment: &Deployment,
    keeps: Keeps,
    origin: [u8; 16],
    life: Bytes,
    archive: Option<[Bytes; 2]>,
) -> Vec<Bytes> {
    let publish = if deployment.is_cluster {
        "SPUBLISH"
    } else {
        "PUBLISH"
    };
    // Reserved: nobody is fenced off yet.
    let fence = Bytes::new();
    let mut arguments = vec![
        Bytes::from_static(publish.as_bytes()),
        text(keeps.capacity),
        text(keeps.bytes_max),
        text(keeps.expiry.as_millis()),
        text(keeps.origins_expiry.as_millis()),
        Bytes::copy_from_slice(&origin),
        life,
        fence,
    ];
    arguments.extend(archive.unwrap_or_default());
    arguments
}

/// Those of one room in front of its messages, which are `behind` one that is on its way.
pub(super) fn room_arguments(
    head: Bytes,
    seen: Option<SeenPlace>,
    has_ids: bool,
    behind: Option<u64>,
    messages: usize,
) -> [Bytes; 6] {
    let (epoch, offset) = seen.map_or_else(Default::default, |(epoch, offset)| {
        (text(epoch), text(offset))
    });
    let ids = Bytes::from_static(if has_ids { b"1" } else { b"" });
    let behind = behind.map(text).unwrap_or_default();
    [head, epoch, offset, ids, behind, text(messages)]
}

/// The arguments of [`READ`] for a request.
pub(super) fn read_arguments(after: Option<Position>) -> Vec<Bytes> {
    let Some(at) = after else {
        return vec![text(0), text(0)];
    };
    vec![
        text(PAGE_ENTRIES),
        text(PAGE_BYTES),
        text(at.epoch),
        text(at.millis),
        text(at.offset),
    ]
}

/// The arguments of [`READ`] for the newest entries, or the newest before one.
pub(super) fn newest_arguments(
    entries: usize,
    bytes: usize,
    before: Option<Position>,
) -> Vec<Bytes> {
    let mut arguments = vec![text(entries), text(bytes)];
    if let Some(at) = before {
        let id = format!("{}-{}", at.millis, at.offset);
        arguments.extend([Bytes::from_static(b"before"), Bytes::from(id)]);
    }
    arguments
}
