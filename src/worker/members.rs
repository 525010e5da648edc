//! The rooms of this worker: who is in them, and what became of all that their members were owed.

use super::client::{Client, Seat};
use super::gathering::ParcelLoad;
use super::outbound::Sent;
use super::rooms::{Change, LocalRoom, key_of, slot_of};
use super::slab::{Slab, index_of};
use crate::broker::Broker;
use crate::broker::RoomSlot;
use crate::broker::ledger::{Cause, Ledger};
use crate::broker::room::Room;
use crate::name::RoomName;
use std::collections::HashMap;
use std::sync::Arc;

/// What has been written since the metrics heard of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Written {
    pub(super) bytes: u64,
    pub(super) calls: u64,
}

/// Rooms with members here, and the accounts: each room's and the worker's.
#[derive(Debug, Default)]
pub(super) struct RoomMembers {
    pub(super) rooms: Slab<LocalRoom>,
    /// Rooms left with deliveries still waiting, by connection: those stay in the room's account.
    left_with_backlog: HashMap<u64, u64>,
    /// The worker's account.
    pub(super) ledger: Ledger,
    pub(super) written: Written,
}

impl RoomMembers {
    /// Takes a seat in a room for the connection of this key; do other nodes reach that room already?
    pub(super) fn join(
        &mut self,
        broker: &Broker,
        worker: usize,
        name: &RoomName,
        key: u64,
    ) -> (Seat, bool) {
        let rooms = &mut self.rooms;
        let slot = slot_of(rooms.next_key());
        let joined = broker.join(name, worker, || slot);
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

    /// Gives a seat back: the room that it was in, and what nobody is left to be written there.
    pub(super) fn stand<S>(
        &mut self,
        broker: &Broker,
        worker: usize,
        clients: &mut Slab<Client<S>>,
        key: u64,
        seat: Seat,
    ) -> Option<(Arc<Room>, ParcelLoad)> {
        let client = clients.get_mut(key)?;
        if client.connection.outbound.queued() > 0
            && let Some(room) = self.rooms.key_at(seat.room)
        {
            self.left_with_backlog.insert(key, room);
        }
        let local = self.rooms.at_mut(seat.room)?;
        let room = Arc::clone(&local.room);
        local.remove(seat.position, |index, position| {
            let neighbour = clients.at_mut(index);
            if let Some(seat) = neighbour.and_then(|client| client.seat.as_mut()) {
                seat.position = position;
            }
        });
        let mut left_over = ParcelLoad::default();
        if broker.leave(&room, worker)
            && let Some(key) = self.rooms.key_at(seat.room)
            && let Some(local) = self.rooms.remove(key)
        {
            self.miss(local.owed());
            left_over = local.load();
        }
        Some((room, left_over))
    }

    /// What a seat's room is here.
    pub(super) fn local(&mut self, seat: Option<Seat>) -> Option<&LocalRoom> {
        Some(self.rooms.at_mut(seat?.room)?)
    }

    /// The room of a seat.
    pub(super) fn room(&mut self, seat: Option<Seat>) -> Option<&Arc<Room>> {
        let local = self.rooms.at_mut(seat?.room)?;
        Some(&local.room)
    }

    /// The room in whose account a connection's deliveries are: the one it is in, or has left with
    /// some of them still waiting.
    pub(super) fn room_of(&mut self, key: u64, seat: Option<Seat>) -> Option<u32> {
        if let Some(seat) = seat {
            return Some(seat.room);
        }
        let room = *self.left_with_backlog.get(&key)?;
        self.rooms.get_mut(room).map(|_there| index_of(room))
    }

    /// This connection has nothing waiting any more, and never will.
    pub(super) fn forget(&mut self, key: u64) {
        self.left_with_backlog.remove(&key);
    }

    /// Nobody who has left a room has something of it waiting.
    #[cfg(test)]
    pub(super) fn has_no_backlog(&self) -> bool {
        self.left_with_backlog.is_empty()
    }

    /// The members of this room, by place in the slab of connections.
    pub(super) fn of(&mut self, slot: RoomSlot) -> Vec<u32> {
        let local = self.rooms.get_mut(key_of(slot));
        local.map_or(Vec::new(), |local| {
            local.members.iter().map(|member| member.index).collect()
        })
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
        change.apply(&mut self.ledger);
        if let Some(local) = room.and_then(|room| self.rooms.at_mut(room)) {
            local.ledger.add(&change);
        }
        self.written.bytes += sent.bytes;
        self.written.calls += sent.calls;
    }

    /// Books deliveries that waited in a queue and have been given up.
    pub(super) fn account_dropped(&mut self, room: Option<u32>, cause: Cause, dropped: u64) {
        let change = Change {
            queued: 0u64.wrapping_sub(dropped),
            ..Change::dropped(cause, dropped)
        };
        self.account(room, change, Sent::default());
    }

    /// Nobody is left of those that deliveries were for.
    pub(super) fn miss(&mut self, deliveries: u64) {
        let mut change = Change::dropped(Cause::Closed, deliveries);
        change.expected = deliveries;
        change.apply(&mut self.ledger);
    }

    /// The account of the room in this place, if it has members here.
    pub(super) fn ledger_of(&mut self, slot: Option<RoomSlot>) -> Ledger {
        let local = slot.and_then(|slot| self.rooms.get_mut(key_of(slot)));
        local.map(|local| local.ledger.read()).unwrap_or_default()
    }

    /// Sets right what a panic may have left half counted: deliveries that are in no queue and in no
    /// other column are dropped. What the rooms have still to be written.
    pub(super) fn recount<S>(&mut self, clients: &mut Slab<Client<S>>) -> ParcelLoad {
        let queue = |client: Option<&mut Client<S>>| {
            client.map_or(0, |client| client.connection.outbound.queued())
        };
        let queued = (0..clients.places()).map(|index| queue(clients.at_mut(index)));
        let queued = queued.sum();
        balance(&mut self.ledger, queued);
        let mut held = ParcelLoad::default();
        for index in 0..self.rooms.places() {
            let key = self.rooms.key_at(index);
            let Some(local) = self.rooms.at_mut(index) else {
                continue;
            };
            held += local.load();
            let members = local.members.iter();
            let queued: u64 = members
                .map(|member| queue(clients.at_mut(member.index)))
                .sum();
            let left = self.left_with_backlog.iter();
            let left = left.filter(|(_, room)| Some(**room) == key);
            let left: u64 = left.map(|(&key, _)| queue(clients.get_mut(key))).sum();
            let mut ledger = local.ledger.read();
            balance(&mut ledger, queued + left);
            local.ledger.set(&ledger);
        }
        held
    }

    /// Ends every membership: the worker has ended by a fault.
    pub(super) fn give_up(&mut self, broker: &Broker, worker: usize) {
        for index in 0..self.rooms.places() {
            let Some(key) = self.rooms.key_at(index) else {
                continue;
            };
            let Some(local) = self.rooms.remove(key) else {
                continue;
            };
            for _ in &local.members {
                broker.leave(&local.room, worker);
            }
            self.miss(local.owed());
        }
    }

    /// Closes the worker's account: nothing waits any more.
    pub(super) fn settle(&mut self) {
        balance(&mut self.ledger, 0);
    }
}

/// Books `queued`, and what is nowhere else, as dropped.
fn balance(ledger: &mut Ledger, queued: u64) {
    ledger.queued = queued;
    let missing = ledger.unexplained();
    // Counted as delivered, and not yet as expected.
    ledger.expected += missing.min(0).unsigned_abs();
    ledger.drop(Cause::Closed, missing.max(0).unsigned_abs());
}
