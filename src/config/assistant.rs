//! `[assistant]`: who answers, and what its settings may be.

use super::problem::Findings;
use super::setting::{WAIT, check_least, choice, seconds, section};
use super::units;
use std::path::PathBuf;
use std::time::Duration;

section! {
    /// Who answers.
    ["assistant"] AssistantSettings {
        /// Who answers: `none` (nobody) or `faq` (a local knowledge file; works offline).
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
    }
}

choice! {
    /// Who answers.
    AssistantKind {
        /// Nobody.
        None = "none",
        /// A local knowledge file, ranked; works offline.
        Faq = "faq",
    }
}

/// Ranges, and keys that contradict each other.
pub(super) fn check(assistant: &AssistantSettings, found: &mut Findings) {
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
}
