//! The HTTP API: what the site's own programs publish, close and ask, on all nodes.
//!
//! - `POST /api/publish`: a message into one room, wherever its members are.
//! - `POST /api/broadcast`: a message into every room of a business, or of all.
//! - `POST /api/disconnect`: closes the connections of a user, of a room, or one.
//! - `POST /api/batch`: several of these, each with an answer of its own.
//! - `GET /api/presence?room=chat_1_abc`: who is in a room.
//! - `GET /api/archive?after=CURSOR`: what was said in all rooms.
//! - `GET /api/openapi.json`: all of it as OpenAPI 3.1.
//!
//! Every answer that is no success is a problem document (RFC 9457). On the public listener with `api.token`; with
//! `api.listen` on a listener of its own alone ([`ApiListener`]).
//!
//! Not for: the order and the way of what is published (`broker`, `bridge`), and not for the operator (`admin`).
//!
//! Limits: `api.requests` at once, each with a body of `api.body_bytes` within `server.handshake_timeout`; the rate
//! of messages; `api.batch`, `api.members`; other nodes within `api.nodes_timeout`.

mod archive;
mod command;
mod connection_id;
mod exchange;
mod fields;
mod fleet;
mod listener;
mod local_node;
pub(crate) mod memory;
mod problem;
mod query;
mod window;

pub use listener::{ApiListener, listen};

use crate::archive::Archive;
use crate::auth::Attendance;
use crate::bridge::Bridge;
use crate::broker::Broker;
use crate::clock::Clock;
use crate::config::{ApiSettings, Config, is_loopback};
use crate::http::{self, Host};
use crate::metrics::{ApiRequests, Metrics};
use crate::worker::Workers;
use archive::ArchiveFeed;
use bytes::Bytes;
use command::{ApiCommand, BATCH};
use fields::{Fields, invalid, missing};
use fleet::Fleet;
use hyper::body::Body;
use hyper::header::ORIGIN;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use local_node::LocalNode;
use problem::{ApiProblem, ProblemKind};
use query::check_query;
use serde_json::{Value, json};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// What the paths of the API begin with.
const PREFIX: &str = "/api/";

/// Questions to other nodes of one batch that are under way: half of what a node hears at once.
const QUESTIONS_AT_ONCE: usize = 16;

/// The API as a document, for whoever makes clients of such.
const OPENAPI: &str = include_str!("openapi.json");

/// The endpoints: what follows [`PREFIX`], and the methods each takes.
const ENDPOINTS: [(&str, &str); 7] = [
    ("publish", "POST"),
    ("broadcast", "POST"),
    ("disconnect", "POST"),
    ("batch", "POST"),
    ("presence", "GET, HEAD"),
    ("archive", "GET, HEAD"),
    ("openapi.json", "GET, HEAD"),
];

/// What the API works on.
#[derive(Debug)]
pub struct ApiSources {
    /// Settings.
    pub config: Arc<Config>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// The node's time.
    pub clock: Clock,
    /// Rooms.
    pub broker: Arc<Broker>,
    /// The data plane.
    pub workers: Arc<Workers>,
    /// Who is connected, of those of whom something is known.
    pub attendance: Arc<Attendance>,
    /// The way to other nodes, if there is one.
    pub bridge: Option<Arc<Bridge>>,
    /// What is kept of what is said, if anything is.
    pub archive: Option<Arc<Archive>>,
}

/// The API of one node.
#[derive(Debug)]
pub struct Api {
    settings: ApiSettings,
    text_bytes_max: usize,
    body_timeout: Duration,
    fleet: Fleet,
    archive: ArchiveFeed,
    at_once: Semaphore,
    requests: ApiRequests,
}

