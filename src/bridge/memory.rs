//! What the ways to other nodes occupy at most, beside what the settings bound: the bridge's addends of
//! `budget`, and what a history costs Redis.

use super::marks::held;
use super::streams;

/// The bridge's threads and connections, and one window of commands (7 KiB each) on the wire.
pub(crate) const LINK_BYTES: usize = 16 * 1024 * 1024;

/// A publication in the outbox beside its frame: its entry there and on the wire, in lists that double as
/// they grow.
pub(crate) const OUTGOING_BYTES: usize = 256;

/// A room in which this node spoke lately: its name, which may be long, its number, and its places by time and by
/// incarnation, in tables that double as they grow.
pub(crate) const MARK_BYTES: usize = 384;

/// Digests of other nodes that are held for a moment.
pub(crate) const DIGESTS_BYTES: usize = held::HELD_BYTES_MAX;

/// An arrival: its slot in the client library's event channels, made at once, and its frame and envelope,
/// within the library's read buffer.
pub(crate) const ARRIVAL_BYTES: usize = 1024 + 1024;

/// Gaps that are read from one Redis at the same time.
pub(crate) const GAPS: usize = streams::READS;

/// Bytes of one page of a gap, without the message that passes them.
pub(crate) const PAGE_BYTES: usize = streams::PAGE_BYTES;

/// An entry of a room's stream beside the message: what `append/rooms.lua` adds as its weight.
pub(crate) const ENTRY_BYTES: usize = 128;

/// A room's keys in Redis beside the messages: its stream, the node of it that is partly trimmed, and a field
/// for each origin and for the room itself.
pub(crate) const ROOM_BYTES: usize = 8 * 1024 + (STREAM_ORIGINS + 1) * 256;

/// Nodes that `append/rare.lua` remembers in a room, however long they say nothing. Each of those that spoke there in the last
/// ten minutes has a field more, up to 1,024: who has that many has so much more in a few rooms.
const STREAM_ORIGINS: usize = 64;

#[cfg(test)]
mod tests {
    #[test]
    fn an_entry_weighs_what_the_appending_function_says() {
        let weight = format!("* 1.25) + {}\n", super::ENTRY_BYTES);
        assert!(super::streams::scripts::APPEND.contains(&weight));
    }
}
