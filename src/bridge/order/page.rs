//! What comes back of a stream: the announcement that an append publishes, and a page of entries that was read.
//!
//! ```text
//! announcement   epoch u64, milliseconds u64, offset of the first message u64, envelope
//! entry          id MILLISECONDS-OFFSET, fields e (epoch) h (the envelope's head) m (one message)
//!                b (bytes appended so far; entries of older versions have none)
//! ```
//!
//! An entry's head and message together are an envelope again, so what is read from a stream and what
//! is announced take the same way in.

use super::follower::Position;
use crate::bridge::envelope::{Envelope, EnvelopeFault, HEAD_BYTES};
use crate::redis::value::RedisValue;
use bytes::Bytes;

/// Bytes before the envelope of an announcement.
const PLACE_BYTES: usize = 24;

/// Messages appended in one step, as all nodes hear of them.
#[derive(Debug)]
pub struct Announcement<'a> {
    /// Where the first one is.
    pub first: Position,
    /// The messages, one for each offset from there.
    pub envelope: Envelope<'a>,
}

impl<'a> Announcement<'a> {
    /// Checks all of it.
    ///
    /// # Errors
    /// [`EnvelopeFault`].
    pub fn read(bytes: &'a [u8]) -> Result<Self, EnvelopeFault> {
        let (place, envelope) = bytes
            .split_at_checked(PLACE_BYTES)
            .ok_or(EnvelopeFault::Cut)?;
        let mut numbers = place.as_chunks::<8>().0.iter().copied();
        let mut number = || {
            numbers
                .next()
                .map(u64::from_be_bytes)
                .ok_or(EnvelopeFault::Cut)
        };
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
pub(in crate::bridge) fn canary(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(PLACE_BYTES + HEAD_BYTES..)
}

/// One entry as it was read.
#[derive(Debug)]
pub(in crate::bridge) struct StreamEntry {
    pub(in crate::bridge) at: Position,
    /// Head and message.
    pub(in crate::bridge) envelope: Vec<u8>,
}

/// An answer of the function that reads (`read.lua`).
#[derive(Debug, Default)]
pub(in crate::bridge) struct Page {
    /// The last entry; `None` without a stream.
    pub(in crate::bridge) tail: Option<Position>,
    pub(in crate::bridge) entries: Vec<StreamEntry>,
}

impl Page {
    /// From Redis' answer; what has another form is left out.
    pub(in crate::bridge) fn from(answer: RedisValue) -> Self {
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
                entries.push(StreamEntry { at, envelope });
            }
        }
        Self { tail, entries }
    }
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
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
