//! What this node said lately: the last number of each room in which it spoke, for marks.
//!
//! A mark is to be told once a room has been quiet for a while, unless Redis says that nobody else listens. Until they
//! expire, all are kept for nodes that return and ask, those of rooms that have died since too.
//!
//! Pure. Bounds: `bridge.marks_capacity` rooms for `bridge.marks_expiry`; what has not been told does not expire. At
//! the bound the room that spoke first goes, and is counted.

use super::letter::RoomMark;
use crate::clock::Millis;
use crate::name::RoomName;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[derive(Debug)]
struct SaidRoom {
    name: RoomName,
    number: u64,
    at: Millis,
    is_told: bool,
}

/// The rooms in which this node spoke lately, by their incarnations: each is one room's alone.
#[derive(Debug)]
pub(in crate::bridge) struct SaidMarks {
    capacity: usize,
    expiry: Duration,
    rooms: BTreeMap<u64, SaidRoom>,
    by_time: BTreeSet<(Millis, u64)>,
    /// Of these, those whose mark nobody was told.
    untold: BTreeSet<(Millis, u64)>,
    /// When the newest of those spoke that are forgotten.
    forgotten_until: Option<Millis>,
    /// Rooms forgotten for want of room, not yet counted in the metrics.
    pub(in crate::bridge) forgotten: u64,
}

impl SaidMarks {
    pub(in crate::bridge) fn new(capacity: usize, expiry: Duration) -> Self {
        Self {
            capacity,
            expiry,
            rooms: BTreeMap::new(),
            by_time: BTreeSet::new(),
            untold: BTreeSet::new(),
            forgotten_until: None,
            forgotten: 0,
        }
    }

    /// The room's messages up to this number are on their way, or dropped.
    pub(in crate::bridge) fn say(
        &mut self,
        name: &RoomName,
        (incarnation, number): (u64, u64),
        now: Millis,
    ) {
        let mut number = number;
        if let Some(known) = self.rooms.get_mut(&incarnation) {
            number = number.max(known.number);
            if known.at == now && !known.is_told {
                known.number = number;
                return;
            }
            let at = (known.at, incarnation);
            self.by_time.remove(&at);
            self.untold.remove(&at);
            (known.number, known.at, known.is_told) = (number, now, false);
        } else {
            self.make_room();
            let said = SaidRoom {
                name: name.clone(),
                number,
                at: now,
                is_told: false,
            };
            self.rooms.insert(incarnation, said);
        }
        self.by_time.insert((now, incarnation));
        self.untold.insert((now, incarnation));
    }

    fn make_room(&mut self) {
        while self.rooms.len() >= self.capacity
            && let Some((at, incarnation)) = self.by_time.pop_first()
        {
            self.untold.remove(&(at, incarnation));
            self.rooms.remove(&incarnation);
            self.forgotten_until = self.forgotten_until.max(Some(at));
            self.forgotten += 1;
        }
    }

    /// Nobody needs to be told of the room's messages up to this number any more.
    pub(in crate::bridge) fn told(&mut self, incarnation: u64, number: u64) {
        if let Some(known) = self.rooms.get_mut(&incarnation)
            && known.number <= number
        {
            known.is_told = true;
            self.untold.remove(&(known.at, incarnation));
        }
    }

    /// Forgets what has been kept for long enough.
    pub(in crate::bridge) fn expire(&mut self, now: Millis) {
        let before = now - self.expiry;
        while let Some(&(at, incarnation)) = self.by_time.first()
            && at < before
            && !self.untold.contains(&(at, incarnation))
        {
            self.by_time.pop_first();
            self.rooms.remove(&incarnation);
            self.forgotten_until = self.forgotten_until.max(Some(at));
        }
    }

    /// Marks to be told of rooms that have been quiet since `before`, in the order of their incarnations.
    pub(in crate::bridge) fn quiet(&self, before: Millis) -> Vec<RoomMark> {
        let quiet = self.untold.iter().take_while(|(at, _)| *at <= before);
        self.marks(quiet)
    }

    /// Marks of the rooms that spoke since then, in the order of their incarnations.
    pub(in crate::bridge) fn since(&self, since: Millis) -> Vec<RoomMark> {
        self.marks(self.by_time.range((since, 0)..))
    }

    /// Is everything known that was said since then?
    pub(in crate::bridge) fn is_whole_since(&self, since: Millis) -> bool {
        self.forgotten_until.is_none_or(|until| until < since)
    }

    /// Rooms that are remembered.
    #[cfg(test)]
    fn len(&self) -> usize {
        assert_eq!(self.rooms.len(), self.by_time.len());
        self.rooms.len()
    }

