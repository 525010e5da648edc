//! The assistant that asks a model: any server with an API as OpenAI's (Chat Completions), by events as they come.
//!
//! A question goes with what was said in its room before, and with what is known about it ([`Retrieve`]). The answer is
//! passed on in pieces. Before its first word a question may be asked again ([`retries`]), and while a server fails nobody
//! is asked ([`breaker`]). Whatever a server does ends in one answer or one [`ModelFault`], which is counted; nothing that
//! a server says reaches a log but a word of lower-case letters ([`chunk::error_code`]).
//!
//! Limits: all of `[assistant.openai]`; `assistant.concurrency` connections. Redirects are not followed, and no coding is
//! asked for or taken.

mod breaker;
mod chunk;
mod events;
mod exchange;
mod fault;
mod prompt;
mod request;
mod retries;

use super::{Assistant, Error, Failure, PastLimits, Piece, Question, Replies, Retrieve};
use crate::clock::Clock;
use crate::config::{self, OpenAiSettings, Secret};
use crate::http_client::{ClientLimits, HEAD_BYTES_MAX, HttpClient, Trust};
use crate::metrics::{Metrics, count, declare};
use crate::redis::Randomness;
use crate::redis::log_limiter::LogLimiter;
use breaker::Breaker;
use exchange::{AnswerPieces, ExchangeLimits, ModelExchange, ModelRefusal};
use fault::{CANCELLED, ModelFault, OK};
use parking_lot::Mutex;
use request::{AnswerStyle, ModelRequests};
use retries::RetryBudget;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

/// Bytes of a question at a model beside its texts and the answer's: the answer's head and its fields, and the buffers of a
/// connection with TLS.
pub(super) const EXCHANGE_BYTES: usize = 4 * HEAD_BYTES_MAX;

/// Longest file with a key in it.
const KEY_FILE_BYTES_MAX: u64 = 4096;

/// The assistant that asks a model. See the module.
#[derive(Clone)]
pub struct OpenAi(Arc<ModelServer>);

impl std::fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenAi").finish_non_exhaustive()
    }
}

struct ModelServer {
    settings: OpenAiSettings,
    client: HttpClient,
    requests: ModelRequests,
    style: AnswerStyle,
    /// Of businesses that have one of their own, by their ids.
    styles: HashMap<String, AnswerStyle>,
    retrieve: Option<Arc<dyn Retrieve>>,
    /// The first model that the server lists; `None` until that is asked for.
    listed: Mutex<Option<Arc<str>>>,
    breaker: Breaker,
    budget: RetryBudget,
    randomness: Randomness,
    health: Mutex<ModelHealth>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

/// What the log has been told of the server.
#[derive(Debug, Default)]
struct ModelHealth {
    /// Why the last question was not answered; `None` if it was.
    fault: Option<&'static str>,
    lines: LogLimiter,
}

impl OpenAi {
    /// The model of the settings. Opens no connection.
    ///
    /// # Errors
    /// When the file with the key, or the authorities that TLS trusts, cannot be read, or the address is none.
    pub fn new(
        config: &config::AssistantSettings,
        metrics: &Arc<Metrics>,
        retrieve: Option<Arc<dyn Retrieve>>,
    ) -> Result<Self, Error> {
        let settings = &config.openai;
        let key = key(settings)?;
        let fault = |key, what: &str| Error::Model {
            key,
            what: what.into(),
        };
        let requests = ModelRequests::new(&settings.base_url, key.as_ref());
        let requests =
            requests.ok_or_else(|| fault("base_url", "is no address, or the key none"))?;
        let limits = ClientLimits {
            connect_timeout: settings.first_token,
            timeout: settings.first_token,
            body_bytes: settings.answer_bytes,
            connections: config.concurrency.max(1),
        };
        let trust = Trust::for_url(requests.uri(), settings.ca_file.as_deref());
        let client =
            HttpClient::new(limits, trust).map_err(|error| fault("ca_file", &error.to_string()))?;
        let labels = ModelFault::ALL.iter().map(|fault| fault.label());
        declare(
            &metrics.assistant_answers,
            "outcome",
            labels.chain([OK, CANCELLED]),
        );
        let style = AnswerStyle::of(settings);
        let own = config.businesses.iter();
        let styles = own.map(|own| (own.business_id.to_string(), style.with(own)));
        let open = metrics.assistant_breaker_open.clone();
        let on_change = move |is_open| {
            open.set(i64::from(is_open));
            if is_open {
                tracing::warn!(
                    "the model fails; nobody asks it for assistant.openai.breaker_pause"
                );
            } else {
                tracing::info!("the model answers again");
            }
        };
        Ok(Self(Arc::new(ModelServer {
            client,
            requests,
            styles: styles.collect(),
            style,
            retrieve,
            listed: Mutex::default(),
            breaker: Breaker::new(
                settings.breaker_failures,
                settings.breaker_pause,
                Box::new(on_change),
            ),
            budget: RetryBudget::new(settings.retry_budget),
            randomness: Randomness::default(),
            health: Mutex::default(),
            clock: Clock::start(),
            metrics: Arc::clone(metrics),
            settings: settings.clone(),
        })))
    }
}

/// The key of the settings, or of its file.
fn key(settings: &OpenAiSettings) -> Result<Option<Secret>, Error> {
    let Some(path) = &settings.api_key_file else {
        return Ok(settings.api_key.clone());
    };
    let fault = |what: String| Error::Model {
        key: "api_key_file",
        what: what.into(),
    };
    let unread = |error| fault(format!("cannot read {}: {error}", path.display()));
    let about = std::fs::metadata(path).map_err(unread)?;
    if !about.is_file() || about.len() > KEY_FILE_BYTES_MAX {
        return Err(fault(format!(
            "{} is not a file of at most {KEY_FILE_BYTES_MAX} bytes",
            path.display()
        )));
    }
    let text = std::fs::read_to_string(path).map_err(unread)?;
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(fault(format!("{} holds no key", path.display())));
    }
    Ok(Some(Secret::new(text)))
}

