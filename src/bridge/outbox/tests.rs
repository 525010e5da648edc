//! The outbox without a Redis: its bounds, its batches, and what is sent again.

use super::*;
use crate::bridge::envelope::Envelope;
use crate::broker::RoomSlot;
use crate::broker::{Broker, Wake};
use crate::config;
use crate::name::RoomName;
use std::time::Duration;

const NODE: NodeId = NodeId([1; 16]);

fn room(broker: &Broker, session: &str) -> Arc<Room> {
    let name = RoomName::chat("1", session).unwrap();
    broker.join(&name, 0, RoomSlot::default).room
}

fn broker() -> Broker {
    let wakes = vec![Box::new(|| {}) as Wake];
    Broker::new(&config::BrokerSettings::default(), wakes, None)
}

fn outgoing(room: &Arc<Room>, number: u64, deadline: u64) -> Outgoing {
    let publication = Publication {
        frame: Bytes::from_static(b"\x81\x01x"),
        deadline: Millis(deadline),
        event: None,
    };
    Outgoing {
        room: Arc::clone(room),
        number,
        what: What::Message(publication),
    }
}

fn sending(capacity: usize) -> (Arc<Outbox>, Sending) {
    let marks = Marks::new(100, Duration::from_secs(600));
    let outbox = Arc::new(Outbox::new(capacity, 1 << 20, marks));
    let sending = Sending::new(Arc::clone(&outbox), NODE, 1);
    (outbox, sending)
}

/// Rooms and numbers of a batch, in order.
fn said(batch: &OutboxBatch) -> Vec<(String, Vec<u64>)> {
    let numbers = |bytes: &[u8]| {
        let envelope = Envelope::read(bytes).unwrap();
        let numbers = envelope.entries().filter_map(|entry| match entry {
            EnvelopeEntry::Message { number, .. } => Some(number),
            EnvelopeEntry::Mark { number } => Some(number + 1_000),
            EnvelopeEntry::Hello => None,
        });
        numbers.collect()
    };
    let rooms = batch.parcels.iter();
    rooms
        .map(|parcel| {
            let name = parcel.room.name().session_id().to_owned();
            (name, numbers(&parcel.envelope))
        })
        .collect()
}

#[test]
fn a_full_outbox_takes_nothing_more_until_redis_has_answered() {
    let broker = broker();
    let room = room(&broker, "a");
    let (outbox, mut sending) = sending(3);
    let taken: Vec<bool> = (1..=5)
        .map(|number| outbox.offer(outgoing(&room, number, 100)))
        .collect();
    assert_eq!(taken, [true, true, true, false, false]);
    sending.collect();
    let batch = sending.batch(Millis(0), 0);
    assert_eq!((batch.entries, outbox.load()), (3, (3, 9)));
    assert!(
        !outbox.offer(outgoing(&room, 6, 100)),
        "on the wire is not answered"
    );
    sending.settle(batch.entries);
    assert_eq!(outbox.load(), (0, 0));
    assert!(outbox.offer(outgoing(&room, 7, 100)));
}

#[test]
fn a_tick_is_one_envelope_for_each_room_in_the_rooms_order() {
    let broker = broker();
    let (a, b) = (room(&broker, "a"), room(&broker, "b"));
    let (outbox, mut sending) = sending(100);
    for (room, number) in [(&a, 1), (&b, 1), (&a, 2), (&b, 2), (&a, 3)] {
        assert!(outbox.offer(outgoing(room, number, 100)));
    }
    sending.collect();
    let batch = sending.batch(Millis(0), 0);
    let expected = [
        ("a".to_owned(), vec![1, 2, 3]),
        ("b".to_owned(), vec![1, 2]),
    ];
    assert_eq!((said(&batch), batch.messages), (expected.to_vec(), 5));
    assert!(!sending.has_unsent());
}

