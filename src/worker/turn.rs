//! The loop of a worker: what happens in one turn, and in which order.

use super::agenda::Agenda;
use super::client::{Client, Ended};
use super::connection::{Connection, Reading, Rules, STALL};
use super::door::Door;
use super::fan_out::Offered;
use super::gathering::{FanOut, Gathering, Load};
use super::lifecycle::Drain;
use super::plane::{Plane, Speaker};
use super::port::{LISTEN, Port, Ready, Socket as _, WAKE};
use super::rooms::LocalRoom;
use super::slab::Slab;
use super::timers::Timers;
use super::{Link, OnClose, Order, Post, Report, Supplies};
use crate::broker::ledger::Ledger;
use crate::broker::queue::Bounds;
use crate::broker::{Consumers, Parcel};
use crate::clock::Millis;
use crate::metrics::count;
use crate::name::RoomName;
use crate::protocol::CloseReason;
use std::collections::{HashMap, VecDeque};
use std::io::{ErrorKind, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// The lent read buffer. Larger than a default message with its header, so that one is usually
/// decoded in place.
pub(super) const BUFFER_BYTES: usize = 64 * 1024;

/// Reads of one connection in one turn; then the others have theirs.
const READS_PER_TURN: usize = 8;

/// Events taken per poll. A turn reads from all of them before it writes to any, so few enough that
/// their sockets are still in the core's cache when it writes (`compare --only echo-2000`, in `floor`:
/// 1,024 events 1.22, 256 1.12, 64 1.05, 16 1.09), and enough that a poll's own cost is spread.
pub(super) const EVENTS: usize = 64;

/// How often a drain looks which connections are due.
const DRAIN_STEP: Duration = Duration::from_millis(20);

/// The farthest a timer is set: within the wheel's 51.2 s, so that it never fires early.
pub(super) const TIMER_MAX: Duration = Duration::from_secs(50);

type AuditReply = (Option<RoomName>, Box<dyn FnOnce(Report) + Send>);

pub(super) struct Worker<P: Port, C: Consumers> {
    pub(super) port: P,
    link: Arc<Link<P>>,
    /// When this turn began, as it was told and by the clock.
    turned: Millis,
    begun: Millis,
    pub(super) on_close: OnClose,
    pub(super) plane: Plane<C>,
    pub(super) rules: Rules,
    pub(super) bounds: Bounds,
    pub(super) clients: Slab<Client<P::Socket>>,
    pub(super) rooms: Slab<LocalRoom>,
    /// Where connections come in, on the worker that listens.
    pub(super) door: Option<Door<P>>,
    pub(super) timers: Timers,
    /// The read buffer, lent for one event.
    pub(super) buffer: Vec<u8>,
    /// Parcels taken from the mailbox.
    pub(super) parcels: Vec<Parcel>,
    /// Of these, what has been dealt with since room was made for it.
    pub(super) done: Load,
    /// What has been taken and no room has been made for yet.
    pub(super) held: Load,
    /// Deliveries and bytes of the parcel that is being delivered.
    pub(super) in_hand: Option<(u64, usize)>,
    /// Rooms to be written.
    pub(super) agenda: Agenda,
    /// What is for connections that are in no room.
    pub(super) apart: FanOut,
    /// Connections with something to write besides publications.
    pub(super) touched: Vec<u64>,
    /// Connections that end once this turn's publications are out.
    pub(super) ending: Vec<u64>,
    /// Those of them that may leave: all they have said has been taken from the mailbox.
    pub(super) leaving: VecDeque<u64>,
    /// Rooms left with deliveries still waiting, by connection: those stay in the room's account.
    pub(super) leavers: HashMap<u64, u64>,
    /// Connections whose input waits for a mailbox.
    pub(super) stalled: Vec<u64>,
    /// Connections to read from although no event says so.
    pub(super) again: Vec<u64>,
    pub(super) doomed: Vec<(u64, Ended)>,
    fired: Vec<u64>,
    pub(super) audits: Vec<AuditReply>,
    pub(super) drain: Option<Drain>,
    /// Scratch of a fan-out: the bytes of its frames in a row, with the asides of a member between
    /// them, and what became of them.
    pub(super) blob: Vec<u8>,
    pub(super) mixed: Vec<u8>,
    pub(super) offered: Offered,
    /// An emptied fan-out, for the next room that begins one.
    pub(super) spare_fan_out: Option<Box<FanOut>>,
    /// Emptied gatherings, for the next rooms that need one.
    #[expect(
        clippy::vec_box,
        reason = "they move in and out of rooms, where a box is 8 bytes"
    )]
    pub(super) spare: Vec<Box<Gathering>>,
    /// What has been added to the shared metrics already.
    pub(super) counted: Ledger,
}

