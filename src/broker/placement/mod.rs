//! Which worker a new connection goes to.
//!
//! A room's connections go to where the room is; all others, and with them each new room, go to the
//! worker that carries least: its connections and rooms, those on their way to it included, and what it
//! did lately. A room that is empty again has no worker, so the next one to come chooses anew.
//!
//! Two first members at once must agree, and a hundred new rooms at once must not all choose the worker
//! that was idle a moment ago: a choice is made under one lock and counted before the next one, and a
//! new room's is remembered until its members have arrived ([`Passage`]). Rooms that have members are
//! found without that lock.
//!
//! Limits: one entry for each connection of a new room that has not arrived, at most
//! `limits.connections`.

use crate::clock::Millis;
use crate::name::RoomName;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// What a connection weighs, in deliveries: what it will bring, before anybody knows.
const CONNECTION: u64 = 64;

/// What a room weighs beside its members: those that are still to come. Without it equal rooms whose
/// members come in any order would end up 9 : 3 in one case of a hundred.
const ROOM: u64 = 4 * CONNECTION;

/// What accepting a socket costs, in deliveries. Far less than what a connection weighs, or new rooms
/// would flee the worker that accepts them.
pub const ACCEPT: u64 = 8;

/// What is left of work after one tick: half of it after 64 of them.
const KEPT: f32 = 0.989_228;

/// Length of a tick in milliseconds: work is half forgotten after 8.2 s.
const TICK: u64 = 128;

/// What one worker carries. On a line of its own: each worker writes to its own every turn.
#[derive(Debug, Default)]
#[repr(align(128))]
struct WorkerLoad {
    /// Connections, those on their way included.
    connections: AtomicUsize,
    /// Rooms with members here, or with members on their way.
    rooms: AtomicUsize,
    /// Work done lately, in deliveries (the bits of an `f32`), and the tick it was counted in. In one
    /// word, so that both are of one moment. Only the worker itself writes.
    work: AtomicU64,
    /// The worker's thread has ended.
    has_ended: AtomicBool,
    /// The worker waits for a consumer that does not return.
    is_stuck: AtomicBool,
}

impl WorkerLoad {
    fn work(&self, tick: u32) -> f32 {
        let word = self.work.load(Ordering::Relaxed);
        let work = f32::from_bits((word >> 32) as u32);
        let age = tick.wrapping_sub(word as u32);
        if age == 0 {
            work
        } else {
            // Products, not libm's exp2: that library's 160 KiB need not be in memory for this.
            work * KEPT.powi(i32::try_from(age).unwrap_or(i32::MAX))
        }
    }

    /// May somebody new be sent there?
    fn is_open(&self) -> bool {
        !self.has_ended.load(Ordering::Relaxed) && !self.is_stuck.load(Ordering::Relaxed)
    }

    fn total(&self, tick: u32) -> u64 {
        let connections = self.connections.load(Ordering::Relaxed) as u64;
        let rooms = self.rooms.load(Ordering::Relaxed) as u64;
        connections * CONNECTION + rooms * ROOM + self.work(tick) as u64
    }
}

const fn tick(now: Millis) -> u32 {
    (now.0 / TICK) as u32
}

/// A new room whose members have not arrived yet.
#[derive(Debug)]
struct Coming {
    worker: usize,
    members: usize,
}

#[derive(Debug, Default)]
struct Book {
    rooms: HashMap<RoomName, Coming>,
    /// The worker that was chosen last: among equals the one behind it is next.
    last: usize,
}

/// The loads of all workers, and who is on the way to them.
#[derive(Debug)]
pub struct Placement {
    loads: Box<[WorkerLoad]>,
    book: Mutex<Book>,
}

