//! The loop of a worker: what happens in one turn, and in which order.

use super::client::{Client, Ended, Seat};
use super::connection::{Connection, Reading, Rules};
use super::plane::{Plane, Speaker, Tally};
use super::rooms::{LocalRoom, Pending, slot_of};
use super::slab::Slab;
use super::timers::Timers;
use super::{Handoff, Link, OnClose, Order, Post, Report, Supplies, WAKE};
use crate::broker::ledger::Ledger;
use crate::broker::queue::Bounds;
use crate::broker::{ConnectionKey, Parcel, Publication};
use crate::clock::{Clock, Millis};
use crate::metrics::count;
use crate::name::RoomName;
use crate::protocol::CloseReason;
use bytes::Bytes;
use mio::{Events, Interest, Poll, Token};
use std::io::{ErrorKind, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// The lent read buffer. Larger than a default message with its header, so that one is usually
/// decoded in place.
const BUFFER_BYTES: usize = 64 * 1024;

/// Reads of one connection in one turn; then the others have theirs.
const READS_PER_TURN: usize = 8;

/// Events taken per poll.
const EVENTS: usize = 1024;

/// How often a drain looks which connections are due.
const DRAIN_STEP: Duration = Duration::from_millis(20);

/// The farthest a timer is set: within the wheel's 51.2 s, so that it never fires early.
const TIMER_MAX: Duration = Duration::from_secs(50);

pub(super) struct Drain {
    reason: CloseReason,
    started: Millis,
    deadline: Millis,
    connections: u64,
    closed: u64,
    cursor: u32,
}

type AuditReply = (Option<RoomName>, Box<dyn FnOnce(Report) + Send>);

pub(super) struct Worker {
    poll: Poll,
    link: Arc<Link>,
    clock: Clock,
    on_close: OnClose,
    pub(super) plane: Plane,
    pub(super) rules: Rules,
    pub(super) bounds: Bounds,
    pub(super) clients: Slab<Client>,
    pub(super) rooms: Slab<LocalRoom>,
    timers: Timers,
    /// The read buffer, lent for one event.
    buffer: Vec<u8>,
    /// Parcels taken from the mailbox.
    pub(super) parcels: Vec<Parcel>,
    /// Rooms with publications of this turn.
    pub(super) dirty: Vec<u64>,
    /// Connections with something to write besides publications.
    pub(super) touched: Vec<u64>,
    /// Connections that end once this turn's publications are out.
    pub(super) ending: Vec<u64>,
    /// Connections whose input waits for a mailbox.
    pub(super) stalled: Vec<u64>,
    /// Connections to read from although no event says so.
    again: Vec<u64>,
    pub(super) doomed: Vec<(u64, Ended)>,
    fired: Vec<u64>,
    audits: Vec<AuditReply>,
    drain: Option<Drain>,
    /// Scratch of a flush: the frames, their numbers, and their bytes in a row.
    pub(super) batch: Vec<Publication>,
    pub(super) sequences: Vec<u32>,
    pub(super) blob: Vec<u8>,
    /// Emptied lists of publications, for the next rooms that need one.
    pub(super) spare: Vec<Vec<Pending>>,
    /// What has been added to the shared metrics already.
    counted: Ledger,
}

impl Worker {
    pub(super) fn new(id: usize, post: Post, supplies: &Supplies) -> Self {
        let config = &supplies.config;
        let now = supplies.clock.now();
        Self {
            poll: post.poll,
            link: post.link,
            clock: supplies.clock,
            on_close: Arc::clone(&supplies.on_close),
            plane: Plane::new(id, supplies),
            rules: Rules::new(config),
            bounds: Bounds {
                capacity: u32::try_from(config.queue.capacity).unwrap_or(u32::MAX),
                bytes_max: config.queue.bytes_max,
                overflow: config.queue.overflow,
            },
            clients: Slab::default(),
            rooms: Slab::default(),
            timers: Timers::new(now),
            buffer: vec![0; BUFFER_BYTES],
            parcels: Vec::new(),
            dirty: Vec::new(),
            touched: Vec::new(),
            ending: Vec::new(),
            stalled: Vec::new(),
            again: Vec::new(),
            doomed: Vec::new(),
            fired: Vec::new(),
            audits: Vec::new(),
            drain: None,
            batch: Vec::new(),
            sequences: Vec::new(),
            blob: Vec::new(),
            spare: Vec::new(),
            counted: Ledger::default(),
        }
    }

    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let timeout = self.timeout();
            if let Err(error) = self.poll.poll(&mut events, timeout)
                && error.kind() != ErrorKind::Interrupted
            {
                tracing::error!(%error, "poll failed");
                return;
            }
            self.plane.begin_turn(self.clock.now());
            self.take_orders();
            for event in &events {
                if event.token() != WAKE {
                    self.contained(event.token().0 as u64, |worker, key| {
                        worker.on_event(key, event)
                    });
                }
            }
            for key in std::mem::take(&mut self.again) {
                self.contained(key, |worker, key| worker.read(key, false));
            }
            self.run_timers();
            self.step_drain();
            self.settle();
            self.bury();
            self.report();
            if self.drain.is_some() && self.clients.is_empty() {
                return;
            }
        }
    }

    fn timeout(&self) -> Option<Duration> {
        if !self.again.is_empty() || !self.doomed.is_empty() || self.has_parcels() {
            return Some(Duration::ZERO);
        }
        let next = self.timers.next(self.plane.now);
        if self.drain.is_some() {
            Some(next.map_or(DRAIN_STEP, |next| next.min(DRAIN_STEP)))
        } else {
            next
        }
    }

    fn has_parcels(&self) -> bool {
        !self.plane.broker.mailboxes().is_empty(self.plane.worker)
    }

    /// Runs one connection's code; a panic in it closes that connection with 1011 and is counted,
    /// and nothing else notices.
    pub(super) fn contained(&mut self, key: u64, work: impl FnOnce(&mut Self, u64)) {
        if catch_unwind(AssertUnwindSafe(|| work(self, key))).is_ok() {
            return;
        }
        self.plane.metrics.panics.inc();
        tracing::error!(
            connection = key,
            "a connection's code panicked; it is closed with 1011"
        );
        if self.buffer.len() != BUFFER_BYTES {
            self.buffer = vec![0; BUFFER_BYTES];
        }
        self.close(key, CloseReason::Internal);
    }

    fn take_orders(&mut self) {
        let orders = std::mem::take(&mut *self.link.orders.lock());
        for order in orders {
            match order {
                Order::Open(handoff) => self.open(*handoff),
                Order::Drain { reason, deadline } => {
                    let connections = self.clients.len() as u64;
                    let started = self.plane.now;
                    self.drain = Some(Drain {
                        reason,
                        started,
                        deadline,
                        connections,
                        closed: 0,
                        cursor: 0,
                    });
                }
                Order::Audit(room, reply) => self.audits.push((room, reply)),
            }
        }
    }

    fn open(&mut self, handoff: Handoff) {
        let Handoff {
            socket,
            mut leftover,
            role,
            room,
            peer,
        } = handoff;
        let mut socket = mio::net::TcpStream::from_std(socket);
        let key = self.clients.next_key();
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) =
            self.poll
                .registry()
                .register(&mut socket, Token(key as usize), interest)
        {
            tracing::warn!(%error, "a connection cannot be watched and is dropped");
            count(&self.plane.metrics.connections_closed, "reason", "gone");
            (self.on_close)(peer);
            return;
        }
        let now = self.plane.now;
        let mut client = Client {
            socket,
            connection: Connection::new(now),
            role,
            seat: None,
            peer,
            armed: Millis::NEVER,
            slowed: None,
            unread: false,
            finished: false,
            left: false,
        };
        let seated = room.map(|name| self.join(&name, key));
        client.seat = seated;
        let local = seated.and_then(|seat| self.rooms.get_mut(seat.room));
        self.plane.greet(
            ConnectionKey(key),
            &client.role,
            local.map(|local| &*local.room),
        );
        self.clients.insert(client);
        self.plane.metrics.connections.inc();
        self.plane.metrics.connections_opened.inc();
        self.arm(key);
        if let Some(drain) = &self.drain {
            let reason = drain.reason;
            self.close(key, reason);
        } else if !leftover.is_empty() {
            self.contained(key, |worker, key| {
                let mut bytes = Vec::from(std::mem::replace(&mut leftover, Bytes::new()));
                worker.feed(key, &mut bytes);
            });
        }
    }

    fn join(&mut self, name: &RoomName, key: u64) -> Seat {
        let Self { rooms, plane, .. } = self;
        let slot = slot_of(rooms.next_key());
        let joined = plane.broker.join(name, plane.worker, || slot);
        let room = if joined.first_on_worker {
            rooms.insert(LocalRoom::new(joined.room))
        } else {
            super::rooms::key_of(joined.slot)
        };
        let index = super::slab::index_of(key);
        let position = rooms
            .get_mut(room)
            .map_or(0, |local| local.add(index, joined.sequence));
        Seat { room, position }
    }

    fn on_event(&mut self, key: u64, event: &mio::event::Event) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        if event.is_error() {
            self.doom(key, Ended::Gone);
            return;
        }
        if event.is_writable() && !client.connection.outbound.is_idle() {
            self.touched.push(key);
        }
        if event.is_readable() || event.is_read_closed() {
            self.read(key, event.is_read_closed());
        }
    }

    /// Reads until the socket is empty, the connection must wait, or its share of the turn is used.
    fn read(&mut self, key: u64, to_the_end: bool) {
        for _ in 0..READS_PER_TURN {
            let Some(client) = self.clients.get_mut(key) else {
                return;
            };
            if client.is_paused() {
                client.unread = true;
                return;
            }
            client.unread = false;
            match client.socket.read(&mut self.buffer) {
                Ok(0) => return self.finish(key),
                Ok(count) => {
                    self.plane.tally.bytes_read += count as u64;
                    let mut buffer = std::mem::take(&mut self.buffer);
                    if let Some(input) = buffer.get_mut(..count) {
                        self.feed(key, input);
                    }
                    self.buffer = buffer;
                    // A short read has emptied the socket; the next byte is a new event.
                    if count < BUFFER_BYTES && !to_the_end {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.doom(key, Ended::Gone),
            }
        }
        self.again.push(key);
    }

    /// The peer has sent its last byte.
    fn finish(&mut self, key: u64) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        // What it said before still counts: the connection goes once its kept input is dealt with.
        client.finished = true;
        let ended = client
            .connection
            .ending()
            .map_or(Ended::Gone, Ended::Closed);
        self.doom(key, ended);
    }

    pub(super) fn feed(&mut self, key: u64, input: &mut [u8]) {
        self.listen(key, |connection, now, rules, speaker| {
            connection.receive(now, rules, input, speaker)
        });
    }

    /// Lets a connection take in something, and acts on where that leaves it.
    fn listen(
        &mut self,
        key: u64,
        take_in: impl FnOnce(&mut Connection, Millis, &Rules, &mut Speaker<'_>) -> Reading,
    ) {
        let Self {
            clients,
            rooms,
            plane,
            rules,
            ..
        } = self;
        let Some(client) = clients.get_mut(key) else {
            return;
        };
        let was_open = client.connection.is_open();
        let local = client.seat.and_then(|seat| rooms.get_mut(seat.room));
        let now = plane.now;
        let room = local.map(|local| &local.room);
        let mut speaker = Speaker {
            plane,
            connection: ConnectionKey(key),
            role: &client.role,
            room,
        };
        let reading = take_in(&mut client.connection, now, rules, &mut speaker);
        if !client.connection.outbound.is_idle() {
            self.touched.push(key);
        }
        match reading {
            Reading::Open | Reading::Awaiting => {}
            Reading::Stalled => {
                count(&plane.metrics.reads_paused, "reason", "mailbox");
                client.unread = true;
                self.stalled.push(key);
            }
            Reading::Slowed(until) => {
                count(&plane.metrics.reads_paused, "reason", "bytes");
                client.slowed = Some(until);
                client.unread = true;
            }
            Reading::Ending if was_open => self.ending.push(key),
            Reading::Ending => {}
        }
        self.arm(key);
    }

    /// Goes on with the input a connection has kept; then with its socket.
    pub(super) fn resume(&mut self, key: u64, replied: bool) {
        self.listen(key, |connection, now, rules, speaker| {
            connection.resume(now, rules, replied, speaker)
        });
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        if client.is_paused() {
            return;
        }
        if client.finished {
            self.doom(key, Ended::Gone);
        } else if std::mem::take(&mut client.unread) {
            self.again.push(key);
        }
    }

    /// Sets a connection's timer, unless an earlier one is set.
    pub(super) fn arm(&mut self, key: u64) {
        let now = self.plane.now;
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let next = client.connection.next_timer(&self.rules);
        let at = client
            .slowed
            .map_or(next, |until| until.min(next))
            .min(now + TIMER_MAX);
        if at < client.armed {
            client.armed = at;
            self.timers.arm(at, key);
        }
    }

    fn run_timers(&mut self) {
        let now = self.plane.now;
        let mut fired = std::mem::take(&mut self.fired);
        self.timers.expire(now, &mut fired);
        for key in fired.drain(..) {
            self.contained(key, |worker, key| worker.on_timer(key, now));
        }
        self.fired = fired;
    }

    fn on_timer(&mut self, key: u64, now: Millis) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        if now < client.armed {
            return; // Left over from before an earlier one was set.
        }
        client.armed = Millis::NEVER;
        if client.slowed.is_some_and(|until| until <= now) {
            client.slowed = None;
            if std::mem::take(&mut client.unread) {
                self.again.push(key);
            }
        }
        let was_open = client.connection.is_open();
        let alive = client.connection.on_timer(now, &self.rules);
        if !client.connection.outbound.is_idle() {
            self.touched.push(key);
        }
        if let (None, Some(reason)) = (alive, client.connection.ending()) {
            self.doom(key, Ended::Closed(reason));
            return;
        }
        if was_open && !client.connection.is_open() {
            self.ending.push(key);
        }
        self.arm(key);
    }

    /// Ends a connection from this side.
    pub(super) fn close(&mut self, key: u64, reason: CloseReason) {
        let now = self.plane.now;
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        if client.connection.is_open() {
            client.connection.close(now, reason);
            self.ending.push(key);
            self.touched.push(key);
            self.arm(key);
        }
    }

    /// Marks a connection to be removed at the end of the turn.
    pub(super) fn doom(&mut self, key: u64, ended: Ended) {
        self.doomed.push((key, ended));
    }

    fn step_drain(&mut self) {
        let now = self.plane.now;
        let Some(mut drain) = self.drain.take() else {
            return;
        };
        if now >= drain.deadline {
            for index in 0..self.clients.places() {
                if let Some(key) = self.clients.key_at(index) {
                    self.doom(key, Ended::Shutdown);
                }
            }
        }
        // The last third of the grace is for the closing handshakes themselves.
        let window = drain.deadline.since(drain.started) * 2 / 3;
        let elapsed = now.since(drain.started).min(window).as_millis() as u64;
        let due = drain.connections * elapsed / (window.as_millis() as u64).max(1);
        // Never less than one, so that a drain of a few connections starts at once.
        let due = due.max(1).max(if window.is_zero() {
            drain.connections
        } else {
            0
        });
        while drain.closed < due && drain.cursor < self.clients.places() {
            if let Some(key) = self.clients.key_at(drain.cursor) {
                self.close(key, drain.reason);
                drain.closed += 1;
            }
            drain.cursor += 1;
        }
        self.drain = Some(drain);
    }

    /// Removes the connections that are gone.
    fn bury(&mut self) {
        for (key, ended) in std::mem::take(&mut self.doomed) {
            let held = self.clients.get_mut(key).is_some_and(|client| {
                client.connection.is_held()
                    && client.connection.is_open()
                    && ended == Ended::Gone
                    && client.finished
            });
            if held {
                continue; // Its kept input goes first; `resume` dooms it again.
            }
            self.abandon(key, ended);
            self.leave(key);
            let Some(mut client) = self.clients.remove(key) else {
                continue;
            };
            if let Err(error) = self.poll.registry().deregister(&mut client.socket) {
                tracing::debug!(%error, "a socket was not being watched");
            }
            count(
                &self.plane.metrics.connections_closed,
                "reason",
                ended.label(),
            );
            self.plane.metrics.connections.dec();
            tracing::debug!(
                connection = key,
                reason = ended.label(),
                "connection closed"
            );
            (self.on_close)(client.peer);
        }
    }

    /// Adds the turn's counts to the shared metrics and answers audits.
    fn report(&mut self) {
        let Tally {
            users,
            systems,
            bytes_read,
            bytes_written,
            writes,
        } = std::mem::take(&mut self.plane.tally);
        let metrics = &self.plane.metrics;
        for (kind, number) in [("user", users), ("system", systems)] {
            if number > 0 {
                metrics
                    .commands
                    .get_or_create(&[("kind", kind)])
                    .inc_by(number);
            }
        }
        metrics.bytes_read.inc_by(bytes_read);
        metrics.bytes_written.inc_by(bytes_written);
        metrics.writes.inc_by(writes);
        let ledger = self.plane.ledger;
        if ledger != self.counted {
            super::settle::publish_ledger(metrics, &self.counted, &ledger);
            self.counted = ledger;
        }
        for (room, reply) in std::mem::take(&mut self.audits) {
            let connections = self.clients.len();
            let ledger = match room {
                None => ledger,
                Some(name) => self.room_ledger(&name),
            };
            reply(Report {
                ledger,
                connections,
            });
        }
    }

    fn room_ledger(&mut self, name: &RoomName) -> Ledger {
        let slot = self
            .plane
            .broker
            .find(name)
            .and_then(|room| room.slot_on(self.plane.worker));
        let local = slot.and_then(|slot| self.rooms.get_mut(super::rooms::key_of(slot)));
        local.map(|local| local.ledger.read()).unwrap_or_default()
    }
}
