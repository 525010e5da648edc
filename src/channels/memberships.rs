//! The groups that one Redis has this node in, by what this node told it.
//!
//! A room that empties while Redis is away is left once Redis is back: else Django would go on sending to it until
//! `channels.group_expiry`, into a channel that other rooms share. Bound: a chunk of groups is left before a chunk
//! is joined, so there are no more than the most rooms that were wanted at once, and one chunk.

use crate::name::RoomName;
use std::collections::HashSet;

/// Which groups are joined, and which of them are to be left.
#[derive(Debug, Default)]
pub(super) struct Memberships {
    joined: HashSet<RoomName>,
    leaving: HashSet<RoomName>,
    /// Those that cannot be joined: their keys are something else.
    foreign: HashSet<RoomName>,
}

impl Memberships {
    /// Redis is about to be told that this node is in these.
    pub(super) fn join(&mut self, names: &[RoomName]) {
        for name in names {
            self.leaving.remove(name);
            self.foreign.remove(name);
            self.joined.insert(name.clone());
        }
    }

    /// Redis has answered that the key of a group is something else.
    pub(super) fn refuse(&mut self, name: &RoomName) {
        self.foreign.insert(name.clone());
    }

    /// A session is over: Redis will be asked again about every group.
    pub(super) fn forget_refusals(&mut self) {
        self.foreign.clear();
    }

    /// How many groups cannot be joined.
    pub(super) fn refused(&self) -> usize {
        self.foreign.len()
    }

    /// Nobody wants these any more. What was never joined needs not be left.
    pub(super) fn give_up(&mut self, names: &[RoomName]) {
        for name in names {
            self.foreign.remove(name);
            if let Some(name) = self.joined.take(name) {
                self.leaving.insert(name);
            }
        }
    }

    /// The next ones to leave, at most `max`. A room that `is_wanted` again is no longer among them: between leaving
    /// and joining it Django would miss it.
    pub(super) fn next_to_leave(
        &mut self,
        max: usize,
        is_wanted: impl Fn(&RoomName) -> bool,
    ) -> Vec<RoomName> {
        loop {
            let next: Vec<RoomName> = self.leaving.iter().take(max).cloned().collect();
            let is_last = next.len() == self.leaving.len();
            let (back, leave): (Vec<_>, Vec<_>) = next.into_iter().partition(&is_wanted);
            for name in back {
                self.leaving.remove(&name);
                self.joined.insert(name);
            }
            if is_last || !leave.is_empty() {
                return leave;
            }
        }
    }

    /// Redis has heard that these are left.
    pub(super) fn left(&mut self, names: &[RoomName]) {
        for name in names {
            self.leaving.remove(name);
            self.foreign.remove(name);
        }
    }

    /// All of them, for a node that goes down.
    pub(super) fn all(&self) -> Vec<RoomName> {
        self.joined.union(&self.leaving).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(sessions: &[&str]) -> Vec<RoomName> {
        let name = |session: &&str| RoomName::chat("1", session).expect("legal");
        sessions.iter().map(name).collect()
    }

    #[test]
    fn what_was_joined_and_is_not_wanted_is_left_until_redis_has_heard_it() {
        let mut memberships = Memberships::default();
        memberships.join(&names(&["a", "b"]));
        memberships.give_up(&names(&["a", "never"]));
        for _attempt in 0..2 {
            assert_eq!(memberships.next_to_leave(9, |_| false), names(&["a"]));
        }
        memberships.left(&names(&["a"]));
        assert!(memberships.next_to_leave(9, |_| false).is_empty());
        assert_eq!(memberships.all(), names(&["b"]));
    }

    #[test]
    fn a_group_whose_key_is_something_else_is_refused_until_it_is_joined_again_or_given_up() {
        let mut memberships = Memberships::default();
        memberships.join(&names(&["a", "b", "c"]));
        for name in names(&["a", "b", "b", "c"]) {
            memberships.refuse(&name);
        }
        assert_eq!(memberships.refused(), 3);
        memberships.join(&names(&["a"]));
        memberships.give_up(&names(&["b"]));
        assert_eq!(memberships.refused(), 1);
        memberships.refuse(&names(&["b"])[0]);
        memberships.left(&names(&["b"]));
        assert_eq!(memberships.refused(), 1, "told as it is left");
        memberships.forget_refusals();
        assert_eq!(memberships.refused(), 0);
    }

    #[test]
    fn a_room_that_is_back_is_not_left_and_can_be_given_up_again() {
        let mut memberships = Memberships::default();
        memberships.join(&names(&["a"]));
        memberships.give_up(&names(&["a"]));
        assert!(memberships.next_to_leave(9, |_| true).is_empty());
        memberships.give_up(&names(&["a"]));
        assert_eq!(memberships.next_to_leave(9, |_| false), names(&["a"]));
        memberships.join(&names(&["a"]));
        assert!(memberships.next_to_leave(9, |_| false).is_empty());
    }

    #[test]
    fn they_are_left_a_chunk_at_a_time() {
        let mut memberships = Memberships::default();
        memberships.join(&names(&["a", "b", "c"]));
        memberships.give_up(&names(&["a", "b", "c"]));
        let chunk = memberships.next_to_leave(2, |_| false);
        memberships.left(&chunk);
        assert_eq!((chunk.len(), memberships.all().len()), (2, 1));
    }
}
