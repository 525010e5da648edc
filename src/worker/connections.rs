//! The connections of a worker: the port that says who is ready, who there is, their timers, and what is to
//! do for them. Everything here is about one connection and its socket; what rooms are written is the
//! [deliverer](super::deliver::Deliverer)'s.

use super::agenda::Agenda;
use super::client::{Client, Ended, ReadSide, Stage, WriteSide};
use super::connection::Rules;
use super::context::Close;
use super::members::RoomMembers;
use super::outbound::{Flushed, Reader, Sent};
use super::per_route::PerRoute;
use super::port::{Port, Socket as _};
use super::rooms::Change;
use super::slab::Slab;
use super::slow_reader::{SlowReader, SlowReaders};
use super::timers::{TIMER_MAX, Timers};
use crate::broker::Publication;
use crate::broker::ledger::Cause;
use crate::clock::Millis;
use crate::config::{BridgeMode, Config};
use crate::protocol::CloseReason;
use std::time::Duration;

/// The port, and whom it serves.
#[derive(Debug)]
pub(super) struct Connections<P: Port> {
    pub(super) port: P,
    pub(super) clients: Slab<Client<P::Socket>>,
    pub(super) timers: Timers,
    pub(super) agenda: Agenda,
    pub(super) rules: PerRoute<Rules>,
    /// Those given up, until the metrics are told.
    pub(super) slow_readers: SlowReaders,
    /// How long an own message may take to come back in the order of all nodes.
    order_timeout: Duration,
    assistant_timeout: Duration,
}

impl<P: Port> Connections<P> {
    pub(super) fn new(port: P, config: &Config, rules: PerRoute<Rules>) -> Self {
        let now = port.now();
        Self {
            port,
            clients: Slab::default(),
            timers: Timers::new(now),
            agenda: Agenda::default(),
            rules,
            slow_readers: SlowReaders::default(),
            order_timeout: match config.bridge.mode {
                BridgeMode::Streams => config.bridge.order_timeout,
                BridgeMode::Off | BridgeMode::Pubsub => Duration::ZERO,
            },
            assistant_timeout: config.assistant.timeout,
        }
    }

