//! The one thread that writes the journal.
//!
//! The writer takes all that waits, writes it in portions, each of them synced when its call returns, and trims what is
//! too old or too much. What cannot be written stays in hand and is tried again until it can be: meanwhile the queue fills, and what
//! does not fit there is counted. So a disk that is full for a while costs nothing but memory.

use super::cutoff::Cutoff;
use super::journal::{Journal, JournalFault, Trimmed};
use super::queue::{ArchiveQueue, Entry};
use super::readers::NamedReaders;
use super::state::ArchiveState;
use crate::clock::{Clock, Millis};
use crate::config::{ArchiveFull, ArchiveSettings, ArchiveSync};
use crate::metrics::{Metrics, count, count_all};
use crate::protocol::Moment;
use crate::redis::Randomness;
use crate::redis::log_limiter::LogLimiter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Most events of one transaction, and most bytes: the write-ahead log grows by them at once.
const PORTION: usize = 1024;
const PORTION_BYTES: usize = 1024 * 1024;

/// After a failure a write is tried again so often.
const RETRY_EVERY: Duration = Duration::from_millis(250);

/// While it gathers the writer looks so often whether there is enough.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What is too old or too much is looked for so often; without events, more seldom.
const TRIM_EVERY: Duration = Duration::from_millis(100);
const IDLE_TRIM_EVERY: Duration = Duration::from_secs(1);

/// That nothing can be written, and that it can be again, is in the log so often.
const NOTICE_EVERY: Duration = Duration::from_secs(10);

/// Whom the writer takes from, and whom it tells.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) queue: Arc<ArchiveQueue>,
    pub(super) state: Arc<ArchiveState>,
    pub(super) readers: Arc<NamedReaders>,
}

/// Writes the journal.
#[derive(Debug)]
pub(super) struct Writer {
    /// `None` while it cannot be opened; then `path` says where it is.
    journal: Option<Journal>,
    path: PathBuf,
    /// Whose positions count.
    journal_id: u64,
    /// The position of the last event that is known to be written.
    last: u64,
    queue: Arc<ArchiveQueue>,
    state: Arc<ArchiveState>,
    readers: Arc<NamedReaders>,
    settings: ArchiveSettings,
    metrics: Arc<Metrics>,
    clock: Clock,
    in_hand: Vec<Entry>,
    /// When to look for what is too old or too much.
    trim_at: Millis,
    cutoff: Cutoff,
    notices: LogLimiter,
    /// The failure that is going on is in the log, so its end has to be.
    is_noticed: bool,
}

impl Writer {
    pub(super) fn new(
        journal: Journal,
        told: Told,
        settings: &ArchiveSettings,
        metrics: &Arc<Metrics>,
        clock: Clock,
    ) -> Self {
        Self {
            path: journal.path().to_owned(),
            journal_id: journal.id(),
            last: journal.last(),
            journal: Some(journal),
            queue: told.queue,
            state: told.state,
            readers: told.readers,
            settings: settings.clone(),
            metrics: Arc::clone(metrics),
            clock,
            in_hand: Vec::new(),
            trim_at: Millis::default(),
            cutoff: Cutoff::default(),
            notices: LogLimiter::every(NOTICE_EVERY),
            is_noticed: false,
        }
    }

    /// Writes until the queue's end.
    pub(super) fn run(mut self) {
        loop {
            let is_ending = self.queue.is_ending();
            self.queue.swap(&mut self.in_hand);
            if self.in_hand.is_empty() {
                if is_ending {
                    return;
                }
                self.watch_files();
                self.trim();
                thread::park_timeout(IDLE_TRIM_EVERY);
                self.gather();
                continue;
            }
            while !self.in_hand.is_empty() {
                self.keep_room();
                if let Err(fault) = self.write_portion() {
                    if matches!(fault, JournalFault::Full) && self.makes_room() {
                        // As it should be: the oldest make room.
                        continue;
                    }
                    self.note(&fault);
                    if self.queue.is_ending() && !matches!(fault, JournalFault::Replaced) {
                        // Nobody waits for a disk that may never come back.
                        return;
                    }
                    self.mend(fault);
                }
            }
            self.trim();
            // What came during the write is no more than a few: a transaction costs as much as a hundred events.
            self.gather();
        }
    }

