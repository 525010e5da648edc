//! The second half of a turn: from the mailbox to the sockets.
//!
//! Small rooms are written at once, large ones a portion in each turn; see [`Agenda`](super::agenda::Agenda).
//! Connections that end leave their rooms after that, and are written first what their rooms have been told, so
//! that reaches them in front of the close frame.

use super::client::Stage;
use super::context::Close;
use super::deliver::Deliverer;
use super::gathering::Content;
use super::port::Port;
use super::turn::Worker;
use crate::broker::{Consumers, Parcel};

/// Rounds of one settling; what comes after waits for the next turn, so that sockets get theirs.
const ROUNDS: usize = 16;

/// What the small rooms may take of a turn, in writes.
const SMALL_ROOMS: u64 = 512;

/// What the large rooms may take of a turn, in writes.
const PORTION: u64 = 64;

/// What connections that leave their rooms may take of a turn, in writes, of all that end at once.
const LEAVES: u64 = 64;

impl<P: Port, C: Consumers> Worker<P, C> {
    /// Empties the mailbox onto the sockets, and lets connections that waited for it go on.
    pub(super) fn deliver_mailbox(&mut self) {
        let (mut budget, mut leaves) = (SMALL_ROOMS, LEAVES);
        for _ in 0..ROUNDS {
            // Who ends during this round may have published in it: it leaves in the next one.
            self.connections.agenda.let_leave();
            self.take_parcels();
            self.contained_writing(None, Deliverer::write_apart);
            self.write_small_rooms(&mut budget);
            while leaves > 0
                && let Some(key) = self.connections.agenda.next_leaver()
            {
                leaves = leaves.saturating_sub(self.leave(key));
                self.connections.agenda.touch(key);
            }
            while let Some(key) = self.connections.agenda.next_touched() {
                self.contained(key, |worker, key| {
                    let now = worker.context.now;
                    worker.connections.flush(key, now, &mut worker.members);
                });
            }
            self.release();
            if !self.has_parcels() && self.connections.agenda.is_written() {
                break;
            }
        }
        self.write_large_rooms();
        if self.deliverer.has_finished() {
            self.release();
        }
    }

    /// Takes what is in the mailbox.
    fn take_parcels(&mut self) {
        let mailboxes = self.context.broker.mailboxes();
        let mut parcels = self.deliverer.take(mailboxes, self.context.worker);
        self.deliver_all(&mut parcels.drain(..));
        self.deliverer.keep(parcels);
    }

    fn has_parcels(&self) -> bool {
        let mailboxes = self.context.broker.mailboxes();
        self.deliverer.has_parcels(mailboxes, self.context.worker)
    }

    /// Makes room in the mailbox for what has been dealt with, and lets those go on that waited for it.
    fn release(&mut self) {
        let mailboxes = self.context.broker.mailboxes();
        // Whoever is in a room of this worker waits for this mailbox at least.
        if !self.deliverer.release(mailboxes, self.context.worker) {
            return;
        }
        for key in self.connections.agenda.take_stalled() {
            self.contained(key, |worker, key| worker.resume(key, false));
        }
    }

    pub(super) fn deliver(&mut self, parcel: Parcel) {
        #[cfg(test)]
        super::tests::trip_delivery(&parcel);
        let now = self.context.now;
        let Self {
            deliverer,
            connections,
            members,
            ..
        } = self;
        match parcel {
            Parcel::Room {
                slot,
                sequence,
                members: owed,
                delivery,
            } => {
                let agenda = &mut connections.agenda;
                deliverer.add_publication(members, agenda, slot, sequence, (owed, delivery));
                return;
            }
            Parcel::Control { connection, frame } => {
                let content = Content::Control(frame);
                deliverer.set_aside(connections, members, connection.0, content);
                return;
            }
            Parcel::Direct {
                connection,
                delivery,
                resume,
            } => {
                let content = Content::Event(delivery);
                deliverer.set_aside(connections, members, connection.0, content);
                if resume {
                    self.contained(connection.0, |worker, key| worker.resume(key, true));
                }
                return;
            }
            Parcel::Confirmed { slot } => self.welcome_all(slot),
            Parcel::Close {
                slot,
                reason,
                farewell,
            } => {
                for index in members.of(slot) {
                    if let Some(key) = connections.clients.key_at(index) {
                        let farewell = farewell.clone();
                        connections.close(key, now, Close { reason, farewell });
                    }
                }
            }
            Parcel::Answered { connection } => connections.answered(connection.0, now),
            Parcel::Resume { connection } => {
                self.contained(connection.0, |worker, key| worker.resume(key, true));
            }
            Parcel::End {
                connection,
                reason,
                farewell,
            } => connections.close(connection.0, now, Close { reason, farewell }),
        }
        self.deliverer.finish_parcel(0);
    }

