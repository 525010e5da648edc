//! Numbers as the bridge's Lua functions read them, and what entries of a stream count as.

use super::store::{Refusal, Store, StreamEntry};

/// What is counted exactly.
pub(super) const HIGHEST: u64 = 9_000_000_000_000_000;

/// A number of these functions.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    let is_short = text.len() < 17 && !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let text = is_short.then(|| std::str::from_utf8(text).ok())??;
    text.parse().ok().filter(|number| *number < HIGHEST)
}

/// What an entry counts as.
pub(super) fn weigh(bytes: usize) -> u64 {
    (bytes as u64 * 5).div_ceil(4) + 128
}

fn size(entry: &StreamEntry) -> u64 {
    weigh(entry.field(4).len() + entry.field(6).len())
}

/// Bytes appended up to and with an entry, as its field b says.
pub(super) fn total_of(entry: &StreamEntry) -> Option<u64> {
    let text = if entry.field(7) == b"b" {
        entry.field(8)
    } else {
        &[]
    };
    (text.len() < 15).then(|| number(text))?
}

/// The oldest go until the rest is within the bytes; the newest stays. How many are left, if the entries say so.
pub(super) fn bound(
    store: &mut Store,
    stream: &[u8],
    bytes_max: u64,
    total: u64,
) -> Result<Option<u64>, Refusal> {
    let entries = store.range(stream, ((0, 0), true), usize::MAX)?;
    let least = entries.first().map_or(0, size);
    let counted = entries.first().and_then(total_of);
    let counted = counted.and_then(|held| (total + least).checked_sub(held));
    let Some(mut held) = counted.filter(|held| *held >= least) else {
        let mut held = 0;
        for pair in entries.windows(2).rev() {
            held += size(&pair[1]);
            if held + size(&pair[0]) > bytes_max {
                store.trim(stream, pair[1].id)?;
                break;
            }
        }
        return Ok(None);
    };
    for (place, entry) in entries.iter().enumerate() {
        if held <= bytes_max || place + 1 == entries.len() {
            store.trim(stream, entry.id)?;
            break;
        }
        held = held.saturating_sub(size(entry));
    }
    Ok(Some(held))
}
