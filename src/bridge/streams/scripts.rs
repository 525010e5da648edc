//! What is said to Redis about a stream, and what comes back: the two Lua functions, their answers,
//! and the announcement that an append publishes.
//!
//! ```text
//! announcement   epoch u64, milliseconds u64, offset of the first message u64, envelope
//! entry          id MILLISECONDS-OFFSET, fields e (epoch) h (the envelope's head) m (one message)
//!                b (bytes appended so far; entries of older versions have none)
//! ```
//!
//! An entry's head and message together are an envelope again, so what is read from a stream and what
//! is announced take the same way in.

use super::follower::{Position, Request};
use crate::bridge::envelope::{Envelope, HEAD_BYTES, Poison};
use crate::redis::deployment::Deployment;
use crate::redis::value::RedisValue;
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

/// Bytes before the envelope of an announcement.
const PLACE_BYTES: usize = 24;

/// Messages appended in one step, as all nodes hear of them.
#[derive(Debug)]
pub struct Announcement<'a> {
    /// Where the first one is.
    pub first: Position,
    /// They, one for each offset from there.
    pub envelope: Envelope<'a>,
}

impl<'a> Announcement<'a> {
    /// Checks all of it.
    ///
    /// # Errors
    /// [`Poison`].
    pub fn read(bytes: &'a [u8]) -> Result<Self, Poison> {
        let (place, envelope) = bytes.split_at_checked(PLACE_BYTES).ok_or(Poison::Cut)?;
        let mut numbers = place.as_chunks::<8>().0.iter().copied();
        let mut number = || numbers.next().map(u64::from_be_bytes).ok_or(Poison::Cut);
        Ok(Self {
            first: Position {
                epoch: number()?,
                millis: number()?,
                offset: number()?,
            },
            envelope: Envelope::read(envelope)?,
        })
    }
}

/// The number in the announcement of a canary.
pub(super) fn canary(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(PLACE_BYTES + HEAD_BYTES..)
}

/// One entry as it was read.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) at: Position,
    /// Head and message.
    pub(super) envelope: Vec<u8>,
}

/// An answer of [`READ`].
#[derive(Debug, Default)]
pub(super) struct Page {
    /// The last entry; `None` without a stream.
    pub(super) tail: Option<Position>,
    pub(super) entries: Vec<Entry>,
}

impl Page {
    /// From Redis' answer; what has another form is left out.
    pub(super) fn from(answer: RedisValue) -> Self {
        let mut values = answer.into_array().into_iter();
        let mut next = || values.next().and_then(RedisValue::into_bytes);
        let Some(epoch) = next().and_then(|text| number(&text)) else {
            return Self::default();
        };
        let position = |id: Bytes| {
            let dash = id.iter().position(|&byte| byte == b'-')?;
            Some(Position {
                epoch,
                millis: number(id.get(..dash)?)?,
                offset: number(id.get(dash + 1..)?)?,
            })
        };
        let tail = next().and_then(position);
        let mut entries = Vec::new();
        while let (Some(id), Some(head), Some(message)) = (next(), next(), next()) {
            if let Some(at) = position(id) {
                let envelope = [&head[..], &message[..]].concat();
                entries.push(Entry { at, envelope });
            }
        }
        Self { tail, entries }
    }
}

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

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The arguments of the appending function.
pub(super) fn append_arguments(
    deployment: &Deployment,
    keeps: Keeps,
    origin: [u8; 16],
    head: Bytes,
    messages: Vec<(u64, Bytes)>,
) -> Vec<Bytes> {
    let publish = if deployment.is_cluster {
        "SPUBLISH"
    } else {
        "PUBLISH"
    };
    let mut arguments = Vec::with_capacity(6 + 2 * messages.len());
    arguments.extend([
        Bytes::from_static(publish.as_bytes()),
        Bytes::from(keeps.capacity.to_string()),
        Bytes::from(keeps.bytes_max.to_string()),
        Bytes::from(keeps.expiry.as_millis().to_string()),
        Bytes::copy_from_slice(&origin),
        head,
    ]);
    for (number, bytes) in messages {
        arguments.push(Bytes::from(number.to_string()));
        arguments.push(bytes);
    }
    arguments
}

/// The arguments of [`READ`] for a request.
pub(super) fn read_arguments(request: Request) -> Vec<Bytes> {
    let count = |number: usize| Bytes::from(number.to_string());
    let Some(at) = request.after else {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> RedisValue {
        RedisValue::from(text)
    }

    #[test]
    fn a_page_is_read_and_what_is_none_is_left_out() {
        let place = |millis, offset| Position {
            epoch: 7,
            millis,
            offset,
        };
        let answer = ["7", "20-9", "19-8", "head", "a", "20-9", "head", "b"];
        let page = Page::from(RedisValue::Array(answer.map(text).to_vec()));
        assert_eq!(page.tail, Some(place(20, 9)));
        let entries: Vec<_> = page
            .entries
            .iter()
            .map(|entry| (entry.at, &entry.envelope[..]))
            .collect();
        let expected = [(place(19, 8), &b"heada"[..]), (place(20, 9), &b"headb"[..])];
        assert_eq!(entries, expected);
        let strange = ["7", "20-9", "nonsense", "head", "a", "1-1"];
        let page = Page::from(RedisValue::Array(strange.map(text).to_vec()));
        assert!(page.entries.is_empty());
        assert_eq!(Page::from(RedisValue::Array(Vec::new())).tail, None);
        assert_eq!(Page::from(RedisValue::Nil).tail, None);
    }

    #[test]
    fn an_announcement_that_is_cut_is_poison() {
        for length in 0..PLACE_BYTES + HEAD_BYTES {
            assert!(Announcement::read(&[1; PLACE_BYTES + HEAD_BYTES][..length]).is_err());
        }
    }
}
