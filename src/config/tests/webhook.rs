//! `[assistant.webhook]`: what it may be.

use super::{assert_refused, load_file};

const SECRET: &str = "hidden-hidden-hidden";

fn webhook(lines: &str) -> String {
    format!("[assistant]\nkind = \"webhook\"\n[assistant.webhook]\n{lines}")
}

fn good(lines: &str) -> String {
    webhook(&format!(
        "url = \"http://127.0.0.1/\"\nsecret = \"{SECRET}\"\n{lines}"
    ))
}

#[test]
fn what_a_site_cannot_be_asked_with_is_refused_with_key_and_fix() {
    let url = |url: &str| webhook(&format!("url = \"{url}\"\nsecret = \"{SECRET}\""));
    #[rustfmt::skip]
    let table = [
        (webhook(""), &["assistant.webhook.url", "is unset"][..]),
        (webhook(""), &["assistant.webhook.secret", "the site could not tell who asks"]),
        (webhook("url = \"http://a/\""), &["assistant.webhook.secret", "is unset"]),
        (url("127.0.0.1:8001/answer/"), &["assistant.webhook.url", "is not an address"]),
        (url("ftp://a/"), &["neither http nor https"]),
        (url("http://user:hidden@a/"), &["has a user or a password"]),
        (url("http://a/#x"), &["has a fragment"]),
        (url("http://a b/"), &["is not an address"]),
        (url("http:///answer/"), &["is not an address"]),
        (url("http://a:99999/"), &["is not an address"]),
        (webhook("url = \"http://a/\"\nsecret = \"hidden\""), &["assistant.webhook.secret", "too short"]),
        (webhook("url = \"http://a/\"\nsecret = \"\""), &["assistant.webhook.secret", "is empty"]),
        (good("secret_file = \"Cargo.toml\""), &["assistant.webhook.secret_file is too"]),
        (webhook("url = \"http://a/\"\nsecret_file = \"no/such/file\""), &["assistant.webhook.secret_file", "is not a file"]),
        (good("host = \"a b\""), &["assistant.webhook.host", "is no host"]),
        (good("turns = 101"), &["assistant.webhook.turns: 101 is too large"]),
        (good("retries = 99"), &["assistant.webhook.retries: 99 is too large"]),
        (good("timeout = \"0s\""), &["assistant.webhook.timeout", "longer than zero"]),
        (good("event_bytes = 1"), &["assistant.webhook.event_bytes: 1 is too small"]),
        (good("redirects = 1"), &["unknown key"]),
    ];
    for (text, fragments) in table {
        let result = load_file(&text);
        if let Err(error) = &result {
            assert!(!error.to_string().contains("hidden"), "{error}");
        }
        assert_refused(&text, result, fragments);
    }
}

#[test]
fn what_has_no_effect_or_is_a_slip_is_a_warning() {
    for (text, fragment) in [
        (
            "[assistant.webhook]\nturns = 3".to_owned(),
            "has no effect with this assistant",
        ),
        (
            good("ca_file = \"Cargo.toml\""),
            "has no effect without TLS",
        ),
        (
            webhook("url = \"http://site:8001/\"\nsecret = \"hidden-hidden-hidden\""),
            "assistant.webhook.url: is off this machine and without TLS",
        ),
        (
            good("first_token = \"1m\""),
            "assistant.timeout, which ends the wait before",
        ),
        (
            good("timeout = \"25s\""),
            "assistant.webhook.first_token, which ends the wait before",
        ),
    ] {
        let loaded = load_file(&text).expect(&text);
        let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        assert!(
            warnings.len() == 1 && warnings[0].contains(fragment),
            "{text}: {warnings:?}"
        );
    }
    let loaded = load_file(&good("")).expect("good");
    assert_eq!(loaded.warnings, []);
    assert!(!format!("{:?}", loaded.config).contains("hidden-hidden"));
}
