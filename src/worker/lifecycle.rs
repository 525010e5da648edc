//! How connections come and go: taken over, drained, buried.

use super::client::{Client, Ended, ReadSide, Stage, UNWATCHED, WriteSide};
use super::connection::Connection;
use super::drain::Drain;
use super::handle::{ConnectionList, Whom};
use super::handoff::Handoff;
use super::port::{Port, Socket as _};
use super::turn::Worker;
use crate::auth::user_hash;
use crate::broker::{ConnectionKey, Consumers};
use crate::clock::Millis;
use crate::metrics::count;
use bytes::Bytes;

impl<P: Port, C: Consumers> Worker<P, C> {
    /// Takes a connection over from another thread.
    pub(super) fn open(&mut self, mut handoff: Handoff<P::Socket>) {
        let Self { connections, .. } = self;
        let key = connections.clients.reserve();
        if let Err(error) = connections.port.watch(&mut handoff.socket, key) {
            tracing::warn!(%error, "a connection cannot be watched and is dropped");
            count(
                &self.context.metrics.connections_closed,
                "reason",
                UNWATCHED,
            );
            connections.clients.release(key);
            (self.on_close)(handoff.counted);
            return;
        }
        let holds_unread = handoff.socket.holds_unread();
        self.begin(key, handoff, Millis::NEVER);
        if holds_unread {
            self.connections.agenda.read_again(key);
        }
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
            counted,
        } = handoff;
        let now = self.context.now;
        let (broker, worker) = (&self.context.broker, self.context.worker);
        let joined = room.map(|name| self.members.join(broker, worker, &name, key));
        let is_confirmed = joined.is_none_or(|(_, is_confirmed)| is_confirmed);
        broker.placement().arrived(worker);
        drop(passage);
        let client = Client {
            socket,
            connection: Connection::new(now, role.settings),
            role,
            seat: joined.map(|(seat, _)| seat),
            counted,
            armed,
            slowed: Millis::NEVER,
            incoming: ReadSide::Drained,
            outgoing: WriteSide::Unwatched,
            asked: 0,
            stage: if is_confirmed {
                Stage::Open
            } else {
                Stage::Joining
            },
        };
        self.connections.clients.fill(key, client);
        // Who reads the greeting is counted.
        self.context.metrics.connections.inc();
        self.context.metrics.connections_opened.inc();
        let (greeting, end) = self.contained_opening(key, is_confirmed);
        let Self {
            connections,
            members,
            deliverer,
            ..
        } = self;
        let readers = &deliverer.readers;
        connections.greet(key, now, readers, &answer, greeting.as_ref(), members);
        if let Some(close) = end {
            connections.close(key, now, close);
        }
        connections.arm(key, now);
        if let Some(drain) = &self.drain {
            connections.close_in_drain(key, now, drain.reason);
        } else if !leftover.is_empty() {
            self.contained(key, |worker, key| {
                let mut bytes = Vec::from(std::mem::replace(&mut leftover, Bytes::new()));
                worker.feed(key, &mut bytes);
            });
        }
    }

    /// Lists connections that are open.
    pub(super) fn list(&mut self, whom: &Whom, most: usize) -> ConnectionList {
        let (broker, worker) = (&self.context.broker, self.context.worker);
        let clients = &mut self.connections.clients;
        let keys: Vec<u64> = match whom {
            Whom::Connection(ConnectionKey(key)) => vec![*key],
            Whom::Room(name) => {
                let slot = broker.find(name).and_then(|room| room.slot_on(worker));
                let members = slot.map(|slot| self.members.of(slot)).unwrap_or_default();
                let members = members.into_iter();
                members.filter_map(|index| clients.key_at(index)).collect()
            }
        };
        let mut list = ConnectionList::default();
        for key in keys {
            let is_open = |client: &mut Client<_>| client.connection.is_open();
            if clients.get_mut(key).is_some_and(is_open) {
                list.count += 1;
                if list.connections.len() < most {
                    list.connections.push(ConnectionKey(key));
                }
            }
        }
        list
    }

    /// Ends the listener, if there is one.
    pub(super) fn stop_listening(&mut self) {
        if let Some(listener) = self.listener.take() {
            listener.end(&mut self.connections, self.context.now);
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
        while drain.closed < due && drain.cursor < self.connections.clients.places() {
            if let Some(key) = self.connections.clients.key_at(drain.cursor) {
                self.close_or_await(key, due, &mut drain);
            }
            drain.cursor += 1;
        }
        if drain.is_last_word(now) && !std::mem::replace(&mut drain.is_cut, true) {
            let members = &mut self.members;
            self.connections
                .each(|connections, key| connections.cut(key, members));
        }
        if now >= drain.deadline {
            self.stop_listening();
            // Not before all have left their rooms, some in each turn: what a socket takes of its close
            // frame still goes out.
            if self.connections.agenda.have_all_left() {
                self.connections.each(|connections, key| {
                    connections.agenda.mark_gone(key, Ended::Shutdown);
                });
            }
        }
        self.drain = Some(drain);
    }

    /// Closes a connection that is due, unless a reply is on its way to it: that may take until the
    /// end of the window.
    fn close_or_await(&mut self, key: u64, due: u64, drain: &mut Drain) {
        if due < u64::MAX && self.awaits_reply(key) {
            drain.awaiting.push(key);
        } else {
            drain.closed += 1;
            let now = self.context.now;
            self.connections.close_in_drain(key, now, drain.reason);
        }
    }

    /// Removes the connections that are gone.
    pub(super) fn reap(&mut self) {
        for (key, ended) in self.connections.agenda.take_gone() {
            let held = self.connections.clients.get_mut(key).is_some_and(|client| {
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
            let said = self.connections.clients.get_mut(key);
            let said = said.filter(|client| client.connection.has_said_close());
            let ended = match said.and_then(|client| client.connection.ending()) {
                // The connection only did not wait for the peer's answer.
                Some(reason) if ended == Ended::Shutdown => Ended::Closed(reason),
                _ => ended,
            };
            self.connections.abandon(key, ended, &mut self.members);
            self.members.forget(key);
            // Closing the socket ends its registration (epoll(7), kqueue(2)): we hold its only
            // descriptor. An event of it that has been fetched already finds another generation.
            let Some(client) = self.connections.clients.remove(key) else {
                continue;
            };
            let metrics = &self.context.metrics;
            count(&metrics.connections_closed, "reason", ended.label());
            metrics.connections.dec();
            self.context.broker.placement().left(self.context.worker);
            tracing::debug!(
                connection = key,
                reason = ended.label(),
                user = client.role.identity().and_then(|who| user_hash(who)),
                "connection closed"
            );
            (self.on_close)(client.counted);
        }
    }
}
