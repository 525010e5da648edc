//! `[assistant.openai]` and `[[assistant.businesses]]`: what they may be.

use super::{assert_refused, load_file};
use crate::config::Decimal;

#[test]
fn what_a_model_cannot_be_asked_with_is_refused_with_key_and_fix() {
    let openai = |line: &str| format!("[assistant]\nkind = \"openai\"\n[assistant.openai]\n{line}");
    let business = |lines: &str| {
        format!(
            "[assistant]\nkind = \"openai\"\n[[assistant.businesses]]\nbusiness_id = 1\n{lines}"
        )
    };
    #[rustfmt::skip]
    let table = [
        (openai("base_url = \"localhost:11434\""), &["assistant.openai.base_url", "is not an address"][..]),
        (openai("base_url = \"ftp://a/v1\""), &["neither http nor https"]),
        (openai("base_url = \"http://key@a/v1\""), &["has a user or a password"]),
        (openai("base_url = \"http://a/v1?key=x\""), &["has a query"]),
        (openai("base_url = \"http://a b/v1\""), &["is not an address"]),
        (openai("base_url = \"https://a/v1/chat/completions\""), &["is the address of one call"]),
        (openai("api_key = \"sk-hidden\""), &["assistant.openai.model", "is unset"]),
        (openai("model = \"m\"\napi_key = \"sk-hidden and more\""), &["assistant.openai.api_key", "holds what no key holds"]),
        (openai("model = \"m\"\napi_key = \"sk-hidden\"\napi_key_file = \"Cargo.toml\""), &["api_key_file is too"]),
        (openai("model = \"m\"\napi_key_file = \"no/such/file\""), &["assistant.openai.api_key_file", "is not a file"]),
        (openai("model = \"\""), &["assistant.openai.model", "is empty"]),
        (openai("temperature = 2.5"), &["assistant.openai.temperature", "from 0 to 2"]),
        (openai("temperature = -1"), &["-1 is not a number of at least 0"]),
        (openai("temperature = \"warm\""), &["is not a number of at least 0"]),
        (openai("context_url = \"http://a/context/\""), &["assistant.openai.context_url", "api.token, which is unset", "SUPPORTAL_API__TOKEN"]),
        (openai("context_url = \"site/context/\""), &["assistant.openai.context_url", "is not an address"]),
        (openai("context_url = \"http://a:b@c/\""), &["has a user or a password", "api.token"]),
        (openai("context_url = \"http://a/\"\ncontext_host = \"a b\"\n[api]\ntoken = \"0123456789abcdef\""), &["assistant.openai.context_host", "is no host"]),
        (openai("context_timeout = \"0s\""), &["assistant.openai.context_timeout", "longer than zero"]),
        (openai("turns = 0"), &["assistant.openai.turns: 0 is too small"]),
        (openai("retries = 99"), &["assistant.openai.retries: 99 is too large"]),
        (openai("first_token = \"0s\""), &["assistant.openai.first_token", "longer than zero"]),
        (openai(&format!("prompt = \"{}\"", "x".repeat(70_000))), &["assistant.openai.prompt: has 70000 bytes"]),
        (business("model = \"\""), &["assistant.businesses[0].model", "is empty"]),
        (business("temperature = 3"), &["assistant.businesses[0].temperature"]),
        (business("[[assistant.businesses]]\nbusiness_id = 1"), &["assistant.businesses[1].business_id", "listed before"]),
        (business("base_url = \"http://a\""), &["unknown key"]),
        ("[assistant]\ndebounce = \"5m\"".to_owned(), &["assistant.debounce", "is longer than"]),
    ];
    for (text, fragments) in table {
        let result = load_file(&text);
        if let Err(error) = &result {
            assert!(!error.to_string().contains("sk-hidden"), "{error}");
        }
        assert_refused(&text, result, fragments);
    }
}

