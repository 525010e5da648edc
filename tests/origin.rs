//! `origin.allowed`: the semantics of Channels' AllowedHostsOriginValidator, without its parser's
//! quirks. A refusal is 403 before 101.

use crate::support::Gateway;

const PATH: &str = "/ws/chat/1/origin/";

#[track_caller]
fn check(gateway: &Gateway, origins: &[&str], allowed: bool) {
    let headers: Vec<(&str, &str)> = origins.iter().map(|origin| ("Origin", *origin)).collect();
    let status = gateway
        .try_connect_with(PATH, &headers)
        .map_or_else(|refusal| refusal.status, |client| client.upgrade.status);
    assert_eq!(
        status,
        if allowed { 101 } else { 403 },
        "Origin {origins:?}"
    );
}

#[test]
fn without_a_list_any_page_may_connect() {
    let gateway = Gateway::start(&[]);
    for origin in ["https://example.com", "null", "https://anything.invalid:1"] {
        check(&gateway, &[origin], true);
    }
    check(&gateway, &[], true);
}

#[test]
fn hosts_match_without_scheme_and_port() {
    let gateway = Gateway::start(&[r#"origin.allowed=["example.com", "[::1]", "LOCALHOST"]"#]);
    let allowed = [
        "http://example.com",
        "https://example.com",
        "http://example.com:8080",
        "https://EXAMPLE.com",
        "http://[::1]",
        "http://[::1]:3000",
        "http://localhost:5173",
    ];
    for origin in allowed {
        check(&gateway, &[origin], true);
    }
    let refused = [
        "https://www.example.com",
        "https://example.com.evil.net",
        "https://evilexample.com",
        "https://example.com.",
        "https://evil.net",
        "https://evil.net#example.com",
        "https://evil.net/example.com",
        "https://evil.net?example.com",
        "https://example.com@evil.net",
        "https://evil.com\\@example.com",
        "null",
        "file://",
        "example.com",
        "//example.com",
        "https://",
    ];
    for origin in refused {
        check(&gateway, &[origin], false);
    }
    check(&gateway, &[""], false);
    check(&gateway, &[], false);
}

#[test]
fn a_leading_dot_covers_the_domain_and_its_subdomains() {
    let gateway = Gateway::start(&[r#"origin.allowed=[".example.com"]"#]);
    for origin in [
        "https://example.com",
        "https://a.example.com",
        "https://a.b.example.com",
    ] {
        check(&gateway, &[origin], true);
    }
    for origin in [
        "https://evilexample.com",
        "https://example.com.net",
        "https://com",
    ] {
        check(&gateway, &[origin], false);
    }
}

#[test]
fn a_star_allows_everything_even_no_origin() {
    let gateway = Gateway::start(&[r#"origin.allowed=["*"]"#]);
    for origin in ["https://example.com", "null", "", "file://"] {
        check(&gateway, &[origin], true);
    }
    check(&gateway, &[], true);
}

#[test]
fn apps_extensions_and_international_names_are_admitted_as_they_are_sent() {
    for (entry, admitted, refused) in [
        (
            "capacitor://localhost",
            "capacitor://localhost",
            "ionic://localhost",
        ),
        (
            "moz-extension://4b1c2f3a-5d6e",
            "moz-extension://4b1c2f3a-5d6e",
            "moz-extension://4b1c2f3a-5d6f",
        ),
        (
            "https://.example.com:8443",
            "https://a.example.com:8443",
            "https://a.example.com",
        ),
        (
            "https://b\u{fc}cher.example",
            "https://xn--bcher-kva.example",
            "https://bucher.example",
        ),
    ] {
        let gateway = Gateway::start(&[&format!("origin.allowed={entry}")]);
        check(&gateway, &[admitted], true);
        for origin in [refused, "https://evil.net", "null", ""] {
            check(&gateway, &[origin], false);
        }
        check(&gateway, &[], false);
    }
}

#[test]
fn a_refused_origin_is_counted_and_learns_nothing() {
    let gateway = Gateway::start(&[r#"origin.allowed=["example.com"]"#]);
    let refusal = gateway
        .try_connect_with(PATH, &[("Origin", "https://evil.net")])
        .expect_err("a foreign origin");
    assert_eq!(refusal.status, 403);
    assert!(
        !refusal.text().contains("example.com"),
        "the list leaked: {}",
        refusal.text()
    );
    assert!(gateway.metric_sum("supportal_handshakes_refused_total") >= 1.0);
}

#[test]
fn two_origins_are_malformed() {
    let gateway = Gateway::start(&[r#"origin.allowed=["example.com"]"#]);
    let headers = [
        ("Origin", "https://example.com"),
        ("Origin", "https://example.com"),
    ];
    let refusal = gateway
        .try_connect_with(PATH, &headers)
        .expect_err("two Origin headers");
    assert_eq!(refusal.status, 400);
}
