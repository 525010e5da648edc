//! `[vet]`: what it may be.

use super::{assert_refused, load_file};

const SECRET: &str = "hidden-hidden-hidden";

fn vet(lines: &str) -> String {
    format!("[chat]\nvet = \"webhook\"\n[vet]\n{lines}")
}

fn good(lines: &str) -> String {
    vet(&format!(
        "url = \"http://localhost/\"\nsecret = \"{SECRET}\"\n{lines}"
    ))
}

#[test]
fn what_nothing_can_be_vetted_with_is_refused_with_key_and_fix() {
    let url = |url: &str| vet(&format!("url = \"{url}\"\nsecret = \"{SECRET}\""));
    #[rustfmt::skip]
    let table = [
        (vet(""), &["vet.url", "is unset"][..]),
        (vet(""), &["vet.secret", "SUPPORTAL_VET__SECRET"]),
        (vet("url = \"http://a/\""), &["vet.secret", "the site could not tell who asks"]),
        (url("127.0.0.1:8001/vet/"), &["vet.url", "is not an address", "/supportal/vet/"]),
        (url("ftp://a/"), &["neither http nor https"]),
        (url("http://user:hidden@a/"), &["has a user or a password"]),
        (vet("url = \"http://a/\"\nsecret = \"hidden\""), &["vet.secret", "too short"]),
        (good("secret_file = \"Cargo.toml\""), &["vet.secret_file is too"]),
        (vet("url = \"http://a/\"\nsecret_file = \"no/such/file\""), &["vet.secret_file", "is not a file"]),
        (good("host = \"a b\""), &["vet.host", "is no host"]),
        (good("timeout = \"0s\""), &["vet.timeout", "longer than zero"]),
        (good("on_timeout = \"wait\""), &["vet.on_timeout", "pass"]),
        (good("concurrency = 0"), &["vet.concurrency: 0 is too small"]),
        (good("concurrency_per_business = 0"), &["vet.concurrency_per_business: 0 is too small"]),
        (good("queue_bytes = 1"), &["vet.queue_bytes: 1 is too small"]),
        (good("queue_bytes = 131072"), &["vet.queue_bytes", "too small for the longest message"]),
        (good("retries = 1"), &["unknown key"]),
        ("[chat]\nvet = \"site\"".to_owned(), &["chat.vet", "webhook"]),
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
fn what_has_no_effect_is_a_warning() {
    for (text, fragment) in [
        ("[vet]\nconcurrency = 3".to_owned(), "has no effect"),
        (
            good("").replace("localhost", "site"),
            "can be read on the way",
        ),
        (
            good("ca_file = \"Cargo.toml\""),
            "has no effect without TLS",
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
