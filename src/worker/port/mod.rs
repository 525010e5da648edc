//! The world as a worker sees it: who is ready, sockets, who comes in, and what time it is.
//!
//! Nothing else in the data plane names a kernel's socket or reads a clock, so the same worker runs over
//! TCP ([`TcpPort`]), over TLS ([`TlsPort`]), and over a simulation whose every byte and millisecond is
//! decided by who runs it. Static: a worker is compiled for its port, and a call is as direct as before.

mod tcp;
mod tls;

pub use tcp::TcpPort;
pub use tls::{TlsPort, TlsSocket};

use crate::clock::Millis;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

/// The key of the waker: no slab reaches it.
pub const WAKE: u64 = u64::MAX;

/// The key of the listening socket: nor this one.
pub const LISTEN: u64 = u64::MAX - 1;

/// What a worker is told about one of the sockets it watches. Readiness is told once, when it
/// begins (edge-triggered): a socket is read until it would block, or is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The key it is watched under, [`WAKE`] or [`LISTEN`].
    pub key: u64,
    /// There may be something to read.
    pub is_readable: bool,
    /// The peer may have ended its side.
    pub is_read_closed: bool,
    /// More may be written.
    pub is_writable: bool,
    /// The socket has failed.
    pub has_failed: bool,
}

/// Sockets, readiness and time.
pub trait Port: fmt::Debug + Sized + 'static {
    /// A connection.
    type Socket: Socket;
    /// Where connections come in.
    type Listening: fmt::Debug + Send;
    /// Ends another thread's [`Port::wait`].
    type Waker: Waker;
    /// What a [`Port::wait`] found.
    type Events;

    /// Room for what one [`Port::wait`] may find: at most `capacity`; the rest is found by the next.
    fn events(capacity: usize) -> Self::Events;

    /// Sleeps until something is ready, the waker is used, or `timeout` is over; `None`: for as long as
    /// that takes.
    ///
    /// # Errors
    /// `Interrupted` if a signal ended it; anything else is the end of this port.
    fn wait(&mut self, events: &mut Self::Events, timeout: Option<Duration>) -> io::Result<()>;

    /// What the last wait found.
    fn ready(events: &Self::Events) -> impl Iterator<Item = Ready>;

    /// Has [`Port::wait`] say under `key` when this socket can be read.
    ///
    /// # Errors
    /// When the system has no room to watch it.
    fn watch(&self, socket: &mut Self::Socket, key: u64) -> io::Result<()>;

    /// Has it also say when a watched socket can be written to; if it can by now, at once.
    ///
    /// # Errors
    /// When the system has no room to watch it.
    fn watch_writes(&self, socket: &mut Self::Socket, key: u64) -> io::Result<()>;

    /// Says nothing more about this socket. One that is dropped needs no such call.
    fn unwatch(&self, socket: &mut Self::Socket);

    /// Has [`Port::wait`] say under [`LISTEN`] when somebody may be accepted.
    ///
    /// # Errors
    /// When the system has no room to watch it.
    fn listen(&self, listening: &mut Self::Listening) -> io::Result<()>;

    /// The next connection that comes in, not watched yet.
    ///
    /// # Errors
    /// `WouldBlock` if nobody waits; anything else is this accept's failure, and the next may succeed.
    fn accept(&self, listening: &Self::Listening) -> io::Result<(Self::Socket, SocketAddr)>;

    /// Time for durations: never goes back.
    fn now(&self) -> Millis;

    /// Time for timestamps: seconds since the Unix epoch, and the microseconds of that second.
    fn wall(&self) -> (u64, u32);
}

/// A connection's bytes. Never waits: what cannot be done now is `WouldBlock`. Dropped, it is closed.
pub trait Socket: Read + Write + fmt::Debug + Send {
    /// The way out for the last bytes: whoever writes here calls [`Socket::end`] next, so the
    /// last segment may wait for that.
    fn last_write(&mut self) -> impl Write;

    /// Tells the peer that nothing more comes, behind what has been written.
    ///
    /// # Errors
    /// When the connection is gone.
    fn end(&mut self) -> io::Result<()>;

    /// Can something be said to the peer? Not before a handshake below is over.
    fn is_established(&self) -> bool {
        true
    }

    /// Does it hold bytes, or the end, that were read before and that no event will announce? Also after a read that
    /// would block: then that read took enough for once.
    fn holds_unread(&self) -> bool {
        false
    }

    /// Does it hold something of its own that the network did not take, and that the next read or write sends?
    fn is_behind(&self) -> bool {
        false
    }

    /// What a proxy has said in front of a handshake below, as far as that has come, until the first bytes are read.
    fn preamble(&self) -> Option<&[u8]> {
        None
    }

    /// Bytes that the network brought beside what was read, since this was last asked: they count for the byte rate.
    #[inline]
    fn take_overhead(&mut self) -> u32 {
        0
    }

    /// Gives up what was written and has not been taken by the peer, when it is dropped.
    fn forsake(&self);
}

/// Wakes a worker from other threads.
pub trait Waker: fmt::Debug + Send + Sync {
    /// Ends the worker's wait, or its next one.
    ///
    /// # Errors
    /// When the system cannot.
    fn wake(&self) -> io::Result<()>;
}
