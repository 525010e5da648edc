//! The assistant that asks a model: any server with an API as OpenAI's (Chat Completions), by events as they come.
//!
//! A question goes with what was said in its room before, and with what is known about it ([`Retrieve`]). How it is asked,
//! and asked again, is in [`remote`](super::remote).
//!
//! Limits: all of `[assistant.openai]`.

mod chunk;
mod prompt;
mod request;

pub(super) use prompt::told_bytes_max;

use super::remote::{
    AnswerEnding, AnswerExchange, AnswerFault, AnswerPieces, AnswerRefusal, CANCELLED, OK,
    RemoteAnswer, RemoteQuestion, RemoteServer, ServerKind, limits_of, past_of,
};
use super::{Assistant, Error, PastLimits, Piece, Question, Replies, ReplyMeta, Retrieve};
use crate::config::{self, OpenAiSettings, Secret, read_secret};
use crate::http_client::{ClientLimits, HttpClient, Trust};
use crate::metrics::Metrics;
use parking_lot::Mutex;
use prompt::PromptContext;
use request::{AnswerStyle, ModelRequests};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};

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
    server: RemoteServer,
    requests: ModelRequests,
    style: AnswerStyle,
    /// Of businesses that have one of their own, by their ids.
    styles: HashMap<String, AnswerStyle>,
    retrieve: Option<Arc<dyn Retrieve>>,
    /// The first model that the server lists and that answers questions; `None` until that is asked for.
    listed: Mutex<Option<Arc<str>>>,
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
        let fault = |key, what: &str| Error::Server {
            key,
            what: what.into(),
        };
        let requests = ModelRequests::new(&settings.base_url, key.as_ref());
        let no_address = || {
            fault(
                "assistant.openai.base_url",
                "is no address, or the key none",
            )
        };
        let requests = requests.ok_or_else(no_address)?;
        let limits = ClientLimits {
            connect_timeout: settings.first_token,
            timeout: settings.first_token,
            body_bytes: settings.answer_bytes,
            connections: config.concurrency.max(1),
        };
        let trust = Trust::for_url(requests.uri(), settings.ca_file.as_deref());
        let client = HttpClient::new(limits, trust)
            .map_err(|error| fault("assistant.openai.ca_file", &error.to_string()))?;
        let style = AnswerStyle::of(settings);
        let own = config.businesses.iter();
        let styles = own.map(|own| (own.business_id.to_string(), style.with(own)));
        let limits = limits_of!(settings);
        // Of a model one try takes as long as all.
        let faults = AnswerFault::labels_but(AnswerFault::Timeout);
        let outcomes = faults.chain([OK, CANCELLED]);
        let form = chunk::FORM;
        let kind = ServerKind::Model;
        Ok(Self(Arc::new(ModelServer {
            server: RemoteServer::new(kind, client, form, limits, metrics, outcomes),
            requests,
            styles: styles.collect(),
            style,
            retrieve,
            listed: Mutex::default(),
            settings: settings.clone(),
        })))
    }
}

impl OpenAi {
    /// The model that is asked for everybody, as far as that is known.
    pub(super) fn model(&self) -> Option<Arc<str>> {
        let own = self.0.style.model.as_deref().map(Arc::from);
        own.or_else(|| self.0.listed.lock().clone())
    }

    /// Why the last question that was not answered was not.
    pub(super) fn last_fault(&self) -> Option<String> {
        self.0.server.last_fault()
    }
}

/// The key of the settings, or of its file.
fn key(settings: &OpenAiSettings) -> Result<Option<Secret>, Error> {
    let Some(path) = &settings.api_key_file else {
        return Ok(settings.api_key.clone());
    };
    read_secret(path).map(Some).map_err(|what| Error::Server {
        key: "assistant.openai.api_key_file",
        what: what.into(),
    })
}

impl Assistant for OpenAi {
    fn answer(&self, question: Question) -> Replies {
        let model = Arc::clone(&self.0);
        Replies::written(async move |pieces| {
            let answer = RemoteAnswer::new(&model.server, &question.room);
            let question = ModelQuestion::new(&model, &question, answer.deadline()).await;
            let end = answer.ask(&question, pieces.clone()).await?;
            if let Some(meta) = question.stands_on {
                // If nobody reads any more, nobody misses it.
                drop(pieces.send(Ok(Piece::Meta(meta))).await);
            }
            Ok(end)
        })
    }

    fn name(&self) -> &'static str {
        "openai"
    }

    fn past(&self) -> Option<PastLimits> {
        let settings = &self.0.settings;
        // The question itself is the last one.
        Some(past_of!(settings, settings.turns - 1))
    }

    fn degraded(&self) -> Option<String> {
        self.0.server.degraded()
    }
}

/// A question to the model.
struct ModelQuestion<'q> {
    model: &'q ModelServer,
    style: &'q AnswerStyle,
    /// What the model is told before the conversation.
    prompt: String,
    /// Documents that are told of there.
    stands_on: Option<ReplyMeta>,
    question: &'q Question,
}

impl<'q> ModelQuestion<'q> {
    async fn new(model: &'q ModelServer, question: &'q Question, deadline: Instant) -> Self {
        let business_id = question.room.business_id();
        let style = model.styles.get(business_id).unwrap_or(&model.style);
        let context = model.context(style, question, deadline).await;
        let prompt = prompt::render(&style.prompt, &style.language, business_id, &context.text);
        Self {
            model,
            style,
            prompt,
            stands_on: ReplyMeta::of_documents(&context.documents),
            question,
        }
    }
}

impl RemoteQuestion for ModelQuestion<'_> {
    async fn ask(
        &self,
        exchange: &AnswerExchange<'_>,
        deadline: Instant,
        pieces: &mut AnswerPieces<'_>,
    ) -> Result<AnswerEnding, AnswerRefusal> {
        let asked = async {
            let model = self.model.model(self.style, exchange, deadline).await?;
            let requests = &self.model.requests;
            let request = requests.chat(self.style, &model, &self.prompt, self.question)?;
            let answer = exchange.open(request, deadline).await?;
            exchange.pass_on(answer, deadline, pieces).await
        };
        let asked = asked.await;
        if let Err((AnswerFault::NotFound, _)) = asked {
            *self.model.listed.lock() = None;
        }
        asked.map(|()| AnswerEnding::Said)
    }
}

impl ModelServer {
    /// The model that answers: that of the settings, or the first that the server lists and that answers questions.
    async fn model(
        &self,
        style: &AnswerStyle,
        exchange: &AnswerExchange<'_>,
        deadline: Instant,
    ) -> Result<Arc<str>, AnswerRefusal> {
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

    /// What is known about a question, if the model is to be told. Half of the time until its first word is left for the
    /// model.
    async fn context(
        &self,
        style: &AnswerStyle,
        question: &Question,
        deadline: Instant,
    ) -> PromptContext {
        let retrieve = self.retrieve.as_ref();
        let Some(retrieve) = retrieve.filter(|_| prompt::asks_for_context(&style.prompt)) else {
            return PromptContext::default();
        };
        let passages = retrieve.passages(question.room.business_id(), &question.text);
        let half = Instant::now() + deadline.saturating_duration_since(Instant::now()) / 2;
        let passages = timeout_at(half, passages).await.unwrap_or_default();
        PromptContext::of(passages, self.settings.context_bytes)
    }
}