#[test]
fn a_broken_session_sends_again_from_the_oldest_unanswered() {
    let broker = broker();
    let room = room(&broker, "a");
    let (outbox, mut sending) = sending(100);
    for number in 1..=4 {
        assert!(outbox.offer(outgoing(&room, number, 100 * number)));
        sending.collect();
        sending.batch(Millis(0), 0);
    }
    sending.settle(1);
    sending.begin();
    assert_eq!(sending.resent, 3);
    // The second has expired meanwhile: it is dropped, counted, and settled like the others.
    let batch = sending.batch(Millis(200), 0);
    assert_eq!(said(&batch), [("a".to_owned(), vec![3, 4])]);
    assert_eq!((batch.entries, batch.messages, sending.expired), (3, 2, 1));
    sending.settle(3);
    assert_eq!(outbox.load(), (0, 0));
}

#[test]
fn what_expires_while_nothing_can_be_sent_makes_room_wherever_it_stands() {
    let broker = broker();
    let room = room(&broker, "a");
    let (outbox, mut sending) = sending(4);
    outbox.say_aside(aside(&room, 0, What::Hello));
    for (number, deadline) in [(1, 10), (2, 500), (3, 20)] {
        assert!(outbox.offer(outgoing(&room, number, deadline)));
    }
    sending.collect();
    sending.sweep(Millis(100));
    assert_eq!((sending.expired, outbox.load()), (2, (1, 3)));
    assert!(outbox.offer(outgoing(&room, 4, 500)));
    sending.collect();
    let batch = sending.batch(Millis(100), 0);
    assert_eq!(said(&batch), [("a".to_owned(), vec![2, 1_000, 4])]);
}

fn aside(room: &Arc<Room>, number: u64, what: What) -> Outgoing {
    Outgoing {
        room: Arc::clone(room),
        number,
        what,
    }
}

#[test]
fn hellos_and_marks_take_no_room_of_messages_and_few_go_before_one() {
    let broker = broker();
    let (outbox, mut sending) = sending(2);
    let rooms: Vec<Arc<Room>> = (0..1_000).map(|n| room(&broker, &n.to_string())).collect();
    for room in &rooms {
        outbox.say_aside(aside(room, 0, What::Hello));
        // The hello says it too.
        outbox.say_aside(aside(room, 5, What::Mark));
    }
    assert_eq!(outbox.load().0, 0);
    let mut told = 0;
    while told < 1_000 {
        sending.collect();
        assert!(outbox.offer(outgoing(&rooms[0], 1, 100)));
        sending.collect();
        let batch = sending.batch(Millis(0), 0);
        assert!(batch.entries <= 1 + ASIDES_AT_ONCE);
        assert_eq!(batch.messages, 1);
        told += batch.entries - 1;
        assert!(
            said(&batch)
                .iter()
                .all(|(_, numbers)| numbers[0] == 1_005 || numbers[0] == 1)
        );
        sending.settle(batch.entries);
        assert_eq!(outbox.load(), (0, 0));
    }
}

/// The marks that are to be told of what was said until then.
fn untold(outbox: &Outbox, until: u64) -> Vec<(String, u64)> {
    outbox.marks.take_drops(Millis(until));
    let marks = outbox.marks.visit(|said| said.quiet(Millis(until)));
    let mark = |mark: crate::bridge::marks::letter::RoomMark| {
        (mark.name.session_id().to_owned(), mark.number)
    };
    marks.into_iter().map(mark).collect()
}

#[test]
fn a_mark_is_to_tell_of_what_was_sent_what_expired_and_what_had_no_room() {
    let broker = broker();
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| room(&broker, name));
    let (outbox, mut sending) = sending(4);
    for (room, number, deadline) in [(&a, 1, 9_000), (&a, 2, 9_000), (&b, 1, 9_000), (&c, 4, 10)] {
        assert!(outbox.offer(outgoing(room, number, deadline)));
    }
    for number in 7..=9 {
        assert!(!outbox.offer(outgoing(&d, number, 9_000)), "full");
    }
    sending.collect();
    sending.batch(Millis(1_000), 0);
    assert!(untold(&outbox, 999).iter().all(|(name, _)| name == "d"));
    let all =
        [("a", 2), ("b", 1), ("c", 4), ("d", 9)].map(|(name, number)| (name.to_owned(), number));
    assert_eq!(untold(&outbox, 1_000), all);
    // What expires while there is no session is not told of otherwise, either.
    sending.settle(4);
    assert!(outbox.offer(outgoing(&b, 2, 10)));
    sending.collect();
    sending.sweep(Millis(2_000));
    assert_eq!(untold(&outbox, 2_000)[1], ("b".to_owned(), 2));
    let _streams = Sending::new(Arc::clone(&outbox), NODE, 1).without_marks();
}

