//! What this node said in one room and has not got back in the order of all nodes.
//!
//! While the room is ordered, a publication waits here until it comes back, and is delivered then.
//! When that takes too long the room falls: what waits is delivered at once, in the order in which
//! it was said, and what is said from then on too. Numbers up to the watermark were delivered so;
//! when they come back after all, nothing is delivered twice. A room is ordered again once its own
//! publications come back in time.
//!
//! Pure. Bound: [`Load`], shared by the rooms of one Redis.

use crate::broker::Publication;
use crate::clock::Millis;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// How much waits over one Redis, and may: as much as its outbox holds.
#[derive(Debug)]
pub struct Load {
    entries: AtomicUsize,
    bytes: AtomicUsize,
    entries_max: usize,
    bytes_max: usize,
}

impl Load {
    /// Nothing waits; at most this much may.
    #[must_use]
    pub fn new(entries_max: usize, bytes_max: usize) -> Self {
        Self {
            entries: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            entries_max,
            bytes_max,
        }
    }

    /// Publications that wait.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.entries.load(Relaxed)
    }

    fn is_full(&self) -> bool {
        self.entries() >= self.entries_max || self.bytes.load(Relaxed) >= self.bytes_max
    }

    fn add(&self, publication: &Publication) {
        self.entries.fetch_add(1, Relaxed);
        self.bytes.fetch_add(publication.bytes(), Relaxed);
    }

    fn remove(&self, publication: &Publication) {
        self.entries.fetch_sub(1, Relaxed);
        self.bytes.fetch_sub(publication.bytes(), Relaxed);
    }
}

#[derive(Clone, Debug)]
struct Waiting {
    number: u64,
    since: Millis,
    publication: Publication,
}

/// Where a publication is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// When it comes back.
    Ordered,
    /// At once, behind those that were taken out.
    Local,
}

/// An own publication that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Back {
    /// It waited here: it was taken out, behind those before it.
    Waited,
    /// It was delivered at once.
    Known,
    /// Of another life of the room: nobody here has had it.
    Stranger,
}

/// One room's own publications.
#[derive(Debug)]
pub struct Unconfirmed {
    load: Arc<Load>,
    incarnation: u64,
    waiting: VecDeque<Waiting>,
    /// The last number that was delivered.
    watermark: u64,
    /// The same of the life of the room before this one: what was published there by the room's name,
    /// with nobody in it, may have been given to those who came meanwhile.
    before: (u64, u64),
    /// Too late once: nothing waits here until it comes back in time again.
    has_fallen: bool,
    /// A publication of which it is seen how long it takes, and when it was said.
    probe: Option<(u64, Millis)>,
}

impl Drop for Unconfirmed {
    /// Whatever becomes of the room, its place is free again.
    fn drop(&mut self) {
        self.take(u64::MAX, &mut Vec::new());
    }
}

impl Unconfirmed {
    /// Nothing was said yet.
    #[must_use]
    pub fn new(load: Arc<Load>) -> Self {
        Self {
            load,
            incarnation: 0,
            waiting: VecDeque::new(),
            watermark: 0,
            before: (0, 0),
            has_fallen: false,
            probe: None,
        }
    }

    /// Since when the oldest one waits.
    #[must_use]
    pub fn oldest(&self) -> Option<Millis> {
        self.waiting.front().map(|waiting| waiting.since)
    }

    /// Does the room go on alone?
    #[must_use]
    pub fn has_fallen(&self) -> bool {
        self.has_fallen
    }

    /// The `number`th publication of a life of the room. With `may_wait` it waits, unless the room
    /// has fallen or there is no place; else those that wait go into `earlier`.
    pub fn say(
        &mut self,
        (incarnation, number): (u64, u64),
        publication: &Publication,
        now: Millis,
        may_wait: bool,
        earlier: &mut Vec<Publication>,
    ) -> Placed {
        if incarnation < self.incarnation {
            return Placed::Local; // Of a room that nobody is in.
        }
        if incarnation > self.incarnation {
            // Nobody is left who could be given the old ones.
            let before = (self.incarnation, self.watermark);
            *self = Self::new(Arc::clone(&self.load));
            (self.incarnation, self.before) = (incarnation, before);
        }
        if may_wait && !self.has_fallen && !self.load.is_full() {
            self.load.add(publication);
            self.waiting.push_back(Waiting {
                number,
                since: now,
                publication: publication.clone(),
            });
            return Placed::Ordered;
        }
        self.take(u64::MAX, earlier);
        self.watermark = number;
        if self.has_fallen && self.probe.is_none() {
            self.probe = Some((number, now));
        }
        Placed::Local
    }

