//! The operator's listener: its own address, loopback by default, never the public one.
//!
//! - `GET /live`: the process answers.
//! - `GET /ready`: 200 while new connections may be sent here, 503 while memory is short and from the first moment of a drain. Without
//!   its Redis a node is degraded and says so, with 200; with `bridge.required`, 503.
//! - `GET /health`: JSON: the parts and why one is degraded.
//! - `GET /metrics`: Prometheus' text format 0.0.4, or OpenMetrics for whoever asks for it.
//! - `GET /ledger[?room=chat_1_abc]`: JSON: the account of deliveries, settled; 404 for a room
//!   without members.
//! - `GET /history?room=chat_1_abc[&limit=50]`: JSON: the newest messages of a room, from Redis or the journal; on any
//!   node.
//! - `POST /reload`: settings are read again, as at SIGHUP; JSON: the keys that have changed, and those that wait for
//!   the next start; 409 with what is wrong with them, and nothing changes. Without `admin.token` from this machine
//!   alone, and from no page.
//!
//! With `admin.token` set every path but `/live` and `/ready` asks for it as a bearer token. A request for a host
//! that is not ours is refused with 421: a page elsewhere may have its name point at this machine and read what is
//! answered (DNS rebinding), and such a request names the page's host (`host`).
//!
//! Bounded by [`CONNECTIONS_MAX`] in number and by [`Timeouts`] in time. One connection more is answered once and
//! closed, and of as many such the oldest gives way: a probe is answered whoever holds the others.

pub mod ask;
mod health;
mod history;
mod host;
mod ledger;
mod metrics;
mod reload;
mod reply;
mod sources;

pub use sources::{Reload, Sources};

use crate::config::Config;
use crate::http::{self, Host, Pace, ServiceEnd, Timeouts};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONNECTION, HeaderValue, VARY, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use reply::{TEXT, json, reply};
use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

/// Where settings are read again.
const RELOAD: &str = "/reload";

/// Most connections: scrapers and operators, not clients. As many again are answered once each and closed, so
/// that a probe never finds the listener full.
pub const CONNECTIONS_MAX: usize = 64;

/// What one of them holds: hyper's buffers, which are a head's, an answer, and the kernel's.
pub(crate) const CONNECTION_BYTES: usize = 512 * 1024;

/// The admin address cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} (admin.listen)")]
pub struct Error {
    address: SocketAddr,
    source: io::Error,
}

/// The admin listener.
#[derive(Debug)]
pub struct AdminListener {
    listener: TcpListener,
    sources: Arc<Sources>,
}

/// Binds `admin.listen`: the kernel takes connections from here on.
///
/// # Errors
/// When the address cannot be had.
pub async fn listen(config: &Config) -> Result<TcpListener, Error> {
    let address = config.admin.listen;
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| Error {
        address,
        source: http::with_fix(error, "admin.listen", address),
    })
}

impl AdminListener {
    /// Answers from `sources` at this listener, once it runs.
    #[must_use]
    pub fn new(listener: TcpListener, sources: Sources) -> Self {
        Self {
            listener,
            sources: Arc::new(sources),
        }
    }

    /// The address, with the port that the system chose if it was 0.
    ///
    /// # Errors
    /// The system's.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until dropped.
    ///
    /// # Cancel safety
    /// Answers under way are finished by their own tasks.
    pub async fn run(self) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut brief: VecDeque<AbortHandle> = VecDeque::with_capacity(CONNECTIONS_MAX);
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(_) => {
                    // Most likely out of descriptors; the public listener says so.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let place = Arc::clone(&places).try_acquire_owned().ok();
            let is_brief = place.is_none();
            let served = tokio::spawn(serve(Arc::clone(&self.sources), stream, place));
            if is_brief {
                if brief.len() == CONNECTIONS_MAX
                    && let Some(oldest) = brief.pop_front()
                {
                    oldest.abort();
                }
                brief.push_back(served.abort_handle());
            }
        }
    }
}

