//! What a panic costs: a connection, if its code panicked; a connection or what its room was just told,
//! if that happened while something was delivered. The worker goes on, and the account adds up.

use super::client::Ended;
use super::connections::Connections;
use super::deliver::Deliverer;
use super::members::RoomMembers;
use super::memory::BUFFER_BYTES;
use super::outbound::Outbound;
use super::port::Port;
use super::slab::index_of;
use super::turn::Worker;
use crate::broker::{Consumers, Parcel};
use crate::clock::Millis;
use crate::panics::caught;
use crate::protocol::CloseReason;

impl<P: Port, C: Consumers> Worker<P, C> {
    /// Runs one connection's code; a panic in it closes that connection with 1011 and is counted,
    /// and nothing else notices.
    pub(super) fn contained(&mut self, key: u64, work: impl FnOnce(&mut Self, u64)) {
        if caught(|| work(self, key)).is_some() {
            return;
        }
        self.context.metrics.panics.inc();
        tracing::error!(
            connection = key,
            "a connection's code panicked; it is closed with 1011"
        );
        if self.buffer.len() != BUFFER_BYTES {
            self.buffer = vec![0; BUFFER_BYTES];
        }
        if let Some(listener) = &mut self.listener {
            listener.forget(key, &mut self.connections);
        }
        let now = self.context.now;
        self.connections.close(key, now, CloseReason::Internal);
    }

    /// Delivers parcels; one whose delivery panics is dropped, and the rest is delivered.
    pub(super) fn deliver_all(&mut self, parcels: &mut impl Iterator<Item = Parcel>) {
        let mut in_hand = None;
        loop {
            let work = || {
                for parcel in parcels.by_ref() {
                    in_hand = Some((parcel.deliveries(), parcel.bytes()));
                    self.deliver(parcel);
                }
            };
            if caught(work).is_some() {
                return;
            }
            self.context.metrics.panics.inc();
            tracing::error!("the delivery of a parcel panicked; it is dropped");
            if let Some((deliveries, bytes)) = in_hand.take() {
                self.deliverer.finish_parcel(bytes);
                self.members.miss(deliveries);
            }
        }
    }

    /// Writes something to members of `room`, or to connections that are in none. A panic costs the
    /// connection that was being written to, or if there was none, what the room was to be told.
    pub(super) fn contained_writing(
        &mut self,
        room: Option<u64>,
        work: impl FnOnce(&mut Deliverer, &mut Connections<P>, &mut RoomMembers, Millis) -> u64,
    ) -> u64 {
        let now = self.context.now;
        let Self {
            deliverer,
            connections,
            members,
            ..
        } = self;
        let work = || work(deliverer, connections, members, now);
        match caught(work) {
            Some(spent) => spent,
            None => {
                self.context.metrics.panics.inc();
                let index = self.deliverer.take_interrupted();
                match index.and_then(|index| self.connections.clients.key_at(index)) {
                    Some(key) => self.cut_off(key, room),
                    None => {
                        tracing::error!(
                            "writing to a room panicked; what it was to be told is dropped"
                        );
                        self.deliverer.drop_work(&mut self.members, room);
                    }
                }
                let Self {
                    deliverer,
                    connections,
                    members,
                    ..
                } = self;
                deliverer.book(connections, members, now, room.map(index_of));
                deliverer.recount(members.recount(&mut connections.clients));
                1
            }
        }
    }

    /// Ends a connection whose writing half cannot be trusted any more: without a close frame, and
    /// without what it was still to be told.
    fn cut_off(&mut self, key: u64, room: Option<u64>) {
        tracing::error!(
            connection = key,
            "writing to a connection panicked; it is cut off"
        );
        self.deliverer.drop_asides(&mut self.members, room, key);
        if let Some(client) = self.connections.clients.get_mut(key) {
            client.connection.outbound = Outbound::default();
        }
        self.depart(key);
        let ended = Ended::Closed(CloseReason::Internal);
        self.connections.agenda.mark_gone(key, ended);
    }

    /// What this worker leaves behind when it ends by a fault: its rooms have no members here, its
    /// mailbox takes nothing and holds nobody up, and what it owed is dropped.
    pub(super) fn give_up(&mut self) {
        let (broker, worker) = (&self.context.broker, self.context.worker);
        self.members.give_up(broker, worker);
        // Behind the rooms: from here on nobody finds a member of one here.
        let parcels = broker.mailboxes().close(worker);
        let missed = parcels.iter().map(Parcel::deliveries).sum();
        self.members.miss(missed);
        self.members.settle();
        self.report();
    }
}
