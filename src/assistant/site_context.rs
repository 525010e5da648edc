//! What was said in a room before this node was asked anything in it, as the site knows it: its view is asked once, when a
//! room's first question comes (`assistant.openai.context_url`).
//!
//! `GET {context_url}?business_id=1&session_id=abc` with `api.token` as its bearer, which is answered with
//! `{"messages": [{"role": "user", "content": "…"}]}`, oldest first: the view `context` of `config/django`. Whatever goes
//! wrong, the question is asked without.
//!
//! Limits: `assistant.openai.context_timeout`, `assistant.concurrency` connections, [`answer_bytes_max`] of an answer.

use super::{ChatLine, Error};
use crate::clock::Clock;
use crate::config::{Config, OpenAiSettings, Secret};
use crate::http_client::{ClientLimits, HttpClient, RequestError, Trust};
use crate::metrics::{Metrics, count, declare};
use crate::name::RoomName;
use crate::protocol::Sender;
use crate::redis::log_limiter::FaultLines;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, AUTHORIZATION, HOST, HeaderValue};
use hyper::{Request, Response, StatusCode, Uri};
use parking_lot::Mutex;
use serde::Deserialize;
use std::sync::Arc;

/// What became of a question to the site: all labels.
const LABELS: [&str; 9] = [
    "found",
    "nothing",
    "refused",
    "status",
    "malformed",
    "timeout",
    "connect",
    "too_long",
    "broken",
];

/// JSON beside the texts of an answer.
const ANSWER_OVERHEAD_BYTES: usize = 64 * 1024;

/// Most bytes of an answer: JSON takes up to six for a byte of text.
pub(super) const fn answer_bytes_max(context_bytes: usize) -> usize {
    context_bytes
        .saturating_mul(6)
        .saturating_add(ANSWER_OVERHEAD_BYTES)
}

/// The site's view, and what it has said.
pub(super) struct SiteContext {
    client: HttpClient,
    /// The address, up to the first field of its query.
    url: String,
    /// `None`: that of the address.
    host: Option<HeaderValue>,
    /// Marked as a secret.
    authorization: HeaderValue,
    /// What the log has been told of it.
    lines: Mutex<FaultLines<&'static str>>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

#[derive(Deserialize)]
struct ContextAnswer {
    messages: Vec<ContextMessage>,
}

#[derive(Deserialize)]
struct ContextMessage {
    role: String,
    content: String,
}

impl SiteContext {
    /// Opens no connection; `None` without an address, or where no message goes along but the question.
    ///
    /// # Errors
    /// When the view cannot be asked with these settings.
    pub(super) fn new(config: &Config, metrics: &Arc<Metrics>) -> Result<Option<Self>, Error> {
        let settings = &config.assistant.openai;
        let url = settings.context_url.as_deref();
        let Some(url) = url.filter(|_| settings.turns > 1) else {
            return Ok(None);
        };
        let fault = |key, what: &str| Error::Server {
            key,
            what: what.into(),
        };
        let uri: Uri = url
            .parse()
            .map_err(|_invalid| fault("assistant.openai.context_url", "is no address"))?;
        let limits = ClientLimits {
            connect_timeout: settings.context_timeout,
            timeout: settings.context_timeout,
            body_bytes: answer_bytes_max(settings.context_bytes),
            connections: config.assistant.concurrency.max(1),
        };
        let client = HttpClient::new(limits, Trust::for_url(&uri, None))
            .map_err(|error| fault("assistant.openai.context_url", &error.to_string()))?;
        declare(&metrics.assistant_contexts, "outcome", LABELS);
        Ok(Some(Self {
            client,
            url: format!("{url}{}", if url.contains('?') { '&' } else { '?' }),
            host: host(settings)
                .map_err(|_invalid| fault("assistant.openai.context_host", "is no host"))?,
            authorization: bearer(config.api.token.as_ref())
                .ok_or_else(|| fault("api.token", "is unset, or no token"))?,
            lines: Mutex::default(),
            metrics: Arc::clone(metrics),
            clock: Clock::start(),
        }))
    }

    /// What was said in a room before this question, oldest first; nothing if the site does not say, or of a room that is no
    /// chat's.
    pub(super) async fn lines_before(&self, room: &RoomName, question: &str) -> Vec<ChatLine> {
        let Some(request) = self.request(room) else {
            return Vec::new();
        };
        let answer = read(self.client.send(request).await);
        let (outcome, fault) = match &answer {
            Ok(lines) if lines.is_empty() => ("nothing", None),
            Ok(_) => ("found", None),
            Err(fault) => (*fault, Some(*fault)),
        };
        count(&self.metrics.assistant_contexts, "outcome", outcome);
        self.note(fault);
        let mut lines = answer.unwrap_or_default();
        cut_question(&mut lines, question);
        lines
    }

    fn request(&self, room: &RoomName) -> Option<Request<Full<Bytes>>> {
        let (business_id, session_id) = (room.business_id(), room.session_id());
        if business_id.is_empty() {
            return None;
        }
        // Of ids that need no escapes.
        let url = &self.url;
        let uri = format!("{url}business_id={business_id}&session_id={session_id}");
        let mut request = Request::new(Full::default());
        *request.uri_mut() = uri.parse().ok()?;
        let fields = request.headers_mut();
        fields.insert(ACCEPT, HeaderValue::from_static("application/json"));
        fields.insert(AUTHORIZATION, self.authorization.clone());
        if let Some(host) = &self.host {
            fields.insert(HOST, host.clone());
        }
        Some(request)
    }

