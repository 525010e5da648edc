//! Bad paths, hosts and forwarded fields, each with its exact status, whoever of the two readers answers.

use super::status;
use crate::support::Gateway;

/// Bad targets of a handshake, behind a proxy that has said all it should.
const TARGETS: &[(&str, u16)] = &[
    ("/ws/chat/1/a%2Fb/", 404),
    ("/ws/chat/1/a%2fb/", 404),
    ("/ws/chat/1/a%5Cb/", 404),
    ("/ws/chat/1/a%00/", 404),
    ("/ws/chat/1/a%0a/", 404),
    ("/ws/chat/1/a%0D%0A/", 404),
    ("/ws/chat/1/a%252F/", 404),
    ("/ws/chat/1/a%/", 404),
    ("/ws/chat/1/a%zz/", 404),
    ("/ws/chat/1/%C3%A9/", 404),
    ("/ws/chat/../admin/", 404),
    ("/ws/chat/1/../1/a/", 404),
    ("/ws/./chat/1/a/", 404),
    ("/ws/%2e%2e/chat/1/a/", 404),
    ("/ws/chat/1//a/", 404),
    ("/ws//chat/1/a/", 404),
    ("/ws/chat/1/a", 404),
    ("/ws/chat/1/a//", 404),
    ("/ws/chat/1/a/b/", 404),
    ("/ws/chat//a/", 404),
    ("/ws/chat/01/a/", 404),
    ("/ws/chat/-1/a/", 404),
    ("/ws/chat/1.0/a/", 404),
    ("/ws/chat/1234567890123456789/a/", 404),
    ("/ws/chat/%31/a%20b/", 404),
    ("/ws/chat/1/*/", 404),
    ("/ws/chat/1/[a-z]/", 404),
    ("/WS/chat/1/a/", 404),
    ("/ws/chat/1/a;x/", 404),
    ("/ws/chat/1/a\u{0}/", 400),
    ("/ws/chat/1/a\u{7f}/", 400),
    ("/ws/chat/1/a /", 400),
    ("ws/chat/1/a/", 400),
    ("*", 400),
    ("", 400),
];

/// Bad hosts, of `Host` and of `X-Forwarded-Host`.
const HOSTS: &[&str] = &[
    "a b",
    "a/b",
    "a\\b",
    "a@b",
    "a,b",
    "a?b",
    "a#b",
    "a\"b",
    "<a>",
    "a:b",
    "a:80:80",
    "a:-1",
    "a:+1",
    "a: 1",
    "::1",
    "[::1",
    "::1]",
    "[::1]x",
    "[1]",
    "[127.0.0.1]",
    "[fe80::1%25eth0]",
    "a%",
    "a%zz",
    "http://a",
    ":80",
    "a]",
    "\u{e9}.example",
];

/// Fields of which nothing is read: the client counts as the proxy, which has a connection already.
const UNREAD: &[(&str, &[&str])] = &[
    (
        "x-forwarded-for",
        &[
            "X-Forwarded-For: junk",
            "X-Forwarded-For: unknown",
            "X-Forwarded-For: _hidden",
            "X-Forwarded-For: ",
            "X-Forwarded-For: ,",
            "X-Forwarded-For: 192.0.2.1,",
            "X-Forwarded-For: 192.0.2.1, junk",
            "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: junk",
            "X-Forwarded-For: 192.0.2.256",
            "X-Forwarded-For: 192.0.2.1:800000",
            "X-Forwarded-For: [192.0.2.1]",
            "X-Forwarded-For: [2001:db8::1",
            "X-Forwarded-For: fe80::1%eth0",
            "X-Forwarded-For: \"192.0.2.1\"",
            "X-Forwarded-For: for=192.0.2.1",
            "X-Forwarded-For: 192.0.2.1\t192.0.2.2",
            "X-Forwarded-For: \u{661}92.0.2.1",
            "X-Forwarded-For: 127.0.0.1",
            "X-Real-IP: 192.0.2.1",
            "Client-IP: 192.0.2.1",
            "True-Client-IP: 192.0.2.1",
            "Forwarded: for=192.0.2.1",
        ],
    ),
    (
        "forwarded",
        &[
            "Forwarded: junk",
            "Forwarded: for",
            "Forwarded: for=",
            "Forwarded: for=\"",
            "Forwarded: for=\"192.0.2.1",
            "Forwarded: for=192.0.2.1\"",
            "Forwarded: for=192.0.2.1:80",
            "Forwarded: for=[2001:db8::1]",
            "Forwarded: for=\"2001:db8::1\"",
            "Forwarded: for=unknown",
            "Forwarded: for=_hidden",
            "Forwarded: for=192.0.2.1;for=192.0.2.2",
            "Forwarded: for=192.0.2.1 proto=https",
            "Forwarded: for =192.0.2.1",
            "Forwarded: for=192.0.2.1, junk",
            "Forwarded: for=192.0.2.1\r\nForwarded: =",
            "Forwarded: proto=https",
            "X-Forwarded-For: 192.0.2.1",
        ],
    ),
];

/// A handshake for this target and host, with one more line.
fn ask(target: &str, host: &str, line: &str) -> Vec<u8> {
    let line = if line.is_empty() {
        String::new()
    } else {
        format!("{line}\r\n")
    };
    format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{line}\r\n"
    )
    .into_bytes()
}

const TRUST: &str = "proxy.trusted=127.0.0.1";
const GOOD: &str = "/ws/chat/1/bad/";

#[test]
fn bad_targets_and_hosts_get_their_status_behind_a_proxy_too() {
    let gateway = Gateway::start(&[
        TRUST,
        "proxy.header=x-forwarded-for",
        "proxy.believe=for,host",
        "limits.uri_bytes=512",
    ]);
    let said = "X-Forwarded-For: 192.0.2.1";
    for (target, expected) in TARGETS {
        let bytes = ask(target, "chat.example", said);
        assert_eq!(status(gateway.public(), &bytes), *expected, "{target:?}");
    }
    let long = format!("/ws/chat/1/{}/", "a".repeat(600));
    assert_eq!(
        status(gateway.public(), &ask(&long, "chat.example", said)),
        414
    );
    for host in HOSTS {
        let bytes = ask(GOOD, host, said);
        assert_eq!(status(gateway.public(), &bytes), 400, "Host: {host}");
        let forwarded = format!("{said}\r\nX-Forwarded-Host: {host}");
        // Of two the last counts.
        let expected = if *host == "a,b" { 101 } else { 400 };
        let bytes = ask(GOOD, "chat.example", &forwarded);
        assert_eq!(
            status(gateway.public(), &bytes),
            expected,
            "X-Forwarded-Host: {host}"
        );
    }
    assert_eq!(
        status(gateway.public(), &ask(GOOD, "chat.example", said)),
        101
    );
}

#[test]
fn fields_that_cannot_be_read_say_nothing() {
    for (header, lines) in UNREAD {
        let header = format!("proxy.header={header}");
        let gateway = Gateway::start(&[TRUST, &header, "limits.connections_per_ip=1"]);
        let _proxy = gateway.connect(GOOD);
        for line in *lines {
            let bytes = ask(GOOD, "chat.example", line);
            assert_eq!(status(gateway.public(), &bytes), 429, "{line}");
        }
    }
}
