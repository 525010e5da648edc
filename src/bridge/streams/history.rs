//! What a room's stream holds, for whoever asks: on any node, with members of the room or without.

use super::redis_streams::Streams;
use super::scripts::{PAGE_BYTES, newest_arguments};
use crate::bridge::envelope::{self, Envelope, EnvelopeEntry};
use crate::bridge::link::RedisLink;
use crate::bridge::order::Page;
use crate::bridge::wall::wall_millis;
use crate::broker::history::{Kept, KeptMessage, NoHistory};
use crate::name::RoomName;
use crate::redis::failure::CommandError;

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
        let limit = limit.min(self.keeps.capacity);
        let mut page = Page::default();
        let mut bytes = 0;
        // In pages: none of them keeps Redis from others.
        loop {
            let left = limit.saturating_sub(page.entries.len());
            let before = page.entries.last().map(|entry| entry.at);
            let arguments = newest_arguments(left, PAGE_BYTES, before);
            let keys = [self.stream(room.as_str()), self.origins(room.as_str())];
            let answer = client.evaluate(hashes.read.clone(), keys.to_vec(), arguments);
            let answer = answer.await;
            link.metrics.bridge_reads.inc();
            let older = Page::from(answer.map_err(|error| no_history(&error))?);
            let found = older.bytes();
            bytes += found;
            page.tail = page.tail.or(older.tail);
            page.entries.extend(older.entries);
            // One that is not full is the last.
            if found < PAGE_BYTES || page.entries.len() >= limit || bytes >= BYTES_MAX {
                break;
            }
        }
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

/// Why Redis has told nothing.
pub(super) fn no_history(error: &CommandError) -> NoHistory {
    let text = error.to_string();
    match (error.was_answered(), error.is_about_key()) {
        (true, true) => NoHistory::Foreign(text),
        (true, false) => NoHistory::Refused(text),
        (false, _) => NoHistory::Unanswered(text),
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
