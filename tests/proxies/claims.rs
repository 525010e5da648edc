//! `X-Forwarded-For` and `Forwarded`: the client's address counts for limits, its host for origins.

use super::{handshake, status};
use crate::support::{Client, Gateway, http, wait};
use std::io::Write;

const PATH: &str = "/ws/chat/1/claims/";

/// One connection for each address.
fn one_each(trusted: &str, header: &str) -> Gateway {
    Gateway::start(&[
        "limits.connections_per_ip=1",
        &format!("proxy.trusted=[\"{trusted}\"]"),
        &format!("proxy.header={header}"),
    ])
}

#[track_caller]
fn open(gateway: &Gateway, name: &str, value: &str) -> Result<Client, u16> {
    let opened = gateway.try_connect_with(PATH, &[(name, value)]);
    opened.map_err(|refusal| refusal.status)
}

#[test]
fn each_client_of_a_trusted_proxy_has_its_own_limit() {
    for (header, name, [first, same, other, line, same_line, hop]) in [
        (
            "x-forwarded-for",
            "X-Forwarded-For",
            [
                "192.0.2.1",
                "1.1.1.1, 192.0.2.1",
                "192.0.2.2:4711",
                "2001:db8:1:2::1",
                "[2001:db8:1:2:ffff::9]:443",
                "192.0.2.1, 127.0.0.1",
            ],
        ),
        (
            "forwarded",
            "Forwarded",
            [
                "for=192.0.2.1;proto=https",
                "for=1.1.1.1, for=192.0.2.1",
                "for=\"192.0.2.2:4711\"",
                "for=\"[2001:db8:1:2::1]\"",
                "for=\"[2001:db8:1:2:ffff::9]:443\"",
                "for=192.0.2.1, for=127.0.0.1",
            ],
        ),
    ] {
        let gateway = one_each("127.0.0.1", header);
        let held = open(&gateway, name, first).expect("101");
        for again in [same, hop] {
            assert_eq!(open(&gateway, name, again).err(), Some(429), "{again}");
        }
        let _others = [other, line].map(|value| open(&gateway, name, value).expect("101"));
        assert_eq!(open(&gateway, name, same_line).err(), Some(429));
        drop(held);
        // The place comes back to the address that held it.
        wait::until("the place to be free", crate::support::PATIENCE, || {
            open(&gateway, name, first).is_ok()
        });
    }
}

#[test]
fn whoever_is_not_trusted_is_who_it_is() {
    for header in ["x-forwarded-for", "forwarded"] {
        let gateway = one_each("10.0.0.0/8", header);
        let lines = [
            ("X-Forwarded-For", "192.0.2.1"),
            ("Forwarded", "for=192.0.2.1"),
        ];
        let _held = gateway.connect_with(PATH, &lines);
        for value in ["192.0.2.2", "10.0.0.1"] {
            let forwarded = format!("for={value}");
            let lines = [("X-Forwarded-For", value), ("Forwarded", &forwarded)];
            let refused = gateway.try_connect_with(PATH, &lines);
            assert_eq!(refused.err().map(|refusal| refusal.status), Some(429));
        }
    }
}

#[test]
fn the_other_header_is_not_believed() {
    let gateway = one_each("127.0.0.1", "forwarded");
    let _held = open(&gateway, "X-Forwarded-For", "192.0.2.1").expect("101");
    let again = open(&gateway, "X-Forwarded-For", "192.0.2.2");
    assert_eq!(again.err(), Some(429));
}

#[test]
fn a_trusted_proxy_may_have_many_handshakes_under_way() {
    let limits = "limits.handshakes_per_ip=2";
    let trusted = "proxy.trusted=[\"127.0.0.1\"]";
    for (settings, expected) in [
        (&[limits][..], 503),
        (&[limits, trusted, "proxy.header=x-forwarded-for"], 101),
    ] {
        let gateway = Gateway::start(settings);
        let silent: Vec<_> = (0..3).map(|_| http::open(gateway.public())).collect();
        let head = handshake(PATH, "");
        wait::until("the handshakes", crate::support::PATIENCE, || {
            gateway.metric("supportal_handshakes_in_progress") >= 2.0
        });
        let answer = gateway.exchange(head.as_bytes());
        assert_eq!(answer.map(|answer| answer.status), Some(expected));
        drop(silent);
    }
}

/// Cookies are read, and there is no list: only pages of the request's own host.
fn with_cookies(proxy: &[&str]) -> Gateway {
    let auth = [
        "auth.mode=[\"jwt\", \"none\"]",
        "auth.jwt.secret=0123456789abcdef0123456789abcdef",
        "auth.jwt.cookie=token",
    ];
    Gateway::start(&[&auth[..], proxy].concat())
}

