//! `http.require_tls` and `http.redirect`: who comes without TLS is sent to it, or away.

use super::{handshake, page, status};
use crate::support::http::{self, Response};
use crate::support::{Gateway, PATIENCE, wait};
use crate::upstream::puppet::{Puppet, field};
use std::io::{Read, Write};

const PATH: &str = "/ws/chat/1/https/";
const TRUST: [&str; 3] = [
    "proxy.trusted=[\"127.0.0.1\"]",
    "proxy.header=x-forwarded-for",
    "proxy.believe=for,proto",
];

fn location(answer: Option<Response>) -> (u16, Option<String>) {
    let answer = answer.expect("an answer");
    let location = answer.header("location").map(str::to_owned);
    (answer.status, location)
}

#[test]
fn without_tls_pages_move_and_handshakes_are_refused() {
    let gateway = Gateway::start(&[&TRUST[..], &["http.require_tls=true"]].concat());
    let public = gateway.public();
    for (lines, handshakes, pages) in [
        ("", 403, 308),
        ("X-Forwarded-Proto: http\r\n", 403, 308),
        ("X-Forwarded-Proto: https\r\n", 101, 200),
        ("X-Forwarded-Proto: HTTPS\r\n", 101, 200),
        ("X-Forwarded-Proto: wss\r\n", 101, 200),
        // The nearest proxy's word counts.
        ("X-Forwarded-Proto: https, http\r\n", 403, 308),
        ("X-Forwarded-Proto: http, https\r\n", 101, 200),
        (
            "X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n",
            403,
            308,
        ),
        ("X-Forwarded-Proto: httpss\r\n", 403, 308),
        ("X-Forwarded-Proto: \r\n", 403, 308),
        ("X-Forwarded-Proto: on\r\n", 403, 308),
        ("X-Forwarded-Proto: https;x\r\n", 403, 308),
        ("Forwarded: proto=https\r\n", 403, 308),
        ("X-Forwarded-Protocol: https\r\n", 403, 308),
        ("X-Forwarded-Ssl: on\r\n", 403, 308),
        ("Front-End-Https: on\r\n", 403, 308),
    ] {
        let head = handshake(PATH, lines);
        assert_eq!(status(public, head.as_bytes()), handshakes, "{lines}");
        let head = page("/client.js", lines);
        assert_eq!(status(public, head.as_bytes()), pages, "{lines}");
    }
    let moved = gateway.exchange(page("/chat/1/abc/?x=1&y=%2F", "").as_bytes());
    let expected = "https://chat.example/chat/1/abc/?x=1&y=%2F".to_owned();
    assert_eq!(location(moved), (308, Some(expected)));
    // Two hosts are none.
    let two = page("/client.js", "").replace("/client.js", "http://evil.example/client.js");
    assert_eq!(status(public, two.as_bytes()), 400);
    // Whoever says more than a question has said it already.
    let post = page("/api/publish", "Content-Length: 0\r\n").replace("GET", "POST");
    assert_eq!(status(public, post.as_bytes()), 403);
}

#[test]
fn a_proxy_that_does_not_set_the_scheme_passes_on_what_clients_say() {
    let gateway = Gateway::start(&[&TRUST[..2], &["http.require_tls=true"]].concat());
    let head = handshake(PATH, "X-Forwarded-Proto: https\r\n");
    assert_eq!(status(gateway.public(), head.as_bytes()), 403);
    let head = page("/client.js", "X-Forwarded-Proto: https\r\n");
    assert_eq!(status(gateway.public(), head.as_bytes()), 308);
    gateway.wait_log("http.require_tls: lets nobody in", 1);
}

#[test]
fn nobody_but_a_trusted_proxy_says_that_there_is_tls() {
    let gateway = Gateway::start(&["http.require_tls=true"]);
    for lines in ["X-Forwarded-Proto: https\r\n", "Forwarded: proto=https\r\n"] {
        let head = handshake(PATH, lines);
        assert_eq!(status(gateway.public(), head.as_bytes()), 403);
    }
}

