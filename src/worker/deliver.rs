//! The second half of a turn: from the mailbox to the sockets.
//!
//! Publications are gathered per room, written as one run of bytes to each member, and accounted
//! for: small rooms at once, large ones a portion in each turn. What is gathered counts as in the mailbox
//! until it has been written. Connections that end leave their rooms after that, and are written first
//! what their rooms have been told, so that reaches them in front of the close frame.

use super::client::{Ended, Seat, Stage};
use super::gathering::{Aside, Content, Gathering, ParcelLoad, PendingPublication};
use super::member::low_half;
use super::outbound::{Flushed, Sent};
use super::port::{Port, Socket as _};
use super::portions::SMALL_ROOMS;
use super::rooms::{Change, key_of};
use super::slab::index_of;
use super::turn::Worker;
use crate::broker::ledger::Cause;
use crate::broker::room::Room;
use crate::broker::{Consumers, Parcel};
use crate::protocol::CloseReason;
use std::sync::Arc;

/// Rounds of one settling; what comes after waits for the next turn, so that sockets get theirs.
const ROUNDS: usize = 16;

/// What connections that leave their rooms may take of a turn, in writes, of all that end at once.
const LEAVES: u64 = 64;

impl<P: Port, C: Consumers> Worker<P, C> {
    /// Empties the mailbox onto the sockets, and lets connections that waited for it go on.
    pub(super) fn deliver_mailbox(&mut self) {
        let (mut budget, mut leaves) = (SMALL_ROOMS, LEAVES);
        for _ in 0..ROUNDS {
            // Who ends during this round may have published in it: it leaves in the next one.
            self.agenda.let_leave();
            self.take_parcels();
            self.contained_writing(None, Self::write_apart);
            self.write_small_rooms(&mut budget);
            while leaves > 0
                && let Some(key) = self.agenda.next_leaver()
            {
                leaves = leaves.saturating_sub(self.leave(key));
                self.agenda.touch(key);
            }
            while let Some(key) = self.agenda.next_touched() {
                self.contained(key, Self::flush);
            }
            self.release();
            if !self.has_parcels() && self.agenda.is_written() {
                break;
            }
        }
        self.write_large_rooms();
        if self.done != ParcelLoad::default() {
            self.release();
        }
    }

    /// Takes what is in the mailbox.
    fn take_parcels(&mut self) {
        let mut parcels = std::mem::take(&mut self.parcels);
        let mailboxes = self.context.broker.mailboxes();
        let bytes = mailboxes.swap(self.context.worker, &mut parcels);
        self.held += ParcelLoad {
            parcels: parcels.len(),
            bytes,
        };
        self.deliver_all(&mut parcels.drain(..));
        self.parcels = parcels;
    }

    /// Is there anything in the mailbox that has not been taken?
    pub(super) fn has_parcels(&self) -> bool {
        let mailboxes = self.context.broker.mailboxes();
        mailboxes.len(self.context.worker) > self.held.parcels
    }

    /// Makes room in the mailbox for what has been dealt with, and lets those go on that waited for it.
    fn release(&mut self) {
        let done = std::mem::take(&mut self.done);
        self.held -= done;
        debug_assert!(
            self.held.parcels > 0 || self.held.bytes == 0,
            "what a mailbox counts of a parcel is what is given back of it"
        );
        let mailboxes = self.context.broker.mailboxes();
        mailboxes.release(self.context.worker, done.parcels, done.bytes);
        // Whoever is in a room of this worker waits for this mailbox at least.
        if mailboxes.is_full(self.context.worker) {
            return;
        }
        for key in self.agenda.take_stalled() {
            self.contained(key, |worker, key| worker.resume(key, false));
        }
    }

