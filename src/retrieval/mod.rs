//! What an answer may stand on: the pieces of a business's documents that are nearest to a question.
//!
//! `faiss` reads the vectors that the Django package keeps (`business_1.index` and `business_1_metadata.json`, where they
//! lie), asks an endpoint for the question's, and takes the nearest by L2 distance, those of one distance in the index'
//! order, as FAISS does. `bm25` needs no model: it compares words, those of the package's metadata and of a folder of
//! Markdown and text for each business.
//!
//! Files are read when a business is first asked about, looked at again every `retrieval.interval`, and renewed once they
//! stand still. Files that are torn, of another kind, or do not fit each other change nothing, and are named in the log.
//! Whatever fails, the answer is given: it stands on nothing then.
//!
//! Nothing of this blocks the runtime: files are read by one blocking thread at a time, and one searches.
//!
//! Limits: all of `[retrieval]`; 4096 numbers of a vector; 1000 documents of a business.

mod codes;
mod collection;
mod collections;
mod documents;
mod embeddings;
mod error;
mod excerpt;
mod fault;
mod files;
mod flat_index;
pub mod memory;
mod metadata;
mod ranking;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use excerpt::{DocumentId, Excerpt};

use crate::clock::Clock;
use crate::config::{RetrievalKind, RetrievalSettings};
use crate::metrics::{Metrics, count, declare};
use crate::name::is_business_id;
use crate::panics::caught;
use crate::redis::log_limiter::LogLimiter;
use collection::{Query, WrongDimension};
use collections::{Collections, Searched};
use embeddings::Embeddings;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

/// What a search came to: all labels.
const SEARCH_LABELS: [&str; 6] = [
    "found",
    "nothing",
    "no_embedding",
    "dimension",
    "timeout",
    "panicked",
];

/// All that answers may stand on.
#[derive(Debug)]
pub struct Retrieval {
    settings: RetrievalSettings,
    collections: Arc<Collections>,
    /// `None` where words are compared.
    embeddings: Option<Embeddings>,
    /// One turn: files are read one business after the other.
    reading: Arc<Semaphore>,
    /// One turn, so that one collection at most is held that has made room for others.
    searching: Arc<Semaphore>,
    lines: Mutex<LogLimiter>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

impl Retrieval {
    /// Reads nothing yet but a file with a key; `None` if `retrieval.kind` is `none`.
    ///
    /// # Errors
    /// If the endpoint cannot be asked with these settings.
    pub fn new(
        settings: &RetrievalSettings,
        metrics: &Arc<Metrics>,
        clock: Clock,
    ) -> Result<Option<Arc<Self>>, Error> {
        let embeddings = match settings.kind {
            RetrievalKind::None => return Ok(None),
            RetrievalKind::Bm25 => None,
            RetrievalKind::Faiss => Some(Embeddings::new(&settings.embeddings, metrics, clock)?),
        };
        declare(&metrics.retrieval_searches, "outcome", SEARCH_LABELS);
        Ok(Some(Arc::new(Self {
            settings: settings.clone(),
            collections: Arc::new(Collections::new(settings, metrics, clock)),
            embeddings,
            reading: Arc::new(Semaphore::new(1)),
            searching: Arc::new(Semaphore::new(1)),
            lines: Mutex::default(),
            metrics: Arc::clone(metrics),
            clock,
        })))
    }

    /// The pieces of a business's documents that fit a question best, the best first, `retrieval.excerpts` at most. Nothing
    /// if there is none, or none until `deadline` or within `retrieval.timeout`; the metrics say why.
    ///
    /// # Cancel safety
    /// Dropping the future leaves a file that is being read, and a search, to their end.
    pub async fn top(&self, business_id: &str, question: &str, deadline: Instant) -> Vec<Excerpt> {
        let deadline = deadline.min(Instant::now() + self.settings.timeout);
        let search = timeout_at(deadline, self.search(business_id, question));
        let (outcome, excerpts) = match search.await {
            Ok(Ok(excerpts)) if excerpts.is_empty() => ("nothing", excerpts),
            Ok(Ok(excerpts)) => ("found", excerpts),
            Ok(Err(why)) => (why, Vec::new()),
            Err(_elapsed) => ("timeout", Vec::new()),
        };
        count(&self.metrics.retrieval_searches, "outcome", outcome);
        excerpts
    }

    async fn search(
        &self,
        business_id: &str,
        question: &str,
    ) -> Result<Vec<Excerpt>, &'static str> {
        // The id becomes part of a path.
        if !is_business_id(business_id) || !self.has(business_id).await {
            return Ok(Vec::new());
        }
        let vector = match &self.embeddings {
            Some(embeddings) => Some(embeddings.of(question).await.ok_or("no_embedding")?),
            None => None,
        };
        let (id, question) = (business_id.to_owned(), question.to_owned());
        let collections = Arc::clone(&self.collections);
        let most = self.settings.excerpts;
        let find = move || {
            let query = vector
                .as_deref()
                .map_or(Query::Text(&question), Query::Vector);
            collections.find(&id, query, most)
        };
        match in_turn(&self.searching, find).await.ok_or("panicked")? {
            Searched::Excerpts(excerpts) => Ok(excerpts),
            Searched::Incomparable(wrong) => {
                self.warn(wrong);
                Err("dimension")
            }
        }
    }

    /// One line a second.
    fn warn(&self, wrong: WrongDimension) {
        if self.lines.lock().is_due(self.clock.now()) {
            let (of_chunks, of_question) = (wrong.of_chunks, wrong.of_question);
            tracing::warn!(
                of_chunks,
                of_question,
                "the embedding of a question has another length than those of the documents"
            );
        }
    }

    /// Has the business anything to be found? Reads its files if nobody has asked about it before.
    async fn has(&self, business_id: &str) -> bool {
        if let Some(has) = self.collections.has(business_id) {
            return has;
        }
        let (collections, id) = (Arc::clone(&self.collections), business_id.to_owned());
        let read = move || {
            // Somebody else may have had the turn before.
            let has = collections.has(&id);
            has.unwrap_or_else(|| {
                collections.read(&id);
                collections.has(&id) == Some(true)
            })
        };
        in_turn(&self.reading, read).await == Some(true)
    }

    /// Looks every `retrieval.interval` for files that have changed and reads them again, for as long as somebody else holds
    /// what is watched.
    ///
    /// # Cancel safety
    /// Dropping it ends that; files that are being read are read to their end.
    pub async fn watch(retrieval: Weak<Self>) {
        while let Some(interval) = retrieval.upgrade().map(|held| held.settings.interval) {
            tokio::time::sleep(interval).await;
            let Some(held) = retrieval.upgrade() else {
                return;
            };
            held.look().await;
        }
    }

    /// Looks once.
    async fn look(&self) {
        let collections = Arc::clone(&self.collections);
        let changed = spawn_blocking(move || caught(|| collections.changed())).await;
        for id in changed.ok().flatten().unwrap_or_default() {
            let collections = Arc::clone(&self.collections);
            in_turn(&self.reading, move || collections.read(&id)).await;
        }
    }
}

/// What `work` returns, on a blocking thread, once it has its turn, which it keeps to its end whoever waits for it; `None`
/// if it panicked.
async fn in_turn<T: Send + 'static>(
    turns: &Arc<Semaphore>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    // The semaphore is never closed.
    let turn = Arc::clone(turns).acquire_owned().await.ok()?;
    let work = spawn_blocking(move || {
        let done = caught(work);
        drop(turn);
        done
    });
    work.await.ok().flatten()
}
