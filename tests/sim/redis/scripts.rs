//! The bridge's two Lua functions, as Rust over the model's keys. What they mean is written beside them, in
//! `src/bridge/streams/`; `real.rs` holds them to a real Redis. Neither ids nor an archive are in them.

use super::places::{Before, Room, befores, leading, place, tail_text, words};
use super::store::{Id, Refusal, Store};
use super::weights::{HIGHEST, bound, number, weigh};
use bytes::Bytes;
use std::collections::BTreeMap;
use supportal::internal::redis::RedisValue;

/// Appends and publishes.
pub(super) const APPEND: &str = concat!(
    include_str!("../../../src/bridge/streams/append/head.lua"),
    include_str!("../../../src/bridge/streams/append/rare.lua"),
    include_str!("../../../src/bridge/streams/append/archive.lua"),
    include_str!("../../../src/bridge/streams/append/rooms.lua"),
);

/// Reads a page.
pub(super) const READ: &str = include_str!("../../../src/bridge/streams/read.lua");

/// Origins of a room, from how many on it is looked which of them have ended.
const SWEEP: usize = 64;

/// An origin that was silent for so long has ended, in milliseconds.
const SILENT: u64 = 600_000;

/// Offsets of an epoch that there can be.
const OFFSETS: u64 = (1 << 48) - 1;

/// No node has seen more: epochs go on behind it.
const SEEN_MAX: u64 = 8_000_000_000_000_000;

/// Entries of a stream that may be ours.
const ENTRIES_MAX: usize = 16_384;

/// Arguments in front of the rooms.
const SETTINGS: usize = 10;

/// What is to be published, and where, in order.
pub(super) type Published = Vec<(String, Bytes)>;

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

/// The appending function. Fails as `is_writable` says at the first thing that it writes.
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
        let seen_at = |place: usize| {
            Some(number_at(place))
                .filter(|seen| *seen <= SEEN_MAX)
                .unwrap_or_default()
        };
        let messages = 2 * number_at(at + 5) as usize;
        let call = Call {
            keys,
            head: &arguments[at],
            seen: (seen_at(at + 1), seen_at(at + 2)),
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

fn keep_before(store: &mut Store, origins: &[u8], room: &Room) -> Result<(), Refusal> {
    let was = room.before;
    if was.epoch == 0 {
        return Ok(());
    }
    let names = befores();
    let there = store.value(origins, names[0].as_bytes())?;
    if there.is_some_and(|there| words(Some(&there)).pop() != Some(room.epoch.to_string())) {
        let mut moved = Vec::new();
        for pair in names.windows(2) {
            let Some(value) = store.value(origins, pair[0].as_bytes())? else {
                break;
            };
            moved.push((pair[1].clone(), value));
        }
        for (name, value) in moved {
            store.put(origins, name.as_bytes(), value)?;
        }
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
        let is_ours = [&b"tail"[..], b"sweep", b"said"].contains(&&name[..])
            || befores().iter().any(|ours| ours.as_bytes() == &name[..]);
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

/// What is answered of the epochs before: of one, unless the `position` is of an earlier one.
fn epochs_before(
    store: &Store,
    origins: &[u8],
    room: &Room,
    position: Option<u64>,
) -> Result<[String; 3], Refusal> {
    let first = room.before;
    let mut all = vec![first];
    if first.epoch > 0 && position.is_some_and(|at| ![room.epoch, first.epoch].contains(&at)) {
        for name in &befores()[1..] {
            let value = store.value(origins, name.as_bytes())?;
            let oldest = all.last().map_or(0, |before| before.epoch);
            match Before::read(value.as_ref(), oldest) {
                Some(before) => all.push(before),
                None => break,
            }
        }
    }
    let list = |number: fn(&Before) -> u64| {
        let texts: Vec<String> = all
            .iter()
            .map(|before| number(before).to_string())
            .collect();
        texts.join(" ")
    };
    Ok([
        list(|before| before.epoch),
        list(|before| before.seen),
        list(|before| before.kept),
    ])
}

/// From where on entries of another epoch are looked for, behind one of these milliseconds.
fn oldest_of_other(store: &Store, stream: &[u8], millis: u64) -> Result<Id, Refusal> {
    let from = millis.saturating_sub(60_000);
    let newest = store.newest(stream, 1)?;
    let is_there = newest.iter().any(|newest| newest.id.0 >= from);
    Ok((if is_there { from } else { 0 }, 0))
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
    if store.newest(stream, usize::MAX)?.len() > ENTRIES_MAX {
        return Err("FOREIGN stream of more entries than a gateway keeps".into());
    }
    if room.epoch == 0 {
        return Ok(RedisValue::Array(Vec::new()));
    }
    let position = (arguments.len() == 5).then(|| setting(2));
    let [epochs, seen, kept] = epochs_before(store, keys[1].as_bytes(), &room, position)?;
    let texts = [
        room.epoch.to_string(),
        format!("{}-{}", room.millis, room.offset),
        epochs,
        seen,
        kept,
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
        let from = oldest_of_other(store, stream, setting(3))?;
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