    /// The room falls: what waits goes into `earlier`. How many did.
    pub fn fall(&mut self, earlier: &mut Vec<Publication>) -> u64 {
        self.has_fallen = true;
        self.take(u64::MAX, earlier)
    }

    /// The way is as good as new: the room is ordered again.
    pub fn rise(&mut self) {
        self.has_fallen = false;
        self.probe = None;
    }

    /// An own publication came back, which `patience` allows for. What waited up to it goes into
    /// `ready`: those before it that did not come back never will.
    pub fn back(
        &mut self,
        (incarnation, number): (u64, u64),
        now: Millis,
        patience: Duration,
        ready: &mut Vec<Publication>,
    ) -> Back {
        if incarnation != self.incarnation {
            let (life, delivered) = self.before;
            return if incarnation == life && number <= delivered {
                Back::Known
            } else {
                Back::Stranger
            };
        }
        if self.has_fallen {
            let is_quick = match self.probe {
                Some((probe, since)) if number >= probe => {
                    self.probe = None;
                    now.since(since) <= patience
                }
                _ => false,
            };
            if is_quick || number >= self.watermark {
                self.rise();
            }
        }
        if number <= self.watermark {
            return Back::Known;
        }
        match self.take(number, ready) {
            0 => Back::Stranger,
            _ => Back::Waited,
        }
    }