#[test]
fn the_listener_of_redirects_answers_nothing_else() {
    let gateway = Gateway::start(&["http.redirect=127.0.0.1:0"]);
    let address = gateway.redirect_address();
    let ask = |bytes: &str| http::exchange(address, bytes.as_bytes());
    for (target, expected) in [
        ("/", "https://chat.example/"),
        ("/ws/chat/1/abc/", "https://chat.example/ws/chat/1/abc/"),
        ("/a?b=c", "https://chat.example/a?b=c"),
        ("//evil.example", "https://chat.example//evil.example"),
        ("http://chat.example/a?b", "https://chat.example/a?b"),
    ] {
        let head = format!("GET {target} HTTP/1.1\r\nHost: chat.example:80\r\n\r\n");
        assert_eq!(location(ask(&head)), (308, Some(expected.to_owned())));
    }
    // Bad requests, each with its status.
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(9000));
    for (head, expected) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: \r\n\r\n", 400),
        ("GET / HTTP/1.0\r\n\r\n", 400),
        ("GET http://evil.example/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 403),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            403,
        ),
        ("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("nonsense\r\n\r\n", 400),
        (&long, 414),
    ] {
        assert_eq!(
            ask(head).map(|answer| answer.status),
            Some(expected),
            "{head}"
        );
    }
    // It answers one request, and ends with the node.
    let head = page("/", "");
    let answer = ask(&head).expect("an answer");
    assert_eq!(answer.header("connection"), Some("close"));
}

#[test]
fn silence_at_the_listener_of_redirects_has_an_end() {
    let settings = [
        "http.redirect=127.0.0.1:0",
        "server.handshake_timeout=200ms",
        "limits.handshakes_per_ip=2",
    ];
    let gateway = Gateway::start(&settings);
    let address = gateway.redirect_address();
    let silent: Vec<_> = (0..4).map(|_| http::open(address)).collect();
    wait::until("a place to be free again", PATIENCE, || {
        let mut stream = http::open(address);
        let mut answer = Vec::new();
        drop(stream.write_all(page("/", "").as_bytes()));
        drop(stream.read_to_end(&mut answer));
        answer.starts_with(b"HTTP/1.1 308")
    });
    drop(silent);
}

#[test]
fn challenges_of_an_acme_client_are_answered_without_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("token_-1"), "token_-1.thumb").expect("a file");
    std::fs::write(folder.path().join("key.pem"), "secret").expect("a file");
    std::fs::write(folder.path().join("large"), vec![b'x'; 5000]).expect("a file");
    let acme = format!("http.acme_folder={}", folder.path().display());
    let gateway = Gateway::start(&[
        "http.redirect=127.0.0.1:0",
        "http.require_tls=true",
        "http.https_host=shop.example:8443",
        &acme,
    ]);
    for address in [gateway.redirect_address(), gateway.public()] {
        let ask = |method: &str, name: &str| {
            let target = format!("/.well-known/acme-challenge/{name}");
            let head = page(&target, "Connection: close\r\n").replace("GET", method);
            http::exchange(address, head.as_bytes()).expect("an answer")
        };
        let good = ask("GET", "token_-1");
        assert_eq!(
            (good.status, good.text()),
            (200, "token_-1.thumb".to_owned())
        );
        let head = ask("HEAD", "token_-1");
        assert_eq!((head.status, head.text()), (200, String::new()));
        assert_eq!(ask("POST", "token_-1").status, 405);
        for name in [
            "absent",
            "",
            ".",
            "..",
            "key.pem",
            "large",
            "../token_-1",
            "%2e%2e/x",
            "token_-1/",
            "a%2fb",
        ] {
            let answer = ask("GET", name);
            let location = answer.header("location").unwrap_or_default();
            assert_eq!(answer.status, 308, "{name}");
            assert!(location.starts_with("https://shop.example:8443/.well-known/"));
            assert!(answer.body.is_empty());
        }
    }
}

