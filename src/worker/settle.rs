//! The second half of a turn: from the mailbox to the sockets.
//!
//! Publications are gathered per room, written as one run of bytes to each member, and accounted
//! for. Connections that end leave their rooms after that, so what was published before still
//! reaches them, in front of the close frame.

use super::client::{Client, Ended};
use super::outbound::{Batch, Flushed, Sent};
use super::parting::Parting;
use super::rooms::{Change, LocalRoom, Pending, key_of};
use super::slab::index_of;
use super::turn::Worker;
use crate::broker::ledger::Cause;
use crate::broker::{ConnectionKey, Parcel, Publication};
use crate::protocol::CloseReason;
use bytes::Bytes;
use std::net::Shutdown;

/// Bytes of one room's publications that are gathered before they are written.
const GATHER_BYTES_MAX: usize = 128 * 1024;

/// Rounds of one settling; what comes after waits for the next turn, so that sockets get theirs.
const ROUNDS: usize = 16;

/// Lists of publications kept for reuse.
const SPARE: usize = 64;

impl Worker {
    /// Empties the mailbox onto the sockets, and lets connections that waited for it go on.
    pub(super) fn settle(&mut self) {
        for _ in 0..ROUNDS {
            // Who ends during this round may have published in it: it leaves in the next one.
            std::mem::swap(&mut self.ending, &mut self.leaving);
            let mut parcels = std::mem::take(&mut self.parcels);
            let bytes = self
                .plane
                .broker
                .mailboxes()
                .swap(self.plane.worker, &mut parcels);
            let count = parcels.len();
            for parcel in parcels.drain(..) {
                self.deliver(parcel);
            }
            self.parcels = parcels;
            // The lists keep their memory, so a turn allocates nothing.
            while let Some(room) = self.dirty.pop() {
                self.flush_room(room);
            }
            while let Some(key) = self.leaving.pop() {
                self.leave(key);
                self.touched.push(key);
            }
            while let Some(key) = self.touched.pop() {
                self.contained(key, Self::flush);
            }
            self.plane
                .broker
                .mailboxes()
                .release(self.plane.worker, count, bytes);
            for key in std::mem::take(&mut self.stalled) {
                self.contained(key, |worker, key| worker.resume(key, false));
            }
            if self.plane.broker.mailboxes().is_empty(self.plane.worker)
                && self.ending.is_empty()
                && self.touched.is_empty()
            {
                break;
            }
        }
    }

    fn deliver(&mut self, parcel: Parcel) {
        match parcel {
            Parcel::Room {
                slot,
                sequence,
                members,
                publication,
            } => {
                let Some(local) = self.rooms.get_mut(key_of(slot)) else {
                    self.account_missed(members);
                    return;
                };
                let gathering = local.gathering.get_or_insert_with(|| {
                    self.dirty.push(slot.index);
                    self.spare.pop().unwrap_or_default()
                });
                gathering.bytes += publication.frame.len();
                let pending = Pending::new(publication, sequence, members);
                gathering.pending.push(pending);
                if gathering.bytes >= GATHER_BYTES_MAX {
                    self.flush_room(slot.index);
                }
            }
            Parcel::Confirmed { slot } => self.welcome_all(slot),
            Parcel::Close { slot, code } => self.close_all(slot, CloseReason::Asked(code)),
            Parcel::Control { connection, frame } => self.deliver_control(connection.0, frame),
            Parcel::Direct {
                connection,
                publication,
                resume,
            } => {
                self.deliver_direct(connection, &publication);
                if resume {
                    self.contained(connection.0, |worker, key| worker.resume(key, true));
                }
            }
        }
    }

    /// A pong: behind what was published before it, and at once, so that each of several pings gets
    /// its own as long as the socket keeps up.
    fn deliver_control(&mut self, key: u64, frame: Bytes) {
        self.flush_before(key);
        if let Some(client) = self.clients.get_mut(key).filter(|client| !client.left) {
            client.connection.outbound.control(frame);
            self.flush(key);
        }
    }