    /// Sets a connection's timer, unless an earlier one is set.
    pub(super) fn arm(&mut self, key: u64, now: Millis) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let next = client
            .connection
            .next_timer(self.rules.of(client.role.settings));
        let at = next.min(client.slowed).min(now + TIMER_MAX);
        if at < client.armed {
            client.armed = at;
            self.timers.arm(at, key);
        }
    }

    /// A connection's timer has fired. True if the connection ends for want of an answer or of the rest of a message.
    pub(super) fn on_timer(&mut self, key: u64, now: Millis) -> bool {
        let Some(client) = self.clients.get_mut(key) else {
            return false;
        };
        if now < client.armed {
            return false; // Left over from before an earlier one was set.
        }
        client.armed = Millis::NEVER;
        if client.slowed <= now {
            client.slowed = Millis::NEVER;
            if client.take_unread() {
                self.agenda.read_again(key);
            }
        }
        let rules = self.rules.of(client.role.settings);
        let is_behind = !client.connection.outbound.is_idle();
        let alive = client.connection.on_timer(now, rules);
        if !client.connection.outbound.is_idle() {
            self.agenda.touch(key);
        }
        if alive.is_none() {
            if !client.connection.has_said_close() {
                // The peer reads nothing: what the kernel holds for it is given up too.
                client.socket.forsake();
            }
            let ended = client.ended();
            self.agenda.mark_gone(key, ended);
            return false;
        }
        let begins = client.begins_to_end();
        let ending = client.connection.ending();
        let has_stalled = begins && ending == Some(CloseReason::Policy);
        if begins {
            if is_behind && ending == Some(CloseReason::NoPong) {
                self.slow_readers.count(SlowReader::Still);
            }
            self.agenda.end(key);
        }
        self.arm(key, now);
        has_stalled
    }

    /// Ends a connection from this side.
    pub(super) fn close(&mut self, key: u64, now: Millis, close: impl Into<Close>) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        if client.connection.is_open() {
            let Close { reason, farewell } = close.into();
            let text = farewell.as_deref().unwrap_or(reason.reason());
            client.connection.close_saying(now, reason, text);
            self.note_end(key);
            self.agenda.touch(key);
            self.arm(key, now);
        }
    }

    /// Has a connection leave its room soon if it has begun to end.
    pub(super) fn note_end(&mut self, key: u64) {
        let client = self.clients.get_mut(key);
        if client.is_some_and(Client::begins_to_end) {
            self.agenda.end(key);
        }
    }

    /// Ends a connection whose time is the drain's: what waits is written as long as that lasts.
    pub(super) fn close_in_drain(&mut self, key: u64, now: Millis, reason: CloseReason) {
        let client = self.clients.get_mut(key);
        if client.is_some_and(|client| client.connection.is_open()) {
            self.close(key, now, reason);
            if let Some(client) = self.clients.get_mut(key) {
                client.connection.outlast();
            }
        }
    }

    /// The peer has sent its last byte, and may still read: what it said before counts, and it gets what
    /// it waits for. The peer's own messages at once, or within `bridge.order_timeout` where all nodes have
    /// one order, and the replies to its questions within `assistant.timeout`. Once both are
    /// written, or that time is over, the connection ends.
    pub(super) fn finish(&mut self, key: u64, now: Millis) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        client.incoming = ReadSide::Finished;
        if client.connection.is_held() {
            return; // Its kept input goes first; whoever resumes it comes here again.
        }
        if !client.connection.is_open() {
            // A close frame that is not out yet goes first; `flush` sees that nobody is waited for.
            if client.connection.has_said_close() {
                let ended = client.ended();
                self.agenda.mark_gone(key, ended);
            }
            return;
        }
        let mut wait = self.order_timeout;
        if client.asked > 0 {
            wait += self.assistant_timeout;
        }
        if wait.is_zero() {
            client.connection.part(now);
            self.note_end(key);
        } else {
            client.connection.listen(now + wait);
        }
        self.arm(key, now);
    }

    /// A question of this connection has been answered, in front of this.
    pub(super) fn answered(&mut self, key: u64, now: Millis) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        client.asked = client.asked.saturating_sub(1);
        if client.asked == 0 && client.is_finished() && client.connection.is_open() {
            self.finish(key, now);
        }
    }

    /// Has the port say when a socket can be written to again, if something waits for that.
    pub(super) fn watch_writes(&mut self, key: u64) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        if client.outgoing == WriteSide::Watched || client.connection.outbound.is_idle() {
            return;
        }
        client.outgoing = WriteSide::Watched;
        if let Err(error) = self.port.watch_writes(&mut client.socket, key) {
            tracing::warn!(%error, "a connection cannot be watched and is dropped");
            self.agenda.mark_gone(key, Ended::Unwatched);
        }
    }

    /// Writes the 101 and the greeting, in one call. In front of everything that its room gets from
    /// now on, and what the room has been sent before is not for this member.
    pub(super) fn greet(
        &mut self,
        key: u64,
        now: Millis,
        readers: &PerRoute<Reader>,
        answer: &[u8],
        greeting: Option<&Publication>,
        members: &mut RoomMembers,
    ) {
        let greeting = greeting.map(Publication::delivery);
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let seat = client.seat.map(|seat| seat.room);
        let mut sent = Sent::default();
        let mut change = Change {
            expected: u64::from(greeting.is_some()),
            ..Change::default()
        };
        let Client {
            socket, connection, ..
        } = client;
        let outbound = &mut connection.outbound;
        if outbound
            .greet(now, readers, answer, greeting.as_ref(), socket, &mut sent)
            .is_err()
        {
            change.drop(Cause::Closed, change.expected);
            self.agenda.mark_gone(key, Ended::Gone);
        }
        let overflow = std::mem::take(&mut sent.overflow);
        self.watch_writes(key);
        members.account(seat, change, sent);
        if overflow {
            self.overflow(key, now, members);
        }
    }

    /// Writes what a connection has waiting; the close frame only once it has left its room.
    pub(super) fn flush(&mut self, key: u64, now: Millis, members: &mut RoomMembers) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let room = members.room_of(key, client.seat);
        let mut sent = Sent::default();
        let outbound = &mut client.connection.outbound;
        let flushed = if client.stage == Stage::Left {
            outbound.flush(now, true, &mut client.socket.last_write(), &mut sent)
        } else {
            outbound.flush(now, false, &mut client.socket, &mut sent)
        };
        match flushed {
            Ok(Flushed::Idle) => {}
            Ok(Flushed::Blocked) => self.watch_writes(key),
            Ok(Flushed::Closed) => {
                // The peer reads the close frame, then the end; its own end is waited for, since what
                // it sends to a closed socket would take the close frame away.
                client.connection.said_close(now);
                if client.socket.end().is_err() || client.is_finished() {
                    let ended = client.ended();
                    self.agenda.mark_gone(key, ended);
                } else if client.take_unread() {
                    // The peer's answer may be behind what was not read while the connection had to wait.
                    self.agenda.read_again(key);
                }
            }
            Err(_) => {
                let ended = client.ended();
                self.agenda.mark_gone(key, ended);
            }
        }
        members.account(room, Change::default(), sent);
        self.arm(key, now);
    }

    /// `queue.overflow = "disconnect"`: what waits is dropped in favour of the close frame.
    pub(super) fn overflow(&mut self, key: u64, now: Millis, members: &mut RoomMembers) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        if client.connection.is_open() {
            self.slow_readers.count(SlowReader::Overflow);
        }
        let dropped = client.connection.outbound.abandon_queue();
        let room = client.seat.map(|seat| seat.room);
        members.account_dropped(room, Cause::Closed, dropped);
        self.close(key, now, CloseReason::SlowReader);
    }

    /// Memory is short: drops what waits for a socket beyond what a queue may hold by these `readers`; says how many
    /// deliveries that were.
    pub(super) fn cut_queue(
        &mut self,
        key: u64,
        readers: &PerRoute<Reader>,
        members: &mut RoomMembers,
    ) -> u64 {
        let Some(client) = self.clients.get_mut(key) else {
            return 0;
        };
        let room = members.room_of(key, client.seat);
        let dropped = client.connection.outbound.cut_queue(readers);
        members.account_dropped(room, Cause::Capacity, dropped);
        dropped
    }

    /// Memory is short: what waits is dropped in favour of the close frame; says how many deliveries that were.
    pub(super) fn close_short(&mut self, key: u64, now: Millis, members: &mut RoomMembers) -> u64 {
        let Some(client) = self.clients.get_mut(key) else {
            return 0;
        };
        if client.connection.is_open() {
            self.slow_readers.count(SlowReader::Memory);
        }
        let dropped = client.connection.outbound.abandon_queue();
        let room = members.room_of(key, client.seat);
        members.account_dropped(room, Cause::Closed, dropped);
        self.close(key, now, CloseReason::TryLater);
        dropped
    }

    /// Gives up what waits for a socket in favour of the close frame: the node stops.
    pub(super) fn cut(&mut self, key: u64, members: &mut RoomMembers) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let room = members.room_of(key, client.seat);
        let dropped = client.connection.outbound.abandon_queue();
        if dropped > 0 {
            self.agenda.touch(key);
            members.account_dropped(room, Cause::Shutdown, dropped);
        }
    }

    /// Drops what a connection has waiting, for good.
    pub(super) fn abandon(&mut self, key: u64, ended: Ended, members: &mut RoomMembers) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let room = members.room_of(key, client.seat);
        let dropped = client.connection.outbound.abandon();
        let cause = if ended == Ended::Shutdown {
            Cause::Shutdown
        } else {
            Cause::Closed
        };
        members.account_dropped(room, cause, dropped);
    }

    /// Does something for each connection.
    pub(super) fn each(&mut self, mut act: impl FnMut(&mut Self, u64)) {
        for index in 0..self.clients.places() {
            if let Some(key) = self.clients.key_at(index) {
                act(self, key);
            }
        }
    }
}
