//! The loop of a worker: what happens in one turn, and in which order.

use super::agenda::{Agenda, EVENTS};
use super::client::{Client, Ended, ReadSide};
use super::connection::{Connection, Reading, Rules, STALL};
use super::context::{Speaker, WorkerContext};
use super::drain::Drain;
use super::fan_out::Offered;
use super::gathering::{FanOut, Gathering, ParcelLoad};
use super::handle::{Instruction, Report, WorkerHandle, WorkerSlot};
use super::listener::Listener;
use super::port::{LISTEN, Port, Ready, Socket as _, WAKE};
use super::rooms::LocalRoom;
use super::slab::Slab;
use super::supplies::{OnClose, Supplies};
use super::timers::{TIMER_MAX, Timers};
use crate::broker::ledger::Ledger;
use crate::broker::queue::Bounds;
use crate::broker::{Consumers, Parcel};
use crate::clock::Millis;
use crate::metrics::count;
use crate::name::RoomName;
use crate::protocol::CloseReason;
use std::collections::HashMap;
use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// The lent read buffer. Larger than a default message with its header, so that one is usually
/// decoded in place.
pub(super) const BUFFER_BYTES: usize = 64 * 1024;

/// Reads of one connection in one turn; then the others have theirs.
const READS_PER_TURN: usize = 8;

/// How often a drain looks which connections are due.
const DRAIN_STEP: Duration = Duration::from_millis(20);

type AuditReply = (Option<RoomName>, Box<dyn FnOnce(Report) + Send>);

/// A worker: its connections, its members of every room, and what they are still to be told.
pub struct Worker<P: Port, C: Consumers> {
    pub(super) port: P,
    handle: Arc<WorkerHandle<P>>,
    /// When this turn began, as it was told and by the clock.
    turned: Millis,
    begun: Millis,
    pub(super) on_close: OnClose,
    pub(super) context: WorkerContext<C>,
    pub(super) rules: Rules,
    pub(super) bounds: Bounds,
    pub(super) clients: Slab<Client<P::Socket>>,
    pub(super) rooms: Slab<LocalRoom>,
    /// Where connections come in, on the worker that listens.
    pub(super) listener: Option<Listener<P>>,
    pub(super) timers: Timers,
    /// The read buffer, lent for one event.
    pub(super) buffer: Vec<u8>,
    /// Parcels taken from the mailbox.
    pub(super) parcels: Vec<Parcel>,
    /// Of these, what has been dealt with since room was made for it.
    pub(super) done: ParcelLoad,
    /// What has been taken and no room has been made for yet.
    pub(super) held: ParcelLoad,
    /// Deliveries and bytes of the parcel that is being delivered.
    pub(super) in_hand: Option<(u64, usize)>,
    pub(super) agenda: Agenda,
    /// What is for connections that are in no room.
    pub(super) apart: FanOut,
    /// Rooms left with deliveries still waiting, by connection: those stay in the room's account.
    pub(super) left_with_backlog: HashMap<u64, u64>,
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

impl<P: Port, C: Consumers> fmt::Debug for Worker<P, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("id", &self.context.worker)
            .finish_non_exhaustive()
    }
}

impl<P: Port, C: Consumers> Drop for Worker<P, C> {
    /// However it ends, nothing waits for it in vain, and admission gets every place back.
    fn drop(&mut self) {
        self.context.broker.placement().ended(self.context.worker);
        if catch_unwind(AssertUnwindSafe(|| self.give_up())).is_err() {
            tracing::error!("a worker that ended could not put its affairs in order");
        }
        for instruction in self.handle.end() {
            if let Instruction::Open(handoff) = instruction {
                (self.on_close)(handoff.peer);
            }
        }
        for index in 0..self.clients.places() {
            if let Some(client) = self.clients.at_mut(index) {
                (self.on_close)(client.peer);
                self.context.metrics.connections.dec();
                let placement = self.context.broker.placement();
                placement.left(self.context.worker);
            }
        }
    }
}

