//! How the archive is, for those who ask.

use parking_lot::Mutex;
use tokio::sync::watch;

/// What the journal holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalSpan {
    /// What no other journal is called.
    pub journal: u64,
    /// The position up to which events have been removed.
    pub trimmed: u64,
    /// The newest event's position.
    pub last: u64,
}

impl JournalSpan {
    /// How many events there are.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.last - self.trimmed
    }
}

/// What the writer says of itself.
#[derive(Debug)]
pub(super) struct ArchiveState {
    span: watch::Sender<JournalSpan>,
    failure: Mutex<Option<String>>,
}

impl ArchiveState {
    pub(super) fn new(span: JournalSpan) -> Self {
        Self {
            span: watch::Sender::new(span),
            failure: Mutex::default(),
        }
    }

    /// Says what the journal holds now; wakes those who wait for more.
    pub(super) fn set_span(&self, journal: u64, trimmed: u64, last: u64) {
        let span = JournalSpan {
            journal,
            trimmed,
            last,
        };
        self.span
            .send_if_modified(|old| std::mem::replace(old, span) != span);
    }

    /// What the journal holds, and its changes.
    pub(super) fn span(&self) -> watch::Receiver<JournalSpan> {
        self.span.subscribe()
    }

    /// A write failed, for this reason.
    pub(super) fn failed(&self, reason: String) {
        *self.failure.lock() = Some(reason);
    }

    /// Writes succeed again.
    pub(super) fn recovered(&self) {
        *self.failure.lock() = None;
    }

    /// Why nothing is written, if that is so.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }
}
