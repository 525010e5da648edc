//! One node of a simulation of bridges: a real broker and a real bridge over the model of Redis. Its worker is a task
//! that empties the mailbox.

use super::faults::Places;
use super::record::Record;
use super::way::WayOut;
use crate::sim::redis::ModelRedis;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use supportal::RoomName;
use supportal::config::Config;
use supportal::internal::broker::{Broker, Parcel, Publication, Room, RoomSlot, Wake};
use supportal::internal::clock::Clock;
use supportal::internal::metrics::Metrics;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// The room of a number.
pub fn room_name(room: usize) -> RoomName {
    RoomName::parse(&format!("chat_1_room{room}")).expect("a legal name")
}

/// The worker of a node.
struct Worker {
    boot: usize,
    broker: Arc<Broker>,
    metrics: Arc<Metrics>,
    record: Arc<Mutex<Record>>,
    woken: Arc<Notify>,
    /// It does nothing for now.
    is_stuck: AtomicBool,
    /// Rooms with a member here, by their place.
    rooms: Mutex<BTreeMap<usize, RoomSlot>>,
    clock: Clock,
}

impl Worker {
    async fn work(self: Arc<Self>) {
        let (mut parcels, mut recalled) = (Vec::new(), 0);
        loop {
            self.woken.notified().await;
            if self.is_stuck.load(Relaxed) {
                continue;
            }
            let bytes = self.broker.mailboxes().swap(0, &mut parcels);
            let count = parcels.len();
            let now_recalled = self.metrics.bridge_recalled.get();
            let mut record = self.record.lock();
            if now_recalled != recalled {
                record.alone(self.boot, None);
                recalled = now_recalled;
            }
            for parcel in parcels.drain(..) {
                self.take(parcel, &mut record);
            }
            drop(record);
            self.broker.mailboxes().release(0, count, bytes);
        }
    }

    fn take(&self, parcel: Parcel, record: &mut Record) {
        let Parcel::Room { slot, delivery, .. } = parcel else {
            return;
        };
        let room = slot.index as usize;
        // The room was left meanwhile.
        if self.rooms.lock().get(&room) != Some(&slot) {
            return;
        }
        let text = std::str::from_utf8(&delivery.frame[2..]).expect("a text");
        let number = text.parse().expect("a number");
        record.note(
            self.clock.now(),
            &format!("boot {} hears {number}", self.boot),
        );
        record.hear(self.boot, room, number, delivery.deadline);
    }
}

/// One node.
pub struct Node {
    pub boot: usize,
    pub way: WayOut,
    pub metrics: Arc<Metrics>,
    pub rooms: BTreeMap<usize, Arc<Room>>,
    worker: Arc<Worker>,
    works: JoinHandle<()>,
    clock: Clock,
    stays: u32,
}

impl Node {
    /// A node at this place begins.
    pub fn start(
        (place, config): (usize, &Config),
        redis: &ModelRedis,
        record: &Arc<Mutex<Record>>,
        clock: Clock,
        seed: u64,
    ) -> Self {
        let metrics = Arc::new(Metrics::new());
        let mut way = WayOut::new((place, config), redis, &metrics, clock, seed);
        let woken = Arc::new(Notify::new());
        let wakes = vec![Box::new({
            let woken = Arc::clone(&woken);
            move || woken.notify_one()
        }) as Wake];
        let broker = Arc::new(Broker::new(
            &config.broker,
            wakes,
            Some(way.bridge.uplink()),
        ));
        way.run(&broker);
        let worker = Arc::new(Worker {
            boot: record.lock().boot(),
            broker,
            metrics: Arc::clone(&metrics),
            record: Arc::clone(record),
            woken,
            is_stuck: AtomicBool::new(false),
            rooms: Mutex::default(),
            clock,
        });
        Self {
            boot: worker.boot,
            way,
            metrics,
            rooms: BTreeMap::new(),
            works: tokio::spawn(Arc::clone(&worker).work()),
            worker,
            clock,
            stays: 0,
        }
    }

    fn note(&self, line: &str) {
        let line = format!("boot {} {line}", self.boot);
        self.worker.record.lock().note(self.clock.now(), &line);
    }

    /// A member comes.
    pub fn join(&mut self, room: usize) {
        self.stays += 1;
        let slot = RoomSlot {
            index: u32::try_from(room).expect("few rooms"),
            generation: self.stays,
        };
        self.note(&format!("joins room {room}"));
        self.worker.record.lock().come(self.boot, room);
        self.worker.rooms.lock().insert(room, slot);
        let joined = self.worker.broker.join(&room_name(room), 0, || slot);
        self.rooms.insert(room, joined.room);
        self.worker.woken.notify_one();
    }

    /// The member leaves.
    pub fn leave(&mut self, room: usize) {
        if let Some(held) = self.rooms.remove(&room) {
            self.note(&format!("leaves room {room}"));
            self.worker.record.lock().leave(self.boot, room);
            self.worker.rooms.lock().remove(&room);
            self.worker.broker.leave(&held, 0);
        }
    }

    /// Says something in a room, with a member there or without; its number, unless the mailbox is full.
    pub fn say(&self, room: usize, expiry: Duration) -> Option<usize> {
        let held = self.rooms.get(&room);
        let broker = &self.worker.broker;
        if held.is_some_and(|held| broker.full_mailbox(held).is_some()) {
            return None;
        }
        let number = self.worker.record.lock().next();
        let text = number.to_string();
        let length = u8::try_from(text.len()).expect("a short text");
        let frame = Bytes::from([&[0x81, length], text.as_bytes()].concat());
        let deadline = self.clock.now() + expiry;
        let stay = held.map(|held| held.incarnation());
        self.note(&format!("says {number} in room {room}"));
        self.worker
            .record
            .lock()
            .say(self.boot, room, stay, deadline);
        let publication = Publication {
            frame,
            deadline,
            event: None,
        };
        let untold = self.way.dropped(&["full"]);
        match held {
            Some(held) => {
                let (_, members) = broker.publish(held, &publication, Some(0));
                if members > 0 {
                    self.worker.record.lock().alone(self.boot, Some(room));
                }
            }
            None => {
                broker.publish_by_name(&room_name(room), &publication);
            }
        }
        if self.way.dropped(&["full"]) > untold {
            self.note(&format!("has no room for {number}"));
            self.worker.record.lock().untold();
        }
        self.worker.woken.notify_one();
        Some(number)
    }

    /// Its worker stops working, or goes on.
    pub fn stick(&self, is_stuck: bool) {
        self.worker.is_stuck.store(is_stuck, Relaxed);
        self.worker.woken.notify_one();
    }

    /// It goes down within `grace`, and says whether it did.
    pub async fn end(self, grace: Duration) -> bool {
        self.note("ends");
        self.way.bridge.close(&self.worker.broker);
        let has_ended = self.way.end(grace).await;
        self.works.abort();
        self.worker.record.lock().end(self.boot);
        has_ended
    }
}

impl Places for &[Option<Node>] {
    fn count(&self) -> usize {
        self.len()
    }

    fn stick(&self, place: usize, is_stuck: bool) {
        if let Some(Some(node)) = self.get(place) {
            node.stick(is_stuck);
        }
    }
}
