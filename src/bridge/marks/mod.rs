//! What a node said last in its rooms, told to the others in messages of many rooms: work after an outage is in
//! proportion to the rooms that spoke in it and to the nodes, not to rooms times nodes.
//!
//! | Module | |
//! |---|---|
//! | `letter` | digests of marks and questions for them, as bytes |
//! | `said` | the last numbers of the rooms in which this node spoke |
//! | `questions` | who asks for marks, and who is answered |
//! | `held` | digests that came, until they are due |
//!
//! What workers and the link's task both touch is [`Marks`]. Nothing of it is on the way of a message, but for a lock
//! for a batch of them.

pub(super) mod held;
pub(super) mod letter;
pub(super) mod questions;
pub(super) mod said;

use crate::broker::room::Room;
use crate::clock::Millis;
use crate::name::RoomName;
use parking_lot::Mutex;
use said::SaidMarks;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The last numbers of this node's rooms over one Redis.
#[derive(Debug)]
pub(super) struct Marks {
    capacity: usize,
    said: Mutex<SaidMarks>,
    /// Rooms whose newest message a full outbox dropped, by their incarnations, until the next look.
    drops: Mutex<BTreeMap<u64, (RoomName, u64)>>,
    /// Rooms that had no place among them, not yet counted in the metrics.
    forgotten: AtomicU64,
}

impl Marks {
    /// For so many rooms, each for so long.
    pub(super) fn new(capacity: usize, expiry: Duration) -> Self {
        Self {
            capacity,
            said: Mutex::new(SaidMarks::new(capacity, expiry)),
            drops: Mutex::default(),
            forgotten: AtomicU64::new(0),
        }
    }

    /// These rooms' messages, up to these numbers, are on their way.
    pub(super) fn say<'a>(&self, rooms: impl IntoIterator<Item = (&'a Room, u64)>, now: Millis) {
        let mut said = self.said.lock();
        for (room, number) in rooms {
            said.say(room.name(), (room.incarnation(), number), now);
        }
    }

    /// A full outbox has no room for the room's message of this number. Called under the room's lock. Beyond the bound the
    /// message is counted as one of a room that is forgotten.
    pub(super) fn drop_newest(&self, room: &Room, number: u64) {
        let mut drops = self.drops.lock();
        if let Some((_, last)) = drops.get_mut(&room.incarnation()) {
            *last = number;
        } else if drops.len() < self.capacity {
            drops.insert(room.incarnation(), (room.name().clone(), number));
        } else if self.capacity > 0 {
            self.forgotten.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes in what was dropped; whoever looks at the marks does that first.
    pub(super) fn take_drops(&self, now: Millis) {
        let drops = std::mem::take(&mut *self.drops.lock());
        let mut said = self.said.lock();
        said.forgotten += self.forgotten.swap(0, Ordering::Relaxed);
        for (incarnation, (name, number)) in drops {
            said.say(&name, (incarnation, number), now);
        }
    }

    /// Nobody needs to be told of the room's messages up to this number any more.
    pub(super) fn told(&self, incarnation: u64, number: u64) {
        self.said.lock().told(incarnation, number);
    }

    /// Runs `visit` on what was said.
    pub(super) fn visit<R>(&self, visit: impl FnOnce(&mut SaidMarks) -> R) -> R {
        visit(&mut self.said.lock())
    }
}
