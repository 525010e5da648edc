//! The bridge's two Lua functions, as Rust over the model's keys. What they mean is written beside them, in
//! `src/bridge/streams/`; `real.rs` holds them to a real Redis. Neither ids nor an archive are in them.

use super::store::{Refusal, Store, StreamEntry};
use super::weights::{HIGHEST, bound, number, total_of, weigh};
use bytes::Bytes;
use std::collections::BTreeMap;
use supportal::internal::redis::RedisValue;

/// Appends and publishes.
pub(super) const APPEND: &str = include_str!("../../../src/bridge/streams/append.lua");

/// Reads a page.
pub(super) const READ: &str = include_str!("../../../src/bridge/streams/read.lua");

/// Origins of a room, from how many on it is looked which of them have ended.
const SWEEP: usize = 64;

/// An origin that was silent for so long has ended, in milliseconds.
const SILENT: u64 = 600_000;

/// Offsets of an epoch that there can be.
const OFFSETS: u64 = (1 << 48) - 1;

/// Arguments in front of the rooms.
const SETTINGS: usize = 10;

/// What is to be published, and where, in order.
pub(super) type Published = Vec<(String, Bytes)>;

fn foreign(entry: &StreamEntry) -> Refusal {
    let id = String::from_utf8_lossy(&entry.name()).into_owned();
    Refusal(format!("FOREIGN entry {id} is none of a gateway"))
}

/// The leading digits of a value of the origins.
fn leading(value: &[u8]) -> u64 {
    let end = value.iter().position(|byte| !byte.is_ascii_digit());
    number(&value[..end.unwrap_or(value.len())]).unwrap_or_default()
}

/// The epoch before: its number, the highest offset that was seen, the one that was there.
#[derive(Clone, Copy, Default)]
struct Before {
    epoch: u64,
    seen: u64,
    kept: u64,
    base: u64,
    base_now: u64,
}

/// What a stream holds: bytes of all up to now, no less than those that are there, no later than its oldest entry.
#[derive(Clone, Copy, Default)]
struct Holds {
    total: u64,
    held: Option<u64>,
    oldest: Option<u64>,
}

/// Where a room's numbering stands.
#[derive(Clone, Default)]
struct Room {
    epoch: u64,
    offset: u64,
    millis: u64,
    newest: u64,
    life: String,
    holds: Holds,
    before: Before,
}

fn words(value: Option<&Bytes>) -> Vec<String> {
    let text = value.map(|value| String::from_utf8_lossy(value).into_owned());
    let text = text.unwrap_or_default();
    text.split(' ').map(str::to_owned).collect()
}

