//! `[vet]`: what it may be.

use super::signed::SignedSection;

const VET: SignedSection = SignedSection {
    on: "[chat]\nvet = \"webhook\"",
    name: "vet",
};

#[test]
fn what_nothing_can_be_vetted_with_is_refused_with_key_and_fix() {
    let good = |lines: &str| VET.good(lines);
    #[rustfmt::skip]
    VET.check_refused(&[
        (VET.with(""), &["vet.secret", "SUPPORTAL_VET__SECRET"]),
        (VET.of_url("127.0.0.1:8001/vet/"), &["vet.url", "/supportal/vet/"]),
        (good("on_timeout = \"wait\""), &["vet.on_timeout", "pass"]),
        (good("concurrency = 0"), &["vet.concurrency: 0 is too small"]),
        (good("concurrency_per_business = 0"), &["vet.concurrency_per_business: 0 is too small"]),
        (good("queue_bytes = 1"), &["vet.queue_bytes: 1 is too small"]),
        (good("queue_bytes = 131072"), &["vet.queue_bytes", "too small for the longest message"]),
        (good("retries = 1"), &["unknown key"]),
        ("[chat]\nvet = \"site\"".to_owned(), &["chat.vet", "webhook"]),
    ]);
}

#[test]
fn what_has_no_effect_is_a_warning() {
    VET.check_warned(&[("[vet]\nconcurrency = 3".to_owned(), &["has no effect"])]);
}
