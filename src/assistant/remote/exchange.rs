//! One request to a server, and its answer as it comes.
//!
//! Limits: [`ExchangeLimits`], the client's own, and [`REPLY_BYTES_MAX`](crate::REPLY_BYTES_MAX) for the text.
//! Dropping an exchange closes its connection.

use super::events::{EventFault, EventForm, EventReader, ServerEvent};
use super::fault::AnswerFault;
use super::pieces::{AnswerPieces, AnswerWords};
use super::retries::retry_after;
use crate::http_client::{HttpClient, RequestError, StreamedAnswer};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use hyper::http::response::Parts;
use hyper::{Request, StatusCode};
use std::time::Duration;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, timeout_at};

/// Most bytes of a refusal that are read for what kind of error it is, and of a body that nobody waits for.
const REFUSAL_BYTES_MAX: usize = 8 * 1024;
/// How long the end of an answer is waited for whose last word has come: then the connection can be used again.
const LAST_WAIT: Duration = Duration::from_millis(250);

/// How long is waited, and how much is read.
#[derive(Clone, Copy, Debug)]
pub(in crate::assistant) struct ExchangeLimits {
    /// Longest silence between two pieces.
    pub(in crate::assistant) between_tokens: Duration,
    /// Most bytes of an event, or of an answer that does not come in events.
    pub(in crate::assistant) event_bytes: usize,
}

/// How a kind of server writes its answers.
#[derive(Clone, Copy, Debug)]
pub(in crate::assistant) struct AnswerForm {
    /// Reads the data of one event.
    pub(in crate::assistant) read_event: fn(&str) -> Result<AnswerWords, AnswerFault>,
    /// Reads a whole answer.
    pub(in crate::assistant) read_whole: fn(&[u8]) -> Result<AnswerWords, AnswerFault>,
    /// What kind of error a refusal is, in the server's own word.
    pub(in crate::assistant) error_code: fn(&[u8]) -> Option<String>,
    /// Lines of JSON are events too.
    pub(in crate::assistant) has_lines: bool,
    /// A body of 200 without a type is what was asked for.
    pub(in crate::assistant) may_be_untyped: bool,
    /// Before its first word an answer may have a block of thinking, which nobody is shown.
    pub(in crate::assistant) may_think_aloud: bool,
}

/// A client, and how its answers are read.
#[derive(Debug)]
pub(in crate::assistant) struct AnswerExchange<'c> {
    pub(super) client: &'c HttpClient,
    pub(super) limits: ExchangeLimits,
    pub(super) form: AnswerForm,
}

/// Why there is no answer, with the server's own word for it if there is one.
pub(in crate::assistant) type AnswerRefusal = (AnswerFault, Option<String>);

