//! The archive of the bridge's Redis (`archive.mode = "streams"`): the same from any node.

use super::line::{EventKnown, EventPlace, Gap, LineWriter};
use super::query::{FeedQuery, PAGE_BYTES, misplaced};
use super::read_faults::ReadFaults;
use crate::archive::{CursorFault, NamedReaders};
use crate::bridge::Bridge;
use crate::bridge::streams::{KeptEvent, ShardPage, ShardPlace};
use crate::broker::history::NoHistory;
use crate::clock::Clock;
use crate::metrics::{Metrics, count, count_all, declare};
use crate::redis::log_limiter::LogLimiter;
use crate::server::api::problem::{ApiProblem, ProblemKind};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// Who waits for more asks each Redis so often.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// What is wrong with a Redis is in the log so often, for all of them together.
const NOTICE_EVERY: Duration = Duration::from_secs(10);

/// Kinds of `archive_failures`: a record that cannot be read, and a Redis that does not answer.
const UNREADABLE: &str = "unreadable";
const UNANSWERED: &str = "unanswered";

/// Hexadecimal digits of a number in a cursor, and of one Redis' part: life, milliseconds, number.
const DIGITS: usize = 16;
const PART_DIGITS: usize = 3 * DIGITS;

/// The archives of all Redis of `bridge.urls`.
#[derive(Debug)]
pub(super) struct ShardFeed {
    bridge: Arc<Bridge>,
    readers: NamedReaders,
    metrics: Arc<Metrics>,
    clock: Clock,
    unread: Mutex<LogLimiter>,
    unanswered: Mutex<LogLimiter>,
}

impl ShardFeed {
    pub(super) fn new(
        bridge: Arc<Bridge>,
        readers: NamedReaders,
        metrics: &Arc<Metrics>,
        clock: Clock,
    ) -> Self {
        declare(&metrics.archive_failures, "kind", [UNREADABLE, UNANSWERED]);
        let notices = || Mutex::new(LogLimiter::every(NOTICE_EVERY));
        Self {
            bridge,
            readers,
            metrics: Arc::clone(metrics),
            clock,
            unread: notices(),
            unanswered: notices(),
        }
    }

    /// The lines behind a cursor. An answer that would be empty waits for more.
    pub(super) async fn lines(
        &self,
        asked: &FeedQuery,
        faults: &ReadFaults,
    ) -> Result<String, ApiProblem> {
        let places = self.places(asked.after.as_deref()).map_err(misplaced)?;
        let lines = self.read(&places, asked, faults).await?;
        if !lines.is_empty() || asked.wait.is_zero() {
            return Ok(lines);
        }
        let more = async {
            loop {
                tokio::time::sleep(ASK_EVERY).await;
                let lines = self.read(&places, asked, faults).await?;
                if !lines.is_empty() {
                    return Ok(lines);
                }
            }
        };
        // Whether there is more or not by then.
        tokio::time::timeout(asked.wait, more)
            .await
            .unwrap_or(Ok(lines))
    }

    /// The places of a cursor, one for each Redis.
    fn places(&self, after: Option<&str>) -> Result<Vec<ShardPlace>, CursorFault> {
        let shards = self.bridge.shards();
        let Some(text) = after else {
            return Ok(vec![ShardPlace::default(); shards]);
        };
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let parts = text.as_bytes().chunks(PART_DIGITS);
        if text.is_empty() || text.len() % PART_DIGITS > 0 || !text.as_bytes().iter().all(is_digit)
        {
            return Err(CursorFault::Malformed);
        }
        if parts.len() != shards {
            return Err(CursorFault::Foreign);
        }
        let number = |digits: &[u8]| {
            let digits = str::from_utf8(digits).ok()?;
            u64::from_str_radix(digits, 16).ok()
        };
        let place = |part: &[u8]| {
            let mut numbers = part.chunks(DIGITS).map(number);
            Some(ShardPlace {
                life: numbers.next()??,
                millis: numbers.next()??,
                number: numbers.next()??,
            })
        };
        let places = parts.map(place).collect::<Option<Vec<_>>>();
        places.ok_or(CursorFault::Malformed)
    }

    async fn read(
        &self,
        places: &[ShardPlace],
        asked: &FeedQuery,
        faults: &ReadFaults,
    ) -> Result<String, ApiProblem> {
        let shards = places.len().max(1);
        let (limit, bytes) = ((asked.limit / shards).max(1), PAGE_BYTES / shards);
        let mut pages = Vec::with_capacity(shards);
        let mut fault = None;
        for (shard, place) in places.iter().enumerate() {
            match self.bridge.archived(shard, *place, limit, bytes).await {
                Ok(page) if page.has_lost => return Err(misplaced(CursorFault::Lost { shard })),
                Ok(page) => pages.push((shard, page)),
                // What the others have is given all the same, and this one's place stays where it was.
                Err(error) => {
                    self.note_unanswered(shard, &error);
                    fault = Some(error);
                }
            }
        }
        if let Some(error) = fault.filter(|_| pages.is_empty()) {
            faults.note(&error);
            return Err(ApiProblem::later(ProblemKind::ArchiveFault, 1));
        }
        if let Some(reader) = &asked.reader {
            self.note(reader, places, &pages);
        }
        let (lines, unreadable) = lines(places.to_vec(), &pages);
        self.note_unreadable(unreadable);
        Ok(lines)
    }

