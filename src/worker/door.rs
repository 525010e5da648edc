//! Where connections come in: the listener, and the sockets that have not said anything yet.
//!
//! One worker listens. A client that sends its whole handshake at once, as nearly all do, becomes a
//! connection of this worker without a task, a second registration or a switch to another thread; a worker of
//! another room's gets it by [`Gate::hand_over`]. Whatever takes longer than one read (half a head, the chat page,
//! a refusal) goes to the control plane with the bytes read so far, as if they had not been read.
//!
//! Bounded by the gate in number (`limits.handshakes`), by the door's patience (`server.handshake_timeout`) in
//! time, by [`BATCH`] in one turn, and by [`FIRST_READ`] in bytes.

use super::Handoff;
use super::port::{Port, Ready, TcpPort};
use super::turn::{TIMER_MAX, Worker};
use crate::broker::placement::Passage;
use crate::broker::{Consumers, Role};
use crate::clock::Millis;
use crate::metrics::count;
use crate::name::RoomName;
use bytes::Bytes;
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Connections accepted in one turn; then those that are open have theirs.
const BATCH: usize = 64;

/// Most bytes read of a client before its handshake is judged: a browser's head with its cookies, and more.
const FIRST_READ: usize = 8 * 1024;

/// The first and the longest pause after a failed accept.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Who decides about clients that are no connections yet: the server. It is asked on a worker's thread, so it
/// never waits.
pub trait Gate<S = <TcpPort as Port>::Socket>: Send + Sync {
    /// May the handshake of this new socket begin? If so, the socket, and what its peer counts as: exactly one
    /// [`Gate::leave`] or [`Gate::serve`] follows. If not, the peer has been told.
    fn admit(&self, socket: S, address: SocketAddr) -> Option<(S, u64)>;

    /// The handshake at the beginning of `bytes`, if all of it is there and nothing speaks against it;
    /// otherwise nothing has happened.
    fn accept(&self, bytes: &[u8], peer: u64) -> Option<Accepted>;

    /// The handshake of this peer is over.
    fn leave(&self, peer: u64);

    /// Everything that is not accepted at once: the control plane serves this socket, `read` being what it has
    /// said already, and `left` the time it has for the rest of its request's head.
    fn serve(&self, socket: S, read: Bytes, peer: u64, left: Duration);

    /// A connection for the worker of another room.
    fn hand_over(&self, handoff: Handoff<S>);
}

/// A handshake that was accepted.
#[derive(Debug)]
pub struct Accepted {
    /// Bytes of its head.
    pub length: usize,
    /// The 101.
    pub answer: Vec<u8>,
    /// What the connection is for.
    pub role: Role,
    /// The room it joins.
    pub room: Option<RoomName>,
    /// Its way to the worker it belongs to.
    pub passage: Passage,
}

/// A socket whose client has not spoken yet.
struct Arrival<S> {
    socket: S,
    peer: u64,
    deadline: Millis,
    /// When its timer fires.
    armed: Millis,
}

/// The way in of one node.
pub struct Door<P: Port = TcpPort> {
    listener: P::Listening,
    gate: Arc<dyn Gate<P::Socket>>,
    patience: Duration,
    /// By the key under which its socket is watched, and which its connection will have.
    arrivals: HashMap<u64, Arrival<P::Socket>, RandomState>,
    /// The listener may have more than has been accepted.
    knocked: bool,
    /// After a failed accept: when the next is due, and the pause before it.
    failed: Option<(Millis, Duration)>,
    /// Nobody new is to come: it closes once nobody waits at the listener.
    is_closing: bool,
}

impl<P: Port> fmt::Debug for Door<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door")
            .field("listener", &self.listener)
            .field("arrivals", &self.arrivals.len())
            .finish_non_exhaustive()
    }
}

impl<P: Port> Door<P> {
    /// A door that nobody listens at yet. A client must have sent its whole request head within `patience`.
    #[must_use]
    pub fn new(listener: P::Listening, gate: Arc<dyn Gate<P::Socket>>, patience: Duration) -> Self {
        Self {
            listener,
            gate,
            patience,
            arrivals: HashMap::default(),
            knocked: false,
            failed: None,
            is_closing: false,
        }
    }

    /// An accept did not fail.
    fn recovered(&mut self) {
        if self.failed.take().is_some() {
            tracing::info!("accepting connections again");
        }
    }

    /// How long a poll may sleep that would otherwise sleep until `next`.
    pub(super) fn sooner(&self, now: Millis, next: Option<Duration>) -> Option<Duration> {
        let own = match self.failed {
            Some((due, _)) => due.since(now),
            None if self.knocked => Duration::ZERO,
            None => return next,
        };
        Some(next.map_or(own, |next| next.min(own)))
    }
}

impl<P: Port, C: Consumers> Worker<P, C> {
    /// Begins to listen.
    ///
    /// # Panics
    /// When the kernel cannot watch one more socket at the start: the node would serve nobody, so it ends.
    pub(super) fn listen_at(&mut self, mut door: Door<P>) {
        self.port
            .listen(&mut door.listener)
            .expect("invariant: at the start a poll can watch one more socket");
        self.door = Some(door);
    }

    /// The listener says that somebody is there.
    pub(super) fn knocked(&mut self) {
        if let Some(door) = &mut self.door {
            door.knocked = true;
        }
    }

