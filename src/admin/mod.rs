//! The operator's listener: its own address, loopback by default, never the public one.
//!
//! - `GET /live`: the process answers.
//! - `GET /ready`: 200 while new connections may be sent here, 503 from the first moment of a drain. Without
//!   its Redis a node is degraded and says so, with 200; with `bridge.required`, 503.
//! - `GET /health`: JSON: the parts and why one is degraded.
//! - `GET /metrics`: Prometheus' text format 0.0.4, or OpenMetrics for whoever asks for it.
//! - `GET /ledger[?room=chat_1_abc]`: JSON: the account of deliveries, settled; 404 for a room
//!   without members.
//! - `GET /history?room=chat_1_abc[&limit=50]`: JSON: the newest messages of a room, from Redis; on any
//!   node.
//!
//! With `admin.token` set every path but `/live` and `/ready` asks for it as a bearer token. A request for a host
//! that is not ours is refused with 421: a page elsewhere may have its name point at this machine and read what is
//! answered (DNS rebinding), and such a request names the page's host (`host`).
//!
//! Bounded by [`ADMIN_CONNECTIONS`] in number and by [`Timeouts`] in time. One connection more is answered once and
//! closed, and of as many such the oldest gives way: a probe is answered whoever holds the others.

mod history;
mod host;
mod ledger;
mod metrics;

use crate::assistant::Dispatcher;
use crate::bridge::{Bridge, Report as LinkReport};
use crate::broker::Broker;
use crate::clock::{Clock, Millis};
use crate::config::{ADMIN_CONNECTIONS, Config, Secret};
use crate::http::{self, End, Host, Pace, Timeouts};
use crate::metrics::Metrics;
use crate::worker::Workers;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderValue, VARY, WWW_AUTHENTICATE,
};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::AbortHandle;

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// The admin address cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} (admin.listen)")]
pub struct Error {
    address: SocketAddr,
    source: io::Error,
}

/// What the operator is answered from.
#[derive(Debug)]
pub struct Sources {
    /// Settings.
    pub config: Arc<Config>,
    /// The node's time.
    pub clock: Clock,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Rooms.
    pub broker: Arc<Broker>,
    /// The data plane.
    pub workers: Arc<Workers>,
    /// Who answers customers.
    pub assistant: Dispatcher,
    /// The way to other nodes, if there is one.
    pub bridge: Option<Arc<Bridge>>,
    /// True from the first moment of a drain: this node is not ready for more.
    pub draining: watch::Receiver<bool>,
}

impl Sources {
    fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }
}

/// The admin listener.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    sources: Arc<Sources>,
}

impl Admin {
    /// Binds `admin.listen`.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn bind(sources: Sources) -> Result<Self, Error> {
        let address = sources.config.admin.listen;
        match TcpListener::bind(address).await {
            Ok(listener) => Ok(Self {
                listener,
                sources: Arc::new(sources),
            }),
            Err(source) => Err(Error { address, source }),
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
        let places = Arc::new(Semaphore::new(ADMIN_CONNECTIONS));
        let mut brief: VecDeque<AbortHandle> = VecDeque::with_capacity(ADMIN_CONNECTIONS);
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
                if brief.len() == ADMIN_CONNECTIONS
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
    let pace = Mutex::new(Pace::new(timeouts, timeouts.head, config.limits.uri_bytes));
    let (sources, is_brief) = (&sources, place.is_none());
    let answer = |request| async move {
        let mut response = answer(sources, &request).await;
        if is_brief {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        response
    };
    let http = http::builder(&config.limits);
    let served = http::serve(&http, TokioIo::new(stream), &pace, pending(), answer).await;
    if let End::Failed(error) = &served.end {
        tracing::debug!(%error, "admin connection failed");
    }
    if !matches!(served.end, End::Overdue(_)) {
        let is_too_long = matches!(served.end, End::TooLong);
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
            return Some(reply(status, TEXT, text.to_owned()));
        }
        Ok(_ours) => {}
    }
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return None;
    }
    let mut response = reply(StatusCode::METHOD_NOT_ALLOWED, TEXT, "use GET\n".to_owned());
    let allowed = HeaderValue::from_static("GET, HEAD");
    response.headers_mut().insert(ALLOW, allowed);
    Some(response)
}

async fn answer(sources: &Sources, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if let Some(refusal) = refuse(sources, request) {
        return refusal;
    }
    let path = request.uri().path();
    match path {
        "/live" => return reply(StatusCode::OK, TEXT, "live\n".to_owned()),
        "/ready" if sources.is_draining() => {
            return reply(
                StatusCode::SERVICE_UNAVAILABLE,
                TEXT,
                "draining\n".to_owned(),
            );
        }
        "/ready" if !sources.workers.is_whole() => {
            return reply(
                StatusCode::SERVICE_UNAVAILABLE,
                TEXT,
                "a worker has ended, restart this node\n".to_owned(),
            );
        }
        "/ready" => {
            let (status, text) = readiness(sources);
            return reply(status, TEXT, text);
        }
        _ => {}
    }
    if let Some(token) = &sources.config.admin.token
        && !is_authorized(request, token)
    {
        let mut response = reply(
            StatusCode::UNAUTHORIZED,
            TEXT,
            "bearer token needed\n".to_owned(),
        );
        response
            .headers_mut()
            .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return response;
    }
    match path {
        "/health" => reply(
            StatusCode::OK,
            JSON,
            format!("{:#}\n", health(sources).await),
        ),
        "/metrics" => {
            let format = metrics::Format::of(request.headers());
            let text = format.text(metrics::measure(sources));
            let mut response = reply(StatusCode::OK, format.content_type(), text);
            let vary = HeaderValue::from_static("accept");
            response.headers_mut().insert(VARY, vary);
            response
        }
        "/ledger" => ledger::answer(sources, request.uri().query()).await,
        "/history" => history::answer(sources, request.uri().query()).await,
        _ => reply(
            StatusCode::NOT_FOUND,
            TEXT,
            "live ready health metrics ledger history\n".to_owned(),
        ),
    }
}

