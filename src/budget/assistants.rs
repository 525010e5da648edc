//! What assistants cost that ask a server.

use super::addend::{Addend, addend};
use crate::assistant::{question_at_model_bytes, question_at_webhook_bytes, remembered_room_bytes};
use crate::config::{AssistantKind, Config};

/// Answers of a model, and what was said before its questions.
pub(super) fn model(config: &Config) -> Vec<Addend> {
    let (assistant, openai) = (&config.assistant, &config.assistant.openai);
    if assistant.kind != AssistantKind::OpenAi {
        return Vec::new();
    }
    let question = question_at_model_bytes(config);
    let room = remembered_room_bytes(openai.turns, openai.context_bytes);
    #[rustfmt::skip]
    let addends = vec![
        addend("model: questions and their answers", assistant.concurrency, question),
        addend("model: rooms whose messages are remembered", openai.rooms, room),
    ];
    addends
}

/// Answers of the site, and what was said before its questions.
pub(super) fn webhook(config: &Config) -> Vec<Addend> {
    let (assistant, webhook) = (&config.assistant, &config.assistant.webhook);
    if assistant.kind != AssistantKind::Webhook {
        return Vec::new();
    }
    let question = question_at_webhook_bytes(config);
    let rooms = match webhook.turns {
        0 => 0,
        _ => webhook.rooms,
    };
    let room = remembered_room_bytes(webhook.turns, webhook.context_bytes);
    #[rustfmt::skip]
    let addends = vec![
        addend("webhook: questions and their answers", assistant.concurrency, question),
        addend("webhook: rooms whose messages are remembered", rooms, room),
    ];
    addends
}
