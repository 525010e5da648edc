//! What Redis may have done without this node hearing of it, for as long as the node lives. The names are of keys of
//! this node alone.

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
}

impl Unheard {
    /// A message is waited for.
    pub(super) fn pop(&self) {
        self.is_popping.store(true, Ordering::Relaxed);
    }

    /// It is here, or none was popped. False if that is known already, or nothing was waited for.
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

    /// A session begins, with the next fence.
    pub(super) fn begin(&self) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
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
    fn one_pop_is_lost_once() {
        let unheard = Unheard::default();
        assert!(!unheard.end_pop());
        unheard.pop();
        assert!(unheard.end_pop());
        assert!(!unheard.end_pop());
    }
}
