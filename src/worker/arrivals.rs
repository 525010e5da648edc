//! The sockets that have not said anything yet, on the worker that listens.

use super::handoff::Handoff;
use super::listener::{Accepted, Arrival, Listener};
use super::port::{Port, Ready};
use super::timers::TIMER_MAX;
use super::turn::Worker;
use crate::broker::Consumers;
use crate::metrics::count;
use bytes::Bytes;
use std::io::{self, ErrorKind, Read};
use std::net::SocketAddr;
use std::time::Duration;

/// Connections accepted in one turn; then those that are open have theirs.
const BATCH: usize = 64;

/// Most bytes read of a client before its handshake is judged: a browser's head with its cookies, and more.
const FIRST_READ: usize = 8 * 1024;

/// The first and the longest pause after a failed accept.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

impl<P: Port, C: Consumers> Worker<P, C> {
    /// Begins to listen.
    ///
    /// # Panics
    /// When the kernel cannot watch one more socket at the start: the node would serve nobody, so it ends.
    pub(super) fn listen_at(&mut self, mut listener: Listener<P>) {
        self.port
            .listen(&mut listener.listening)
            .expect("invariant: at the start a poll can watch one more socket");
        self.listener = Some(listener);
    }

    /// The listener says that somebody is there.
    pub(super) fn accept_ready(&mut self) {
        if let Some(listener) = &mut self.listener {
            listener.accept_ready = true;
        }
    }

    /// Accepts who is there. Errors back off instead of spinning: without a free descriptor, accept fails at
    /// once, and the listener will not say again that somebody waits.
    pub(super) fn accept(&mut self) {
        let now = self.context.now;
        for _ in 0..BATCH {
            let Some(listener) = &mut self.listener else {
                return;
            };
            if !listener.accept_ready || listener.failed.is_some_and(|(due, _)| now < due) {
                return;
            }
            match self.port.accept(&listener.listening) {
                Ok((socket, address)) => {
                    listener.recovered();
                    self.context.tally.accepted += 1;
                    self.arrive(socket, address);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    listener.recovered();
                    listener.accept_ready = false;
                    if listener.is_closing {
                        self.stop_listening();
                    }
                }
                Err(error) => {
                    let kind = kind_of(&error);
                    count(&self.context.metrics.accept_errors, "kind", kind);
                    if kind == "aborted" {
                        continue;
                    }
                    if listener.failed.is_none() {
                        tracing::warn!(%error, "cannot accept connections; trying again (raise the descriptor limit if it says too many open files)");
                    }
                    let pause = listener.failed.map_or(BACK_OFF.0, |(_, last)| last * 2);
                    let pause = pause.min(BACK_OFF.1);
                    listener.failed = Some((now + pause, pause));
                }
            }
        }
    }

    fn arrive(&mut self, socket: P::Socket, address: SocketAddr) {
        let Some(listener) = &mut self.listener else {
            return;
        };
        let Some((mut socket, peer)) = listener.gate.admit(socket, address) else {
            return;
        };
        let key = self.clients.reserve();
        if let Err(error) = self.port.watch(&mut socket, key) {
            tracing::warn!(%error, "a connection cannot be watched and is dropped");
            self.clients.release(key);
            listener.gate.leave(peer);
            return;
        }
        let now = self.context.now;
        let deadline = now + listener.handshake_timeout;
        let armed = deadline.min(now + TIMER_MAX);
        self.timers.arm(armed, key);
        let arrival = Arrival {
            socket,
            peer,
            deadline,
            armed,
        };
        listener.arrivals.insert(key, arrival);
    }

    /// Something happened to a socket whose client had not spoken.
    pub(super) fn on_arrival(&mut self, key: u64, ready: Ready) {
        let Some(listener) = &mut self.listener else {
            return;
        };
        let Some(arrival) = listener.arrivals.get_mut(&key) else {
            return;
        };
        let space = self.buffer.get_mut(..FIRST_READ).unwrap_or_default();
        match arrival.socket.read(space) {
            Err(error) if error.kind() == ErrorKind::WouldBlock && !ready.has_failed => {}
            Ok(0) | Err(_) => self.forget(key),
            Ok(count) => {
                // More may be there, or the end, that no event will announce again.
                let more = count == FIRST_READ || ready.is_read_closed;
                self.on_first_bytes(key, count, more);
            }
        }
    }

