//! A connection on its way from who accepted its handshake to its worker.

use super::port::{Port, TcpPort};
use crate::broker::Role;
use crate::broker::placement::Passage;
use crate::name::RoomName;
use bytes::Bytes;
use std::fmt;

/// A connection on its way to its worker.
pub struct Handoff<S = <TcpPort as Port>::Socket> {
    /// The socket, watched by nobody else.
    pub socket: S,
    /// The 101, still to be written: it goes out together with the first frame.
    pub answer: Vec<u8>,
    /// Bytes of the peer's first frames that came with its handshake.
    pub leftover: Bytes,
    /// What it is for.
    pub role: Role,
    /// The room it joins.
    pub room: Option<RoomName>,
    /// The connection's way to the worker that was chosen for it.
    pub passage: Passage,
    /// What admission counted: given back through [`Supplies::on_close`](super::Supplies::on_close) when the connection
    /// is gone.
    pub counted: u64,
}

impl<S> fmt::Debug for Handoff<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handoff")
            .field("role", &self.role)
            .field("room", &self.room)
            .finish_non_exhaustive()
    }
}
