//! The answers: for each the session that gets the answer, its bytes, the status for the client, and the outcome that is counted.

use super::site::{bare, json, with_body};

/// One answer.
pub(super) type Row = (&'static str, String, u16, &'static str);

/// What an answer begins with that lets somebody in.
const HEAD: &str = "HTTP/1.1 200 OK\r\n";

/// All of them.
pub(super) fn table() -> Vec<Row> {
    [let_in(), refusals(), no_answers(), not_understood()].concat()
}

fn long() -> String {
    "x".repeat(100_000)
}

/// Answers that let somebody in.
#[rustfmt::skip]
fn let_in() -> Vec<Row> {
    vec![
        ("204", bare("204 No Content", ""), 101, "in"),
        ("empty-200", bare("200 OK", ""), 101, "in"),
        ("empty-html", bare("200 OK", "Content-Type: text/html\r\n"), 101, "in"),
        ("202", bare("202 Accepted", ""), 101, "in"),
        ("object", json("{}"), 101, "in"),
        ("user", json(r#"{"user": "ann", "role": "agent", "exists": true}"#), 101, "in"),
        ("number", json(r#"{"user": 7, "expires": 99999999999.5}"#), 101, "in"),
        ("nulls", json(r#"{"user": null, "role": null, "expires": null, "rooms": null}"#), 101, "in"),
        ("unknown-keys", json(r#"{"groups": [1, {}], "user": "ann"}"#), 101, "in"),
        ("fields", bare("200 OK", "X-Supportal-User: ann\r\nX-Supportal-Role: backend\r\n"), 101, "in"),
        ("this-room", json(r#"{"rooms": ["1/this-room"]}"#), 101, "in"),
        ("all-rooms", json(r#"{"rooms": ["*/*"]}"#), 101, "in"),
        ("charset", with_body("200 OK", "Application/JSON; charset=utf-8", "{}"), 101, "in"),
        ("chunks", format!("{HEAD}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{{\r\n1\r\n}}\r\n0\r\n\r\n"), 101, "in"),
        ("until-close", format!("{HEAD}Content-Type: application/json\r\n\r\n{{}}"), 101, "in"),
        ("nobody", json(r#"{"user": ""}"#), 101, "in"),
        ("nobody-field", bare("200 OK", "X-Supportal-User: \r\n"), 101, "in"),
        ("1xx-first", format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{}", json("{}") ), 101, "in"),
    ]
}

/// A no that is understood.
#[rustfmt::skip]
fn refusals() -> Vec<Row> {
    vec![
        ("elsewhere", bare("302 Found", "Location: https://login.example/who/?business_id=1&session_id=elsewhere\r\n"), 401, "unknown"),
        ("401", bare("401 Unauthorized", ""), 401, "unknown"),
        ("401-long", with_body("401 Unauthorized", "text/html", &long()), 401, "unknown"),
        ("302", bare("302 Found", "Location: /login/\r\n"), 401, "unknown"),
        ("301-https", bare("301 Moved", "Location: https://site/\r\n"), 401, "unknown"),
        ("301-port", bare("301 Moved", "Location: https://site/who/?business_id=1&session_id=other\r\n"), 401, "unknown"),
        ("301-http", bare("301 Moved", "Location: http://site/who/?business_id=1&session_id=301-http\r\n"), 401, "unknown"),
        ("303", bare("303 See Other", "Location: http://127.0.0.1:1/\r\n"), 401, "unknown"),
        ("307", bare("307 Temporary", "Location: /\r\n"), 401, "unknown"),
        ("308-loop", bare("308 Permanent", "Location: /who/?session_id=308-loop\r\n"), 401, "unknown"),
        ("403", bare("403 Forbidden", ""), 403, "forbidden"),
        ("403-page", with_body("403 Forbidden", "text/html", "<h1>no</h1>"), 403, "forbidden"),
        ("403-broken", "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_owned(), 403, "forbidden"),
        ("404", bare("404 Not Found", ""), 403, "no_session"),
        ("410", bare("410 Gone", ""), 403, "no_session"),
        ("exists-not", json(r#"{"exists": false, "user": "ann"}"#), 403, "no_session"),
        ("expired", json(r#"{"user": "ann", "expires": 1}"#), 401, "expired"),
        ("expired-field", bare("200 OK", "X-Supportal-Expires: 1\r\n"), 401, "expired"),
        ("other-room", json(r#"{"rooms": ["1/elsewhere"]}"#), 403, "in"),
        ("no-rooms", json(r#"{"rooms": []}"#), 403, "in"),
    ]
}

/// No answer that counts: what the client gets is said by `on_error`.
#[rustfmt::skip]
fn no_answers() -> Vec<Row> {
    vec![
        ("500", bare("500 Internal Server Error", ""), 503, "server_error"),
        ("500-page", with_body("500 X", "text/html", &long()), 503, "server_error"),
        ("502", bare("502 Bad Gateway", ""), 503, "server_error"),
        ("503", bare("503 Unavailable", "Retry-After: 9\r\n"), 503, "server_error"),
        ("429", bare("429 Too Many", ""), 503, "overloaded"),
        ("408", bare("408 Timeout", ""), 503, "overloaded"),
        ("nothing", String::new(), 503, "broken"),
        ("no-http", "+PONG\r\n".to_owned(), 503, "broken"),
        ("http-2", "HTTP/2 200\r\n\r\n".to_owned(), 503, "broken"),
        ("half-head", "HTTP/1.1 200 OK\r\nX-Supportal-User: an".to_owned(), 503, "broken"),
        ("short-body", format!("{HEAD}Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{{}}"), 503, "broken"),
        ("bad-chunks", format!("{HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\nhello"), 503, "broken"),
        ("cut-chunks", format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\nhe"), 503, "broken"),
        ("two-lengths", format!("{HEAD}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}} "), 503, "broken"),
        ("negative", format!("{HEAD}Content-Length: -1\r\n\r\n"), 503, "broken"),
        ("nul-in-field", format!("{HEAD}X-Supportal-User: a\0b\r\n\r\n"), 503, "broken"),
        ("many-fields", format!("{HEAD}{}\r\n", "X: y\r\n".repeat(500)), 503, "broken"),
        ("long-field", format!("{HEAD}X: {}\r\n\r\n", long()), 503, "broken"),
    ]
}

/// What is not understood, and lets nobody in.
#[rustfmt::skip]
fn not_understood() -> Vec<Row> {
    vec![
        ("page", with_body("200 OK", "text/html", "<form action=login>"), 503, "not_json"),
        ("text", with_body("200 OK", "text/plain", "ok"), 503, "not_json"),
        ("no-type", format!("{HEAD}Content-Length: 2\r\n\r\n{{}}"), 503, "not_json"),
        ("two-types", format!("{HEAD}Content-Type: application/json\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\n{{}}"), 503, "not_json"),
        ("gzip", format!("{HEAD}Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x0b"), 503, "encoded"),
        ("long-body", json(&format!("{{\"x\": \"{}\"}}", long())), 503, "too_long"),
        ("announced", format!("{HEAD}Content-Length: 99999999999\r\n\r\n"), 503, "too_long"),
        ("list", json("[]"), 503, "json"),
        ("list-of-values", json(r#"["ann", "agent", true]"#), 503, "json"),
        ("true", json("true"), 503, "json"),
        ("null", json("null"), 503, "json"),
        ("half", json(r#"{"user": "ann""#), 503, "json"),
        ("two-objects", json("{} {}"), 503, "json"),
        ("not-utf-8", format!("{HEAD}Content-Type: application/json\r\nContent-Length: 1\r\n\r\n{{"), 503, "json"),
        ("nested", json(&"{\"a\":".repeat(3_000)), 503, "json"),
        ("user-object", json(r#"{"user": {"id": 1}}"#), 503, "json"),
        ("user-true", json(r#"{"user": true}"#), 503, "json"),
        ("user-twice", json(r#"{"user": "ann", "user": "bob"}"#), 503, "json"),
        ("exists-word", json(r#"{"exists": "yes"}"#), 503, "json"),
        ("expires-word", json(r#"{"expires": "tomorrow"}"#), 503, "json"),
        ("expires-before", json(r#"{"expires": -5}"#), 503, "claims"),
        ("rooms-word", json(r#"{"rooms": "*/*"}"#), 503, "json"),
        ("rooms-numbers", json(r#"{"rooms": [1]}"#), 503, "json"),
        ("rooms-form", json(r#"{"rooms": ["chat_1_abc"]}"#), 503, "claims"),
        ("rooms-star", json(r#"{"rooms": ["1/a*b"]}"#), 503, "claims"),
        ("rooms-many", json(&format!("{{\"rooms\": [{}\"1/a\"]}}", "\"1/a\",".repeat(99) )), 503, "claims"),
        ("role-unknown", json(r#"{"role": "root"}"#), 503, "role"),
        ("role-number", json(r#"{"role": 1}"#), 503, "json"),
        ("role-field", bare("200 OK", "X-Supportal-Role: root\r\n"), 503, "role"),
        ("user-lines", json(r#"{"user": "ann\r\nX-Admin: 1"}"#), 503, "user"),
        ("user-escape", json(r#"{"user": "\u001b[31mann"}"#), 503, "user"),
        ("user-long", json(&format!("{{\"user\": \"{}\"}}", "u".repeat(255))), 503, "user"),
        ("user-fields", bare("200 OK", "X-Supportal-User: ann\r\nX-Supportal-User: bob\r\n"), 503, "user"),
        ("expires-field", bare("200 OK", "X-Supportal-Expires: soon\r\n"), 503, "claims"),
        ("to-https", bare("301 Moved", "Location: https://127.0.0.1/who/?business_id=1&session_id=to-https\r\n"), 503, "to_https"),
        ("to-slash", bare("301 Moved", "Location: /who//?business_id=1&session_id=to-slash\r\n"), 503, "to_slash"),
        ("400", bare("400 Bad Request", ""), 503, "status"),
        ("405", bare("405 Method Not Allowed", ""), 503, "status"),
        ("418", bare("418 Teapot", ""), 503, "status"),
        ("304", bare("304 Not Modified", ""), 503, "status"),
        ("599", bare("599 X", ""), 503, "server_error"),
        ("unasked-101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n" .to_owned(), 503, "status"),
    ]
}
