//! What answers of a model or of the site cost at most, in bytes.

use super::REPLY_BYTES_MAX;
use super::conversations::{CONVERSATION_BYTES, LINE_BYTES};
use super::openai::told_bytes_max;
use super::prompts::QUESTION_BYTES_MAX;
use super::remote::{EVENT_FACTOR, EXCHANGE_BYTES, JSON_FACTOR, REPLY_FACTOR};
use crate::config::{AssistantSettings, Config};

/// A question at the model: the texts that go along, the requests made of them, and what is read of the answer.
#[must_use]
pub fn question_at_model_bytes(config: &Config) -> usize {
    let openai = &config.assistant.openai;
    let told = told_bytes(&config.assistant);
    let texts = asked_bytes(config, openai.turns, openai.context_bytes).saturating_add(told);
    // What is known, and the buffer that the prompt has grown in.
    let beside = told.saturating_mul(2).saturating_add(openai.context_bytes);
    // The request that is sent, and that of the try before, which may not be let go of yet.
    exchange_bytes(texts, 2, openai.event_bytes).saturating_add(beside)
}

/// A question at the site; as above, with one request for all tries.
#[must_use]
pub fn question_at_webhook_bytes(config: &Config) -> usize {
    let webhook = &config.assistant.webhook;
    let texts = asked_bytes(config, webhook.turns, webhook.context_bytes);
    exchange_bytes(texts, 1, webhook.event_bytes)
}

/// Most bytes of what a model is told before the conversation, of any business.
fn told_bytes(assistant: &AssistantSettings) -> usize {
    let openai = &assistant.openai;
    let of = |prompt: Option<&str>, language: Option<&str>| {
        let language = language.unwrap_or(&openai.language);
        told_bytes_max(
            prompt.or(openai.prompt.as_deref()),
            language,
            openai.context_bytes,
        )
    };
    let own = assistant.businesses.iter();
    let own = own.map(|own| of(own.prompt.as_deref(), own.language.as_deref()));
    own.fold(of(None, None), usize::max)
}

/// What was said before a question, and the question: several prompts in a row may be one.
fn asked_bytes(config: &Config, turns: usize, context_bytes: usize) -> usize {
    let text = config.chat.text_bytes_max;
    let question = match config.assistant.debounce.is_zero() {
        true => text,
        // In a buffer that has grown.
        false => text.max(QUESTION_BYTES_MAX).saturating_mul(2),
    };
    // What JSON has around a line is no longer than what a line costs beside its text.
    let past = turns
        .saturating_mul(LINE_BYTES)
        .saturating_add(context_bytes);
    past.saturating_add(question)
}

/// These texts, so many requests made of them, and the answer.
fn exchange_bytes(texts: usize, requests: usize, event_bytes: usize) -> usize {
    let copies = requests * JSON_FACTOR + 1;
    texts
        .saturating_mul(copies)
        .saturating_add(event_bytes.saturating_mul(EVENT_FACTOR))
        .saturating_add(REPLY_BYTES_MAX * REPLY_FACTOR + EXCHANGE_BYTES)
}

/// A room of which so many messages of so many bytes in all are remembered.
#[must_use]
pub fn remembered_room_bytes(turns: usize, context_bytes: usize) -> usize {
    let lines = turns.saturating_mul(LINE_BYTES);
    let room = context_bytes.saturating_add(lines);
    room.saturating_add(CONVERSATION_BYTES)
}
