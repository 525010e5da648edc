//! Where connections come in: the listener, and the sockets that have not said anything yet.
//!
//! One worker listens. A client that sends its whole handshake at once, as nearly all do, becomes a
//! connection of this worker without a task, a second registration or a switch to another thread; a worker of
//! another room's gets it by [`Gate::hand_over`]. Whatever takes longer than one read (half a head, the chat page,
//! a refusal) goes to the control plane with the bytes read so far, as if they had not been read.
//!
//! Bounded by the gate in number (`limits.handshakes`), by `server.handshake_timeout` in
//! time, by [`BATCH`] in one turn, and by [`FIRST_READ`] in bytes.

use super::handoff::Handoff;
use super::port::{Port, TcpPort};
use crate::broker::Role;
use crate::broker::placement::Passage;
use crate::clock::Millis;
use crate::name::RoomName;
use bytes::Bytes;
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

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
pub(super) struct Arrival<S> {
    pub(super) socket: S,
    pub(super) peer: u64,
    pub(super) deadline: Millis,
    /// When its timer fires.
    pub(super) armed: Millis,
}

/// The way in of one node.
pub struct Listener<P: Port = TcpPort> {
    pub(super) listening: P::Listening,
    pub(super) gate: Arc<dyn Gate<P::Socket>>,
    pub(super) handshake_timeout: Duration,
    /// By the key under which its socket is watched, and which its connection will have.
    pub(super) arrivals: HashMap<u64, Arrival<P::Socket>, RandomState>,
    /// The listener may have more than has been accepted.
    pub(super) accept_ready: bool,
    /// After a failed accept: when the next is due, and the pause before it.
    pub(super) failed: Option<(Millis, Duration)>,
    /// Nobody new is to come: it closes once nobody waits at the listener.
    pub(super) is_closing: bool,
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
            arrivals: HashMap::default(),
            accept_ready: false,
            failed: None,
            is_closing: false,
        }
    }

    /// An accept did not fail.
    pub(super) fn recovered(&mut self) {
        if self.failed.take().is_some() {
            tracing::info!("accepting connections again");
        }
    }

    /// How long a poll may sleep that would otherwise sleep until `next`.
    pub(super) fn sooner(&self, now: Millis, next: Option<Duration>) -> Option<Duration> {
        let own = match self.failed {
            Some((due, _)) => due.since(now),
            None if self.accept_ready => Duration::ZERO,
            None => return next,
        };
        Some(next.map_or(own, |next| next.min(own)))
    }
}
