//! The loop of a worker: what happens in one turn, and in which order.

use super::agenda::EVENTS;
use super::client::{Ended, ReadSide};
use super::connection::{Connection, Reading, Rules, STALL};
use super::connections::Connections;
use super::context::{Speaker, TurnTally, WorkerContext};
use super::deliver::Deliverer;
use super::drain::Drain;
use super::handle::{Instruction, WorkerHandle, WorkerSlot};
use super::listener::Listener;
use super::live::LiveSettings;
use super::members::RoomMembers;
use super::memory::BUFFER_BYTES;
use super::port::{LISTEN, Port, Ready, Socket as _, WAKE};
use super::report::Reporter;
use super::supplies::{OnClose, Supplies};
use crate::broker::Consumers;
use crate::broker::placement::ACCEPT;
use crate::clock::Millis;
use crate::metrics::count;
use crate::panics::caught;
use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::sync::Arc;
use std::time::Duration;

/// Reads of one connection in one turn; then the others have theirs.
const READS_PER_TURN: usize = 8;

/// How often a drain looks which connections are due.
const DRAIN_STEP: Duration = Duration::from_millis(20);

/// One worker: composed of its [`Connections`], its [`RoomMembers`] of rooms and the [`Deliverer`] between them.
pub struct Worker<P: Port, C: Consumers> {
    handle: Arc<WorkerHandle<P>>,
    /// When this turn began, as it was told and by the clock.
    turned: Millis,
    begun: Millis,
    pub(super) on_close: OnClose,
    pub(super) context: WorkerContext<C>,
    pub(super) connections: Connections<P>,
    pub(super) members: RoomMembers,
    pub(super) deliverer: Deliverer,
    /// Where connections come in, on the worker that listens.
    pub(super) listener: Option<Listener<P>>,
    /// The read buffer, lent for one event.
    pub(super) buffer: Vec<u8>,
    fired: Vec<u64>,
    reporter: Reporter,
    pub(super) drain: Option<Drain>,
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
        if caught(|| self.give_up()).is_none() {
            tracing::error!("a worker that ended could not put its affairs in order");
        }
        for instruction in self.handle.end() {
            if let Instruction::Open(handoff) = instruction {
                (self.on_close)(handoff.counted);
            }
        }
        for index in 0..self.connections.clients.places() {
            if let Some(client) = self.connections.clients.at_mut(index) {
                (self.on_close)(client.counted);
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
        let LiveSettings { rules, readers, .. } =
            LiveSettings::new(&supplies.config, &supplies.of_routes);
        let now = slot.port.now();
        Self {
            handle: slot.handle,
            turned: now,
            begun: now,
            on_close: Arc::clone(&supplies.on_close),
            context: WorkerContext::new(id, now, supplies, consumers),
            connections: Connections::new(slot.port, &supplies.config, rules),
            members: RoomMembers::default(),
            deliverer: Deliverer::new(readers),
            listener: None,
            buffer: vec![0; BUFFER_BYTES],
            fired: Vec::new(),
            reporter: Reporter::default(),
            drain: None,
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
        if let Err(error) = self.connections.port.wait(events, timeout)
            && error.kind() != ErrorKind::Interrupted
        {
            return Err(error);
        }
        let now = self.connections.port.now();
        self.turn(now, now, events);
        Ok(())
    }

    /// The worker's drain is over: nobody is left, and nobody waits at the listener.
    pub(super) fn is_done(&self) -> bool {
        self.drain.is_some() && self.connections.clients.is_empty() && self.listener.is_none()
    }

    /// One turn at `now`, with the events of a poll; `begun` is the same by the clock.
    pub(super) fn turn(&mut self, now: Millis, begun: Millis, events: &P::Events) {
        self.begun = begun;
        self.turned = now;
        self.context.begin_turn(now, self.connections.port.wall());
        // Before anything arms a timer: a wheel that slept would take the deadline for a far one.
        self.connections.timers.expire(now, &mut self.fired);
        self.take_instructions();
        let mut count = 0;
        for ready in P::ready(events) {
            count += 1;
            match ready.key {
                WAKE => {}
                LISTEN => {
                    if let Some(listener) = &mut self.listener {
                        listener.set_ready();
                    }
                }
                key => self.contained(key, |worker, key| worker.on_ready(key, ready)),
            }
        }
        self.connections.agenda.polled(count);
        let unread = self.connections.agenda.take_unread();
        count += unread.len();
        for key in unread {
            // To the end: it may have been announced while this connection could not be read.
            self.contained(key, |worker, key| worker.read(key, true));
        }
        self.run_timers();
        self.step_drain();
        if count > 1 {
            // Reading may have taken its time, and what has become too old meanwhile is not written.
            self.take_time();
        }
        self.deliver_mailbox();
        self.take_arrivals();
        self.reap();
        self.report();
    }

    pub(super) fn timeout(&self) -> Option<Duration> {
        let mailboxes = self.context.broker.mailboxes();
        // What has been taken from the mailbox and waits to be written is counted there too.
        if self.connections.agenda.is_urgent() || !mailboxes.is_empty(self.context.worker) {
            return Some(Duration::ZERO);
        }
        let next = self.connections.timers.next(self.context.now);
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
        let passed = self.connections.port.now().since(self.begun);
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
            Instruction::Listen(mut listener) => {
                listener.start(&self.connections.port);
                self.listener = Some(*listener);
            }
            Instruction::Drain { reason, deadline } => {
                if let Some(listener) = &mut self.listener {
                    listener.end_soon();
                }
                let connections = self.connections.clients.len() as u64;
                self.drain = Some(Drain::new(reason, self.context.now, deadline, connections));
            }
            Instruction::Settings(settings) => {
                self.connections.rules = settings.rules.clone();
                self.deliverer.take_readers(settings.readers.clone());
                self.context.set_expiry(settings.expiry);
            }
            Instruction::Shed(steps, least) => self.shed(steps, least),
            Instruction::Audit(room, reply) => self.reporter.ask(room, reply),
            Instruction::List(whom, most, reply) => reply(self.list(&whom, most)),
        }
    }

    /// Accepts who is there.
    fn accept(&mut self) {
        let Some(listener) = &mut self.listener else {
            return;
        };
        let now = self.context.now;
        let metrics = &self.context.metrics;
        self.context.tally.accepted += listener.accept(&mut self.connections, now, metrics);
        if listener.is_over() {
            self.stop_listening();
        }
    }

    /// Goes on with handshakes, those of earlier turns first, and accepts. What members say meanwhile is read by the next turn before
    /// any more of them.
    fn take_arrivals(&mut self) {
        if !self.listener.as_ref().is_some_and(Listener::has_arrivals) {
            return;
        }
        self.take_time();
        let taken = self.context.now.since(self.turned);
        let begin = |listener: &mut Listener<P>| listener.begin_arrivals(taken);
        // Not those that come to wait meanwhile.
        let most = self.listener.as_mut().map_or(0, begin);
        for _ in 0..most {
            let listener = self.listener.as_mut();
            match listener.and_then(Listener::next_deferred) {
                Some(ready) => self.contained(ready.key, |worker, _| worker.on_arrival(ready)),
                None => break,
            }
        }
        self.accept();
    }

    /// Reads from a socket whose client has not spoken yet.
    fn on_arrival(&mut self, ready: Ready) {
        let Some(listener) = &mut self.listener else {
            return;
        };
        let (now, worker) = (self.context.now, self.context.worker);
        let connections = &mut self.connections;
        if let Some(opening) = listener.on_ready(ready, connections, now, worker, &mut self.buffer)
        {
            self.begin(ready.key, opening.handoff, opening.armed);
            if opening.has_more {
                self.connections.agenda.read_again(ready.key);
            }
        }
    }

    fn on_ready(&mut self, key: u64, ready: Ready) {
        let Some(client) = self.connections.clients.get_mut(key) else {
            if let Some(listener) = &mut self.listener {
                listener.defer(ready);
            }
            return;
        };
        if ready.has_failed {
            self.connections.agenda.mark_gone(key, Ended::Gone);
            return;
        }
        if ready.is_writable && !client.connection.outbound.is_idle() {
            self.connections.agenda.touch(key);
        }
        if ready.is_readable || ready.is_read_closed {
            self.read(key, ready.is_read_closed);
        }
    }

    /// Reads until the socket is empty, the connection must wait, or its share of the turn is used.
    /// `to_the_end`: the end of the stream may have been announced, and will not be again.
    fn read(&mut self, key: u64, to_the_end: bool) {
        for _ in 0..READS_PER_TURN {
            let Some(client) = self.connections.clients.get_mut(key) else {
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
            let read = client.socket.read(&mut self.buffer);
            let overhead = client.socket.take_overhead();
            if overhead > 0 {
                let rules = self.connections.rules.of(client.role.settings);
                let connection = &mut client.connection;
                connection.charge(self.context.now, rules, overhead);
            }
            match read {
                Ok(0) => return self.connections.finish(key, self.context.now),
                Ok(count) => {
                    self.context.tally.bytes_read += count as u64;
                    let mut buffer = std::mem::take(&mut self.buffer);
                    if let Some(input) = buffer.get_mut(..count) {
                        self.feed(key, input);
                    }
                    self.buffer = buffer;
                    // A short read has emptied the socket; the next byte is a new event.
                    if count < BUFFER_BYTES && !to_the_end && !self.holds_unread(key) {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if !self.holds_unread(key) {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.connections.agenda.mark_gone(key, Ended::Gone),
            }
        }
        self.connections.agenda.read_again(key);
    }

    /// Does the socket hold bytes that no event will announce?
    #[inline]
    fn holds_unread(&mut self, key: u64) -> bool {
        let client = self.connections.clients.get_mut(key);
        client.is_some_and(|client| client.socket.holds_unread())
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
            connections,
            members,
            context,
            ..
        } = self;
        let Some(client) = connections.clients.get_mut(key) else {
            return;
        };
        let was_held = client.connection.is_held();
        let room = members.local(client.seat);
        let (now, rules) = (context.now, connections.rules.of(client.role.settings));
        let mut speaker = Speaker::new(context, key, &mut client.role, room);
        let reading = take_in(&mut client.connection, now, rules, &mut speaker);
        client.asked = client.asked.saturating_add(speaker.asked());
        if !client.connection.outbound.is_idle() {
            connections.agenda.touch(key);
        }
        match reading {
            Reading::Open | Reading::Awaiting => {}
            Reading::Stalled => {
                // Once per pause, not for every look at a mailbox that is still full.
                if !was_held {
                    count(&context.metrics.reads_paused, "reason", "mailbox");
                }
                client.leave_unread();
                connections.agenda.stall(key);
            }
            Reading::Slowed(until) => {
                count(&context.metrics.reads_paused, "reason", "bytes");
                client.slowed = until;
                client.leave_unread();
            }
            Reading::Ending => connections.note_end(key),
        }
        connections.arm(key, now);
    }

    /// Goes on with the input a connection has kept; then with its socket.
    pub(super) fn resume(&mut self, key: u64, replied: bool) {
        self.listen(key, |connection, now, rules, speaker| {
            connection.resume(now, rules, replied, speaker)
        });
        let Some(client) = self.connections.clients.get_mut(key) else {
            return;
        };
        if client.is_paused() {
            return;
        }
        if client.is_finished() {
            let now = self.context.now;
            self.connections.finish(key, now);
        } else if client.take_unread() {
            self.connections.agenda.read_again(key);
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
        let metrics = &self.context.metrics;
        if self.connections.clients.get_mut(key).is_none() {
            if let Some(listener) = &mut self.listener {
                listener.on_timer(key, &mut self.connections, now, metrics);
            }
        } else if self.connections.on_timer(key, now) {
            count(&metrics.violations, "kind", STALL);
        }
    }

    /// Adds the turn's counts to the shared metrics and answers audits.
    pub(super) fn report(&mut self) {
        let Self {
            context, members, ..
        } = self;
        let TurnTally {
            bytes_read,
            accepted,
        } = std::mem::take(&mut context.tally);
        context.consumers.end_turn();
        context.metrics.bytes_read.inc_by(bytes_read);
        let (broker, worker) = (&context.broker, context.worker);
        let work = self.reporter.work(members) + accepted * ACCEPT;
        broker.placement().worked(worker, context.now, work);
        self.reporter.publish(&context.metrics, members);
        self.connections.slow_readers.publish(&context.metrics);
        let connections = self.connections.clients.len();
        self.reporter.answer(broker, worker, connections, members);
    }
}
