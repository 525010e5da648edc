//! Request heads and the statuses they get; two canary rooms chat on meanwhile.

use crate::support::{Canaries, Gateway, http};
use std::io::{Read, Write};

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
const VALID: [&str; 5] = [
    "Host: localhost",
    "Upgrade: websocket",
    "Connection: Upgrade",
    KEY,
    "Sec-WebSocket-Version: 13",
];

/// A whole head.
fn head(request_line: &str, fields: &[&str]) -> Vec<u8> {
    format!("{request_line}\r\n{}\r\n\r\n", fields.join("\r\n")).into_bytes()
}

/// The valid head with one field changed (same name) or added.
fn with(field: &str) -> Vec<u8> {
    let name = field
        .split(':')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let kept = VALID.iter().filter(|valid| {
        !valid
            .to_ascii_lowercase()
            .starts_with(&(name.clone() + ":"))
    });
    let fields: Vec<&str> = kept.copied().chain([field]).collect();
    head("GET /ws/chat/1/head/ HTTP/1.1", &fields)
}

/// The valid head and one more field, whatever its name.
fn plus(field: &str) -> Vec<u8> {
    let fields: Vec<&str> = VALID.into_iter().chain([field]).collect();
    head("GET /ws/chat/1/head/ HTTP/1.1", &fields)
}

/// The valid head without the field of this name.
fn without(name: &str) -> Vec<u8> {
    let fields: Vec<&str> = VALID
        .into_iter()
        .filter(|valid| !valid.starts_with(name))
        .collect();
    head("GET /ws/chat/1/head/ HTTP/1.1", &fields)
}

/// The valid fields under another path.
fn path(path: &str) -> Vec<u8> {
    head(&format!("GET {path} HTTP/1.1"), &VALID)
}

/// The valid fields under another request line.
fn line(request_line: &str) -> Vec<u8> {
    head(request_line, &VALID)
}