impl AnswerExchange<'_> {
    /// Passes on an answer as it comes, of which the first word must be there by `deadline`.
    pub(in crate::assistant) async fn pass_on(
        &self,
        mut answer: StreamedAnswer<'_>,
        deadline: Instant,
        pieces: &mut AnswerPieces<'_>,
    ) -> Result<(), AnswerRefusal> {
        let read_events = match self.kind(&answer.head, AnswerKind::Events(EventForm::Sent)) {
            Some(AnswerKind::Events(form)) => form,
            Some(AnswerKind::Json) => {
                let body = read_body(&mut answer, self.limits.event_bytes, deadline).await?;
                pieces.say((self.form.read_whole)(&body)?)?;
                return Ok(pieces.finish().await?);
            }
            None => return Err(AnswerFault::NotJson.into()),
        };
        self.read_events(read_events, &mut answer, deadline, pieces)
            .await?;
        Ok(pieces.finish().await?)
    }

    /// Asks, and reads the whole of an answer that is JSON.
    pub(in crate::assistant) async fn json(
        &self,
        request: Request<Full<Bytes>>,
        deadline: Instant,
    ) -> Result<Vec<u8>, AnswerRefusal> {
        let mut answer = self.open(request, deadline).await?;
        match self.kind(&answer.head, AnswerKind::Json) {
            Some(AnswerKind::Json) => {
                Ok(read_body(&mut answer, self.limits.event_bytes, deadline).await?)
            }
            _ => Err(AnswerFault::NotJson.into()),
        }
    }

    /// Asks: the head of an answer that may be read.
    pub(in crate::assistant) async fn open(
        &self,
        request: Request<Full<Bytes>>,
        deadline: Instant,
    ) -> Result<StreamedAnswer<'_>, AnswerRefusal> {
        let opened = timeout_at(deadline, self.client.open(request)).await;
        let opened = opened.map_err(|_elapsed| AnswerFault::FirstToken)?;
        let mut answer = opened.map_err(|error| match error {
            // Both waits may have been as long.
            RequestError::Timeout if Instant::now() >= deadline => AnswerFault::FirstToken,
            error => error.into(),
        })?;
        let Some(fault) = refusal(&answer.head) else {
            return Ok(answer);
        };
        // Why, if that is said at once.
        let body = read_body(&mut answer, REFUSAL_BYTES_MAX, deadline).await;
        Err((
            fault,
            body.ok().and_then(|body| (self.form.error_code)(&body)),
        ))
    }

    async fn read_events(
        &self,
        form: EventForm,
        answer: &mut StreamedAnswer<'_>,
        deadline: Instant,
        pieces: &mut AnswerPieces<'_>,
    ) -> Result<(), AnswerFault> {
        let mut reader = EventReader::new(form, self.limits.event_bytes);
        let (mut wait_until, mut has_ended) = (deadline, false);
        let mut waited_for = AnswerFault::FirstToken;
        loop {
            let is_pending = pieces.is_pending();
            let came = tokio::select! {
                biased;
                () = pieces.flush(), if is_pending => continue,
                came = next_in_time(answer, wait_until) => came,
            };
            let mut bytes: &[u8] = match &came {
                Err(TooLate) if has_ended => return Ok(()),
                Err(TooLate) => return Err(waited_for),
                Ok(None) if has_ended => return Ok(()),
                Ok(None) => return self.take_last(form, &mut reader, pieces),
                Ok(Some(Err(_broken))) if has_ended => return Ok(()),
                Ok(Some(Err(RequestError::TooLong))) => return Err(AnswerFault::TooLong),
                Ok(Some(Err(_broken))) => return Err(AnswerFault::BrokenOff),
                Ok(Some(Ok(bytes))) => bytes,
            };
            if has_ended {
                continue;
            }
            while let Some(event) = reader.next(&mut bytes)? {
                match self.take(&event, pieces)? {
                    AnswerStep::None => {}
                    AnswerStep::More => {
                        waited_for = AnswerFault::BetweenTokens;
                        wait_until = Instant::now() + self.limits.between_tokens;
                    }
                    AnswerStep::Last => {
                        has_ended = true;
                        wait_until = Instant::now() + LAST_WAIT;
                        break;
                    }
                }
            }
        }
    }

    fn take(
        &self,
        event: &ServerEvent,
        pieces: &mut AnswerPieces<'_>,
    ) -> Result<AnswerStep, AnswerFault> {
        if event.is_error {
            return Err(AnswerFault::Reported);
        }
        if event.data.is_empty() {
            return Ok(AnswerStep::None);
        }
        let words = (self.form.read_event)(&event.data)?;
        let step = match (words.is_last, words.is_life()) {
            (true, _) => AnswerStep::Last,
            (false, true) => AnswerStep::More,
            (false, false) => AnswerStep::None,
        };
        pieces.say(words)?;
        Ok(step)
    }

    /// Takes the event that nothing but the end of the body has ended: the answer is whole if that says so.
    fn take_last(
        &self,
        form: EventForm,
        reader: &mut EventReader,
        pieces: &mut AnswerPieces<'_>,
    ) -> Result<(), AnswerFault> {
        let end = reader.end().map_err(AnswerFault::from);
        let last = end.and_then(|event| event.map(|event| self.take(&event, pieces)).transpose());
        match last {
            Ok(Some(AnswerStep::Last)) => Ok(()),
            // Half an event.
            Err(AnswerFault::Malformed) if form == EventForm::Sent => Err(AnswerFault::BrokenOff),
            Err(fault) => Err(fault),
            Ok(_) => Err(AnswerFault::BrokenOff),
        }
    }

    /// What kind of body a head says that there is; `untyped` if a head may say nothing, and says that.
    fn kind(&self, head: &Parts, untyped: AnswerKind) -> Option<AnswerKind> {
        let Some(kind) = head.headers.get(CONTENT_TYPE) else {
            let is_meant = self.form.may_be_untyped && head.status == StatusCode::OK;
            return is_meant.then_some(untyped);
        };
        let kind = kind.to_str().ok()?;
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let is = |name: &str| kind.eq_ignore_ascii_case(name);
        if is("text/event-stream") {
            Some(AnswerKind::Events(EventForm::Sent))
        } else if is("application/json") {
            Some(AnswerKind::Json)
        } else if self.form.has_lines && is("application/x-ndjson") {
            Some(AnswerKind::Events(EventForm::Lines))
        } else {
            None
        }
    }
}

impl From<EventFault> for AnswerFault {
    fn from(fault: EventFault) -> Self {
        match fault {
            EventFault::TooLong => Self::TooLong,
            EventFault::NotText => Self::Malformed,
        }
    }
}

impl From<AnswerFault> for AnswerRefusal {
    fn from(fault: AnswerFault) -> Self {
        (fault, None)
    }
}

/// What an event says of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AnswerStep {
    /// Nothing, as what keeps a connection open.
    None,
    /// The server works at the answer.
    More,
    /// The answer is whole.
    Last,
}

enum AnswerKind {
    Events(EventForm),
    Json,
}

/// What a head says that is no answer.
fn refusal(head: &Parts) -> Option<AnswerFault> {
    let coding = head.headers.get(CONTENT_ENCODING);
    let is_coded =
        coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    let after = retry_after(&head.headers);
    Some(match head.status {
        StatusCode::TOO_MANY_REQUESTS => AnswerFault::RateLimited(after),
        StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT => AnswerFault::Server(after),
        StatusCode::NOT_FOUND => AnswerFault::NotFound,
        status if status.is_server_error() => AnswerFault::Server(after),
        status if status.is_client_error() => AnswerFault::Refused,
        status if !status.is_success() => AnswerFault::Redirect,
        _ if is_coded => AnswerFault::Encoded,
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
) -> Result<Vec<u8>, AnswerFault> {
    let mut body = Vec::new();
    loop {
        let came = next_in_time(answer, deadline).await;
        match came.map_err(|TooLate| AnswerFault::FirstToken)? {
            None => return Ok(body),
            Some(bytes) => {
                let bytes = bytes.map_err(AnswerFault::from)?;
                if body.len() + bytes.len() > most {
                    return Err(AnswerFault::TooLong);
                }
                body.extend_from_slice(&bytes);
            }
        }
    }
}

/// Reads to the end of a body that says nothing to anybody, if that comes at once: then the connection can be used again.
pub(in crate::assistant) async fn read_out(mut answer: StreamedAnswer<'_>) {
    let end = Instant::now() + LAST_WAIT;
    drop(read_body(&mut answer, REFUSAL_BYTES_MAX, end).await);
}
