//! One request: path → handler, or a refusal, decided before the 101. What is nobody's here is the site's behind this
//! node, if there is one.
//!
//! The order: 400 (`Host`), 414, 404, 503 (draining), the handshake's own rules (405, 400, 426), the origin (403), who it
//! is (401, 403), 503 or 429. Every refusal is counted by reason and logged at debug level.

use super::admission::{Full, Permit, peer_of};
use super::body::{ResponseBody, whole};
use super::first_read;
use super::refusal::RefusedRequest;
use super::route::{self, DjangoTarget, Match, Target};
use super::unbelieved::UnbelievedProxies;
use super::upstream::SiteSocket;
use super::visitor::{Peer, Visitor};
use super::{Entrance, EntryRules};
use crate::auth::{AuthRefusal, Credentials, Known};
use crate::broker::{Caller, QuotaHolder, QuotaHolds, QuotaScope, Role};
use crate::chat::{self, DjangoPeer};
use crate::config::{CHAT_PATH, Dialect, Exists, Handler};
use crate::http::{Host, PaceHandle};
use crate::metrics::count;
use crate::name::RoomName;
use crate::protocol::django;
use crate::transport::handshake::{self, Offer, RequestHead};
use crate::worker::Accepted;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::http::uri::Authority;
use hyper::{Request, Response, StatusCode};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};

/// What every request is judged by.
#[derive(Debug)]
pub(super) struct HandshakeService {
    pub(super) entrance: Entrance,
    uri_bytes: usize,
    /// Where the chat of dialect `django` is served.
    django: Option<DjangoRoute>,
    visits: AtomicU64,
    unbelieved: UnbelievedProxies,
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

/// Where a client's socket goes once it has the 101.
#[derive(Debug)]
pub(super) enum Switched {
    /// To a worker.
    Worker(Upgrade),
    /// To the site.
    Site(SiteSocket, SiteShare),
}

/// What a WebSocket of the site's holds here: its place among all connections, and its share of what its address may use.
#[derive(Debug)]
pub(super) struct SiteShare {
    pub(super) permit: Permit,
    pub(super) holds: Option<QuotaHolds>,
}

/// A handshake that keeps the rules, of somebody who is still to be asked for.
struct Candidate<'a> {
    offer: Offer,
    path_target: PathTarget,
    target: &'a str,
    head: &'a RequestHead<'a>,
    visitor: &'a Visitor<'a>,
}

/// A request that is for no route of this node, and who sends it. `on_forward` is called if it goes to the site and has
/// its place there.
pub(super) struct OtherRequest<F> {
    pub(super) request: Box<Request<Incoming>>,
    pub(super) visitor: Visitor<'static>,
    pub(super) pace: PaceHandle,
    pub(super) on_forward: F,
}

/// Where a WebSocket's path leads.
enum PathTarget {
    Route(Match),
    /// Dialect `django`'s, which takes in those too who cannot join.
    Django(DjangoTarget),
}

impl PathTarget {
    /// The business that the path names.
    fn business_id(&self) -> Option<&str> {
        match self {
            Self::Route(matched) => matched.named("business_id", RoomName::business_id),
            Self::Django(target) => Some(&target.business_id),
        }
    }

    /// The session that the path names.
    fn session_id(&self) -> Option<&str> {
        match self {
            Self::Route(matched) => matched.named("session_id", RoomName::session_id),
            Self::Django(target) => Some(&target.session_id),
        }
    }

    /// The business that the path names, by one spelling: dialect `django` takes `01` for `1`, and digits of all scripts.
    fn business(&self) -> Option<String> {
        match self {
            Self::Route(_) => self.business_id().map(str::to_owned),
            Self::Django(target) => {
                let number = target.business_number().map(|number| number.to_string());
                number.or_else(|| Some(target.business_id.clone()))
            }
        }
    }
}

