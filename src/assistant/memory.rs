//! What answers of a model or of the site cost at most, in bytes.

use super::REPLY_BYTES_MAX;
use super::conversations::{CONVERSATION_BYTES, LINE_BYTES};
use super::remote::EXCHANGE_BYTES;
use super::site_context::answer_bytes_max;
use crate::config::Config;

/// A question at the model: the texts that go along, the request made of them, and what is read of the answer.
#[must_use]
pub fn question_at_model_bytes(config: &Config) -> usize {
    let (assistant, openai) = (&config.assistant, &config.assistant.openai);
    let own = assistant.businesses.iter();
    let prompts = own.filter_map(|own| own.prompt.as_ref());
    let prompt = prompts.chain(&openai.prompt).map(String::len).max();
    let texts = openai
        .context_bytes
        .saturating_mul(2)
        .saturating_add(config.chat.text_bytes_max)
        .saturating_add(prompt.unwrap_or_default());
    exchange_bytes(texts, openai.event_bytes)
}

/// A question at the site; as above.
#[must_use]
pub fn question_at_webhook_bytes(config: &Config) -> usize {
    let webhook = &config.assistant.webhook;
    let texts = webhook
        .context_bytes
        .saturating_add(config.chat.text_bytes_max);
    exchange_bytes(texts, webhook.event_bytes)
}

/// What the site says that was said in a room before: its answer, and the lines that are read of it.
#[must_use]
pub fn site_context_bytes(context_bytes: usize) -> usize {
    // Twice as it comes, its texts, and of the shortest messages, 25 bytes each, a list of 48 bytes each that grows by doubling.
    let answer = answer_bytes_max(context_bytes);
    answer.saturating_mul(9).saturating_add(EXCHANGE_BYTES)
}

fn exchange_bytes(texts: usize, event_bytes: usize) -> usize {
    // JSON writes a control character of one byte as six; a line of the answer, and the event that it becomes.
    texts
        .saturating_mul(7)
        .saturating_add(event_bytes.saturating_mul(3))
        .saturating_add(REPLY_BYTES_MAX + EXCHANGE_BYTES)
}

/// A room of which so many messages of so many bytes in all are remembered.
#[must_use]
pub fn remembered_room_bytes(turns: usize, context_bytes: usize) -> usize {
    let lines = turns.saturating_mul(LINE_BYTES);
    let room = context_bytes.saturating_add(lines);
    room.saturating_add(CONVERSATION_BYTES)
}
