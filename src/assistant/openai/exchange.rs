//! One request to a model, and its answer as it comes.
//!
//! Limits: `assistant.openai.first_token` and `between_tokens` for waits, `event_bytes` and `answer_bytes` for sizes,
//! [`REPLY_BYTES_MAX`] for the text. Dropping an exchange closes its connection.

use super::super::{Failure, Piece, REPLY_BYTES_MAX};
use super::chunk::{ModelWords, error_code, read_event, read_whole};
use super::events::{EventFault, EventReader};
use super::fault::ModelFault;
use super::retries::retry_after;
use crate::http_client::{HttpClient, RequestError, StreamedAnswer};
use crate::metrics::Metrics;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use hyper::http::response::Parts;
use hyper::{Request, StatusCode};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, timeout_at};

/// Most bytes of a refusal that are read for what kind of error it is.
const REFUSAL_BYTES_MAX: usize = 8 * 1024;
/// How long the end of an answer is waited for whose last word has come: then the connection can be used again.
const LAST_WAIT: Duration = Duration::from_millis(250);

/// How long is waited, and how much is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExchangeLimits {
    pub(super) between_tokens: Duration,
    pub(super) event_bytes: usize,
}

/// Where the pieces of an answer go. What the reader has not taken yet becomes one piece with what comes after it.
#[derive(Debug)]
pub(super) struct AnswerPieces {
    pieces: mpsc::Sender<Result<Piece, Failure>>,
    pending: String,
    /// Bytes so far.
    bytes: usize,
    asked: Instant,
    metrics: Arc<Metrics>,
}

impl AnswerPieces {
    /// For the answer to what was `asked` then.
    pub(super) fn new(
        pieces: mpsc::Sender<Result<Piece, Failure>>,
        asked: Instant,
        metrics: &Arc<Metrics>,
    ) -> Self {
        Self {
            pieces,
            pending: String::new(),
            bytes: 0,
            asked,
            metrics: Arc::clone(metrics),
        }
    }

    /// Has anything been said?
    pub(super) fn is_begun(&self) -> bool {
        self.bytes > 0
    }

    fn say(&mut self, text: &str) -> Result<(), ModelFault> {
        if self.bytes == 0 && !text.is_empty() {
            let waited = self.asked.elapsed().as_secs_f64();
            self.metrics.assistant_first_token.observe(waited);
        }
        self.bytes += text.len();
        if self.bytes > REPLY_BYTES_MAX {
            return Err(ModelFault::TooLong);
        }
        self.pending.push_str(text);
        Ok(())
    }

    /// Sends what is pending once the reader has room for it; never ready while nothing is.
    async fn flush(&mut self) {
        match self.pieces.reserve().await {
            Ok(room) => room.send(Ok(Piece::Text(std::mem::take(&mut self.pending)))),
            // Whoever writes the answer is told so, and dropped.
            Err(_nobody_reads) => std::future::pending().await,
        }
    }
}

/// A client, and how its answers are read.
#[derive(Debug)]
pub(super) struct ModelExchange<'c> {
    pub(super) client: &'c HttpClient,
    pub(super) limits: ExchangeLimits,
}

/// Why there is no answer, with the server's own word for it if there is one.
pub(super) type ModelRefusal = (ModelFault, Option<String>);

