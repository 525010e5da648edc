//! What a model is asked: the requests of Chat Completions.

use super::super::remote::AnswerFault;
use super::super::{ChatLine, Question};
use super::prompt::PROMPT;
use crate::config::{BusinessAssistant, OpenAiSettings, Secret};
use crate::http_client::request_body;
use crate::protocol::Sender;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Uri};
use serde::Serialize;

/// How a business is answered.
#[derive(Clone, Debug)]
pub(super) struct AnswerStyle {
    /// `None`: the first that the server lists.
    pub(super) model: Option<String>,
    pub(super) prompt: String,
    pub(super) language: String,
    temperature: Option<f64>,
    max_tokens: u32,
}

impl AnswerStyle {
    /// That of a business without settings of its own.
    pub(super) fn of(openai: &OpenAiSettings) -> Self {
        Self {
            model: openai.model.clone(),
            prompt: openai.prompt.as_deref().unwrap_or(PROMPT).to_owned(),
            language: openai.language.clone(),
            temperature: openai.temperature.map(|temperature| temperature.value()),
            max_tokens: openai.max_tokens,
        }
    }

    /// The same with what a business has of its own.
    pub(super) fn with(&self, own: &BusinessAssistant) -> Self {
        let temperature = own.temperature.map(|temperature| temperature.value());
        let text = |own: &Option<String>, all: &str| own.as_deref().unwrap_or(all).to_owned();
        Self {
            model: own.model.clone().or_else(|| self.model.clone()),
            prompt: text(&own.prompt, &self.prompt),
            language: text(&own.language, &self.language),
            temperature: temperature.or(self.temperature),
            max_tokens: own.max_tokens.unwrap_or(self.max_tokens),
        }
    }
}

#[derive(Serialize)]
struct ChatRequest<'q> {
    model: &'q str,
    messages: Vec<ChatRequestMessage<'q>>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
}

#[derive(Serialize)]
struct ChatRequestMessage<'q> {
    role: &'static str,
    content: &'q str,
}

impl<'q> ChatRequestMessage<'q> {
    fn of(line: &'q ChatLine) -> Self {
        Self {
            role: line.by.as_str(),
            content: &line.text,
        }
    }
}

/// What a model is told of what was said before: from the first words of a customer on, since templates that demand turns
/// refuse a conversation that the assistant begins. What the server itself has said is nothing of it.
fn conversation(past: &[ChatLine]) -> impl Iterator<Item = &ChatLine> {
    let said = past.iter().filter(|line| line.by != Sender::System);
    said.skip_while(|line| line.by != Sender::User)
}

/// Where requests go, and what each of them carries.
#[derive(Debug)]
pub(super) struct ModelRequests {
    chat: Uri,
    models: Uri,
    /// Marked as a secret.
    authorization: Option<HeaderValue>,
}

impl ModelRequests {
    /// Requests to the API below an address; `None` if that is none, or the key is none that a field can carry.
    pub(super) fn new(base_url: &str, key: Option<&Secret>) -> Option<Self> {
        let base = base_url.trim_end_matches('/');
        let at = |path: &str| format!("{base}{path}").parse().ok();
        let authorization = match key {
            Some(key) => {
                let mut bearer = HeaderValue::try_from(format!("Bearer {}", key.expose())).ok()?;
                bearer.set_sensitive(true);
                Some(bearer)
            }
            None => None,
        };
        Some(Self {
            chat: at("/chat/completions")?,
            models: at("/models")?,
            authorization,
        })
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.chat
    }

    /// The question of a customer, behind what was said before and what the model is told (`prompt`).
    pub(super) fn chat(
        &self,
        style: &AnswerStyle,
        model: &str,
        prompt: &str,
        question: &Question,
    ) -> Result<Request<Full<Bytes>>, AnswerFault> {
        let told = ChatRequestMessage {
            role: "system",
            content: prompt,
        };
        let told = Some(told).filter(|told| !told.content.is_empty());
        let past = conversation(&question.past);
        let asked = ChatRequestMessage {
            role: Sender::User.as_str(),
            content: &question.text,
        };
        let messages = told.into_iter().chain(past.map(ChatRequestMessage::of));
        let body = request_body(&ChatRequest {
            model,
            messages: messages.chain([asked]).collect(),
            stream: true,
            temperature: style.temperature,
            max_tokens: Some(style.max_tokens).filter(|most| *most > 0),
        });
        let body = body.ok_or(AnswerFault::Refused)?;
        self.request(Method::POST, &self.chat, body)
    }

    /// Which models there are.
    pub(super) fn models(&self) -> Result<Request<Full<Bytes>>, AnswerFault> {
        self.request(Method::GET, &self.models, Bytes::new())
    }

    fn request(
        &self,
        method: Method,
        uri: &Uri,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, AnswerFault> {
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .header(ACCEPT, "text/event-stream, application/json")
            .header(ACCEPT_ENCODING, "identity");
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(bearer) = &self.authorization {
            request = request.header(AUTHORIZATION, bearer);
        }
        let request = request.body(Full::new(body));
        request.map_err(|_no_request| AnswerFault::Refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_begins_with_the_customer_wherever_the_past_was_cut() {
        use Sender::{Assistant, System, User};
        for (past, expected) in [
            (&[Assistant, User, Assistant][..], &[User, Assistant][..]),
            (&[System, Assistant, Assistant, System, User], &[User]),
            (&[User, System, Assistant], &[User, Assistant]),
            (&[Assistant], &[]),
            (&[], &[]),
        ] {
            let line = |by: &Sender| ChatLine {
                by: *by,
                text: "x".to_owned(),
            };
            let past: Vec<ChatLine> = past.iter().map(line).collect();
            let told: Vec<Sender> = conversation(&past).map(|line| line.by).collect();
            assert_eq!(told, expected);
        }
    }
}
