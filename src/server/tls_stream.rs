//! A TLS connection on the control plane: the session that its worker began, over tokio's socket.

use crate::tls::TlsSession;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A connection with its session; what it reads and writes is plaintext.
///
/// # Cancel safety
/// A read or write that is given up has happened or has not: nothing is lost between.
#[derive(Debug)]
pub(super) struct TlsStream {
    tcp: TcpStream,
    session: TlsSession,
}

impl TlsStream {
    pub(super) fn new(tcp: TcpStream, session: TlsSession) -> Self {
        Self { tcp, session }
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Is there a session on it?
    pub(super) fn is_tls(&self) -> bool {
        !self.session.is_plain()
    }

    /// The connection and its session, to go on elsewhere.
    pub(super) fn into_parts(self) -> (TcpStream, TlsSession) {
        (self.tcp, self.session)
    }

    /// Waits until the session's ciphertext is out.
    fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.session.flush(&mut Network(&self.tcp))? {
            ready!(self.tcp.poll_write_ready(context))?;
        }
        Poll::Ready(Ok(()))
    }
}

/// The socket as a session sees it: whatever it cannot do now, it says so, and tokio watches for that.
struct Network<'a>(&'a TcpStream);

impl Read for Network<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(into)
    }
}

impl Write for Network<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { tcp, session } = self.get_mut();
        loop {
            match session.read(&mut Network(tcp), buffer.initialize_unfilled()) {
                Ok(count) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() != ErrorKind::WouldBlock => {
                    return Poll::Ready(Err(error));
                }
                Err(_) => {}
            }
            // A client in the middle of its handshake says nothing before it has heard all of ours.
            let can_go_on = session.is_behind() && tcp.poll_write_ready(context)?.is_ready();
            if !can_go_on {
                ready!(tcp.poll_read_ready(context))?;
            }
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { tcp, session } = self.get_mut();
        loop {
            match session.write(&mut Network(tcp), &[IoSlice::new(bytes)]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(tcp.poll_write_ready(context))?;
                }
                done => return Poll::Ready(done),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_sent(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        stream.session.say_end(&mut Network(&stream.tcp))?;
        ready!(stream.poll_sent(context))?;
        Pin::new(&mut stream.tcp).poll_shutdown(context)
    }
}