    pub(super) fn deliver(&mut self, parcel: Parcel) {
        #[cfg(test)]
        super::tests::trip_delivery(&parcel);
        match parcel {
            Parcel::Room {
                slot,
                sequence,
                members,
                delivery,
            } => {
                let Some(gathering) = self.gathering(key_of(slot)) else {
                    self.done.add(delivery.frame.len());
                    self.account_missed(u64::from(members));
                    return;
                };
                let sequence = low_half(sequence);
                gathering.add(PendingPublication {
                    delivery,
                    sequence,
                    members,
                });
                if let Some(local) = self.rooms.get_mut(key_of(slot)) {
                    local.latest = sequence;
                }
            }
            Parcel::Confirmed { slot } => {
                self.welcome_all(slot);
                self.done.add(0);
            }
            Parcel::Close { slot, code } => {
                self.close_all(slot, CloseReason::Asked(code));
                self.done.add(0);
            }
            Parcel::Answered { connection } => {
                self.answered(connection.0);
                self.done.add(0);
            }
            Parcel::Resume { connection } => {
                self.contained(connection.0, |worker, key| worker.resume(key, true));
                self.done.add(0);
            }
            Parcel::End { connection, reason } => {
                self.close(connection.0, reason);
                self.done.add(0);
            }
            Parcel::Control { connection, frame } => {
                self.set_aside(connection.0, Content::Control(frame));
            }
            Parcel::Direct {
                connection,
                delivery,
                resume,
            } => {
                self.set_aside(connection.0, Content::Event(delivery));
                if resume {
                    self.contained(connection.0, |worker, key| worker.resume(key, true));
                }
            }
        }
    }

    /// Keeps what is for one connection alone until its room is written.
    fn set_aside(&mut self, connection: u64, content: Content) {
        let client = self.clients.get_mut(connection);
        let Some(client) = client.filter(|client| client.stage != Stage::Left) else {
            let aside = Aside::new(connection, 0, content);
            self.done.add(aside.len());
            self.account_missed(u64::from(aside.is_event()));
            return;
        };
        let seat = client.seat;
        let room = seat.and_then(|seat| self.rooms.key_at(seat.room));
        let Some(room) = room else {
            self.apart.add_aside(Aside::new(connection, 0, content));
            return;
        };
        let latest = self.rooms.get_mut(room).map_or(0, |local| local.latest);
        if let Some(gathering) = self.gathering(room) {
            gathering.add_aside(Aside::new(connection, latest, content));
        }
    }

    /// What this room is told from here on is added to it.
    fn gathering(&mut self, room: u64) -> Option<&mut Gathering> {
        let Self {
            rooms,
            agenda,
            spare,
            ..
        } = self;
        let local = rooms.get_mut(room)?;
        if local.is_idle() {
            agenda.add_room(room);
        }
        Some(local.gathering.get_or_insert_with(|| {
            let mut gathering = spare.pop().unwrap_or_default();
            gathering.since = agenda.seen();
            gathering
        }))
    }

    /// Nobody is left of those that deliveries were for.
    pub(super) fn account_missed(&mut self, deliveries: u64) {
        let mut change = Change::dropped(Cause::Closed, deliveries);
        change.expected = deliveries;
        change.apply(&mut self.context.ledger);
    }

