//! The site's own WebSockets, passed through byte for byte: nothing here knows what is in them.

use super::super::admission::Full;
use super::super::body::{ResponseBody, whole};
use super::super::refusal::RefusedRequest;
use super::download::pass_on;
use super::exchange::Exchange;
use super::fault::{NoAnswer, SiteFault};
use super::fields::{elements, strip};
use super::memory::PASS_BYTES;
use super::passed_socket::PassedSocket;
use super::places::SitePlace;
use super::site::Answered;
use super::upload::Upload;
use crate::broker::QuotaHolds;
use crate::metrics::count;
use crate::transport::handshake::accept_key;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::upgrade::Upgraded;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy_bidirectional_with_sizes};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// The way to the site of a WebSocket that the site has accepted: one of `http.upstream_websockets`.
#[derive(Debug)]
pub(in crate::server) struct SiteSocket {
    site: TokioIo<Upgraded>,
    idle: Duration,
    ended: watch::Receiver<bool>,
    _place: SitePlace,
}

/// Asks the site for a WebSocket. If it refuses, its answer is passed on.
///
/// # Errors
/// 503 or 429 if there are too many, or the site's fault.
pub(super) async fn ask(
    exchange: Exchange,
    head: Parts,
) -> Result<(Response<ResponseBody>, Option<SiteSocket>), NoAnswer> {
    let site = Arc::clone(&exchange.site);
    let place = site.websockets.take(exchange.client).map_err(too_many)?;
    let key = head.headers.get(SEC_WEBSOCKET_KEY).cloned();
    let request = Box::new(Request::from_parts(head, Upload::empty()));
    let mut answered = site.ask_anew(request).await?;
    if answered.response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok((pass_on(exchange, answered).await?, None));
    }
    if !is_right(answered.response.headers(), key.as_ref()) {
        return Err(SiteFault::Upgrade.into());
    }
    let upgraded = hyper::upgrade::on(&mut answered.response).await;
    let upgraded = upgraded.or(Err(SiteFault::Closed))?;
    count(&site.metrics.upstream_answers, "status", "101");
    let passage = SiteSocket {
        site: TokioIo::new(upgraded),
        idle: site.settings.upstream_websocket_timeout,
        ended: site.ended.subscribe(),
        _place: place,
    };
    Ok((switched(answered), Some(passage)))
}

fn too_many(full: Full) -> RefusedRequest {
    match full {
        Full::Node => RefusedRequest::later(
            StatusCode::SERVICE_UNAVAILABLE,
            "upstream_websockets",
            "too many WebSockets at the site",
        ),
        Full::Address => RefusedRequest::later(
            StatusCode::TOO_MANY_REQUESTS,
            "upstream_websockets_per_ip",
            "too many WebSockets from this address",
        ),
        Full::Memory => full.into(),
    }
}

/// Is this a 101 to a WebSocket with this key (RFC 6455 section 4.1)?
fn is_right(headers: &HeaderMap, key: Option<&HeaderValue>) -> bool {
    let is_websocket =
        elements(headers, &UPGRADE).any(|protocol| protocol.eq_ignore_ascii_case(b"websocket"));
    let accept = headers.get(SEC_WEBSOCKET_ACCEPT);
    let is_answer = key
        .zip(accept)
        .is_some_and(|(key, accept)| accept.as_bytes() == accept_key(key.as_bytes()));
    is_websocket && is_answer
}

/// The 101 as the client gets it.
fn switched(answered: Answered) -> Response<ResponseBody> {
    let (head, _upgraded) = answered.response.into_parts();
    let mut response = Response::new(whole(""));
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    let headers = response.headers_mut();
    strip(headers);
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    response
}

impl SiteSocket {
    /// Joins the client's socket with the site's: `answer`, which the client is owed, goes to it first, and `read`, which
    /// it has said already, to the site. Ends with either side, with silence on both for
    /// `http.upstream_websocket_timeout`, or at the end of a drain: no close frame can be put into a stranger's stream.
    /// What the client says is read no faster than `holds` allow for in bytes.
    ///
    /// # Cancel safety
    /// Dropping it closes both sockets.
    pub(in crate::server) async fn join(
        mut self,
        client: impl AsyncRead + AsyncWrite + Unpin,
        answer: &[u8],
        read: &[u8],
        holds: Option<QuotaHolds>,
    ) {
        let heard = Mutex::new(Instant::now());
        let mut client = PassedSocket::new(client, &heard).metered(holds, read.len());
        let mut site = PassedSocket::new(self.site, &heard);
        let joined = async {
            client.write_all(answer).await?;
            site.write_all(read).await?;
            copy_bidirectional_with_sizes(&mut client, &mut site, PASS_BYTES, PASS_BYTES).await
        };
        let end = tokio::select! {
            copied = joined => match copied {
                Ok(_bytes) => "closed",
                Err(_error) => "broken",
            },
            () = silence(&heard, self.idle) => "idle",
            _ended = self.ended.wait_for(|is_ended| *is_ended) => "drain",
        };
        tracing::debug!(end, "a WebSocket of the site has ended");
    }
}

/// Done once nothing has been heard for so long.
async fn silence(heard: &Mutex<Instant>, idle: Duration) {
    loop {
        let until = *heard.lock() + idle;
        if until <= Instant::now() {
            return;
        }
        sleep_until(until).await;
    }
}