impl Assistant for OpenAi {
    fn answer(&self, question: Question) -> Replies {
        let server = Arc::clone(&self.0);
        Replies::written(async move |pieces| {
            let mut answer = OpenAnswer::new(&server.metrics);
            let answered = server.answer(&question, pieces, answer.began).await;
            answer.outcome = answered.map_or_else(ModelFault::label, |()| OK);
            answered.map_err(Failure::from)
        })
    }

    fn name(&self) -> &'static str {
        "openai"
    }

    fn past(&self) -> Option<PastLimits> {
        let settings = &self.0.settings;
        Some(PastLimits {
            // The question itself is the last one.
            lines: settings.turns - 1,
            bytes: settings.context_bytes,
            rooms: settings.rooms,
            expiry: settings.remember,
        })
    }

    fn degraded(&self) -> Option<String> {
        let fault = self.0.health.lock().fault.unwrap_or("failed");
        let is_open = self.0.breaker.is_open();
        is_open.then(|| format!("the model does not answer: {fault}"))
    }
}

/// A question at the model: counted once, however it ends.
struct OpenAnswer {
    began: Instant,
    outcome: &'static str,
    metrics: Arc<Metrics>,
}

impl OpenAnswer {
    fn new(metrics: &Arc<Metrics>) -> Self {
        metrics.assistant_answers_open.inc();
        Self {
            began: Instant::now(),
            outcome: CANCELLED,
            metrics: Arc::clone(metrics),
        }
    }
}

impl Drop for OpenAnswer {
    fn drop(&mut self) {
        let metrics = &self.metrics;
        metrics.assistant_answers_open.dec();
        count(&metrics.assistant_answers, "outcome", self.outcome);
        if self.outcome == OK {
            let took = self.began.elapsed().as_secs_f64();
            metrics.assistant_answer.observe(took);
        }
    }
}

