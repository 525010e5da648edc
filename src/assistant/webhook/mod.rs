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
    AnswerEnding, AnswerExchange, AnswerFault, AnswerPieces, AnswerRefusal, CANCELLED,
    ExchangeLimits, LATER, OK, RemoteAnswer, RemoteLimits, RemoteQuestion, RemoteServer,
    ServerKind, UNWANTED, read_out, read_secret,
};
use super::{Assistant, Error, Failure, PastLimits, Question, Replies};
use crate::clock::wall;
use crate::config::{self, Secret, WEBHOOK_SECRET_BYTES_MIN, WebhookSettings};
use crate::http_client::{ClientLimits, HttpClient, Trust};
use crate::metrics::Metrics;
use hyper::StatusCode;
use request::{WebhookQuestion, WebhookRequests};
use std::sync::Arc;
use tokio::time::Instant;

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
    requests: WebhookRequests,
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
        let secret = secret(settings)?;
        let url = settings.url.as_deref();
        let requests = url.and_then(|url| WebhookRequests::new(url, &settings.host, &secret));
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
        let limits = RemoteLimits {
            first_token: settings.first_token,
            retries: settings.retries,
            retry_budget: settings.retry_budget,
            breaker_failures: settings.breaker_failures,
            breaker_pause: settings.breaker_pause,
            exchange: ExchangeLimits {
                between_tokens: settings.between_tokens,
                event_bytes: settings.event_bytes,
            },
        };
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

/// The secret of the settings, or of its file.
fn secret(settings: &WebhookSettings) -> Result<Secret, Error> {
    let fault = |key, what: String| Error::Server {
        key,
        what: what.into(),
    };
    let Some(path) = &settings.secret_file else {
        let secret = settings.secret.clone();
        return secret.ok_or_else(|| fault("assistant.webhook.secret", "is unset".to_owned()));
    };
    let key = "assistant.webhook.secret_file";
    let secret = read_secret(path).map_err(|what| fault(key, what))?;
    if secret.expose().len() < WEBHOOK_SECRET_BYTES_MIN {
        let least = WEBHOOK_SECRET_BYTES_MIN;
        return Err(fault(
            key,
            format!("{} holds fewer than {least} bytes", path.display()),
        ));
    }
    Ok(secret)
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
        (settings.turns > 0).then_some(PastLimits {
            lines: settings.turns,
            bytes: settings.context_bytes,
            rooms: settings.rooms,
            expiry: settings.remember,
        })
    }

    fn degraded(&self) -> Option<String> {
        self.0.server.degraded()
    }
}

/// A question to the site.
struct AskedOfSite<'q> {
    requests: &'q WebhookRequests,
    question: WebhookQuestion,
}

impl RemoteQuestion for AskedOfSite<'_> {
    async fn ask(
        &self,
        exchange: &AnswerExchange<'_>,
        deadline: Instant,
        pieces: &mut AnswerPieces<'_>,
    ) -> Result<AnswerEnding, AnswerRefusal> {
        let request = self.requests.ask(&self.question, wall().0)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_of_a_file_is_as_long_as_any_and_is_not_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let of = |text: &str| {
            let path = folder.path().join("secret");
            std::fs::write(&path, text).expect("the file");
            secret(&WebhookSettings {
                secret_file: Some(path),
                ..WebhookSettings::default()
            })
        };
        let long = of(" 0123456789abcdef\n").expect("long enough");
        assert_eq!(long.expose(), "0123456789abcdef");
        for bad in [
            "",
            " \n",
            "0123456789abcde",
            "two words of many letters",
            "\u{e4}0123456789abcdef",
        ] {
            let error = of(bad).expect_err(bad).to_string();
            assert!(
                error.starts_with("assistant.webhook.secret_file: "),
                "{error}"
            );
            assert!(
                !error.contains("0123456789") && !error.contains("words"),
                "{error}"
            );
        }
        assert!(of(&"x".repeat(5_000)).is_err());
        assert!(secret(&WebhookSettings::default()).is_err());
    }
}
