//! `[assistant]`: who answers, and what its settings may be.

use super::business::{self, BusinessAssistant};
use super::chat::{ChatSettings, Deliver, Dialect};
use super::openai::{self, OpenAiSettings};
use super::problem::Findings;
use super::setting::{WAIT, check_least, choice, seconds, section};
use super::units;
use super::webhook::{self, WebhookSettings};
use std::path::PathBuf;
use std::time::Duration;

section! {
    /// Who answers.
    ["assistant"] AssistantSettings {
        /// Who answers: `none` (nobody), `faq` (a local knowledge file; works offline), `openai` (a model, by an API as OpenAI's: Ollama, vLLM, llama.cpp, OpenAI) or `webhook` (a view of the site).
        kind: AssistantKind = AssistantKind::Faq, restart;
        /// Knowledge file of `faq`; unset = the small one inside the binary.
        knowledge: Option<PathBuf> = None, restart;
        /// Longest a reply may take; then the guide's apology is sent.
        #[serde(with = "units::duration")]
        timeout: Duration = seconds(30), restart, in WAIT;
        /// Most prompts waiting or being answered on this node.
        prompts: usize = 1024, restart;
        /// Most prompts waiting in one room, the one being answered not counted.
        prompts_per_room: usize = 8, restart;
        /// Prompts answered at the same time on this node.
        concurrency: usize = 64, restart;
        /// What a customer says in a row, with pauses shorter than this, is one question: asked after such a pause, or after five times as long; 0 = each message is one.
        #[serde(with = "units::duration")]
        debounce: Duration = Duration::ZERO, restart, in ..=seconds(60);
        /// Businesses that are answered in their own way by `openai`; what an entry leaves out is as in `assistant.openai`.
        businesses: Vec<BusinessAssistant> = Vec::new(), restart;
    }
    /// A model that answers, by an API as OpenAI's (Chat Completions).
    openai: OpenAiSettings,
    /// The site that answers, by a view of its own.
    webhook: WebhookSettings,
}

choice! {
    /// Who answers.
    AssistantKind {
        /// Nobody.
        None = "none",
        /// A local knowledge file, ranked; works offline.
        Faq = "faq",
        /// A model, by an API as OpenAI's.
        OpenAi = "openai",
        /// A view of the site.
        Webhook = "webhook",
    }
}

/// Ranges, and keys that contradict each other.
pub(super) fn check(assistant: &AssistantSettings, chat: &ChatSettings, found: &mut Findings) {
    assistant.check_ranges(found);
    let counts = [
        ("assistant.prompts", assistant.prompts),
        ("assistant.prompts_per_room", assistant.prompts_per_room),
        ("assistant.concurrency", assistant.concurrency),
    ];
    let instead = "; assistant.kind = \"none\" turns the assistant off";
    check_least(&counts, 1, ("", instead), found);
    if assistant.concurrency > assistant.prompts {
        let what = "is above assistant.prompts, which it cannot reach";
        found.warn(
            "assistant.concurrency",
            what,
            "write at most assistant.prompts",
        );
    }
    if assistant.knowledge.is_some() && assistant.kind == AssistantKind::None {
        let what = "has no effect with assistant.kind = \"none\"";
        found.warn(
            "assistant.knowledge",
            what,
            "remove it, or set assistant.kind = \"faq\"",
        );
    }
    let is_sequential = chat.dialect == Dialect::Django && chat.deliver == Deliver::Sender;
    if !assistant.debounce.is_zero() && is_sequential {
        let what = "only delays answers where a customer's next message waits for the answer to the one before";
        let fix = "remove it, or set chat.deliver = \"room\"";
        found.warn("assistant.debounce", what, fix);
    }
    let is_on = assistant.kind == AssistantKind::OpenAi;
    openai::check(&assistant.openai, assistant.timeout, is_on, found);
    business::check(&assistant.businesses, is_on, found);
    let is_on = assistant.kind == AssistantKind::Webhook;
    webhook::check(&assistant.webhook, assistant.timeout, is_on, found);
}
