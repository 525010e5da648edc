//! What is appended and not answered: what follows is not to be appended before it, see `append/rooms.lua`.
//!
//! Redis as a whole may refuse some and take what follows: those are sent again, so what follows waits for them. What is
//! refused for its room alone is done with, and nothing waits for it.
//!
//! Pure. Bound: rooms with something on its way.

use crate::name::RoomName;
use std::collections::HashMap;

/// Of one room.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    /// The last number that is on its way.
    last: u64,
    /// Nothing is waited for up to there: something was refused for the room alone while these were on their way.
    refused: u64,
}

/// The rooms of one Redis.
#[derive(Debug, Default)]
pub(super) struct OnTheWay(HashMap<RoomName, Numbers>);

impl OnTheWay {
    /// What leaves next, up to this number, is behind another one, if any.
    pub(super) fn leave(&mut self, name: &RoomName, last: u64) -> Option<u64> {
        let Some(numbers) = self.0.get_mut(name.as_str()) else {
            let refused = 0;
            self.0.insert(name.clone(), Numbers { last, refused });
            return None;
        };
        let behind = std::mem::replace(&mut numbers.last, last);
        (behind > numbers.refused).then_some(behind)
    }

    /// Everything up to this number was refused for the room alone, and what is on its way may have been.
    pub(super) fn refuse(&mut self, name: &RoomName) {
        if let Some(numbers) = self.0.get_mut(name.as_str()) {
            numbers.refused = numbers.last;
        }
    }

    /// Is nothing that waits for this number to be appended?
    pub(super) fn is_refused(&self, name: &RoomName, behind: u64) -> bool {
        let numbers = self.0.get(name.as_str());
        numbers.is_some_and(|numbers| behind <= numbers.refused)
    }

    /// Redis has answered for everything up to this number.
    pub(super) fn settle(&mut self, name: &RoomName, last: u64) {
        if self.0.get(name.as_str()).map(|numbers| numbers.last) == Some(last) {
            self.0.remove(name.as_str());
        }
    }

    /// A session begins or has ended: all of it is sent again.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_waits_for_what_is_on_its_way_and_not_for_what_was_refused_for_the_room() {
        let name = RoomName::chat("1", "abc").unwrap();
        let mut way = OnTheWay::default();
        assert_eq!(way.leave(&name, 2), None);
        assert_eq!(way.leave(&name, 5), Some(2));
        assert_eq!(way.leave(&name, 6), Some(5));
        // The first was refused.
        way.refuse(&name);
        way.settle(&name, 2);
        assert_eq!(way.leave(&name, 8), None);
        // Those that were on their way then find the room whole, and 2 missing.
        assert!(way.is_refused(&name, 2) && way.is_refused(&name, 5));
        way.settle(&name, 5);
        assert_eq!(way.leave(&name, 9), Some(8));
        assert!(!way.is_refused(&name, 8));
        way.settle(&name, 9);
        assert_eq!(way.leave(&name, 10), None);
        way.clear();
        assert!(!way.is_refused(&name, 2));
    }
}
