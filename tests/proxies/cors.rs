//! `http.cors`: which pages of other origins may read our answers.

use super::page;
use crate::support::Gateway;
use crate::support::http::Response;

fn ask(gateway: &Gateway, method: &str, path: &str, lines: &str) -> Response {
    let lines = format!("Connection: close\r\n{lines}");
    let head = page(path, &lines).replace("GET", method);
    gateway.exchange(head.as_bytes()).expect("an answer")
}

/// The fields of an answer that CORS is made of.
fn fields(answer: &Response) -> Vec<String> {
    let is_ours = |name: &str| name.starts_with("access-control") || name == "vary";
    let ours = answer.headers.iter().filter(|(name, _)| is_ours(name));
    let mut ours: Vec<_> = ours
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    ours.sort();
    ours
}

const PREFLIGHT: &str = "Origin: https://a.example\r\nAccess-Control-Request-Method: POST\r\n\
    Access-Control-Request-Headers: authorization\r\n";

#[test]
fn without_the_settings_there_is_no_cors() {
    let gateway = Gateway::start(&[]);
    let answer = ask(&gateway, "GET", "/chat.js", "Origin: https://a.example\r\n");
    assert_eq!((answer.status, fields(&answer)), (200, Vec::new()));
    let answer = ask(&gateway, "OPTIONS", "/chat.js", PREFLIGHT);
    assert_eq!((answer.status, fields(&answer)), (405, Vec::new()));
}

#[test]
fn allowed_origins_may_read_and_are_told_what_they_may_send() {
    let gateway = Gateway::start(&[
        "http.cors.allowed=[\"https://a.example\"]",
        "http.cors.credentials=true",
        "http.cors.methods=[\"GET\", \"POST\"]",
        "http.cors.headers=[\"authorization\"]",
        "http.cors.max_age=10m",
    ]);
    let own = "Origin: https://a.example\r\n";
    let named = [
        "access-control-allow-credentials: true",
        "access-control-allow-origin: https://a.example",
        "vary: origin",
    ];
    for (path, status) in [("/chat.js", 200), ("/client.js", 200), ("/absent", 404)] {
        let answer = ask(&gateway, "GET", path, own);
        assert_eq!(
            (answer.status, fields(&answer)),
            (status, named.map(str::to_owned).to_vec())
        );
    }
    for path in ["/chat.js", "/absent", "/api/publish"] {
        let answer = ask(&gateway, "OPTIONS", path, PREFLIGHT);
        assert_eq!(answer.status, 200);
        assert_eq!(
            fields(&answer),
            [
                "access-control-allow-credentials: true",
                "access-control-allow-headers: authorization",
                "access-control-allow-methods: GET, POST",
                "access-control-allow-origin: https://a.example",
                "access-control-max-age: 600",
                "vary: origin",
            ]
        );
    }
    for (method, lines) in [
        ("GET", "".to_owned()),
        ("GET", own.replace("https", "http")),
        ("GET", own.replace("a.example", "evil.example")),
        ("OPTIONS", PREFLIGHT.replace("a.example", "evil.example")),
    ] {
        let answer = ask(&gateway, method, "/chat.js", &lines);
        assert_eq!(
            (answer.status, fields(&answer)),
            (200, vec!["vary: origin".to_owned()])
        );
    }
}
