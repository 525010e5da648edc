//! The broker alone: seats, order, placement, removal.

use super::*;
use std::sync::atomic::AtomicUsize;

fn broker(workers: usize) -> (Broker, Arc<AtomicUsize>) {
    let wakes = Arc::new(AtomicUsize::new(0));
    let wake = || {
        let wakes = Arc::clone(&wakes);
        Box::new(move || {
            wakes.fetch_add(1, Ordering::Relaxed);
        }) as Wake
    };
    let settings = config::Broker {
        spread_above: 4,
        mailbox_capacity: 3,
        mailbox_bytes: 1 << 20,
    };
    (
        Broker::new(&settings, (0..workers).map(|_| wake()).collect(), None),
        wakes,
    )
}

fn name(session: &str) -> RoomName {
    RoomName::chat("1", session).unwrap()
}

fn publication(text: &'static str) -> Publication {
    Publication {
        frame: Bytes::from_static(text.as_bytes()),
        deadline: Millis::NEVER,
    }
}

fn taken(broker: &Broker, worker: usize) -> Vec<(u64, u32)> {
    let mut parcels = Vec::new();
    broker.mailboxes().swap(worker, &mut parcels);
    parcels
        .iter()
        .map(|parcel| match parcel {
            Parcel::Room {
                sequence, members, ..
            } => (*sequence, *members),
            Parcel::Direct { .. }
            | Parcel::Control { .. }
            | Parcel::Answered { .. }
            | Parcel::Confirmed { .. }
            | Parcel::Close { .. } => (0, 1),
        })
        .collect()
}

#[test]
fn every_worker_with_members_gets_the_publication_in_one_order() {
    let (broker, wakes) = broker(2);
    let slot = |index| RoomSlot {
        index,
        generation: 1,
    };
    let room = broker.join(&name("a"), 0, || slot(7)).room;
    assert!(
        !broker
            .join(&name("a"), 0, || unreachable!())
            .first_on_worker
    );
    assert!(broker.join(&name("a"), 1, || slot(9)).first_on_worker);
    assert_eq!(broker.publish(&room, &publication("x"), Some(0)), (1, 3));
    assert_eq!(broker.publish(&room, &publication("y"), None), (2, 3));
    assert_eq!(taken(&broker, 0), [(1, 2), (2, 2)]);
    assert_eq!(taken(&broker, 1), [(1, 1), (2, 1)]);
    assert_eq!(
        wakes.load(Ordering::Relaxed),
        1,
        "only the sleeping worker was woken, once"
    );
}

#[test]
fn a_member_is_told_the_last_number_before_it_joined() {
    let (broker, _) = broker(1);
    let room = broker.join(&name("a"), 0, RoomSlot::default).room;
    broker.publish(&room, &publication("x"), None);
    assert_eq!(broker.join(&name("a"), 0, RoomSlot::default).sequence, 1);
}

#[test]
fn the_last_leave_removes_the_room_and_the_next_join_starts_anew() {
    let (broker, _) = broker(2);
    let room = broker.join(&name("a"), 0, RoomSlot::default).room;
    broker.join(&name("a"), 1, RoomSlot::default);
    assert!(broker.leave(&room, 0));
    assert_eq!(broker.rooms(), 1);
    assert_eq!(broker.publish(&room, &publication("x"), None).1, 1);
    assert!(broker.leave(&room, 1));
    assert_eq!((broker.rooms(), room.members()), (0, 0));
    let again = broker.join(&name("a"), 0, RoomSlot::default);
    assert_eq!((again.sequence, again.first_on_worker), (0, true));
}

#[test]
fn a_room_stays_on_its_home_until_it_is_large_then_spreads() {
    let (broker, _) = broker(3);
    let place = || broker.place(Some(&name("big")), Millis(0)).worker();
    let first = broker.place(Some(&name("big")), Millis(0));
    let home = first.worker();
    for _ in 0..4 {
        assert_eq!(place(), home);
        broker.join(&name("big"), home, RoomSlot::default);
    }
    drop(first);
    let next = place();
    assert_ne!(next, home);
    broker.join(&name("big"), next, RoomSlot::default);
    let third = place();
    assert!(third != home && third != next);
}

