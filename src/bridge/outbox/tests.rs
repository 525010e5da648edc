//! The outbox without a Redis: its bounds, its batches, and what is sent again.

use super::*;
use crate::bridge::envelope::Envelope;
use crate::broker::RoomSlot;
use crate::broker::{Broker, Wake};
use crate::config;
use crate::name::RoomName;

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
    let outbox = Arc::new(Outbox::new(capacity, 1 << 20));
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
    outbox.push(Outgoing {
        room: Arc::clone(&room),
        number: 0,
        what: What::Hello,
    });
    for (number, deadline) in [(1, 10), (2, 500), (3, 20)] {
        assert!(outbox.offer(outgoing(&room, number, deadline)));
    }
    sending.collect();
    sending.sweep(Millis(100));
    assert_eq!((sending.expired, outbox.load()), (2, (2, 3)));
    assert!(outbox.offer(outgoing(&room, 4, 500)));
    sending.collect();
    let batch = sending.batch(Millis(100), 0);
    assert_eq!(said(&batch), [("a".to_owned(), vec![1_000, 2, 4])]);
}

#[test]
fn a_room_that_went_quiet_says_its_mark_once() {
    let broker = broker();
    let room = room(&broker, "a");
    let (outbox, mut sending) = sending(10);
    assert!(outbox.offer(outgoing(&room, 1, 9_000)));
    sending.collect();
    sending.batch(Millis(1_000), 0);
    sending.mark_quiet(Millis(999));
    assert_eq!(outbox.load().0, 1, "not yet");
    for _ in 0..2 {
        sending.mark_quiet(Millis(1_000));
    }
    assert_eq!(outbox.load().0, 2);
    sending.collect();
    assert_eq!(said(&sending.batch(Millis(2_000), 0))[0].1, [1_000]);
}

#[test]
fn marks_wait_while_the_outbox_is_full() {
    let broker = broker();
    let room = room(&broker, "a");
    let (outbox, mut sending) = sending(2);
    assert!(outbox.offer(outgoing(&room, 1, 9_000)));
    assert!(outbox.offer(outgoing(&room, 2, 9_000)));
    sending.collect();
    let batch = sending.batch(Millis(1_000), 0);
    sending.mark_quiet(Millis(1_000));
    assert_eq!(outbox.load().0, 2, "no more than its capacity");
    sending.settle(batch.entries);
    sending.mark_quiet(Millis(1_000));
    assert_eq!(outbox.load().0, 1, "said once there is room");
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
