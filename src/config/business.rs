//! `[[assistant.businesses]]`: what one business has of its own.

use super::decimal::Decimal;
use super::key::KeyKind;
use super::openai::{check_prompt, check_temperature};
use super::problem::Findings;
use super::setting::kinds;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Most businesses with settings of their own.
const BUSINESSES_MAX: usize = 1_000;

/// One entry of `[[assistant.businesses]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BusinessAssistant {
    /// The business's id.
    pub business_id: u64,
    /// The model that answers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What the model is told before the conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// What `{language}` stands for in the prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// How freely the model chooses its words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<Decimal>,
    /// Most tokens of an answer; 0 = the server's own limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
}

kinds! {
    Vec<BusinessAssistant> => KeyKind::Tables(&["business_id", "model", "prompt", "language", "temperature", "max_tokens"]),
}

/// Each business is there once, and what it has of its own is sound.
pub(super) fn check(businesses: &[BusinessAssistant], is_on: bool, found: &mut Findings) {
    const KEY: &str = "assistant.businesses";
    if !businesses.is_empty() && !is_on {
        let fix = "remove them, or set assistant.kind = \"openai\"";
        found.warn(KEY, "have no effect with this assistant", fix);
    }
    if businesses.len() > BUSINESSES_MAX {
        let what = format!("lists {} businesses", businesses.len());
        found.error(KEY, what, format!("write at most {BUSINESSES_MAX}"));
    }
    let mut seen = BTreeSet::new();
    for (index, business) in businesses.iter().enumerate() {
        let key = |field: &str| format!("{KEY}[{index}].{field}");
        if !seen.insert(business.business_id) {
            let what = format!("{} is listed before", business.business_id);
            found.error(key("business_id"), what, "write each business once");
        }
        if business.model.as_deref().is_some_and(str::is_empty) {
            found.error(key("model"), "is empty", "write its name, or leave it out");
        }
        if let Some(prompt) = &business.prompt {
            check_prompt(&key("prompt"), prompt, found);
        }
        check_temperature(&key("temperature"), business.temperature, found);
    }
}
