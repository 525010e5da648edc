//! The control plane's public side: owns the listener, decides who comes in, and ends it all in
//! order.
//!
//! Called by `main`. Whatever a handshake needs to wait for, it waits for on tokio; an
//! accepted socket belongs to a worker, which writes the 101 in front of its first frame.

mod accept;
pub mod admission;
mod doorstep;
mod ending;
mod first_read;
pub mod origin;
pub mod page;
pub mod route;
mod service;

pub use ending::Ending;

use crate::assistant::{self, Dispatcher};
use crate::chat;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::worker::{self, Crew, Door};
use accept::Acceptor;
use admission::Admission;
use ending::Visitors;
use service::Front;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Why the server cannot start.
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
    /// The workers or the bridge cannot be started.
    #[error(transparent)]
    Workers(#[from] worker::Error),
    /// The assistant cannot be started.
    #[error(transparent)]
    Assistant(#[from] assistant::Error),
    /// A worker thread has ended by a panic outside a connection's code: its rooms are gone.
    #[error("a worker thread ended; whoever supervises this process starts it anew")]
    WorkerEnded,
    /// The routes contradict each other.
    #[error("routes: {0}")]
    Routes(String),
}

/// The public listener and the workers behind it.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    door: Door,
    crew: Arc<Crew>,
    visitors: Visitors,
}

impl Server {
    /// Binds the listener and starts the workers. Zeros that mean "as the machine offers" must have
    /// been resolved ([`Facts::resolve`](crate::config::banner::Facts::resolve)). Must be called on the control plane's runtime.
    ///
    /// # Errors
    /// When an address, a thread or the assistant's knowledge cannot be had.
    pub fn bind(config: Arc<Config>, metrics: Arc<Metrics>) -> Result<Self, Error> {
        let address = config.server.listen;
        let failed = |source| Error::Listen { address, source };
        let listener = accept::listen(&config).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let assistant = Dispatcher::start(&tokio::runtime::Handle::current(), &config.assistant)?;
        let limits = &config.limits;
        let admission = Arc::new(Admission::new(
            limits.connections,
            limits.connections_per_ip,
        ));
        let leaving = Arc::clone(&admission);
        let on_close = Arc::new(move |peer| leaving.leave(peer));
        let (settings, counters) = (Arc::clone(&config), Arc::clone(&metrics));
        let desk = assistant.clone();
        let consumers = move || chat::Set::new(&settings, &counters, &desk);
        let crew = Crew::start(config, metrics, assistant, on_close, consumers)?;
        let patience = crew.config.server.handshake_timeout;
        let front = Front::new(Arc::clone(&crew), admission).map_err(Error::Routes)?;
        let (visit, visitors) = mpsc::channel(1);
        let gate = Arc::new(Acceptor::new(Arc::new(front), visit));
        Ok(Self {
            address,
            door: Door::new(listener, gate, patience),
            crew,
            visitors,
        })
    }

    /// The address of the public listener, with the port that the system chose if it was 0.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The workers and what they share, for the admin listener.
    #[must_use]
    pub fn crew(&self) -> &Arc<Crew> {
        &self.crew
    }

    /// Serves until `drain` says how to end. From then on `/ready` says no; after the notice, if there is one
    /// ([`notice`](crate::config::Server::notice)), the listener closes once everybody who waits there is let in, and
    /// all connections are closed with 1012, spread over two thirds of what is left of `server.drain_grace`; what
    /// is queued for them is written. Returns when the last one is gone or the grace is over. `stop` ends that at once.
    ///
    /// # Errors
    /// When a worker thread has ended: the others are drained, then the process is better begun anew.
    ///
    /// # Cancel safety
    /// Dropping it leaves the worker threads running; they end with the process.
    pub async fn run(
        self,
        drain: impl Future<Output = Ending>,
        stop: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        let crew = self.crew;
        crew.listen(self.door)?;
        let (ending, is_whole) = tokio::select! {
            ending = drain => (ending, true),
            // Some rooms cannot be joined any more: nobody is to be let in for them.
            () = worker_ended(&crew) => (Ending::Unannounced, false),
        };
        ending::end(&crew, ending, self.visitors, stop).await;
        if is_whole {
            Ok(())
        } else {
            Err(Error::WorkerEnded)
        }
    }
}

/// Done when a worker thread is no more.
async fn worker_ended(crew: &Crew) {
    /// How long rooms may be without their worker before anybody notices.
    const LOOK_EVERY: Duration = Duration::from_secs(1);
    while crew.is_whole() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