impl<P: Port, C: Consumers> Worker<P, C> {
    /// Worker number `id` in this slot.
    #[must_use]
    pub fn new(id: usize, slot: WorkerSlot<P>, supplies: &Supplies, consumers: C) -> Self {
        let config = &supplies.config;
        let now = slot.port.now();
        Self {
            port: slot.port,
            handle: slot.handle,
            turned: now,
            begun: now,
            on_close: Arc::clone(&supplies.on_close),
            context: WorkerContext::new(id, now, supplies, consumers),
            rules: Rules::new(config),
            bounds: Bounds {
                capacity: u32::try_from(config.queue.capacity).unwrap_or(u32::MAX),
                bytes_max: config.queue.bytes_max,
                overflow: config.queue.overflow,
            },
            clients: Slab::default(),
            rooms: Slab::default(),
            listener: None,
            timers: Timers::new(now),
            buffer: vec![0; BUFFER_BYTES],
            parcels: Vec::new(),
            done: ParcelLoad::default(),
            held: ParcelLoad::default(),
            in_hand: None,
            agenda: Agenda::default(),
            apart: FanOut::default(),
            left_with_backlog: HashMap::new(),
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

    /// Turn after turn, until its drain is over.
    pub(super) fn run(mut self) {
        let mut events = P::events(EVENTS);
        while let Some(timeout) = self.next_wait() {
            if let Err(error) = self.wait(&mut events, timeout) {
                tracing::error!(%error, "poll failed");
                return;
            }
        }
    }

    /// How long it may sleep before its next turn if nothing happens; `None` once it has ended. Asked
    /// between two turns.
    pub fn next_wait(&mut self) -> Option<Option<Duration>> {
        if self.is_done() {
            // Nobody gives this worker anything from here on; who was on the way is still answered.
            let last = self.handle.end();
            if last.is_empty() {
                return None;
            }
            for instruction in last {
                self.follow(instruction);
            }
        }
        Some(self.timeout())
    }

    /// Sleeps for at most `timeout`, then takes one turn.
    ///
    /// # Errors
    /// When the port can wait no more.
    pub fn wait(&mut self, events: &mut P::Events, timeout: Option<Duration>) -> io::Result<()> {
        if let Err(error) = self.port.wait(events, timeout)
            && error.kind() != ErrorKind::Interrupted
        {
            return Err(error);
        }
        let now = self.port.now();
        self.turn(now, now, events);
        Ok(())
    }

    /// Its drain is over: nobody is left, and nobody waits at the listener.
    pub(super) fn is_done(&self) -> bool {
        self.drain.is_some() && self.clients.is_empty() && self.listener.is_none()
    }

    /// One turn at `now`, with the events of a poll; `begun` is the same by the clock.
    pub(super) fn turn(&mut self, now: Millis, begun: Millis, events: &P::Events) {
        self.begun = begun;
        self.turned = now;
        self.context.begin_turn(now, self.port.wall());
        // Before anything arms a timer: a wheel that slept would take the deadline for a far one.
        self.timers.expire(now, &mut self.fired);
        self.take_instructions();
        let mut count = 0;
        for ready in P::ready(events) {
            count += 1;
            match ready.key {
                WAKE => {}
                LISTEN => self.accept_ready(),
                key => self.contained(key, |worker, key| worker.on_ready(key, ready)),
            }
        }
        self.agenda.polled(count);
        let unread = self.agenda.take_unread();
        count += unread.len();
        for key in unread {
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
        self.deliver_mailbox();
        self.reap();
        self.report();
    }

    pub(super) fn timeout(&self) -> Option<Duration> {
        let mailboxes = self.context.broker.mailboxes();
        // What has been taken from the mailbox and waits to be written is counted there too.
        if self.agenda.is_urgent() || !mailboxes.is_empty(self.context.worker) {
            return Some(Duration::ZERO);
        }
        let next = self.timers.next(self.context.now);
        let next = match &self.listener {
            Some(listener) => listener.sooner(self.context.now, next),
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
        self.context.now = self.context.now.max(self.turned + passed);
    }

    fn take_instructions(&mut self) {
        for instruction in self.handle.take() {
            self.follow(instruction);
        }
    }

    fn follow(&mut self, instruction: Instruction<P>) {
        match instruction {
            Instruction::Open(handoff) => self.open(*handoff),
            Instruction::Listen(listener) => self.listen_at(*listener),
            Instruction::Drain { reason, deadline } => {
                self.shut();
                let connections = self.clients.len() as u64;
                self.drain = Some(Drain::new(reason, self.context.now, deadline, connections));
            }
            Instruction::Audit(room, reply) => self.audits.push((room, reply)),
        }
    }

    fn on_ready(&mut self, key: u64, ready: Ready) {
        let Some(client) = self.clients.get_mut(key) else {
            return self.on_arrival(key, ready);
        };
        if ready.has_failed {
            self.agenda.mark_gone(key, Ended::Gone);
            return;
        }
        if ready.is_writable && !client.connection.outbound.is_idle() {
            self.agenda.touch(key);
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
            if client.is_finished() {
                return;
            }
            if client.is_paused() || !client.connection.may_read() {
                client.leave_unread();
                return;
            }
            client.incoming = ReadSide::Drained;
            match client.socket.read(&mut self.buffer) {
                Ok(0) => return self.finish(key),
                Ok(count) => {
                    self.context.tally.bytes_read += count as u64;
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
                Err(_) => return self.agenda.mark_gone(key, Ended::Gone),
            }
        }
        self.agenda.read_again(key);
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
            context,
            rules,
            ..
        } = self;
        let Some(client) = clients.get_mut(key) else {
            return;
        };
        let was_held = client.connection.is_held();
        let local = client.seat.and_then(|seat| rooms.at_mut(seat.room));
        let now = context.now;
        let room = local.map(|local| &local.room);
        let mut speaker = Speaker::new(context, key, &mut client.role, room);
        let reading = take_in(&mut client.connection, now, rules, &mut speaker);
        client.asked = client.asked.saturating_add(speaker.asked());
        if !client.connection.outbound.is_idle() {
            self.agenda.touch(key);
        }
        match reading {
            Reading::Open | Reading::Awaiting => {}
            Reading::Stalled => {
                // Once per pause, not for every look at a mailbox that is still full.
                if !was_held {
                    count(&context.metrics.reads_paused, "reason", "mailbox");
                }
                client.leave_unread();
                self.agenda.stall(key);
            }
            Reading::Slowed(until) => {
                count(&context.metrics.reads_paused, "reason", "bytes");
                client.slowed = until;
                client.leave_unread();
            }
            Reading::Ending => self.note_end(key),
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
        if client.is_finished() {
            self.finish(key);
        } else if client.take_unread() {
            self.agenda.read_again(key);
        }
    }

    /// Sets a connection's timer, unless an earlier one is set.
    pub(super) fn arm(&mut self, key: u64) {
        let now = self.context.now;
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
        let now = self.context.now;
        let mut fired = std::mem::take(&mut self.fired);
        for key in fired.drain(..) {
            self.contained(key, |worker, key| worker.on_timer(key, now));
        }
        self.fired = fired;
    }

    fn on_timer(&mut self, key: u64, now: Millis) {
        let Some(client) = self.clients.get_mut(key) else {
            return self.on_arrival_timer(key);
        };
        if now < client.armed {
            return; // Left over from before an earlier one was set.
        }
        client.armed = Millis::NEVER;
        if client.slowed <= now {
            client.slowed = Millis::NEVER;
            if client.take_unread() {
                self.agenda.read_again(key);
            }
        }
        let alive = client.connection.on_timer(now, &self.rules);
        if !client.connection.outbound.is_idle() {
            self.agenda.touch(key);
        }
        if alive.is_none() {
            if !client.connection.has_said_close() {
                // It reads nothing: what the kernel holds for it is given up too.
                client.socket.forsake();
            }
            let ended = client.ended();
            self.agenda.mark_gone(key, ended);
            return;
        }
        if client.begins_to_end() {
            if client.connection.ending() == Some(CloseReason::Policy) {
                count(&self.context.metrics.violations, "kind", STALL);
            }
            self.agenda.end(key);
        }
        self.arm(key);
    }
}
