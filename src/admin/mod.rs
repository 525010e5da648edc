//! The operator's listener: its own address, loopback by default, never the public one.
//!
//! - `GET /live`: the process answers.
//! - `GET /ready`: 200 while new connections may be sent here, 503 from the first moment of a drain. Without
//!   its Redis a node is degraded and says so, with 200; with `bridge.required`, 503.
//! - `GET /health`: JSON: the parts and why one is degraded.
//! - `GET /metrics`: OpenMetrics text, which Prometheus reads.
//! - `GET /ledger[?room=chat_1_abc]`: JSON: the account of deliveries, settled; 404 for a room
//!   without members.
//! - `GET /history?room=chat_1_abc[&limit=50]`: JSON: the newest messages of a room, from Redis; on any
//!   node.
//!
//! With `admin.token` set every path but `/live` and `/ready` asks for it as a bearer token.

mod history;

use crate::bridge::Report as LinkReport;
use crate::broker::ledger::{Cause, Ledger};
use crate::clock::Millis;
use crate::config::Secret;
use crate::metrics::Counter;
use crate::name::RoomName;
use crate::telemetry;
use crate::worker::{Crew, Report};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Map, Value, json};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Most admin connections at once: scrapers and operators, not clients.
const CONNECTIONS_MAX: usize = 64;

/// Longest life of an admin connection.
const CONNECTION_MAX: Duration = Duration::from_secs(120);

/// Longest wait for a request head.
const HEAD_MAX: Duration = Duration::from_secs(5);

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The admin address cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} (admin.listen)")]
pub struct Error {
    address: SocketAddr,
    source: io::Error,
}

/// The admin listener.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    crew: Arc<Crew>,
}

impl Admin {
    /// Binds `admin.listen`.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn bind(crew: Arc<Crew>) -> Result<Self, Error> {
        let address = crew.config.admin.listen;
        match TcpListener::bind(address).await {
            Ok(listener) => Ok(Self { listener, crew }),
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
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(_) => {
                    // Most likely out of descriptors; the public listener says so.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                continue;
            };
            let crew = Arc::clone(&self.crew);
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let crew = Arc::clone(&crew);
                    async move { Ok::<_, Infallible>(answer(&crew, &request).await) }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_MAX)
                    .serve_connection(TokioIo::new(stream), service);
                if let Ok(Err(error)) = tokio::time::timeout(CONNECTION_MAX, connection).await {
                    tracing::debug!(%error, "admin connection failed");
                }
                drop(place);
            });
        }
    }
}

