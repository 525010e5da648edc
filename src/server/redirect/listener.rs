//! The listener of `http.redirect`: one request a connection, and one answer.
//!
//! The listener's connections are handshakes as to their number (`limits.handshakes`, `limits.handshakes_per_ip`, shared with the
//! public listener) and time (`server.handshake_timeout`, `server.http_timeout`).

use super::Redirect;
use crate::config::Config;
use crate::http::{self, Host, Pace, PaceHandle, ServiceEnd, Timeouts};
use crate::metrics::{Metrics, count};
use crate::server::admission::{Admission, ListenerKind, Permit};
use crate::server::body::ResponseBody;
use crate::server::handshake_io::HandshakeIo;
use crate::server::refusal::RefusedRequest;
use crate::server::unfinished::{HandshakePlace, UnfinishedHead, UnfinishedHeads};
use crate::server::upstream::{Provenance, Upstream};
use crate::server::visitor::{Peer, Proxies};
use crate::transport::handshake::RequestHead;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HOST, HeaderValue};
use hyper::{Request, Response, StatusCode};
use parking_lot::Mutex;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

/// The pause after a failed accept: most likely out of descriptors, and the public listener says so.
const PAUSE: Duration = Duration::from_millis(100);

/// Redirects whoever comes.
#[derive(Debug)]
pub struct RedirectListener {
    pub(in crate::server) listener: TcpListener,
    pub(in crate::server) redirector: Arc<Redirector>,
}

/// What each of its connections is served by.
#[derive(Debug)]
pub(in crate::server) struct Redirector {
    pub(in crate::server) redirect: Redirect,
    pub(in crate::server) config: Arc<Config>,
    pub(in crate::server) metrics: Arc<Metrics>,
    pub(in crate::server) proxies: Proxies,
    pub(in crate::server) handshakes: Arc<Admission>,
    pub(in crate::server) heads: Arc<UnfinishedHeads>,
    pub(in crate::server) upstream: Option<Arc<Upstream>>,
    pub(in crate::server) closing: watch::Receiver<bool>,
}

impl RedirectListener {
    /// The listener's address, with the port that the system chose if it was 0.
    ///
    /// # Errors
    /// The system's.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the node takes nobody new any more.
    ///
    /// # Cancel safety
    /// Answers under way are finished by their own tasks.
    pub async fn run(self) {
        let mut closing = self.redirector.closing.clone();
        let ended = closing.wait_for(|is_closing| *is_closing);
        tokio::select! {
            _ended = ended => {}
            () = accept(&self.listener, &self.redirector) => {}
        }
    }
}

async fn accept(listener: &TcpListener, redirector: &Arc<Redirector>) {
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let counted = redirector.proxies.counts_as(peer.ip());
        redirector.heads.make_place(&redirector.handshakes);
        // Who is one too many is closed upon: whatever listens for redirects asks again.
        let Ok(permit) = redirector
            .handshakes
            .enter_by(ListenerKind::Beside, counted)
        else {
            redirector.count_refusal("handshakes");
            continue;
        };
        let redirector = Arc::clone(redirector);
        tokio::spawn(async move { redirector.serve(stream, peer.ip(), permit).await });
    }
}

impl Redirector {
    fn count_refusal(&self, reason: &'static str) {
        count(&self.metrics.handshakes_refused, "reason", reason);
    }

    async fn serve(&self, stream: TcpStream, address: IpAddr, permit: Permit) {
        let place = HandshakePlace::new(permit, None);
        let (head, pushed_out) = self.heads.begin(place, Instant::now());
        tokio::select! {
            biased;
            Ok(()) = pushed_out => self.count_refusal("slow"),
            () = self.serve_counted(stream, address, head) => {}
        }
    }

