//! Connections of the control plane whose first request's head has not come to its end yet.
//!
//! Meanwhile the place of each among the handshakes lies here, by age. When all places are taken, one is told to go and its
//! place is free at once: the oldest of the address that holds most places, or the oldest of all where nobody has more than
//! one. Slow heads keep out each other, and nobody who is quick. Bounded by `limits.handshakes`.

use super::admission::{Admission, Full, ListenerKind, Permit};
use crate::metrics::Gauge;
use crate::worker::GRACE;
use foldhash::fast::RandomState;
use parking_lot::Mutex;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// A place among the handshakes.
#[derive(Debug)]
pub(super) struct HandshakePlace {
    permit: Permit,
    _counted: Option<Counted>,
}

impl HandshakePlace {
    pub(super) fn new(permit: Permit, counted: Option<Counted>) -> Self {
        Self {
            permit,
            _counted: counted,
        }
    }

    /// The place is this peer's from now on.
    ///
    /// # Errors
    /// That peer has reached its cap.
    pub(super) fn move_to(&mut self, peer: u64) -> Result<(), Full> {
        self.permit.move_to(peer)
    }
}

/// One of what a gauge counts.
#[derive(Debug)]
pub(super) struct Counted(pub(super) Gauge);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// When a connection's head began, and a number that no other has.
type HeadKey = (Instant, u64);

#[derive(Debug)]
struct WaitingHead {
    place: HandshakePlace,
    push_out: oneshot::Sender<()>,
}

#[derive(Debug, Default)]
struct WaitingHeads {
    by_age: BTreeMap<HeadKey, WaitingHead>,
    /// The same by whose place each has.
    by_peer: HashMap<u64, BTreeSet<HeadKey>, RandomState>,
}

impl WaitingHeads {
    /// The oldest of this peer's, or of all.
    fn oldest(&self, of: Option<u64>) -> Option<HeadKey> {
        match of {
            Some(peer) => self.by_peer.get(&peer)?.first().copied(),
            None => self.by_age.first_key_value().map(|(key, _)| *key),
        }
    }

    fn insert(&mut self, key: HeadKey, head: WaitingHead) {
        self.by_peer
            .entry(head.place.permit.peer())
            .or_default()
            .insert(key);
        self.by_age.insert(key, head);
    }