fn reply(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Is the one bearer token given (RFC 9110 section 11.4)? Compared in a time that depends on the lengths only.
fn is_authorized(request: &Request<Incoming>, token: &Secret) -> bool {
    const SCHEME: &[u8] = b"bearer ";
    let mut fields = request.headers().get_all(AUTHORIZATION).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else {
        return false;
    };
    let Some((scheme, given)) = field.as_bytes().split_at_checked(SCHEME.len()) else {
        return false;
    };
    let given = given.trim_ascii_start();
    let expected = token.expose().as_bytes();
    let differences = given
        .iter()
        .zip(expected)
        .fold(0, |sum, (a, b)| sum | (a ^ b));
    scheme.eq_ignore_ascii_case(SCHEME) && given.len() == expected.len() && differences == 0
}

/// Ready, ready but cut off from other nodes, or not ready for that reason.
fn readiness(sources: &Sources) -> (StatusCode, String) {
    let mut reasons = bridge_reasons(sources);
    if !reasons.is_empty() && sources.config.bridge.required {
        let text = format!("not ready: {}\n", reasons.join("; "));
        return (StatusCode::SERVICE_UNAVAILABLE, text);
    }
    // Never a reason to take nobody: while settings change, it is one of every node.
    reasons.extend(disagreements(sources));
    if reasons.is_empty() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        let text = format!("ready, degraded: {}\n", reasons.join("; "));
        (StatusCode::OK, text)
    }
}

/// Why other nodes, or Django, are not reached over a Redis.
fn bridge_reasons(sources: &Sources) -> Vec<String> {
    let Some(bridge) = &sources.bridge else {
        return Vec::new();
    };
    let nodes = reasons("redis", bridge.reports());
    nodes
        .chain(reasons("django", bridge.channel_reports()))
        .collect()
}

/// Which other nodes have other settings.
fn disagreements(sources: &Sources) -> Vec<String> {
    let bridge = sources.bridge.as_ref();
    bridge.map_or_else(Vec::new, |bridge| bridge.others().0)
}

fn reasons(what: &'static str, reports: Vec<LinkReport>) -> impl Iterator<Item = String> {
    let down = reports.into_iter().enumerate();
    down.filter(|(_, report)| !report.is_up)
        .map(move |(index, report)| {
            let reason = match report.reason.as_str() {
                "" => "connecting",
                reason => reason,
            };
            format!("{what} {index} is down: {reason}")
        })
}

/// The bridge's part of `/health`.
fn bridge_health(sources: &Sources) -> Value {
    let Some(bridge) = &sources.bridge else {
        return json!({ "mode": "off" });
    };
    let now = sources.clock.now();
    let (nodes, django) = (bridge.reports(), bridge.channel_reports());
    json!({
        "mode": sources.config.bridge.mode,
        "redis": links(&nodes, now),
        "other_nodes": bridge.others().1,
        "django": links(&django, now),
    })
}

fn links(reports: &[LinkReport], now: Millis) -> Vec<Value> {
    reports
        .iter()
        .map(|report| {
            json!({
                "address": report.address,
                "up": report.is_up,
                "for_seconds": now.since(report.since).as_secs(),
                "reason": report.reason,
                "canary_milliseconds": report.canary.map(|took| took.as_secs_f64() * 1_000.0),
                "rooms": report.rooms,
                "confirmed": report.confirmed,
                "outbox": report.outbox,
            })
        })
        .collect()
}

async fn health(sources: &Sources) -> Value {
    let reports = sources.workers.audit(None).await;
    let answering = reports.len();
    let mut reasons = Vec::new();
    if sources.is_draining() {
        reasons.push("draining".to_owned());
    }
    if answering < sources.workers.count() && !sources.is_draining() {
        reasons.push(format!(
            "{} of {} workers do not answer",
            sources.workers.count() - answering,
            sources.workers.count()
        ));
    }
    reasons.extend(bridge_reasons(sources));
    reasons.extend(disagreements(sources));
    let unexplained: i64 = reports
        .iter()
        .map(|report| report.ledger.unexplained())
        .sum();
    if unexplained != 0 {
        reasons.push(format!("the ledger has a residue of {unexplained}"));
    }
    let prompts = sources.assistant.counts();
    json!({
        "status": if reasons.is_empty() { "ok" } else { "degraded" },
        "reasons": reasons,
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": sources.clock.now().0 / 1_000,
        "workers": { "running": answering, "configured": sources.workers.count() },
        "connections": reports.iter().map(|report| report.connections).sum::<usize>(),
        "rooms": sources.broker.rooms(),
        "assistant": {
            "kind": sources.config.assistant.kind,
            "open": prompts.open,
            "replied": prompts.replied,
            "apologised": prompts.timeouts + prompts.panics + prompts.failures + prompts.stopped,
            "busy": prompts.busy,
        },
        "bridge": bridge_health(sources),
    })
}
