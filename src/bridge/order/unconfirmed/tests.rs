//! What waits to come back, and what no longer does.

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
    load: Arc<UnconfirmedLoad>,
    shown: Vec<Publication>,
}

impl Room {
    fn new() -> Self {
        let load = Arc::new(UnconfirmedLoad::new(4, 1 << 20));
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
    // Both come back late: the room stays alone, and shows nothing twice.
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
