//! One question to the site: over which connection, for how long, and whether once more.

use super::answer_counters::AnswerCounters;
use super::fault::{NoAnswer, SiteFault, UploadFault};
use super::outgoing::RequestKind;
use super::places::SitePlaces;
use super::pool::{Pool, SiteConnection};
use super::upload::{Upload, UploadProgress};
use crate::clock::Clock;
use crate::config::HttpSettings;
use crate::http::MinimumRate;
use crate::metrics::{Metrics, count};
use crate::redis::log_limiter::FaultLines;
use hyper::body::{Body, Incoming};
use hyper::client::conn::TrySendError;
use hyper::header::HeaderValue;
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use parking_lot::Mutex;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep_until;

/// A site that knows nothing of `Expect` says no 100: the client is asked for its body after this long. Clients do not
/// wait without end either (RFC 9110 section 10.1.1).
const CONTINUE_AFTER: Duration = Duration::from_secs(1);

/// A body that stands still is told from one that the site does not take: the first is noticed sooner by so much.
const SLOW_AFTER: Duration = Duration::from_secs(1);

/// The site, and what is there at the moment.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) settings: HttpSettings,
    pub(super) metrics: Arc<Metrics>,
    pub(super) answers: AnswerCounters,
    pub(super) pool: Pool,
    /// The site's host, for requests that name none.
    pub(super) host: HeaderValue,
    pub(super) requests: SitePlaces,
    pub(super) websockets: SitePlaces,
    pub(super) clock: Clock,
    /// What the log has been told of connections that cannot be opened.
    pub(super) lines: Mutex<FaultLines<()>>,
    /// True once WebSockets that are passed through are to end.
    pub(super) ended: watch::Sender<bool>,
}

/// The head of the site's answer, and what it came by.
pub(super) struct Answered {
    pub(super) response: Response<Incoming>,
    pub(super) connection: SiteConnection,
    pub(super) upload: Arc<UploadProgress>,
}

/// No answer.
struct Unanswered {
    why: NoAnswer,
    /// The request, if nothing of it was written.
    unsent: Option<Box<Request<Upload>>>,
}

impl Site {
    /// Asks the site, over a connection that was kept or a new one. What was written to a connection that then turns out
    /// to be closed is said again only if that does nothing twice (RFC 9110 section 9.2.2).
    ///
    /// # Errors
    /// By the client's fault, or the site's.
    pub(super) async fn ask(
        &self,
        mut request: Box<Request<Upload>>,
        kind: RequestKind,
    ) -> Result<Answered, NoAnswer> {
        if kind.is_chunked && !kind.awaits_continue {
            request.body_mut().read_first().await?;
        }
        if let Some(connection) = self.pool.take().await {
            let is_harmless = request.body().is_end_stream() && request.method().is_idempotent();
            let again = is_harmless.then(|| {
                let (method, uri) = (request.method().clone(), request.uri().clone());
                (method, uri, request.headers().clone())
            });
            let Unanswered { why, unsent } = match self.ask_over(connection, request).await {
                Ok(answered) => return Ok(answered),
                Err(unanswered) => unanswered,
            };
            let is_stale = matches!(why, NoAnswer::Site(SiteFault::Closed));
            let again = again.filter(|_| is_stale).map(without_body);
            request = unsent.or(again).ok_or(why)?;
        }
        self.ask_anew(request).await
    }

    /// Asks the site over a new connection.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub(super) async fn ask_anew(
        &self,
        request: Box<Request<Upload>>,
    ) -> Result<Answered, NoAnswer> {
        let opened = self.pool.open().await;
        let fault = opened.is_err().then_some(());
        if self.lines.lock().is_due(fault, self.clock.now()) {
            match fault {
                Some(()) => tracing::warn!("the site cannot be reached (http.upstream)"),
                None => tracing::info!("the site is reached again"),
            }
        }
        let answered = self.ask_over(opened?, request).await;
        answered.map_err(|unanswered| unanswered.why)
    }

    async fn ask_over(
        &self,
        mut connection: SiteConnection,
        mut request: Box<Request<Upload>>,
    ) -> Result<Answered, Unanswered> {
        let upload = request.body().progress();
        if upload.is_held() {
            let held = Arc::clone(&upload);
            hyper::ext::on_informational(&mut request, move |response| {
                if response.status() == StatusCode::CONTINUE {
                    held.release();
                }
            });
        }
        let sent = connection.sender.try_send_request(*request);
        match self.wait(sent, &upload).await {
            Ok(response) => Ok(Answered {
                response,
                connection,
                upload,
            }),
            Err(error) => Err(Unanswered::of(error, upload.fault())),
        }
    }

    /// Waits for the head of the answer; `None` is the end of the time for it.
    async fn wait(
        &self,
        sent: impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Upload>>>>,
        upload: &UploadProgress,
    ) -> Result<Response<Incoming>, Option<TrySendError<Request<Upload>>>> {
        let settings = &self.settings;
        let mut sent = pin!(sent);
        let longest = || {
            if upload.is_held() {
                CONTINUE_AFTER
            } else if upload.is_done() {
                settings.upstream_head_timeout
            } else {
                settings.upstream_idle_timeout + SLOW_AFTER
            }
        };
        let mut timer = pin!(sleep_until(upload.last() + longest()));
        loop {
            tokio::select! {
                biased;
                answered = &mut sent => return answered.map_err(Some),
                () = &mut timer => {}
            }
            if upload.is_held() {
                upload.release();
            } else if upload.last().elapsed() >= longest() {
                return Err(None);
            }
            // More has come since.
            timer.as_mut().reset(upload.last() + longest());
        }
    }

    /// The client's body on its way to the site.
    ///
    /// # Errors
    /// [`UploadFault::TooLarge`], if its length says so.
    pub(super) fn upload(&self, body: Incoming, kind: RequestKind) -> Result<Upload, UploadFault> {
        let settings = &self.settings;
        let (most, idle) = (settings.upstream_body_bytes, settings.upstream_idle_timeout);
        Upload::new(body, most, idle, self.client_rate(), kind.awaits_continue)
    }

    /// How slow a client may be with a body, or an answer.
    pub(super) fn client_rate(&self) -> MinimumRate {
        let settings = &self.settings;
        MinimumRate::new(settings.client_timeout, settings.client_bytes_per_second)
    }

    /// Counts what went wrong at the site.
    pub(super) fn count(&self, fault: SiteFault) {
        count(&self.metrics.upstream_errors, "reason", fault.label());
        tracing::debug!(reason = fault.label(), "no answer of the site");
    }
}

impl Unanswered {
    fn of(error: Option<TrySendError<Request<Upload>>>, fault: Option<UploadFault>) -> Self {
        let Some(mut error) = error else {
            return Self {
                why: SiteFault::HeadTimeout.into(),
                unsent: None,
            };
        };
        let unsent = error.take_message().map(Box::new);
        let error = error.into_error();
        let why = match fault {
            Some(fault) => fault.into(),
            None if error.is_parse() => SiteFault::Malformed.into(),
            None => SiteFault::Closed.into(),
        };
        tracing::debug!(%error, "the site did not answer");
        Self { why, unsent }
    }
}

/// A request with this head alone.
fn without_body((method, uri, headers): (Method, Uri, HeaderMap)) -> Box<Request<Upload>> {
    let mut request = Request::new(Upload::empty());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Box::new(request)
}
