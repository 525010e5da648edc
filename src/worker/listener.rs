//! Where connections come in: the listener, and the sockets that have not said anything yet.
//!
//! One worker listens. A client that sends its whole handshake at once, as nearly all do, becomes a
//! connection of this worker without a task, a second registration or a switch to another thread; a worker of
//! another room's gets it by [`Gate::hand_over`]. Whatever takes longer than one read (half a head, the chat page,
//! a refusal) goes to the control plane with the bytes read so far, as if they had not been read.
//!
//! Bounded by the gate in number (`limits.handshakes`), by `server.handshake_timeout` in
//! time, by [`super::arrivals`] in what they take of a turn, and by [`FIRST_READ`] in bytes.

use super::arrivals::{PeerPlace, WaitingArrivals};
use super::connections::Connections;
use super::handoff::Handoff;
use super::port::{Port, Ready, Socket as _, TcpPort};
use super::timers::TIMER_MAX;
use crate::broker::Role;
use crate::broker::placement::Passage;
use crate::clock::Millis;
use crate::metrics::{Metrics, count};
use crate::name::RoomName;
use bytes::Bytes;
use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Most bytes read of a client before its handshake is judged: a browser's head with its cookies, and more.
const FIRST_READ: usize = 8 * 1024;

/// The first and the longest pause after a failed accept.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// How long the head of a client is waited for, whoever else wants to come in. Longer ago, its place is given to somebody new
/// when there is no other: one whose head comes at once needs a round trip, with TLS two.
pub const GRACE: Duration = Duration::from_millis(500);

/// Who decides about clients that are no connections yet: the server. Asked on a worker's thread, the
/// gate never waits.
pub trait Gate<S = <TcpPort as Port>::Socket>: Send + Sync {
    /// Is there a place for one more handshake? Without one, [`Gate::push_out`] may make one.
    fn has_place(&self) -> bool {
        true
    }

    /// What those places count as of which most are held, most first; of a few, and none that is held once.
    fn heaviest(&self) -> Vec<u64> {
        Vec::new()
    }

    /// Has the control plane give up the client whose head it has waited for longest, of those whose places count as `of` or
    /// of all, if that is at least so long; false if there is none.
    fn push_out(&self, _of: Option<u64>, _waited: Duration) -> bool {
        false
    }

    /// May the handshake of this new socket begin? If so, the socket and its place: exactly one [`Gate::leave`] or
    /// [`Gate::serve`] of that follows. If not, the peer has been told.
    fn admit(&self, socket: S, peer: SocketAddr) -> Option<(S, PeerPlace)>;

    /// The place of a socket that may have said by now who is behind it; `None` if that has enough of them.
    fn meet(&self, _socket: &S, place: PeerPlace) -> Option<PeerPlace> {
        Some(place)
    }

    /// The handshake at the beginning of `bytes`, if all of it is there and nothing speaks against it;
    /// otherwise nothing has happened.
    fn accept(&self, bytes: &[u8], peer: SocketAddr) -> Option<Accepted>;

    /// The handshake that had this place is over.
    fn leave(&self, place: PeerPlace);

    /// Everything that is not accepted at once: the control plane serves this socket, `read` being what it has
    /// said already, and `left` the time it has for the rest of its request's head.
    fn serve(&self, socket: S, read: Bytes, place: PeerPlace, left: Duration);

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
    /// The connection's way to the worker it belongs to.
    pub passage: Passage,
    /// What admission counted, as [`Handoff::counted`].
    pub counted: u64,
}

/// A handshake that this worker has accepted, for itself.
pub(super) struct Opening<S> {
    pub(super) handoff: Handoff<S>,
    /// When the timer of its key fires.
    pub(super) armed: Millis,
    /// More may be there to read, or the end, that no event will announce again.
    pub(super) has_more: bool,
}

/// The way in of one node.
pub struct Listener<P: Port = TcpPort> {
    listening: P::Listening,
    gate: Arc<dyn Gate<P::Socket>>,
    handshake_timeout: Duration,
    arrivals: WaitingArrivals<P::Socket>,
    /// The listener may have more than has been accepted.
    accept_ready: bool,
    /// After a failed accept: when the next is due, and the pause before it.
    failed: Option<(Millis, Duration)>,
    /// Nobody new is to come: it closes once nobody waits at the listener.
    is_closing: bool,
    /// Nobody waits any more.
    is_over: bool,
}

impl<P: Port> fmt::Debug for Listener<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("listening", &self.listening)
            .field("arrivals", &self.arrivals.len())
            .finish_non_exhaustive()
    }
}

impl<P: Port> Listener<P> {
    /// A listener of no worker yet. A client must have sent its whole request head within `handshake_timeout`.
    #[must_use]
    pub fn new(
        listening: P::Listening,
        gate: Arc<dyn Gate<P::Socket>>,
        handshake_timeout: Duration,
    ) -> Self {
        Self {
            listening,
            gate,
            handshake_timeout,
            arrivals: WaitingArrivals::new(),
            accept_ready: false,
            failed: None,
            is_closing: false,
            is_over: false,
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
            _ if self.arrivals.deferred() > 0 => Duration::ZERO,
            Some((due, _)) => due.since(now),
            None if self.accept_ready => Duration::ZERO,
            None => return next,
        };
        Some(next.map_or(own, |next| next.min(own)))
    }
}

