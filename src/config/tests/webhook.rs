//! `[assistant.webhook]`: what it may be.

use super::signed::SignedSection;

const WEBHOOK: SignedSection = SignedSection {
    on: "[assistant]\nkind = \"webhook\"",
    name: "assistant.webhook",
};

#[test]
fn what_a_site_cannot_be_asked_with_is_refused_with_key_and_fix() {
    let good = |lines: &str| WEBHOOK.good(lines);
    #[rustfmt::skip]
    WEBHOOK.check_refused(&[
        (good("turns = 101"), &["assistant.webhook.turns: 101 is too large"]),
        (good("retries = 99"), &["assistant.webhook.retries: 99 is too large"]),
        (good("event_bytes = 1"), &["assistant.webhook.event_bytes: 1 is too small"]),
    ]);
}

#[test]
fn what_has_no_effect_or_is_a_slip_is_a_warning() {
    WEBHOOK.check_warned(&[
        (
            "[assistant.webhook]\nturns = 3".to_owned(),
            &["has no effect with this assistant"],
        ),
        (
            WEBHOOK.good("first_token = \"1m\""),
            &["assistant.timeout, which ends the wait before"],
        ),
        (
            WEBHOOK.good("timeout = \"25s\""),
            &["assistant.webhook.first_token, which ends the wait before"],
        ),
    ]);
}
