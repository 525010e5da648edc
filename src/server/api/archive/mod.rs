//! `GET /api/archive`: what was said in all rooms, in one order, from a place on that the reader remembers.
//!
//! An answer is lines of JSON (NDJSON): at most `limit` events, and no more than about a mebibyte, each with the cursor
//! that continues behind it. Where events were removed before the reader had them one line says how many. Who has come to
//! the end may wait there for more. Nothing is remembered of a reader here but how far behind one with a name is, so whoever
//! stores cursor and events in one transaction has every event exactly once.

mod journal;
mod line;
mod query;
mod read_faults;
mod shards;

use super::problem::{ApiProblem, ProblemKind};
use crate::archive::{Archive, NamedReaders};
use crate::bridge::Bridge;
use crate::clock::Clock;
use crate::config::{ArchiveMode, Config};
use crate::metrics::Metrics;
use bytes::Bytes;
use hyper::Response;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use query::{FeedQuery, PAGE_BYTES};
use read_faults::ReadFaults;
use shards::ShardFeed;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What an answer occupies: the connection to the journal, the events, and their text, of which escapes may make six
/// times as much.
pub(super) const ANSWER_BYTES: usize = crate::archive::READER_BYTES + 8 * PAGE_BYTES;

/// The field that says how long the answer's longest line is: whoever reads line by line has no bound of its own that is right
/// for all settings of `limits.message_bytes`.
const LINE_BYTES: HeaderName = HeaderName::from_static("x-supportal-line-bytes");

/// The longest wait, unless `server.http_timeout` is shorter than twice that.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// The archive for those who read it.
#[derive(Debug)]
pub(super) struct ArchiveFeed {
    source: FeedSource,
    faults: ReadFaults,
    readers: Arc<Semaphore>,
    wait_max: Duration,
}

/// Where it is.
#[derive(Debug)]
enum FeedSource {
    /// Nowhere.
    Nowhere,
    /// In this node's journal.
    Journal(Arc<Archive>),
    /// In the Redis of the bridge.
    Shards(ShardFeed),
}

impl ArchiveFeed {
    pub(super) fn new(
        config: &Config,
        (archive, bridge): (Option<Arc<Archive>>, Option<Arc<Bridge>>),
        metrics: &Arc<Metrics>,
        clock: Clock,
    ) -> Self {
        let settings = &config.archive;
        let is_shards = settings.mode == ArchiveMode::Streams;
        let source = match (archive, bridge.filter(|_| is_shards)) {
            (Some(archive), _) => FeedSource::Journal(archive),
            (None, Some(bridge)) => {
                let names = NamedReaders::new(settings.reader_names, metrics);
                FeedSource::Shards(ShardFeed::new(bridge, names, metrics, clock))
            }
            (None, None) => FeedSource::Nowhere,
        };
        Self {
            source,
            faults: ReadFaults::new(clock),
            readers: Arc::new(Semaphore::new(settings.readers)),
            wait_max: WAIT_MAX.min(config.server.http_timeout / 2),
        }
    }

    /// Answers with this query.
    pub(super) async fn answer(&self, query: &str) -> Result<Response<Bytes>, ApiProblem> {
        if matches!(self.source, FeedSource::Nowhere) {
            return Err(ProblemKind::NoArchive.into());
        }
        let asked = FeedQuery::read(query, self.wait_max)?;
        let permit = Arc::clone(&self.readers)
            .try_acquire_owned()
            .map_err(|_full| ApiProblem::later(ProblemKind::Busy, 1))?;
        let permit = Arc::new(permit);
        let lines = match &self.source {
            FeedSource::Nowhere => return Err(ProblemKind::NoArchive.into()),
            FeedSource::Journal(archive) => {
                journal::lines(archive, &asked, &permit, &self.faults).await?
            }
            FeedSource::Shards(shards) => shards.lines(&asked, &self.faults).await?,
        };
        let longest = longest_line(&lines);
        let answer = KeptAnswer {
            lines,
            _permit: permit,
        };
        let mut response = Response::new(Bytes::from_owner(answer));
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-ndjson"),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(LINE_BYTES, HeaderValue::from(longest));
        Ok(response)
    }
}

/// Bytes of the longest line, its end included; 0 of none.
fn longest_line(lines: &str) -> usize {
    let lengths = lines.split_inclusive('\n').map(str::len);
    lengths.max().unwrap_or_default()
}

/// An answer on its way: one of `archive.readers` until the reader has taken it, or its connection is over. Memory is
/// that of so many answers, however slowly they are read.
#[derive(Debug)]
struct KeptAnswer {
    lines: String,
    _permit: Arc<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for KeptAnswer {
    fn as_ref(&self) -> &[u8] {
        self.lines.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::sync::mpsc;
    use std::task::Poll;
    use tempfile::TempDir;
    use tokio::time::timeout;

    /// Longer than anything here takes.
    const PATIENCE: Duration = Duration::from_secs(60);

    fn feed(folder: &TempDir) -> ArchiveFeed {
        let mut config = Config::default();
        config.archive.mode = ArchiveMode::Journal;
        config.archive.path = Some(folder.path().join("journal"));
        config.archive.readers = 1;
        let (metrics, clock) = (Arc::new(Metrics::new()), Clock::start());
        let archive = Archive::new(&config.archive, &metrics, clock)
            .unwrap()
            .map(Arc::new);
        ArchiveFeed::new(&config, (archive, None), &metrics, clock)
    }

    #[tokio::test]
    async fn a_reader_counts_for_as_long_as_the_answer_is_on_its_way() {
        let folder = TempDir::new().unwrap();
        let feed = feed(&folder);
        let response = feed.answer("").await.unwrap();
        let refused = feed.answer("").await.unwrap_err();
        assert_eq!(refused.kind.name(), ProblemKind::Busy.name());
        drop(response);
        assert!(feed.answer("").await.is_ok());
    }

    #[test]
    fn a_reader_counts_for_as_long_as_the_disk_is_read_for_it_whether_it_is_still_there_or_not() {
        let folder = TempDir::new().unwrap();
        let feed = feed(&folder);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            // A disk that does not answer.
            let (answer, disk) = mpsc::channel::<()>();
            let reading = tokio::task::spawn_blocking(move || disk.recv());
            let mut asked = Box::pin(feed.answer(""));
            let first = poll_fn(|context| Poll::Ready(asked.as_mut().poll(context))).await;
            assert!(first.is_pending());
            drop(asked);
            assert_eq!(feed.readers.available_permits(), 0);
            drop(answer);
            assert!(timeout(PATIENCE, reading).await.unwrap().unwrap().is_err());
            let free = timeout(PATIENCE, feed.readers.acquire()).await;
            assert!(free.unwrap().is_ok());
        });
    }
}