    fn remove(&mut self, key: HeadKey) -> Option<WaitingHead> {
        let head = self.by_age.remove(&key)?;
        if let Entry::Occupied(mut keys) = self.by_peer.entry(head.place.permit.peer()) {
            keys.get_mut().remove(&key);
            if keys.get().is_empty() {
                keys.remove();
            }
        }
        Some(head)
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct UnfinishedHeads {
    waiting: Mutex<WaitingHeads>,
    begun: AtomicU64,
}

/// One of them; dropped, its place is free.
#[derive(Debug)]
pub(super) struct UnfinishedHead {
    heads: Arc<UnfinishedHeads>,
    key: HeadKey,
}

impl UnfinishedHeads {
    /// A head that has been waited for since then; and what says `Ok` once its connection has to go.
    pub(super) fn begin(
        self: &Arc<Self>,
        place: HandshakePlace,
        since: Instant,
    ) -> (UnfinishedHead, oneshot::Receiver<()>) {
        let (push_out, pushed_out) = oneshot::channel();
        let key = (since, self.begun.fetch_add(1, Ordering::Relaxed));
        self.waiting
            .lock()
            .insert(key, WaitingHead { place, push_out });
        let heads = Arc::clone(self);
        (UnfinishedHead { heads, key }, pushed_out)
    }

    /// Frees a place for who comes by a listener beside the public one, if none is left: that of the oldest head of the
    /// address that holds most, if there is one that has been waited for longer than [`GRACE`].
    pub(super) fn make_place(&self, handshakes: &Admission) {
        if handshakes.is_full_for(ListenerKind::Beside) {
            let heaviest = handshakes.heaviest().into_iter().map(Some);
            let _is_free = heaviest.chain([None]).any(|of| self.push_out(of, GRACE));
        }
    }

    /// Frees the place of the oldest of this peer's heads, or of all, if it has been waited for that long; false if there is
    /// none.
    pub(super) fn push_out(&self, of: Option<u64>, waited: Duration) -> bool {
        let mut waiting = self.waiting.lock();
        let oldest = waiting.oldest(of);
        let Some(oldest) = oldest.filter(|(since, _)| since.elapsed() >= waited) else {
            return false;
        };
        let pushed_out = waiting.remove(oldest);
        drop(waiting);
        let Some(WaitingHead { place, push_out }) = pushed_out else {
            return false;
        };
        drop(place);
        // Whoever is not there any more has gone already.
        let _gone = push_out.send(());
        true
    }
}

impl UnfinishedHead {
    /// The place is this peer's from now on; without effect once it has been given to another.
    ///
    /// # Errors
    /// That peer has reached its cap; the place stays whose it was.
    pub(super) fn move_to(&self, peer: u64) -> Result<(), Full> {
        let mut waiting = self.heads.waiting.lock();
        let Some(mut head) = waiting.remove(self.key) else {
            return Ok(());
        };
        let moved = head.place.move_to(peer);
        waiting.insert(self.key, head);
        moved
    }

    /// The head has come: its place, unless that has been given to another.
    pub(super) fn finish(&self) -> Option<HandshakePlace> {
        let waiting = self.heads.waiting.lock().remove(self.key);
        waiting.map(|waiting| waiting.place)
    }
}

impl Drop for UnfinishedHead {
    fn drop(&mut self) {
        drop(self.finish());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_oldest_over_its_grace_goes_first_and_its_place_is_free_at_once() {
        let admission = Arc::new(Admission::new(3, 0));
        let heads = Arc::new(UnfinishedHeads::default());
        let start = Instant::now();
        let begin = |since| {
            let place = HandshakePlace::new(admission.enter(1).expect("a place"), None);
            heads.begin(place, since)
        };
        let (_young, mut young) = begin(start);
        let (gone, mut old) = begin(start - GRACE);
        let (done, mut finished) = begin(start - GRACE * 2);
        assert_eq!(admission.enter(1).unwrap_err(), Full::Node);
        // A head that has come is pushed out no more, however old.
        let place = done.finish().expect("its place");
        assert!(finished.try_recv().is_err());
        assert!(!heads.push_out(None, GRACE + Duration::from_millis(1)));
        assert!(heads.push_out(None, GRACE));
        assert_eq!(old.try_recv(), Ok(()));
        assert!(gone.finish().is_none());
        let taken = admission.enter(1).expect("the place of the oldest");
        assert!(
            !heads.push_out(None, GRACE),
            "the other is within its grace"
        );
        tokio::time::advance(GRACE).await;
        assert!(heads.push_out(None, GRACE));
        assert_eq!(young.try_recv(), Ok(()));
        assert!(!heads.push_out(None, GRACE), "nobody is left");
        drop((place, taken));
        let waiting = heads.waiting.lock();
        assert!(waiting.by_age.is_empty() && waiting.by_peer.is_empty());
        drop(waiting);
        let all: Vec<_> = (0..3).map(|_| admission.enter(1)).collect();
        assert!(all.iter().all(Result::is_ok), "every place has come back");
    }

    #[tokio::test(start_paused = true)]
    async fn who_ends_gives_the_place_back() {
        let admission = Arc::new(Admission::new(1, 0));
        let heads = Arc::new(UnfinishedHeads::default());
        let place = HandshakePlace::new(admission.enter(1).expect("a place"), None);
        let (head, _pushed_out) = heads.begin(place, Instant::now());
        assert!(admission.enter(1).is_err());
        drop(head);
        assert!(admission.enter(1).is_ok());
        assert!(!heads.push_out(None, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn of_whoever_holds_most_the_oldest_goes_first_and_after_that_the_oldest_of_all() {
        const PROXY: u64 = 1;
        let admission = Arc::new(Admission::ranked(5, 0));
        let heads = Arc::new(UnfinishedHeads::default());
        let start = Instant::now();
        let begin = |peer, waited| {
            let place = HandshakePlace::new(admission.enter(peer).expect("a place"), None);
            heads.begin(place, start - waited)
        };
        let (_single, mut single) = begin(2, GRACE * 9);
        // Of three behind one proxy, two turn out to be one client's; one of that has come already.
        let (_unknown, mut unknown) = begin(PROXY, GRACE * 8);
        let (older, mut first) = begin(PROXY, GRACE * 3);
        let (younger, mut second) = begin(PROXY, GRACE * 2);
        let (done, _finished) = begin(3, GRACE * 7);
        for head in [&younger, &older, &done] {
            assert_eq!(head.move_to(3), Ok(()));
        }
        let _place = done.finish().expect("its place");
        heads.make_place(&admission);
        assert_eq!(first.try_recv(), Ok(()), "the older of the client's");
        assert_eq!(older.move_to(PROXY), Ok(()), "another has its place");
        heads.make_place(&admission);
        assert!(second.try_recv().is_err(), "there is a place");
        let _fifth = admission.enter(4).expect("a place");
        heads.make_place(&admission);
        assert_eq!(second.try_recv(), Ok(()), "the client holds two");
        let _again = admission.enter(5).expect("a place");
        heads.make_place(&admission);
        assert_eq!(single.try_recv(), Ok(()), "nobody holds more than one");
        assert!(unknown.try_recv().is_err());
    }
}
