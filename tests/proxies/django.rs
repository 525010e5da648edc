//! Beside a real Django: SECURE_SSL_REDIRECT with SECURE_PROXY_SSL_HEADER, and CorsMiddleware, mean here what they mean
//! there. `AllowedHostsOriginValidator` is compared in `tests/channels/origins.rs`.

use super::page;
use crate::support::http::Response;
use crate::support::{Gateway, repository, tools_dir};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

/// A request: method, path, fields.
type Asked<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

/// What Django with these settings says to these requests.
#[track_caller]
fn theirs(settings: &Value, requests: &[Asked<'_>]) -> Vec<Value> {
    let requests: Vec<_> = requests
        .iter()
        .map(|(method, path, fields)| {
            let fields: BTreeMap<_, _> = fields
                .iter()
                .copied()
                .chain([("host", "chat.example")])
                .collect();
            json!({ "method": method, "path": path, "fields": fields })
        })
        .collect();
    let python = tools_dir().join("channels/bin/python");
    let mut child = Command::new(&python)
        .arg(repository().join("tests/proxies/site.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}; tests/run install", python.display()));
    let question = json!({ "settings": settings, "requests": requests }).to_string();
    let mut input = child.stdin.take().expect("stdin is piped");
    input.write_all(question.as_bytes()).expect("Python reads");
    drop(input);
    let output = child.wait_with_output().expect("Python ends");
    serde_json::from_slice(&output.stdout).expect("answers")
}

/// What the gateway says to one.
#[track_caller]
fn ours(gateway: &Gateway, (method, path, fields): &Asked<'_>) -> Response {
    let lines: String = fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let head = page(path, &format!("Connection: close\r\n{lines}")).replace("GET", method);
    gateway.exchange(head.as_bytes()).expect("an answer")
}

#[test]
fn who_comes_without_tls_is_sent_where_django_sends_it() {
    let settings = json!({
        "SECURE_SSL_REDIRECT": true,
        "SECURE_PROXY_SSL_HEADER": ["HTTP_X_FORWARDED_PROTO", "https"],
    });
    let requests: [Asked<'_>; 7] = [
        ("GET", "/client.js", &[]),
        (
            "GET",
            "/client.js?a=1&b=%2F",
            &[("x-forwarded-proto", "http")],
        ),
        ("HEAD", "/", &[("x-forwarded-proto", "http")]),
        ("GET", "/client.js", &[("x-forwarded-proto", "https")]),
        ("GET", "/client.js", &[("x-forwarded-proto", "on")]),
        ("GET", "/client.js", &[("x-forwarded-proto", "")]),
        ("GET", "/client.js", &[("x-forwarded-ssl", "on")]),
    ];
    let gateway = Gateway::start(&[
        "http.require_tls=true",
        "proxy.trusted=127.0.0.1",
        "proxy.header=x-forwarded-for",
        "proxy.believe=for,proto",
    ]);
    for (request, theirs) in requests.iter().zip(theirs(&settings, &requests)) {
        let ours = ours(&gateway, request);
        // 308 for their 301: the method stays.
        let expected = if theirs["status"] == 301 { 308 } else { 200 };
        assert_eq!(ours.status, expected, "{request:?} {theirs}");
        let location = theirs["fields"]["location"].as_str();
        assert_eq!(ours.header("location"), location, "{request:?}");
    }
}

/// The fields of CORS, sorted.
fn cors_fields(fields: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
    let is_ours = |name: &str| name.starts_with("access-control") || name == "vary";
    fields.filter(|(name, _)| is_ours(name)).collect()
}

#[test]
fn cors_is_that_of_django_cors_headers() {
    const OWN: (&str, &str) = ("origin", "https://a.example");
    const ASKS: (&str, &str) = ("access-control-request-method", "POST");
    let requests: [Asked<'_>; 11] = [
        ("GET", "/chat.js", &[]),
        ("GET", "/chat.js", &[OWN]),
        ("GET", "/chat.js", &[("origin", "http://a.example")]),
        ("GET", "/chat.js", &[("origin", "https://a.example:8443")]),
        ("GET", "/chat.js", &[("origin", "https://www.a.example")]),
        ("GET", "/chat.js", &[("origin", "https://evil.example")]),
        ("GET", "/chat.js", &[("origin", "null")]),
        ("OPTIONS", "/chat.js", &[OWN, ASKS]),
        (
            "OPTIONS",
            "/chat.js",
            &[("origin", "https://evil.example"), ASKS],
        ),
        ("OPTIONS", "/chat.js", &[ASKS]),
        ("HEAD", "/chat.js", &[OWN]),
    ];
    let of_all = (
        json!({ "CORS_ALLOW_ALL_ORIGINS": true }),
        &["http.cors.allowed=*"][..],
    );
    let of_one = (
        json!({ "CORS_ALLOWED_ORIGINS": ["https://a.example"] }),
        &["http.cors.allowed=https://a.example"][..],
    );
    let with_all = (
        json!({
            "CORS_ALLOWED_ORIGINS": ["https://a.example"],
            "CORS_ALLOW_CREDENTIALS": true,
            "CORS_ALLOW_METHODS": ["GET", "POST"],
            "CORS_ALLOW_HEADERS": ["authorization"],
            "CORS_EXPOSE_HEADERS": ["x-a", "x-b"],
            "CORS_PREFLIGHT_MAX_AGE": 600,
        }),
        &[
            "http.cors.allowed=https://a.example",
            "http.cors.credentials=true",
            "http.cors.methods=GET,POST",
            "http.cors.headers=authorization",
            "http.cors.expose=x-a,x-b",
            "http.cors.max_age=10m",
        ][..],
    );
    for (settings, sets) in [of_all, of_one, with_all] {
        let gateway = Gateway::start(sets);
        for (request, theirs) in requests.iter().zip(theirs(&settings, &requests)) {
            let ours = ours(&gateway, request);
            assert_eq!(json!(ours.status), theirs["status"], "{request:?}");
            let theirs = theirs["fields"].as_object().expect("fields").iter();
            let theirs = theirs
                .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()));
            let ours = cors_fields(ours.headers.into_iter());
            assert_eq!(ours, cors_fields(theirs), "{sets:?} {request:?}");
        }
    }
}
