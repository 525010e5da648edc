//! The listener of `http.redirect`: one request a connection, and one answer.
//!
//! The listener's connections are handshakes as to their number (`limits.handshakes`, `limits.handshakes_per_ip`, shared with the
//! public listener) and time (`server.handshake_timeout`, `server.http_timeout`).

use super::Redirect;
use crate::config::Config;
use crate::http::{self, Host, Pace, ServiceEnd, Timeouts};
use crate::metrics::{Metrics, count};
use crate::server::admission::{Admission, Permit};
use crate::server::body::ResponseBody;
use crate::server::refusal::RefusedRequest;
use crate::server::visitor::Proxies;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HOST, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

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
        // Who is one too many is closed upon: whatever listens for redirects asks again.
        let Ok(permit) = redirector.handshakes.enter(counted) else {
            count(
                &redirector.metrics.handshakes_refused,
                "reason",
                "handshakes",
            );
            continue;
        };
        let redirector = Arc::clone(redirector);
        tokio::spawn(async move { redirector.serve(stream, permit).await });
    }
}

impl Redirector {
    async fn serve(&self, stream: TcpStream, permit: Permit) {
        let timeouts = Timeouts::new(&self.config);
        let uri_bytes = self.config.limits.uri_bytes;
        let pace = Pace::new(timeouts, timeouts.head, uri_bytes);
        let answer = |request, _pace| async move {
            let answer = self.answer(&request).await;
            let mut response = answer.unwrap_or_else(|refused| {
                let counter = &self.metrics.handshakes_refused;
                count(counter, "reason", refused.label());
                refused.answer()
            });
            let close = HeaderValue::from_static("close");
            response.headers_mut().append(CONNECTION, close);
            response
        };
        let http = http::builder(&self.config.limits);
        let io = TokioIo::new(stream);
        let served = http::serve(&http, io, pace, std::future::pending(), answer).await;
        if !matches!(served.end, ServiceEnd::Overdue(_)) {
            let is_too_long = matches!(served.end, ServiceEnd::TooLong);
            http::linger(served.io.into_inner(), is_too_long).await;
        }
        drop(permit);
    }

    async fn answer(
        &self,
        request: &Request<Incoming>,
    ) -> Result<Response<ResponseBody>, RefusedRequest> {
        if Host::of(request).is_err() {
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
        let field = request.headers().get(HOST);
        let field = field.and_then(|field| field.to_str().ok());
        let host = uri.authority().map(|authority| authority.as_str());
        self.redirect
            .answer(request.method(), host.or(field), target)
    }
}
