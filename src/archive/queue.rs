//! What has been said and is not written yet: bounded in bytes (`archive.queue_bytes`). Workers push, and go on.

use crate::broker::mailbox::Mailbox;
use crate::broker::room::Room;
use crate::config::{ArchiveFull, ArchiveSettings};
use crate::metrics::{Counter, Metrics};
use crate::protocol::Event;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;

/// What an event in the queue costs beside its texts: itself, its place, and the room if its members have left.
const ENTRY_BYTES: usize = 512;

/// An event on its way to the journal.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) room: Arc<Room>,
    pub(super) event: Arc<Event<'static>>,
}

impl Entry {
    /// What it keeps alive.
    pub(super) fn bytes(&self) -> usize {
        self.event.bytes() + ENTRY_BYTES
    }
}

/// Events on their way to the journal, and how it is about that.
#[derive(Debug)]
pub(super) struct ArchiveQueue {
    mailbox: Mailbox<Entry>,
    bytes_max: usize,
    is_refusing_when_full: bool,
    /// The last write failed.
    is_failing: AtomicBool,
    is_ending: AtomicBool,
    writer: OnceLock<Thread>,
    /// Held, since looking a series up is more than a drop may cost under a room's lock.
    dropped_full: Counter,
    dropped_closed: Counter,
}

impl ArchiveQueue {
    pub(super) fn new(settings: &ArchiveSettings, metrics: &Metrics) -> Self {
        let dropped = |cause| {
            let series = metrics.archive_dropped.get_or_create(&[("cause", cause)]);
            series.clone()
        };
        Self {
            mailbox: Mailbox::new(settings.queue_bytes / ENTRY_BYTES, settings.queue_bytes),
            bytes_max: settings.queue_bytes,
            is_refusing_when_full: settings.full == ArchiveFull::Refuse,
            is_failing: AtomicBool::new(false),
            is_ending: AtomicBool::new(false),
            writer: OnceLock::new(),
            dropped_full: dropped("queue"),
            dropped_closed: dropped("shutdown"),
        }
    }

    /// Takes an event if there is room, and counts it if not; true if it was taken. Never waits.
    pub(super) fn take(&self, room: &Arc<Room>, event: &Arc<Event<'static>>) -> bool {
        if self.mailbox.is_full() {
            self.dropped_full.inc();
            return false;
        }
        let entry = Entry {
            room: Arc::clone(room),
            event: Arc::clone(event),
        };
        let bytes = entry.bytes();
        match self.mailbox.offer(entry, bytes) {
            Some(true) => self.wake(),
            Some(false) => {}
            None => {
                self.dropped_closed.inc();
                return false;
            }
        }
        true
    }

    /// Are members' messages better refused? From three quarters of the queue on: the rest is for those that have
    /// been let through, and for what nobody refuses.
    pub(super) fn refuses(&self) -> bool {
        self.is_refusing_when_full
            && (self.is_failing.load(Ordering::Relaxed)
                || self.mailbox.bytes() >= self.bytes_max / 4 * 3)
    }

    /// Whom to wake.
    pub(super) fn set_writer(&self, writer: Thread) {
        drop(self.writer.set(writer));
    }

    fn wake(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }

    /// Says whether the last write failed.
    pub(super) fn set_failing(&self, is_failing: bool) {
        self.is_failing.store(is_failing, Ordering::Relaxed);
    }

    pub(super) fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Relaxed)
    }

    /// Nobody pushes any more: the writer writes what is left, and ends.
    pub(super) fn end(&self) {
        self.is_ending.store(true, Ordering::Release);
        self.wake();
    }

    pub(super) fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Acquire)
    }

    /// Is half of the room taken? Then it is time to write.
    pub(super) fn is_half_full(&self) -> bool {
        self.mailbox.bytes() >= self.bytes_max / 2
    }

    /// What waits, and its bytes.
    pub(super) fn load(&self) -> (usize, usize) {
        (self.mailbox.len(), self.mailbox.bytes())
    }

    /// Everything that waits, oldest first, for the one writer. What has been written is to be released.
    pub(super) fn swap(&self, into: &mut Vec<Entry>) {
        self.mailbox.swap(into);
    }

    /// These have been dealt with.
    pub(super) fn release(&self, entries: &[Entry]) {
        let bytes = entries.iter().map(Entry::bytes).sum();
        // Nobody waits for room here: a full queue drops.
        let _nobody = self.mailbox.release(entries.len(), bytes);
    }

    /// The writer is gone: what waits is not kept, nor what comes.
    pub(super) fn close(&self, in_hand: usize) {
        let waiting = self.mailbox.close().len();
        self.set_failing(true);
        self.dropped_closed.inc_by((waiting + in_hand) as u64);
    }
}