impl Api {
    /// The API of this node, which from here on also answers other nodes that ask for theirs: those may have one where
    /// this has none.
    #[must_use]
    pub fn new(sources: ApiSources) -> Self {
        let config = &sources.config;
        let requests = sources.metrics.api_requests.clone();
        if config.api.is_on() {
            for (endpoint, _) in ENDPOINTS {
                drop(requests.get_or_create(&[("endpoint", endpoint), ("status", "200")]));
            }
        }
        Self {
            settings: config.api.clone(),
            text_bytes_max: config.chat.text_bytes_max,
            body_timeout: config.server.handshake_timeout,
            at_once: Semaphore::new(config.api.requests),
            requests,
            archive: ArchiveFeed::new(
                config,
                (sources.archive, sources.bridge.clone()),
                &sources.metrics,
                sources.clock,
            ),
            fleet: Fleet::new(
                config,
                LocalNode::new(
                    config,
                    sources.broker,
                    sources.workers,
                    sources.attendance,
                    sources.clock,
                ),
                sources.bridge,
            ),
        }
    }

    /// Is this path the API's on the public listener? Beside a site behind this node only that of an endpoint is: the
    /// site may have an API of its own.
    pub(super) fn is_public(&self, path: &str, beside_site: bool) -> bool {
        let is_on = self.settings.token.is_some() && self.settings.listen.is_none();
        let is_ours = |name| !beside_site || ENDPOINTS.iter().any(|(other, _)| name == *other);
        is_on && path.strip_prefix(PREFIX).is_some_and(is_ours)
    }

