//! What assistants cost that ask a server, and what their answers stand on.

use super::addend::{Addend, addend};
use crate::assistant::{
    question_at_model_bytes, question_at_webhook_bytes, remembered_room_bytes, site_context_bytes,
};
use crate::config::{AssistantKind, Config, RetrievalKind};
use crate::retrieval::memory as retrieved;

/// Answers of a model, and what was said before its questions.
pub(super) fn model(config: &Config) -> Vec<Addend> {
    let (assistant, openai) = (&config.assistant, &config.assistant.openai);
    if assistant.kind != AssistantKind::OpenAi {
        return Vec::new();
    }
    let question = question_at_model_bytes(config);
    let room = remembered_room_bytes(openai.turns, openai.context_bytes);
    #[rustfmt::skip]
    let mut addends = vec![
        addend("model: questions and their answers", assistant.concurrency, question),
        addend("model: rooms whose messages are remembered", openai.rooms, room),
    ];
    if openai.context_url.is_some() {
        let answer = site_context_bytes(openai.context_bytes);
        #[rustfmt::skip]
        addends.push(addend("model: what the site says of rooms", assistant.concurrency, answer));
    }
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

/// What answers stand on.
pub(super) fn retrieval(config: &Config) -> Vec<Addend> {
    let (settings, assistant) = (&config.retrieval, &config.assistant);
    if settings.kind == RetrievalKind::None || assistant.kind != AssistantKind::OpenAi {
        return Vec::new();
    }
    let told = assistant.openai.context_bytes;
    #[rustfmt::skip]
    let mut addends = vec![
        addend("retrieval: documents and their vectors", 1, retrieved::collections_bytes(settings)),
        addend("retrieval: businesses that are remembered", settings.businesses, retrieved::BUSINESS_BYTES),
        addend("retrieval: pieces that are told", assistant.concurrency, told),
    ];
    if settings.kind == RetrievalKind::Faiss {
        let embeddings = &settings.embeddings;
        let asked = retrieved::EXCHANGE_BYTES.saturating_add(config.chat.text_bytes_max);
        #[rustfmt::skip]
        addends.extend([
            addend("retrieval: embeddings that are asked for", embeddings.concurrency, asked),
            addend("retrieval: embeddings that are remembered", embeddings.cache_entries, retrieved::EMBEDDING_BYTES),
        ]);
    }
    addends
}