async fn answer(crew: &Crew, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = reply(StatusCode::METHOD_NOT_ALLOWED, TEXT, "use GET\n".to_owned());
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match path {
        "/live" => return reply(StatusCode::OK, TEXT, "live\n".to_owned()),
        "/ready" if crew.is_draining() => {
            return reply(
                StatusCode::SERVICE_UNAVAILABLE,
                TEXT,
                "draining\n".to_owned(),
            );
        }
        "/ready" if !crew.is_whole() => {
            return reply(
                StatusCode::SERVICE_UNAVAILABLE,
                TEXT,
                "a worker has ended, restart this node\n".to_owned(),
            );
        }
        "/ready" => {
            let (status, text) = readiness(crew);
            return reply(status, TEXT, text);
        }
        _ => {}
    }
    if let Some(token) = &crew.config.admin.token
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
        "/health" => reply(StatusCode::OK, JSON, format!("{:#}\n", health(crew).await)),
        "/metrics" => reply(StatusCode::OK, OPEN_METRICS, metrics(crew)),
        "/ledger" => ledger(crew, request.uri().query()).await,
        "/history" => history::answer(crew, request.uri().query()).await,
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

/// Compares in a time that depends on the lengths only.
fn is_authorized(request: &Request<Incoming>, token: &Secret) -> bool {
    let given = request
        .headers()
        .get(AUTHORIZATION)
        .map(HeaderValue::as_bytes);
    let Some(given) = given.and_then(|value| value.strip_prefix(b"Bearer ")) else {
        return false;
    };
    let expected = token.expose().as_bytes();
    let differences = given
        .iter()
        .zip(expected)
        .fold(0, |sum, (a, b)| sum | (a ^ b));
    given.len() == expected.len() && differences == 0
}

/// Ready, ready but cut off from other nodes, or not ready for that reason.
fn readiness(crew: &Crew) -> (StatusCode, String) {
    let reasons = bridge_reasons(crew);
    if reasons.is_empty() {
        (StatusCode::OK, "ready\n".to_owned())
    } else if crew.config.bridge.required {
        let text = format!("not ready: {}\n", reasons.join("; "));
        (StatusCode::SERVICE_UNAVAILABLE, text)
    } else {
        let text = format!("ready, degraded: {}\n", reasons.join("; "));
        (StatusCode::OK, text)
    }
}

/// Why other nodes, or Django, are not reached over a Redis.
fn bridge_reasons(crew: &Crew) -> Vec<String> {
    let Some(bridge) = &crew.bridge else {
        return Vec::new();
    };
    let nodes = reasons("redis", bridge.reports());
    nodes
        .chain(reasons("django", bridge.channel_reports()))
        .collect()
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
fn bridge_health(crew: &Crew) -> Value {
    let Some(bridge) = &crew.bridge else {
        return json!({ "mode": "off" });
    };
    let now = crew.clock.now();
    let (nodes, django) = (bridge.reports(), bridge.channel_reports());
    json!({
        "mode": crew.config.bridge.mode,
        "redis": links(&nodes, now),
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

async fn health(crew: &Crew) -> Value {
    let reports = crew.audit(None).await;
    let answering = reports.len();
    let mut reasons = Vec::new();
    if crew.is_draining() {
        reasons.push("draining".to_owned());
    }
    if answering < crew.len() && !crew.is_draining() {
        reasons.push(format!(
            "{} of {} workers do not answer",
            crew.len() - answering,
            crew.len()
        ));
    }
    reasons.extend(bridge_reasons(crew));
    let unexplained: i64 = reports
        .iter()
        .map(|report| report.ledger.unexplained())
        .sum();
    if unexplained != 0 {
        reasons.push(format!("the ledger has a residue of {unexplained}"));
    }
    let prompts = crew.assistant.counts();
    json!({
        "status": if reasons.is_empty() { "ok" } else { "degraded" },
        "reasons": reasons,
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": crew.clock.now().0 / 1_000,
        "workers": { "running": answering, "configured": crew.len() },
        "connections": reports.iter().map(|report| report.connections).sum::<usize>(),
        "rooms": crew.broker.rooms(),
        "assistant": {
            "kind": crew.config.assistant.kind,
            "open": prompts.open,
            "replied": prompts.replied,
            "apologised": prompts.timeouts + prompts.panics + prompts.failures + prompts.stopped,
            "busy": prompts.busy,
        },
        "bridge": bridge_health(crew),
    })
}

/// Gauges that somebody else keeps are read at the moment of the scrape.
fn metrics(crew: &Crew) -> String {
    let metrics = &crew.metrics;
    metrics.rooms.set(signed(crew.broker.rooms() as u64));
    let (placement, now) = (crew.broker.placement(), crew.clock.now());
    for worker in 0..crew.len() {
        let label = [("worker", worker)];
        let connections = placement.connections(worker) as u64;
        metrics
            .worker_connections
            .get_or_create(&label)
            .set(signed(connections));
        metrics
            .worker_load
            .get_or_create(&label)
            .set(signed(placement.load(worker, now)));
    }
    metrics
        .log_lines_dropped
        .set(signed(telemetry::lines_dropped()));
    raise(&metrics.publications, crew.broker.publications());
    if let Some(bridge) = &crew.bridge {
        bridge.measure();
    }
    let prompts = crew.assistant.counts();
    for (outcome, total) in [
        ("replied", prompts.replied),
        ("timeout", prompts.timeouts),
        ("panic", prompts.panics),
        ("failure", prompts.failures),
        ("stopped", prompts.stopped),
        ("busy", prompts.busy),
    ] {
        raise(
            &metrics.prompts.get_or_create(&[("outcome", outcome)]),
            total,
        );
    }
    if let Some(process) = Process::read() {
        metrics.resident.set(signed(process.resident_bytes));
        metrics.open_fds.set(signed(process.open_fds));
    }
    metrics.text()
}

/// Brings a counter up to a total that somebody else keeps. Two scrapes at once do it once.
fn raise(counter: &Counter, total: u64) {
    counter.inner().fetch_max(total, Ordering::Relaxed);
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

async fn ledger(crew: &Crew, query: Option<&str>) -> Response<Full<Bytes>> {
    let Some(asked) = query.and_then(|query| query.strip_prefix("room=")) else {
        let reports = crew.audit(None).await;
        let workers: Vec<Value> = reports
            .iter()
            .map(|report| account(&report.ledger).into())
            .collect();
        let mut whole = account(&sum(&reports));
        whole.insert("accepted".to_owned(), crew.broker.publications().into());
        whole.insert("workers".to_owned(), workers.into());
        return reply(
            StatusCode::OK,
            JSON,
            format!("{:#}\n", Value::Object(whole)),
        );
    };
    let found = RoomName::parse(asked).and_then(|name| Some((crew.broker.find(&name)?, name)));
    let Some((room, name)) = found else {
        let text = "no such room with members on this node\n";
        return reply(StatusCode::NOT_FOUND, TEXT, text.to_owned());
    };
    let mut whole = account(&sum(&crew.audit(Some(&name)).await));
    whole.insert("room".to_owned(), name.as_str().into());
    whole.insert("accepted".to_owned(), room.sequence().into());
    whole.insert("members".to_owned(), room.members().into());
    reply(
        StatusCode::OK,
        JSON,
        format!("{:#}\n", Value::Object(whole)),
    )
}

fn sum(reports: &[Report]) -> Ledger {
    reports.iter().fold(Ledger::default(), |mut sum, report| {
        sum += report.ledger;
        sum
    })
}

fn account(ledger: &Ledger) -> Map<String, Value> {
    let columns = Cause::ALL.iter().zip(ledger.dropped);
    let dropped = columns.map(|(cause, count)| (cause.label().to_owned(), count.into()));
    [
        ("expected", ledger.expected.into()),
        ("delivered", ledger.delivered.into()),
        ("dropped", Value::Object(dropped.collect())),
        ("queued", ledger.queued.into()),
        ("unexplained", ledger.unexplained().into()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into_iter()
    .collect()
}

/// What the kernel says about this process. `None` where there is no `/proc`.
struct Process {
    resident_bytes: u64,
    open_fds: u64,
}

impl Process {
    fn read() -> Option<Self> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
        let open_fds = std::fs::read_dir("/proc/self/fd").ok()?.count() as u64;
        Some(Self {
            resident_bytes: kib * 1024,
            open_fds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_scrapes_at_once_count_nothing_twice() {
        let counter = Counter::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..20_000).for_each(|total| raise(&counter, total)));
            }
        });
        assert_eq!(counter.get(), 19_999);
    }
}