/// What the origins say of where a room ends, and how many entries there are then.
fn tail_of(store: &Store, origins: &[u8], room: &mut Room) -> Result<Option<u64>, Refusal> {
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
fn place(
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
    let before = words(store.value(origins, b"before")?.as_ref());
    let before: Vec<u64> = before
        .iter()
        .filter_map(|word| number(word.as_bytes()))
        .collect();
    if let [base, base_now, seen, kept, epoch, now] = before[..]
        && now == room.epoch
    {
        room.before = Before {
            epoch,
            seen,
            kept,
            base,
            base_now,
        };
    }
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

impl Room {
    fn begin_anew(&mut self, now: u64, (epoch, offset): (u64, u64)) -> bool {
        let base = self.before.base_now;
        let mut before = Before {
            epoch: self.epoch,
            seen: self.offset,
            kept: self.offset,
            base,
            base_now: 0,
        };
        if epoch > before.epoch {
            (before.epoch, before.seen, before.kept) = (epoch, offset, 0);
        } else if epoch == before.epoch {
            before.seen = before.seen.max(offset);
        }
        before.base_now = base + before.seen;
        let is_told = before.epoch > 0;
        if is_told {
            self.before = before;
        }
        self.epoch = now.max(self.epoch + 1).max(epoch + 1);
        self.offset = 0;
        self.millis = (now / 1_000).max(self.newest + 1);
        is_told
    }

    /// Compares with what a node has seen; whether there is something to tell.
    fn compare(&mut self, now: u64, life: &str, seen: (u64, u64)) -> bool {
        let is_another =
            self.epoch > 0 && !matches!(self.life.as_str(), "" | "-") && self.life != life;
        let mut is_told = false;
        if seen > (self.epoch, self.offset) || is_another || self.offset > OFFSETS - 1_000_000 {
            is_told = self.begin_anew(now, seen);
        } else if seen.0 > 0
            && seen.0 < self.epoch
            && seen.0 == self.before.epoch
            && seen.1 > self.before.seen
        {
            self.before.seen = seen.1;
            is_told = true;
        }
        life.clone_into(&mut self.life);
        if self.epoch == 0 {
            self.begin_anew(now, (0, 0));
        }
        is_told
    }
}

/// What one room has to say.
struct Call<'a> {
    keys: &'a [String],
    head: &'a Bytes,
    seen: (u64, u64),
    /// On its way in front of these.
    behind: u64,
    messages: &'a [Bytes],
}

/// `append.lua`. Fails as `is_writable` says at the first thing that it writes.
pub(super) fn append(
    store: &mut Store,
    keys: &[String],
    arguments: &[Bytes],
    is_writable: &Result<(), Refusal>,
) -> Result<(RedisValue, Published), Refusal> {
    let (mut answers, mut published) = (Vec::new(), Vec::new());
    let mut faults: BTreeMap<String, Refusal> = BTreeMap::new();
    let mut at = SETTINGS;
    for keys in keys.chunks_exact(2) {
        let number_at = |place: usize| number(&arguments[place]).unwrap_or_default();
        let messages = 2 * number_at(at + 5) as usize;
        let call = Call {
            keys,
            head: &arguments[at],
            seen: (number_at(at + 1), number_at(at + 2)),
            behind: number_at(at + 4),
            messages: &arguments[at + 6..at + 6 + messages],
        };
        at += 6 + messages;
        let settings = &arguments[..SETTINGS];
        // What a room has to say behind what was refused is refused too.
        let answered = match faults.get(&keys[0]) {
            Some(fault) => Err(Refusal::clone(fault)),
            None => append_one(store, settings, &call, is_writable, &mut published),
        };
        answers.push(match answered {
            Ok(answer) => answer,
            Err(refusal) if is_writable.as_ref().err() == Some(&refusal) => return Err(refusal),
            Err(refusal) => {
                let answer = RedisValue::from(refusal.0.as_str());
                faults.insert(keys[0].clone(), refusal);
                answer
            }
        });
    }
    Ok((RedisValue::Array(answers), published))
}

/// The life that is meant: that of Redis, unless it is named.
fn life_of(store: &Store, life: &Bytes) -> String {
    let life = match &life[..] {
        b"" => store.life(),
        life => String::from_utf8_lossy(life).into_owned(),
    };
    life.chars().take(8).collect()
}

fn answer(count: u64, room: &Room) -> RedisValue {
    let texts = [room.epoch, room.offset].map(|number| number.to_string());
    let mut values = vec![RedisValue::Integer(count as i64)];
    values.extend(texts.iter().map(|text| RedisValue::from(text.as_str())));
    RedisValue::Array(values)
}

/// The entries of what was not appended before, and what of it is announced.
fn add(
    store: &mut Store,
    room: &mut Room,
    call: &Call<'_>,
    last: &mut u64,
    is_writable: &Result<(), Refusal>,
) -> Result<Vec<u8>, Refusal> {
    let mut announced = Vec::new();
    for pair in call.messages.chunks_exact(2) {
        let (sequence, message) = (number(&pair[0]).unwrap_or_default(), &pair[1]);
        if sequence <= *last {
            continue;
        }
        is_writable.clone()?;
        let bytes = weigh(call.head.len() + message.len());
        let total = room.holds.total + bytes;
        let names = ["e", "h", "m", "b"].map(|name| Bytes::from_static(name.as_bytes()));
        let values = [
            room.epoch.to_string().into(),
            call.head.clone(),
            message.clone(),
            total.to_string().into(),
        ];
        let fields = names
            .into_iter()
            .zip(values)
            .flat_map(|(name, value)| [name, value]);
        let id = (room.millis, room.offset + 1);
        let stream = call.keys[0].as_bytes();
        store.add(stream, id, fields.collect())?;
        room.holds.total = total;
        room.holds.held = room.holds.held.map(|held| held + bytes);
        (room.offset, *last) = (id.1, sequence);
        announced.extend_from_slice(message);
    }
    Ok(announced)
}

fn append_one(
    store: &mut Store,
    settings: &[Bytes],
    call: &Call<'_>,
    is_writable: &Result<(), Refusal>,
    published: &mut Published,
) -> Result<RedisValue, Refusal> {
    let (stream, origins) = (call.keys[0].as_bytes(), call.keys[1].as_bytes());
    let setting = |place: usize| number(&settings[place]).unwrap_or_default();
    let (capacity, bytes_max, kept, kept_origins) =
        (setting(1), setting(2), setting(3), setting(4));
    let (origin, life) = (&settings[5], &settings[6]);
    let life = life_of(store, life);
    let now = store.now();
    let (mut room, _) = place(store, (stream, origins), true)?;
    room.millis = room.millis.max(now / 1_000);
    let known = store.value(origins, origin)?;
    let mut last = known.as_ref().map_or(0, |value| leading(value));
    if room.epoch == 0 && call.messages.is_empty() && call.seen.0 == 0 {
        return Ok(answer(0, &room));
    }
    let is_told = room.compare(now, &life, call.seen);
    if last < call.behind {
        return Err("BEHIND what was not appended".into());
    }
    let first = room.offset + 1;
    let announced = add(store, &mut room, call, &mut last, is_writable)?;
    let count = room.offset + 1 - first;
    if count > 0 {
        store.cut(
            stream,
            (capacity + capacity / 16) as usize,
            capacity as usize,
        )?;
        let aged = room.millis.saturating_sub(kept);
        let holds = &mut room.holds;
        let oldest = *holds.oldest.get_or_insert(room.millis);
        if holds.held.is_none_or(|held| held > bytes_max) || oldest < aged {
            store.trim(stream, (aged, 0))?;
            holds.held = bound(store, stream, bytes_max, holds.total)?;
            holds.oldest = store
                .range(stream, ((0, 0), true), 1)?
                .first()
                .map(|entry| entry.id.0);
        }
        store.expire(stream, kept + kept.div_ceil(16));
        store.put(origins, origin, format!("{last} {}", room.millis).into())?;
    }
    if count > 0 || is_told {
        is_writable.clone()?;
        let tail = tail_text(&room, store.newest(stream, usize::MAX)?.len());
        store.put(origins, b"tail", tail.into())?;
        if known.is_none() && count > 0 {
            forget(store, origins, origin, now / 1_000)?;
        }
        keep_before(store, origins, &room)?;
        store.expire(origins, kept_origins + kept_origins.div_ceil(16));
    }
    let mut publish = |place: [u64; 3], messages: &[u8]| {
        let mut bytes = place.map(u64::to_be_bytes).concat();
        bytes.extend_from_slice(call.head);
        bytes.extend_from_slice(messages);
        published.push((call.keys[0].clone(), bytes.into()));
    };
    if is_told {
        publish([room.before.epoch, room.millis, room.before.seen], &[]);
    }
    if count > 0 {
        publish([room.epoch, room.millis, first], &announced);
    }
    Ok(answer(count, &room))
}

fn tail_text(room: &Room, entries: usize) -> String {
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

fn keep_before(store: &mut Store, origins: &[u8], room: &Room) -> Result<(), Refusal> {
    let was = room.before;
    if was.epoch == 0 {
        return Ok(());
    }
    let (of, now) = (
        [was.base, was.base_now, was.seen],
        [was.kept, was.epoch, room.epoch],
    );
    let before = [of, now]
        .concat()
        .iter()
        .map(u64::to_string)
        .collect::<Vec<_>>()
        .join(" ");
    store.put(origins, b"before", before.into())
}

/// Of many origins, those have ended that were silent for long.
fn forget(store: &mut Store, origins: &[u8], own: &[u8], now: u64) -> Result<(), Refusal> {
    let all = store.fields(origins)?;
    let sweep = words(store.value(origins, b"sweep")?.as_ref());
    let sweep = number(sweep[0].as_bytes()).map_or(SWEEP, |sweep| sweep as usize);
    if all.len() <= SWEEP.max(sweep) {
        return Ok(());
    }
    let mut left = 0;
    for (name, value) in &all {
        let is_ours = [&b"tail"[..], b"before", b"sweep", b"said"].contains(&&name[..]);
        if is_ours || name == own {
            continue;
        }
        let spoke = words(Some(value)).pop().unwrap_or_default();
        let spoke = number(spoke.as_bytes()).unwrap_or_default();
        if spoke + SILENT < now {
            store.remove(origins, name)?;
        } else {
            left += 1;
        }
    }
    let sweep = format!("{} {HIGHEST}", (2 * left).min(1_024));
    store.put(origins, b"sweep", sweep.into())
}

/// `read.lua`.
pub(super) fn read(
    store: &Store,
    keys: &[String],
    arguments: &[Bytes],
) -> Result<RedisValue, Refusal> {
    let stream = keys[0].as_bytes();
    let setting = |at: usize| {
        arguments
            .get(at)
            .and_then(|text| number(text))
            .unwrap_or_default()
    };
    let (count, most) = (setting(0) as usize, setting(1));
    let (room, has_stream) = place(store, (stream, keys[1].as_bytes()), false)?;
    if room.epoch == 0 {
        return Ok(RedisValue::Array(Vec::new()));
    }
    let Before {
        epoch, seen, kept, ..
    } = room.before;
    let texts = [
        room.epoch.to_string(),
        format!("{}-{}", room.millis, room.offset),
        epoch.to_string(),
        seen.to_string(),
        kept.to_string(),
    ];
    let mut answer: Vec<RedisValue> = texts
        .iter()
        .map(|text| RedisValue::from(text.as_str()))
        .collect();
    if count == 0 || !has_stream {
        return Ok(RedisValue::Array(answer));
    }
    let known = (setting(2), setting(4));
    let is_other = arguments.len() > 2 && known.0 != room.epoch;
    let found = if arguments.len() == 2 {
        store.newest(stream, usize::MAX)?
    } else if is_other {
        let from = (setting(3).saturating_sub(60_000), 0);
        store.range(stream, (from, true), usize::MAX)?
    } else {
        store.range(stream, ((setting(3), setting(4)), false), usize::MAX)?
    };
    let (mut bytes, mut entries) = (0, 0);
    for entry in found {
        if bytes >= most || entries >= count {
            break;
        }
        let of = number(entry.field(2)).unwrap_or_default();
        let is_known = is_other && (of < known.0 || (of == known.0 && entry.id.1 <= known.1));
        let is_ours = entry.field(1) == b"e" && entry.field(3) == b"h" && entry.field(5) == b"m";
        if is_ours && !is_known {
            bytes += entry.field(6).len() as u64;
            entries += 1;
            let fields = [
                entry.field(2),
                &entry.name(),
                entry.field(4),
                entry.field(6),
            ];
            let fields = fields.map(|field| RedisValue::Bytes(Bytes::copy_from_slice(field)));
            answer.extend(fields);
        }
    }
    Ok(RedisValue::Array(answer))
}
