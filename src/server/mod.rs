//! The control plane's public side: owns the listener, decides who comes in, and ends it all in
//! order.
//!
//! Called by `main`. Whatever a handshake needs to wait for, it waits for on tokio; an
//! accepted socket belongs to a worker, which writes the 101 in front of its first frame.

mod accept;
pub mod admission;
mod doorstep;
mod first_read;
pub mod origin;
pub mod page;
pub mod route;
mod service;

use crate::assistant::{self, Dispatcher};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::protocol::CloseReason;
use crate::worker::{self, Crew, Door};
use accept::Acceptor;
use admission::Admission;
use service::Front;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

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
        let crew = Crew::start(config, metrics, assistant, on_close)?;
        let patience = crew.config.server.handshake_timeout;
        let front = Front::new(Arc::clone(&crew), admission).map_err(Error::Routes)?;
        let gate = Arc::new(Acceptor::new(Arc::new(front)));
        Ok(Self {
            address,
            door: Door::new(listener, gate, patience),
            crew,
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

    /// Serves until `drain` is done, then drains: takes nobody new, closes everybody with 1012
    /// spread over `server.drain_grace`, and returns when the last connection is gone or the grace is
    /// over. `stop` ends that at once.
    ///
    /// # Errors
    /// When a worker thread has ended: the others are drained, then the process is better begun anew.
    ///
    /// # Cancel safety
    /// Dropping it leaves the worker threads running; they end with the process.
    pub async fn run(
        self,
        drain: impl Future<Output = ()>,
        stop: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        let crew = self.crew;
        crew.listen(self.door)?;
        let is_whole = tokio::select! {
            () = drain => true,
            () = worker_ended(&crew) => false,
        };
        // Not ready first, so that a load balancer that asks sees it while the listener closes.
        crew.begin_drain();
        let grace = crew.config.server.drain_grace;
        tracing::info!(
            connections = crew.metrics.connections.get(),
            ?grace,
            "draining"
        );
        crew.close_all(CloseReason::Restart, grace);
        let workers = Arc::clone(&crew);
        let joined = tokio::task::spawn_blocking(move || workers.join());
        tokio::select! {
            ended = joined => if ended.is_err() { tracing::error!("waiting for the workers failed") },
            () = stop => {
                tracing::warn!("stopped before the drain was done");
                crew.close_all(CloseReason::Restart, Duration::ZERO);
            }
        }
        tracing::info!(left = crew.metrics.connections.get(), "stopped");
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
