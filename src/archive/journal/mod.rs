//! The journal: an SQLite database of one node, in write-ahead mode.
//!
//! Why SQLite (3, bundled by `rusqlite` 0.43, MIT; SQLite itself is in the public domain): it is the store that an
//! operator can open, copy and repair with a tool of the system; of the stores that were measured it is the one that
//! lost nothing when its newest file was torn, opens in a millisecond however large it is, and its bound in bytes is
//! exact. SQLite costs 8 µs of CPU a record at 20,000 records/s, redb 4.6 costs 12, fjall 3.1 costs 7 and opens in up to
//! half a second; segment files of our own would cost 2, and be a format that nobody else reads.
//!
//! Positions count the events from 1, so what is missing is known exactly. What [`Journal::append`] has returned `Ok` for is
//! on the disk; what it has not is there as a whole or not at all. How far it has come is noted beside the journal too:
//! of one that comes back shorter (a torn log, a disk that lied) no position and no room's offset is given a second time.
//! The positions that are lost stay empty, and every room begins a new numbering. Of one that comes without that note,
//! a copy that was brought here, nobody knows how far it had come: it gets a new id, and no cursor of before is taken.
//!
//! Blocking: for a thread of its own.

#![expect(
    clippy::result_large_err,
    reason = "rusqlite's own error, which stays in here"
)]

mod fault;
mod files;
mod page;
mod schema;

pub use fault::JournalFault;
pub use page::{ArchivedEvent, JournalPage, JournalReader, RoomPage};

use super::cursor::Cursor;
use super::tails::{Numbering, Tail, Tails};
use crate::name::RoomName;
use crate::protocol::{Event, EventOrigin};
use files::JournalFiles;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use schema::JournalRow;
use std::path::{Path, PathBuf};

#[cfg(test)]
mod tests;

/// Bytes of a connection: its pages, statements, and the index of the write-ahead log.
pub(super) const WRITING_BYTES: usize = (schema::WRITING_KIB + 1024) * 1024;
pub(super) const READING_BYTES: usize = (schema::READING_KIB + 256) * 1024;

/// Most events that are removed at once: a pause of some milliseconds.
const TRIMMED_MAX: u64 = 4000;

/// What is kept free of a journal, so that the largest write fits: its rows, and the pages of the index that they meet. A
/// sixteenth of a large journal is more, and a quarter of a tiny one less.
const SPARE_BYTES: u64 = 2 * 1024 * 1024;

const INSERT: &str = "
    INSERT INTO event (position, room, epoch, offset, at, sender, message, json, origin, id, author, meta)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";

/// A room's last event.
const FIND: &str = "
    SELECT epoch, offset, at, position FROM event WHERE room = ?1 ORDER BY position DESC LIMIT 1";

/// What was trimmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// Events removed since they were too old.
    pub expired: u64,
    /// Events removed to make room.
    pub displaced: u64,
}

/// An open journal, and the one who writes it.
#[derive(Debug)]
pub struct Journal {
    connection: Connection,
    files: JournalFiles,
    id: u64,
    /// The newest event's position; 0 if there never was one.
    last: u64,
    /// The position up to which events have been removed.
    trimmed: u64,
    /// The position up to which numberings of rooms have ended, since their last events may be lost.
    torn: u64,
    /// Events that are lost and that the file does not know of yet.
    lost: u64,
    tails: Tails,
    page_bytes: u64,
    bytes_max: u64,
}

impl Journal {
    /// Opens the journal in the file `path`, or makes one, of at most `bytes_max` bytes. A new one is called `id`, and so is one
    /// from here on beside which nothing is noted of it: a copy.
    ///
    /// # Errors
    /// [`JournalFault`]; one that is [damaged](JournalFault::Damaged) is left as it is: see [`Journal::renew`].
    pub fn open(path: &Path, id: u64, bytes_max: usize) -> Result<Self, JournalFault> {
        Self::open_files(JournalFiles::lock(path)?, id, bytes_max as u64)
    }

