//! The bridge's two Lua functions, as Rust over the model's keys. What they mean is written beside them, in
//! `src/bridge/streams/`; `real.rs` holds them to a real Redis.

use super::store::{Refusal, Store, StreamEntry};
use bytes::Bytes;
use supportal::internal::redis::RedisValue;

/// Appends and publishes.
pub(super) const APPEND: &str = include_str!("../../../src/bridge/streams/append.lua");

/// Reads a page.
pub(super) const READ: &str = include_str!("../../../src/bridge/streams/read.lua");

/// Origins that a room keeps in mind.
const ORIGINS_MAX: usize = 64;

/// What is to be published, and where.
pub(super) type Published = Option<(String, Bytes)>;

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// What an entry counts as.
fn weigh(bytes: usize) -> u64 {
    (bytes as u64 * 5).div_ceil(4) + 128
}

fn size(entry: &StreamEntry) -> u64 {
    weigh(entry.field(4).len() + entry.field(6).len())
}

/// Bytes appended up to and with an entry, as its field b says.
fn total_of(entry: &StreamEntry) -> Option<u64> {
    let text = if entry.field(7) == b"b" {
        entry.field(8)
    } else {
        &[]
    };
    let is_number = text.len() < 16 && !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    is_number.then(|| number(text))?
}

fn is_ours(entry: &StreamEntry) -> bool {
    let epoch = entry.field(2);
    entry.field(1) == b"e" && !epoch.is_empty() && epoch.iter().all(u8::is_ascii_digit)
}

fn foreign(entry: &StreamEntry) -> Refusal {
    let id = String::from_utf8_lossy(&entry.name()).into_owned();
    Refusal(format!("FOREIGN entry {id} is none of a gateway"))
}

/// The leading digits of a value of the origins.
fn leading(value: &[u8]) -> u64 {
    let end = value.iter().position(|byte| !byte.is_ascii_digit());
    number(&value[..end.unwrap_or(value.len())]).unwrap_or_default()
}

/// Where a stream goes on.
struct Tail {
    epoch: Bytes,
    offset: u64,
    millis: u64,
    total: u64,
}

fn tail(store: &Store, stream: &[u8]) -> Result<Tail, Refusal> {
    let micros = store.now();
    let mut found = Tail {
        epoch: micros.to_string().into(),
        offset: 0,
        millis: micros / 1_000,
        total: 0,
    };
    if let Some(last) = store.newest(stream, 1)?.pop() {
        if !is_ours(&last) {
            return Err(foreign(&last));
        }
        found.epoch = Bytes::copy_from_slice(last.field(2));
        found.offset = last.id.1;
        found.millis = found.millis.max(last.id.0);
        let all = || store.range(stream, ((0, 0), true), usize::MAX);
        found.total = match total_of(&last) {
            Some(total) => total,
            None => all()?.iter().fold(0, |total, entry| {
                total_of(entry).unwrap_or(total + size(entry))
            }),
        };
    }
    Ok(found)
}

/// `append.lua`. Fails as `is_writable` says at the first thing that it writes.
pub(super) fn append(
    store: &mut Store,
    keys: &[String],
    arguments: &[Bytes],
    is_writable: &Result<(), Refusal>,
) -> Result<(RedisValue, Published), Refusal> {
    let (stream, origins) = (keys[0].as_bytes(), keys[1].as_bytes());
    let setting = |place: usize| number(&arguments[place]).unwrap_or_default();
    let (capacity, bytes_max, kept) = (setting(1), setting(2), setting(3));
    let (origin, head) = (&arguments[4], &arguments[5]);
    let said = store.value(origins, origin)?;
    let mut last = said.map_or(0, |value| leading(&value));
    let Tail {
        epoch,
        mut offset,
        millis,
        mut total,
    } = tail(store, stream)?;
    let first = offset + 1;
    let mut announced = Vec::new();
    for pair in arguments[6..].chunks_exact(2) {
        let (sequence, message) = (number(&pair[0]).unwrap_or_default(), &pair[1]);
        if sequence <= last {
            continue;
        }
        is_writable.clone()?;
        offset += 1;
        last = sequence;
        total += weigh(head.len() + message.len());
        let names = ["e", "h", "m", "b"].map(|name| Bytes::from_static(name.as_bytes()));
        let values = [
            epoch.clone(),
            head.clone(),
            message.clone(),
            total.to_string().into(),
        ];
        let fields = names
            .into_iter()
            .zip(values)
            .flat_map(|(name, value)| [name, value]);
        store.add(
            stream,
            (millis, offset),
            Some(capacity as usize),
            fields.collect(),
        )?;
        announced.extend_from_slice(message);
    }
    let count = offset + 1 - first;
    if count == 0 {
        return Ok((RedisValue::Integer(0), None));
    }
    store.trim(stream, (millis.saturating_sub(kept), 0))?;
    store.expire(stream, kept);
    bound(store, stream, bytes_max, total)?;
    remember(store, origins, (origin, last), millis)?;
    store.expire(origins, kept);
    forget(store, origins)?;
    let place = [number(&epoch).unwrap_or_default(), millis, first];
    let mut bytes = place.map(u64::to_be_bytes).concat();
    bytes.extend_from_slice(head);
    bytes.extend_from_slice(&announced);
    Ok((
        RedisValue::Integer(count as i64),
        Some((keys[0].clone(), bytes.into())),
    ))
}