impl<P: Port> Listener<P> {
    /// Begins to listen.
    ///
    /// # Panics
    /// When the kernel cannot watch one more socket at the start: the node would serve nobody, so it ends.
    pub(super) fn start(&mut self, port: &P) {
        port.listen(&mut self.listening)
            .expect("invariant: at the start a poll can watch one more socket");
    }

    /// Somebody is there.
    pub(super) fn set_ready(&mut self) {
        self.accept_ready = true;
    }

    /// Accepts who is there; how many. Errors back off instead of spinning: without a free descriptor, accept
    /// fails at once, and the port will not say again that somebody waits.
    pub(super) fn accept(
        &mut self,
        connections: &mut Connections<P>,
        now: Millis,
        metrics: &Metrics,
    ) -> u64 {
        let mut accepted = 0;
        for _ in 0..self.arrivals.wanted() {
            if !self.accept_ready || self.failed.is_some_and(|(due, _)| now < due) {
                break;
            }
            match connections.port.accept(&self.listening) {
                Ok((socket, peer)) => {
                    self.recovered();
                    accepted += 1;
                    if !self.gate.has_place() {
                        self.make_place(connections, now, metrics);
                    }
                    self.arrive(socket, peer, connections, now);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.recovered();
                    self.accept_ready = false;
                    self.is_over = self.is_closing;
                }
                Err(error) => {
                    let kind = kind_of(&error);
                    count(&metrics.accept_errors, "kind", kind);
                    if kind == "aborted" {
                        continue;
                    }
                    if self.failed.is_none() {
                        tracing::warn!(%error, "cannot accept connections; trying again (raise the descriptor limit if it says too many open files)");
                    }
                    let pause = self.failed.map_or(BACK_OFF.0, |(_, last)| last * 2);
                    let pause = pause.min(BACK_OFF.1);
                    self.failed = Some((now + pause, pause));
                }
            }
        }
        accepted
    }

    fn arrive(
        &mut self,
        socket: P::Socket,
        peer: SocketAddr,
        connections: &mut Connections<P>,
        now: Millis,
    ) {
        let Some((mut socket, place)) = self.gate.admit(socket, peer) else {
            return;
        };
        let key = connections.clients.reserve();
        if let Err(error) = connections.port.watch(&mut socket, key) {
            tracing::warn!(%error, "a connection cannot be watched and is dropped");
            connections.clients.release(key);
            self.gate.leave(place);
            return;
        }
        let deadline = now + self.handshake_timeout;
        let armed = deadline.min(now + TIMER_MAX);
        connections.timers.arm(armed, key);
        self.arrivals.insert(key, (socket, place), deadline, armed);
    }

    /// Gives up a client whose head has been waited for longer than [`GRACE`], here or by the control plane: the one that has
    /// been waited for longest, of the address that holds most places.
    fn make_place(&mut self, connections: &mut Connections<P>, now: Millis, metrics: &Metrics) {
        let heaviest = self.gate.heaviest().into_iter().map(Some);
        let mut tried = heaviest.chain([None]);
        while let Some(of) = tried.next()
            && !self.give_up(of, connections, now, metrics)
        {}
    }

    /// The same of those whose places count as `of`, or of all; false if there is none.
    fn give_up(
        &mut self,
        of: Option<u64>,
        connections: &mut Connections<P>,
        now: Millis,
        metrics: &Metrics,
    ) -> bool {
        let oldest = self.arrivals.oldest(of).map(|(key, arrival)| {
            let left = arrival.deadline.since(now);
            (key, self.handshake_timeout.saturating_sub(left))
        });
        let oldest = oldest.filter(|(_, waited)| *waited >= GRACE);
        let waited = oldest.map_or(GRACE, |(_, waited)| waited);
        if self.gate.push_out(of, waited) {
            return true;
        }
        if let Some((key, _)) = oldest {
            count(&metrics.handshakes_refused, "reason", "slow");
            tracing::debug!(reason = "slow", "request refused");
            self.forget(key, connections);
        }
        oldest.is_some()
    }

