//! How connections come and go: taken over, closed, drained, buried.

use super::client::{Client, Ended, ReadSide, Seat, Stage};
use super::connection::Connection;
use super::drain::Drain;
use super::handoff::Handoff;
use super::outbound::Sent;
use super::port::Port;
use super::rooms::{Change, LocalRoom, key_of, slot_of};
use super::slab::index_of;
use super::turn::Worker;
use crate::broker::RoomSlot;
use crate::broker::ledger::Cause;
use crate::broker::{Consumers, Publication};
use crate::clock::Millis;
use crate::metrics::count;
use crate::name::RoomName;
use crate::protocol::CloseReason;
use bytes::Bytes;

impl<P: Port, C: Consumers> Worker<P, C> {
    /// Takes a connection over from another thread.
    pub(super) fn open(&mut self, mut handoff: Handoff<P::Socket>) {
        let key = self.clients.reserve();
        if let Err(error) = self.port.watch(&mut handoff.socket, key) {
            tracing::warn!(%error, "a connection cannot be watched and is dropped");
            count(&self.context.metrics.connections_closed, "reason", "gone");
            self.clients.release(key);
            (self.on_close)(handoff.peer);
            return;
        }
        self.begin(key, handoff, Millis::NEVER);
    }

    /// Begins a connection whose socket is watched under this reserved key; `armed` is when its timer fires, if
    /// one is set.
    pub(super) fn begin(&mut self, key: u64, handoff: Handoff<P::Socket>, armed: Millis) {
        let Handoff {
            socket,
            answer,
            mut leftover,
            role,
            room,
            passage,
            peer,
        } = handoff;
        let now = self.context.now;
        let mut client = Client {
            socket,
            connection: Connection::new(now),
            role,
            seat: None,
            peer,
            armed,
            slowed: Millis::NEVER,
            watched: false,
            incoming: ReadSide::Drained,
            asked: 0,
            unwelcomed: false,
            stage: Stage::Open,
        };
        if let Some((seat, confirmed)) = room.map(|name| self.join(&name, key)) {
            client.seat = Some(seat);
            client.unwelcomed = !confirmed;
        }
        self.context.broker.placement().arrived(self.context.worker);
        drop(passage);
        self.clients.fill(key, client);
        // Who reads the greeting is counted.
        self.context.metrics.connections.inc();
        self.context.metrics.connections_opened.inc();
        let (greeting, end) = self.contained_opening(key);
        self.greet(key, &answer, greeting.as_ref());
        if let Some(reason) = end {
            self.close(key, reason);
        }
        self.arm(key);
        if let Some(drain) = &self.drain {
            let reason = drain.reason;
            self.close_in_drain(key, reason);
        } else if !leftover.is_empty() {
            self.contained(key, |worker, key| {
                let mut bytes = Vec::from(std::mem::replace(&mut leftover, Bytes::new()));
                worker.feed(key, &mut bytes);
            });
        }
    }

    /// Ends the connections of a room's members here.
    pub(super) fn close_all(&mut self, slot: RoomSlot, reason: CloseReason) {
        let Some(local) = self.rooms.get_mut(key_of(slot)) else {
            return;
        };
        let members: Vec<u32> = local.members.iter().map(|member| member.index).collect();
        for index in members {
            if let Some(key) = self.clients.key_at(index) {
                self.close(key, reason);
            }
        }
    }

    /// Writes the 101 and the greeting, in one call. In front of everything that its room gets from
    /// now on, and what the room has been sent before is not for this member.
    fn greet(&mut self, key: u64, answer: &[u8], greeting: Option<&Publication>) {
        let greeting = greeting.map(Publication::delivery);
        let Self {
            clients, context, ..
        } = self;
        let Some(client) = clients.get_mut(key) else {
            return;
        };
        let seat = client.seat.map(|seat| seat.room);
        let (now, mut sent) = (context.now, Sent::default());
        let mut change = Change {
            expected: u64::from(greeting.is_some()),
            ..Change::default()
        };
        let Client {
            socket, connection, ..
        } = client;
        let outbound = &mut connection.outbound;
        if outbound
            .greet(
                now,
                &self.bounds,
                answer,
                greeting.as_ref(),
                socket,
                &mut sent,
            )
            .is_err()
        {
            change.drop(Cause::Closed, change.expected);
            self.agenda.mark_gone(key, Ended::Gone);
        }
        let overflow = std::mem::take(&mut sent.overflow);
        self.watch_writes(key);
        self.account(seat, change, sent);
        if overflow {
            self.overflow(key);
        }
    }