    fn marks<'a>(&self, found: impl Iterator<Item = &'a (Millis, u64)>) -> Vec<RoomMark> {
        let mark = |&(_, incarnation): &(Millis, u64)| {
            let said = self.rooms.get(&incarnation)?;
            Some(RoomMark {
                name: said.name.clone(),
                incarnation,
                number: said.number,
                has_begun: false,
            })
        };
        let mut marks: Vec<RoomMark> = found.filter_map(mark).collect();
        // Who hears the end of a room's life after the next one's does not count it.
        marks.sort_unstable_by_key(|mark| mark.incarnation);
        marks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(room: u64) -> RoomName {
        RoomName::chat("1", &room.to_string()).unwrap()
    }

    fn said(capacity: usize) -> SaidMarks {
        SaidMarks::new(capacity, Duration::from_secs(600))
    }

    fn numbers(marks: &[RoomMark]) -> Vec<(u64, u64)> {
        let number = |mark: &RoomMark| (mark.incarnation, mark.number);
        marks.iter().map(number).collect()
    }

    #[test]
    fn a_room_that_went_quiet_tells_its_mark_once_and_again_after_its_next_word() {
        let mut marks = said(10);
        marks.say(&name(1), (1, 7), Millis(1_000));
        assert!(marks.quiet(Millis(999)).is_empty(), "not yet");
        assert_eq!(numbers(&marks.quiet(Millis(1_000))), [(1, 7)]);
        marks.told(1, 7);
        assert!(marks.quiet(Millis(9_000)).is_empty(), "told");
        marks.say(&name(1), (1, 8), Millis(2_000));
        marks.told(1, 7);
        assert_eq!(numbers(&marks.quiet(Millis(2_000))), [(1, 8)]);
    }

    #[test]
    fn a_smaller_number_that_comes_later_takes_nothing_back() {
        let mut marks = said(10);
        // A full outbox dropped the ninth while the eighth waited in it.
        marks.say(&name(1), (1, 9), Millis(1_000));
        marks.say(&name(1), (1, 8), Millis(1_500));
        assert_eq!(numbers(&marks.quiet(Millis(1_500))), [(1, 9)]);
    }

    #[test]
    fn who_returns_is_told_what_was_said_since_then_told_before_or_not() {
        let mut marks = said(10);
        for room in 1..=4 {
            marks.say(&name(room), (room, 10 * room), Millis(1_000 * room));
        }
        marks.told(3, 30);
        assert_eq!(numbers(&marks.since(Millis(2_500))), [(3, 30), (4, 40)]);
        assert!(marks.is_whole_since(Millis(0)));
    }

    #[test]
    fn what_was_told_expires_and_what_was_not_does_not() {
        let mut marks = said(10);
        marks.say(&name(1), (1, 1), Millis(1_000));
        marks.say(&name(2), (2, 1), Millis(2_000));
        marks.told(1, 1);
        marks.expire(Millis(1_000_000));
        assert_eq!(numbers(&marks.since(Millis(0))), [(2, 1)]);
        assert!(marks.is_whole_since(Millis(1_001)) && !marks.is_whole_since(Millis(1_000)));
        assert_eq!(marks.forgotten, 0, "nothing for want of room");
    }

    #[test]
    fn at_the_bound_the_room_that_spoke_first_goes_and_is_counted() {
        let mut marks = said(3);
        for (room, at) in [(1, 10), (2, 20), (3, 30), (1, 40), (4, 50)] {
            marks.say(&name(room), (room, at), Millis(at));
        }
        assert_eq!(
            numbers(&marks.since(Millis(0))),
            [(1, 40), (3, 30), (4, 50)]
        );
        assert_eq!((marks.forgotten, marks.len()), (1, 3));
        assert!(!marks.is_whole_since(Millis(20)) && marks.is_whole_since(Millis(21)));
    }

    proptest! {
        /// As a plain list of all that was said has it, whatever is told in between.
        #[test]
        fn nothing_said_is_missing(steps in proptest::collection::vec((0_u64..6, any::<bool>()), 1..120)) {
            let mut marks = said(100);
            let mut model: BTreeMap<u64, (u64, u64, bool)> = BTreeMap::new();
            for (at, (room, tells)) in steps.into_iter().enumerate() {
                let at = at as u64;
                if tells {
                    let number = model.get(&room).map_or(0, |(number, ..)| *number);
                    marks.told(room, number);
                    model.entry(room).and_modify(|(_, _, told)| *told = true);
                } else {
                    let number = model.get(&room).map_or(1, |(number, ..)| number + 1);
                    marks.say(&name(room), (room, number), Millis(at));
                    model.insert(room, (number, at, false));
                }
                let half = at / 2;
                let untold = model.iter().filter(|(_, (_, said, told))| !told && *said <= half);
                let untold: Vec<_> = untold.map(|(room, (number, ..))| (*room, *number)).collect();
                prop_assert_eq!(numbers(&marks.quiet(Millis(half))), untold);
                let since = model.iter().filter(|(_, (_, said, _))| *said >= half);
                let since: Vec<_> = since.map(|(room, (number, ..))| (*room, *number)).collect();
                prop_assert_eq!(numbers(&marks.since(Millis(half))), since);
            }
        }
    }
}
