//! Connections of the control plane whose first request's head has not come to its end yet.
//!
//! Meanwhile the place of each among the handshakes lies here, by age. When all places are taken, the oldest is told to go
//! and its place is free at once: slow heads keep out each other, and nobody who is quick. Bounded by `limits.handshakes`.

use super::admission::Permit;
use crate::metrics::Gauge;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// A place among the handshakes.
#[derive(Debug)]
pub(super) struct HandshakePlace {
    _permit: Permit,
    _counted: Option<Counted>,
}

impl HandshakePlace {
    pub(super) fn new(permit: Permit, counted: Option<Counted>) -> Self {
        Self {
            _permit: permit,
            _counted: counted,
        }
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

/// All of them.
#[derive(Debug, Default)]
pub(super) struct UnfinishedHeads {
    waiting: Mutex<BTreeMap<HeadKey, WaitingHead>>,
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

    /// Frees the place of the oldest, if it has been waited for that long; false if there is none.
    pub(super) fn push_out(&self, waited: Duration) -> bool {
        let mut waiting = self.waiting.lock();
        let Some(oldest) = waiting.first_entry() else {
            return false;
        };
        let (since, _) = *oldest.key();
        if since.elapsed() < waited {
            return false;
        }
        let WaitingHead { place, push_out } = oldest.remove();
        drop(waiting);
        drop(place);
        // Whoever is not there any more has gone already.
        let _gone = push_out.send(());
        true
    }
}

impl UnfinishedHead {
    /// The head has come: its place, unless that has been given to another.
    pub(super) fn finish(&self) -> Option<HandshakePlace> {
        let waiting = self.heads.waiting.lock().remove(&self.key);
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
    use super::super::admission::{Admission, Full};
    use super::*;

    const GRACE: Duration = Duration::from_millis(500);

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
        assert!(!heads.push_out(GRACE + Duration::from_millis(1)));
        assert!(heads.push_out(GRACE));
        assert_eq!(old.try_recv(), Ok(()));
        assert!(gone.finish().is_none());
        let taken = admission.enter(1).expect("the place of the oldest");
        assert!(!heads.push_out(GRACE), "the other is within its grace");
        tokio::time::advance(GRACE).await;
        assert!(heads.push_out(GRACE));
        assert_eq!(young.try_recv(), Ok(()));
        assert!(!heads.push_out(GRACE), "nobody is left");
        drop((place, taken));
        assert!(heads.waiting.lock().is_empty());
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
        assert!(!heads.push_out(Duration::ZERO));
    }
}
