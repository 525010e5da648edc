//! The tables of a journal: what an operator sees who opens it with `sqlite3`.

use super::fault::JournalFault;
use rusqlite::{Connection, OpenFlags, Row};
use std::path::Path;

/// Says whose database it is: "SGWA".
const APPLICATION: i32 = 0x5347_5741;

/// The format of the tables below.
const FORMAT: i32 = 1;

/// `epoch`, `offset` and `at` (microseconds since the Unix epoch) are a room's; `position` is the node's. The index
/// has the position as every index has.
const TABLES: &str = "
    CREATE TABLE journal (
        id INTEGER NOT NULL,
        trimmed INTEGER NOT NULL,
        torn INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE event (
        position INTEGER PRIMARY KEY,
        room TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        offset INTEGER NOT NULL,
        at INTEGER NOT NULL,
        sender TEXT NOT NULL,
        message TEXT NOT NULL,
        json TEXT,
        origin TEXT NOT NULL,
        id TEXT,
        author TEXT,
        meta TEXT
    ) STRICT;
    CREATE INDEX event_of_room ON event (room);
";

/// Kibibytes of pages that the writer keeps, and that a reader does.
pub(super) const WRITING_KIB: usize = 8 * 1024;
pub(super) const READING_KIB: usize = 256;

/// The longest that one waits for another: an operator's own statement.
const PATIENCE_MS: u32 = 1_000;

/// Bytes that the write-ahead log keeps once it has been copied; it grows to about half of that before.
const LOG_BYTES: i64 = 8 * 1024 * 1024;

/// Opens the file and makes the tables in a new one, which is called `id`.
pub(super) fn open(path: &Path, id: u64) -> Result<Connection, JournalFault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let connection = connect(path, flags, WRITING_KIB)?;
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    match (number("application_id")?, number("user_version")?) {
        (APPLICATION, FORMAT) => {}
        (APPLICATION, later) => return Err(JournalFault::Later(later)),
        _ if has_tables(&connection)? => return Err(JournalFault::Strange),
        _ => {
            let begin = format!(
                "BEGIN IMMEDIATE; {TABLES}
                 INSERT INTO journal VALUES ({}, 0, 0);
                 PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORMAT}; COMMIT;",
                id.cast_signed()
            );
            connection.execute_batch(&begin)?;
        }
    }
    // In write-ahead mode a commit is one append, readers never wait, and a torn tail is cut on opening.
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(rusqlite::Error::InvalidQuery.into());
    }
    // Every commit is on the disk when it returns.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
    Ok(connection)
}

/// Opens a journal that is there, for reading alone.
pub(super) fn open_for_reading(path: &Path) -> Result<Connection, JournalFault> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY, READING_KIB)
}

/// Other threads do not use the connection at the same time, so it needs no locks of its own.
fn connect(path: &Path, flags: OpenFlags, cache_kib: usize) -> Result<Connection, JournalFault> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.pragma_update(None, "busy_timeout", PATIENCE_MS)?;
    connection.pragma_update(None, "cache_size", -(cache_kib.cast_signed()))?;
    Ok(connection)
}

/// What the journal says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct JournalRow {
    /// What no other journal is called.
    pub(super) id: u64,
    /// The position up to which events have been removed.
    pub(super) trimmed: u64,
    /// The position up to which events may be lost: no room's numbering goes on behind it.
    pub(super) torn: u64,
}

pub(super) fn read_journal(connection: &Connection) -> Result<JournalRow, JournalFault> {
    let read = |row: &Row<'_>| {
        let number = |index| row.get::<_, i64>(index).map(i64::cast_unsigned);
        Ok(JournalRow {
            id: number(0)?,
            trimmed: number(1)?,
            torn: number(2)?,
        })
    };
    Ok(connection.query_row("SELECT id, trimmed, torn FROM journal", [], read)?)
}

/// Has the journal be called `id`, and the numberings of rooms end at `torn`.
pub(super) fn rename(connection: &Connection, id: u64, torn: u64) -> Result<(), JournalFault> {
    let sql = "UPDATE journal SET id = ?1, torn = ?2";
    connection.execute(sql, (id.cast_signed(), torn.cast_signed()))?;
    Ok(())
}

fn has_tables(connection: &Connection) -> Result<bool, JournalFault> {
    let sql = "SELECT count(*) FROM sqlite_schema";
    Ok(connection.query_row(sql, [], |row| row.get::<_, i64>(0))? > 0)
}
