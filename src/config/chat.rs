//! `[chat]`: the chat contract, and what its settings may be.

use super::key::KeyKind;
use super::limits::LimitSettings;
use super::problem::Findings;
use super::role::RoleName;
use super::setting::{choice, kinds, section};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

section! {
    /// The chat contract.
    ["chat"] ChatSettings {
        /// Wire dialect: `guide` (documented) or `django` (byte for byte what django_supportal 1.0.2 sends).
        dialect: Dialect = Dialect::Guide, restart;
        /// Who receives a user's message: every member of the `room`, or only its `sender`.
        deliver: Deliver = Deliver::Room, restart;
        /// One system frame on open says what was joined.
        welcome: bool = true, restart;
        /// Longest `message` in bytes of UTF-8; longer is answered with `Message too long`.
        text_bytes_max: usize = 32 * 1024, restart, in 1..;
        /// Who vets what members say before it is published: nobody (`off`), or a view of the site (`webhook`, see `[vet]`), which lets it pass, changes it or refuses it.
        vet: Vet = Vet::Off, restart;
        /// Roles that may send `"type": "system"`, of `customer` (also whoever comes without credentials), `agent` and `backend`; none = nobody. Others are answered as with a type that is unknown, in dialect `django` as the package does where it fails.
        system_from: Vec<RoleName> = vec![RoleName::Customer, RoleName::Agent, RoleName::Backend], restart;
        /// Dialect `django` only: businesses that exist and their sessions; no sessions = any.
        exists: Vec<Exists> = Vec::new(), restart;
    }
}

choice! {
    /// Wire dialect of the chat route.
    Dialect {
        /// What the site's guide documents.
        Guide = "guide",
        /// Byte for byte what `django_supportal` 1.0.2 sends.
        Django = "django",
    }
}

choice! {
    /// Who receives a user's message.
    Deliver {
        /// Every member of the room, the sender included.
        Room = "room",
        /// Only the sender, as the Python package does.
        Sender = "sender",
    }
}

choice! {
    /// Who vets what members say.
    Vet {
        /// Nobody.
        Off = "off",
        /// A view of the site.
        Webhook = "webhook",
    }
}

/// One business of `[[chat.exists]]` and its sessions (dialect `django`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exists {
    /// The business's id.
    pub business_id: u64,
    /// The business's sessions, exactly as in the decoded path; empty = any session.
    #[serde(default)]
    pub sessions: Vec<String>,
}

kinds! {
    Vec<Exists> => KeyKind::Tables(&["business_id", "sessions"]),
}

/// Ranges, and keys that contradict each other.
pub(super) fn check(chat: &ChatSettings, limits: &LimitSettings, found: &mut Findings) {
    chat.check_ranges(found);
    if chat.text_bytes_max > limits.message_bytes {
        found.error(
            "chat.text_bytes_max",
            format!(
                "{} is above limits.message_bytes = {}: such a message closes the connection instead",
                chat.text_bytes_max, limits.message_bytes
            ),
            "lower it, or raise limits.message_bytes",
        );
    }
    let words = chat.system_from.iter().map(|role| role.word());
    let mut seen = BTreeSet::new();
    for word in words.filter(|word| !seen.insert(*word)) {
        let what = format!("lists \"{word}\" twice");
        found.error("chat.system_from", what, "write each role once");
    }
    match chat.dialect {
        Dialect::Guide if !chat.exists.is_empty() => found.error(
            "chat.exists",
            "has no effect in dialect \"guide\", which serves every business and session",
            "remove it, or set chat.dialect = \"django\"",
        ),
        Dialect::Django if chat.exists.is_empty() => found.warn(
            "chat.exists",
            "is empty: in dialect \"django\" every connection is told that its business does not exist",
            "list the businesses as [[chat.exists]]",
        ),
        _ => {}
    }
    if chat.dialect == Dialect::Django && chat.deliver == Deliver::Room {
        found.warn(
            "chat.deliver",
            "\"room\" differs from what the Python package does in dialect \"django\"",
            "set chat.deliver = \"sender\" to compare the two",
        );
    }
    check_exists(&chat.exists, found);
}

fn check_exists(exists: &[Exists], found: &mut Findings) {
    let mut seen = BTreeSet::new();
    for (index, business) in exists.iter().enumerate() {
        let key = format!("chat.exists[{index}]");
        if !seen.insert(business.business_id) {
            let what = format!("business {} is listed twice", business.business_id);
            found.error(&key, what, "put its sessions into one table");
        }
        if business.sessions.iter().any(String::is_empty) {
            found.error(
                &key,
                "a session is empty",
                "remove it; no sessions at all means any",
            );
        }
    }
}
