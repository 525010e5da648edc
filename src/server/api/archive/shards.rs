//! The archive of the bridge's Redis (`archive.mode = "streams"`): the same from any node.

use super::line::{EventPlace, Gap, LineWriter};
use super::query::{FeedQuery, PAGE_BYTES, misplaced};
use crate::archive::{CursorFault, NamedReaders};
use crate::bridge::Bridge;
use crate::bridge::streams::{ShardPage, ShardPlace};
use crate::clock::Clock;
use crate::server::api::problem::{ApiProblem, ProblemKind};
use std::sync::Arc;
use std::time::Duration;

/// Who waits for more asks each Redis so often.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Hexadecimal digits of a number in a cursor, and of one Redis' part: life, milliseconds, number.
const DIGITS: usize = 16;
const PART_DIGITS: usize = 3 * DIGITS;

/// The archives of all Redis of `bridge.urls`.
#[derive(Debug)]
pub(super) struct ShardFeed {
    bridge: Arc<Bridge>,
    readers: NamedReaders,
    clock: Clock,
}

impl ShardFeed {
    pub(super) fn new(bridge: Arc<Bridge>, readers: NamedReaders, clock: Clock) -> Self {
        Self {
            bridge,
            readers,
            clock,
        }
    }

    /// The lines behind a cursor. An answer that would be empty waits for more.
    pub(super) async fn lines(&self, asked: &FeedQuery) -> Result<String, ApiProblem> {
        let places = self.places(asked.after.as_deref()).map_err(misplaced)?;
        let lines = self.read(&places, asked).await?;
        if !lines.is_empty() || asked.wait.is_zero() {
            return Ok(lines);
        }
        let more = async {
            loop {
                tokio::time::sleep(ASK_EVERY).await;
                let lines = self.read(&places, asked).await?;
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

    async fn read(&self, places: &[ShardPlace], asked: &FeedQuery) -> Result<String, ApiProblem> {
        let shards = places.len().max(1);
        let (limit, bytes) = ((asked.limit / shards).max(1), PAGE_BYTES / shards);
        let mut pages = Vec::with_capacity(shards);
        let mut fault = None;
        for (shard, place) in places.iter().enumerate() {
            match self.bridge.archived(shard, *place, limit, bytes).await {
                Ok(page) => pages.push((shard, page)),
                // What the others have is given all the same.
                Err(error) => fault = Some(error),
            }
        }
        if let Some(error) = fault.filter(|_| pages.is_empty()) {
            tracing::warn!(fault = %error, "the archive cannot be read");
            return Err(ApiProblem::later(ProblemKind::ArchiveFault, 1));
        }
        if let Some(reader) = &asked.reader {
            self.note(reader, places, &pages);
        }
        Ok(lines(places.to_vec(), &pages))
    }

    /// Notes how far behind a reader is.
    fn note(&self, reader: &str, places: &[ShardPlace], pages: &[(usize, ShardPage)]) {
        let lags = pages.iter().map(|(shard, page)| {
            let read = places.get(*shard).filter(|at| at.life == page.newest.life);
            let read = read.map_or(0, |place| place.number);
            page.newest.number.saturating_sub(read)
        });
        let firsts = pages.iter().filter_map(|(_, page)| page.entries.first());
        let oldest = firsts.map(|entry| entry.at).min();
        let lag = lags.sum();
        self.readers.note(reader, lag, oldest, self.clock);
    }
}

/// The pages as lines, with one for each hole in front of an entry.
fn lines(mut places: Vec<ShardPlace>, pages: &[(usize, ShardPage)]) -> String {
    let mut out = LineWriter::new();
    for (shard, page) in pages {
        for entry in &page.entries {
            let gap = missed(places.get(*shard).copied().unwrap_or_default(), entry.place);
            let before = ShardPlace {
                number: entry.place.number.saturating_sub(1),
                ..entry.place
            };
            if gap != Gap::Exactly(0) {
                set(&mut places, *shard, before);
                out.gap(&cursor(&places), gap);
            }
            set(&mut places, *shard, entry.place);
            let placed = EventPlace {
                room: &entry.room,
                epoch: entry.epoch,
                offset: entry.offset,
                at: entry.at,
            };
            let known = serde_json::from_slice(&entry.record).unwrap_or_default();
            out.event(cursor(&places), placed, known);
        }
    }
    out.finish()
}

fn set(places: &mut [ShardPlace], shard: usize, place: ShardPlace) {
    if let Some(slot) = places.get_mut(shard) {
        *slot = place;
    }
}

/// What was between two entries that follow each other.
fn missed(before: ShardPlace, next: ShardPlace) -> Gap {
    if before.life == 0 {
        Gap::Exactly(0)
    } else if before.life == next.life {
        // After a failover that lost entries their numbers come again, later.
        Gap::Exactly(next.number.saturating_sub(before.number + 1))
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