    /// Writes what was published into a connection's room; returns the room.
    fn flush_before(&mut self, key: u64) -> Option<u32> {
        let room = self.clients.get_mut(key)?.seat?.room;
        self.flush_room(room);
        Some(room)
    }

    /// Nobody is left of those a publication was for.
    fn account_missed(&mut self, members: u32) {
        let mut change = Change::dropped(Cause::Closed, u64::from(members));
        change.expected = u64::from(members);
        change.apply(&mut self.plane.ledger);
    }

    fn deliver_direct(&mut self, connection: ConnectionKey, publication: &Publication) {
        let key = connection.0;
        let room = self.flush_before(key);
        let now = self.plane.now;
        let mut change = Change {
            expected: 1,
            ..Change::default()
        };
        let mut sent = Sent::default();
        let Some(client) = self.clients.get_mut(key).filter(|client| !client.left) else {
            self.account_missed(1);
            return;
        };
        if publication.deadline <= now {
            change.drop(Cause::Expired, 1);
        } else {
            let frames = std::slice::from_ref(publication);
            let batch = Batch {
                frames,
                bytes: &publication.frame,
            };
            let outbound = &mut client.connection.outbound;
            if outbound
                .offer(now, &self.bounds, batch, 0, &mut client.socket, &mut sent)
                .is_err()
            {
                change.drop(Cause::Closed, 1);
                self.doom(key, Ended::Gone);
            }
        }
        let overflow = std::mem::take(&mut sent.overflow);
        self.watch_writes(key);
        self.account(room, change, sent);
        if overflow {
            self.overflow(key);
        }
    }

    /// Writes a room's gathered publications to its members.
    fn flush_room(&mut self, room: u32) {
        let now = self.plane.now;
        let gathered = self
            .rooms
            .at_mut(room)
            .and_then(|local| local.gathering.take());
        let Some(mut gathering) = gathered else {
            return;
        };
        let mut change = Change::default();
        let mut owed = 0;
        self.batch.clear();
        self.sequences.clear();
        for Pending {
            publication,
            sequence,
            members,
        } in gathering.pending.drain(..)
        {
            change.expected += u64::from(members);
            if publication.deadline <= now {
                change.drop(Cause::Expired, u64::from(members));
            } else {
                owed += u64::from(members);
                self.batch.push(publication);
                self.sequences.push(sequence);
            }
        }
        gathering.bytes = 0;
        if self.spare.len() < SPARE && gathering.pending.capacity() <= 1024 {
            self.spare.push(gathering);
        }
        let (sent, offered) = self.fan_out(room);
        // The rest has left since it was published.
        change.drop(Cause::Closed, owed.saturating_sub(offered.deliveries));
        change.drop(Cause::Closed, offered.failed);
        self.account(Some(room), change, sent);
        self.batch.clear();
        for index in offered.unwatched {
            if let Some(key) = self.clients.key_at(index) {
                self.watch_writes(key);
            }
        }
        for index in offered.overflowed {
            if let Some(key) = self.clients.key_at(index) {
                self.overflow(key);
            }
        }
    }