#[test]
fn without_a_folder_the_site_answers_the_challenges_of_its_acme_client() {
    let site = Puppet::friendly();
    let upstream = format!("http.upstream=http://{}", site.address());
    let gateway = Gateway::start(&[
        "http.redirect=127.0.0.1:0",
        "http.require_tls=true",
        &upstream,
    ]);
    for (number, address) in [gateway.redirect_address(), gateway.public()]
        .into_iter()
        .enumerate()
    {
        let ask = |method: &str, path: &str, lines: &str| {
            let head = page(path, &format!("Connection: close\r\n{lines}"));
            http::exchange(address, head.replace("GET", method).as_bytes()).expect("an answer")
        };
        let challenge = "/.well-known/acme-challenge/token_-1";
        let good = ask("GET", challenge, "X-Forwarded-For: 192.0.2.9\r\n");
        assert_eq!((good.status, good.text()), (200, "ok".to_owned()));
        assert_eq!(site.heads().len(), number + 1);
        let seen = site.heads().pop().expect("a request");
        assert!(
            seen.starts_with(&format!("GET {challenge} HTTP/1.1")),
            "{seen}"
        );
        for (name, value) in [
            ("host", "chat.example"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-proto", "http"),
        ] {
            assert_eq!(field(&seen, name), Some(value), "{name}");
        }
        // Nothing else goes there without TLS.
        assert_eq!(ask("POST", challenge, "Content-Length: 0\r\n").status, 403);
        for path in [
            "/",
            "/.well-known/acme-challenge/",
            "/.well-known/acme-challenge/a/../../b",
            "/.well-known/acme-challenge/a%2fb",
            "/.well-known/security.txt",
        ] {
            assert_eq!(ask("GET", path, "").status, 308, "{path}");
        }
        let head = handshake(challenge, "");
        let upgrade = http::exchange(address, head.as_bytes()).expect("an answer");
        assert!([308, 403].contains(&upgrade.status), "{}", upgrade.status);
        assert_eq!(site.heads().len(), number + 1);
    }
}

#[test]
fn the_listener_of_redirects_reads_the_header_of_a_trusted_proxy() {
    let site = Puppet::friendly();
    let upstream = format!("http.upstream=http://{}", site.address());
    let gateway = Gateway::start(&[
        "proxy.trusted=[\"127.0.0.1\"]",
        "proxy.header=proxy_protocol",
        "http.redirect=127.0.0.1:0",
        "server.handshake_timeout=2s",
        &upstream,
    ]);
    let address = gateway.redirect_address();
    let ask = |bytes: &[u8]| http::exchange(address, bytes);
    let line = "PROXY TCP4 192.0.2.1 10.0.0.1 56324 80\r\n";
    let behind_line = |path: &str| [line, &page(path, "")].concat();
    let expected = "https://chat.example/a?b".to_owned();
    let moved = ask(behind_line("/a?b").as_bytes());
    assert_eq!(location(moved), (308, Some(expected.clone())));
    let binary = super::lines::binary(0x21, &[]);
    let moved = ask(&[&binary[..], page("/a?b", "").as_bytes()].concat());
    assert_eq!(location(moved), (308, Some(expected)));
    // In pieces too.
    let mut stream = http::open(address);
    let (start, rest) = line.split_at(9);
    for piece in [start, rest, &page("/", "")] {
        stream.write_all(piece.as_bytes()).expect("sent");
    }
    let (moved, _) = http::read_response(&mut stream).expect("an answer");
    assert_eq!(moved.status, 308);
    let challenge = behind_line("/.well-known/acme-challenge/a");
    let answer = ask(challenge.as_bytes()).expect("an answer");
    assert_eq!(answer.text(), "ok");
    let seen = site.heads().pop().expect("a request");
    assert_eq!(field(&seen, "x-forwarded-for"), Some("192.0.2.1"));
    // Without the header a trusted proxy is not understood.
    let bare = ask(page("/", "").as_bytes());
    assert_eq!(bare.map(|answer| answer.status), Some(400));
    let refused = "supportal_handshakes_refused_total{reason=\"proxy\"}";
    assert_eq!(gateway.metric(refused), 1.0);
    let half = ask(start.as_bytes());
    assert!(half.is_none(), "closed at the timeout");
}

#[test]
fn a_proxy_header_of_a_stranger_is_no_request_to_the_listener_of_redirects() {
    let gateway = Gateway::start(&[
        "proxy.trusted=[\"10.0.0.0/8\"]",
        "proxy.header=proxy_protocol",
        "http.redirect=127.0.0.1:0",
    ]);
    let head = format!(
        "PROXY TCP4 192.0.2.1 10.0.0.1 56324 80\r\n{}",
        page("/", "")
    );
    let answer = http::exchange(gateway.redirect_address(), head.as_bytes());
    assert_eq!(answer.map(|answer| answer.status), Some(400));
}