    /// Has the poll say when a socket can be written to again, if something waits for that.
    pub(super) fn watch_writes(&mut self, key: u64) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        if client.watched || client.connection.outbound.is_idle() {
            return;
        }
        client.watched = true;
        if let Err(error) = self.port.watch_writes(&mut client.socket, key) {
            tracing::warn!(%error, "a connection cannot be watched and is dropped");
            self.agenda.mark_gone(key, Ended::Gone);
        }
    }

    /// Takes a seat in a room; are its members welcomed already?
    fn join(&mut self, name: &RoomName, key: u64) -> (Seat, bool) {
        let Self { rooms, context, .. } = self;
        let slot = slot_of(rooms.next_key());
        let joined = context.broker.join(name, context.worker, || slot);
        let room = if joined.first_on_worker {
            rooms.insert(LocalRoom::new(joined.room, joined.sequence))
        } else {
            key_of(joined.slot)
        };
        let (index, room) = (index_of(key), index_of(room));
        let position = rooms
            .at_mut(room)
            .map_or(0, |local| local.add(index, joined.sequence));
        (Seat { room, position }, joined.confirmed)
    }

    /// The peer has sent its last byte, and may still read: what it said before counts, and it gets what
    /// it waits for. Its own messages at once, or within `bridge.order_timeout` where all nodes have
    /// one order, and the replies to its questions within `assistant.timeout`. Once both are
    /// written, or that time is over, the connection ends.
    pub(super) fn finish(&mut self, key: u64) {
        let now = self.context.now;
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        client.incoming = ReadSide::Finished;
        if client.connection.is_held() {
            return; // Its kept input goes first; `resume` comes here again.
        }
        if !client.connection.is_open() {
            // A close frame that is not out yet goes first; `flush` sees that nobody is waited for.
            if client.connection.has_said_close() {
                let ended = client.ended();
                self.agenda.mark_gone(key, ended);
            }
            return;
        }
        let wait = self.context.finishing(client.asked > 0);
        if wait.is_zero() {
            client.connection.part(now);
            self.note_end(key);
        } else {
            client.connection.listen(now + wait);
        }
        self.arm(key);
    }

    /// A question of this connection has been answered, in front of this.
    pub(super) fn answered(&mut self, key: u64) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        client.asked = client.asked.saturating_sub(1);
        if client.asked == 0 && client.is_finished() && client.connection.is_open() {
            self.finish(key);
        }
    }

    /// Ends a connection from this side.
    pub(super) fn close(&mut self, key: u64, reason: CloseReason) {
        let now = self.context.now;
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        if client.connection.is_open() {
            client.connection.close(now, reason);
            self.note_end(key);
            self.agenda.touch(key);
            self.arm(key);
        }
    }

    /// Has a connection leave its room soon if it has begun to end.
    pub(super) fn note_end(&mut self, key: u64) {
        let client = self.clients.get_mut(key);
        if client.is_some_and(Client::begins_to_end) {
            self.agenda.end(key);
        }
    }

    /// Closes the connections that are due while the node drains.
    pub(super) fn step_drain(&mut self) {
        let now = self.context.now;
        let Some(mut drain) = self.drain.take() else {
            return;
        };
        let due = drain.due(now);
        for key in std::mem::take(&mut drain.awaiting) {
            self.close_or_await(key, due, &mut drain);
        }
        while drain.closed < due && drain.cursor < self.clients.places() {
            if let Some(key) = self.clients.key_at(drain.cursor) {
                self.close_or_await(key, due, &mut drain);
            }
            drain.cursor += 1;
        }
        if drain.is_last_word(now) && !std::mem::replace(&mut drain.is_cut, true) {
            self.each_client(Self::cut);
        }
        if now >= drain.deadline {
            self.stop_listening();
            // Not before all have left their rooms, some in each turn: what a socket takes of its close
            // frame still goes out.
            if self.agenda.have_all_left() {
                self.each_client(|worker, key| worker.agenda.mark_gone(key, Ended::Shutdown));
            }
        }
        self.drain = Some(drain);
    }

    fn each_client(&mut self, mut act: impl FnMut(&mut Self, u64)) {
        for index in 0..self.clients.places() {
            if let Some(key) = self.clients.key_at(index) {
                act(self, key);
            }
        }
    }

    /// Closes a connection that is due, unless a reply is on its way to it: that may take until the
    /// end of the window.
    fn close_or_await(&mut self, key: u64, due: u64, drain: &mut Drain) {
        if due < u64::MAX && self.awaits_reply(key) {
            drain.awaiting.push(key);
        } else {
            drain.closed += 1;
            self.close_in_drain(key, drain.reason);
        }
    }

    /// Is somebody being answered where this connection hears it?
    fn awaits_reply(&mut self, key: u64) -> bool {
        let Self {
            clients,
            rooms,
            context,
            ..
        } = self;
        let Some(client) = clients.get_mut(key) else {
            return false;
        };
        let local = client.seat.and_then(|seat| rooms.at_mut(seat.room));
        let room = local.map(|local| &*local.room);
        context.consumers.is_answering(&client.role, room)
    }

    /// Ends a connection whose time is the drain's: what waits is written as long as that lasts.
    fn close_in_drain(&mut self, key: u64, reason: CloseReason) {
        let is_open = |client: &mut Client<P::Socket>| client.connection.is_open();
        if self.clients.get_mut(key).is_some_and(is_open) {
            self.close(key, reason);
            if let Some(client) = self.clients.get_mut(key) {
                client.connection.outlast();
            }
        }
    }

    /// Gives up what waits for a socket in favour of the close frame.
    fn cut(&mut self, key: u64) {
        let room = self.room_of(key);
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let dropped = client.connection.outbound.abandon_queue();
        if dropped > 0 {
            self.agenda.touch(key);
            let change = Change {
                queued: 0u64.wrapping_sub(dropped),
                ..Change::dropped(Cause::Shutdown, dropped)
            };
            self.account(room, change, Sent::default());
        }
    }

    /// Removes the connections that are gone.
    pub(super) fn reap(&mut self) {
        for (key, ended) in self.agenda.take_gone() {
            let held = self.clients.get_mut(key).is_some_and(|client| {
                client.connection.is_held()
                    && client.connection.is_open()
                    && ended == Ended::Gone
                    && client.is_finished()
            });
            if held {
                continue; // Its kept input goes first; `resume` marks it again.
            }
            if ended == Ended::Gone {
                // Nobody reads what its room has been told.
                self.depart(key);
            } else {
                self.leave(key);
            }
            let said = self.clients.get_mut(key);
            let said = said.filter(|client| client.connection.has_said_close());
            let ended = match said.and_then(|client| client.connection.ending()) {
                // It only did not wait for the peer's answer.
                Some(reason) if ended == Ended::Shutdown => Ended::Closed(reason),
                _ => ended,
            };
            self.abandon(key, ended);
            self.left_with_backlog.remove(&key);
            // Closing the socket ends its registration (epoll(7), kqueue(2)): we hold its only
            // descriptor. An event of it that has been fetched already finds another generation.
            let Some(client) = self.clients.remove(key) else {
                continue;
            };
            count(
                &self.context.metrics.connections_closed,
                "reason",
                ended.label(),
            );
            self.context.metrics.connections.dec();
            self.context.broker.placement().left(self.context.worker);
            tracing::debug!(
                connection = key,
                reason = ended.label(),
                "connection closed"
            );
            (self.on_close)(client.peer);
        }
    }
}
