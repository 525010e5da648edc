//! What Redis may have done without this node hearing of it, for as long as the node lives. The names are of keys of
//! this node alone.

use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What was asked of one Redis in layer `core`, and not heard of.
#[derive(Debug, Default)]
pub(super) struct Unheard {
    is_popping: AtomicBool,
    is_taking: AtomicBool,
    /// Answers to a call that takes which were heard.
    heard: AtomicU64,
    /// Sessions so far: each has a fence of its own.
    sessions: AtomicU64,
    /// How often Redis was found to have forgotten, or to be another one.
    lapses: AtomicU64,
    /// The name that the process of Redis has for itself.
    server: Mutex<Option<String>>,
}

impl Unheard {
    /// A message is waited for.
    pub(super) fn pop(&self) {
        self.is_popping.store(true, Ordering::Relaxed);
    }

    /// The message is here, or none was popped. False if that is known already, or nothing was waited for.
    pub(super) fn end_pop(&self) -> bool {
        self.is_popping.swap(false, Ordering::Relaxed)
    }

    /// What waits is being taken.
    pub(super) fn take(&self) {
        self.is_taking.store(true, Ordering::Relaxed);
    }

    /// Is there a call whose answer was not heard?
    pub(super) fn is_taking(&self) -> bool {
        self.is_taking.load(Ordering::Relaxed)
    }

    /// What was taken is here.
    pub(super) fn hear(&self) {
        self.heard.fetch_add(1, Ordering::Relaxed);
        self.end_take();
    }

    /// Nothing was taken, and nothing will be.
    pub(super) fn end_take(&self) {
        self.is_taking.store(false, Ordering::Relaxed);
    }

    /// What an answer that was heard has left in Redis.
    pub(super) fn heard(&self) -> String {
        format!("taken.{}", self.heard.load(Ordering::Relaxed))
    }

    /// Where the next call keeps what it takes. The same for another call if this one is not heard.
    pub(super) fn taken(&self) -> String {
        format!("taken.{}", self.heard.load(Ordering::Relaxed) + 1)
    }

    /// The fence of this session; it marks the memberships too.
    pub(super) fn fence(&self) -> String {
        format!("joined.{}", self.sessions.load(Ordering::Relaxed))
    }

    /// The fence of the session after this one.
    pub(super) fn next_fence(&self) -> String {
        format!("joined.{}", self.sessions.load(Ordering::Relaxed) + 1)
    }

    /// A session begins, with the next fence.
    pub(super) fn begin(&self) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
    }

    /// How often Redis has forgotten: while that number stands, it knows what it was told.
    pub(super) fn lapses(&self) -> u64 {
        self.lapses.load(Ordering::Relaxed)
    }

    /// What is there until Redis forgets.
    pub(super) fn memory(&self) -> String {
        format!("known.{}", self.lapses())
    }

    /// Redis has forgotten what it was told.
    pub(super) fn lapse(&self) {
        self.lapses.fetch_add(1, Ordering::Relaxed);
    }

    /// This is the name of the process now; true if it was the same before.
    pub(super) fn meet(&self, server: Option<String>) -> bool {
        let mut last = self.server.lock();
        let is_same = server.is_some() && *last == server;
        *last = server;
        is_same
    }

    /// That session has not begun.
    pub(super) fn revoke(&self) {
        self.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_was_not_heard_keeps_its_name_until_it_is() {
        let unheard = Unheard::default();
        let name = unheard.taken();
        unheard.take();
        unheard.end_take();
        assert_eq!(unheard.taken(), name, "another one keeps it there too");
        unheard.take();
        unheard.hear();
        assert!(!unheard.is_taking());
        assert_eq!(unheard.heard(), name);
        assert_ne!(unheard.taken(), name);
    }

    #[test]
    fn a_redis_is_the_same_if_it_has_a_name_and_had_it_before() {
        let unheard = Unheard::default();
        let name = |name: &str| Some(name.to_owned());
        assert!(!unheard.meet(None) && !unheard.meet(None));
        assert!(!unheard.meet(name("a")) && unheard.meet(name("a")));
        assert!(!unheard.meet(name("b")));
    }

    #[test]
    fn one_pop_is_lost_once() {
        let unheard = Unheard::default();
        assert!(!unheard.end_pop());
        unheard.pop();
        assert!(unheard.end_pop());
        assert!(!unheard.end_pop());
    }
}