impl<P: Port, C: Consumers> Drop for Worker<P, C> {
    /// However it ends, nothing waits for it in vain, and admission gets every place back.
    fn drop(&mut self) {
        self.plane.broker.placement().ended(self.plane.worker);
        if catch_unwind(AssertUnwindSafe(|| self.give_up())).is_err() {
            tracing::error!("a worker that ended could not put its affairs in order");
        }
        for order in self.link.end() {
            if let Order::Open(handoff) = order {
                (self.on_close)(handoff.peer);
            }
        }
        for index in 0..self.clients.places() {
            if let Some(client) = self.clients.at_mut(index) {
                (self.on_close)(client.peer);
                self.plane.metrics.connections.dec();
                let placement = self.plane.broker.placement();
                placement.left(self.plane.worker);
            }
        }
    }
}

impl<P: Port, C: Consumers> Worker<P, C> {
    pub(super) fn new(id: usize, post: Post<P>, supplies: &Supplies, consumers: C) -> Self {
        let config = &supplies.config;
        let now = post.port.now();
        Self {
            port: post.port,
            link: post.link,
            turned: now,
            begun: now,
            on_close: Arc::clone(&supplies.on_close),
            plane: Plane::new(id, now, supplies, consumers),
            rules: Rules::new(config),
            bounds: Bounds {
                capacity: u32::try_from(config.queue.capacity).unwrap_or(u32::MAX),
                bytes_max: config.queue.bytes_max,
                overflow: config.queue.overflow,
            },
            clients: Slab::default(),
            rooms: Slab::default(),
            door: None,
            timers: Timers::new(now),
            buffer: vec![0; BUFFER_BYTES],
            parcels: Vec::new(),
            done: Load::default(),
            held: Load::default(),
            in_hand: None,
            agenda: Agenda::default(),
            apart: FanOut::default(),
            touched: Vec::new(),
            ending: Vec::new(),
            leaving: VecDeque::new(),
            leavers: HashMap::new(),
            stalled: Vec::new(),
            again: Vec::new(),
            doomed: Vec::new(),
            fired: Vec::new(),
            audits: Vec::new(),
            drain: None,
            blob: Vec::new(),
            mixed: Vec::new(),
            offered: Offered::default(),
            spare_fan_out: None,
            spare: Vec::new(),
            counted: Ledger::default(),
        }
    }

    pub(super) fn run(mut self) {
        let mut events = P::events(EVENTS);
        while !self.is_done() {
            let timeout = self.timeout();
            if let Err(error) = self.port.wait(&mut events, timeout)
                && error.kind() != ErrorKind::Interrupted
            {
                tracing::error!(%error, "poll failed");
                return;
            }
            let now = self.port.now();
            self.turn(now, now, &events);
        }
    }

    /// Its drain is over: nobody is left, and nobody waits at the listener.
    pub(super) fn is_done(&self) -> bool {
        self.drain.is_some() && self.clients.is_empty() && self.door.is_none()
    }

    /// One turn at `now`, with the events of a poll; `begun` is the same by the clock.
    pub(super) fn turn(&mut self, now: Millis, begun: Millis, events: &P::Events) {
        self.begun = begun;
        self.turned = now;
        self.plane.begin_turn(now, self.port.wall());
        // Before anything arms a timer: a wheel that slept would take the deadline for a far one.
        self.timers.expire(now, &mut self.fired);
        self.take_orders();
        let mut count = 0;
        for ready in P::ready(events) {
            count += 1;
            match ready.key {
                WAKE => {}
                LISTEN => self.knocked(),
                key => self.contained(key, |worker, key| worker.on_ready(key, ready)),
            }
        }
        self.agenda.polled(count);
        count += self.again.len();
        for key in std::mem::take(&mut self.again) {
            // To the end: it may have been announced while this connection could not be read.
            self.contained(key, |worker, key| worker.read(key, true));
        }
        self.run_timers();
        self.accept();
        self.step_drain();
        if count > 1 {
            // Reading may have taken its time, and what has become too old meanwhile is not written.
            self.take_time();
        }
        self.settle();
        self.bury();
        self.report();
    }

    pub(super) fn timeout(&self) -> Option<Duration> {
        let waiting = [&self.again, &self.ending, &self.touched];
        let waits = waiting.iter().any(|keys| !keys.is_empty()) || !self.leaving.is_empty();
        let mailboxes = self.plane.broker.mailboxes();
        // What has been taken from the mailbox and waits to be written is counted there too.
        if waits || !self.doomed.is_empty() || !mailboxes.is_empty(self.plane.worker) {
            return Some(Duration::ZERO);
        }
        let next = self.timers.next(self.plane.now);
        let next = match &self.door {
            Some(door) => door.sooner(self.plane.now, next),
            None => next,
        };
        if self.drain.is_some() {
            Some(next.map_or(DRAIN_STEP, |next| next.min(DRAIN_STEP)))
        } else {
            next
        }
    }

