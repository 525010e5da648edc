//! What a worker tells the consumers besides messages: that a connection begins, that its room is
//! heard everywhere, that the connection is gone. A panic in there costs that connection.

use super::client::Stage;
use super::context::{Close, WorkerContext};
use super::port::Port;
use super::turn::Worker;
use crate::broker::room::Room;
use crate::broker::{Consumers, Publication, Role, RoomSlot};
use crate::name::RoomName;
use crate::panics::caught;
use crate::protocol::CloseReason;
use std::sync::Arc;

impl<P: Port, C: Consumers> Worker<P, C> {
    /// Calls a connection's consumer, with its role and its room.
    fn consult<T>(
        &mut self,
        key: u64,
        call: impl FnOnce(&mut WorkerContext<C>, &mut Role, Option<&Arc<Room>>) -> T,
    ) -> Option<T> {
        let client = self.connections.clients.get_mut(key)?;
        let room = self.members.room(client.seat);
        Some(call(&mut self.context, &mut client.role, room))
    }

    /// Welcomes the members of a room that have waited for it.
    pub(super) fn welcome_all(&mut self, slot: RoomSlot) {
        let clients = &mut self.connections.clients;
        let mut joined = Vec::new();
        for index in self.members.of(slot) {
            let key = clients.key_at(index);
            if let Some(client) = clients.at_mut(index)
                && client.stage == Stage::Joining
            {
                client.stage = Stage::Open;
                joined.extend(key);
            }
        }
        for key in joined {
            self.contained(key, |worker, key| {
                let close = worker.consult(key, |context, role, room| {
                    room.and_then(|room| context.joined(key, role, room))
                });
                if let Some(close) = close.flatten() {
                    let now = worker.context.now;
                    worker.connections.close(key, now, close);
                }
            });
        }
    }

    /// Begins a connection: what leaves with the 101, and why the connection ends if it does. A panic of its
    /// consumer ends it with 1011, once its 101 is written. `is_confirmed`: other nodes are heard in its room already.
    pub(super) fn contained_opening(
        &mut self,
        key: u64,
        is_confirmed: bool,
    ) -> (Option<Publication>, Option<Close>) {
        let begin = || {
            self.consult(key, |context, role, room| {
                context.open(key, role, room, is_confirmed)
            })
        };
        match caught(begin) {
            Some(Some(begun)) => begun,
            Some(None) => (None, None),
            None => {
                self.context.metrics.panics.inc();
                tracing::error!(
                    "a consumer panicked as its connection began; it is closed with 1011"
                );
                (None, Some(CloseReason::Internal.into()))
            }
        }
    }

    /// Lets a connection's consumer know that the connection is gone, and drops what it kept of that. A panic in
    /// there is counted.
    pub(super) fn contained_closing(&mut self, key: u64, left: Option<&RoomName>) {
        let close = || {
            self.consult(key, |context, role, _none| {
                context.closed(key, role, left);
                role.end();
            })
        };
        if caught(close).is_none() {
            self.context.metrics.panics.inc();
            tracing::error!(
                connection = key,
                "a consumer panicked as its connection ended"
            );
        }
    }

    /// Is somebody being answered where this connection hears it? A task of the program's own is at it until it asks for
    /// the next message.
    pub(super) fn awaits_reply(&mut self, key: u64) -> bool {
        let client = self.connections.clients.get_mut(key);
        if client.is_some_and(|client| client.asked > 0) {
            return true;
        }
        let answering = self.consult(key, |context, role, room| {
            let room = room.map(|room| &**room);
            context.consumers.is_answering(role, room)
        });
        answering.unwrap_or_default()
    }
}
