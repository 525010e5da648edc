//! Which rooms are subscribed, and when nobody waits for one any longer.

use super::*;

fn rooms() -> Subscriptions<()> {
    let randomness = Randomness::default();
    Subscriptions::new(Duration::from_secs(10), Duration::from_secs(1), &randomness)
}

fn name(session: &str) -> RoomName {
    RoomName::chat("1", session).unwrap()
}

#[test]
fn a_member_waits_until_redis_confirms_and_not_at_all_while_it_is_down() {
    let rooms = rooms();
    assert!(rooms.watch(&name("a"), Millis(0), || ()), "down");
    rooms.begin();
    assert!(!rooms.watch(&name("b"), Millis(0), || ()));
    assert_eq!(rooms.take_wanted(9), [name("b"), name("a")]);
    assert!(!rooms.confirm(&name("a")), "nobody waits there");
    assert!(rooms.confirm(&name("b")));
    assert!(!rooms.confirm(&name("b")), "told once");
    rooms.unwatch(&name("b"), Millis(0));
    assert!(
        rooms.watch(&name("b"), Millis(1), || ()),
        "still subscribed"
    );
    assert_eq!(rooms.counts(), (2, 2));
}

#[test]
fn rooms_whose_members_wait_come_before_those_that_are_subscribed_again() {
    let rooms = rooms();
    for room in 0..1_000 {
        rooms.watch(&name(&room.to_string()), Millis(0), || ());
    }
    rooms.begin();
    assert_eq!(rooms.take_wanted(100).len(), 100);
    assert!(!rooms.watch(&name("new"), Millis(0), || ()));
    // One that is to be subscribed again, and its turn would be late.
    let again = rooms.take_wanted(1);
    assert_eq!(again, [name("new")]);
    let late = rooms.table.lock().wanted.back().cloned().unwrap();
    for _ in 0..2 {
        assert!(!rooms.watch(&late, Millis(0), || ()));
    }
    assert_eq!(rooms.take_wanted(2)[0], late);
    assert!(!rooms.stands(&late));
    assert!(rooms.confirm(&late) && rooms.stands(&late));
    assert_eq!(rooms.standing(), [late]);
    let rest = std::iter::from_fn(|| Some(rooms.take_wanted(99)).filter(|some| !some.is_empty()));
    assert_eq!(rest.flatten().count(), 898, "each once");
}

#[test]
fn nobody_waits_longer_than_the_timeout_or_the_session() {
    let rooms = rooms();
    rooms.begin();
    rooms.watch(&name("a"), Millis(0), || ());
    assert!(rooms.due(Millis(999)).overdue.is_empty());
    assert_eq!(rooms.due(Millis(1_000)).overdue, [name("a")]);
    rooms.watch(&name("b"), Millis(1_000), || ());
    assert_eq!(rooms.end(), [name("b")]);
}

#[test]
fn a_room_is_given_up_after_the_linger_unless_somebody_came_back() {
    let rooms = rooms();
    rooms.begin();
    for room in ["a", "b"] {
        rooms.watch(&name(room), Millis(0), || ());
        rooms.unwatch(&name(room), Millis(0));
    }
    rooms.watch(&name("b"), Millis(5_000), || ());
    assert!(rooms.due(Millis(9_999)).idle.is_empty());
    assert_eq!(rooms.due(Millis(10_000)).idle, [name("a")]);
    rooms.unwatch(&name("b"), Millis(11_000));
    assert!(rooms.due(Millis(20_999)).idle.is_empty());
    assert_eq!(rooms.due(Millis(21_000)).idle, [name("b")]);
    assert_eq!(rooms.counts(), (0, 0));
}

#[test]
fn a_room_that_follows_another_of_its_name_is_not_given_up() {
    let rooms = rooms();
    rooms.begin();
    rooms.watch(&name("a"), Millis(0), || ());
    // The second one's first member comes before the first one's last is reported to have left.
    rooms.watch(&name("a"), Millis(1), || ());
    rooms.unwatch(&name("a"), Millis(2));
    assert!(rooms.due(Millis(60_000)).idle.is_empty());
}

#[test]
fn a_room_that_is_given_up_while_redis_is_down_is_not_counted_off() {
    let rooms = rooms();
    rooms.begin();
    rooms.watch(&name("a"), Millis(0), || ());
    rooms.take_wanted(1);
    rooms.confirm(&name("a"));
    rooms.unwatch(&name("a"), Millis(0));
    rooms.end();
    assert_eq!(rooms.due(Millis(10_000)).idle, [name("a")]);
    assert_eq!(rooms.counts(), (0, 0));
}

#[test]
fn every_session_asks_for_everything_again() {
    let rooms = rooms();
    rooms.begin();
    rooms.watch(&name("a"), Millis(0), || ());
    rooms.take_wanted(1);
    rooms.confirm(&name("a"));
    rooms.end();
    assert_eq!(rooms.counts(), (1, 0));
    rooms.begin();
    assert_eq!(rooms.take_wanted(9), [name("a")]);
    rooms.confirm(&name("a"));
    assert_eq!(rooms.counts(), (1, 1));
}

#[test]
fn a_room_that_redis_has_dropped_is_wanted_again_once_and_the_others_are_not() {
    let rooms = rooms();
    rooms.begin();
    for room in ["a", "b"] {
        rooms.watch(&name(room), Millis(0), || ());
    }
    rooms.take_wanted(2);
    rooms.confirm(&name("a"));
    rooms.lose("chat_1_nobody", |()| panic!("not wanted"));
    for _ in 0..2 {
        rooms.lose(name("a").as_str(), |()| {});
    }
    assert_eq!(rooms.counts(), (2, 0));
    assert_eq!(rooms.take_wanted(9), [name("a")]);
    // Asked for, and not confirmed before it was dropped: the answer is one of before.
    rooms.lose(name("b").as_str(), |()| {});
    assert!(!rooms.confirm(&name("b")));
    assert!(!rooms.stands(&name("b")));
    assert_eq!(rooms.take_wanted(9), [name("b")]);
    assert!(rooms.confirm(&name("b")), "its member still waits");
    rooms.confirm(&name("a"));
    assert_eq!(rooms.counts(), (2, 2));
}

#[test]
fn a_room_is_asked_for_although_somebody_has_read_it_before() {
    let rooms = rooms();
    rooms.begin();
    rooms.watch(&name("a"), Millis(0), || ());
    assert!(!rooms.confirm(&name("a")), "nobody has asked yet");
    assert_eq!(rooms.take_wanted(9), [name("a")]);
    assert!(rooms.confirm(&name("a")), "its member waits until then");
    // While a renewal is being made, another one begins.
    rooms.begin();
    assert!(!rooms.confirm(&name("a")));
    assert_eq!(rooms.counts(), (1, 0));
    assert_eq!(rooms.take_wanted(9), [name("a")]);
    rooms.unwatch(&name("a"), Millis(0));
    assert_eq!(rooms.due(Millis(10_000)).idle, [name("a")]);
    assert_eq!(rooms.counts(), (0, 0));
}
