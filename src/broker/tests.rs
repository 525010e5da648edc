//! The broker alone: seats, order, placement, removal.

use super::room::Room;
use super::uplink::{Author, Forwarded, Uplink, Way};
use super::*;
use crate::clock::Millis;
use crate::config;
use crate::name::RoomName;
use crate::protocol::Event;
use crate::protocol::{Moment, Sender};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn broker(workers: usize) -> (Broker, Arc<AtomicUsize>) {
    let wakes = Arc::new(AtomicUsize::new(0));
    let wake = || {
        let wakes = Arc::clone(&wakes);
        Box::new(move || {
            wakes.fetch_add(1, Ordering::Relaxed);
        }) as Wake
    };
    let settings = config::BrokerSettings {
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
        event: None,
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
            | Parcel::Resume { .. }
            | Parcel::End { .. }
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

/// What an uplink was given: the room, its incarnation and number there, the frame.
type Given = (String, u64, u64, Bytes);

/// An uplink that members wait for, and that writes down what it hears.
#[derive(Debug, Clone)]
struct Witness {
    way: Way,
    is_open: bool,
    said: Arc<std::sync::Mutex<Vec<(ConnectionKey, String)>>>,
    given: Arc<std::sync::Mutex<Vec<Given>>>,
}

impl Witness {
    fn new(way: Way, is_open: bool) -> Self {
        Self {
            way,
            is_open,
            said: Arc::default(),
            given: Arc::default(),
        }
    }
}

impl Uplink for Witness {
    fn way(&self) -> Option<Way> {
        Some(self.way)
    }

    fn forward(&self, room: &Arc<Room>, number: u64, publication: &Publication) -> Forwarded {
        if !self.is_open {
            return Forwarded::Dropped;
        }
        let name = room.name().as_str().to_owned();
        let mut given = self.given.lock().unwrap();
        given.push((name, room.incarnation(), number, publication.frame.clone()));
        Forwarded::Queued
    }

    fn reads_events(&self) -> bool {
        self.way == Way::Django
    }

    fn said(&self, _: &Arc<Room>, author: Author, event: &Arc<Event<'static>>, _: Millis) {
        let mut said = self.said.lock().unwrap();
        said.push((author.connection, event.text.to_string()));
    }

    fn watch(&self, _: &RoomName) -> bool {
        false
    }

    fn unwatch(&self, _: &RoomName) {}
}

/// A broker of one worker with these uplinks.
fn broker_with(uplinks: &[&Witness]) -> Broker {
    let uplinks = uplinks.iter().map(|&uplink| Box::new(uplink.clone()) as _);
    let settings = config::BrokerSettings::default();
    Broker::new(&settings, vec![Box::new(|| {})], uplinks)
}

#[test]
fn members_wait_for_every_way_and_are_told_once() {
    let (nodes, django) = (
        Witness::new(Way::Nodes, true),
        Witness::new(Way::Django, true),
    );
    let broker = broker_with(&[&nodes, &django]);
    let joined = broker.join(&name("a"), 0, RoomSlot::default);
    assert!(!joined.confirmed);
    broker.confirm(joined.room.name(), Way::Django);
    broker.confirm(joined.room.name(), Way::Django);
    assert!(!broker.join(&name("a"), 0, RoomSlot::default).confirmed);
    assert_eq!(taken(&broker, 0), []);
    broker.confirm(joined.room.name(), Way::Nodes);
    broker.confirm(joined.room.name(), Way::Nodes);
    assert_eq!(taken(&broker, 0), [(0, 1)], "told once");
    assert!(broker.join(&name("a"), 0, RoomSlot::default).confirmed);
}

#[test]
fn what_users_say_is_told_from_what_others_publish() {
    let uplink = Witness::new(Way::Django, true);
    let broker = broker_with(&[&uplink]);
    let room = broker.join(&name("a"), 0, RoomSlot::default).room;
    let author = Author {
        worker: 0,
        connection: ConnectionKey(7),
    };
    let event = |text: &'static str| {
        let moment = Moment::from((0, 0));
        let event = Event::new(Sender::User, text, moment).into_owned();
        Publication {
            event: Some(Arc::new(event)),
            ..publication("{}")
        }
    };
    broker.say(&room, &event("shown to all"), author);
    broker.say_alone(&room, &event("shown to nobody else"), author);
    broker.publish(&room, &event("an answer"), None);
    broker.publish_by_name(&name("a"), &event("another answer"));
    broker.deliver_remote(&room, &event("from afar"));
    let said = uplink.said.lock().unwrap();
    let texts: Vec<&str> = said.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["shown to all", "shown to nobody else"]);
    assert!(said.iter().all(|(key, _)| *key == ConnectionKey(7)));
}

