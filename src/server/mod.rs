//! The control plane's public side: owns the listener and decides who comes in.
//!
//! Composed by `node`. Whatever a handshake needs to wait for, it waits for on tokio; an
//! accepted socket belongs to a worker, which writes the 101 in front of its first frame.

mod accept;
pub mod admission;
mod body;
mod entrance;
mod first_read;
mod handshake_io;
pub mod origin;
pub mod page;
mod refusal;
pub mod route;
mod service;
mod tls_stream;
mod visit;

pub use entrance::{Entrance, EntryRules, HandshakePolicy};
pub use visit::PublicPort;

use crate::config::Config;
use crate::worker::{Listener, NobodyListens, WorkerHandles};
use accept::Acceptor;
use mio::net::TcpListener;
use service::HandshakeService;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Why nobody can come in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The public address cannot be had.
    #[error("cannot listen on {address} (server.listen)")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The routes contradict each other, or a route or an origin is wrong.
    #[error("{0}")]
    Policy(String),
}

/// Opens the public listener: the kernel takes connections from here on. Also its address, with the port that the
/// system chose if it was 0.
///
/// # Errors
/// When the address cannot be had.
pub fn listen(config: &Config) -> Result<(TcpListener, SocketAddr), Error> {
    let address = config.server.listen;
    let failed = |source| Error::Listen { address, source };
    let listener = accept::listen(config).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Ends, without ever saying anything, once nobody is served by the control plane any more: the listener holds a
/// sender, and so does everybody who is served there.
pub type Visitors = mpsc::Receiver<Infallible>;

/// The way in, until a worker listens there.
pub struct WayIn(Box<dyn FnOnce() -> Result<(), NobodyListens> + Send>);

impl fmt::Debug for WayIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WayIn").finish_non_exhaustive()
    }
}

impl WayIn {
    /// Has a worker accept connections until the drain.
    ///
    /// # Errors
    /// When that worker has ended.
    pub fn open(self) -> Result<(), NobodyListens> {
        (self.0)()
    }
}

/// The way in by this listener, to these workers, and how to wait for those the control plane serves. Must be called
/// on the control plane's runtime.
pub fn open<P: PublicPort>(
    entrance: Entrance,
    workers: WorkerHandles<P>,
    listener: TcpListener,
) -> (WayIn, Visitors) {
    let handshake_timeout = entrance.config.server.handshake_timeout;
    let service = HandshakeService::new(entrance);
    let (visit, visitors) = mpsc::channel(1);
    let acceptor = Acceptor::new(Arc::new(service), workers, visit);
    let workers = acceptor.workers();
    let listener = Listener::<P>::new(listener, Arc::new(acceptor), handshake_timeout);
    let open = move || workers.listen(listener);
    (WayIn(Box::new(open)), visitors)
}