    /// Takes out what waits up to `number`; how many those are.
    fn take(&mut self, number: u64, into: &mut Vec<Publication>) -> u64 {
        let mut taken = 0;
        while let Some(waiting) = self
            .waiting
            .pop_front_if(|waiting| waiting.number <= number)
        {
            self.load.remove(&waiting.publication);
            self.watermark = self.watermark.max(waiting.number);
            into.push(waiting.publication);
            taken += 1;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    const PATIENCE: Duration = Duration::from_millis(250);

    fn publication(number: u64) -> Publication {
        Publication {
            frame: Bytes::copy_from_slice(&number.to_be_bytes()),
            deadline: Millis::NEVER,
            event: None,
        }
    }

    fn numbers(publications: &[Publication]) -> Vec<u64> {
        let number = |one: &Publication| u64::from_be_bytes(one.frame[..].try_into().unwrap());
        publications.iter().map(number).collect()
    }

    struct Room {
        unconfirmed: Unconfirmed,
        load: Arc<Load>,
        shown: Vec<Publication>,
    }

    impl Room {
        fn new() -> Self {
            let load = Arc::new(Load::new(4, 1 << 20));
            Self {
                unconfirmed: Unconfirmed::new(Arc::clone(&load)),
                load,
                shown: Vec::new(),
            }
        }

        fn say(&mut self, number: u64, now: u64, may_wait: bool) -> Placed {
            let (one, key) = (publication(number), (1, number));
            let now = Millis(now);
            let said = self
                .unconfirmed
                .say(key, &one, now, may_wait, &mut self.shown);
            if said == Placed::Local {
                self.shown.push(one);
            }
            said
        }

        fn back(&mut self, number: u64, now: u64) -> Back {
            let key = (1, number);
            self.unconfirmed
                .back(key, Millis(now), PATIENCE, &mut self.shown)
        }
    }

    #[test]
    fn what_is_said_waits_until_it_comes_back() {
        let mut room = Room::new();
        assert_eq!(room.say(1, 0, true), Placed::Ordered);
        assert_eq!(room.say(2, 5, true), Placed::Ordered);
        assert!(room.shown.is_empty());
        assert_eq!(room.unconfirmed.oldest(), Some(Millis(0)));
        assert_eq!(room.back(1, 6), Back::Waited);
        assert_eq!(room.back(1, 6), Back::Known);
        assert_eq!(room.unconfirmed.oldest(), Some(Millis(5)));
        assert_eq!(room.back(2, 7), Back::Waited);
        assert_eq!((numbers(&room.shown), room.load.entries()), (vec![1, 2], 0));
    }

    #[test]
    fn one_that_never_comes_back_is_shown_in_front_of_the_next() {
        let mut room = Room::new();
        for number in 1..=3 {
            room.say(number, 0, true);
        }
        assert_eq!(room.back(3, 1), Back::Waited);
        assert_eq!(numbers(&room.shown), [1, 2, 3]);
    }

    #[test]
    fn a_room_that_falls_shows_everything_once_and_in_order() {
        let mut room = Room::new();
        for number in 1..=2 {
            room.say(number, 0, true);
        }
        assert_eq!(room.unconfirmed.fall(&mut room.shown), 2);
        assert_eq!(room.say(3, 300, true), Placed::Local);
        // They come back late: the room stays alone, and shows nothing twice.
        for number in 1..=2 {
            assert_eq!(room.back(number, 900), Back::Known);
            assert!(room.unconfirmed.has_fallen());
        }
        // With the last of them it has nothing outstanding.
        assert_eq!(room.back(3, 900), Back::Known);
        assert!(!room.unconfirmed.has_fallen());
        assert_eq!(room.say(4, 901, true), Placed::Ordered);
        assert_eq!(room.back(4, 902), Back::Waited);
        assert_eq!(numbers(&room.shown), [1, 2, 3, 4]);
    }

    #[test]
    fn a_busy_room_is_ordered_again_once_one_comes_back_in_time() {
        let mut room = Room::new();
        room.say(1, 0, true);
        room.unconfirmed.fall(&mut room.shown);
        for number in 2..=9 {
            room.say(number, 1_000, true);
        }
        assert_eq!(room.back(1, 1_010), Back::Known);
        assert!(room.unconfirmed.has_fallen());
        room.back(2, 1_020);
        assert!(
            !room.unconfirmed.has_fallen(),
            "9 is outstanding, but 2 was quick"
        );
        assert_eq!(room.say(10, 1_021, true), Placed::Ordered);
        for number in 3..=10 {
            room.back(number, 1_022);
        }
        assert_eq!(numbers(&room.shown), (1..=10).collect::<Vec<u64>>());
    }

    #[test]
    fn without_a_place_nothing_waits_any_longer() {
        let mut room = Room::new();
        for number in 1..=4 {
            assert_eq!(room.say(number, 0, true), Placed::Ordered);
        }
        assert_eq!(room.say(5, 0, true), Placed::Local);
        assert_eq!(
            (numbers(&room.shown), room.load.entries()),
            ((1..=5).collect(), 0)
        );
    }

    #[test]
    fn what_fell_in_the_life_before_is_not_shown_again_when_it_comes_back() {
        let mut room = Room::new();
        room.say(1, 0, true);
        assert_eq!(room.unconfirmed.fall(&mut room.shown), 1);
        let two = publication(2);
        let said = room
            .unconfirmed
            .say((2, 1), &two, Millis(300), true, &mut room.shown);
        assert_eq!(said, Placed::Ordered);
        assert_eq!(room.back(1, 900), Back::Known, "of the first life");
        assert_eq!(room.back(2, 900), Back::Stranger, "nobody has had it");
        assert_eq!(numbers(&room.shown), [1]);
    }

    #[test]
    fn a_room_that_dies_and_comes_back_begins_anew() {
        let mut room = Room::new();
        room.say(1, 0, true);
        let one = publication(1);
        let said = room
            .unconfirmed
            .say((2, 1), &one, Millis(1), true, &mut room.shown);
        assert_eq!((said, room.load.entries()), (Placed::Ordered, 1));
        assert_eq!(room.back(1, 2), Back::Stranger, "of the first life");
        assert_eq!(room.unconfirmed.oldest(), Some(Millis(1)));
    }
}
