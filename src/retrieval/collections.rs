//! What is read of all businesses: bounded in bytes and in number, and renewed when files change.
//!
//! Everything here reads files or takes milliseconds: not for a runtime's thread.

use super::collection::{Collection, Query, WrongDimension};
use super::excerpt::Excerpt;
use super::fault::{FileFault, FileFaultKind, READ_LABELS};
use super::files::{FileStates, Folders};
use crate::clock::Clock;
use crate::config::RetrievalSettings;
use crate::metrics::{Metrics, count, declare, set};
use crate::redis::log_limiter::LogLimiter;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// The businesses that were asked about, least recently used first out.
#[derive(Debug)]
pub(super) struct Collections {
    folders: Folders,
    bytes_max: usize,
    businesses_max: usize,
    known: Mutex<KnownBusinesses>,
    /// One line a second of files that are not taken.
    lines: Mutex<LogLimiter>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

#[derive(Debug, Default)]
struct KnownBusinesses {
    by_id: HashMap<Box<str>, KnownBusiness>,
    /// Of all collections, and of one that is being read.
    bytes: usize,
    /// How often anything was used.
    uses: u64,
}

#[derive(Debug)]
struct KnownBusiness {
    /// `None`: there are no files, or none that could be taken.
    collection: Option<Arc<Collection>>,
    /// Of the collection, and of the states of its documents.
    bytes: usize,
    /// The files as they were when they were last read, well or not.
    seen: FileStates,
    /// The files as they were at the last look, if they had changed since.
    changed: Option<FileStates>,
    /// Whether they are to be read again in any case: the system could not, which the files themselves do not show.
    is_unread: bool,
    used: u64,
}

/// What a search came to.
#[derive(Debug)]
pub(super) enum Searched {
    /// These, the best first; nothing if the business has nothing.
    Excerpts(Vec<Excerpt>),
    /// The vectors cannot be compared.
    Incomparable(WrongDimension),
}

impl Collections {
    pub(super) fn new(settings: &RetrievalSettings, metrics: &Arc<Metrics>, clock: Clock) -> Self {
        declare(&metrics.retrieval_reads, "outcome", READ_LABELS);
        Self {
            folders: Folders::new(settings),
            bytes_max: settings.bytes_max,
            businesses_max: settings.businesses,
            known: Mutex::default(),
            lines: Mutex::default(),
            metrics: Arc::clone(metrics),
            clock,
        }
    }

    /// Has a business anything to be found? `None` if its files were not read yet.
    pub(super) fn has(&self, business_id: &str) -> Option<bool> {
        let mut known = self.known.lock();
        let business = known.use_of(business_id)?;
        Some(business.collection.is_some())
    }

    /// Searches what is there of a business.
    pub(super) fn find(&self, business_id: &str, query: Query<'_>, most: usize) -> Searched {
        let collection = {
            let mut known = self.known.lock();
            let business = known.use_of(business_id);
            business.and_then(|business| business.collection.clone())
        };
        let Some(collection) = collection else {
            return Searched::Excerpts(Vec::new());
        };
        match collection.find(query, most) {
            Ok(excerpts) => Searched::Excerpts(excerpts),
            Err(wrong) => Searched::Incomparable(wrong),
        }
    }

    /// The businesses whose files have changed since they were read, and stand still since the last look.
    pub(super) fn changed(&self) -> Vec<Box<str>> {
        let ids: Vec<Box<str>> = self.known.lock().by_id.keys().cloned().collect();
        let is_settled = |id: &str| {
            let now = self.folders.states(id);
            let mut known = self.known.lock();
            let Some(business) = known.by_id.get_mut(id) else {
                return false;
            };
            let changed = Some(now).filter(|now| business.is_unread || *now != business.seen);
            let is_settled = changed.is_some() && changed == business.changed;
            business.changed = changed;
            is_settled
        };
        ids.into_iter().filter(|id| is_settled(id)).collect()
    }

    /// Reads the files of a business, one business at a time. What was there stays if they are not as they should be, and
    /// goes if there are none any more.
    pub(super) fn read(&self, business_id: &str) {
        let states = self.folders.states(business_id);
        let read = self.read_from(business_id, &states);
        let label = match &read {
            Ok(Some(_)) => "taken",
            Ok(None) => "absent",
            Err(fault) => fault.kind.label(),
        };
        count(&self.metrics.retrieval_reads, "outcome", label);
        let mut known = self.known.lock();
        match read {
            Ok(collection) => {
                let chunks = collection.as_ref().map_or(0, Collection::chunks);
                if known.take(business_id, collection.map(Arc::new), states) {
                    tracing::info!(
                        business_id,
                        chunks,
                        "the documents of a business were read again"
                    );
                }
            }
            Err(fault) => {
                let is_unread = matches!(fault.kind, FileFaultKind::Unreadable(_));
                known.leave(business_id, states, is_unread);
                if self.lines.lock().is_due(self.clock.now()) {
                    let fault = fault.to_string();
                    tracing::warn!(
                        fault,
                        "documents of a business are not taken; what was read of them before stays"
                    );
                }
            }
        }
        self.make_room(&mut known, business_id, 0);
        self.note(&known);
    }