impl ModelExchange<'_> {
    /// Asks, and passes on the answer as it comes, of which the first word must be there by `deadline`.
    pub(super) async fn answer(
        &self,
        request: Request<Full<Bytes>>,
        deadline: Instant,
        pieces: &mut AnswerPieces,
    ) -> Result<(), ModelRefusal> {
        let mut answer = self.open(request, deadline).await?;
        match kind(&answer.head) {
            Some(AnswerKind::Events) => self.read_events(&mut answer, deadline, pieces).await?,
            Some(AnswerKind::Json) => {
                let body = read_body(&mut answer, self.limits.event_bytes, deadline).await?;
                pieces.say(&read_whole(&body)?.text)?;
            }
            None => return Err(ModelFault::NotJson.into()),
        }
        if !pieces.is_begun() {
            return Err(ModelFault::Empty.into());
        }
        if !pieces.pending.is_empty() {
            pieces.flush().await;
        }
        Ok(())
    }

    /// Asks, and reads the whole of an answer that is JSON.
    pub(super) async fn json(
        &self,
        request: Request<Full<Bytes>>,
        deadline: Instant,
    ) -> Result<Vec<u8>, ModelRefusal> {
        let mut answer = self.open(request, deadline).await?;
        match kind(&answer.head) {
            Some(AnswerKind::Json) => {
                Ok(read_body(&mut answer, self.limits.event_bytes, deadline).await?)
            }
            _ => Err(ModelFault::NotJson.into()),
        }
    }

    /// The head of an answer that may be read.
    async fn open(
        &self,
        request: Request<Full<Bytes>>,
        deadline: Instant,
    ) -> Result<StreamedAnswer<'_>, ModelRefusal> {
        let opened = timeout_at(deadline, self.client.open(request)).await;
        let opened = opened.map_err(|_elapsed| ModelFault::FirstToken)?;
        let mut answer = opened.map_err(ModelFault::from)?;
        let Some(fault) = refusal(&answer.head) else {
            return Ok(answer);
        };
        // Why, if that is said at once.
        let body = read_body(&mut answer, REFUSAL_BYTES_MAX, deadline).await;
        Err((fault, body.ok().and_then(|body| error_code(&body))))
    }

    async fn read_events(
        &self,
        answer: &mut StreamedAnswer<'_>,
        deadline: Instant,
        pieces: &mut AnswerPieces,
    ) -> Result<(), ModelFault> {
        let mut reader = EventReader::new(self.limits.event_bytes);
        let (mut wait_until, mut has_ended) = (deadline, false);
        let mut waited_for = ModelFault::FirstToken;
        loop {
            let is_pending = !pieces.pending.is_empty();
            let came = tokio::select! {
                biased;
                () = pieces.flush(), if is_pending => continue,
                came = next_in_time(answer, wait_until) => came,
            };
            let mut bytes: &[u8] = match &came {
                Err(TooLate) if has_ended => return Ok(()),
                Err(TooLate) => return Err(waited_for),
                Ok(None) if has_ended => return Ok(()),
                Ok(None) => return Err(ModelFault::BrokenOff),
                Ok(Some(Err(_broken))) if has_ended => return Ok(()),
                Ok(Some(Err(RequestError::TooLong))) => return Err(ModelFault::TooLong),
                Ok(Some(Err(_broken))) => return Err(ModelFault::BrokenOff),
                Ok(Some(Ok(bytes))) => bytes,
            };
            if has_ended {
                continue;
            }
            while let Some(event) = reader.next(&mut bytes)? {
                if event.is_error {
                    return Err(ModelFault::Reported);
                }
                if event.data.is_empty() {
                    continue;
                }
                let words = read_event(&event.data)?;
                pieces.say(&words.text)?;
                if words.is_last {
                    has_ended = true;
                    break;
                }
                if is_life(&words) {
                    waited_for = ModelFault::BetweenTokens;
                    wait_until = Instant::now() + self.limits.between_tokens;
                }
            }
            if has_ended {
                wait_until = Instant::now() + LAST_WAIT;
            }
        }
    }
}

/// Does the model work at the answer?
fn is_life(words: &ModelWords) -> bool {
    words.is_thinking || !words.text.is_empty()
}

impl From<EventFault> for ModelFault {
    fn from(fault: EventFault) -> Self {
        match fault {
            EventFault::TooLong => Self::TooLong,
            EventFault::NotText => Self::Malformed,
        }
    }
}

impl From<ModelFault> for ModelRefusal {
    fn from(fault: ModelFault) -> Self {
        (fault, None)
    }
}

enum AnswerKind {
    Events,
    Json,
}

/// What kind of body a head says that there is.
fn kind(head: &Parts) -> Option<AnswerKind> {
    let kind = head.headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("text/event-stream") {
        Some(AnswerKind::Events)
    } else if kind.eq_ignore_ascii_case("application/json") {
        Some(AnswerKind::Json)
    } else {
        None
    }
}

/// What a head says that is no answer.
fn refusal(head: &Parts) -> Option<ModelFault> {
    let coding = head.headers.get(CONTENT_ENCODING);
    let is_coded =
        coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    let after = retry_after(&head.headers);
    Some(match head.status {
        StatusCode::TOO_MANY_REQUESTS => ModelFault::RateLimited(after),
        StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT => ModelFault::Server(after),
        StatusCode::NOT_FOUND => ModelFault::NotFound,
        status if status.is_server_error() => ModelFault::Server(after),
        status if status.is_client_error() => ModelFault::Refused,
        status if !status.is_success() => ModelFault::Redirect,
        _ if is_coded => ModelFault::Encoded,
        _ => return None,
    })
}

/// The next bytes, unless it is too late for any: a server that always has some would never be waited for otherwise, and
/// nobody else would have their turn.
async fn next_in_time(
    answer: &mut StreamedAnswer<'_>,
    until: Instant,
) -> Result<Option<Result<Bytes, RequestError>>, TooLate> {
    consume_budget().await;
    if Instant::now() >= until {
        return Err(TooLate);
    }
    timeout_at(until, answer.next())
        .await
        .map_err(|_elapsed| TooLate)
}

/// Nothing has come in time.
struct TooLate;

/// A whole body of at most so many bytes.
async fn read_body(
    answer: &mut StreamedAnswer<'_>,
    most: usize,
    deadline: Instant,
) -> Result<Vec<u8>, ModelFault> {
    let mut body = Vec::new();
    loop {
        let came = next_in_time(answer, deadline).await;
        match came.map_err(|TooLate| ModelFault::FirstToken)? {
            None => return Ok(body),
            Some(bytes) => {
                let bytes = bytes.map_err(ModelFault::from)?;
                if body.len() + bytes.len() > most {
                    return Err(ModelFault::TooLong);
                }
                body.extend_from_slice(&bytes);
            }
        }
    }
}
