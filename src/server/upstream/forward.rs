//! A client's request to the site, and the site's answer to the client.

use super::super::body::ResponseBody;
use super::super::refusal::RefusedRequest;
use super::answer_counters::AnswerCounters;
use super::download::pass_on;
use super::exchange::Exchange;
use super::fault::{NoAnswer, SiteFault, accepts_html, malformed};
use super::outgoing::{self, Provenance};
use super::places::SitePlaces;
use super::pool::Pool;
use super::site::Site;
use super::websocket::{self, SiteSocket};
use crate::clock::Clock;
use crate::config::{Config, SiteAddress};
use crate::http::PaceHandle;
use crate::metrics::{Metrics, declare};
use hyper::body::{Body, Incoming};
use hyper::header::HeaderValue;
use hyper::{Request, Response, Version};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The way to the site.
#[derive(Debug)]
pub struct Upstream(Arc<Site>);

impl Upstream {
    /// The way to the site of `http.upstream`, if there is one. The address has been checked with the configuration.
    pub(crate) fn new(config: &Config, metrics: &Arc<Metrics>) -> Option<Self> {
        let http = &config.http;
        let address = http.site().ok()??;
        let host = match &address {
            SiteAddress::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            SiteAddress::Tcp { host, port } => format!("{host}:{port}"),
            SiteAddress::Socket(_) => "localhost".to_owned(),
        };
        let labels = SiteFault::ALL.map(SiteFault::label);
        declare(&metrics.upstream_errors, "reason", labels);
        Some(Self(Arc::new(Site {
            pool: Pool::new(address, config),
            host: HeaderValue::try_from(host).ok()?,
            requests: SitePlaces::new(
                http.upstream_requests,
                http.upstream_requests_per_ip,
                &metrics.upstream_requests,
            ),
            websockets: SitePlaces::new(
                http.upstream_websockets,
                http.upstream_websockets_per_ip,
                &metrics.upstream_websockets,
            ),
            clock: Clock::start(),
            lines: Mutex::default(),
            ended: watch::Sender::new(false),
            settings: http.clone(),
            metrics: Arc::clone(metrics),
            answers: AnswerCounters::default(),
        })))
    }

    /// Is this an opening handshake of a WebSocket?
    pub(in crate::server) fn is_websocket<B>(request: &Request<B>) -> bool {
        let (method, version) = (request.method(), request.version());
        outgoing::is_websocket(method, version, request.headers())
    }

    /// Sends a request to the site; its answer, or one of ours that says why there is none. Of a WebSocket that the site
    /// has accepted also the way there, to be joined with the client's socket once that has the 101. `on_forward` is
    /// called once the request has its place among those at the site.
    ///
    /// # Errors
    /// The request is the client's fault, or there is no place for it: nothing has gone to the site, or not all.
    ///
    /// # Cancel safety
    /// Dropped when the client goes away: the connection to the site is closed.
    pub(in crate::server) async fn send(
        &self,
        request: Box<Request<Incoming>>,
        provenance: Provenance,
        pace: &PaceHandle,
        on_forward: impl FnOnce(),
    ) -> Result<(Response<ResponseBody>, Option<SiteSocket>), RefusedRequest> {
        let site = &self.0;
        let (mut head, body) = request.into_parts();
        let version = head.version;
        let is_html = accepts_html(&head.headers);
        if pace.is_ambiguous() {
            return Err(malformed("the head is ambiguous"));
        }
        let client = provenance.client;
        let kind = outgoing::prepare(&mut head, provenance, &site.host)?;
        if kind.is_websocket && !body.is_end_stream() {
            return Err(malformed("a handshake must not have a body"));
        }
        let exchange = Exchange::begin(site, client)?;
        on_forward();
        pace.stream(site.settings.upstream_idle_timeout, site.client_rate());
        let answered = if kind.is_websocket {
            websocket::ask(exchange, head).await
        } else {
            let passed = async {
                let upload = site.upload(body, kind)?;
                let request = Box::new(Request::from_parts(head, upload));
                let answered = site.ask(request, kind).await?;
                pass_on(exchange, answered).await
            };
            let passed = passed.await;
            passed.map(|response| (said_in(version, response), None))
        };
        match answered {
            Ok(answer) => Ok(answer),
            Err(NoAnswer::Refused(refused)) => Err(refused),
            Err(NoAnswer::Site(fault)) => {
                site.count(fault);
                Ok((fault.answer(is_html), None))
            }
        }
    }

    /// Waits until nothing is at the site any more, for as long as `left`, and then ends what is passed through.
    ///
    /// # Cancel safety
    /// Dropped before its end it has ended nothing.
    pub(crate) async fn end(&self, left: Duration) {
        let site = &self.0;
        let is_idle = async {
            site.requests.all_free().await;
            site.websockets.all_free().await;
        };
        drop(tokio::time::timeout(left, is_idle).await);
        site.ended.send_replace(true);
    }
}

/// The answer in the client's version. To a client of HTTP/1.0 only a length tells the end of an answer without that of the
/// connection: hyper promises `keep-alive` to who asks for it unless the answer is of HTTP/1.0 too.
fn said_in(version: Version, mut response: Response<ResponseBody>) -> Response<ResponseBody> {
    if version == Version::HTTP_10 && response.body().size_hint().exact().is_none() {
        *response.version_mut() = version;
    }
    response
}