#[test]
fn what_is_published_by_name_reaches_members_and_every_uplink() {
    let (nodes, django) = (
        Witness::new(Way::Nodes, true),
        Witness::new(Way::Django, true),
    );
    let broker = broker_with(&[&nodes, &django]);
    let room = broker.join(&name("a"), 0, RoomSlot::default).room;
    broker.publish(&room, &publication("x"), None);
    assert!(
        broker
            .publish_by_name(&name("a"), &publication("y"))
            .is_anybody()
    );
    assert_eq!(taken(&broker, 0), [(1, 1), (2, 1)]);
    for uplink in [nodes, django] {
        let given = uplink.given.lock().unwrap();
        let numbers: Vec<_> = given.iter().map(|given| (given.1, given.2)).collect();
        assert_eq!(numbers, [(1, 1), (1, 2)]);
    }
}

#[test]
fn a_room_without_members_is_published_into_by_its_name() {
    let nodes = Witness::new(Way::Nodes, true);
    let broker = broker_with(&[&nodes]);
    let before = broker.join(&name("a"), 0, RoomSlot::default).room;
    broker.publish(&before, &publication("asked"), None);
    broker.leave(&before, 0);
    assert!(
        broker
            .publish_by_name(&name("a"), &publication("answered"))
            .is_anybody()
    );
    assert!(
        broker
            .publish_by_name(&name("a"), &publication("and again"))
            .is_anybody()
    );
    let after = broker.join(&name("a"), 0, RoomSlot::default).room;
    assert_eq!((broker.rooms(), after.sequence()), (1, 0));
    broker.publish(&after, &publication("thanks"), None);
    // Whoever takes them in this order takes none of them for a repetition: incarnations only rise.
    let given = nodes.given.lock().unwrap();
    let places: Vec<_> = given.iter().map(|given| (given.1, given.2)).collect();
    assert_eq!(places, [(1, 1), (2, 1), (3, 1), (4, 1)]);
    let texts: Vec<&[u8]> = given.iter().map(|given| &given.3[..]).collect();
    assert_eq!(texts, [&b"asked"[..], b"answered", b"and again", b"thanks"]);
    assert_eq!(broker.publications(), 4);
}

#[test]
fn what_nobody_can_be_given_is_said_to_have_reached_nobody() {
    let (alone, _) = broker(1);
    let full = broker_with(&[&Witness::new(Way::Nodes, false)]);
    for broker in [alone, full] {
        assert!(
            !broker
                .publish_by_name(&name("a"), &publication("x"))
                .is_anybody()
        );
        assert_eq!((broker.rooms(), broker.publications()), (0, 0));
        broker.join(&name("a"), 0, RoomSlot::default);
        assert!(
            broker
                .publish_by_name(&name("a"), &publication("y"))
                .is_anybody()
        );
        assert_eq!(broker.publications(), 1);
    }
}

#[test]
fn what_is_published_by_name_while_members_come_and_go_leaves_in_one_order() {
    const EACH: u64 = 2_000;
    let nodes = Witness::new(Way::Nodes, true);
    let broker = broker_with(&[&nodes]);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..EACH {
                    broker.publish_by_name(&name("a"), &publication("x"));
                }
            });
        }
        // The one worker: its members join and leave all the while.
        for _ in 0..EACH {
            let room = broker.join(&name("a"), 0, RoomSlot::default).room;
            broker.leave(&room, 0);
            let mut parcels = Vec::new();
            let bytes = broker.mailboxes().swap(0, &mut parcels);
            broker.mailboxes().release(0, parcels.len(), bytes);
        }
    });
    let given = nodes.given.lock().unwrap();
    let places: Vec<_> = given.iter().map(|given| (given.1, given.2)).collect();
    assert_eq!(places.len() as u64, 2 * EACH);
    let follows = |pair: &[(u64, u64)]| match pair {
        [(was, last), (is, next)] if was == is => *next == last + 1,
        [(was, _), (is, next)] => is > was && *next == 1,
        _ => false,
    };
    assert!(places.windows(2).all(follows), "a repetition, or a hole");
    assert_eq!(broker.rooms(), 0);
}

#[test]
fn events_are_wanted_only_where_an_uplink_reads_them_and_count_in_what_is_kept() {
    let nodes = Witness::new(Way::Nodes, true);
    let django = Witness::new(Way::Django, true);
    assert!(!broker(1).0.wants_events());
    assert!(!broker_with(&[&nodes]).wants_events());
    assert!(broker_with(&[&nodes, &django]).wants_events());
    let event = Event::new(Sender::User, "twelve bytes", Moment::from((0, 0)));
    let alone = publication("a frame");
    let both = Publication {
        event: Some(Arc::new(event.into_owned())),
        ..alone.clone()
    };
    assert_eq!((alone.bytes(), both.bytes()), (7, 19));
}
