//! `api.listen`: a listener for the API alone.

use super::Api;
use crate::config::Config;
use crate::http::{self, Pace, ServiceEnd, Timeouts};
use crate::server::body::WholeBody;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Connections of this listener for each of `api.requests`: one is answered while another is idle.
pub(crate) const CONNECTIONS_EACH: usize = 2;

/// The API's own listener.
#[derive(Debug)]
pub struct ApiListener {
    listener: TcpListener,
    api: Arc<Api>,
    config: Arc<Config>,
}

/// Binds `api.listen`: the kernel takes connections from here on.
///
/// # Errors
/// When the address cannot be had.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

impl ApiListener {
    /// Answers by `api` at this listener, once it runs.
    #[must_use]
    pub fn new(listener: TcpListener, api: Arc<Api>, config: Arc<Config>) -> Self {
        Self {
            listener,
            api,
            config,
        }
    }

    /// The address, with the port that the system chose if it was 0.
    ///
    /// # Errors
    /// The system's.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until dropped. Who comes when all places are taken waits in the kernel's queue.
    ///
    /// # Cancel safety
    /// Answers under way are finished by their own tasks.
    pub async fn run(self) -> Infallible {
        let places = self.config.api.requests.saturating_mul(CONNECTIONS_EACH);
        let places = Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                // Never closed.
                return pending().await;
            };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let (api, config) = (Arc::clone(&self.api), Arc::clone(&self.config));
                    tokio::spawn(async move {
                        serve(&api, &config, stream).await;
                        drop(place);
                    });
                }
                // Most likely out of descriptors; the public listener says so.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

async fn serve(api: &Api, config: &Config, stream: TcpStream) {
    let timeouts = Timeouts::new(config);
    let pace = Pace::new(timeouts, timeouts.head, config.limits.uri_bytes);
    let answer = |request: Request<Incoming>, _pace| async move {
        let response: Response<_> = api.answer(request).await;
        response.map(WholeBody)
    };
    let builder = http::builder(&config.limits);
    let served = http::serve(&builder, TokioIo::new(stream), pace, pending(), answer).await;
    if let ServiceEnd::Failed(error) = &served.end {
        tracing::debug!(%error, "a connection of the API failed");
    }
    if !matches!(served.end, ServiceEnd::Overdue(_)) {
        let is_too_long = matches!(served.end, ServiceEnd::TooLong);
        http::linger(served.io.into_inner(), is_too_long).await;
    }
}
