//! Reading a journal, while another writes it.

use super::fault::JournalFault;
use super::schema;
use rusqlite::{Connection, Row};
use std::path::Path;

/// An event as it was written.
#[derive(Clone, PartialEq, Eq)]
pub struct ArchivedEvent {
    /// Counts the events of the journal.
    pub position: u64,
    /// The room's name.
    pub room: String,
    /// Which numbering of the room's events.
    pub epoch: u64,
    /// Counts them, from 1.
    pub offset: u64,
    /// Microseconds since the Unix epoch; rises within a room.
    pub at: u64,
    /// `user`, `assistant` or `system`.
    pub sender: String,
    /// What was said.
    pub message: String,
    /// The JSON that says it, if that is no string (dialect `django`).
    pub json: Option<String>,
    /// `gateway`, `api` or `django`.
    pub origin: String,
    /// What its publisher calls it.
    pub id: Option<String>,
    /// The user who said it, if that is known.
    pub author: Option<String>,
    /// JSON that its publisher added.
    pub meta: Option<String>,
}

impl std::fmt::Debug for ArchivedEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What people say does not belong in logs, nor where they say it.
        f.debug_struct("ArchivedEvent")
            .field("position", &self.position)
            .field("epoch", &self.epoch)
            .field("offset", &self.offset)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

impl ArchivedEvent {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let number = |index| row.get::<_, i64>(index).map(i64::cast_unsigned);
        Ok(Self {
            position: number(0)?,
            room: row.get(1)?,
            epoch: number(2)?,
            offset: number(3)?,
            at: number(4)?,
            sender: row.get(5)?,
            message: row.get(6)?,
            json: row.get(7)?,
            origin: row.get(8)?,
            id: row.get(9)?,
            author: row.get(10)?,
            meta: row.get(11)?,
        })
    }

    /// Bytes of what was said.
    fn bytes(&self) -> usize {
        let more = [&self.json, &self.id, &self.author, &self.meta];
        let more = more.into_iter().flatten().map(String::len).sum::<usize>();
        self.room.len() + self.message.len() + more
    }
}

/// Some events of a journal, one behind the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalPage {
    /// Which journal.
    pub journal: u64,
    /// The place behind which the events are: the asked position.
    pub behind: u64,
    /// How many events behind the asked position had been removed before they were read; there may be holes between
    /// those that are left too, where a journal has lost some.
    pub missed: u64,
    /// The events behind those.
    pub events: Vec<ArchivedEvent>,
    /// There was none behind these.
    pub is_last: bool,
}

/// A second connection to a journal. The writer never waits for it, and what it has read is on the disk.
#[derive(Debug)]
pub struct JournalReader(Connection);

impl JournalReader {
    /// Opens the journal in this file, which is there.
    ///
    /// # Errors
    /// [`JournalFault`].
    pub fn open(path: &Path) -> Result<Self, JournalFault> {
        schema::open_for_reading(path).map(Self)
    }

    /// The events behind the position `after` (0: all), oldest first: at most `limit`, and no further ones once they have
    /// `bytes_max` bytes.
    ///
    /// # Errors
    /// [`JournalFault`].
    pub fn page(
        &mut self,
        after: u64,
        limit: usize,
        bytes_max: usize,
    ) -> Result<JournalPage, JournalFault> {
        // What was removed and what is left are of one moment.
        let moment = self.0.transaction()?;
        let schema::JournalRow {
            id: journal,
            trimmed,
            ..
        } = schema::read_journal(&moment)?;
        let mut page = JournalPage {
            journal,
            behind: after,
            missed: trimmed.saturating_sub(after),
            events: Vec::new(),
            is_last: true,
        };
        let mut bytes = 0;
        let mut select = moment.prepare(
            "SELECT position, room, epoch, offset, at, sender, message, json, origin, id, author, meta
             FROM event WHERE position > ?1 ORDER BY position LIMIT ?2",
        )?;
        let rows = i64::try_from(limit).unwrap_or(i64::MAX);
        for event in select.query_map((after.cast_signed(), rows), ArchivedEvent::read)? {
            let event = event?;
            bytes += event.bytes();
            page.events.push(event);
            if bytes >= bytes_max {
                page.is_last = false;
                break;
            }
        }
        page.is_last &= page.events.len() < limit;
        Ok(page)
    }

    /// The newest events of a room, the newest first: at most `limit`, of one numbering, none that was accepted before
    /// `oldest` (in microseconds since the Unix epoch), and no further ones once they have `bytes_max` bytes.
    ///
    /// # Errors
    /// [`JournalFault`].
    pub fn newest(
        &mut self,
        room: &str,
        limit: usize,
        bytes_max: usize,
        oldest: u64,
    ) -> Result<RoomPage, JournalFault> {
        let mut page = RoomPage::default();
        let mut bytes = 0;
        let mut select = self.0.prepare(
            "SELECT position, room, epoch, offset, at, sender, message, json, origin, id, author, meta
             FROM event WHERE room = ?1 ORDER BY position DESC LIMIT ?2",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        for event in select.query_map((room, limit.max(1)), ArchivedEvent::read)? {
            let event = event?;
            if page.offset == 0 {
                (page.epoch, page.offset) = (event.epoch, event.offset);
            }
            let is_first = page.events.is_empty();
            bytes += event.bytes();
            if event.epoch != page.epoch || event.at < oldest || (bytes > bytes_max && !is_first) {
                break;
            }
            page.events.push(event);
        }
        Ok(page)
    }
}

/// The newest events of a room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomPage {
    /// Which numbering; 0 without an event.
    pub epoch: u64,
    /// The newest event's offset; 0 without one.
    pub offset: u64,
    /// The newest events, the newest first.
    pub events: Vec<ArchivedEvent>,
}
