//! Rooms on the workers of a broker: shared out evenly, however they come.

use super::super::parcel::RoomSlot;
use super::super::room::Room;
use super::super::{Broker, Wake};
use super::*;
use crate::config;
use std::time::Duration;

const NOW: Millis = Millis(1_000_000);

/// Starts of a node, each with other chances.
const STARTS: u64 = 32;

/// Of twelve equal rooms on two workers.
const MOST: usize = 8;

fn broker(workers: usize) -> Broker {
    let settings = config::BrokerSettings {
        spread_above: 200,
        ..config::Config::default().broker
    };
    let wakes = (0..workers).map(|_| Box::new(|| {}) as Wake).collect();
    Broker::new(&settings, wakes, None)
}

fn name(session: impl fmt::Display) -> RoomName {
    RoomName::chat("1", &session.to_string()).expect("a legal name")
}

/// A member of a room, as its worker has it.
struct Member {
    room: Arc<Room>,
    worker: usize,
}

/// A connection arrives: what the worker does.
fn arrive(broker: &Broker, room: &RoomName, passage: Passage) -> Member {
    let worker = passage.worker();
    let joined = broker.join(room, worker, RoomSlot::default);
    broker.placement().arrived(worker);
    drop(passage);
    let room = joined.room;
    Member { room, worker }
}

fn enter(broker: &Broker, room: &RoomName, now: Millis) -> Member {
    broker.placement().worked(0, now, ACCEPT);
    let passage = broker.place(Some(room), now);
    arrive(broker, room, passage)
}

fn leave(broker: &Broker, member: &Member) {
    broker.leave(&member.room, member.worker);
    broker.placement().left(member.worker);
}

fn homes(broker: &Broker, rooms: &[RoomName]) -> [usize; 2] {
    let mut homes = [0; 2];
    for room in rooms {
        let room = broker.find(room).expect("a room with members");
        let on = |worker| room.slot_on(worker).is_some();
        assert!(on(0) != on(1), "a small room is on one worker");
        homes[usize::from(on(1))] += 1;
    }
    homes
}

/// Small and repeatable (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// Twelve rooms come in the way of `come`, in 32 starts: the most that one worker got.
fn most_of_twelve(come: impl Fn(&Broker, &[RoomName], &mut Chance)) -> usize {
    let start = |seed| {
        let mut chance = Chance(seed);
        let broker = broker(2);
        let rooms: Vec<_> = (0..12).map(|_| name(chance.below(usize::MAX))).collect();
        come(&broker, &rooms, &mut chance);
        let homes = homes(&broker, &rooms);
        homes[0].max(homes[1])
    };
    (1..=STARTS)
        .map(|seed| start(seed * 0x9e37_79b9))
        .max()
        .unwrap_or(0)
}

#[test]
fn twelve_equal_rooms_are_at_most_eight_to_four_however_they_come() {
    let one_by_one = |members: usize| {
        most_of_twelve(|broker, rooms, _| {
            for room in rooms {
                for _ in 0..members {
                    enter(broker, room, NOW);
                }
            }
        })
    };
    for members in [1, 2, 3, 10, 100] {
        assert!(
            one_by_one(members) <= MOST,
            "{members} members, room by room"
        );
    }
    let in_turns = most_of_twelve(|broker, rooms, _| {
        for _ in 0..10 {
            for room in rooms {
                enter(broker, room, NOW);
            }
        }
    });
    assert!(in_turns <= MOST, "{in_turns} in turns");
    let by_chance = |members: usize| {
        most_of_twelve(|broker, rooms, chance| {
            let mut coming: Vec<_> = rooms.iter().cycle().take(12 * members).collect();
            while !coming.is_empty() {
                enter(broker, coming.swap_remove(chance.below(coming.len())), NOW);
            }
        })
    };
    for members in [2, 5, 10, 50] {
        assert!(
            by_chance(members) <= MOST,
            "{members} members, in any order"
        );
    }
    let at_once = most_of_twelve(|broker, rooms, chance| {
        let mut coming: Vec<_> = rooms
            .iter()
            .flat_map(|room| [room; 3])
            .map(|room| (room, broker.place(Some(room), NOW)))
            .collect();
        while !coming.is_empty() {
            let (room, passage) = coming.swap_remove(chance.below(coming.len()));
            arrive(broker, room, passage);
        }
    });
    assert!(at_once <= 6, "{at_once} at the same instant");
    let chatting = most_of_twelve(|broker, rooms, chance| {
        for (second, room) in rooms.iter().enumerate() {
            let now = NOW + Duration::from_secs(second as u64);
            for _ in 0..10 {
                let member = enter(broker, room, now);
                let said = 10 * chance.below(5) as u64;
                broker.placement().worked(member.worker, now, said);
            }
        }
    });
    assert!(chatting <= MOST, "{chatting} that chat at once");
}

