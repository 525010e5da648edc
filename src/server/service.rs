//! One request: path → handler, or a refusal, decided before the 101.
//!
//! The order: 400 (`Host`), 414, 404, 503 (draining), the handshake's own rules (405, 400, 426), 403, 503 or 429.
//! Every refusal is counted by reason, answered with one line that repeats nothing of the request,
//! and logged at debug level.

use super::Entrance;
use super::admission::{Full, Permit};
use super::first_read;
use super::page;
use super::route::{self, Target};
use crate::broker::{Caller, Identity, Role};
use crate::chat::{self, DjangoPeer};
use crate::config::{CHAT_PATH, Dialect, Exists, Handler};
use crate::http::Host;
use crate::metrics::count;
use crate::name::RoomName;
use crate::protocol::django;
use crate::transport::handshake::{self, Offer, RequestHead};
use crate::worker::Accepted;
use bytes::Bytes;
use http_body_util::Full as Body;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, UPGRADE};
use hyper::{Method, Request, Response, StatusCode, Uri};
use std::sync::atomic::{AtomicU64, Ordering};

/// What every request is judged by.
#[derive(Debug)]
pub(super) struct HandshakeService {
    pub(super) entrance: Entrance,
    uri_bytes: usize,
    /// Where the chat of dialect `django` is served.
    django: Option<DjangoRoute>,
    visits: AtomicU64,
}

/// The one route of dialect `django`.
#[derive(Debug)]
struct DjangoRoute {
    exists: Vec<Exists>,
    /// The number of its settings, or 0.
    settings: u8,
}

/// An accepted upgrade, on its way to a worker.
#[derive(Debug)]
pub(super) struct Upgrade {
    pub(super) role: Role,
    pub(super) room: Option<RoomName>,
    pub(super) permit: Permit,
}

/// Why a request is not served.
struct RefusedRequest {
    status: StatusCode,
    reason: &'static str,
    label: &'static str,
    hint: Hint,
}

/// What the answer tells the client to do.
enum Hint {
    None,
    /// What the handshake would accept.
    Handshake(handshake::RefusalKind),
    /// Come back later.
    RetryAfter,
}

impl RefusedRequest {
    const fn new(status: StatusCode, label: &'static str, reason: &'static str) -> Self {
        Self {
            status,
            reason,
            label,
            hint: Hint::None,
        }
    }

    const fn later(status: StatusCode, label: &'static str, reason: &'static str) -> Self {
        Self {
            hint: Hint::RetryAfter,
            ..Self::new(status, label, reason)
        }
    }
}

impl From<handshake::HandshakeRefusal> for RefusedRequest {
    fn from(refusal: handshake::HandshakeRefusal) -> Self {
        Self {
            status: refusal.status(),
            reason: refusal.reason,
            label: refusal.kind.label(),
            hint: Hint::Handshake(refusal.kind),
        }
    }
}

/// One to five seconds, different from client to client, so that they do not come back at once.
fn retry_after() -> HeaderValue {
    HeaderValue::from(1 + crate::clock::wall().1 % 5)
}

impl HandshakeService {
    pub(super) fn new(entrance: Entrance) -> Self {
        let config = &entrance.config;
        let chat = entrance.policy.router.chat_at(CHAT_PATH);
        let chat = chat.filter(|_| config.chat.dialect == Dialect::Django);
        Self {
            uri_bytes: config.limits.uri_bytes,
            django: chat.map(|settings| DjangoRoute {
                exists: config.chat.exists.clone(),
                settings,
            }),
            visits: AtomicU64::new(0),
            entrance,
        }
    }

    /// Answers a request; an accepted upgrade also goes into `upgrade`. `peer` as admission counts.
    pub(super) fn answer(
        &self,
        request: Request<Incoming>,
        peer: u64,
        upgrade: &mut Option<Upgrade>,
    ) -> Response<Body<Bytes>> {
        if Host::of(&request).is_err() {
            let reason = "Host missing or malformed";
            return self.refuse(RefusedRequest::new(StatusCode::BAD_REQUEST, "host", reason));
        }
        let target = request.uri().path_and_query();
        let target = target.map_or("", |target| target.as_str());
        let mut response = match self.judge(target, &RequestHead::of(&request), peer) {
            Ok(Some((offer, accepted))) => match handshake::accept(&offer) {
                Ok(response) => {
                    *upgrade = Some(accepted);
                    return response.map(|_empty| Body::default());
                }
                Err(refusal) => self.refuse(refusal.into()),
            },
            Ok(None) => Self::page(request.method(), request.uri())
                .unwrap_or_else(|refused| self.refuse(refused)),
            Err(refused) => self.refuse(refused),
        };
        if self.entrance.is_closing() {
            // RFC 9112 §9.6: the next request belongs to another node.
            let close = HeaderValue::from_static("close");
            response.headers_mut().append(CONNECTION, close);
        }
        response
    }

    /// What is no WebSocket's.
    fn page(method: &Method, uri: &Uri) -> Result<Response<Body<Bytes>>, RefusedRequest> {
        // `*`, and the target of a CONNECT: the server as a whole, where the methods are the page's.
        let is_server = !uri.path().starts_with('/');
        if is_server && matches!(*method, Method::GET | Method::HEAD) {
            let reason = "a request target begins with /";
            return Err(RefusedRequest::new(
                StatusCode::BAD_REQUEST,
                "malformed",
                reason,
            ));
        }
        let path = if is_server { "/" } else { uri.path() };
        let response = page::respond(method, path, uri.query());
        let response = response.map(|response| response.map(Body::new));
        response.ok_or(RefusedRequest::new(
            StatusCode::NOT_FOUND,
            "path",
            "not found",
        ))
    }