    /// Answers a request.
    ///
    /// # Cancel safety
    /// What was asked may have been done, in part.
    pub(super) async fn answer<B>(&self, request: Request<B>) -> Response<Bytes>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let name = request.uri().path().strip_prefix(PREFIX);
        let endpoint = ENDPOINTS.iter().find(|(other, _)| name == Some(*other));
        let response = match self.serve(request, endpoint).await {
            Ok(response) => response,
            Err(problem) => {
                tracing::debug!(problem = problem.kind.name(), "an API request was refused");
                problem.response()
            }
        };
        let endpoint = endpoint.map_or("other", |(name, _)| *name);
        let status = status_label(response.status());
        let series = [("endpoint", endpoint), ("status", status)];
        self.requests.get_or_create(&series).inc();
        response
    }

    async fn serve<B>(
        &self,
        request: Request<B>,
        endpoint: Option<&(&'static str, &'static str)>,
    ) -> Result<Response<Bytes>, ApiProblem>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        self.check_asker(&request)?;
        let (head, body) = request.into_parts();
        let (name, methods) = *endpoint.ok_or(ProblemKind::NotFound)?;
        let is_read = matches!(head.method, Method::GET | Method::HEAD);
        if is_read != (methods != "POST") || !(is_read || head.method == Method::POST) {
            return Err(ApiProblem::method(methods));
        }
        let _permit = self
            .at_once
            .try_acquire()
            .map_err(|_full| ApiProblem::later(ProblemKind::Busy, 1))?;
        let query = head.uri.query().unwrap_or_default();
        match name {
            "openapi.json" => {
                check_query(query, &[])?;
                return Ok(exchange::text(Bytes::from_static(OPENAPI.as_bytes())));
            }
            "archive" => return self.archive.answer(query).await,
            "presence" => {
                let command = presence(query, self.text_bytes_max)?;
                return Ok(exchange::json(&self.fleet.begin(command).await?.await));
            }
            _ => {}
        }
        check_query(query, &[])?;
        let body = self.body(&head.headers, body).await?;
        let fields = Fields::parse(&body)?;
        let answer = if name == "batch" {
            self.batch(fields).await?
        } else {
            let command = ApiCommand::read(name, fields, self.text_bytes_max)?;
            self.fleet.begin(command).await?.await
        };
        Ok(exchange::json(&answer))
    }

    /// May this asker ask anything? The answer depends on nothing but the token, where there is one.
    fn check_asker<B>(&self, request: &Request<B>) -> Result<(), ApiProblem> {
        if let Some(token) = &self.settings.token {
            let is_known = http::is_bearer(request.headers(), token);
            return is_known
                .then_some(())
                .ok_or(ProblemKind::Unauthorized.into());
        }
        // A loopback listener: a web page in a browser of this machine could reach it, by its address or by a name of
        // its own that points here (DNS rebinding).
        let is_ours = match Host::of(request) {
            Ok(None) => true,
            Ok(Some(Host::Address(address))) => is_loopback(address),
            Ok(Some(Host::Name(name))) => name.eq_ignore_ascii_case("localhost"),
            Err(_) => false,
        };
        if !is_ours {
            return Err(ProblemKind::ForeignHost.into());
        }
        if request.headers().contains_key(ORIGIN) {
            return Err(ProblemKind::ForeignPage.into());
        }
        Ok(())
    }

    async fn body<B>(&self, headers: &HeaderMap, body: B) -> Result<Bytes, ApiProblem>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        exchange::check_type(headers)?;
        exchange::read_body(body, self.settings.body_bytes, self.body_timeout).await
    }

    /// Several commands, in their order: what one publishes is published before the next one begins.
    async fn batch(&self, mut fields: Fields) -> Result<Value, ApiProblem> {
        const FIELD: &str = "commands";
        fields.are_among(&[FIELD])?;
        let commands = match fields.take(FIELD) {
            Some(Value::Array(commands)) => commands,
            Some(_) => return Err(invalid(FIELD, "a list")),
            None => return Err(missing(FIELD)),
        };
        let most = self.settings.batch;
        if commands.is_empty() || commands.len() > most {
            return Err(invalid(FIELD, format!("1 to {most} commands (api.batch)")));
        }
        let mut begun = Vec::with_capacity(commands.len());
        // Other nodes answer so many questions at once, and do not hear more.
        let turns = Arc::new(Semaphore::new(QUESTIONS_AT_ONCE));
        for (at, command) in commands.into_iter().enumerate() {
            let within = |problem: ApiProblem| problem.within(&format!("{FIELD}.{at}"));
            let command = Fields::of(command, "")
                .map_err(|_no_object| invalid(&format!("{FIELD}.{at}"), "an object"))
                .and_then(|fields| {
                    ApiCommand::read_named(fields, &BATCH, self.text_bytes_max).map_err(within)
                });
            begun.push(match command {
                Ok(command) => self.fleet.begin(command).await.map(|answer| {
                    let turns = Arc::clone(&turns);
                    tokio::spawn(async move {
                        let _turn = turns.acquire_owned().await;
                        answer.await
                    })
                }),
                Err(problem) => Err(problem),
            });
        }
        let mut results = Vec::with_capacity(begun.len());
        for command in begun {
            results.push(match command {
                // Not awaited any more only when the process ends.
                Ok(answer) => {
                    let result = answer.await.unwrap_or_default();
                    json!({ "status": StatusCode::OK.as_u16(), "result": result })
                }
                Err(problem) => {
                    let status = problem.kind.status().as_u16();
                    json!({ "status": status, "problem": problem.document() })
                }
            });
        }
        Ok(json!({ "results": results }))
    }
}

/// The question of a query for presence.
fn presence(query: &str, text_bytes_max: usize) -> Result<ApiCommand, ApiProblem> {
    const FIELD: &str = "room";
    check_query(query, &[FIELD])?;
    let room = http::parameter(Some(query), FIELD);
    let fields = Fields::from_iter(room.map(|room| (FIELD.to_owned(), room.as_ref().into())));
    // Of a query all of it is one kind of problem.
    ApiCommand::read("presence", fields, text_bytes_max).map_err(|problem| problem.of_query())
}

/// The statuses that are given, as labels.
fn status_label(status: StatusCode) -> &'static str {
    match status.as_u16() {
        200 => "200",
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        405 => "405",
        408 => "408",
        409 => "409",
        413 => "413",
        415 => "415",
        421 => "421",
        422 => "422",
        429 => "429",
        503 => "503",
        _ => "other",
    }
}

#[cfg(test)]
mod tests;
