//! Where a room of the model stands: its origins say it, and its stream where it is newer.

use super::store::{Refusal, Store, StreamEntry};
use super::weights::{HIGHEST, number, total_of};
use bytes::Bytes;

pub(super) fn foreign(entry: &StreamEntry) -> Refusal {
    let id = String::from_utf8_lossy(&entry.name()).into_owned();
    Refusal(format!("FOREIGN entry {id} is none of a gateway"))
}

/// The leading digits of a value of the origins.
pub(super) fn leading(value: &[u8]) -> u64 {
    let end = value.iter().position(|byte| !byte.is_ascii_digit());
    number(&value[..end.unwrap_or(value.len())]).unwrap_or_default()
}

/// The epoch before: its number, the highest offset that was seen, the one that was there.
#[derive(Clone, Copy, Default)]
pub(super) struct Before {
    pub(super) epoch: u64,
    pub(super) seen: u64,
    pub(super) kept: u64,
    pub(super) base: u64,
    pub(super) base_now: u64,
}

impl Before {
    /// From a value of the origins, if it was followed by that epoch.
    pub(super) fn read(value: Option<&Bytes>, followed_by: u64) -> Option<Self> {
        let numbers: Vec<u64> = words(value)
            .iter()
            .filter_map(|word| number(word.as_bytes()))
            .collect();
        let [base, base_now, seen, kept, epoch, now] = numbers[..] else {
            return None;
        };
        (now == followed_by).then_some(Self {
            epoch,
            seen,
            kept,
            base,
            base_now,
        })
    }
}

/// The fields of the origins for the epochs before, the newest first.
pub(super) fn befores() -> Vec<String> {
    let further = (2..=8).map(|place| format!("before{place}"));
    std::iter::once("before".to_owned())
        .chain(further)
        .collect()
}

/// What a stream holds: bytes of all up to now, no less than those that are there, no later than its oldest entry.
#[derive(Clone, Copy, Default)]
pub(super) struct Holds {
    pub(super) total: u64,
    pub(super) held: Option<u64>,
    pub(super) oldest: Option<u64>,
}

/// Where a room's numbering stands.
#[derive(Clone, Default)]
pub(super) struct Room {
    pub(super) epoch: u64,
    pub(super) offset: u64,
    pub(super) millis: u64,
    pub(super) newest: u64,
    pub(super) life: String,
    pub(super) holds: Holds,
    pub(super) before: Before,
}

pub(super) fn words(value: Option<&Bytes>) -> Vec<String> {
    let text = value.map(|value| String::from_utf8_lossy(value).into_owned());
    let text = text.unwrap_or_default();
    text.split(' ').map(str::to_owned).collect()
}

/// What the origins say of where a room ends, and how many entries there are then.
pub(super) fn tail_of(
    store: &Store,
    origins: &[u8],
    room: &mut Room,
) -> Result<Option<u64>, Refusal> {
    let tail = words(store.value(origins, b"tail")?.as_ref());
    let [offset, millis, life, epoch, entries, total, held, oldest] = &tail[..] else {
        return Ok(None);
    };
    let [offset, millis, epoch, entries, total, oldest] =
        [offset, millis, epoch, entries, total, oldest].map(|word| number(word.as_bytes()));
    (room.offset, room.millis, room.epoch) = (
        offset.unwrap_or_default(),
        millis.unwrap_or_default(),
        epoch.unwrap_or_default(),
    );
    room.life.clone_from(life);
    room.holds = Holds {
        total: total.unwrap_or_default(),
        held: number(held.as_bytes()),
        oldest,
    };
    Ok(entries)
}

/// What the origins say of it, and the tail of the stream. That is looked at only so far as it is newer, where it
/// `may_believe` them.
pub(super) fn place(
    store: &Store,
    (stream, origins): (&[u8], &[u8]),
    may_believe: bool,
) -> Result<(Room, bool), Refusal> {
    let mut room = Room::default();
    let entries = tail_of(store, origins, &mut room)?;
    let length = store.newest(stream, usize::MAX)?.len();
    let is_believed = may_believe && entries == Some(length as u64);
    let last = store.newest(stream, 1)?.pop();
    let last = last.filter(|last| !is_believed || last.id > (room.millis, room.offset));
    if let Some(last) = &last {
        let is_counted = last.id.0 < HIGHEST && last.id.1 < HIGHEST;
        if last.field(1) != b"e" || number(last.field(2)).is_none() || !is_counted {
            return Err(foreign(last));
        }
    }
    if length == 0 {
        room.holds = Holds {
            held: Some(0),
            ..Holds::default()
        };
    }
    let before = store.value(origins, b"before")?;
    room.before = Before::read(before.as_ref(), room.epoch).unwrap_or_default();
    let Some(last) = last else {
        room.newest = room.millis;
        return Ok((room, length > 0));
    };
    let of = number(last.field(2)).unwrap_or_default();
    if of > room.epoch {
        if room.epoch > 0 {
            let base = room.before.base_now;
            room.before = Before {
                epoch: room.epoch,
                seen: room.offset,
                kept: room.offset,
                base,
                base_now: base + room.offset,
            };
        }
        (room.epoch, room.offset) = (of, last.id.1);
    } else if of == room.epoch {
        room.offset = room.offset.max(last.id.1);
    }
    room.millis = room.millis.max(last.id.0);
    room.newest = room.millis;
    (room.holds.total, room.holds.held) = (total_of(&last).unwrap_or_default(), None);
    Ok((room, true))
}

pub(super) fn tail_text(room: &Room, entries: usize) -> String {
    let Room {
        epoch,
        offset,
        millis,
        life,
        holds,
        ..
    } = room;
    let held = holds.held.map_or("-".to_owned(), |held| held.to_string());
    let (total, oldest) = (holds.total, holds.oldest.unwrap_or(*millis));
    format!("{offset} {millis} {life} {epoch} {entries} {total} {held} {oldest}")
}