    /// Accepts the handshake at the beginning of `bytes`, if the whole of it is there and nothing speaks against
    /// it. Otherwise it has had no effect: hyper reads the same bytes, and [`HandshakeService::answer`] says what is wrong.
    pub(super) fn accept_at_once(&self, bytes: &[u8], peer: u64) -> Option<Accepted> {
        let fields_max = self.entrance.config.limits.headers;
        let first = first_read::parse(bytes, fields_max)?;
        let (offer, upgrade) = self.judge(first.target, &first.head, peer).ok()??;
        let Upgrade { role, room, permit } = upgrade;
        let _peer = permit.hand_over();
        Some(Accepted {
            length: first.length,
            answer: handshake::answer(&offer),
            passage: self.entrance.workers.place(room.as_ref()),
            role,
            room,
        })
    }

    /// The way in for a WebSocket: what it offers and who it is. `None` where the path is no WebSocket's.
    fn judge(
        &self,
        target: &str,
        head: &RequestHead<'_>,
        peer: u64,
    ) -> Result<Option<(Offer, Upgrade)>, RefusedRequest> {
        if target.len() > self.uri_bytes {
            return Err(RefusedRequest::new(
                StatusCode::URI_TOO_LONG,
                "uri",
                "request target too long",
            ));
        }
        let path = target.split('?').next().unwrap_or_default();
        let Some((role, room)) = self.connection_for(path) else {
            return Ok(None);
        };
        if self.entrance.is_closing() {
            return Err(RefusedRequest::later(
                StatusCode::SERVICE_UNAVAILABLE,
                "draining",
                "draining, try another node",
            ));
        }
        let offer = handshake::check(head)?;
        if !self.entrance.policy.allowed.admits(head.value("origin")) {
            return Err(RefusedRequest::new(
                StatusCode::FORBIDDEN,
                "origin",
                "origin not allowed",
            ));
        }
        let permit = self
            .entrance
            .admission
            .enter(peer)
            .map_err(|full| match full {
                Full::Node => {
                    let status = StatusCode::SERVICE_UNAVAILABLE;
                    RefusedRequest::later(status, "connections", "too many connections")
                }
                Full::Address => {
                    let status = StatusCode::TOO_MANY_REQUESTS;
                    RefusedRequest::later(
                        status,
                        "address",
                        "too many connections from this address",
                    )
                }
            })?;
        Ok(Some((offer, Upgrade { role, room, permit })))
    }

    /// Who comes to this path, if it is a WebSocket's.
    fn connection_for(&self, path: &str) -> Option<(Role, Option<RoomName>)> {
        if let Some(DjangoRoute { exists, settings }) = &self.django
            && let Some(target) = route::match_django(path)
        {
            let (mut role, room) = self.django_connection(exists, target);
            role.settings = *settings;
            return Some((role, room));
        }
        let matched = self.entrance.policy.router.match_path(path)?;
        let mut role = match matched.target {
            Target::BuiltIn(Handler::Chat) => chat::guide(),
            Target::BuiltIn(Handler::Relay) => chat::relay(),
            Target::BuiltIn(Handler::Echo) => chat::echo(),
            Target::Own(number) => {
                let caller = Caller {
                    identity: Identity::default(),
                    parameters: matched.parameters,
                    room: matched.room.clone(),
                };
                chat::own(self.entrance.policy.own.get(number)?, caller)
            }
        };
        role.settings = matched.settings;
        let has_room = matched.target != Target::BuiltIn(Handler::Echo);
        Some((role, matched.room.filter(|_| has_room)))
    }

    fn django_connection(
        &self,
        exists: &[Exists],
        target: route::DjangoTarget,
    ) -> (Role, Option<RoomName>) {
        let joined = django::join(exists, &target.business_id, &target.session_id);
        let prompts = joined.room.clone().or_else(|| {
            // Prompts are taken one at a time per room, so a connection without one gets its own.
            let number = self.visits.fetch_add(1, Ordering::Relaxed);
            let business = target.business_number().unwrap_or_default().to_string();
            RoomName::chat(&business, &format!("visit-{number}"))
        });
        let role = chat::django(DjangoPeer {
            business_id: target.business_id,
            session_id: target.session_id,
            error: joined.error,
            // A business number too long to exist: nothing sent there gets more than an error.
            answers: joined.answers && prompts.is_some(),
            prompts: prompts.unwrap_or_else(RoomName::lobby),
        });
        (role, joined.room)
    }

    fn refuse(&self, refused: RefusedRequest) -> Response<Body<Bytes>> {
        count(
            &self.entrance.metrics.handshakes_refused,
            "reason",
            refused.label,
        );
        tracing::debug!(
            status = refused.status.as_u16(),
            reason = refused.label,
            "request refused"
        );
        let mut response = Response::new(Body::new(Bytes::from_static(refused.reason.as_bytes())));
        *response.status_mut() = refused.status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        match refused.hint {
            Hint::None => {}
            Hint::RetryAfter => {
                headers.insert(RETRY_AFTER, retry_after());
            }
            Hint::Handshake(kind) => {
                let reason = refused.reason;
                let refusal = handshake::HandshakeRefusal { kind, reason };
                if let Some((name, value)) = refusal.header() {
                    // RFC 9110 §7.8: `Upgrade` is a field of this connection. Whoever uses another method is no
                    // client of a WebSocket's route, and is not waited for.
                    if name == UPGRADE {
                        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
                    } else if name == ALLOW {
                        headers.insert(CONNECTION, HeaderValue::from_static("close"));
                    }
                    headers.insert(name, value);
                }
            }
        }
        response
    }
}
