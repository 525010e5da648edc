//! What a host of a channel layer occupies at most, beside what the settings bound: the layer's addends of
//! `budget`.

use super::scripts::lua::{TAKEN_BYTES, TAKEN_TURN};

/// The threads and connections of one host, and what decoding one message takes beside a multiple of its
/// length ([`codec`](super::codec)).
pub(crate) const HOST_BYTES: usize = (16 + 20) * 1024 * 1024 + 2 * TAKEN_BYTES;

/// Messages in memory at once, for each host, beside those few bytes of short ones: what was taken beyond the limit
/// and the one that was waited for, one of them decoded to eight times its length.
pub(crate) const MESSAGES: usize = TAKEN_TURN + 1 + 8;
