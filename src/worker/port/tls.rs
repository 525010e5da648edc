//! The port of a node that speaks TLS: TCP with a session between.

use super::tcp::CloseWriter;
use super::{Port, Ready, Socket, TcpPort};
use crate::clock::{Clock, Millis};
use crate::tls::{TlsServer, TlsSession};
use mio::Events;
use mio::net::{TcpListener, TcpStream};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// TCP sockets with TLS, watched by one poll.
#[derive(Debug)]
pub struct TlsPort {
    tcp: TcpPort,
    server: Arc<TlsServer>,
}

impl TlsPort {
    /// A poll, and what wakes it; handshakes go by `server`.
    ///
    /// # Errors
    /// When the kernel gives no descriptor.
    pub fn new(clock: Clock, server: Arc<TlsServer>) -> io::Result<(Self, mio::Waker)> {
        let (tcp, waker) = TcpPort::new(clock)?;
        let port = Self { tcp, server };
        Ok((port, waker))
    }
}

impl Port for TlsPort {
    type Socket = TlsSocket;
    type Listening = TcpListener;
    type Waker = mio::Waker;
    type Events = Events;

    fn events(capacity: usize) -> Events {
        TcpPort::events(capacity)
    }

    fn wait(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        self.tcp.wait(events, timeout)
    }

    fn ready(events: &Events) -> impl Iterator<Item = Ready> {
        TcpPort::ready(events)
    }

    fn watch(&self, socket: &mut TlsSocket, key: u64) -> io::Result<()> {
        self.tcp.watch(&mut socket.stream, key)
    }

    fn watch_writes(&self, socket: &mut TlsSocket, key: u64) -> io::Result<()> {
        self.tcp.watch_writes(&mut socket.stream, key)
    }

    fn unwatch(&self, socket: &mut TlsSocket) {
        self.tcp.unwatch(&mut socket.stream);
    }

    fn listen(&self, listening: &mut TcpListener) -> io::Result<()> {
        self.tcp.listen(listening)
    }

    fn accept(&self, listening: &TcpListener) -> io::Result<(TlsSocket, SocketAddr)> {
        let (stream, address) = self.tcp.accept(listening)?;
        let session = TlsSession::new(&self.server);
        Ok((TlsSocket::new(stream, session), address))
    }

    fn now(&self) -> Millis {
        self.tcp.now()
    }

    fn wall(&self) -> (u64, u32) {
        self.tcp.wall()
    }
}

/// A TCP connection with its TLS session. What it reads and writes is plaintext; of a write that the kernel takes in part
/// see [`TlsSession`].
#[derive(Debug)]
pub struct TlsSocket {
    stream: TcpStream,
    session: TlsSession,
    /// The end has been said: the socket is shut down once the kernel has that.
    is_ending: bool,
}

impl TlsSocket {
    /// A connection, and how far its session has come.
    #[must_use]
    pub fn new(stream: TcpStream, session: TlsSession) -> Self {
        Self {
            stream,
            session,
            is_ending: false,
        }
    }

    /// The connection and its session, to go on elsewhere.
    #[must_use]
    pub fn into_parts(self) -> (TcpStream, TlsSession) {
        (self.stream, self.session)
    }

    /// Shuts the socket down if that is all that is left to do.
    fn end_if_said(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.is_ending) {
            self.stream.end()?;
        }
        Ok(())
    }
}

impl Read for TlsSocket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.session.read(&mut self.stream, into);
        if self.is_ending && !self.session.is_behind() {
            self.end_if_said()?;
        }
        read
    }
}

impl Write for TlsSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let slices = [IoSlice::new(bytes)];
        self.session.write(&mut self.stream, &slices)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.session.write(&mut self.stream, slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.session.flush(&mut self.stream)? {
            Ok(())
        } else {
            Err(ErrorKind::WouldBlock.into())
        }
    }
}

impl Socket for TlsSocket {
    fn last_write(&mut self) -> impl Write {
        LastRecords(self)
    }

    fn end(&mut self) -> io::Result<()> {
        self.is_ending = true;
        if self.session.say_end(&mut self.stream)? {
            self.end_if_said()?;
        }
        Ok(())
    }

    fn is_established(&self) -> bool {
        self.session.is_established()
    }

    fn holds_unread(&self) -> bool {
        self.session.holds_unread()
    }

    fn is_behind(&self) -> bool {
        self.session.is_behind()
    }

    fn preamble(&self) -> Option<&[u8]> {
        self.session.preamble()
    }

    fn take_overhead(&mut self) -> u32 {
        self.session.take_overhead()
    }

    fn forsake(&self) {
        self.stream.forsake();
    }
}

/// The last records of a connection: the close frame, `close_notify` and the end of the stream in one segment.
struct LastRecords<'a>(&'a mut TlsSocket);

impl Write for LastRecords<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let TlsSocket {
            stream, session, ..
        } = &mut *self.0;
        session.write(&mut CloseWriter(stream), slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
