//! What this node has appended to rooms in which nobody is here, such as by their names: these have no order that knows
//! how far they were seen, and should Redis lose it, nobody else may have heard of it.
//!
//! Pure. Bound: [`ROOMS`], and [`KEPT`]: no replica that lags by more is promoted.

use crate::bridge::order::SeenPlace;
use crate::clock::Millis;
use crate::name::RoomName;
use std::collections::HashMap;
use std::time::Duration;

/// Rooms of one Redis, the last that were spoken in.
const ROOMS: usize = 4096;

/// For so long after it was appended.
const KEPT: Duration = Duration::from_secs(600);

type Places = HashMap<RoomName, (SeenPlace, Millis)>;

/// The last places in such rooms.
#[derive(Debug, Default)]
pub(super) struct SpokenRooms {
    /// At most half of the rooms.
    young: Places,
    /// Those before.
    old: Places,
}

impl SpokenRooms {
    /// This node's newest entry in the room is there.
    pub(super) fn add(&mut self, name: &RoomName, place: SeenPlace, now: Millis) {
        if let Some(known) = self.young.get_mut(name.as_str()) {
            *known = (place, now);
            return;
        }
        if self.young.len() >= ROOMS / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(name.clone(), (place, now));
    }

    /// How far the room was seen.
    pub(super) fn seen(&self, name: &str) -> Option<SeenPlace> {
        let known = self.young.get(name).or_else(|| self.old.get(name));
        known.map(|(place, _)| *place)
    }

    /// The rooms, but for those that nobody has spoken in for long: these are forgotten.
    pub(super) fn recent(&mut self, now: Millis) -> Vec<RoomName> {
        for places in [&mut self.young, &mut self.old] {
            places.retain(|_, (_, at)| now.since(*at) < KEPT);
        }
        let young = &self.young;
        let old = self.old.keys().filter(|name| !young.contains_key(*name));
        young.keys().chain(old).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> RoomName {
        RoomName::chat("1", &number.to_string()).unwrap()
    }

    #[test]
    fn the_last_rooms_are_kept_with_their_last_places() {
        let mut rooms = SpokenRooms::default();
        for number in 0..3 * ROOMS {
            rooms.add(&name(number), (1, number as u64), Millis(0));
        }
        let last = 3 * ROOMS - 1;
        rooms.add(&name(last), (2, 1), Millis(0));
        assert_eq!(rooms.seen(name(last).as_str()), Some((2, 1)));
        assert_eq!(rooms.seen(name(0).as_str()), None);
        let kept = rooms.recent(Millis(0)).len();
        assert!((ROOMS / 2..=ROOMS).contains(&kept), "{kept}");
    }

    #[test]
    fn a_room_is_named_once_and_forgotten_when_nobody_has_spoken_there_for_long() {
        let mut rooms = SpokenRooms::default();
        for number in 0..=ROOMS / 2 {
            rooms.add(&name(number), (1, 1), Millis(0));
        }
        rooms.add(&name(0), (1, 2), Millis(0) + KEPT / 2);
        assert_eq!(rooms.seen(name(0).as_str()), Some((1, 2)));
        assert_eq!(rooms.recent(Millis(1)).len(), ROOMS / 2 + 1);
        assert_eq!(rooms.recent(Millis(0) + KEPT), [name(0)]);
        assert_eq!(rooms.seen(name(1).as_str()), None);
    }
}