    /// Acts on a client's first bytes, which are in the read buffer.
    fn on_first_bytes(&mut self, key: u64, count: usize, more: bool) {
        let Some(listener) = &mut self.listener else {
            return;
        };
        let Some(arrival) = listener.arrivals.get(&key) else {
            return;
        };
        let bytes = self.buffer.get(..count).unwrap_or_default();
        // Still an arrival meanwhile, so that a panic in there leaves one to forget.
        let accepted = listener.gate.accept(bytes, arrival.peer);
        let Some(mut arrival) = listener.arrivals.remove(&key) else {
            return;
        };
        let is_mine = |accepted: &Accepted| accepted.passage.worker() == self.context.worker;
        let is_mine = accepted.as_ref().is_some_and(is_mine);
        if !is_mine {
            self.clients.release(key);
            self.port.unwatch(&mut arrival.socket);
        }
        let Some(accepted) = accepted else {
            let (read, left) = (Bytes::copy_from_slice(bytes), arrival.deadline);
            let left = left.since(self.context.now);
            listener
                .gate
                .serve(arrival.socket, read, arrival.peer, left);
            return;
        };
        listener.gate.leave(arrival.peer);
        let handoff = Handoff {
            socket: arrival.socket,
            answer: accepted.answer,
            leftover: Bytes::copy_from_slice(bytes.get(accepted.length..).unwrap_or_default()),
            role: accepted.role,
            room: accepted.room,
            passage: accepted.passage,
            peer: arrival.peer,
        };
        if is_mine {
            self.begin(key, handoff, arrival.armed);
            if more {
                self.agenda.read_again(key);
            }
        } else {
            listener.gate.hand_over(handoff);
        }
    }

    /// A timer fired for a key that is no connection's: a client may have been silent for too long.
    pub(super) fn on_arrival_timer(&mut self, key: u64) {
        let now = self.context.now;
        let Some(listener) = &mut self.listener else {
            return;
        };
        let Some(arrival) = listener.arrivals.get_mut(&key) else {
            return;
        };
        if now < arrival.deadline {
            arrival.armed = arrival.deadline.min(now + TIMER_MAX);
            self.timers.arm(arrival.armed, key);
            return;
        }
        count(
            &self.context.metrics.handshakes_refused,
            "reason",
            "timeout",
        );
        tracing::debug!(reason = "timeout", "request refused");
        self.forget(key);
    }

    /// Drops a client that has not become a connection, if this key is one's.
    pub(super) fn forget(&mut self, key: u64) {
        let Some(listener) = &mut self.listener else {
            return;
        };
        if let Some(arrival) = listener.arrivals.remove(&key) {
            listener.gate.leave(arrival.peer);
            self.clients.release(key);
        }
    }

    /// Closes the listener as soon as everybody who waits there has been accepted: what the kernel has let in is
    /// answered, not reset.
    pub(super) fn shut(&mut self) {
        if let Some(listener) = &mut self.listener {
            listener.is_closing = true;
            listener.accept_ready = true;
        }
    }

    /// Closes the listener. Those who have not spoken are refused by the control plane when they do.
    pub(super) fn stop_listening(&mut self) {
        let Some(listener) = self.listener.take() else {
            return;
        };
        for (key, mut arrival) in listener.arrivals {
            self.clients.release(key);
            self.port.unwatch(&mut arrival.socket);
            let left = arrival.deadline.since(self.context.now);
            listener
                .gate
                .serve(arrival.socket, Bytes::new(), arrival.peer, left);
        }
    }
}

fn kind_of(error: &io::Error) -> &'static str {
    // Linux and the BSDs agree on these two.
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    match error.raw_os_error() {
        Some(EMFILE | ENFILE) => "descriptors",
        _ if error.kind() == ErrorKind::ConnectionAborted => "aborted",
        _ if error.kind() == ErrorKind::OutOfMemory => "memory",
        _ => "other",
    }
}
