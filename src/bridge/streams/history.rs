//! What a room's stream holds, for whoever asks: on any node, with members of the room or without.

use super::redis_streams::Streams;
use super::scripts::newest_arguments;
use crate::bridge::envelope::{self, Envelope, EnvelopeEntry};
use crate::bridge::link::RedisLink;
use crate::bridge::order::Page;
use crate::bridge::wall::wall_millis;
use crate::broker::history::{Kept, KeptMessage, NoHistory};
use crate::name::RoomName;

/// Most bytes of messages in one answer, and one message more.
const BYTES_MAX: usize = 4 * 1024 * 1024;

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