    /// `queue.overflow = "disconnect"`: what waits is dropped in favour of the close frame.
    pub(super) fn overflow(&mut self, key: u64) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let dropped = client.connection.outbound.abandon_queue();
        let room = client.seat.map(|seat| seat.room);
        let change = Change {
            queued: 0u64.wrapping_sub(dropped),
            ..Change::dropped(Cause::Closed, dropped)
        };
        self.account(room, change, Sent::default());
        self.close(key, CloseReason::SlowReader);
    }

    /// Writes what a connection has waiting; the close frame only once it has left its room.
    fn flush(&mut self, key: u64) {
        let now = self.context.now;
        let room = self.room_of(key);
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
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
                    // Its answer may be behind what was not read while the connection had to wait.
                    self.agenda.read_again(key);
                }
            }
            Err(_) => {
                let ended = client.ended();
                self.agenda.mark_gone(key, ended);
            }
        }
        self.account(room, Change::default(), sent);
        self.arm(key);
    }

    /// Books what became of deliveries: in the worker's account, and the room's.
    pub(super) fn account(&mut self, room: Option<u32>, mut change: Change, sent: Sent) {
        change.delivered += sent.delivered;
        change.queued = change
            .queued
            .wrapping_add(sent.queued)
            .wrapping_sub(sent.unqueued);
        change.drop(Cause::Capacity, sent.capacity);
        change.drop(Cause::Expired, sent.expired);
        change.apply(&mut self.context.ledger);
        if let Some(local) = room.and_then(|room| self.rooms.at_mut(room)) {
            local.ledger.add(&change);
        }
        self.context.tally.bytes_written += sent.bytes;
        self.context.tally.writes += sent.calls;
    }

    /// The room in whose account a connection's deliveries are: the one it is in, or has left with
    /// some of them still waiting.
    pub(super) fn room_of(&mut self, key: u64) -> Option<u32> {
        if let Some(seat) = self.clients.get_mut(key)?.seat {
            return Some(seat.room);
        }
        let room = *self.left_with_backlog.get(&key)?;
        self.rooms.get_mut(room).map(|_there| index_of(room))
    }

    /// Drops what a connection has waiting, for good.
    pub(super) fn abandon(&mut self, key: u64, ended: Ended) {
        let room = self.room_of(key);
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let dropped = client.connection.outbound.abandon();
        let cause = if ended == Ended::Shutdown {
            Cause::Shutdown
        } else {
            Cause::Closed
        };
        let change = Change {
            queued: 0u64.wrapping_sub(dropped),
            ..Change::dropped(cause, dropped)
        };
        self.account(room, change, Sent::default());
    }

    /// Takes a connection out of its room, behind all that the room has been told; what that took, in
    /// writes.
    pub(super) fn leave(&mut self, key: u64) -> u64 {
        let seat = self.clients.get_mut(key).and_then(|client| client.seat);
        let room = seat.and_then(|seat| self.rooms.key_at(seat.room));
        let spent = match room {
            Some(_) => self.contained_writing(room, |worker| worker.catch_up(key)),
            None => 0,
        };
        self.depart(key);
        spent.max(1)
    }

    /// Takes a connection out of its room.
    pub(super) fn depart(&mut self, key: u64) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let is_first = std::mem::replace(&mut client.stage, Stage::Left) != Stage::Left;
        let room = match client.seat.take() {
            Some(seat) => self.stand(key, seat),
            None => None,
        };
        if is_first {
            self.contained_closing(key, room.as_ref());
        }
    }

    /// Gives a seat back; the room that it was in.
    fn stand(&mut self, key: u64, seat: Seat) -> Option<Arc<Room>> {
        let client = self.clients.get_mut(key)?;
        if client.connection.outbound.queued() > 0
            && let Some(room) = self.rooms.key_at(seat.room)
        {
            self.left_with_backlog.insert(key, room);
        }
        let local = self.rooms.at_mut(seat.room)?;
        let room = Arc::clone(&local.room);
        let clients = &mut self.clients;
        local.remove(seat.position, |index, position| {
            let neighbour = clients.at_mut(index);
            if let Some(seat) = neighbour.and_then(|client| client.seat.as_mut()) {
                seat.position = position;
            }
        });
        if self.context.broker.leave(&room, self.context.worker)
            && let Some(key) = self.rooms.key_at(seat.room)
            && let Some(local) = self.rooms.remove(key)
        {
            self.account_missed(local.owed());
            for load in [
                local.fan_out.map(|fan_out| fan_out.load),
                local.gathering.map(|gathering| gathering.load),
            ] {
                self.done += load.unwrap_or_default();
            }
        }
        Some(room)
    }
}
