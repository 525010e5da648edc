//! A client's socket on its way from a worker to the control plane and back.

use super::proxy_protocol;
use super::tls_stream::TlsStream;
use super::visitor::Proxies;
use crate::tls::{BadPreamble, TlsSession};
use crate::worker::port::{Port, Socket, TcpPort, TlsPort, TlsSocket};
use mio::net::TcpListener;
use std::io;
use std::net::IpAddr;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A port over which a node may serve the public.
#[expect(
    private_bounds,
    reason = "how the control plane serves its sockets is the server's own affair"
)]
pub trait PublicPort: Port<Socket: VisitSocket, Listening = TcpListener> + Send {}

impl PublicPort for TcpPort {}

impl PublicPort for TlsPort {}

/// A worker's socket that the control plane can serve.
pub(super) trait VisitSocket: Socket + Sized + 'static {
    /// The same connection on the control plane.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// One whose bytes go through as they are, whatever the port's do otherwise.
    fn plain(stream: mio::net::TcpStream) -> Self;

    /// The same new socket, where its peer may be a trusted proxy: what that says of its client is read in front of TLS.
    fn behind(self, _proxies: &Proxies, _peer: IpAddr) -> Self {
        self
    }

    /// Watched by tokio from here on.
    ///
    /// # Errors
    /// When the system has no room to watch it.
    fn into_stream(self) -> io::Result<Self::Stream>;

    /// Watched by nobody.
    ///
    /// # Errors
    /// The system's.
    fn from_stream(stream: Self::Stream) -> io::Result<Self>;

    /// What lies below.
    fn tcp(stream: &Self::Stream) -> &TcpStream;

    /// Does this server end its TLS?
    fn is_tls(stream: &Self::Stream) -> bool;
}

/// The stream of a port's sockets.
pub(super) type StreamOf<P> = <<P as Port>::Socket as VisitSocket>::Stream;

impl VisitSocket for mio::net::TcpStream {
    type Stream = TcpStream;

    fn plain(stream: Self) -> Self {
        stream
    }

    fn into_stream(self) -> io::Result<TcpStream> {
        TcpStream::from_std(self.into())
    }

    fn from_stream(stream: TcpStream) -> io::Result<Self> {
        Ok(Self::from_std(stream.into_std()?))
    }

    fn tcp(stream: &TcpStream) -> &TcpStream {
        stream
    }

    fn is_tls(_stream: &TcpStream) -> bool {
        false
    }
}

impl VisitSocket for TlsSocket {
    type Stream = TlsStream;

    fn plain(stream: mio::net::TcpStream) -> Self {
        Self::new(stream, TlsSession::plain())
    }

    fn behind(self, proxies: &Proxies, peer: IpAddr) -> Self {
        if !proxies.announce(peer) {
            return self;
        }
        let (tcp, session) = self.into_parts();
        Self::new(tcp, session.behind_preamble(measure))
    }

    fn into_stream(self) -> io::Result<TlsStream> {
        let (tcp, session) = self.into_parts();
        Ok(TlsStream::new(tcp.into_stream()?, session))
    }

    fn from_stream(stream: TlsStream) -> io::Result<Self> {
        let (tcp, session) = stream.into_parts();
        Ok(Self::new(VisitSocket::from_stream(tcp)?, session))
    }

    fn tcp(stream: &TlsStream) -> &TcpStream {
        stream.tcp()
    }

    fn is_tls(stream: &TlsStream) -> bool {
        stream.is_tls()
    }
}

/// The length of the PROXY header at the beginning of a connection.
fn measure(bytes: &[u8]) -> Result<Option<usize>, BadPreamble> {
    let line = proxy_protocol::parse(bytes).or(Err(BadPreamble))?;
    Ok(line.map(|line| line.length))
}