    /// Tells the log when the site ceases to say, and when it does again.
    fn note(&self, fault: Option<&'static str>) {
        if !self.lines.lock().is_due(fault, self.clock.now()) {
            return;
        }
        match fault {
            Some(cause) => tracing::warn!(
                cause,
                "the site does not say what was said in a room before; its question is asked without"
            ),
            None => tracing::info!("the site says again what was said before"),
        }
    }
}

/// The field with the host, if it is another than the address'.
fn host(settings: &OpenAiSettings) -> Result<Option<HeaderValue>, hyper::http::Error> {
    let own = Some(&settings.context_host).filter(|host| !host.is_empty());
    Ok(own.map(HeaderValue::try_from).transpose()?)
}

/// The field with the token; `None` if no field can carry it.
fn bearer(token: Option<&Secret>) -> Option<HeaderValue> {
    let token = token?.expose();
    let mut bearer = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    bearer.set_sensitive(true);
    Some(bearer)
}

/// The lines of an answer, or a label of why there are none.
fn read(answer: Result<Response<Bytes>, RequestError>) -> Result<Vec<ChatLine>, &'static str> {
    let answer = answer.map_err(|error| error.label())?;
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err("refused"),
        _ => return Err("status"),
    }
    let read: Result<ContextAnswer, _> = serde_json::from_slice(answer.body());
    let messages = read.map_err(|_other| "malformed")?.messages.into_iter();
    // What the site itself has said is nothing of the conversation.
    let lines = messages.filter_map(|message| {
        let by = match message.role.as_str() {
            "user" => Sender::User,
            "assistant" => Sender::Assistant,
            _ => return None,
        };
        let text = message.content;
        (!text.is_empty()).then_some(ChatLine { by, text })
    });
    Ok(lines.collect())
}

/// Cuts off the question and what was said since: the site may have their rows already. A question of several messages
/// (`assistant.debounce`) begins with the first of them.
fn cut_question(lines: &mut Vec<ChatLine>, question: &str) {
    let is_begin = |line: &ChatLine| {
        let rest = question.strip_prefix(line.text.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('\n'))
    };
    let answered = lines.iter().rposition(|line| line.by != Sender::User);
    let unanswered = answered.map_or(0, |at| at + 1);
    let begin = lines.iter().skip(unanswered).rposition(is_begin);
    if let Some(begin) = begin {
        lines.truncate(unanswered + begin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of these texts; those with `!` are the assistant's.
    fn lines(texts: &[&str]) -> Vec<ChatLine> {
        let line = |text: &&str| ChatLine {
            by: match text.strip_prefix('!') {
                Some(_) => Sender::Assistant,
                None => Sender::User,
            },
            text: text.trim_start_matches('!').to_owned(),
        };
        texts.iter().map(line).collect()
    }

    #[test]
    fn a_question_that_the_site_has_as_a_row_already_is_no_past_of_itself() {
        #[rustfmt::skip]
        let table: [(&[&str], &str, usize); 10] = [
            (&[], "a", 0),
            (&["a", "!b"], "a", 2),
            (&["a", "!b", "a"], "a", 2),
            (&["a", "!b", "c"], "a", 3),
            (&["a"], "a", 0),
            // Unanswered ones before are past; what was said since is not.
            (&["!b", "x", "a"], "a", 2),
            (&["!b", "a", "x"], "a", 1),
            (&["!b", "a", "a"], "a", 2),
            // Several messages as one question.
            (&["!b", "a", "c"], "a\nc", 1),
            (&["!b", "a", "c"], "ac", 3),
        ];
        for (texts, question, left) in table {
            let mut cut = lines(texts);
            cut_question(&mut cut, question);
            assert!(cut == lines(&texts[..left]), "{texts:?} {question:?}");
        }
    }

    fn answer(status: u16, body: &str) -> Result<Vec<ChatLine>, &'static str> {
        let answer = Response::builder().status(status);
        read(Ok(answer.body(body.to_owned().into()).unwrap()))
    }

    #[test]
    fn an_answer_is_what_people_and_the_assistant_have_said() {
        let body = r#"{"messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "x"},
            {"role": "assistant", "content": "\u00fc", "more": 1}, {"role": "user", "content": ""}], "more": {}}"#;
        assert!(answer(200, body) == Ok(lines(&["a", "!ü"])));
        assert!(answer(200, r#"{"messages": []}"#) == Ok(Vec::new()));
        #[rustfmt::skip]
        let table = [
            (401, "", "refused"), (403, body, "refused"), (404, "", "status"), (302, "", "status"), (500, body, "status"),
            (204, "", "status"), (200, "", "malformed"), (200, "<html>", "malformed"), (200, "[]", "malformed"),
            (200, r#"{"messages": {}}"#, "malformed"), (200, r#"{"messages": [{"role": "user"}]}"#, "malformed"),
            (200, r#"{"messages": [{"role": "user", "content": 1}]}"#, "malformed"),
        ];
        for (status, body, fault) in table {
            assert!(answer(status, body) == Err(fault), "{status} {body}");
            assert!(LABELS.contains(&fault));
        }
        for error in [RequestError::Timeout, RequestError::TooLong] {
            assert!(LABELS.contains(&error.label()));
        }
    }
}
