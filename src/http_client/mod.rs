//! The one outgoing HTTP client: HTTP/1.1 over TCP or TLS, with every wait and every size bounded.
//!
//! For what is asked of other servers on the control plane: the site that knows who a user is, a set of keys, a model.
//! Not for passing on a visitor's own requests (`server`).
//!
//! There are no redirects, no cookies, no compression, and no proxies out of the environment: the address is the
//! operator's, and nothing that a client or a server says moves a request to another one.
//!
//! A server may close a kept connection at the moment it is used again. Whatever its method, a request is sent once more,
//! over a new connection, if it went over a kept one that ended before one byte of an answer: a server that was at work on
//! it would have had no reason to close (RFC 9112 §9.3.1). One whose method is safe is also sent once more if a new
//! connection broke before its answer (RFC 9110 §9.2.2).
//!
//! Limits, per client: [`ClientLimits`]. Each user of this module has a client of its own, so that a slow server holds
//! up nobody else's requests.

mod connection;
mod request_body;
mod signed;
#[cfg(test)]
mod tests;
mod trust;

pub(crate) use request_body::request_body;
pub(crate) use signed::SignedRequests;
pub(crate) use trust::{Authorities, Trust, TrustError};

use bytes::Bytes;
use connection::{ConnectionUse, NotingConnector};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::http::Extensions;
use hyper::http::response::Parts;
use hyper::{Request, Response};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::error::Error;
use std::io;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};

/// Most bytes of an answer's head: status line and fields.
pub(crate) const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Most fields of an answer's head.
const FIELDS_MAX: usize = 100;
/// How long a connection is kept for the next request: below the 5 s after which uvicorn closes one.
const KEEP_ALIVE: Duration = Duration::from_secs(4);

/// What one client may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientLimits {
    /// Longest a TCP connection may take to be there.
    pub(crate) connect_timeout: Duration,
    /// Longest from the call to the last byte of the answer, the wait for a turn included.
    pub(crate) timeout: Duration,
    /// Most bytes of an answer's body.
    pub(crate) body_bytes: usize,
    /// Most requests under way, and so most connections; further ones wait for their turn.
    pub(crate) connections: usize,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// The whole of it, or the wait for a turn, took longer than [`ClientLimits::timeout`].
    #[error("no answer in time")]
    Timeout,
    /// No connection: refused, no such name, or a certificate that is not trusted.
    #[error("no connection: {0}")]
    Connect(Box<str>),
    /// The body is longer than [`ClientLimits::body_bytes`].
    #[error("the answer is too long")]
    TooLong,
    /// What came is no answer of HTTP/1.1, or ended before its end.
    #[error("no whole answer: {0}")]
    Broken(Box<str>),
}

impl RequestError {
    /// The error's name, as a label of metrics.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Connect(_) => "connect",
            Self::TooLong => "too_long",
            Self::Broken(_) => "broken",
        }
    }
}

/// A client with a pool of its own. Used on a runtime of tokio.
#[derive(Debug)]
pub(crate) struct HttpClient {
    client: Client<NotingConnector, Full<Bytes>>,
    /// For what a kept connection has failed: keeps none.
    anew: Client<NotingConnector, Full<Bytes>>,
    turns: Semaphore,
    limits: ClientLimits,
    authorities: Authorities,
}

impl HttpClient {
    /// A client that believes these authorities. Opens no connection.
    ///
    /// # Errors
    /// When the certificates of the authorities cannot be read.
    pub(crate) fn new(limits: ClientLimits, trust: Trust<'_>) -> Result<Self, TrustError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(limits.connect_timeout));
        tcp.set_nodelay(true);
        let (tls, authorities) = trust::client_config(trust)?;
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = |kept: usize| {
            Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(KEEP_ALIVE)
                .pool_max_idle_per_host(kept)
                .http1_max_buf_size(HEAD_BYTES_MAX)
                .http1_max_headers(FIELDS_MAX)
                .build(NotingConnector(connector.clone()))
        };
        Ok(Self {
            client: client(limits.connections),
            anew: client(0),
            turns: Semaphore::new(limits.connections),
            limits,
            authorities,
        })
    }

    /// Whom this client believes to be the server that it asks.
    pub(crate) fn authorities(&self) -> Authorities {
        self.authorities
    }

