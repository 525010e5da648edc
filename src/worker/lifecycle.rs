//! How connections come and go: taken over, closed, drained, buried.

use super::Handoff;
use super::client::{Client, Ended, Seat};
use super::connection::Connection;
use super::outbound::Sent;
use super::rooms::{Change, LocalRoom, key_of, slot_of};
use super::slab::index_of;
use super::turn::Worker;
use crate::broker::ConnectionKey;
use crate::broker::ledger::Cause;
use crate::broker::room::RoomSlot;
use crate::clock::Millis;
use crate::metrics::count;
use crate::name::RoomName;
use crate::protocol::CloseReason;
use bytes::Bytes;
use mio::{Interest, Token};

/// A drain under way.
#[derive(Debug)]
pub(super) struct Drain {
    pub(super) reason: CloseReason,
    pub(super) started: Millis,
    pub(super) deadline: Millis,
    pub(super) connections: u64,
    pub(super) closed: u64,
    pub(super) cursor: u32,
}

impl Worker {
    /// Takes a connection over from another thread.
    pub(super) fn open(&mut self, mut handoff: Handoff) {
        let key = self.clients.reserve();
        // Not for writing: a new socket can be written to, and to hear it would cost a turn.
        let (socket, token) = (&mut handoff.socket, Token(key as usize));
        let registry = self.poll.registry();
        if let Err(error) = registry.register(socket, token, Interest::READABLE) {
            tracing::warn!(%error, "a connection cannot be watched and is dropped");
            count(&self.plane.metrics.connections_closed, "reason", "gone");
            self.clients.release(key);
            (self.on_close)(handoff.peer);
            return;
        }
        self.begin(key, handoff, Millis::NEVER);
    }

    /// Begins a connection whose socket is watched under this reserved key; `armed` is when its timer fires, if
    /// one is set.
    pub(super) fn begin(&mut self, key: u64, handoff: Handoff, armed: Millis) {
        let Handoff {
            socket,
            answer,
            mut leftover,
            role,
            room,
            peer,
        } = handoff;
        let now = self.plane.now;
        let mut client = Client {
            socket,
            connection: Connection::new(now),
            role,
            seat: None,
            peer,
            armed,
            slowed: Millis::NEVER,
            watched: false,
            unread: false,
            finished: false,
            asked: 0,
            unwelcomed: false,
            left: false,
        };
        if let Some((seat, confirmed)) = room.map(|name| self.join(&name, key)) {
            client.seat = Some(seat);
            client.unwelcomed = !confirmed;
        }
        self.clients.fill(key, client);
        // Who reads the greeting is counted.
        self.plane.metrics.connections.inc();
        self.plane.metrics.connections_opened.inc();
        self.greet(key, &answer);
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

    /// Welcomes the members of a room that have waited for it.
    pub(super) fn welcome_all(&mut self, slot: RoomSlot) {
        let Self {
            rooms,
            clients,
            plane,
            ..
        } = self;
        let Some(local) = rooms.get_mut(key_of(slot)) else {
            return;
        };
        for member in &local.members {
            let Some(key) = clients.key_at(member.index) else {
                continue;
            };
            if let Some(client) = clients.at_mut(member.index)
                && std::mem::take(&mut client.unwelcomed)
                && let Some(greeting) = plane.greeting(&client.role, Some(&local.room))
            {
                plane.direct(ConnectionKey(key), greeting);
            }
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
    fn greet(&mut self, key: u64, answer: &[u8]) {
        let Self {
            clients,
            rooms,
            plane,
            ..
        } = self;
        let Some(client) = clients.get_mut(key) else {
            return;
        };
        let seat = client.seat.map(|seat| seat.room);
        let local = seat.and_then(|room| rooms.at_mut(room));
        let greeting = if client.unwelcomed {
            None // It comes with the room's confirmation.
        } else {
            plane.greeting(&client.role, local.map(|local| &*local.room))
        };
        let (now, mut sent) = (plane.now, Sent::default());
        let mut change = Change {
            expected: u64::from(greeting.is_some()),
            ..Change::default()
        };
        let Client {
            socket, connection, ..
        } = client;
        let greeting = greeting.as_ref();
        let outbound = &mut connection.outbound;
        if outbound
            .greet(now, &self.bounds, answer, greeting, socket, &mut sent)
            .is_err()
        {
            change.drop(Cause::Closed, change.expected);
            self.doom(key, Ended::Gone);
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
        let (socket, token) = (&mut client.socket, Token(key as usize));
        let interest = Interest::READABLE | Interest::WRITABLE;
        // If it can by now, this says so at once.
        if let Err(error) = self.poll.registry().reregister(socket, token, interest) {
            tracing::warn!(%error, "a connection cannot be watched and is dropped");
            self.doom(key, Ended::Gone);
        }
    }

    /// Takes a seat in a room; are its members welcomed already?
    fn join(&mut self, name: &RoomName, key: u64) -> (Seat, bool) {
        let Self { rooms, plane, .. } = self;
        let slot = slot_of(rooms.next_key());
        let joined = plane.broker.join(name, plane.worker, || slot);
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
        let now = self.plane.now;
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        client.finished = true;
        if client.connection.is_held() {
            return; // Its kept input goes first; `resume` comes here again.
        }
        if !client.connection.is_open() {
            let ended = client.ended();
            return self.doom(key, ended);
        }
        let wait = self.plane.finishing(client.asked > 0);
        if wait.is_zero() {
            client.connection.part(now);
            self.ending.push(key);
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
        if client.asked == 0 && client.finished && client.connection.is_open() {
            self.finish(key);
        }
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

    /// Closes the connections that are due while the node drains.
    pub(super) fn step_drain(&mut self) {
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
        // At its end everybody, whoever came late. Never less than one, so that a drain of a few
        // connections starts at once.
        let due = if elapsed >= window.as_millis() as u64 {
            u64::MAX
        } else {
            due.max(1)
        };
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
    pub(super) fn bury(&mut self) {
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
            self.leave(key);
            self.abandon(key, ended);
            self.leavers.remove(&key);
            // Closing the socket ends its registration (epoll(7), kqueue(2)): we hold its only
            // descriptor. An event of it that has been fetched already finds another generation.
            let Some(client) = self.clients.remove(key) else {
                continue;
            };
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
}