impl Placement {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            loads: (0..workers).map(|_| WorkerLoad::default()).collect(),
            book: Mutex::default(),
        }
    }

    /// A connection has arrived at `worker`; what brought it there may go.
    pub fn arrived(&self, worker: usize) {
        if let Some(load) = self.loads.get(worker) {
            load.connections.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A connection of `worker` is gone.
    pub fn left(&self, worker: usize) {
        if let Some(load) = self.loads.get(worker) {
            load.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// `worker` has its first member of a room, or its last one is gone.
    pub(super) fn hold_room(&self, worker: usize, is_held: bool) {
        let Some(load) = self.loads.get(worker) else {
            return;
        };
        if is_held {
            load.rooms.fetch_add(1, Ordering::Relaxed);
        } else {
            load.rooms.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Adds what `worker` did in one turn, in deliveries. Only that worker's thread may call this.
    pub fn worked(&self, worker: usize, now: Millis, deliveries: u64) {
        if let Some(load) = self.loads.get(worker).filter(|_| deliveries > 0) {
            let tick = tick(now);
            let work = load.work(tick) + deliveries as f32;
            let word = u64::from(work.to_bits()) << 32 | u64::from(tick);
            load.work.store(word, Ordering::Relaxed);
        }
    }

    /// This worker takes nobody any more.
    pub fn ended(&self, worker: usize) {
        if let Some(load) = self.loads.get(worker) {
            load.has_ended.store(true, Ordering::Relaxed);
        }
    }

    /// Keeps new rooms away from a worker that waits for a consumer, or no more; was it stuck before?
    pub fn set_stuck(&self, worker: usize, is_stuck: bool) -> bool {
        let load = self.loads.get(worker);
        load.is_some_and(|load| load.is_stuck.swap(is_stuck, Ordering::Relaxed))
    }

    /// Does a worker wait for a consumer that does not return?
    #[must_use]
    pub fn is_any_stuck(&self) -> bool {
        let mut loads = self.loads.iter();
        loads.any(|load| load.is_stuck.load(Ordering::Relaxed))
    }

    /// Connections of this worker, those on their way included.
    #[must_use]
    pub fn connections(&self, worker: usize) -> usize {
        let load = self.loads.get(worker);
        load.map_or(0, |load| load.connections.load(Ordering::Relaxed))
    }

    /// What this worker carries, in deliveries: 64 for each connection, 256 for each room, and those of
    /// the last seconds.
    #[must_use]
    pub fn load(&self, worker: usize, now: Millis) -> u64 {
        let load = self.loads.get(worker);
        load.map_or(0, |load| load.total(tick(now)))
    }

    /// The load of this worker, unless it has ended or is stuck.
    pub(super) fn open_load(&self, worker: usize, now: Millis) -> Option<u64> {
        let load = self.loads.get(worker)?;
        load.is_open().then(|| load.total(tick(now)))
    }

    /// Sends a connection to `worker`.
    pub(super) fn send(self: &Arc<Self>, worker: usize) -> Passage {
        self.arrived(worker);
        Passage {
            placement: Arc::clone(self),
            worker,
            room: None,
        }
    }

    /// Sends a connection without a room.
    pub(super) fn send_anywhere(self: &Arc<Self>, now: Millis) -> Passage {
        let mut book = self.book.lock();
        let worker = self.choose(&mut book, now);
        self.send(worker)
    }

    /// Sends a connection of a room that seemed to have no members: to where others are on their way,
    /// or to where `find` says that they are by now, or wherever there is least to do.
    pub(super) fn send_first(
        self: &Arc<Self>,
        room: &RoomName,
        now: Millis,
        find: impl FnOnce() -> Option<usize>,
    ) -> Passage {
        let mut book = self.book.lock();
        let worker = if let Some(coming) = book.rooms.get_mut(room) {
            coming.members += 1;
            coming.worker
        } else if let Some(worker) = find() {
            return self.send(worker);
        } else {
            let worker = self.choose(&mut book, now);
            let coming = Coming { worker, members: 1 };
            book.rooms.insert(room.clone(), coming);
            self.hold_room(worker, true);
            worker
        };
        let mut passage = self.send(worker);
        passage.room = Some(room.clone());
        passage
    }

    fn choose(&self, book: &mut Book, now: Millis) -> usize {
        let (tick, workers) = (tick(now), self.loads.len());
        let loads = self.loads.iter().enumerate();
        let open = loads.filter(|(_, load)| load.is_open());
        // Among equals the next one behind the last choice.
        let rank = |worker: usize| (worker + workers - book.last - 1) % workers;
        let least = open.min_by_key(|(worker, load)| (load.total(tick), rank(*worker)));
        if let Some((worker, _)) = least {
            book.last = worker;
        }
        book.last
    }
}

/// A connection's way to its worker. The way counts there until it is dropped, as the connection itself does
/// from its arrival on.
pub struct Passage {
    placement: Arc<Placement>,
    worker: usize,
    /// The new room that it is a first member of.
    room: Option<RoomName>,
}

impl Passage {
    /// Where it leads.
    #[must_use]
    pub fn worker(&self) -> usize {
        self.worker
    }
}

impl fmt::Debug for Passage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passage")
            .field("worker", &self.worker)
            .finish_non_exhaustive()
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.placement.left(self.worker);
        let Some(room) = &self.room else {
            return;
        };
        let mut book = self.placement.book.lock();
        if let Some(coming) = book.rooms.get_mut(room) {
            coming.members -= 1;
            if coming.members == 0 {
                book.rooms.remove(room);
                self.placement.hold_room(self.worker, false);
            }
        }
    }
}

#[cfg(test)]
mod tests;