    /// Sends a request (its target is a whole URL; `Host` is made of that unless it is set) and reads the whole
    /// answer. Where the status says no (anything but 2xx) that is the answer: a body that is too long, too late or broken
    /// is left, and empty.
    ///
    /// # Errors
    /// When there is no whole answer within the limits.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection; the server may have acted on the request.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, RequestError> {
        let deadline = Instant::now() + self.limits.timeout;
        let in_time = async {
            // The semaphore is never closed.
            let turn = self.turns.acquire().await;
            (self.head(request).await, turn)
        };
        let (head, _turn) = timeout_at(deadline, in_time).await?;
        let (head, body) = head?.into_parts();
        let body = match timeout_at(deadline, self.body(body)).await {
            Ok(body) => body,
            Err(elapsed) => Err(elapsed.into()),
        };
        match body {
            Err(_left) if !head.status.is_success() => Ok(Response::from_parts(head, Bytes::new())),
            body => Ok(Response::from_parts(head, body?)),
        }
    }

    /// As [`HttpClient::send`], where the body is read piece by piece: [`ClientLimits::timeout`] is how long the head may
    /// take, and how long the body may take is for whoever reads it to say.
    ///
    /// # Errors
    /// When there is no head within the limits.
    ///
    /// # Cancel safety
    /// As of [`HttpClient::send`]; dropping the answer closes the connection too, unless all of it was read.
    pub(crate) async fn open(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<StreamedAnswer<'_>, RequestError> {
        let in_time = async {
            let turn = self.turns.acquire().await;
            (self.head(request).await, turn)
        };
        let (head, turn) = timeout_at(Instant::now() + self.limits.timeout, in_time).await?;
        let (head, body) = head?.into_parts();
        Ok(StreamedAnswer {
            head,
            body,
            left: self.limits.body_bytes,
            _turn: turn.ok(),
        })
    }

    async fn head(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, RequestError> {
        let again = request.clone();
        let head = match self.client.request(request).await {
            Err(error) if is_for_another_try(&error, &again) => self.anew.request(again).await,
            head => head,
        };
        if let Ok(head) = &head
            && let Some(used) = head.extensions().get::<ConnectionUse>()
        {
            used.answered();
        }
        head.map_err(|error| without_head(&error))
    }

    async fn body(&self, body: Incoming) -> Result<Bytes, RequestError> {
        // What is announced as too long is not begun.
        let least = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if least > self.limits.body_bytes {
            return Err(RequestError::TooLong);
        }
        match Limited::new(body, self.limits.body_bytes).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(RequestError::TooLong),
            Err(error) => Err(RequestError::Broken(error.to_string().into())),
        }
    }
}

/// An answer whose body is read piece by piece.
#[derive(Debug)]
pub(crate) struct StreamedAnswer<'c> {
    /// Status and fields.
    pub(crate) head: Parts,
    body: Incoming,
    /// Bytes that may still come, of [`ClientLimits::body_bytes`].
    left: usize,
    /// `None` if the client gives no turns any more, which it never stops.
    _turn: Option<SemaphorePermit<'c>>,
}

impl StreamedAnswer<'_> {
    /// The body's next bytes, as they come; `None` at its end.
    ///
    /// # Errors
    /// When the body is longer than [`ClientLimits::body_bytes`], or broke off.
    ///
    /// # Cancel safety
    /// No bytes are lost if the future is dropped.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, RequestError>> {
        loop {
            let frame = match self.body.frame().await? {
                Ok(frame) => frame,
                Err(error) => return Some(Err(RequestError::Broken(error.to_string().into()))),
            };
            // What is no data are trailers, which nobody reads.
            let Ok(bytes) = frame.into_data() else {
                continue;
            };
            let Some(left) = self.left.checked_sub(bytes.len()) else {
                return Some(Err(RequestError::TooLong));
            };
            self.left = left;
            return Some(Ok(bytes));
        }
    }
}

impl From<Elapsed> for RequestError {
    fn from(_: Elapsed) -> Self {
        Self::Timeout
    }
}

/// Is this request to be sent once more, over a new connection?
fn is_for_another_try(
    error: &hyper_util::client::legacy::Error,
    request: &Request<Full<Bytes>>,
) -> bool {
    let mut extras = Extensions::new();
    if let Some(connected) = error.connect_info() {
        connected.get_extras(&mut extras);
    }
    let used = extras.get::<ConnectionUse>();
    let is_unread = used.is_some_and(ConnectionUse::is_kept_and_silent);
    (is_unread || request.method().is_safe()) && is_broken_before_the_answer(error)
}

/// Did a connection end while nothing of an answer had come?
fn is_broken_before_the_answer(error: &hyper_util::client::legacy::Error) -> bool {
    let is_reset = |error: &io::Error| {
        matches!(
            error.kind(),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
        )
    };
    !error.is_connect()
        && causes(error).any(|cause| {
            cause
                .downcast_ref::<hyper::Error>()
                .is_some_and(|error| error.is_incomplete_message() || error.is_canceled())
                || cause.downcast_ref().is_some_and(is_reset)
        })
}

/// The error of a request that was answered by no head.
fn without_head(error: &hyper_util::client::legacy::Error) -> RequestError {
    let cause = causes(error).last();
    let advice = causes(error).find_map(trust::advice);
    let cause = cause.map(|cause| match advice {
        Some(advice) => format!("{cause}: {advice}"),
        None => cause.to_string(),
    });
    let cause = cause.unwrap_or_default().into_boxed_str();
    if error.is_connect() {
        RequestError::Connect(cause)
    } else {
        RequestError::Broken(cause)
    }
}

/// The error and what caused it, the deepest cause last.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}