#[test]
fn where_cookies_count_a_page_of_another_host_may_not_connect() {
    let gateway = with_cookies(&[]);
    for (origin, expected) in [
        ("Origin: https://chat.example\r\n", 101),
        ("Origin: http://chat.example:3000\r\n", 101),
        ("Origin: https://evil.example\r\n", 403),
        ("Origin: https://www.chat.example\r\n", 403),
        ("Origin: null\r\n", 403),
        ("", 403),
        // Nobody is trusted.
        (
            "Origin: https://evil.example\r\nX-Forwarded-Host: evil.example\r\n",
            403,
        ),
    ] {
        let head = handshake(PATH, origin);
        assert_eq!(
            status(gateway.public(), head.as_bytes()),
            expected,
            "{origin}"
        );
    }
}

#[test]
fn the_host_of_a_trusted_proxy_is_the_request_s() {
    for (header, good, bad) in [
        (
            "x-forwarded-for",
            "X-Forwarded-Host: shop.example\r\n",
            "X-Forwarded-Host: a b\r\n",
        ),
        (
            "forwarded",
            "Forwarded: for=192.0.2.1;host=\"shop.example:8443\"\r\n",
            "Forwarded: for=192.0.2.1;host=\"a b\"\r\n",
        ),
    ] {
        let header = format!("proxy.header={header}");
        let trusted = "proxy.trusted=[\"127.0.0.1\"]";
        let gateway = with_cookies(&[trusted, &header, "proxy.believe=for,host"]);
        for (lines, expected) in [
            (format!("Origin: https://shop.example\r\n{good}"), 101),
            (format!("Origin: https://chat.example\r\n{good}"), 403),
            ("Origin: https://chat.example\r\n".to_owned(), 101),
            (format!("Origin: https://chat.example\r\n{bad}"), 400),
        ] {
            let head = handshake(PATH, &lines);
            assert_eq!(
                status(gateway.public(), head.as_bytes()),
                expected,
                "{lines}"
            );
        }
    }
}

#[test]
fn messages_behind_the_head_are_heard_behind_a_proxy_too() {
    let gateway = one_each("127.0.0.1", "x-forwarded-for");
    let mut client = open(&gateway, "X-Forwarded-For", "192.0.2.1").expect("101");
    client.skip_welcome();
    client.send_text(&crate::support::user("hello"));
    assert!(client.receive_text().contains("hello"));
    let mut stream = http::open(gateway.public());
    let head = handshake(PATH, "X-Forwarded-For: 192.0.2.9\r\n");
    let message = crate::support::frame(0x81, crate::support::user("at once").as_bytes());
    stream
        .write_all(&[head.as_bytes(), &message].concat())
        .expect("the whole");
    assert!(client.receive_text().contains("at once"));
}

#[test]
fn a_proxy_that_is_not_trusted_is_counted_and_told_once_with_its_address() {
    const UNBELIEVED: &str = "supportal_proxy_unbelieved_total";
    let line = "what is said in the place of proxy.header is not believed";
    for (header, lines) in [
        ("x-forwarded-for", "X-Forwarded-For: 192.0.2.1\r\n"),
        ("forwarded", "Forwarded: for=192.0.2.1\r\n"),
    ] {
        let gateway = Gateway::start(&[
            "proxy.trusted=[\"10.0.0.0/8\"]",
            &format!("proxy.header={header}"),
        ]);
        // Both readers of a head, and what is no handshake.
        assert_eq!(
            status(gateway.public(), handshake(PATH, lines).as_bytes()),
            101
        );
        assert_eq!(
            status(gateway.public(), super::page("/", lines).as_bytes()),
            200
        );
        assert_eq!(gateway.metric(UNBELIEVED), 4.0, "{header}");
        let log = gateway.wait_log(line, 1);
        assert_eq!(log.matches(line).count(), 1, "{log}");
        assert!(log.contains("\"address\":\"127.0.0.1\""), "{log}");
        assert!(!log.contains("192.0.2.1"), "{log}");
    }
    let gateway = Gateway::start(&[
        "proxy.trusted=[\"10.0.0.0/8\"]",
        "proxy.header=proxy_protocol",
    ]);
    for begin in [
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "\r\n\r\n\0\r\nQUIT\n",
    ] {
        let bytes = format!("{begin}{}", handshake(PATH, ""));
        let answer = http::exchange(gateway.public(), bytes.as_bytes());
        assert_ne!(answer.map(|answer| answer.status), Some(101), "{begin:?}");
    }
    assert_eq!(gateway.metric(UNBELIEVED), 2.0);
    gateway.wait_log(line, 1);
    // Whoever is believed, or says nothing, is not counted.
    let trusted = one_each("127.0.0.1", "x-forwarded-for");
    assert!(open(&trusted, "X-Forwarded-For", "192.0.2.1").is_ok());
    assert_eq!(trusted.metric(UNBELIEVED), 0.0);
}