    /// Lets events come together, if there are any.
    fn gather(&self) {
        if self.settings.sync == ArchiveSync::Always || self.queue.load().0 == 0 {
            return;
        }
        self.pause(self.settings.interval, || self.queue.is_half_full());
    }

    /// Waits, but not for long at the node's end, nor once it `is_enough`.
    fn pause(&self, pause: Duration, is_enough: impl Fn() -> bool) {
        let end = self.clock.now() + pause;
        while !self.queue.is_ending() && !is_enough() {
            let left = end.since(self.clock.now());
            if left.is_zero() {
                return;
            }
            thread::park_timeout(left.min(LOOK_EVERY));
        }
    }

    /// Writes the oldest of what is in hand.
    fn write_portion(&mut self) -> Result<(), JournalFault> {
        let journal = self.take_journal()?;
        let journal = self.journal.insert(journal);
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            bytes += entry.bytes();
            bytes <= PORTION_BYTES
        };
        let portion = self.in_hand.iter().take(PORTION).take_while(fits).count();
        let portion = self.in_hand.get(..portion.max(1)).unwrap_or_default();
        // After a failure it may be there all the same.
        if journal.last() != self.last + portion.len() as u64 {
            journal.append(
                portion
                    .iter()
                    .map(|entry| (entry.room.name(), &*entry.event)),
            )?;
        }
        let before = std::mem::replace(&mut self.last, journal.last());
        if let Some(first) = portion.first() {
            self.readers
                .written(before, first.event.moment.total_micros());
        }
        self.metrics.archive_written.inc_by(portion.len() as u64);
        self.queue.release(portion);
        let written = portion.len();
        self.in_hand.drain(..written);
        self.state
            .set_span(journal.id(), journal.trimmed(), journal.last());
        self.recover();
        Ok(())
    }

    /// The journal, opened anew if it is not open.
    fn take_journal(&mut self) -> Result<Journal, JournalFault> {
        if let Some(journal) = self.journal.take() {
            return Ok(journal);
        }
        let journal = open(&self.path, &self.settings, &self.metrics)?;
        if journal.id() != self.journal_id {
            (self.journal_id, self.last) = (journal.id(), journal.last());
        }
        Ok(journal)
    }

    /// Finds out whether the journal's files are still there. If not, what lies in their place is opened next time.
    fn watch_files(&mut self) {
        let journal = self.take_journal();
        let checked = journal.and_then(|journal| self.journal.insert(journal).check_files());
        match checked {
            Ok(()) => self.recover(),
            Err(fault) => {
                self.note(&fault);
                self.mend(fault);
            }
        }
    }

    /// Nothing is in the way of writing, or no more.
    fn recover(&mut self) {
        if self.queue.is_failing() {
            self.queue.set_failing(false);
            self.state.recovered();
            if std::mem::take(&mut self.is_noticed) {
                tracing::info!("the archive writes again");
            }
        }
    }

    /// Has the oldest make room for the next portion, before it is written.
    fn keep_room(&mut self) {
        let makes_room = self.settings.full == ArchiveFull::Drop;
        while let Some(journal) = self.journal.as_mut().filter(|_| makes_room) {
            match journal.trim(0, true) {
                Ok(trimmed) if trimmed.displaced > 0 => self.count_trimmed(trimmed),
                // There is room, or nothing to make it of; and whatever is wrong, the write meets it too.
                _ => return,
            }
        }
    }

    /// Removes what is too old, and what has to make room.
    fn trim(&mut self) {
        let now = self.clock.now();
        let Some(journal) = self.journal.as_mut().filter(|_| self.trim_at <= now) else {
            return;
        };
        self.trim_at = now + TRIM_EVERY;
        let wall = Moment::from(self.clock.wall()).total_micros();
        let expiry = u64::try_from(self.settings.expiry.as_micros()).unwrap_or(u64::MAX);
        let wanted = wall.saturating_sub(expiry);
        let makes_room = self.settings.full == ArchiveFull::Drop;
        let trimmed = journal.oldest().and_then(|oldest| {
            let cutoff = self.cutoff.advance(wanted, oldest, now);
            journal.trim(cutoff, makes_room)
        });
        match trimmed {
            Ok(trimmed) => self.count_trimmed(trimmed),
            // Whatever it is, the next write meets it too.
            Err(fault) => count(&self.metrics.archive_failures, "kind", fault.label()),
        }
        self.tell_span();
    }

    fn count_trimmed(&self, trimmed: Trimmed) {
        let metric = &self.metrics.archive_trimmed;
        count_all(metric, "cause", "expiry", trimmed.expired);
        count_all(metric, "cause", "bytes", trimmed.displaced);
    }

    /// Tells readers what there is.
    fn tell_span(&self) {
        if let Some(journal) = &self.journal {
            self.state
                .set_span(journal.id(), journal.trimmed(), journal.last());
        }
    }

    /// Says that a write failed: in the log for the first of several, and not for many of them.
    fn note(&mut self, fault: &JournalFault) {
        count(&self.metrics.archive_failures, "kind", fault.label());
        self.state.failed(fault.to_string());
        if !self.queue.is_failing() {
            self.queue.set_failing(true);
            if self.notices.is_due(self.clock.now()) {
                self.is_noticed = true;
                tracing::warn!(%fault, "the archive cannot write; it tries again");
            }
        }
    }

    /// Does what can be done about a write that failed.
    fn mend(&mut self, fault: JournalFault) {
        match fault {
            JournalFault::Damaged => {
                self.journal = None;
                match renew(&self.path, &self.settings, &self.metrics) {
                    Ok(journal) => {
                        (self.journal_id, self.last) = (journal.id(), journal.last());
                        self.journal = Some(journal);
                        return;
                    }
                    Err(fault) => self.state.failed(fault.to_string()),
                }
            }
            JournalFault::Replaced => {
                // What is in hand, the last portion too, goes into what lies there now.
                let left = self.journal.take().map_or(Ok(()), Journal::leave);
                if let Err(fault) = left {
                    self.note(&fault);
                }
                return;
            }
            // The journal stays open: where nothing can be written, nothing can be opened either.
            _ => {
                if self
                    .journal
                    .as_mut()
                    .is_some_and(|journal| journal.look_again().is_err())
                {
                    self.journal = None;
                }
            }
        }
        self.pause(RETRY_EVERY, || false);
    }

    /// Removes some of the oldest events of a full journal, if that is allowed and possible. Of a disk that is full of
    /// something else nothing would be gained.
    fn makes_room(&mut self) -> bool {
        let Some(journal) = &mut self.journal else {
            return false;
        };
        let oldest = journal.trimmed();
        let share = (journal.last() - oldest) / 16;
        let is_full = journal.is_nearly_full().unwrap_or_default();
        let is_allowed = is_full && self.settings.full == ArchiveFull::Drop && share > 0;
        let is_made = is_allowed && journal.remove_through(oldest + share).is_ok();
        if is_made {
            let displaced = journal.trimmed() - oldest;
            self.count_trimmed(Trimmed {
                expired: 0,
                displaced,
            });
        }
        is_made
    }
}