    /// Takes the time again, in the middle of a turn.
    pub(super) fn take_time(&mut self) {
        let passed = self.port.now().since(self.begun);
        self.plane.now = self.plane.now.max(self.turned + passed);
    }

    fn take_orders(&mut self) {
        for order in self.link.take() {
            match order {
                Order::Open(handoff) => self.open(*handoff),
                Order::Listen(door) => self.listen_at(*door),
                Order::Drain { reason, deadline } => {
                    self.shut();
                    let connections = self.clients.len() as u64;
                    self.drain = Some(Drain::new(reason, self.plane.now, deadline, connections));
                }
                Order::Audit(room, reply) => self.audits.push((room, reply)),
            }
        }
    }

    fn on_ready(&mut self, key: u64, ready: Ready) {
        let Some(client) = self.clients.get_mut(key) else {
            return self.on_arrival(key, ready);
        };
        if ready.has_failed {
            self.doom(key, Ended::Gone);
            return;
        }
        if ready.is_writable && !client.connection.outbound.is_idle() {
            self.touched.push(key);
        }
        if ready.is_readable || ready.is_read_closed {
            self.read(key, ready.is_read_closed);
        }
    }

    /// Reads until the socket is empty, the connection must wait, or its share of the turn is used.
    /// `to_the_end`: the end of the stream may have been announced, and will not be again.
    fn read(&mut self, key: u64, to_the_end: bool) {
        for _ in 0..READS_PER_TURN {
            let Some(client) = self.clients.get_mut(key) else {
                return;
            };
            if client.finished {
                return;
            }
            if client.is_paused() || !client.connection.may_read() {
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

    pub(super) fn feed(&mut self, key: u64, input: &mut [u8]) {
        self.listen(key, |connection, now, rules, speaker| {
            connection.receive(now, rules, input, speaker)
        });
    }

    /// Lets a connection take in something, and acts on where that leaves it.
    fn listen(
        &mut self,
        key: u64,
        take_in: impl FnOnce(&mut Connection, Millis, &Rules, &mut Speaker<'_, C>) -> Reading,
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
        let was_held = client.connection.is_held();
        let local = client.seat.and_then(|seat| rooms.at_mut(seat.room));
        let now = plane.now;
        let room = local.map(|local| &local.room);
        let mut speaker = Speaker::new(plane, key, &mut client.role, room);
        let reading = take_in(&mut client.connection, now, rules, &mut speaker);
        client.asked = client.asked.saturating_add(speaker.asked());
        if !client.connection.outbound.is_idle() {
            self.touched.push(key);
        }
        match reading {
            Reading::Open | Reading::Awaiting => {}
            Reading::Stalled => {
                // Once per pause, not for every look at a mailbox that is still full.
                if !was_held {
                    count(&plane.metrics.reads_paused, "reason", "mailbox");
                }
                client.unread = true;
                self.stalled.push(key);
            }
            Reading::Slowed(until) => {
                count(&plane.metrics.reads_paused, "reason", "bytes");
                client.slowed = until;
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
            self.finish(key);
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
        let at = next.min(client.slowed).min(now + TIMER_MAX);
        if at < client.armed {
            client.armed = at;
            self.timers.arm(at, key);
        }
    }

    fn run_timers(&mut self) {
        let now = self.plane.now;
        let mut fired = std::mem::take(&mut self.fired);
        for key in fired.drain(..) {
            self.contained(key, |worker, key| worker.on_timer(key, now));
        }
        self.fired = fired;
    }

    fn on_timer(&mut self, key: u64, now: Millis) {
        let Some(client) = self.clients.get_mut(key) else {
            return self.on_patience(key);
        };
        if now < client.armed {
            return; // Left over from before an earlier one was set.
        }
        client.armed = Millis::NEVER;
        if client.slowed <= now {
            client.slowed = Millis::NEVER;
            if std::mem::take(&mut client.unread) {
                self.again.push(key);
            }
        }
        let was_open = client.connection.is_open();
        let alive = client.connection.on_timer(now, &self.rules);
        if !client.connection.outbound.is_idle() {
            self.touched.push(key);
        }
        if alive.is_none() {
            if !client.connection.has_said_close() {
                // It reads nothing: what the kernel holds for it is given up too.
                client.socket.forsake();
            }
            let ended = client.ended();
            self.doom(key, ended);
            return;
        }
        if was_open && !client.connection.is_open() {
            if client.connection.ending() == Some(CloseReason::Policy) {
                count(&self.plane.metrics.violations, "kind", STALL);
            }
            self.ending.push(key);
        }
        self.arm(key);
    }
}
