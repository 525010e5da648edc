//! Connections to the site: opened when they are needed, kept for a while for another request.

use super::fault::SiteFault;
use super::upload::Upload;
use crate::config::{Config, SiteAddress};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream, UnixStream, lookup_host};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

/// A connection that was kept is ready for a request once its task has seen the end of the last one. One that is not by
/// then has still something to write, to a site that answered before it had read all.
const READY_WITHIN: Duration = Duration::from_millis(100);

/// A connection to the site. Closed when dropped.
#[derive(Debug)]
pub(super) struct SiteConnection {
    pub(super) sender: SendRequest<Upload>,
    driver: AbortHandle,
}

impl SiteConnection {
    /// Can it take a request? Waited for, if it has still something to write.
    async fn is_ready(&mut self) -> bool {
        // Nearly always: no timer for that.
        self.sender.is_ready()
            || matches!(timeout(READY_WITHIN, self.sender.ready()).await, Ok(Ok(())))
    }
}

impl Drop for SiteConnection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Connections that wait for another request, the oldest first.
#[derive(Debug)]
pub(super) struct Pool {
    address: SiteAddress,
    kept: Mutex<VecDeque<(Instant, SiteConnection)>>,
    most: usize,
    longest: Duration,
    connect_timeout: Duration,
    buffer_bytes: usize,
    send_buffer_bytes: usize,
    receive_buffer_bytes: usize,
}

impl Pool {
    pub(super) fn new(address: SiteAddress, config: &Config) -> Self {
        let (http, limits) = (&config.http, &config.limits);
        Self {
            address,
            kept: Mutex::default(),
            most: http.upstream_kept_alive,
            longest: http.upstream_keep_alive_timeout,
            connect_timeout: http.upstream_connect_timeout,
            buffer_bytes: http.upstream_buffer_bytes,
            send_buffer_bytes: limits.send_buffer_bytes,
            receive_buffer_bytes: limits.receive_buffer_bytes,
        }
    }

    /// A connection that was kept, the one that was used last. The site may be closing it at this moment.
    pub(super) async fn take(&self) -> Option<SiteConnection> {
        loop {
            let (since, mut connection) = self.kept.lock().pop_back()?;
            if since.elapsed() < self.longest && connection.is_ready().await {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection that has nothing under way.
    pub(super) fn keep(&self, connection: SiteConnection) {
        if self.most == 0 || connection.sender.is_closed() {
            return;
        }
        let now = Instant::now();
        let mut kept = self.kept.lock();
        while kept.front().is_some_and(|(since, oldest)| {
            now.duration_since(*since) >= self.longest || oldest.sender.is_closed()
        }) {
            kept.pop_front();
        }
        if kept.len() == self.most {
            kept.pop_front();
        }
        kept.push_back((now, connection));
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// [`SiteFault::Connect`] or [`SiteFault::ConnectTimeout`].
    pub(super) async fn open(&self) -> Result<SiteConnection, SiteFault> {
        match timeout(self.connect_timeout, self.connect()).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => {
                tracing::debug!(%error, "no connection to the site");
                Err(SiteFault::Connect)
            }
            Err(_elapsed) => Err(SiteFault::ConnectTimeout),
        }
    }

    async fn connect(&self) -> io::Result<SiteConnection> {
        match &self.address {
            SiteAddress::Socket(path) => {
                self.speak(TokioIo::new(UnixStream::connect(path).await?))
                    .await
            }
            SiteAddress::Tcp { host, port } => {
                let mut failed = io::ErrorKind::NotFound.into();
                for address in lookup_host((host.as_str(), *port)).await? {
                    match self.connect_to(address).await {
                        Ok(stream) => return self.speak(TokioIo::new(stream)).await,
                        Err(error) => failed = error,
                    }
                }
                Err(failed)
            }
        }
    }

    async fn connect_to(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        let bytes = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        socket.set_send_buffer_size(bytes(self.send_buffer_bytes))?;
        socket.set_recv_buffer_size(bytes(self.receive_buffer_bytes))?;
        socket.set_nodelay(true)?;
        socket.connect(address).await
    }

    async fn speak(
        &self,
        io: impl Read + Write + Unpin + Send + 'static,
    ) -> io::Result<SiteConnection> {
        // At most 100 fields in an answer's head, for which hyper has room without an allocation.
        let handshake = http1::Builder::new()
            .max_header_size(self.buffer_bytes)
            .max_buf_size(self.buffer_bytes)
            // Head and body in one buffer: a queue of them costs more than the copy, and most requests are a head.
            .writev(false)
            .handshake(io);
        let (sender, connection) = handshake.await.map_err(io::Error::other)?;
        let connection = connection.with_upgrades();
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the site failed");
            }
        });
        Ok(SiteConnection {
            sender,
            driver: driver.abort_handle(),
        })
    }
}
