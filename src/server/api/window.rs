//! Which `id`s have been seen lately: whoever publishes again with one publishes nothing.
//!
//! One lock, held for a look-up. Bounded in entries and in time; the oldest are forgotten first.

use crate::clock::Millis;
use parking_lot::Mutex;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// What one `id` costs: a room's name, 64 characters of up to four bytes, and its places in set and queue.
pub(crate) const ID_BYTES: usize = 512;

#[derive(Debug, Default)]
struct SeenIds {
    keys: HashSet<Arc<str>>,
    /// In the order in which they expire.
    order: VecDeque<(Millis, Arc<str>)>,
}

/// The `id`s of the last while.
#[derive(Debug)]
pub(super) struct IdWindow {
    seen: Mutex<SeenIds>,
    capacity: usize,
    expiry: Duration,
}

impl IdWindow {
    pub(super) fn new(capacity: usize, expiry: Duration) -> Self {
        Self {
            seen: Mutex::default(),
            capacity: capacity.max(1),
            expiry,
        }
    }

    /// Remembers an `id` of this scope. False if it has been seen: of several that ask at once one is the first.
    pub(super) fn is_first(&self, scope: &str, id: &str, now: Millis) -> bool {
        let key: Arc<str> = key(scope, id).into();
        let mut seen = self.seen.lock();
        let SeenIds { keys, order } = &mut *seen;
        while let Some((until, oldest)) = order.front()
            && (*until <= now || order.len() > self.capacity)
        {
            keys.remove(oldest);
            order.pop_front();
        }
        if !keys.insert(Arc::clone(&key)) {
            return false;
        }
        order.push_back((now + self.expiry, key));
        if order.len() > self.capacity
            && let Some((_, oldest)) = order.pop_front()
        {
            keys.remove(&oldest);
        }
        true
    }

    /// Nobody was shown what came with this `id`: it may come again.
    pub(super) fn forget(&self, scope: &str, id: &str) {
        let key = key(scope, id);
        let mut seen = self.seen.lock();
        if seen.keys.remove(key.as_str())
            && let Some(at) = seen.order.iter().rposition(|(_, other)| **other == *key)
        {
            seen.order.remove(at);
        }
    }
}

/// No scope holds a control character, and no `id` does.
fn key(scope: &str, id: &str) -> String {
    format!("{scope}\n{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_first_once_in_its_scope_until_it_expires() {
        let window = IdWindow::new(100, Duration::from_secs(10));
        assert!(window.is_first("a", "1", Millis(0)));
        assert!(!window.is_first("a", "1", Millis(9_999)));
        assert!(window.is_first("b", "1", Millis(9_999)), "another room");
        assert!(window.is_first("a", "1", Millis(10_000)));
        window.forget("a", "1");
        assert!(window.is_first("a", "1", Millis(10_001)));
        assert!(!window.is_first("a", "1", Millis(10_002)));
    }

    #[test]
    fn it_never_holds_more_than_its_capacity_and_forgets_the_oldest() {
        let window = IdWindow::new(3, Duration::from_secs(10));
        for id in 0..100_u64 {
            assert!(window.is_first("a", &id.to_string(), Millis(id)));
            let seen = window.seen.lock();
            assert!(seen.keys.len() <= 3 && seen.keys.len() == seen.order.len());
        }
        assert!(!window.is_first("a", "97", Millis(100)));
        assert!(window.is_first("a", "96", Millis(100)));
    }

    #[test]
    fn of_many_at_once_one_is_the_first() {
        let window = IdWindow::new(100, Duration::from_secs(10));
        let first: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| usize::from(window.is_first("a", "1", Millis(0)))))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!(first, 1);
    }
}
