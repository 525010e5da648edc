//! What is said to Redis about a stream: the two Lua functions and their arguments.

use crate::bridge::order::Position;
use crate::redis::deployment::Deployment;
use bytes::Bytes;
use std::time::Duration;

/// Appends and publishes.
pub(in crate::bridge) const APPEND: &str = include_str!("append.lua");

/// Reads the tail, and what is after a position.
pub(super) const READ: &str = include_str!("read.lua");

/// Entries in one page of a gap.
pub(super) const PAGE_ENTRIES: usize = 128;

/// Bytes in one page, and one message more.
pub(in crate::bridge) const PAGE_BYTES: usize = 256 * 1024;

/// What is kept of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keeps {
    pub(super) capacity: usize,
    pub(super) bytes_max: usize,
    pub(super) expiry: Duration,
}

impl Keeps {
    /// The newest entry alone.
    pub(super) fn one(expiry: Duration) -> Self {
        Self {
            capacity: 1,
            bytes_max: PAGE_BYTES,
            expiry,
        }
    }
}

/// The arguments of the appending function in front of the messages.
pub(super) fn append_arguments(
    deployment: &Deployment,
    keeps: Keeps,
    origin: [u8; 16],
    head: Bytes,
) -> Vec<Bytes> {
    let publish = if deployment.is_cluster {
        "SPUBLISH"
    } else {
        "PUBLISH"
    };
    vec![
        Bytes::from_static(publish.as_bytes()),
        Bytes::from(keeps.capacity.to_string()),
        Bytes::from(keeps.bytes_max.to_string()),
        Bytes::from(keeps.expiry.as_millis().to_string()),
        Bytes::copy_from_slice(&origin),
        head,
    ]
}

/// The arguments of [`READ`] for a request.
pub(super) fn read_arguments(after: Option<Position>) -> Vec<Bytes> {
    let count = |number: usize| Bytes::from(number.to_string());
    let Some(at) = after else {
        return vec![count(0), count(0)];
    };
    vec![
        count(PAGE_ENTRIES),
        count(PAGE_BYTES),
        Bytes::from(at.epoch.to_string()),
        Bytes::from(at.millis.to_string()),
        Bytes::from(at.offset.to_string()),
    ]
}

/// The arguments of [`READ`] for the newest entries.
pub(super) fn newest_arguments(entries: usize, bytes: usize) -> Vec<Bytes> {
    vec![
        Bytes::from(entries.to_string()),
        Bytes::from(bytes.to_string()),
    ]
}
