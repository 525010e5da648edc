//! What retrieval may occupy, for the sum of all bounds.

use super::embeddings::ANSWER_BYTES_MAX;
use crate::config::{DIMENSION_MAX, RetrievalSettings};
use crate::http_client::HEAD_BYTES_MAX;

/// Bytes of a business that is remembered, beside what is read of it: the states of its index and its metadata, as
/// they were and as they are, when their paths are as long as they are in practice.
pub const BUSINESS_BYTES: usize = 512;
/// Bytes of an embedding that is remembered: its numbers, its question's hash, and the spare of the table.
pub const EMBEDDING_BYTES: usize = DIMENSION_MAX * size_of::<f32>() + 256;
/// Bytes of an embedding that is asked for, beside the question: the answer and the numbers in it, and the buffers of a
/// connection with TLS.
pub const EXCHANGE_BYTES: usize =
    ANSWER_BYTES_MAX + DIMENSION_MAX * size_of::<f32>() * 3 + 4 * HEAD_BYTES_MAX;

/// Bytes of what is read of all businesses. Of one, what is searched stays until that is done, also if it has made room.
#[must_use]
pub fn collections_bytes(settings: &RetrievalSettings) -> usize {
    settings.bytes_max.saturating_add(settings.bytes_max / 2)
}
