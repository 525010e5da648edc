//! What comes back of a stream: the announcement that an append publishes, and a page of entries that was read.
//!
//! ```text
//! announcement   epoch u64, milliseconds u64, offset of the first message u64, envelope; one without messages:
//!                another epoch has begun, or more was seen of the one before than was known
//! entry          id MILLISECONDS-OFFSET, fields e (epoch) h (the envelope's head) m (one message)
//!                b (bytes appended so far; entries of older versions have none)
//! ```
//!
//! An entry's head and message together are an envelope again, so what is read from a stream and what
//! is announced take the same way in.

use super::follower::{EpochBefore, Position};
use crate::bridge::envelope::{Envelope, EnvelopeFault, HEAD_BYTES};
use crate::redis::value::RedisValue;

/// Bytes before the envelope of an announcement.
const PLACE_BYTES: usize = 24;

/// Epochs before that of the newest entry, at most: what `append/rare.lua` keeps.
const BEFORE_MAX: usize = 8;

/// The functions count up to there: no node has written more.
const COUNTED_MAX: u64 = 8_999_999_999_999_999;

/// The last epoch that the appending function believes a node to have seen, and room for those that go on behind it.
const EPOCH_MAX: u64 = 8_000_001_000_000_000;

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
        let mut number = |most| {
            let number = numbers.next().map(u64::from_be_bytes);
            let number = number.ok_or(EnvelopeFault::Cut)?;
            (number <= most)
                .then_some(number)
                .ok_or(EnvelopeFault::Number)
        };
        Ok(Self {
            first: Position {
                epoch: number(EPOCH_MAX)?,
                millis: number(COUNTED_MAX)?,
                offset: number(COUNTED_MAX)?,
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
    /// The last entry, or where it was; `None` without a stream.
    pub(in crate::bridge) tail: Option<Position>,
    /// The newest first, each followed by the one in front of it.
    pub(in crate::bridge) before: Vec<EpochBefore>,
    pub(in crate::bridge) entries: Vec<StreamEntry>,
}

impl Page {
    /// Of its entries.
    pub(in crate::bridge) fn bytes(&self) -> usize {
        let entries = self.entries.iter();
        entries.map(|entry| entry.envelope.len()).sum()
    }

    /// From Redis' answer; what has another form is left out.
    pub(in crate::bridge) fn from(answer: RedisValue) -> Self {
        let mut values = answer.into_array().into_iter();
        let mut next = || values.next().and_then(RedisValue::into_bytes);
        let Some(epoch) = next().and_then(|text| number(&text)) else {
            return Self::default();
        };
        let tail = next().and_then(|id| position(epoch, &id));
        let [epochs, offsets, kept] = [(); 3].map(|()| next().unwrap_or_default());
        let before = numbers(&epochs).zip(numbers(&offsets)).zip(numbers(&kept));
        let before = before.map_while(|((epoch, offset), kept)| {
            let (epoch, offset, kept) = (epoch?, offset?, kept?);
            (epoch > 0).then_some(EpochBefore {
                epoch,
                offset,
                kept,
            })
        });
        let before = before.take(BEFORE_MAX).collect();
        let mut entries = Vec::new();
        while let (Some(epoch), Some(id), Some(head), Some(message)) =
            (next(), next(), next(), next())
        {
            if let Some(at) = number(&epoch).and_then(|epoch| position(epoch, &id)) {
                let envelope = [&head[..], &message[..]].concat();
                entries.push(StreamEntry { at, envelope });
            }
        }
        Self {
            tail,
            before,
            entries,
        }
    }
}

/// From an epoch and an id.
fn position(epoch: u64, id: &[u8]) -> Option<Position> {
    let dash = id.iter().position(|&byte| byte == b'-')?;
    Some(Position {
        epoch: Some(epoch).filter(|epoch| *epoch <= EPOCH_MAX)?,
        millis: number(id.get(..dash)?)?,
        offset: number(id.get(dash + 1..)?)?,
    })
}

/// Numbers with a space between them; `None` for what is none.
fn numbers(text: &[u8]) -> impl Iterator<Item = Option<u64>> {
    text.split(|&byte| byte == b' ').map(number)
}

fn number(text: &[u8]) -> Option<u64> {
    let number: u64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (number <= COUNTED_MAX).then_some(number)
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
        let answer = [
            "7", "20-9", "6 4", "12 9", "11 9", "7", "19-8", "head", "a", "6", "20-9", "head", "b",
        ];
        let page = Page::from(RedisValue::Array(answer.map(text).to_vec()));
        assert_eq!(page.tail, Some(place(20, 9)));
        let before = |epoch, offset, kept| EpochBefore {
            epoch,
            offset,
            kept,
        };
        assert_eq!(page.before, [before(6, 12, 11), before(4, 9, 9)]);
        let entries: Vec<_> = page
            .entries
            .iter()
            .map(|entry| (entry.at, &entry.envelope[..]))
            .collect();
        let earlier = Position {
            epoch: 6,
            ..place(20, 9)
        };
        let expected = [(place(19, 8), &b"heada"[..]), (earlier, &b"headb"[..])];
        assert_eq!(entries, expected);
        let strange = [
            "7", "20-9", "", "-1", "nan", "x", "2-2", "head", "a", "7", "nonsense", "head", "a",
            "7", "1-1",
        ];
        let page = Page::from(RedisValue::Array(strange.map(text).to_vec()));
        assert!(page.entries.is_empty());
        assert_eq!(page.before, []);
        assert_eq!(Page::from(RedisValue::Array(Vec::new())).tail, None);
        assert_eq!(Page::from(RedisValue::Nil).tail, None);
    }

    #[test]
    fn a_place_beyond_what_the_functions_count_is_poison_wherever_it_stands() {
        let head = [
            &[crate::bridge::envelope::VERSION][..],
            &[0; HEAD_BYTES - 1],
        ]
        .concat();
        let announced =
            |place: [u64; 3]| [place.map(u64::to_be_bytes).concat(), head.clone()].concat();
        let (last, most) = (EPOCH_MAX, COUNTED_MAX);
        assert!(Announcement::read(&announced([last, most, most])).is_ok());
        for place in [
            [last + 1, 1, 1],
            [1, most + 1, 1],
            [1, 1, most + 1],
            [u64::MAX; 3],
        ] {
            let bytes = announced(place);
            let read = Announcement::read(&bytes);
            assert_eq!(read.err(), Some(EnvelopeFault::Number), "{place:?}");
        }
        for (epoch, millis, offset, is_read) in [
            (last, most, most, true),
            (last + 1, 1, 1, false),
            (1, most + 1, 1, false),
            (1, 1, most + 1, false),
        ] {
            let (epoch, id) = (epoch.to_string(), format!("{millis}-{offset}"));
            let answer = ["7", "20-9", "0", "0", "0", &epoch, &id, "head", "a"];
            let page = Page::from(RedisValue::Array(answer.map(text).to_vec()));
            assert_eq!(page.entries.len(), usize::from(is_read), "{epoch} {id}");
        }
    }

    #[test]
    fn an_announcement_that_is_cut_is_poison() {
        for length in 0..PLACE_BYTES + HEAD_BYTES {
            assert!(Announcement::read(&[1; PLACE_BYTES + HEAD_BYTES][..length]).is_err());
        }
    }
}