/// Serves one connection; without a place among the others only its first request.
async fn serve(sources: Arc<Sources>, stream: TcpStream, place: Option<OwnedSemaphorePermit>) {
    let config = &sources.config;
    let timeouts = Timeouts::new(config);
    let pace = Pace::new(timeouts, timeouts.head, config.limits.uri_bytes);
    let (sources, is_brief) = (&sources, place.is_none());
    let peer = stream.peer_addr().ok().map(|peer| peer.ip());
    let answer = |request, _pace| async move {
        let mut response = answer(sources, &request, peer).await;
        if is_brief {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        response
    };
    let http = http::builder(&config.limits);
    let served = http::serve(&http, TokioIo::new(stream), pace, pending(), answer).await;
    if let ServiceEnd::Failed(error) = &served.end {
        tracing::debug!(%error, "admin connection failed");
    }
    if !matches!(served.end, ServiceEnd::Overdue(_)) {
        let is_too_long = matches!(served.end, ServiceEnd::TooLong);
        http::linger(served.io.into_inner(), is_too_long).await;
    }
    drop(place);
}

/// What is wrong with any request of this kind.
fn refuse(sources: &Sources, request: &Request<Incoming>) -> Option<Response<Full<Bytes>>> {
    let admin = &sources.config.admin;
    match Host::of(request) {
        Err(bad) => return Some(reply(StatusCode::BAD_REQUEST, TEXT, format!("{bad}\n"))),
        Ok(host) if !host::is_ours(host, admin.listen, &admin.hosts) => {
            let text = "this Host is not ours: name it in admin.hosts, or use the address\n";
            let status = StatusCode::MISDIRECTED_REQUEST;
            return Some(reply(status, TEXT, text));
        }
        Ok(_ours) => {}
    }
    let (is_allowed, advice, allowed) = match (request.uri().path(), request.method()) {
        (RELOAD, method) => (*method == Method::POST, "use POST\n", "POST"),
        (_, method) => {
            let is_allowed = matches!(*method, Method::GET | Method::HEAD);
            (is_allowed, "use GET\n", "GET, HEAD")
        }
    };
    if is_allowed {
        return None;
    }
    let mut response = reply(StatusCode::METHOD_NOT_ALLOWED, TEXT, advice);
    let allowed = HeaderValue::from_static(allowed);
    response.headers_mut().insert(ALLOW, allowed);
    Some(response)
}

async fn answer(
    sources: &Sources,
    request: &Request<Incoming>,
    peer: Option<IpAddr>,
) -> Response<Full<Bytes>> {
    if let Some(refusal) = refuse(sources, request) {
        return refusal;
    }
    let path = request.uri().path();
    match path {
        "/live" => return reply(StatusCode::OK, TEXT, "live\n"),
        "/ready" if sources.is_draining() => {
            return reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, "draining\n");
        }
        "/ready" if !sources.workers.is_whole() => {
            return reply(
                StatusCode::SERVICE_UNAVAILABLE,
                TEXT,
                "a worker has ended, restart this node\n",
            );
        }
        "/ready" if sources.broker.placement().is_any_stuck() => {
            return reply(
                StatusCode::SERVICE_UNAVAILABLE,
                TEXT,
                health::STUCK.to_owned() + "\n",
            );
        }
        "/ready" => {
            let (status, text) = health::readiness(sources);
            return reply(status, TEXT, text);
        }
        _ => {}
    }
    if let Some(token) = &sources.config.admin.token
        && !http::is_bearer(request.headers(), token)
    {
        let mut response = reply(StatusCode::UNAUTHORIZED, TEXT, "bearer token needed\n");
        response
            .headers_mut()
            .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return response;
    }
    match path {
        "/health" => json(&health::health(sources).await),
        "/metrics" => {
            let format = metrics::TextFormat::of(request.headers());
            let text = format.text(metrics::measure(sources));
            let mut response = reply(StatusCode::OK, format.content_type(), text);
            let vary = HeaderValue::from_static("accept");
            response.headers_mut().insert(VARY, vary);
            response
        }
        "/ledger" => ledger::answer(sources, request.uri().query()).await,
        RELOAD if !reload::may_change(sources, request, peer) => reply(
            StatusCode::FORBIDDEN,
            TEXT,
            "set admin.token, or ask from this machine and from no page\n",
        ),
        RELOAD => reload::answer(sources).await,
        "/history" => history::answer(sources, request.uri().query()).await,
        _ => reply(
            StatusCode::NOT_FOUND,
            TEXT,
            "live ready health metrics ledger history reload\n",
        ),
    }
}
