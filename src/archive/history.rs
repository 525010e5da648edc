//! `history.mode = "journal"`: the newest messages of a room, as the journal has them, over the node's restarts.
//!
//! What has been synced is found, in the room's order and numbering. Nothing of it is in the data plane's way: the disk
//! is read on a thread for what blocks, at most so many at once.

use super::journal::{ArchivedEvent, JournalReader, RoomPage};
use crate::broker::history::{Kept, KeptMessage, NoHistory};
use crate::clock::Clock;
use crate::config::{Config, HistoryMode, HistorySettings};
use crate::name::RoomName;
use crate::protocol::{Event, EventWriter, Moment, Sender, Stamp};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Most histories that are read at once.
pub(super) const READS: usize = 4;

/// Most bytes of messages in one answer, and one message more.
pub(super) const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Rooms' newest messages in the journal.
#[derive(Clone, Debug)]
pub struct JournalHistory {
    path: PathBuf,
    keeps: HistorySettings,
    writer: EventWriter,
    clock: Clock,
    reads: Arc<Semaphore>,
}

impl JournalHistory {
    /// The history of these settings: `None` if it is not read from the journal.
    #[must_use]
    pub fn new(config: &Config, clock: Clock) -> Option<Self> {
        let is_here = config.history.mode == HistoryMode::Journal;
        let path = config.archive.path.as_ref().filter(|_| is_here)?;
        Some(Self {
            path: path.clone(),
            keeps: config.history.clone(),
            writer: EventWriter::new(config.chat.dialect),
            clock,
            reads: Arc::new(Semaphore::new(READS)),
        })
    }

    /// The newest `limit` messages of a room, at most `history.capacity` and `history.bytes_max` of them, none older than
    /// `history.expiry`, of the numbering that is in use.
    ///
    /// # Errors
    /// [`NoHistory::Busy`] or [`NoHistory::Unreadable`].
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn newest(&self, room: &RoomName, limit: usize) -> Result<Kept, NoHistory> {
        let permit = Arc::clone(&self.reads).try_acquire_owned();
        let permit = permit.map_err(|_full| NoHistory::Busy)?;
        let (path, name) = (self.path.clone(), room.as_str().to_owned());
        let limit = limit.min(self.keeps.capacity);
        let bytes_max = self.keeps.bytes_max.min(BYTES_MAX);
        let now = Moment::from(self.clock.wall()).total_micros();
        let expiry = u64::try_from(self.keeps.expiry.as_micros()).unwrap_or(u64::MAX);
        let oldest = now.saturating_sub(expiry);
        let page = tokio::task::spawn_blocking(move || {
            // Held for as long as the disk is read, whoever has gone meanwhile.
            let _permit = permit;
            JournalReader::open(&path)?.newest(&name, limit, bytes_max, oldest)
        });
        match page.await {
            Ok(Ok(page)) => Ok(self.kept(page)),
            Ok(Err(fault)) => Err(NoHistory::Unreadable(fault.to_string())),
            Err(ended) => Err(NoHistory::Unreadable(ended.to_string())),
        }
    }

    fn kept(&self, page: RoomPage) -> Kept {
        let mut stamp = Stamp::new(0, 0);
        let messages = page.events.into_iter().rev();
        Kept {
            epoch: page.epoch,
            offset: page.offset,
            messages: messages
                .map(|event| KeptMessage {
                    offset: event.offset,
                    millis: event.at / 1000,
                    event: self.render(event, &mut stamp),
                })
                .collect(),
        }
    }

    /// An event as the members got it, and what stands beside it for the site alone.
    fn render(&self, kept: ArchivedEvent, stamp: &mut Stamp) -> String {
        let sender = [Sender::User, Sender::Assistant, Sender::System];
        let sender = sender.into_iter().find(|one| one.as_str() == kept.sender);
        let moment = Moment::from_micros(kept.at);
        let mut event = Event::new(sender.unwrap_or(Sender::System), &kept.message, moment);
        event.json = kept.json.as_deref().map(Into::into);
        let mut out = Vec::new();
        self.writer.event(&mut out, &event, stamp);
        if let Some(meta) = &kept.meta {
            self.writer.meta(&mut out, meta);
        }
        String::from_utf8_lossy(&out).into_owned()
    }
}