#[test]
fn what_has_no_effect_or_is_a_slip_is_a_warning() {
    for (text, fragment) in [
        (
            "[assistant.openai]\nmodel = \"m\"",
            "has no effect with this assistant",
        ),
        (
            "[[assistant.businesses]]\nbusiness_id = 1",
            "have no effect with this assistant",
        ),
        (
            "[assistant]\nkind = \"openai\"\ntimeout = \"5s\"",
            "assistant.timeout, which ends the wait before",
        ),
        (
            "[assistant]\nkind = \"openai\"\n[assistant.openai]\nca_file = \"Cargo.toml\"",
            "has no effect without TLS",
        ),
        (
            "[assistant]\nkind = \"openai\"\n[assistant.openai]\nprompt = \"{langauge} {\\\"a\\\": {}}\"",
            "has {langauge} in it",
        ),
        (
            "[assistant]\nkind = \"openai\"\n[assistant.openai]\ncontext_host = \"a\"",
            "nobody is asked",
        ),
        (
            "[assistant]\nkind = \"openai\"\n[assistant.openai]\nturns = 1\ncontext_url = \"http://127.0.0.1/\"\n[api]\ntoken = \"0123456789abcdef\"",
            "the question alone goes along",
        ),
        (
            "[assistant]\nkind = \"openai\"\n[assistant.openai]\ncontext_url = \"http://site/\"\n[api]\ntoken = \"0123456789abcdef\"",
            "assistant.openai.context_url: is off this machine and without TLS: api.token",
        ),
        (
            "[assistant]\nkind = \"openai\"\n[assistant.openai]\ncontext_timeout = \"30s\"\ncontext_url = \"http://127.0.0.1/\"\n[api]\ntoken = \"0123456789abcdef\"",
            "not shorter than assistant.timeout",
        ),
        (
            "[assistant]\nkind = \"openai\"\n[assistant.openai]\nprompt = \"Answer.\"\n[retrieval]\nkind = \"bm25\"\ndocuments = \"/srv\"",
            "finds what no model is told",
        ),
        (
            "[assistant]\nkind = \"faq\"\n[retrieval]\nkind = \"bm25\"\ndocuments = \"/srv\"",
            "who answers does not ask for it",
        ),
        (
            "[assistant]\nkind = \"openai\"\n[retrieval]\nkind = \"faiss\"\npath = \"/srv\"\n[retrieval.embeddings]\nbase_url = \"http://model/v1\"\napi_key = \"k\"",
            "retrieval.embeddings.base_url: is off this machine and without TLS: the key",
        ),
        (
            "[assistant]\nkind = \"openai\"\n[assistant.openai]\nbase_url = \"http://model/v1\"\nmodel = \"m\"\napi_key = \"k\"",
            "assistant.openai.base_url: is off this machine and without TLS: the key",
        ),
        (
            "[assistant]\ndebounce = \"1s\"\n[chat]\ndialect = \"django\"\ndeliver = \"sender\"\n[[chat.exists]]\nbusiness_id = 1",
            "only delays",
        ),
    ] {
        let loaded = load_file(text).expect(text);
        let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        assert!(
            warnings.len() == 1 && warnings[0].contains(fragment),
            "{text}: {warnings:?}"
        );
    }
}

#[test]
fn a_key_that_stays_on_this_machine_or_goes_by_tls_is_no_cause_for_a_warning() {
    for (base_url, key) in [
        ("http://127.0.0.1:11434/v1", "api_key = \"k\""),
        ("https://model/v1", "api_key = \"k\""),
        ("http://model/v1", ""),
    ] {
        let text = format!(
            "[assistant]\nkind = \"openai\"\n[assistant.openai]\nbase_url = \"{base_url}\"\nmodel = \"m\"\n{key}"
        );
        assert_eq!(load_file(&text).expect(&text).warnings, [], "{text}");
    }
}

#[test]
fn what_a_business_leaves_out_is_nothing_of_its_own() {
    let text = "[assistant]\nkind = \"openai\"\n[[assistant.businesses]]\nbusiness_id = 7\ntemperature = 0.25\n";
    let loaded = load_file(text).expect("good");
    assert_eq!(loaded.warnings, []);
    let own = &loaded.config.assistant.businesses[0];
    assert_eq!(
        (own.business_id, own.temperature),
        (7, Some(Decimal::thousandths(250)))
    );
    assert_eq!(
        (&own.model, &own.prompt, own.max_tokens),
        (&None, &None, None)
    );
}