    /// A Redis is left out of an answer, for this reason.
    fn note_unanswered(&self, shard: usize, fault: &NoHistory) {
        count(&self.metrics.archive_failures, "kind", UNANSWERED);
        if self.unanswered.lock().is_due(self.clock.now()) {
            tracing::warn!(
                redis = format!("bridge.urls[{shard}]"),
                %fault,
                "a Redis is left out of the archive's answer; what it has comes once it answers"
            );
        }
    }

    /// So many records are passed over.
    fn note_unreadable(&self, records: u64) {
        if records == 0 {
            return;
        }
        count_all(&self.metrics.archive_failures, "kind", UNREADABLE, records);
        if self.unread.lock().is_due(self.clock.now()) {
            tracing::warn!(
                records,
                "records of the archive cannot be read; readers get a gap in their place"
            );
        }
    }

    /// Notes how far behind a reader is.
    fn note(&self, reader: &str, places: &[ShardPlace], pages: &[(usize, ShardPage)]) {
        let lags = pages.iter().map(|(shard, page)| {
            let read = places.get(*shard).filter(|at| at.life == page.newest.life);
            let read = read.map_or(0, |place| place.number);
            page.newest.number.saturating_sub(read)
        });
        let firsts = pages
            .iter()
            .filter_map(|(_, page)| page.entries.iter().find_map(|entry| entry.event.as_ref()));
        let oldest = firsts.map(|event| event.at).min();
        let lag = lags.sum();
        self.readers.note(reader, lag, oldest, self.clock);
    }
}

/// The pages as lines, with one for each hole: in front of an event, or behind the last. How many records are in these
/// holes, since they cannot be read.
fn lines(mut places: Vec<ShardPlace>, pages: &[(usize, ShardPage)]) -> (String, u64) {
    let (mut out, mut unreadable) = (LineWriter::new(), 0);
    for (shard, page) in pages {
        // The last event that was read, and the last record that was met.
        let mut read = places.get(*shard).copied().unwrap_or_default();
        let mut met = read;
        for entry in &page.entries {
            if read.life == 0 {
                // Who begins asks for all that was said in this life.
                read = ShardPlace {
                    number: 0,
                    ..entry.place
                };
            }
            let last = std::mem::replace(&mut met, entry.place);
            let Some(event) = &entry.event else {
                unreadable += 1;
                continue;
            };
            let gap = missed(read, entry.place.number, entry.place.life);
            if gap != Gap::Exactly(0) {
                let is_next =
                    last.life == met.life && last.number.checked_add(1) == Some(met.number);
                set(
                    &mut places,
                    *shard,
                    if is_next { last } else { before(met) },
                );
                out.gap(&cursor(&places), gap);
            }
            read = met;
            set(&mut places, *shard, read);
            let placed = EventPlace {
                room: &event.room,
                epoch: event.epoch,
                offset: event.offset,
                at: event.at,
            };
            out.event(cursor(&places), placed, known(&event.kept));
        }
        if met != read {
            set(&mut places, *shard, met);
            out.gap(
                &cursor(&places),
                missed(read, met.number.saturating_add(1), met.life),
            );
        }
    }
    (out.finish(), unreadable)
}

/// The place in front of an entry.
fn before(place: ShardPlace) -> ShardPlace {
    ShardPlace {
        number: place.number.saturating_sub(1),
        ..place
    }
}

fn known(kept: &KeptEvent) -> EventKnown<'_> {
    EventKnown {
        id: kept.id.as_deref(),
        author: kept.author.as_deref(),
        sender: &kept.sender,
        message: &kept.message,
        json: kept.json.as_deref(),
        meta: kept.meta.as_deref(),
        origin: &kept.origin,
        accepted: kept.accepted,
    }
}

fn set(places: &mut [ShardPlace], shard: usize, place: ShardPlace) {
    if let Some(slot) = places.get_mut(shard) {
        *slot = place;
    }
}

/// What is missing between a place and the entry of this number, in this life.
fn missed(read: ShardPlace, number: u64, life: u64) -> Gap {
    if read.life == life {
        Gap::Exactly(number.saturating_sub(read.number.saturating_add(1)))
    } else {
        Gap::Unknown
    }
}

fn cursor(places: &[ShardPlace]) -> String {
    let parts = places.iter().map(|place| {
        let ShardPlace {
            life,
            millis,
            number,
        } = place;
        format!("{life:016x}{millis:016x}{number:016x}")
    });
    parts.collect()
}