impl Candidate<'_> {
    fn credentials(&self) -> Credentials<'_> {
        Credentials {
            head: self.head,
            target: self.target,
            client: self.visitor.client,
            is_https: self.visitor.is_https,
            host: self.visitor.host.as_deref(),
            business_id: self.path_target.business_id(),
            session_id: self.path_target.session_id(),
        }
    }
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
            unbelieved: UnbelievedProxies::new(&entrance.metrics),
            entrance,
        }
    }

    /// Notes a PROXY header at the beginning of a connection from this address of whom none is due.
    pub(super) fn note_line(&self, address: IpAddr, bytes: &[u8]) {
        let proxies = &self.entrance.policy.proxies;
        if proxies.is_unbelieved_line(address, bytes) {
            self.unbelieved.note(address);
        }
    }

    /// Answers a request; where the socket goes from here comes with a 101. `on_forward` is called if the request goes
    /// to the site and has its place there, `on_client` once it is known who asks.
    ///
    /// # Cancel safety
    /// Dropped when the client goes away; nothing stays counted.
    pub(super) async fn answer(
        &self,
        request: Box<Request<Incoming>>,
        peer: Peer,
        pace: PaceHandle,
        on_client: impl FnOnce(IpAddr) -> Result<(), Full>,
        on_forward: impl FnOnce(),
    ) -> (Response<ResponseBody>, Option<Switched>) {
        let served = self.serve(request, peer, pace, on_client, on_forward);
        let (mut response, switched) = match served.await {
            Ok(served) => served,
            Err(refused) => (self.refuse(refused), None),
        };
        if switched.is_none() && self.entrance.is_closing() {
            // RFC 9112 §9.6: the next request belongs to another node.
            let close = HeaderValue::from_static("close");
            response.headers_mut().append(CONNECTION, close);
        }
        (response, switched)
    }

    async fn serve(
        &self,
        request: Box<Request<Incoming>>,
        peer: Peer,
        pace: PaceHandle,
        on_client: impl FnOnce(IpAddr) -> Result<(), Full>,
        on_forward: impl FnOnce(),
    ) -> Result<(Response<ResponseBody>, Option<Switched>), RefusedRequest> {
        if Host::of(&request).is_err() {
            let reason = "Host missing or malformed";
            return Err(RefusedRequest::new(StatusCode::BAD_REQUEST, "host", reason));
        }
        let target = request.uri().path_and_query();
        let target = target.map_or("", |target| target.as_str());
        let head = RequestHead::of(&request);
        let authority = request.uri().authority().map(Authority::as_str);
        let proxies = &self.entrance.policy.proxies;
        if proxies.is_unbelieved(peer, &head) {
            self.unbelieved.note(peer.address);
        }
        let visitor = proxies.visitor(peer, &head, authority)?;
        on_client(visitor.client).or(Err(RefusedRequest::TOO_MANY_HANDSHAKES))?;
        let rules = self.entrance.rules();
        let Some(candidate) = self.judge(&rules, target, &head, &visitor)? else {
            let visitor = visitor.into_owned();
            let asked = OtherRequest {
                request,
                visitor,
                pace,
                on_forward,
            };
            return self.respond(asked).await;
        };
        self.entrance.quotas.begin(peer_of(visitor.client))?;
        let known = rules.authenticator.verify(&candidate.credentials()).await;
        let known = known.inspect_err(|refusal| self.note(refusal))?;
        let response = handshake::accept(&candidate.offer)?;
        let enter = |holder: &QuotaHolder<'_>| self.entrance.quotas.enter(holder);
        let upgrade = self.admit(candidate, known, enter)?;
        let switched = Switched::Worker(upgrade);
        Ok((response.map(|_empty| whole("")), Some(switched)))
    }

    /// Accepts the handshake at the beginning of `bytes`, if the whole of it is there, nothing speaks against it and
    /// nobody has to be waited for. Otherwise it has had no effect: hyper reads the same bytes, and
    /// [`HandshakeService::answer`] says what is wrong.
    pub(super) fn accept_at_once(&self, bytes: &[u8], peer: SocketAddr) -> Option<Accepted> {
        let fields_max = self.entrance.config.limits.headers;
        let proxies = &self.entrance.policy.proxies;
        // Whoever is accepted at once has come by the public listener.
        let is_tls = self.entrance.config.tls.is_on();
        let (peer, begin) = proxies.meet(peer.ip(), is_tls, bytes).ok()??;
        let first = first_read::parse(bytes.get(begin..)?, fields_max)?;
        let visitor = proxies.visitor(peer, &first.head, None).ok()?;
        let rules = self.entrance.rules();
        let candidate = self.judge(&rules, first.target, &first.head, &visitor);
        let candidate = candidate.ok()??;
        let known = rules.authenticator.verify_at_once(&candidate.credentials());
        let known = known.ok()??;
        let answer = handshake::answer(&candidate.offer);
        let enter = |holder: &QuotaHolder<'_>| self.entrance.quotas.enter_at_once(holder);
        let Upgrade { role, room, permit } = self.admit(candidate, known, enter).ok()?;
        if proxies.is_unbelieved(peer, &first.head) {
            self.unbelieved.note(peer.address);
        }
        Some(Accepted {
            length: begin + first.length,
            answer,
            passage: self.entrance.workers.place(room.as_ref()),
            role,
            room,
            counted: permit.hand_over(),
        })
    }

    /// Does the handshake keep the rules? `None` where the path is no WebSocket's.
    fn judge<'a>(
        &self,
        rules: &EntryRules,
        target: &'a str,
        head: &'a RequestHead<'a>,
        visitor: &'a Visitor<'a>,
    ) -> Result<Option<Candidate<'a>>, RefusedRequest> {
        if target.len() > self.uri_bytes {
            return Err(RefusedRequest::new(
                StatusCode::URI_TOO_LONG,
                "uri",
                "request target too long",
            ));
        }
        let path = target.split('?').next().unwrap_or_default();
        let Some(path_target) = self.path_target(path) else {
            return Ok(None);
        };
        if self.entrance.is_closing() {
            return Err(RefusedRequest::DRAINING);
        }
        let mut offer = handshake::check(head)?;
        if self.entrance.policy.redirect.is_required && !visitor.is_https {
            return Err(RefusedRequest::WITHOUT_TLS);
        }
        let allowed = &rules.allowed;
        if !allowed.admits(head.value("origin"), visitor.host.as_deref()) {
            return Err(RefusedRequest::new(
                StatusCode::FORBIDDEN,
                "origin",
                "origin not allowed",
            ));
        }
        offer.answered = rules.answered(&offer);
        Ok(Some(Candidate {
            offer,
            path_target,
            target,
            head,
            visitor,
        }))
    }

    /// Where a path leads, if it is a WebSocket's.
    fn path_target(&self, path: &str) -> Option<PathTarget> {
        let django = self.django.as_ref();
        let django = django.and_then(|_route| route::match_django(path));
        django.map(PathTarget::Django).or_else(|| {
            let matched = self.entrance.policy.router.match_path(path);
            matched.map(PathTarget::Route)
        })
    }

    /// Takes in whoever this is, if there is room, and if `enter` finds enough of the quotas left.
    fn admit(
        &self,
        candidate: Candidate<'_>,
        known: Known,
        enter: impl FnOnce(&QuotaHolder<'_>) -> Result<Option<QuotaHolds>, QuotaScope>,
    ) -> Result<Upgrade, RefusedRequest> {
        let address = peer_of(candidate.visitor.client);
        let permit = self.entrance.enter(address)?;
        let business = candidate.path_target.business();
        let (role, room) = match candidate.path_target {
            PathTarget::Route(matched) => self.role_of(matched, &known),
            PathTarget::Django(target) => self.django_role(target),
        };
        let holds = enter(&QuotaHolder {
            room: room.as_ref().map(RoomName::as_str),
            user: known.as_ref().and_then(|known| known.user.as_deref()),
            business_id: business.as_deref(),
            address,
        })?;
        let role = match known {
            Some(identity) => role.taken_by(identity),
            None => role,
        };
        let role = match holds {
            Some(holds) => role.with_holds(holds),
            None => role,
        };
        Ok(Upgrade { role, room, permit })
    }

    fn role_of(&self, matched: Match, known: &Known) -> (Role, Option<RoomName>) {
        let mut role = match matched.target {
            Target::BuiltIn(Handler::Chat) => chat::guide(),
            Target::BuiltIn(Handler::Relay) => chat::relay(),
            Target::BuiltIn(Handler::Echo) => chat::echo(),
            Target::Own(number) => {
                let caller = Caller {
                    identity: known.clone().unwrap_or_default(),
                    parameters: matched.parameters,
                    room: matched.room.clone(),
                };
                match self.entrance.policy.own.get(number) {
                    Some(route) => chat::own(route, caller),
                    // The router counts the same routes.
                    None => chat::echo(),
                }
            }
        };
        role.settings = matched.settings;
        let has_room = matched.target != Target::BuiltIn(Handler::Echo);
        (role, matched.room.filter(|_| has_room))
    }

    fn django_role(&self, target: DjangoTarget) -> (Role, Option<RoomName>) {
        let django = self.django.as_ref();
        let exists = django.map_or(&[][..], |django| &django.exists);
        let joined = django::join(exists, &target.business_id, &target.session_id);
        let prompts = joined.room.clone().or_else(|| {
            // Prompts are taken one at a time per room, so a connection without one gets its own.
            let number = self.visits.fetch_add(1, Ordering::Relaxed);
            let business = target.business_number().unwrap_or_default().to_string();
            RoomName::chat(&business, &format!("visit-{number}"))
        });
        let mut role = chat::django(DjangoPeer {
            business_id: target.business_id,
            session_id: target.session_id,
            error: joined.error,
            // A business number too long to exist: nothing sent there gets more than an error.
            answers: joined.answers && prompts.is_some(),
            prompts: prompts.unwrap_or_else(RoomName::lobby),
        });
        role.settings = django.map_or(0, |django| django.settings);
        (role, joined.room)
    }

    /// Counts why somebody does not come in, of which the client is told no more than that.
    fn note(&self, refusal: &AuthRefusal) {
        count(&self.entrance.metrics.auth_refused, "cause", refusal.cause);
        tracing::debug!(cause = refusal.cause, "credentials refused");
    }

    pub(super) fn refuse(&self, refused: RefusedRequest) -> Response<ResponseBody> {
        let counter = &self.entrance.metrics.handshakes_refused;
        count(counter, "reason", refused.label());
        refused.answer()
    }
}
