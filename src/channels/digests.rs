//! The rooms whose names are too long to be part of a channel's name, by the digest that stands there.
//!
//! A room is taken out when its group is left. One that was left while Redis was down is not: such rooms
//! are swept out before the table grows. Bound: [`SWEEP_MIN`], or twice the rooms that have members or
//! had some within `bridge.linger`.

use crate::name::RoomName;
use std::collections::HashMap;

/// Fewer entries than this are not swept: some 150 bytes each.
const SWEEP_MIN: usize = 64;

/// The table.
#[derive(Debug)]
pub(super) struct Digests {
    rooms: HashMap<String, RoomName>,
    /// Entries at which the next sweep is due.
    sweep_at: usize,
}

impl Default for Digests {
    fn default() -> Self {
        Self {
            rooms: HashMap::new(),
            sweep_at: SWEEP_MIN,
        }
    }
}

impl Digests {
    /// This digest stands for this room. `is_wanted` says whether a room is still one of this node.
    pub(super) fn insert(
        &mut self,
        digest: &str,
        room: &RoomName,
        is_wanted: impl Fn(&RoomName) -> bool,
    ) {
        if self.rooms.len() >= self.sweep_at {
            self.rooms.retain(|_, room| is_wanted(room));
            self.rooms.shrink_to(2 * self.rooms.len());
            self.sweep_at = SWEEP_MIN.max(2 * self.rooms.len());
        }
        self.rooms.insert(digest.to_owned(), room.clone());
    }

    pub(super) fn remove(&mut self, digest: &str) {
        self.rooms.remove(digest);
    }

    pub(super) fn get(&self, digest: &str) -> Option<&RoomName> {
        self.rooms.get(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::keys::digest_of;

    fn room(number: usize) -> RoomName {
        RoomName::chat("1", &format!("{}{number:06}", "x".repeat(58))).expect("a legal name")
    }

    #[test]
    fn rooms_that_were_left_unseen_are_swept_out_and_the_others_stay() {
        let mut digests = Digests::default();
        let is_wanted = |name: &RoomName| name.as_str().ends_with('7');
        for number in 0..100_000 {
            let name = room(number);
            digests.insert(&digest_of(name.as_str()), &name, |name| {
                is_wanted(name) && number < 5_000
            });
            let wanted = number.min(5_000) / 10 + 1;
            assert!(digests.rooms.len() <= SWEEP_MIN.max(2 * wanted) + 1);
        }
        assert!(
            digests.rooms.len() <= SWEEP_MIN + 1,
            "{}",
            digests.rooms.len()
        );

        let mut digests = Digests::default();
        for number in 0..5_000 {
            let name = room(number);
            digests.insert(&digest_of(name.as_str()), &name, is_wanted);
        }
        for number in (7..5_000).step_by(10) {
            let name = room(number);
            assert_eq!(digests.get(&digest_of(name.as_str())), Some(&name));
        }
        digests.remove(&digest_of(room(7).as_str()));
        assert_eq!(digests.get(&digest_of(room(7).as_str())), None);
    }
}
