//! What a worker tells the consumers besides messages: that a connection begins, that its room is
//! heard everywhere, that the connection is gone. A panic in there costs that connection.

use super::port::Port;
use super::rooms::key_of;
use super::turn::Worker;
use crate::broker::RoomSlot;
use crate::broker::room::Room;
use crate::broker::{Consumers, Publication, Verdict};
use crate::protocol::CloseReason;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

impl<P: Port, C: Consumers> Worker<P, C> {
    /// Welcomes the members of a room that have waited for it.
    pub(super) fn welcome_all(&mut self, slot: RoomSlot) {
        let Self { rooms, clients, .. } = self;
        let Some(local) = rooms.get_mut(key_of(slot)) else {
            return;
        };
        let mut joined = Vec::new();
        for member in &local.members {
            let Some(key) = clients.key_at(member.index) else {
                continue;
            };
            if let Some(client) = clients.at_mut(member.index)
                && std::mem::take(&mut client.unwelcomed)
            {
                joined.push(key);
            }
        }
        for key in joined {
            self.contained(key, Self::joined);
        }
    }

    /// Tells a connection's consumer that other nodes are heard in its room.
    fn joined(&mut self, key: u64) {
        let Self {
            rooms,
            clients,
            context,
            ..
        } = self;
        let Some(client) = clients.get_mut(key) else {
            return;
        };
        let local = client.seat.and_then(|seat| rooms.at_mut(seat.room));
        let Some(local) = local else {
            return;
        };
        let verdict = context.joined(key, &mut client.role, &local.room);
        if let Verdict::Close(reason) = verdict {
            self.close(key, reason);
        }
    }

    /// Begins a connection for its consumer: what leaves with the 101, and why the connection ends if it does.
    fn begun(&mut self, key: u64) -> (Option<Publication>, Option<CloseReason>) {
        let Self {
            rooms,
            clients,
            context,
            ..
        } = self;
        let Some(client) = clients.get_mut(key) else {
            return (None, None);
        };
        let local = client.seat.and_then(|seat| rooms.at_mut(seat.room));
        let room = local.map(|local| &local.room);
        let role = &mut client.role;
        match context.open(key, role, room, !client.unwelcomed) {
            (greeting, Verdict::Close(reason)) => (greeting, Some(reason)),
            (greeting, Verdict::Done | Verdict::Await) => (greeting, None),
        }
    }

    /// Begins a connection; a panic of its consumer ends it with 1011, once its 101 is written.
    pub(super) fn contained_opening(
        &mut self,
        key: u64,
    ) -> (Option<Publication>, Option<CloseReason>) {
        match catch_unwind(AssertUnwindSafe(|| self.begun(key))) {
            Ok(begun) => begun,
            Err(_) => {
                self.context.metrics.panics.inc();
                tracing::error!(
                    "a consumer panicked as its connection began; it is closed with 1011"
                );
                (None, Some(CloseReason::Internal))
            }
        }
    }

    /// Lets a connection's consumer know that the connection is gone. A panic in there is counted.
    pub(super) fn contained_closing(&mut self, key: u64, room: Option<&Arc<Room>>) {
        let Self {
            clients, context, ..
        } = self;
        let Some(client) = clients.get_mut(key) else {
            return;
        };
        let work = AssertUnwindSafe(|| context.closed(key, &mut client.role, room));
        if catch_unwind(work).is_err() {
            context.metrics.panics.inc();
            tracing::error!(
                connection = key,
                "a consumer panicked as its connection ended"
            );
        }
    }
}