#[test]
fn rooms_that_come_on_many_threads_at_once_are_shared_out() {
    for _ in 0..STARTS {
        let broker = broker(2);
        let rooms: Vec<_> = (0..12).map(name).collect();
        std::thread::scope(|scope| {
            for room in &rooms {
                scope.spawn(|| {
                    let passages = [(); 2].map(|()| broker.place(Some(room), NOW));
                    passages.map(|passage| arrive(&broker, room, passage))
                });
            }
        });
        let homes = homes(&broker, &rooms);
        assert!(homes.iter().all(|&rooms| rooms <= MOST), "{homes:?}");
    }
}

#[test]
fn first_members_that_come_at_once_are_sent_to_one_worker() {
    let broker = broker(4);
    let room = name("new");
    let mut passages: Vec<_> = (0..10).map(|_| broker.place(Some(&room), NOW)).collect();
    let worker = passages[0].worker();
    assert!(passages.iter().all(|passage| passage.worker() == worker));
    assert_eq!(broker.placement().connections(worker), 10);
    let member = arrive(&broker, &room, passages.remove(3));
    assert_eq!(broker.place(Some(&room), NOW).worker(), worker);
    // The others never come: nothing of them is left.
    drop(passages);
    assert_eq!(broker.placement().connections(worker), 1);
    assert!(broker.placement().book.lock().rooms.is_empty());
    leave(&broker, &member);
    assert_eq!(broker.placement().load(worker, NOW), 0);
}

#[test]
fn a_room_that_is_empty_again_has_forgotten_its_worker() {
    let broker = broker(2);
    let room = name("again");
    let member = enter(&broker, &room, NOW);
    let first = member.worker;
    leave(&broker, &member);
    for _ in 0..3 {
        broker.placement().arrived(first);
    }
    let member = enter(&broker, &room, NOW);
    assert_ne!(member.worker, first);
}

#[test]
fn rooms_that_come_and_go_leave_nothing_behind_and_stay_shared_out() {
    let mut chance = Chance(7);
    let broker = broker(2);
    let mut members = Vec::new();
    for number in 0..5_000 {
        members.push(enter(&broker, &name(number), NOW));
        if members.len() == 100 {
            leave(&broker, &members.swap_remove(chance.below(100)));
        }
        let placement = broker.placement();
        let (one, two) = (placement.connections(0), placement.connections(1));
        assert_eq!(one + two, members.len());
    }
    for member in &members {
        leave(&broker, member);
    }
    assert_eq!(
        [0, 1].map(|worker| broker.placement().connections(worker)),
        [0, 0]
    );
    assert_eq!(broker.rooms(), 0);
}

#[test]
fn light_rooms_keep_away_from_the_worker_of_a_heavy_one() {
    let broker = broker(2);
    let heavy = enter(&broker, &name("heavy"), NOW).worker;
    let light: Vec<_> = (0..11)
        .map(|number| name(format!("light-{number}")))
        .collect();
    for room in &light {
        // 1,000 deliveries between one room and the next.
        broker.placement().worked(heavy, NOW, 1_000);
        enter(&broker, room, NOW);
    }
    assert_eq!(homes(&broker, &light)[heavy], 0);
    // The heavy room has been quiet for long: the two differ by their connections alone.
    let later = NOW + Duration::from_secs(300);
    assert_eq!(enter(&broker, &name("later"), later).worker, heavy);
}

