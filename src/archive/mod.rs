//! The archive: every durable event of every room, kept in one order of this node until the site has it.
//!
//! ```text
//! worker, assistant, API, Django ─> broker ── keep ──> queue ──> writer: a thread ──> journal (a file)
//!                                                (bytes)                                    │
//!                                                         JournalReader: GET /api/archive <─┘
//! ```
//!
//! The broker gives every event to the [`ArchiveUplink`], under the room's lock: a push into a bounded queue, never a
//! wait. One thread writes what has come together, in one transaction, synced to the disk; only then can it be read.
//! What does not fit into the queue is counted, or, with `archive.full = "refuse"`, members' messages are refused before
//! they are published.
//!
//! Not for: what is passing (typing, presence), frames of consumers that have no events (relay, a program's own), and
//! what other nodes archive: each has its own journal.
//!
//! Off, none of this exists: the broker has no such uplink, and nobody makes events of what is said.

mod cursor;
mod cutoff;
mod history;
mod journal;
mod queue;
mod readers;
mod state;
mod tails;
mod uplink;
mod writer;

pub use cursor::{Cursor, CursorFault};
pub use history::JournalHistory;
pub use journal::{ArchivedEvent, JournalFault, JournalPage, JournalReader};
pub use readers::{NamedReaders, is_reader_name};
pub use state::JournalSpan;

use crate::broker::uplink::Uplink;
use crate::clock::{Clock, Millis};
use crate::config::{ArchiveMode, ArchiveSettings};
use crate::metrics::{Metrics, set};
use crate::protocol::Moment;
use parking_lot::Mutex;
use queue::ArchiveQueue;
use state::ArchiveState;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use tokio::sync::watch;
use uplink::ArchiveUplink;
use writer::{Told, Writer};

#[cfg(test)]
mod tests;

/// What the writer occupies beside the queue: the journal's pages, the rooms' last events, its stack.
pub(crate) const WRITER_BYTES: usize =
    journal::WRITING_BYTES + tails::TAILS_BYTES + 2 * 1024 * 1024;

/// What a reader occupies beside what it has read.
pub(crate) const READER_BYTES: usize = journal::READING_BYTES;

/// Histories that are read at once, and what each occupies: the events, and their text, which escapes make longer.
pub(crate) const HISTORIES: usize = history::READS;
pub(crate) const HISTORY_BYTES: usize = journal::READING_BYTES + 8 * history::BYTES_MAX;

/// What the name of a reader occupies.
pub(crate) const READER_NAME_BYTES: usize = readers::READER_NAME_BYTES;

/// Why there is no archive.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal cannot be used.
    #[error("archive.path {path:?} {fault}")]
    Journal {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        fault: JournalFault,
    },
    /// The system gives no thread.
    #[error("cannot start the archive's writer")]
    Thread(#[source] io::Error),
}

/// The archive of a node.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    queue: Arc<ArchiveQueue>,
    state: Arc<ArchiveState>,
    readers: Arc<NamedReaders>,
    metrics: Arc<Metrics>,
    clock: Clock,
    /// Says when the writer is gone.
    written: Mutex<Receiver<()>>,
}

impl Archive {
    /// The archive of these settings: `None` if there is to be none. Blocks for as long as it takes to open the journal.
    ///
    /// # Errors
    /// When the journal cannot be opened; a damaged one is put aside, which is logged and counted.
    pub fn new(
        settings: &ArchiveSettings,
        metrics: &Arc<Metrics>,
        clock: Clock,
    ) -> Result<Option<Self>, Error> {
        let path = match (settings.mode, &settings.path) {
            (ArchiveMode::Journal, Some(path)) => path.clone(),
            // Of streams the bridge takes care.
            (ArchiveMode::Off | ArchiveMode::Streams, _) | (ArchiveMode::Journal, None) => {
                return Ok(None);
            }
        };
        let journal = writer::open(&path, settings, metrics);
        let journal = journal.map_err(|fault| Error::Journal {
            path: path.clone(),
            fault,
        })?;
        let span = JournalSpan {
            journal: journal.id(),
            trimmed: journal.trimmed(),
            last: journal.last(),
        };
        let queue = Arc::new(ArchiveQueue::new(settings, metrics));
        let state = Arc::new(ArchiveState::new(span));
        let readers = Arc::new(NamedReaders::new(settings.reader_names, metrics));
        let (at_end, written) = mpsc::channel();
        let told = Told {
            queue: Arc::clone(&queue),
            state: Arc::clone(&state),
            readers: Arc::clone(&readers),
        };
        let writer = Writer::new(journal, told, settings, metrics, clock);
        let thread = thread::Builder::new()
            .name("archive".to_owned())
            .spawn(move || {
                writer.run();
                drop(at_end);
            });
        let thread = thread.map_err(Error::Thread)?;
        queue.set_writer(thread.thread().clone());
        Ok(Some(Self {
            path,
            queue,
            state,
            readers,
            metrics: Arc::clone(metrics),
            clock,
            written: Mutex::new(written),
        }))
    }

    /// The broker's way into it.
    #[must_use]
    pub fn uplink(&self) -> Box<dyn Uplink> {
        Box::new(ArchiveUplink(Arc::clone(&self.queue)))
    }

    /// The journal's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the journal holds, and its changes.
    #[must_use]
    pub fn span(&self) -> watch::Receiver<JournalSpan> {
        self.state.span()
    }

    /// Why nothing is kept, if that is so.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.state.failure()
    }

    /// A reader of this name asks for what is behind a place: a journal and a position there.
    pub fn asked(&self, reader: &str, (journal, position): (u64, u64)) {
        self.readers
            .asked(reader, journal, position, self.clock.now());
    }

    /// What this reader is given first was accepted at `at`, in microseconds since the Unix epoch.
    pub fn found(&self, reader: &str, at: u64) {
        self.readers.found(reader, at);
    }

    /// Sets the gauges.
    pub fn measure(&self) {
        let (events, bytes) = self.queue.load();
        set(&self.metrics.archive_queue, events);
        set(&self.metrics.archive_queue_bytes, bytes);
        let span = *self.state.span().borrow();
        let kept = usize::try_from(span.events()).unwrap_or(usize::MAX);
        set(&self.metrics.archive_events, kept);
        let now = Moment::from(self.clock.wall()).total_micros();
        self.readers.measure(span, now);
    }

    /// Has everything written that is waiting, and no more; returns once it is, or at the `deadline`. Blocks. What is
    /// not written by then is counted as dropped at `shutdown`, unless the process ends before.
    pub fn close(&self, clock: Clock, deadline: Millis) {
        self.queue.end();
        // Nothing is ever sent: the other end is dropped with the writer.
        let written = self.written.lock();
        if written.recv_timeout(deadline.since(clock.now())) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the archive was not written to the end in time");
        }
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        self.queue.end();
    }
}