    /// Something happened to a socket whose client had not spoken; what becomes a connection of this worker. `buffer`
    /// is lent for the first bytes.
    pub(super) fn on_ready(
        &mut self,
        ready: Ready,
        connections: &mut Connections<P>,
        now: Millis,
        worker: usize,
        buffer: &mut [u8],
    ) -> Option<Opening<P::Socket>> {
        let key = ready.key;
        let arrival = self.arrivals.get_mut(key)?;
        let space = buffer.get_mut(..FIRST_READ).unwrap_or_default();
        match arrival.socket.read(space) {
            Err(error) if error.kind() == ErrorKind::WouldBlock && !ready.has_failed => {
                let (socket, place) = (&mut arrival.socket, arrival.place);
                let met = self.gate.meet(socket, place);
                let holds_unread = socket.holds_unread();
                let is_blocked = met.is_some() && !holds_unread && socket.is_behind();
                let is_lost = is_blocked && connections.port.watch_writes(socket, key).is_err();
                // Before anybody is forgotten: the place is given back as whose it is counted by now.
                if let Some(met) = met.filter(|met| *met != place) {
                    self.arrivals.move_to(key, met);
                }
                if met.is_none() || is_lost {
                    self.forget(key, connections);
                } else if holds_unread {
                    self.defer(ready);
                }
                None
            }
            Ok(0) | Err(_) => {
                self.forget(key, connections);
                None
            }
            Ok(count) => {
                let bytes = space.get(..count).unwrap_or_default();
                let has_more =
                    count == FIRST_READ || ready.is_read_closed || arrival.socket.holds_unread();
                let opening = self.judge(key, bytes, connections, now, worker)?;
                Some(Opening {
                    has_more,
                    ..opening
                })
            }
        }
    }

    /// Has a client wait until those who are connected have been served.
    pub(super) fn defer(&mut self, ready: Ready) {
        self.arrivals.defer(ready);
    }

    /// Does anybody wait to be accepted or to be read from?
    pub(super) fn has_arrivals(&self) -> bool {
        self.accept_ready || self.arrivals.deferred() > 0
    }

    /// Those who are connected have been served, in so much time: how many clients wait for that.
    pub(super) fn begin_arrivals(&mut self, taken: Duration) -> usize {
        self.arrivals.begin(taken);
        self.arrivals.deferred()
    }

    /// The next client that waits, if this turn has time for one more; what happened to it meanwhile.
    pub(super) fn next_deferred(&mut self) -> Option<Ready> {
        self.arrivals.next_deferred()
    }

    /// Acts on a client's first bytes.
    fn judge(
        &mut self,
        key: u64,
        bytes: &[u8],
        connections: &mut Connections<P>,
        now: Millis,
        worker: usize,
    ) -> Option<Opening<P::Socket>> {
        let arrival = self.arrivals.get(key)?;
        // Still an arrival meanwhile, so that a panic in there leaves one to forget.
        let accepted = self.gate.accept(bytes, arrival.place.peer);
        let mut arrival = self.arrivals.remove(key)?;
        let is_mine = |accepted: &Accepted| accepted.passage.worker() == worker;
        let is_mine = accepted.as_ref().is_some_and(is_mine);
        if !is_mine {
            connections.clients.release(key);
            connections.port.unwatch(&mut arrival.socket);
        }
        let Some(accepted) = accepted else {
            let read = Bytes::copy_from_slice(bytes);
            // Whoever had to wait for the worker has some time yet.
            let left = match arrival.deadline.since(now) {
                Duration::ZERO => GRACE.min(self.handshake_timeout),
                left => left,
            };
            self.gate.serve(arrival.socket, read, arrival.place, left);
            return None;
        };
        self.gate.leave(arrival.place);
        let handoff = Handoff {
            socket: arrival.socket,
            answer: accepted.answer,
            leftover: Bytes::copy_from_slice(bytes.get(accepted.length..).unwrap_or_default()),
            role: accepted.role,
            room: accepted.room,
            passage: accepted.passage,
            counted: accepted.counted,
        };
        if !is_mine {
            self.gate.hand_over(handoff);
            return None;
        }
        Some(Opening {
            handoff,
            armed: arrival.armed,
            has_more: false,
        })
    }

    /// A timer fired for a key that is no connection's: a client may have been silent for too long.
    pub(super) fn on_timer(
        &mut self,
        key: u64,
        connections: &mut Connections<P>,
        now: Millis,
        metrics: &Metrics,
    ) {
        let Some(arrival) = self.arrivals.get_mut(key) else {
            return;
        };
        if now < arrival.deadline {
            arrival.armed = arrival.deadline.min(now + TIMER_MAX);
            connections.timers.arm(arrival.armed, key);
            return;
        }
        if !self.arrivals.is_late(key) {
            connections.timers.arm(now, key);
            return;
        }
        count(&metrics.handshakes_refused, "reason", "timeout");
        tracing::debug!(reason = "timeout", "request refused");
        self.forget(key, connections);
    }

    /// Drops a client that has not become a connection, if this key is one's.
    pub(super) fn forget(&mut self, key: u64, connections: &mut Connections<P>) {
        if let Some(arrival) = self.arrivals.remove(key) {
            self.gate.leave(arrival.place);
            connections.clients.release(key);
        }
    }

    /// Ends as soon as everybody who waits has been accepted: what the kernel has let in is answered, not reset.
    pub(super) fn end_soon(&mut self) {
        self.is_closing = true;
        self.accept_ready = true;
    }

    /// Was that the last it accepted? Then [`Listener::end`].
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Ends. Those who have not spoken are refused by the control plane when they do.
    pub(super) fn end(self, connections: &mut Connections<P>, now: Millis) {
        for (key, mut arrival) in self.arrivals.drain() {
            connections.clients.release(key);
            connections.port.unwatch(&mut arrival.socket);
            let left = arrival.deadline.since(now);
            self.gate
                .serve(arrival.socket, Bytes::new(), arrival.place, left);
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
