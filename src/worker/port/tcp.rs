//! The port of production: TCP by way of mio, and the process's clock.

use super::{LISTEN, Port, Ready, Socket, WAKE, Waker};
use crate::clock::{self, Clock, Millis};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use socket2::SockRef;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

/// TCP sockets, watched by one poll.
#[derive(Debug)]
pub struct TcpPort {
    poll: Poll,
    clock: Clock,
}

impl TcpPort {
    /// A poll, and what wakes it.
    ///
    /// # Errors
    /// When the kernel gives no descriptor.
    pub fn new(clock: Clock) -> io::Result<(Self, mio::Waker)> {
        let poll = Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), token(WAKE))?;
        Ok((Self { poll, clock }, waker))
    }
}

fn token(key: u64) -> Token {
    Token(key as usize)
}

impl Port for TcpPort {
    type Socket = TcpStream;
    type Listening = TcpListener;
    type Waker = mio::Waker;
    type Events = Events;

    fn events(capacity: usize) -> Events {
        Events::with_capacity(capacity)
    }

    fn wait(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        self.poll.poll(events, timeout)
    }

    fn ready(events: &Events) -> impl Iterator<Item = Ready> {
        events.iter().map(|event| Ready {
            key: event.token().0 as u64,
            is_readable: event.is_readable(),
            is_read_closed: event.is_read_closed(),
            is_writable: event.is_writable(),
            has_failed: event.is_error(),
        })
    }

    // Not for writing: a new socket can be written to, and to hear that would cost a turn.
    fn watch(&self, socket: &mut TcpStream, key: u64) -> io::Result<()> {
        let registry = self.poll.registry();
        registry.register(socket, token(key), Interest::READABLE)
    }

    fn watch_writes(&self, socket: &mut TcpStream, key: u64) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().reregister(socket, token(key), both)
    }

    fn unwatch(&self, socket: &mut TcpStream) {
        // This fails only for a socket that is not watched.
        drop(self.poll.registry().deregister(socket));
    }

    fn listen(&self, listening: &mut TcpListener) -> io::Result<()> {
        let registry = self.poll.registry();
        registry.register(listening, token(LISTEN), Interest::READABLE)
    }

    fn accept(&self, listening: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
        listening.accept()
    }

    fn now(&self) -> Millis {
        self.clock.now()
    }

    fn wall(&self) -> (u64, u32) {
        clock::wall()
    }
}

impl Socket for TcpStream {
    fn last_write(&mut self) -> impl io::Write {
        CloseWriter(self)
    }

    fn end(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn forsake(&self) {
        drop(SockRef::from(self).set_linger(Some(Duration::ZERO)));
    }
}

impl Waker for mio::Waker {
    fn wake(&self) -> io::Result<()> {
        mio::Waker::wake(self)
    }
}

/// The last write of a connection: the close frame and the end of the stream in one segment. The socket is
/// shut down as soon as all is written, so the kernel may wait for that before it sends the last
/// segment. Elsewhere than on Linux the two are sent one after the other.
#[derive(Debug)]
pub(super) struct CloseWriter<'a>(pub(super) &'a TcpStream);

#[cfg(target_os = "linux")]
impl io::Write for CloseWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        SockRef::from(self.0).send_with_flags(bytes, MORE)
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        SockRef::from(self.0).send_vectored_with_flags(slices, MORE)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `MSG_MORE | MSG_NOSIGNAL` of Linux, the same on all its architectures.
#[cfg(target_os = "linux")]
const MORE: i32 = 0x8000 | 0x4000;

#[cfg(not(target_os = "linux"))]
impl io::Write for CloseWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut socket = self.0;
        socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