impl ModelServer {
    /// Asks until there is an answer, or no use in asking again.
    async fn answer(
        &self,
        question: &Question,
        pieces: mpsc::Sender<Result<Piece, Failure>>,
        began: Instant,
    ) -> Result<(), ModelFault> {
        let deadline = began + self.settings.first_token;
        let business_id = question.room.business_id();
        let style = self.styles.get(business_id).unwrap_or(&self.style);
        let context = self.context(question, deadline).await;
        let prompt = prompt::render(&style.prompt, &style.language, business_id, &context);
        let mut pieces = AnswerPieces::new(pieces, began, &self.metrics);
        let mut retry = 0;
        loop {
            let asked = self.ask(style, &prompt, question, deadline, &mut pieces);
            let fault = match asked.await {
                Ok(()) => {
                    self.budget.earn();
                    return Ok(());
                }
                Err(fault) => fault,
            };
            let is_last = retry >= self.settings.retries || pieces.is_begun() || !fault.may_pass();
            let pause = retries::pause(retry, fault.retry_after(), &self.randomness);
            let left = deadline.saturating_duration_since(Instant::now());
            if is_last || pause >= left || !self.budget.take() {
                return Err(fault);
            }
            self.metrics.assistant_retries.inc();
            retry += 1;
            sleep(pause).await;
        }
    }

    /// Asks once.
    async fn ask(
        &self,
        style: &AnswerStyle,
        prompt: &str,
        question: &Question,
        deadline: Instant,
        pieces: &mut AnswerPieces,
    ) -> Result<(), ModelFault> {
        let now = Instant::now();
        let pass = self.breaker.pass(now).ok_or(ModelFault::BreakerOpen)?;
        let exchange = self.exchange();
        let asked = async {
            let model = self.model(style, &exchange, deadline).await?;
            let request = self.requests.chat(style, &model, prompt, question)?;
            exchange.answer(request, deadline, pieces).await
        };
        let asked = asked.await;
        self.log(asked.as_ref().err());
        match asked {
            Err((fault, _)) if fault.is_of_server() => {
                pass.failed(Instant::now());
                Err(fault)
            }
            // A server that says no is there.
            Ok(()) => {
                pass.succeeded();
                Ok(())
            }
            Err((fault, _)) => {
                pass.succeeded();
                if fault == ModelFault::NotFound {
                    *self.listed.lock() = None;
                }
                Err(fault)
            }
        }
    }

    fn exchange(&self) -> ModelExchange<'_> {
        ModelExchange {
            client: &self.client,
            limits: ExchangeLimits {
                between_tokens: self.settings.between_tokens,
                event_bytes: self.settings.event_bytes,
            },
        }
    }

    /// The model that answers: that of the settings, or the first that the server lists.
    async fn model(
        &self,
        style: &AnswerStyle,
        exchange: &ModelExchange<'_>,
        deadline: Instant,
    ) -> Result<Arc<str>, ModelRefusal> {
        if let Some(model) = &style.model {
            return Ok(model.as_str().into());
        }
        if let Some(model) = self.listed.lock().clone() {
            return Ok(model);
        }
        let listed = exchange.json(self.requests.models()?, deadline).await?;
        let model: Arc<str> = chunk::read_models(&listed)?.into();
        *self.listed.lock() = Some(Arc::clone(&model));
        Ok(model)
    }

    /// What is known about a question. Half of the time until its first word is left for the model.
    async fn context(&self, question: &Question, deadline: Instant) -> String {
        let Some(retrieve) = &self.retrieve else {
            return String::new();
        };
        let passages = retrieve.passages(question.room.business_id(), &question.text);
        let half = Instant::now() + deadline.saturating_duration_since(Instant::now()) / 2;
        let passages = timeout_at(half, passages).await.unwrap_or_default();
        prompt::context(passages, self.settings.context_bytes)
    }

    /// One line when questions begin to fail, or in another way, at most one a second; and one when they are answered again.
    fn log(&self, refused: Option<&ModelRefusal>) {
        let mut health = self.health.lock();
        let fault = refused.map(|(fault, _)| fault.label());
        if health.fault == fault {
            return;
        }
        match refused {
            None => health.fault = None,
            Some((fault, code)) => {
                health.fault = Some(fault.label());
                if health.lines.is_due(self.clock.now()) {
                    let code = code.as_deref().unwrap_or("-");
                    tracing::warn!(fault = fault.label(), code, "the model gave no answer");
                }
            }
        }
    }
}