type Case = (Vec<u8>, &'static [u16]);

/// Every case must get one of its statuses; 0 is a close without an answer, for what is not HTTP.
#[track_caller]
fn run(cases: &[Case]) {
    let gateway = Gateway::start(&[
        "limits.messages_per_second=0",
        "limits.connections_per_ip=0",
    ]);
    let canaries = Canaries::start(&gateway);
    let mut wrong = Vec::new();
    for (bytes, expected) in cases {
        let status = gateway
            .exchange(bytes)
            .map_or(0, |response| response.status);
        if !expected.contains(&status) {
            let shown: String = bytes.escape_ascii().to_string().chars().take(300).collect();
            wrong.push(format!("{status} instead of {expected:?}: {shown}"));
        }
    }
    canaries.finish();
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

#[test]
fn legal_heads_are_upgraded() {
    run(&[
        (head("GET /ws/chat/1/head/ HTTP/1.1", &VALID), &[101]),
        (path("/ws/chat/0/a/"), &[101]),
        (path("//ws/chat/1/abc/"), &[101]),
        (path("///ws/chat/1/abc/"), &[101]),
        (path("/ws/chat/999999999999999999/a/"), &[101]),
        (path("/ws/chat/1/A.b_c-9/"), &[101]),
        (path(&format!("/ws/chat/1/{}/", "s".repeat(64))), &[101]),
        (path("/ws/chat/1/a/?token=x&y=%00"), &[101]),
        (path("/ws/chat/1/%61/"), &[101]),
        (with("Upgrade: WebSocket"), &[101]),
        (with("Upgrade:websocket"), &[101]),
        (with("Connection: upgrade"), &[101]),
        (with("Connection: keep-alive, Upgrade"), &[101]),
        (with("Connection: Upgrade, keep-alive"), &[101]),
        (with("Connection:  keep-alive ,\tUpgrade "), &[101]),
        (
            with("Sec-WebSocket-Key:   dGhlIHNhbXBsZSBub25jZQ==  "),
            &[101],
        ),
        (with("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="), &[101]),
        (plus("Sec-WebSocket-Protocol: chat, other"), &[101]),
        (
            plus("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"),
            &[101],
        ),
        (plus("Sec-WebSocket-Extensions: x-unknown; a=b"), &[101]),
        (plus("Origin: https://example.com"), &[101]),
        (plus("Origin: null"), &[101]),
        (plus("User-Agent: \"odd\" ;,()"), &[101]),
        (plus("Cookie: a=b; c=d"), &[101]),
    ]);
}

#[test]
fn what_is_not_an_upgrade_gets_426() {
    run(&[
        (without("Upgrade"), &[426]),
        (without("Connection"), &[426]),
        (with("Connection: close"), &[426]),
        (with("Connection: keep-alive"), &[426]),
        (with("Connection: Upgraded"), &[426]),
        (with("Upgrade: h2c"), &[426]),
        (with("Upgrade: websockets"), &[426]),
        (with("Upgrade: "), &[426]),
        (with("Sec-WebSocket-Version: 8"), &[426]),
        (with("Sec-WebSocket-Version: 12"), &[426]),
        (with("Sec-WebSocket-Version: 14"), &[426]),
        (with("Sec-WebSocket-Version: 0"), &[426]),
        (with("Sec-WebSocket-Version: 1313"), &[426]),
        (with("Sec-WebSocket-Version: thirteen"), &[426, 400]),
        (without("Sec-WebSocket-Version"), &[426, 400]),
    ]);
}

#[test]
fn a_426_says_what_to_do() {
    let gateway = Gateway::shared();
    let answer = gateway.exchange(&without("Upgrade")).expect("an answer");
    assert_eq!(
        answer
            .header("upgrade")
            .map(str::to_ascii_lowercase)
            .as_deref(),
        Some("websocket")
    );
    let answer = gateway
        .exchange(&with("Sec-WebSocket-Version: 8"))
        .expect("an answer");
    assert_eq!(answer.header("sec-websocket-version"), Some("13"));
}

#[test]
fn malformed_heads_get_400() {
    run(&[
        (without("Sec-WebSocket-Key"), &[400]),
        (with("Sec-WebSocket-Key: "), &[400]),
        (with("Sec-WebSocket-Key: short"), &[400]),
        (with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ="), &[400]),
        (with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"), &[400]),
        (with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==="), &[400]),
        (with("Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!=="), &[400]),
        (
            with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSBsb25nZXI="),
            &[400],
        ),
        (with("Sec-WebSocket-Key: dGhlIHNh XBsZSBub25jZQ=="), &[400]),
        (plus(KEY), &[400]),
        (plus("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="), &[400]),
        (plus("Sec-WebSocket-Version: 13"), &[400]),
        (plus("Host: other"), &[400]),
        (without("Host"), &[400]),
        (
            plus("Origin: https://a.example\r\nOrigin: https://b.example"),
            &[400],
        ),
        (plus("Content-Length: 5"), &[400]),
        (plus("Transfer-Encoding: chunked"), &[400]),
        (
            plus("Content-Length: 5\r\nTransfer-Encoding: chunked"),
            &[400],
        ),
        (plus("Content-Length: -1"), &[400]),
        (plus("Content-Length: 1\r\nContent-Length: 2"), &[400]),
        (plus("X-Odd: a\x0bb"), &[400]),
        (plus("X-Odd: a\x0cb"), &[400]),
        (plus("X-Odd: a\x1cb"), &[400]),
        (plus("X-Odd: a\x1eb"), &[400]),
        (plus("X-Odd: a\x7fb"), &[400]),
        (plus("X-Odd: a\0b"), &[400]),
        (plus("X-Odd: a\rb"), &[400]),
        (plus("X-Odd: folded\r\n into two"), &[400]),
        (plus("X Odd: name with a space"), &[400]),
        (plus("X-Odd : space before the colon"), &[400]),
        (plus(": no name"), &[400]),
        (plus("no colon"), &[400]),
        (plus("Sec-WebSocket-Extensions: ;;="), &[400, 101]),
        (plus("Sec-WebSocket-Protocol: ch\u{e4}t"), &[400, 101]),
    ]);
}

#[test]
fn wrong_methods_get_405_and_wrong_versions_400() {
    // HTTP/1.0 is a right one, but for its Upgrade, which is to be ignored: 426.
    run(&[(line("GET /ws/chat/1/head/ HTTP/1.0"), &[426])]);
    let mut cases: Vec<Case> = Vec::new();
    for method in [
        "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "FOO", "get",
    ] {
        cases.push((line(&format!("{method} /ws/chat/1/head/ HTTP/1.1")), &[405]));
    }
    cases.push((line("HEAD /ws/chat/1/head/ HTTP/1.1"), &[405, 426]));
    for version in [
        "HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/9", "http/1.1", "X",
    ] {
        cases.push((
            line(&format!("GET /ws/chat/1/head/ {version}")),
            &[400, 505, 0],
        ));
    }
    run(&cases);
}

#[test]
fn every_other_path_gets_404() {
    let long = format!("/ws/chat/1/{}/", "s".repeat(65));
    let paths = [
        "/ws/chat/1/a",
        "/ws/chat/1/a//",
        "/ws//chat/1/a/",
        "//ws//chat/1/a/",
        "/ws/chat/1//",
        "/ws/chat//a/",
        "/ws/chat/1/",
        "/ws/chat/",
        "/ws/",
        "/ws/chat/1/a/b/",
        "/WS/chat/1/a/",
        "/ws/chat/01/a/",
        "/ws/chat/-1/a/",
        "/ws/chat/+1/a/",
        "/ws/chat/1.0/a/",
        "/ws/chat/x/a/",
        "/ws/chat/0x1/a/",
        "/ws/chat/1e3/a/",
        "/ws/chat/1000000000000000000/a/",
        "/ws/chat/%D9%A1/a/",
        "/ws/chat/%EF%BC%91/a/",
        "/ws/chat/1/a%2Fb/",
        "/ws/chat/1/a%2fb/",
        "/ws/chat/1/a%00/",
        "/ws/chat/1/a%0a/",
        "/ws/chat/1/a%0d%0a/",
        "/ws/chat/1/a%20b/",
        "/ws/chat/1/a%252e/",
        "/ws/chat/1/%25/",
        "/ws/chat/1/%/",
        "/ws/chat/1/%4/",
        "/ws/chat/1/%zz/",
        "/ws/chat/1/*/",
        "/ws/chat/1/a*/",
        "/ws/chat/1/a:b/",
        "/ws/chat/1/a@b/",
        "/ws/chat/1/a;x=1/",
        "/ws/chat/1/a+b/",
        "/ws/chat/1/a~b/",
        "/ws/chat/1/a!b/",
        "/ws/chat/1/a,b/",
        "/ws/chat/1/a=b/",
        "/ws/chat/1/a$b/",
        "/ws/chat/1/sess%C3%A3o/",
        "/ws/chat/1/%FF/",
        "/ws/chat/1/%ED%A0%80/",
        "/ws/chat/1/%5Ba-z%5D/",
        "/ws/chat/1/%7Ba%7D/",
        "/ws/chat/1/a/%0a",
        "/ws/chat/1/a/%20",
        "/ws/chat/1/a%3F/",
        "/ws/chat/1/a/..%2F..%2F",
        "/nothing",
        "/ws/chat/1/a/index.html",
        long.as_str(),
    ];
    let cases: Vec<Case> = paths
        .into_iter()
        .map(|case| (path(case), &[404][..]))
        .collect();
    assert!(cases.len() >= 50);
    run(&cases);
}

#[test]
fn request_lines_that_are_not_http_get_400_or_nothing() {
    const NOT_HTTP: &[u16] = &[400, 404, 0];
    run(&[
        (line("GET  /ws/chat/1/a/ HTTP/1.1"), NOT_HTTP),
        (line("GET /ws/chat/1/a/ b/ HTTP/1.1"), NOT_HTTP),
        (line("GET ws/chat/1/a/ HTTP/1.1"), NOT_HTTP),
        (line("GET * HTTP/1.1"), NOT_HTTP),
        (line("GET"), NOT_HTTP),
        (line(""), NOT_HTTP),
        (line("\0\0\0\0"), NOT_HTTP),
        (line("GET /ws/chat/1/a\0/ HTTP/1.1"), NOT_HTTP),
        (line("GET /ws/chat/1/\u{e9}/ HTTP/1.1"), NOT_HTTP),
        (line("GET /ws/chat/1/a\\b/ HTTP/1.1"), NOT_HTTP),
        (line("CONNECT localhost:80 HTTP/1.1"), &[400, 404, 405, 0]),
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello".to_vec(),
            NOT_HTTP,
        ),
        (
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            &[400, 404, 405, 505, 0],
        ),
        (vec![0xff; 4096], NOT_HTTP),
        (b"\r\n\r\n\r\n".repeat(10_000), &[400, 431, 0]),
    ]);
}

#[test]
fn an_upgrade_carries_no_extension_and_no_unasked_protocol() {
    let gateway = Gateway::shared();
    let offers = [
        ("Sec-WebSocket-Extensions", "permessage-deflate"),
        ("Sec-WebSocket-Protocol", "chat, superchat"),
    ];
    let client = gateway.connect_with("/ws/chat/1/offers/", &offers);
    assert_eq!(client.upgrade.header("sec-websocket-extensions"), None);
    assert_eq!(client.upgrade.header("sec-websocket-protocol"), None);
}

#[test]
fn frames_sent_along_with_the_head_are_not_lost() {
    let gateway = Gateway::shared();
    let mut bytes = path("/ws/chat/1/eager/");
    bytes.extend(crate::support::frame(
        0x81,
        crate::support::user("eager").as_bytes(),
    ));
    let mut stream = http::open(gateway.public());
    stream
        .write_all(&bytes)
        .expect("head and frame in one write");
    let mut seen = Vec::new();
    while !seen.windows(5).any(|window| window == b"eager") || !seen.ends_with(b"}") {
        let mut more = [0; 4096];
        let count = stream.read(&mut more).expect("the message comes back");
        assert!(count > 0, "closed: {}", seen.escape_ascii());
        seen.extend_from_slice(&more[..count]);
        let text = String::from_utf8_lossy(&seen).into_owned();
        if text.contains("\"eager\"") && text.contains("timestamp") {
            break;
        }
    }
}

#[test]
fn a_page_and_an_upgrade_in_one_segment_are_answered_in_order() {
    let gateway = Gateway::shared();
    let mut stream = http::open(gateway.public());
    let page = b"GET /client.js HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let upgrade = path("/ws/chat/1/pipelined/");
    stream
        .write_all(&[page, &upgrade[..]].concat())
        .expect("two requests");
    let mut bytes = Vec::new();
    let place = |bytes: &[u8], text: &[u8]| bytes.windows(text.len()).position(|at| at == text);
    while place(&bytes, br#""sender":"system""#).is_none() {
        let mut some = [0; 4096];
        let count = stream.read(&mut some).expect("an answer");
        assert!(count > 0, "the end, after {} bytes", bytes.len());
        bytes.extend(&some[..count]);
    }
    assert!(bytes.starts_with(b"HTTP/1.1 200 "));
    let switched = place(&bytes, b"HTTP/1.1 101 ").expect("a 101");
    assert!(place(&bytes, br#""sender":"system""#) > Some(switched));
}