    /// Accepts who is there. Errors back off instead of spinning: without a free descriptor, accept fails at
    /// once, and the listener will not say again that somebody waits.
    pub(super) fn accept(&mut self) {
        let now = self.plane.now;
        for _ in 0..BATCH {
            let Some(door) = &mut self.door else {
                return;
            };
            if !door.knocked || door.failed.is_some_and(|(due, _)| now < due) {
                return;
            }
            match self.port.accept(&door.listener) {
                Ok((socket, address)) => {
                    door.recovered();
                    self.plane.tally.accepted += 1;
                    self.arrive(socket, address);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    door.recovered();
                    door.knocked = false;
                    if door.is_closing {
                        self.stop_listening();
                    }
                }
                Err(error) => {
                    let kind = kind_of(&error);
                    count(&self.plane.metrics.accept_errors, "kind", kind);
                    if kind == "aborted" {
                        continue;
                    }
                    if door.failed.is_none() {
                        tracing::warn!(%error, "cannot accept connections; trying again (raise the descriptor limit if it says too many open files)");
                    }
                    let pause = door.failed.map_or(BACK_OFF.0, |(_, last)| last * 2);
                    let pause = pause.min(BACK_OFF.1);
                    door.failed = Some((now + pause, pause));
                }
            }
        }
    }

    fn arrive(&mut self, socket: P::Socket, address: SocketAddr) {
        let Some(door) = &mut self.door else {
            return;
        };
        let Some((mut socket, peer)) = door.gate.admit(socket, address) else {
            return;
        };
        let key = self.clients.reserve();
        if let Err(error) = self.port.watch(&mut socket, key) {
            tracing::warn!(%error, "a connection cannot be watched and is dropped");
            self.clients.release(key);
            door.gate.leave(peer);
            return;
        }
        let now = self.plane.now;
        let deadline = now + door.patience;
        let armed = deadline.min(now + TIMER_MAX);
        self.timers.arm(armed, key);
        let arrival = Arrival {
            socket,
            peer,
            deadline,
            armed,
        };
        door.arrivals.insert(key, arrival);
    }

    /// Something happened to a socket whose client had not spoken.
    pub(super) fn on_arrival(&mut self, key: u64, ready: Ready) {
        let Some(door) = &mut self.door else {
            return;
        };
        let Some(arrival) = door.arrivals.get_mut(&key) else {
            return;
        };
        let space = self.buffer.get_mut(..FIRST_READ).unwrap_or_default();
        match arrival.socket.read(space) {
            Err(error) if error.kind() == ErrorKind::WouldBlock && !ready.has_failed => {}
            Ok(0) | Err(_) => self.forget(key),
            Ok(count) => {
                // More may be there, or the end, that no event will announce again.
                let more = count == FIRST_READ || ready.is_read_closed;
                self.hear(key, count, more);
            }
        }
    }

    /// Acts on a client's first bytes, which are in the read buffer.
    fn hear(&mut self, key: u64, count: usize, more: bool) {
        let Some(door) = &mut self.door else {
            return;
        };
        let Some(arrival) = door.arrivals.get(&key) else {
            return;
        };
        let bytes = self.buffer.get(..count).unwrap_or_default();
        // Still an arrival meanwhile, so that a panic in there leaves one to forget.
        let accepted = door.gate.accept(bytes, arrival.peer);
        let Some(mut arrival) = door.arrivals.remove(&key) else {
            return;
        };
        let is_mine = |accepted: &Accepted| accepted.passage.worker() == self.plane.worker;
        let is_mine = accepted.as_ref().is_some_and(is_mine);
        if !is_mine {
            self.clients.release(key);
            self.port.unwatch(&mut arrival.socket);
        }
        let Some(accepted) = accepted else {
            let (read, left) = (Bytes::copy_from_slice(bytes), arrival.deadline);
            let left = left.since(self.plane.now);
            door.gate.serve(arrival.socket, read, arrival.peer, left);
            return;
        };
        door.gate.leave(arrival.peer);
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
                self.again.push(key);
            }
        } else {
            door.gate.hand_over(handoff);
        }
    }

    /// A timer fired for a key that is no connection's: a client may have been silent for too long.
    pub(super) fn on_patience(&mut self, key: u64) {
        let now = self.plane.now;
        let Some(door) = &mut self.door else {
            return;
        };
        let Some(arrival) = door.arrivals.get_mut(&key) else {
            return;
        };
        if now < arrival.deadline {
            arrival.armed = arrival.deadline.min(now + TIMER_MAX);
            self.timers.arm(arrival.armed, key);
            return;
        }
        count(&self.plane.metrics.handshakes_refused, "reason", "timeout");
        tracing::debug!(reason = "timeout", "request refused");
        self.forget(key);
    }

    /// Drops a client that has not become a connection, if this key is one's.
    pub(super) fn forget(&mut self, key: u64) {
        let Some(door) = &mut self.door else {
            return;
        };
        if let Some(arrival) = door.arrivals.remove(&key) {
            door.gate.leave(arrival.peer);
            self.clients.release(key);
        }
    }

    /// Closes the listener as soon as everybody who waits there has been accepted: what the kernel has let in is
    /// answered, not reset.
    pub(super) fn shut(&mut self) {
        if let Some(door) = &mut self.door {
            door.is_closing = true;
            door.knocked = true;
        }
    }

    /// Closes the listener. Those who have not spoken are refused by the control plane when they do.
    pub(super) fn stop_listening(&mut self) {
        let Some(door) = self.door.take() else {
            return;
        };
        for (key, mut arrival) in door.arrivals {
            self.clients.release(key);
            self.port.unwatch(&mut arrival.socket);
            let left = arrival.deadline.since(self.plane.now);
            door.gate
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
