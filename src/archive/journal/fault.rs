//! What is wrong with a journal, by what is to be done about it.

use rusqlite::ErrorCode;
use std::io;

/// Why a journal cannot be used. None shows what was said.
#[derive(Debug, thiserror::Error)]
pub enum JournalFault {
    /// There is no room: on the disk, or within `archive.bytes_max`.
    #[error("the journal or its disk is full")]
    Full,
    /// What was read is no journal any more: torn, or written over.
    #[error("the journal is damaged")]
    Damaged,
    /// The files that are written are not those that lie there any more.
    #[error("the journal's files were removed or replaced under the node")]
    Replaced,
    /// A database of another program.
    #[error("is a database of another program")]
    Strange,
    /// A later version of this server wrote it.
    #[error("was written by a later version of this server (format {0})")]
    Later(i32),
    /// Another process writes it.
    #[error("is in use by another process")]
    InUse,
    /// The file cannot be opened.
    #[error("cannot be opened: {0}")]
    Unopened(#[source] io::Error),
    /// The disk, or whatever else the store says.
    #[error("the store failed: {0}")]
    Failed(Box<rusqlite::Error>),
}

impl JournalFault {
    /// The value of a metric's label.
    #[must_use]
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Damaged => "damaged",
            Self::Replaced => "replaced",
            _ => "failed",
        }
    }
}

impl From<rusqlite::Error> for JournalFault {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged,
            _ => Self::Failed(Box::new(error)),
        }
    }
}
