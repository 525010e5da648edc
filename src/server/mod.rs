//! The control plane's public side: owns the listener and decides who comes in.
//!
//! Composed by `node`. Whatever a handshake needs to wait for, it waits for on tokio; an
//! accepted socket belongs to a worker, which writes the 101 in front of its first frame.

mod accept;
pub mod admission;
pub mod api;
mod body;
mod cors;
mod elsewhere;
mod entrance;
mod first_read;
mod forwarded;
mod handshake_io;
mod meeting;
pub mod origin;
pub mod page;
mod proxy_protocol;
mod redirect;
mod refusal;
pub mod route;
mod service;
mod tls_stream;
mod unbelieved;
mod unfinished;
mod unix;
pub(crate) mod upstream;
mod visit;
mod visitor;

pub use entrance::{Entrance, EntryRules, HandshakePolicy};
pub use redirect::RedirectListener;
pub use unix::UnixEntrance;
pub use upstream::Upstream;
pub use visit::PublicPort;

use crate::config::Config;
use crate::http;
use crate::worker::{Listener, NobodyListens, WorkerHandles};
use accept::Acceptor;
use mio::net::TcpListener;
use redirect::Redirector;
use service::HandshakeService;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::mpsc;
use unfinished::UnfinishedHeads;
use unix::UnixSocket;

/// Why nobody can come in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address for clients cannot be had.
    #[error("cannot listen on {address} ({key})")]
    Listen {
        /// Which setting names it.
        key: &'static str,
        /// The address, or the file of a Unix socket.
        address: Box<str>,
        /// What the system said.
        source: io::Error,
    },
    /// The address of the HTTP API cannot be had.
    #[error("cannot listen on {address} (api.listen)")]
    Api {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The routes contradict each other, or a route or an origin is wrong.
    #[error("{0}")]
    Policy(String),
}

impl Error {
    fn listen(key: &'static str, address: impl ToString, source: io::Error) -> Self {
        Self::Listen {
            key,
            address: address.to_string().into(),
            source,
        }
    }
}

/// Sockets for clients that the kernel holds for us, from before anything runs.
#[derive(Debug)]
pub struct Listening {
    public: TcpListener,
    /// The address of the public one, with the port that the system chose if it was 0.
    pub address: SocketAddr,
    redirect: Option<tokio::net::TcpListener>,
    unix: Option<UnixSocket>,
}

/// Opens the public listener, that of `http.redirect` and the Unix socket, or takes those that somebody has opened for us:
/// the kernel takes connections from here on. Must be called on the control plane's runtime.
///
/// # Errors
/// When an address cannot be had.
pub fn listen(
    config: &Config,
    tcp: Option<std::net::TcpListener>,
    unix: Option<std::os::unix::net::UnixListener>,
) -> Result<Listening, Error> {
    let open = |address, key, given: Option<std::net::TcpListener>| {
        let failed = |error| Error::listen(key, address, http::with_fix(error, key, address));
        let listener = match given {
            Some(given) => accept::inherit(config, given),
            None => accept::listen(config, address),
        };
        let listener = listener.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok((listener, address))
    };
    let (public, address) = open(config.server.listen, "server.listen", tcp)?;
    let watched = |redirect| {
        let key = "http.redirect";
        let (listener, address) = open(redirect, key, None)?;
        tokio::net::TcpListener::from_std(listener)
            .map_err(|source| Error::listen(key, address, source))
    };
    let unix = match (unix, &config.server.listen_unix) {
        (Some(unix), _) => Some(unix::inherit(unix)),
        (None, Some(path)) => {
            let mode = config.server.unix_permissions().unwrap_or(0o600);
            Some(unix::listen(path, mode, config.server.backlog))
        }
        (None, None) => None,
    };
    let path = config
        .server
        .listen_unix
        .as_deref()
        .unwrap_or(Path::new(""));
    let failed = |error| Error::listen("server.listen_unix", path.display(), unix::with_fix(error));
    let unix = unix.transpose().map_err(failed)?;
    Ok(Listening {
        unix,
        public: TcpListener::from_std(public),
        address,
        redirect: config.http.redirect.map(watched).transpose()?,
    })
}

/// Opens the listener of the HTTP API, if it is to have its own.
///
/// # Errors
/// When the address cannot be had.
pub async fn listen_api(config: &Config) -> Result<Option<tokio::net::TcpListener>, Error> {
    let Some(address) = config.api.listen else {
        return Ok(None);
    };
    let failed = |error| Error::Api {
        address,
        source: http::with_fix(error, "api.listen", address),
    };
    api::listen(address).await.map(Some).map_err(failed)
}

/// Ends, without ever saying anything, once nobody is served by the control plane any more: the listener holds a
/// sender, and so does everybody who is served there.
pub type Visitors = mpsc::Receiver<Infallible>;

/// The ways in.
#[derive(Debug)]
pub struct Opened {
    /// Until a worker listens.
    pub public: WayIn,
    /// To be run by the control plane.
    pub redirect: Option<RedirectListener>,
    /// Likewise.
    pub unix: Option<UnixEntrance>,
    /// How to wait for those whom the control plane serves.
    pub visitors: Visitors,
}

/// The public way in, until a worker listens there.
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

/// The ways in by these listeners, to these workers. Must be called on the control plane's runtime.
pub fn open<P: PublicPort>(
    entrance: Entrance,
    workers: WorkerHandles<P>,
    listening: Listening,
) -> Opened {
    let config = Arc::clone(&entrance.config);
    let heads = Arc::new(UnfinishedHeads::default());
    let redirect = listening.redirect.map(|listener| RedirectListener {
        listener,
        redirector: Arc::new(Redirector {
            redirect: entrance.policy.redirect.clone(),
            config: Arc::clone(&config),
            metrics: Arc::clone(&entrance.metrics),
            proxies: entrance.policy.proxies.clone(),
            handshakes: Arc::clone(&entrance.handshakes),
            heads: Arc::clone(&heads),
            upstream: entrance.upstream.clone(),
            closing: entrance.closing.clone(),
        }),
    });
    let closing = entrance.closing.clone();
    let service = HandshakeService::new(entrance);
    let (visit, visitors) = mpsc::channel(1);
    let acceptor = Arc::new(Acceptor::new(Arc::new(service), workers, heads, visit));
    let unix = listening.unix.map(|socket| UnixEntrance {
        socket,
        enter: Acceptor::plain_entrance(&acceptor),
        config: Arc::clone(&config),
        closing,
    });
    let workers = acceptor.workers();
    let listener = Listener::<P>::new(listening.public, acceptor, config.server.handshake_timeout);
    Opened {
        public: WayIn(Box::new(move || workers.listen(listener))),
        redirect,
        unix,
        visitors,
    }
}