impl Drop for Writer {
    /// However the writer ends: nothing is kept from here on, and that is counted.
    fn drop(&mut self) {
        self.queue.close(self.in_hand.len());
        if thread::panicking() {
            self.state.failed("the writer's code panicked".to_owned());
            tracing::error!(
                "the archive's writer panicked; nothing is kept until the node starts anew"
            );
        }
    }
}

/// Opens the journal, a new one instead of one that is damaged.
pub(super) fn open(
    path: &Path,
    settings: &ArchiveSettings,
    metrics: &Metrics,
) -> Result<Journal, JournalFault> {
    match Journal::open(path, Randomness::default().number(), settings.bytes_max) {
        Err(JournalFault::Damaged) => renew(path, settings, metrics),
        Ok(journal) => {
            let lost = journal.lost();
            if lost > 0 {
                count(&metrics.archive_failures, "kind", "torn");
                tracing::error!(lost, "the archive's journal has lost its newest messages");
            }
            Ok(journal)
        }
        Err(fault) => Err(fault),
    }
}

/// Puts a damaged journal aside and begins a new one.
fn renew(
    path: &Path,
    settings: &ArchiveSettings,
    metrics: &Metrics,
) -> Result<Journal, JournalFault> {
    let id = Randomness::default().number();
    let (journal, aside) = Journal::renew(path, id, settings.bytes_max)?;
    count(
        &metrics.archive_failures,
        "kind",
        JournalFault::Damaged.label(),
    );
    tracing::error!(
        aside = %aside.display(),
        "the archive's journal is damaged and was put aside; a new one begins"
    );
    Ok(journal)
}