    fn open_files(mut files: JournalFiles, id: u64, bytes_max: u64) -> Result<Self, JournalFault> {
        let connection = schema::open(files.path(), id)?;
        let page_bytes: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let page_bytes = page_bytes.cast_unsigned().max(1);
        connection.pragma_update(
            None,
            "max_page_count",
            (bytes_max / page_bytes).cast_signed(),
        )?;
        let row = schema::read_journal(&connection)?;
        let JournalRow { trimmed, torn, .. } = row;
        let found = newest(&connection)?.unwrap_or(trimmed).max(torn);
        let noted = files.noted(row.id);
        // A new journal has nothing yet that could be given a second time.
        let (id, torn) = match noted {
            None if found > 0 => (id, found),
            _ => (row.id, torn),
        };
        if noted.is_none() {
            schema::rename(&connection, id, torn)?;
            files.note_first(Cursor {
                journal: id,
                position: found,
            })?;
        }
        let last = found.max(noted.unwrap_or_default());
        let lost = last - found;
        files.opened();
        Ok(Self {
            connection,
            files,
            id,
            last,
            trimmed,
            torn: if lost > 0 { last } else { torn },
            lost,
            tails: Tails::default(),
            page_bytes,
            bytes_max,
        })
    }

    /// Finds out what was written, after a fault.
    ///
    /// # Errors
    /// [`JournalFault`]: it is better opened anew.
    pub fn look_again(&mut self) -> Result<(), JournalFault> {
        let row = schema::read_journal(&self.connection)?;
        self.trimmed = row.trimmed;
        if row.torn == self.torn {
            self.lost = 0;
        }
        self.last = newest(&self.connection)?
            .unwrap_or(self.trimmed)
            .max(self.torn);
        Ok(())
    }

    /// Puts a damaged journal aside, as `path` with `.damaged` and a number behind, and begins a new one, which is
    /// called `id`. Where the damaged one is now.
    ///
    /// # Errors
    /// As [`Journal::open`], and if it cannot be renamed.
    pub fn renew(path: &Path, id: u64, bytes_max: usize) -> Result<(Self, PathBuf), JournalFault> {
        let files = JournalFiles::lock(path)?;
        let aside = files.put_aside()?;
        Ok((Self::open_files(files, id, bytes_max as u64)?, aside))
    }

    /// Are the files that are written still those that lie there?
    ///
    /// # Errors
    /// [`JournalFault::Replaced`].
    pub fn check_files(&self) -> Result<(), JournalFault> {
        self.files.check()
    }

    /// Closes a journal whose files were removed or replaced. What only its log has goes into its file, wherever that is now.
    ///
    /// # Errors
    /// [`JournalFault`]: what only the log had may be lost.
    pub fn leave(self) -> Result<(), JournalFault> {
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        let moved = self.connection.query_row(sql, [], |_row| Ok(()));
        self.files.remove_log().map_err(JournalFault::Unopened)?;
        Ok(moved?)
    }

