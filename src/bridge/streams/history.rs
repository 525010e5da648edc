//! What a room's stream holds, for whoever asks: on any node, with members of the room or without.

use super::redis_streams::Streams;
use super::scripts::newest_arguments;
use crate::bridge::envelope::{self, Envelope, EnvelopeEntry};
use crate::bridge::link::RedisLink;
use crate::bridge::order::Page;
use crate::bridge::wall::wall_millis;
use crate::name::RoomName;

/// Most bytes of messages in one answer, and one message more.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Why there is no history.
#[derive(Debug, thiserror::Error)]
pub enum NoHistory {
    /// Nothing keeps one.
    #[error("no history is kept: bridge.mode is not \"streams\"")]
    NotKept,
    /// The room's Redis cannot be asked.
    #[error("the room's Redis is down")]
    Down,
    /// Redis did not answer, or not with a history.
    #[error("the room's Redis did not answer: {0}")]
    Refused(String),
}

/// The newest messages of a room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Which life of the stream: microseconds since 1970 at its first message; 0 without one.
    pub epoch: u64,
    /// Offset of the last message; 0 without one.
    pub offset: u64,
    /// The newest, in order.
    pub messages: Vec<KeptMessage>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptMessage {
    /// The message's place in the room, from 1.
    pub offset: u64,
    /// Milliseconds since 1970, by the clock of Redis.
    pub millis: u64,
    /// The event as the members got it.
    pub event: String,
}

impl Streams {
    /// See [`Bridge::history`](crate::bridge::Bridge::history).
    pub(in crate::bridge) async fn history(
        &self,
        link: &RedisLink,
        room: &RoomName,
        limit: usize,
    ) -> Result<Kept, NoHistory> {
        let client = self.reader.lock().clone();
        let (Some(client), Some(hashes)) = (client, self.hashes()) else {
            return Err(NoHistory::Down);
        };
        let arguments = newest_arguments(limit.min(self.keeps.capacity), BYTES_MAX);
        let keys = vec![self.stream(room.as_str())];
        let answer = client.evaluate(hashes.read, keys, arguments).await;
        link.metrics.bridge_reads.inc();
        let page = Page::from(answer.map_err(|error| NoHistory::Refused(error.to_string()))?);
        let kept = u64::try_from(self.keeps.expiry.as_millis()).unwrap_or(u64::MAX);
        let oldest = wall_millis(link.clock).saturating_sub(kept);
        let tail = page.tail.unwrap_or_default();
        // The newest comes first.
        let entries = page.entries.iter().rev();
        let messages = entries
            .filter(|entry| entry.at.millis >= oldest)
            .filter_map(|entry| {
                Some(KeptMessage {
                    offset: entry.at.offset,
                    millis: entry.at.millis,
                    event: event(&entry.envelope)?,
                })
            })
            .collect();
        Ok(Kept {
            epoch: tail.epoch,
            offset: tail.offset,
            messages,
        })
    }
}

/// The text of the one message of an entry.
fn event(bytes: &[u8]) -> Option<String> {
    let envelope = Envelope::read(bytes).ok()?;
    let frame = envelope.entries().find_map(|entry| match entry {
        EnvelopeEntry::Message { frame, .. } => Some(frame),
        EnvelopeEntry::Mark { .. } | EnvelopeEntry::Hello => None,
    });
    envelope::text(frame?).map(str::to_owned)
}