/// The oldest go until the rest is within the bytes; the newest stays.
fn bound(store: &mut Store, stream: &[u8], bytes_max: u64, total: u64) -> Result<(), Refusal> {
    let entries = store.range(stream, ((0, 0), true), usize::MAX)?;
    let least = entries.first().map_or(0, size);
    let counted = entries.first().and_then(total_of);
    let counted = counted.and_then(|held| (total + least).checked_sub(held));
    let mut held = match counted {
        Some(held) if held >= least => held,
        _ => entries.iter().map(size).sum(),
    };
    for (place, entry) in entries.iter().enumerate() {
        if held <= bytes_max || place + 1 == entries.len() {
            return store.trim(stream, entry.id);
        }
        held = held.saturating_sub(size(entry));
    }
    Ok(())
}

fn remember(
    store: &mut Store,
    origins: &[u8],
    (origin, last): (&[u8], u64),
    millis: u64,
) -> Result<(), Refusal> {
    store.put(origins, origin, format!("{last} {millis}").into())
}

/// Of too many origins, the one that has been silent for longest has ended.
fn forget(store: &mut Store, origins: &[u8]) -> Result<(), Refusal> {
    let all = store.fields(origins)?;
    if all.len() <= ORIGINS_MAX {
        return Ok(());
    }
    let said = |value: &[u8]| {
        let text = std::str::from_utf8(value).unwrap_or_default();
        text.rsplit(' ')
            .next()
            .and_then(|said| said.parse::<u64>().ok())
    };
    // Of several, the first.
    if let Some((quiet, _)) = all.iter().min_by_key(|(_, value)| said(value)) {
        store.remove(origins, quiet)?;
    }
    Ok(())
}

/// `read.lua`.
pub(super) fn read(
    store: &Store,
    keys: &[String],
    arguments: &[Bytes],
) -> Result<RedisValue, Refusal> {
    let stream = keys[0].as_bytes();
    let setting = |place: usize| {
        arguments
            .get(place)
            .and_then(|text| number(text))
            .unwrap_or_default()
    };
    let (count, most) = (setting(0) as usize, setting(1));
    let Some(tail) = store.newest(stream, 1)?.pop() else {
        return Ok(RedisValue::Array(Vec::new()));
    };
    if !is_ours(&tail) {
        return Err(foreign(&tail));
    }
    let text = |bytes: &[u8]| RedisValue::Bytes(Bytes::copy_from_slice(bytes));
    let mut answer = vec![text(tail.field(2)), text(&tail.name())];
    if count == 0 {
        return Ok(RedisValue::Array(answer));
    }
    let found = match arguments.get(2) {
        None => store.newest(stream, count)?,
        Some(epoch) if epoch == tail.field(2) => {
            store.range(stream, ((setting(3), setting(4)), false), count)?
        }
        Some(_) => store.range(stream, ((setting(3), 0), true), count)?,
    };
    let mut bytes = 0;
    for entry in found {
        if bytes >= most {
            break;
        }
        if entry.field(1) == b"e" && entry.field(3) == b"h" && entry.field(5) == b"m" {
            bytes += entry.field(6).len() as u64;
            answer.extend([
                text(&entry.name()),
                text(entry.field(4)),
                text(entry.field(6)),
            ]);
        }
    }
    Ok(RedisValue::Array(answer))
}