#[tokio::test]
async fn what_waits_for_the_outbox_goes_on_once_redis_has_answered_for_all_before_it() {
    let broker = broker();
    let room = room(&broker, "a");
    let (outbox, mut sending) = sending(10);
    let is_through = |outbox: &Arc<Outbox>| {
        let outbox = Arc::clone(outbox);
        let mut waiting = Box::pin(async move { outbox.answered_for().await });
        move || {
            let context = &mut std::task::Context::from_waker(std::task::Waker::noop());
            waiting.as_mut().poll(context).is_ready()
        }
    };
    let mut waiting = is_through(&outbox);
    assert!(!waiting(), "nobody has looked into the outbox");
    sending.collect();
    assert!(waiting(), "nothing is there");
    assert!(outbox.offer(outgoing(&room, 1, 9_000)));
    let mut waiting = is_through(&outbox);
    assert!(!waiting());
    assert!(outbox.offer(outgoing(&room, 2, 10)));
    sending.collect();
    assert!(!waiting());
    assert!(outbox.offer(outgoing(&room, 3, 9_000)));
    sending.collect();
    sending.batch(Millis(0), 0);
    sending.settle(1);
    assert!(!waiting(), "the second is not answered for");
    sending.begin();
    sending.sweep(Millis(100));
    assert!(waiting(), "it has expired, and the third came later");
}

#[test]
fn a_sender_that_goes_away_gives_the_room_back() {
    let broker = broker();
    let room = room(&broker, "a");
    let (outbox, mut sending) = sending(2);
    assert!(outbox.offer(outgoing(&room, 1, 100)));
    assert!(outbox.offer(outgoing(&room, 2, 100)));
    sending.collect();
    drop(sending);
    assert_eq!(outbox.load(), (0, 0));
}

#[test]
fn a_batch_is_for_so_many_rooms_and_the_rest_comes_in_the_next() {
    let broker = broker();
    let (outbox, mut sending) = sending(1_000);
    let rooms: Vec<Arc<Room>> = (0..BATCH_ROOMS + 1)
        .map(|n| room(&broker, &n.to_string()))
        .collect();
    for number in 1..=2 {
        for room in &rooms {
            assert!(outbox.offer(outgoing(room, number, 100)));
        }
    }
    sending.collect();
    let first = sending.batch(Millis(0), 0);
    assert_eq!(
        (first.parcels.len(), first.entries),
        (BATCH_ROOMS, BATCH_ROOMS)
    );
    let second = sending.batch(Millis(0), 0);
    assert_eq!(
        (second.parcels.len(), second.entries),
        (BATCH_ROOMS, BATCH_ROOMS)
    );
    assert_eq!(sending.batch(Millis(0), 0).entries, 2);
    assert!(!sending.has_unsent());
}

#[test]
fn drops_of_more_rooms_than_are_remembered_are_counted_as_forgotten() {
    let broker = broker();
    for (capacity, forgotten) in [(1, 1), (2, 0), (0, 0)] {
        let marks = Marks::new(capacity, Duration::from_secs(600));
        let outbox = Outbox::new(1, 1 << 20, marks);
        assert!(outbox.offer(outgoing(&room(&broker, "a"), 1, 9)));
        for session in ["b", "c"] {
            assert!(!outbox.offer(outgoing(&room(&broker, session), 1, 9)));
        }
        outbox.marks.take_drops(Millis(0));
        let counted = outbox.marks.visit(|said| said.forgotten);
        assert_eq!(counted, forgotten, "{capacity}");
    }
}
