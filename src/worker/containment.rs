//! What a panic costs: a connection, if its code panicked; a connection or what its room was just told,
//! if that happened while something was delivered. The worker goes on, and the account adds up.

use super::client::Ended;
use super::outbound::Outbound;
use super::port::Port;
use super::rooms::LocalRoom;
use super::slab::index_of;
use super::turn::{BUFFER_BYTES, Worker};
use crate::broker::ledger::{Cause, Ledger};
use crate::broker::{Consumers, Parcel};
use crate::protocol::CloseReason;
use std::panic::{AssertUnwindSafe, catch_unwind};

impl<P: Port, C: Consumers> Worker<P, C> {
    /// Runs one connection's code; a panic in it closes that connection with 1011 and is counted,
    /// and nothing else notices.
    pub(super) fn contained(&mut self, key: u64, work: impl FnOnce(&mut Self, u64)) {
        if catch_unwind(AssertUnwindSafe(|| work(self, key))).is_ok() {
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
        self.forget(key);
        self.close(key, CloseReason::Internal);
    }

    /// Delivers parcels; one whose delivery panics is dropped, and the rest is delivered.
    pub(super) fn deliver_all(&mut self, parcels: &mut impl Iterator<Item = Parcel>) {
        loop {
            let work = || {
                for parcel in parcels.by_ref() {
                    self.in_hand = Some((parcel.deliveries(), parcel.bytes()));
                    self.deliver(parcel);
                }
            };
            if catch_unwind(AssertUnwindSafe(work)).is_ok() {
                return;
            }
            self.context.metrics.panics.inc();
            tracing::error!("the delivery of a parcel panicked; it is dropped");
            if let Some((deliveries, bytes)) = self.in_hand.take() {
                self.done.add(bytes);
                self.account_missed(deliveries);
            }
        }
    }

    /// Writes something to members of `room`, or to connections that are in none. A panic costs the
    /// connection that was being written to, or if there was none, what the room was to be told.
    pub(super) fn contained_writing(
        &mut self,
        room: Option<u64>,
        work: impl FnOnce(&mut Self) -> u64,
    ) -> u64 {
        match catch_unwind(AssertUnwindSafe(|| work(self))) {
            Ok(spent) => spent,
            Err(_) => {
                self.context.metrics.panics.inc();
                let key = self.offered.member.take();
                match key.and_then(|index| self.clients.key_at(index)) {
                    Some(key) => self.cut_off(key, room),
                    None => self.drop_work(room),
                }
                self.book(room.map(index_of));
                self.recount();
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
        let local = room.and_then(|room| self.rooms.get_mut(room));
        let fan_out = match local {
            Some(LocalRoom { fan_out, .. }) => fan_out.as_deref_mut(),
            None => Some(&mut self.apart),
        };
        if let Some(fan_out) = fan_out {
            let asides = fan_out.asides_of(key);
            fan_out.asides.drain(asides);
        }
        if let Some(client) = self.clients.get_mut(key) {
            client.connection.outbound = Outbound::default();
        }
        self.depart(key);
        self.agenda
            .mark_gone(key, Ended::Closed(CloseReason::Internal));
    }

    /// Drops what a room was to be told, or what was for connections in none.
    fn drop_work(&mut self, room: Option<u64>) {
        tracing::error!("writing to a room panicked; what it was to be told is dropped");
        let Some(room) = room else {
            let events = self.apart.asides.iter().filter(|aside| aside.is_event());
            let missed = events.count() as u64;
            self.apart.clear();
            return self.account_missed(missed);
        };
        if let Some(local) = self.rooms.get_mut(room) {
            let missed = local.owed();
            (local.fan_out, local.gathering) = (None, None);
            self.account_missed(missed);
        }
    }

    /// Sets right what a panic may have left half counted: deliveries that are in no queue and in no
    /// other column are dropped, and parcels that nobody holds any more are done with.
    fn recount(&mut self) {
        let mut queued = 0;
        for index in 0..self.clients.places() {
            let client = self.clients.at_mut(index);
            queued += client.map_or(0, |client| client.connection.outbound.queued());
        }
        balance(&mut self.context.ledger, queued);
        let mut held = self.apart.load;
        for index in 0..self.rooms.places() {
            let Some(local) = self.rooms.at_mut(index) else {
                continue;
            };
            for load in [
                local.fan_out.as_ref().map(|fan_out| fan_out.load),
                local.gathering.as_ref().map(|gathering| gathering.load),
            ] {
                held += load.unwrap_or_default();
            }
            let mut queued = 0;
            for member in &local.members {
                let client = self.clients.at_mut(member.index);
                queued += client.map_or(0, |client| client.connection.outbound.queued());
            }
            let room = self.rooms.key_at(index);
            for (&key, _) in self
                .left_with_backlog
                .iter()
                .filter(|(_, left)| Some(**left) == room)
            {
                let client = self.clients.get_mut(key);
                queued += client.map_or(0, |client| client.connection.outbound.queued());
            }
            if let Some(local) = self.rooms.at_mut(index) {
                let mut ledger = local.ledger.read();
                balance(&mut ledger, queued);
                local.ledger.set(&ledger);
            }
        }
        self.done = self.held;
        self.done -= held;
    }

    /// What this worker leaves behind when it ends by a fault: its rooms have no members here, its
    /// mailbox takes nothing and holds nobody up, and what it owed is dropped.
    pub(super) fn give_up(&mut self) {
        for index in 0..self.rooms.places() {
            let Some(key) = self.rooms.key_at(index) else {
                continue;
            };
            let Some(local) = self.rooms.remove(key) else {
                continue;
            };
            for _ in &local.members {
                self.context.broker.leave(&local.room, self.context.worker);
            }
            self.account_missed(local.owed());
        }
        // Behind the rooms: from here on nobody finds a member of one here.
        let mailboxes = self.context.broker.mailboxes();
        let parcels = mailboxes.close(self.context.worker);
        let missed = parcels.iter().map(Parcel::deliveries).sum();
        self.account_missed(missed);
        balance(&mut self.context.ledger, 0);
        self.report();
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