#[test]
fn a_full_mailbox_is_named_and_its_waiters_are_woken_once_there_is_room() {
    let (broker, wakes) = broker(2);
    let room = broker.join(&name("a"), 0, RoomSlot::default).room;
    assert_eq!(broker.full_mailbox(&room), None);
    for _ in 0..3 {
        broker.publish(&room, &publication("x"), Some(0));
    }
    assert_eq!(broker.full_mailbox(&room), Some(0));
    assert!(broker.mailboxes().wait(0, 1));
    let mut parcels = Vec::new();
    let bytes = broker.mailboxes().swap(0, &mut parcels);
    assert_eq!(
        broker.full_mailbox(&room),
        Some(0),
        "parcels count until they are dealt with"
    );
    broker.mailboxes().release(0, parcels.len(), bytes);
    assert_eq!(
        (broker.full_mailbox(&room), wakes.load(Ordering::Relaxed)),
        (None, 1)
    );
}

#[test]
fn joins_leaves_and_publications_on_many_threads_keep_the_registry_exact() {
    let (broker, _) = broker(4);
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let broker = &broker;
            scope.spawn(move || {
                for round in 0..2_000 {
                    let room = broker
                        .join(&name(["a", "b"][round % 2]), worker, RoomSlot::default)
                        .room;
                    broker.publish(&room, &publication("x"), Some(worker));
                    let mut parcels = Vec::new();
                    let bytes = broker.mailboxes().swap(worker, &mut parcels);
                    broker.mailboxes().release(worker, parcels.len(), bytes);
                    broker.leave(&room, worker);
                }
            });
        }
    });
    assert_eq!(broker.rooms(), 0);
}

/// An uplink that waits for both ways and writes down what users say.
#[derive(Debug, Default)]
struct Both {
    said: Arc<std::sync::Mutex<Vec<(ConnectionKey, Bytes)>>>,
}

impl Uplink for Both {
    fn ways(&self) -> u8 {
        Way::Nodes.bit() | Way::Django.bit()
    }

    fn forward(&self, _: &Arc<Room>, _: u64, _: &Publication) -> uplink::Forwarded {
        uplink::Forwarded::Queued
    }

    fn said(&self, _: &Arc<Room>, author: Author, publication: &Publication) {
        let mut said = self.said.lock().unwrap();
        said.push((author.connection, publication.frame.clone()));
    }

    fn watch(&self, _: &Arc<Room>) -> u8 {
        self.ways()
    }

    fn unwatch(&self, _: &Arc<Room>) {}
}

#[test]
fn members_wait_for_every_way_and_are_told_once() {
    let settings = config::Broker::default();
    let uplink = Box::new(Both::default());
    let broker = Broker::new(&settings, vec![Box::new(|| {})], Some(uplink));
    let joined = broker.join(&name("a"), 0, RoomSlot::default);
    assert!(!joined.confirmed);
    broker.confirm_way(&joined.room, Way::Django);
    broker.confirm_way(&joined.room, Way::Django);
    assert!(!broker.join(&name("a"), 0, RoomSlot::default).confirmed);
    assert_eq!(taken(&broker, 0), []);
    broker.confirm(&joined.room);
    broker.confirm(&joined.room);
    assert_eq!(taken(&broker, 0), [(0, 1)], "told once");
    assert!(broker.join(&name("a"), 0, RoomSlot::default).confirmed);
}

#[test]
fn what_users_say_is_told_from_what_others_publish() {
    let uplink = Both::default();
    let said = Arc::clone(&uplink.said);
    let settings = config::Broker::default();
    let broker = Broker::new(&settings, vec![Box::new(|| {})], Some(Box::new(uplink)));
    let room = broker.join(&name("a"), 0, RoomSlot::default).room;
    let author = Author {
        worker: 0,
        connection: ConnectionKey(7),
    };
    broker.say(&room, &publication("shown to all"), author);
    broker.say_alone(&room, &publication("shown to nobody else"), author);
    broker.publish(&room, &publication("an answer"), None);
    broker.deliver_remote(&room, &publication("from afar"));
    let said = said.lock().unwrap();
    let texts: Vec<&[u8]> = said.iter().map(|(_, frame)| &frame[..]).collect();
    assert_eq!(texts, [&b"shown to all"[..], b"shown to nobody else"]);
    assert!(said.iter().all(|(key, _)| *key == ConnectionKey(7)));
}