    /// Writes small rooms, within what is left of their budget.
    fn write_small_rooms(&mut self, budget: &mut u64) {
        while *budget > 0
            && let Some(room) = self.connections.agenda.next_room()
        {
            let local = self.members.rooms.get_mut(room);
            if local.is_some_and(|local| local.is_large()) {
                self.connections.agenda.add_large(room);
                continue;
            }
            let spent = self.write_room(room, u64::MAX);
            *budget = budget.saturating_sub(spent);
            if self.has_work(room) {
                self.connections.agenda.put_first(room);
            }
        }
    }

    /// Writes a portion to the members of large rooms.
    fn write_large_rooms(&mut self) {
        if self.connections.agenda.large_rooms() == 0 {
            return;
        }
        self.take_time();
        let mut budget = PORTION;
        for _ in 0..self.connections.agenda.large_rooms() {
            let Some(room) = self.connections.agenda.next_large() else {
                break;
            };
            let mailboxes = self.context.broker.mailboxes();
            let is_crowded = mailboxes.is_crowded(self.context.worker);
            let agenda = &self.connections.agenda;
            let local = self.members.rooms.get_mut(room);
            let due = local.filter(|local| local.is_due(agenda, is_crowded));
            if let Some(members) = due.map(|local| local.members.len() as u64) {
                // One that a portion is enough for is written whole.
                let most = if members <= PORTION { u64::MAX } else { budget };
                budget = budget.saturating_sub(self.write_room(room, most));
            }
            if self.has_work(room) {
                self.connections.agenda.add_large(room);
            }
            if budget == 0 {
                break;
            }
        }
    }

    fn write_room(&mut self, room: u64, budget: u64) -> u64 {
        self.contained_writing(Some(room), |deliverer, connections, members, now| {
            deliverer.write_room(connections, members, now, room, budget)
        })
    }

    fn has_work(&mut self, room: u64) -> bool {
        let local = self.members.rooms.get_mut(room);
        local.is_some_and(|local| !local.is_idle())
    }

    /// Takes a connection out of its room, behind all that the room has been told; what that took, in
    /// writes.
    pub(super) fn leave(&mut self, key: u64) -> u64 {
        let client = self.connections.clients.get_mut(key);
        let seat = client.and_then(|client| client.seat);
        let room = seat.and_then(|seat| self.members.rooms.key_at(seat.room));
        let spent = match room {
            Some(_) => self.contained_writing(room, |deliverer, connections, members, now| {
                deliverer.catch_up(connections, members, now, key)
            }),
            None => 0,
        };
        self.depart(key);
        spent.max(1)
    }

    /// Takes a connection out of its room.
    pub(super) fn depart(&mut self, key: u64) {
        let Self {
            connections,
            members,
            context,
            ..
        } = self;
        let clients = &mut connections.clients;
        let Some(client) = clients.get_mut(key) else {
            return;
        };
        let is_first = std::mem::replace(&mut client.stage, Stage::Left) != Stage::Left;
        let seat = client.seat.take();
        let (broker, worker) = (&context.broker, context.worker);
        let room = seat.and_then(|seat| members.stand(broker, worker, clients, key, seat));
        let room = room.map(|(room, left_over)| {
            self.deliverer.finish(left_over);
            room
        });
        if is_first {
            self.contained_closing(key, room.as_ref().map(|room| room.name()));
        }
    }
}