    fn read_from(
        &self,
        business_id: &str,
        states: &FileStates,
    ) -> Result<Option<Collection>, FileFault> {
        let most = self.bytes_max / 2;
        let needed = states.bytes_needed();
        if needed > most as u64 {
            let bytes = needed;
            return Err(states.fault(FileFaultKind::TooLarge { bytes, most }));
        }
        let needed = usize::try_from(needed).unwrap_or(most);
        let _reserved = self.reserve(business_id, needed);
        self.folders.read(business_id, states, needed)
    }

    /// Makes room for so many bytes, and takes it until what is returned is dropped, by a panic too.
    pub(super) fn reserve(&self, business_id: &str, bytes: usize) -> ReservedBytes<'_> {
        let mut known = self.known.lock();
        self.make_room(&mut known, business_id, bytes);
        known.bytes += bytes;
        ReservedBytes {
            known: &self.known,
            bytes,
        }
    }

    /// Forgets what was used least recently until so many bytes more fit in, and not too many businesses are known;
    /// `business_id` stays.
    fn make_room(&self, known: &mut KnownBusinesses, business_id: &str, bytes: usize) {
        while known.by_id.len() > self.businesses_max
            || known.bytes.saturating_add(bytes) > self.bytes_max
        {
            let is_full = known.by_id.len() > self.businesses_max;
            let others = known.by_id.iter().filter(|(id, _)| ***id != *business_id);
            // Whoever makes up businesses drives out what was made up before.
            let others = others.filter(|(_, business)| is_full || business.bytes > 0);
            let least = others.min_by_key(|(_, business)| (business.bytes > 0, business.used));
            let Some(id) = least.map(|(id, _)| id.clone()) else {
                return;
            };
            known.forget(&id);
            self.metrics.retrieval_evicted.inc();
        }
    }

    fn note(&self, known: &KnownBusinesses) {
        set(&self.metrics.retrieval_bytes, known.bytes);
        let read = known.by_id.values();
        let read = read.filter(|business| business.collection.is_some());
        set(&self.metrics.retrieval_businesses, read.count());
    }
}

/// Bytes of a business that is being read.
pub(super) struct ReservedBytes<'k> {
    known: &'k Mutex<KnownBusinesses>,
    bytes: usize,
}

impl Drop for ReservedBytes<'_> {
    fn drop(&mut self) {
        self.known.lock().bytes -= self.bytes;
    }
}

impl KnownBusinesses {
    fn use_of(&mut self, business_id: &str) -> Option<&mut KnownBusiness> {
        self.uses += 1;
        let business = self.by_id.get_mut(business_id)?;
        business.used = self.uses;
        Some(business)
    }

    /// Takes what was read; was there anything of this business before?
    fn take(
        &mut self,
        business_id: &str,
        collection: Option<Arc<Collection>>,
        seen: FileStates,
    ) -> bool {
        let was_known = self.by_id.contains_key(business_id);
        self.forget(business_id);
        let bytes = collection
            .as_ref()
            .map_or(0, |collection| collection.bytes());
        let bytes = bytes + seen.bytes();
        self.bytes += bytes;
        self.uses += 1;
        let business = KnownBusiness {
            collection,
            bytes,
            seen,
            changed: None,
            is_unread: false,
            used: self.uses,
        };
        self.by_id.insert(business_id.into(), business);
        was_known
    }

    /// Leaves what was there before files that are not taken.
    fn leave(&mut self, business_id: &str, seen: FileStates, is_unread: bool) {
        if !self.by_id.contains_key(business_id) {
            self.take(business_id, None, seen.clone());
        }
        if let Some(business) = self.by_id.get_mut(business_id) {
            // The states of the documents that there are now may be more.
            let (before, after) = (business.seen.bytes(), seen.bytes());
            business.bytes = business.bytes - before + after;
            self.bytes = self.bytes - before + after;
            business.seen = seen;
            business.changed = None;
            business.is_unread = is_unread;
        }
    }

    fn forget(&mut self, business_id: &str) {
        if let Some(business) = self.by_id.remove(business_id) {
            self.bytes -= business.bytes;
        }
    }
}
