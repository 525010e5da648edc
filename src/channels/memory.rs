//! What a host of a channel layer occupies at most, beside what the settings bound: the layer's addends of
//! `budget`.

use super::receive::DRAIN;

/// The threads and connections of one host, and what decoding one message takes beside a multiple of its
/// length ([`codec`](super::codec)).
pub(crate) const HOST_BYTES: usize = (16 + 20) * 1024 * 1024;

/// Messages in memory at once, for each host: those pulled in one go and the one that was waited for, one of
/// them decoded to eight times its length.
pub(crate) const MESSAGES: usize = DRAIN + 1 + 8;