    /// Offers the batch to every member of a room.
    fn fan_out(&mut self, room: u32) -> (Sent, Offered) {
        let Self {
            rooms,
            clients,
            batch,
            sequences,
            blob,
            bounds,
            plane,
            doomed,
            ..
        } = self;
        let (mut sent, mut offered) = (Sent::default(), Offered::default());
        let Some(LocalRoom { members, .. }) = rooms.at_mut(room) else {
            return (sent, offered);
        };
        let bytes: &[u8] = if let [only] = batch.as_slice() {
            &only.frame
        } else {
            blob.clear();
            for publication in batch.iter() {
                blob.extend_from_slice(&publication.frame);
            }
            blob
        };
        let batch = Batch {
            frames: batch,
            bytes,
        };
        // One frame goes to the newest member first: who opened a room often speaks in it, and hears
        // itself once the others' frames are out, so that its next message does not wait behind this
        // one (1 x 1,000, closed loop: p99 11 ms oldest first, 5 ms newest first). Several go to the
        // oldest first: the room is busy, and what its speakers say next leaves in one write more.
        let newest_first = batch.frames.len() == 1;
        let last = members.len().saturating_sub(1);
        for place in 0..members.len() {
            let place = if newest_first { last - place } else { place };
            let Some(member) = members.get(place) else {
                continue;
            };
            let Some(client) = clients.at_mut(member.index) else {
                continue;
            };
            let first = member.first_of(sequences);
            let deliveries = batch.frames.len().saturating_sub(first) as u64;
            offered.deliveries += deliveries;
            let Client {
                socket, connection, ..
            } = client;
            let outbound = &mut connection.outbound;
            match outbound.offer(plane.now, bounds, batch, first, socket, &mut sent) {
                Ok(()) if outbound.is_idle() || client.watched => {}
                Ok(()) => offered.unwatched.push(member.index),
                Err(_) => {
                    offered.failed += deliveries;
                    if let Some(key) = clients.key_at(member.index) {
                        doomed.push((key, Ended::Gone));
                    }
                }
            }
            if std::mem::take(&mut sent.overflow) {
                offered.overflowed.push(member.index);
            }
        }
        (sent, offered)
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
        let now = self.plane.now;
        let room = self.room_of(key);
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let mut sent = Sent::default();
        let outbound = &mut client.connection.outbound;
        let flushed = if client.left {
            outbound.flush(now, true, &mut Parting(&client.socket), &mut sent)
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
                if client.socket.shutdown(Shutdown::Write).is_err() {
                    let ended = client
                        .connection
                        .ending()
                        .map_or(Ended::Gone, Ended::Closed);
                    self.doom(key, ended);
                }
            }
            Err(_) => {
                let ended = client
                    .connection
                    .ending()
                    .map_or(Ended::Gone, Ended::Closed);
                self.doom(key, ended);
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
        change.apply(&mut self.plane.ledger);
        if let Some(local) = room.and_then(|room| self.rooms.at_mut(room)) {
            local.ledger.add(&change);
        }
        self.plane.tally.bytes_written += sent.bytes;
        self.plane.tally.writes += sent.calls;
    }

    /// The room in whose account a connection's deliveries are: the one it is in, or has left with
    /// some of them still waiting.
    pub(super) fn room_of(&mut self, key: u64) -> Option<u32> {
        if let Some(seat) = self.clients.get_mut(key)?.seat {
            return Some(seat.room);
        }
        let room = *self.leavers.get(&key)?;
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

    /// Takes a connection out of its room.
    pub(super) fn leave(&mut self, key: u64) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        client.left = true;
        let Some(seat) = client.seat.take() else {
            return;
        };
        if client.connection.outbound.queued() > 0
            && let Some(room) = self.rooms.key_at(seat.room)
        {
            self.leavers.insert(key, room);
        }
        let Some(local) = self.rooms.at_mut(seat.room) else {
            return;
        };
        if let Some(moved) = local.remove(seat.position)
            && let Some(neighbour) = self
                .clients
                .at_mut(moved)
                .and_then(|client| client.seat.as_mut())
        {
            neighbour.position = seat.position;
        }
        if self.plane.broker.leave(&local.room, self.plane.worker)
            && let Some(key) = self.rooms.key_at(seat.room)
            && let Some(local) = self.rooms.remove(key)
        {
            for pending in local
                .gathering
                .into_iter()
                .flat_map(|gathering| gathering.pending)
            {
                self.account_missed(pending.members);
            }
        }
    }
}

#[derive(Default)]
struct Offered {
    deliveries: u64,
    failed: u64,
    overflowed: Vec<u32>,
    /// Members with something waiting for a socket that nobody watches for that.
    unwatched: Vec<u32>,
}
