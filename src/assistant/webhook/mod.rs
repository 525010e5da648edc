//! The assistant that asks the site: a view of its own, by a POST that is signed.
//!
//! | The view answers | Means |
//! |---|---|
//! | 200 with `{"message": "…"}` | the answer; `meta`, an object of at most 1 KiB, comes beside it |
//! | 200 with `text/event-stream` or `application/x-ndjson` | the answer in pieces: `{"delta": "…"}`, at the end `{"done": true}`; `{"error": …}` ends it with the apology |
//! | 202 | the answer comes later, by `POST /api/publish` |
//! | 204 | no answer is wanted |
//! | anything else | [`AnswerFault`] |
//!
//! All tries of a question carry the same `Idempotency-Key`, so that a site can tell a repeat. How a question is asked, and
//! asked again, is in [`remote`](super::remote).
//!
//! Limits: all of `[assistant.webhook]`.

mod body;
mod request;

use super::remote::{
    AnswerEnding, AnswerExchange, AnswerFault, AnswerPieces, AnswerRefusal, CANCELLED, LATER, OK,
    RemoteAnswer, RemoteQuestion, RemoteServer, ServerKind, UNWANTED, limits_of, past_of, read_out,
};
use super::{Assistant, Error, Failure, PastLimits, Question, Replies};
use crate::clock::wall;
use crate::config::{self, WebhookSettings};
use crate::http_client::{ClientLimits, HttpClient, SignedRequests, Trust};
use crate::metrics::Metrics;
use hyper::StatusCode;
use request::WebhookQuestion;
use std::sync::Arc;
use tokio::time::Instant;

/// Where the secret stands, or a file with it.
const SECRET_KEYS: [&str; 2] = ["assistant.webhook.secret", "assistant.webhook.secret_file"];

/// The assistant that asks the site. See the module.
#[derive(Clone)]
pub struct Webhook(Arc<WebhookServer>);

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").finish_non_exhaustive()
    }
}

struct WebhookServer {
    settings: WebhookSettings,
    server: RemoteServer,
    requests: SignedRequests,
}

impl Webhook {
    /// The site of the settings. Opens no connection.
    ///
    /// # Errors
    /// When there is no secret, its file or the authorities that TLS trusts cannot be read, or the address is none.
    pub fn new(config: &config::AssistantSettings, metrics: &Arc<Metrics>) -> Result<Self, Error> {
        let settings = &config.webhook;
        let fault = |key, what: &str| Error::Server {
            key,
            what: what.into(),
        };
        let secret = config::signing_secret(
            SECRET_KEYS,
            settings.secret.as_ref(),
            settings.secret_file.as_deref(),
        );
        let secret = secret.map_err(|(key, what)| fault(key, &what))?;
        let url = settings.url.as_deref();
        let requests = url.and_then(|url| SignedRequests::new(url, &settings.host, &secret));
        let requests = requests
            .ok_or_else(|| fault("assistant.webhook.url", "is no address, or its host none"))?;
        let limits = ClientLimits {
            connect_timeout: settings.timeout,
            timeout: settings.timeout,
            body_bytes: settings.answer_bytes,
            connections: config.concurrency.max(1),
        };
        let trust = Trust::for_url(requests.uri(), settings.ca_file.as_deref());
        let client = HttpClient::new(limits, trust)
            .map_err(|error| fault("assistant.webhook.ca_file", &error.to_string()))?;
        let limits = limits_of!(settings);
        let faults = AnswerFault::labels_but(AnswerFault::NoModel);
        let outcomes = faults.chain([OK, LATER, UNWANTED, CANCELLED]);
        let (kind, form) = (ServerKind::Webhook, body::FORM);
        Ok(Self(Arc::new(WebhookServer {
            server: RemoteServer::new(kind, client, form, limits, metrics, outcomes),
            requests,
            settings: settings.clone(),
        })))
    }
}

impl Webhook {
    /// Why the last question that was not answered was not.
    pub(super) fn last_fault(&self) -> Option<String> {
        self.0.server.last_fault()
    }
}

impl Assistant for Webhook {
    fn answer(&self, question: Question) -> Replies {
        let site = Arc::clone(&self.0);
        Replies::written(async move |pieces| {
            let answer = RemoteAnswer::new(&site.server, &question.room);
            let id = format!("{:016x}{:016x}", site.server.random(), site.server.random());
            let question = WebhookQuestion::new(id, &question).ok_or(Failure::Failed)?;
            let requests = &site.requests;
            answer
                .ask(&AskedOfSite { requests, question }, pieces)
                .await
        })
    }

    fn name(&self) -> &'static str {
        "webhook"
    }

    fn past(&self) -> Option<PastLimits> {
        let settings = &self.0.settings;
        (settings.turns > 0).then_some(past_of!(settings, settings.turns))
    }

    fn degraded(&self) -> Option<String> {
        self.0.server.degraded()
    }
}

/// A question to the site.
struct AskedOfSite<'q> {
    requests: &'q SignedRequests,
    question: WebhookQuestion,
}

impl RemoteQuestion for AskedOfSite<'_> {
    async fn ask(
        &self,
        exchange: &AnswerExchange<'_>,
        deadline: Instant,
        pieces: &mut AnswerPieces<'_>,
    ) -> Result<AnswerEnding, AnswerRefusal> {
        let request = self.question.request(self.requests, wall().0)?;
        let answer = exchange.open(request, deadline).await?;
        match answer.head.status {
            StatusCode::OK => {
                exchange.pass_on(answer, deadline, pieces).await?;
                Ok(AnswerEnding::Said)
            }
            StatusCode::ACCEPTED => {
                read_out(answer).await;
                Ok(AnswerEnding::Later)
            }
            StatusCode::NO_CONTENT => Ok(AnswerEnding::Unwanted),
            _ => Err(AnswerFault::Malformed.into()),
        }
    }
}