#[test]
fn work_is_forgotten_by_half_in_eight_seconds() {
    let broker = broker(1);
    let placement = broker.placement();
    placement.worked(0, NOW, 10_000);
    placement.worked(0, NOW, 0);
    let after = |milliseconds| placement.load(0, NOW + Duration::from_millis(milliseconds));
    assert_eq!([0, 8_192, 16_384].map(after), [10_000, 5_000, 2_500]);
    assert_eq!(after(600_000), 0);
    // However often it is added to.
    for turn in 1..=819_u64 {
        placement.worked(0, NOW + Duration::from_millis(10 * turn), 1);
    }
    assert!((5_500..5_700).contains(&after(8_192)), "{}", after(8_192));
}

#[test]
fn connections_without_a_room_go_where_there_is_least_to_do_and_in_turns_among_equals() {
    let broker = broker(3);
    let mut passages: Vec<_> = (0..9).map(|_| broker.place(None, NOW)).collect();
    let per_worker = |passages: &[Passage]| {
        [0, 1, 2].map(|worker| {
            passages
                .iter()
                .filter(|passage| passage.worker() == worker)
                .count()
        })
    };
    assert_eq!(per_worker(&passages), [3, 3, 3]);
    passages.retain(|passage| passage.worker() != 1);
    passages.extend((0..3).map(|_| broker.place(None, NOW)));
    assert_eq!(per_worker(&passages), [3, 3, 3]);
    // One at a time on an idle node: not always the same worker.
    drop(passages);
    let mut seen = [0; 3];
    for _ in 0..9 {
        seen[broker.place(None, NOW).worker()] += 1;
    }
    assert_eq!(seen, [3, 3, 3]);
}

#[test]
fn a_worker_that_has_ended_is_sent_nobody() {
    let broker = broker(2);
    broker.placement().ended(1);
    for number in 0..10 {
        assert_eq!(broker.place(Some(&name(number)), NOW).worker(), 0);
        assert_eq!(broker.place(None, NOW).worker(), 0);
    }
}

#[test]
fn new_rooms_stay_away_from_a_worker_that_waits_for_a_consumer() {
    let broker = broker(2);
    assert!(!broker.placement().is_any_stuck());
    assert!(!broker.placement().set_stuck(1, true), "it was not before");
    for number in 0..8 {
        assert_eq!(enter(&broker, &name(number), NOW).worker, 0);
    }
    assert!(broker.placement().is_any_stuck());
    assert!(broker.placement().set_stuck(1, false), "it was before");
    assert!(!broker.placement().is_any_stuck());
    assert_eq!(enter(&broker, &name("new"), NOW).worker, 1);
}

#[test]
fn a_large_room_does_not_spread_to_a_worker_that_has_ended() {
    let broker = broker(3);
    let room = name("large");
    let home = enter(&broker, &room, NOW).worker;
    for _ in 1..200 {
        assert_eq!(enter(&broker, &room, NOW).worker, home);
    }
    let ended = (home + 1) % 3;
    broker.placement().ended(ended);
    for _ in 0..10 {
        assert_ne!(enter(&broker, &room, NOW).worker, ended);
    }
}

#[test]
fn a_large_room_still_spreads_and_takes_the_worker_with_less_to_do() {
    let broker = broker(3);
    let room = name("large");
    let home = enter(&broker, &room, NOW).worker;
    let members: Vec<_> = (1..200)
        .map(|_| enter(&broker, &room, NOW).worker)
        .collect();
    assert!(members.iter().all(|&worker| worker == home));
    let others = [0, 1, 2].into_iter().filter(|&worker| worker != home);
    let [busy, idle]: [usize; 2] = others.collect::<Vec<_>>().try_into().expect("two");
    broker.placement().worked(busy, NOW, 10_000);
    assert_eq!(enter(&broker, &room, NOW).worker, idle);
    assert_eq!(enter(&broker, &room, NOW).worker, busy);
}