    async fn serve_counted(&self, mut stream: TcpStream, address: IpAddr, head: UnfinishedHead) {
        let begun = Instant::now();
        let timeouts = Timeouts::new(&self.config);
        let socket = (address, false);
        let proxies = &self.proxies;
        let move_to = |client| head.move_to(proxies.counts_as(client));
        let (read, left) = (Bytes::new(), timeouts.head);
        let met = proxies.meet_at(&mut stream, read, socket, left, move_to);
        let (peer, read) = match met.await {
            Ok(met) => met,
            Err(unmet) => return unmet.end(stream, &self.metrics).await,
        };
        let kept = Mutex::new(None);
        let (head, place) = (&head, &kept);
        let left = timeouts.head.saturating_sub(begun.elapsed());
        let pace = Pace::new(timeouts, left, self.config.limits.uri_bytes);
        let answer = |request, pace| async move {
            let Some(mut finished) = head.finish() else {
                // Another has the place, which ends the connection.
                return std::future::pending().await;
            };
            let moved = self.move_place(&mut finished, peer, &request);
            *place.lock() = Some(finished);
            let answer = match moved {
                Ok(()) => self.answer(request, peer, &pace).await,
                Err(refused) => Err(refused),
            };
            let mut response = answer.unwrap_or_else(|refused| {
                self.count_refusal(refused.label());
                refused.answer()
            });
            let close = HeaderValue::from_static("close");
            response.headers_mut().append(CONNECTION, close);
            response
        };
        let http = http::builder(&self.config.limits);
        let nothing_accepted = AtomicBool::new(false);
        let io = HandshakeIo::new(stream, read, &nothing_accepted);
        let served = http::serve(&http, io, pace, std::future::pending(), answer).await;
        if !matches!(served.end, ServiceEnd::Overdue(_)) {
            let is_too_long = matches!(served.end, ServiceEnd::TooLong);
            http::linger(served.io.into_stream(), is_too_long).await;
        }
        drop(kept);
    }

    /// The place is that of the client whom the head names, if the peer is believed.
    fn move_place(
        &self,
        place: &mut HandshakePlace,
        peer: Peer,
        request: &Request<Incoming>,
    ) -> Result<(), RefusedRequest> {
        // What is wrong with what a proxy says is of no consequence for a redirect.
        let Ok(visitor) = self.proxies.visitor(peer, &RequestHead::of(request), None) else {
            return Ok(());
        };
        let counted = self.proxies.counts_as(visitor.client);
        place
            .move_to(counted)
            .or(Err(RefusedRequest::TOO_MANY_HANDSHAKES))
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: Peer,
        pace: &PaceHandle,
    ) -> Result<Response<ResponseBody>, RefusedRequest> {
        if Host::of(&request).is_err() {
            let reason = "Host missing or malformed";
            return Err(RefusedRequest::new(StatusCode::BAD_REQUEST, "host", reason));
        }
        let uri = request.uri();
        let target = uri.path_and_query().map_or("", |target| target.as_str());
        if target.len() > self.config.limits.uri_bytes {
            let reason = "request target too long";
            return Err(RefusedRequest::new(StatusCode::URI_TOO_LONG, "uri", reason));
        }
        if let Some(response) = self.redirect.challenge(request.method(), uri.path()).await {
            return Ok(response);
        }
        if let Some(upstream) = &self.upstream
            && self
                .redirect
                .is_sites_challenge(request.method(), uri.path())
            && !Upstream::is_websocket(&request)
        {
            let head = RequestHead::of(&request);
            let authority = uri.authority().map(|authority| authority.as_str());
            let provenance = Provenance::of(&self.proxies.visitor(peer, &head, authority)?);
            let sent = Box::pin(upstream.send(Box::new(request), provenance, pace, || {}));
            let (response, _no_websocket) = sent.await?;
            return Ok(response);
        }
        let field = request.headers().get(HOST);
        let field = field.and_then(|field| field.to_str().ok());
        let host = uri.authority().map(|authority| authority.as_str());
        self.redirect.answer(&request, host.or(field))
    }
}