    /// What no other journal is called.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// How many events were shown and are not there any more, before the next write.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// The file, as it was named.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.files.named()
    }

    /// The newest event's position; 0 if there never was one.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// The position up to which events have been removed.
    #[must_use]
    pub const fn trimmed(&self) -> u64 {
        self.trimmed
    }

    /// Writes these events, in this order, and syncs them.
    ///
    /// # Errors
    /// [`JournalFault`]: nothing was written, or all of it ([`JournalFault::Failed`]); only [`Journal::look_again`] tells. Or all of
    /// it, into files that nobody finds ([`JournalFault::Replaced`]).
    pub fn append<'e>(
        &mut self,
        events: impl IntoIterator<Item = (&'e RoomName, &'e Event<'static>)>,
    ) -> Result<(), JournalFault> {
        let written = self.write(events);
        // Whatever came of it: in files that nobody finds nothing is kept.
        let written = self.files.check().and(written);
        match written {
            Ok(last) => {
                (self.last, self.lost) = (last, 0);
                self.files.note(Cursor {
                    journal: self.id,
                    position: last,
                });
            }
            Err(_) => self.tails.clear(),
        }
        written.map(|_last| ())
    }

    /// When the oldest event that is left was accepted, in microseconds since the Unix epoch.
    ///
    /// # Errors
    /// [`JournalFault`].
    pub fn oldest(&self) -> Result<Option<u64>, JournalFault> {
        let sql = "SELECT at FROM event ORDER BY position LIMIT 1";
        let oldest = self
            .connection
            .query_row(sql, [], |row| row.get::<_, i64>(0));
        Ok(oldest.optional()?.map(i64::cast_unsigned))
    }

    /// Removes some of the events that were accepted before `cutoff` (in microseconds since the Unix epoch), and, with
    /// `makes_room`, of the oldest if the file is nearly full. Never many at once: call it again while it removes some.
    ///
    /// # Errors
    /// [`JournalFault`]: nothing was removed.
    pub fn trim(&mut self, cutoff: u64, makes_room: bool) -> Result<Trimmed, JournalFault> {
        let expired = self.expired_through(cutoff)?;
        let through = if makes_room && self.is_nearly_full()? {
            let share = ((self.last - self.trimmed) / 64).clamp(1, TRIMMED_MAX);
            expired.max((self.trimmed + share).min(self.last))
        } else {
            expired
        };
        let before = self.trimmed;
        self.remove_through(through)?;
        Ok(Trimmed {
            expired: expired - before,
            displaced: through - expired,
        })
    }

    /// Removes all events up to `through`, at most so many as [`Journal::trim`].
    ///
    /// # Errors
    /// [`JournalFault`]: nothing was removed.
    pub fn remove_through(&mut self, through: u64) -> Result<(), JournalFault> {
        let most = self.last.min(self.trimmed + TRIMMED_MAX);
        let through = through.min(most);
        if through <= self.trimmed {
            return Ok(());
        }
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let position = through.cast_signed();
        transaction.execute("DELETE FROM event WHERE position <= ?1", [position])?;
        transaction.execute("UPDATE journal SET trimmed = ?1", [position])?;
        transaction.commit()?;
        self.trimmed = through;
        Ok(())
    }

    /// The last of the oldest events that are older than `cutoff`.
    fn expired_through(&self, cutoff: u64) -> Result<u64, JournalFault> {
        let sql = "SELECT max(position) FROM
            (SELECT position, at FROM event ORDER BY position LIMIT ?1) WHERE at < ?2";
        let oldest = |count: u64| {
            let arguments = (count.cast_signed(), cutoff.cast_signed());
            let found = self
                .connection
                .query_row(sql, arguments, |row| row.get::<_, Option<i64>>(0));
            found.map(|found| found.map_or(self.trimmed, i64::cast_unsigned))
        };
        // Mostly not even the oldest is.
        if oldest(1)? == self.trimmed {
            return Ok(self.trimmed);
        }
        Ok(oldest(TRIMMED_MAX)?)
    }

    /// Is so little free of what there may be that a large write may not fit?
    ///
    /// # Errors
    /// [`JournalFault`].
    pub fn is_nearly_full(&self) -> Result<bool, JournalFault> {
        let pages = |pragma| {
            let count = self
                .connection
                .pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
            count.map(i64::cast_unsigned)
        };
        let used = pages("page_count")? - pages("freelist_count")?;
        let spare = (self.bytes_max / 16).max(SPARE_BYTES);
        let spare = spare.min(self.bytes_max / 4);
        Ok(used.saturating_mul(self.page_bytes) > self.bytes_max - spare)
    }

    /// Writes events in one transaction; the last one's position.
    fn write<'e>(
        &mut self,
        events: impl IntoIterator<Item = (&'e RoomName, &'e Event<'static>)>,
    ) -> Result<u64, JournalFault> {
        let (mut last, torn) = (self.last, self.torn);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        if self.lost > 0 {
            transaction.execute("UPDATE journal SET torn = ?1", [torn.cast_signed()])?;
        }
        {
            let mut insert = transaction.prepare(INSERT)?;
            let mut find = transaction.prepare(FIND)?;
            for (room, event) in events {
                // Where a worker shares this thread's core, its clients wait for one event and not for a thousand.
                std::thread::yield_now();
                last += 1;
                let at = event.moment.total_micros();
                let tail = self.tails.number(room, last, at, |room| {
                    let found = find.query_row([room.as_str()], |row| {
                        let number = |index| row.get::<_, i64>(index).map(i64::cast_unsigned);
                        let tail = Tail {
                            epoch: number(0)?,
                            offset: number(1)?,
                            at: number(2)?,
                        };
                        Ok(if number(3)? > torn {
                            Numbering::GoesOn(tail)
                        } else {
                            Numbering::Ended { at: tail.at }
                        })
                    });
                    found.optional()
                })?;
                let details = event.details.as_deref();
                let origin = details.map_or(EventOrigin::default(), |details| details.origin);
                insert.execute((
                    last.cast_signed(),
                    room.as_str(),
                    tail.epoch.cast_signed(),
                    tail.offset.cast_signed(),
                    tail.at.cast_signed(),
                    event.sender.as_str(),
                    &*event.text,
                    event.json.as_deref(),
                    origin.as_str(),
                    details.and_then(|details| details.id.as_deref()),
                    event.author.as_deref(),
                    details.and_then(|details| details.meta.as_deref()),
                ))?;
            }
        }
        transaction.commit()?;
        Ok(last)
    }
}

/// The newest event's position.
fn newest(connection: &Connection) -> Result<Option<u64>, JournalFault> {
    let sql = "SELECT max(position) FROM event";
    let newest = connection.query_row(sql, [], |row| row.get::<_, Option<i64>>(0))?;
    Ok(newest.map(i64::cast_unsigned))
}
