//! The PROXY protocol in front of the first request.

use super::{handshake, status};
use crate::support::{Client, Gateway, PATIENCE, http, user, wait};
use std::io::{Read, Write};
use std::time::Duration;

const PATH: &str = "/ws/chat/1/lines/";

/// Expects a PROXY header of whoever is on this machine.
fn gateway(settings: &[&str]) -> Gateway {
    let base = [
        "proxy.trusted=[\"127.0.0.1\"]",
        "proxy.header=proxy_protocol",
    ];
    Gateway::start(&[&base[..], settings].concat())
}

fn line(client: &str) -> Vec<u8> {
    format!("PROXY TCP4 {client} 10.0.0.1 56324 443\r\n").into_bytes()
}

/// Version 2: from 192.0.2.1 with these extensions.
pub(super) fn binary(command: u8, extensions: &[u8]) -> Vec<u8> {
    let addresses = [192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x34, 1, 0xbb];
    let length = u16::try_from(addresses.len() + extensions.len()).expect("a short header");
    let signature = b"\r\n\r\n\0\r\nQUIT\n";
    let head = [&signature[..], &[command, 0x11], &length.to_be_bytes()].concat();
    [&head, &addresses[..], extensions].concat()
}

#[test]
fn the_client_is_who_the_header_names() {
    let gateway = gateway(&["limits.connections_per_ip=1"]);
    let open = |header: &[u8]| {
        let mut stream = http::open(gateway.public());
        stream.write_all(header).expect("the header");
        Client::open_over(stream, PATH, &[("X-Forwarded-For", "198.51.100.7")])
            .map_err(|refusal| refusal.status)
    };
    let mut first = open(&line("192.0.2.1")).expect("101");
    assert_eq!(open(&line("192.0.2.1")).err(), Some(429));
    assert_eq!(open(&binary(0x21, &[])).err(), Some(429), "the same client");
    let mut second = open(&line("192.0.2.2")).expect("101");
    // The proxy itself, which may say so in three ways, is one more.
    let _proxy = open(b"PROXY UNKNOWN\r\n").expect("101");
    assert_eq!(open(&binary(0x20, &[])).err(), Some(429));
    first.skip_welcome();
    second.skip_welcome();
    first.send_text(&user("hello"));
    assert!(second.receive_text().contains("hello"));
}

#[test]
fn a_header_may_come_in_any_pieces() {
    let gateway = gateway(&[]);
    let head = handshake(PATH, "");
    for header in [line("192.0.2.1"), binary(0x21, &[4, 0, 3, 0, 0, 0])] {
        let bytes = [&header, head.as_bytes()].concat();
        for cut in (0..header.len() + 3).chain([bytes.len() - 1, bytes.len()]) {
            let (first, second) = bytes.split_at(cut);
            let mut stream = http::open(gateway.public());
            stream.write_all(first).expect("the first piece");
            stream.write_all(second).expect("the second piece");
            let answer = http::read_response(&mut stream);
            let status = answer.map(|(response, _)| response.status);
            assert_eq!(status, Some(101), "{cut} of {}", bytes.escape_ascii());
        }
        let mut stream = http::open(gateway.public());
        for byte in &bytes {
            stream.write_all(&[*byte]).expect("a byte");
        }
        let answer = http::read_response(&mut stream);
        assert_eq!(answer.map(|(response, _)| response.status), Some(101));
    }
}

#[test]
fn one_header_stands_before_all_requests_of_a_connection() {
    let gateway = gateway(&[]);
    let mut stream = http::open(gateway.public());
    let page = "GET /client.js HTTP/1.1\r\nHost: chat.example\r\n\r\n";
    stream.write_all(&line("192.0.2.1")).expect("the header");
    for _ in 0..2 {
        stream.write_all(page.as_bytes()).expect("a request");
        let (answer, rest) = http::read_response(&mut stream).expect("an answer");
        assert_eq!((answer.status, rest.len()), (200, 0));
    }
}

#[test]
fn a_header_and_then_silence_ends_with_the_time_for_a_head() {
    let gateway = gateway(&["server.handshake_timeout=300ms"]);
    for said in [
        &b""[..],
        b"PROXY TCP4 192.0",
        &line("192.0.2.1"),
        &binary(0x21, &[])[..20],
    ] {
        let before = gateway.metric("supportal_handshakes_refused_total{reason=\"timeout\"}");
        let mut stream = http::open(gateway.public());
        stream.write_all(said).expect("the beginning");
        let mut end = Vec::new();
        let watch = wait::Watch::start();
        let read = stream.read_to_end(&mut end);
        assert!(read.is_ok() || watch.elapsed() < PATIENCE, "{read:?}");
        assert!(watch.elapsed() >= Duration::from_millis(200), "too soon");
        wait::until("the timeout to be counted", PATIENCE, || {
            gateway.metric("supportal_handshakes_refused_total{reason=\"timeout\"}") > before
        });
    }
}

/// No headers: each is answered with 400, whatever stands behind it.
const BAD: &[&[u8]] = &[
    b"",
    b"proxy TCP4 192.0.2.1 10.0.0.1 1 2\r\n",
    b"PROXY\r\n",
    b"PROXYTCP4 192.0.2.1 10.0.0.1 1 2\r\n",
    b"PROXY  TCP4 192.0.2.1 10.0.0.1 1 2\r\n",
    b"PROXY TCP 192.0.2.1 10.0.0.1 1 2\r\n",
    b"PROXY UDP4 192.0.2.1 10.0.0.1 1 2\r\n",
    b"PROXY TCP4 192.0.2.1 10.0.0.1 1 2\n",
    b"PROXY TCP4 192.0.2.1 10.0.0.1 1\r\n",
    b"PROXY TCP4 192.0.2.1 10.0.0.1 1 2 3\r\n",
    b"PROXY TCP4 192.0.2.1 10.0.0.1 01 2\r\n",
    b"PROXY TCP4 192.0.2.1 10.0.0.1 1 65536\r\n",
    b"PROXY TCP4 192.0.2.256 10.0.0.1 1 2\r\n",
    b"PROXY TCP4 ::1 ::1 1 2\r\n",
    b"PROXY TCP6 192.0.2.1 10.0.0.1 1 2\r\n",
    b"PROXY TCP4 \xff 10.0.0.1 1 2\r\n",
    b"PROXY TCP4 192.0.2.1 10.0.0.1 1 2\0\r\n",
    b"PROXY UNKNOWN xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x11\x11\0\x0c",
    b"\r\n\r\n\0\r\nQUIT\n\x2f\x11\0\x0c",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x12\0\x0c",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0b",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x41\0\x0c",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0d\xc0\0\x02\x01\x0a\0\0\x01\0\x01\0\x02\x20",
];

#[test]
fn a_trusted_proxy_without_a_good_header_gets_400() {
    let gateway = gateway(&[]);
    for (count, bad) in (1..).zip(BAD) {
        let bytes = [*bad, handshake(PATH, "").as_bytes()].concat();
        let answer = gateway.exchange(&bytes);
        let status = answer.map(|answer| answer.status);
        assert_eq!(status, Some(400), "{}", bytes.escape_ascii());
        let refused = "supportal_handshakes_refused_total{reason=\"proxy\"}";
        assert!(gateway.metric(refused) >= f64::from(count));
    }
}

#[test]
fn a_proxy_that_leaves_at_once_behind_a_part_of_its_header_is_forgotten_at_once() {
    let gateway = gateway(&["server.handshake_timeout=60s"]);
    for header in [line("192.0.2.1"), binary(0x21, &[])] {
        let more = [&header, &b"GET / HT"[..]].concat();
        for said in [&header[..1], &header[..14], &header, &more] {
            for _ in 0..50 {
                let mut stream = http::open(gateway.public());
                stream.write_all(said).expect("sent");
            }
            // Who comes in behind them is let in behind them.
            let head = handshake(PATH, "");
            assert_eq!(
                status(gateway.public(), &[&header, head.as_bytes()].concat()),
                101
            );
            wait::until("all of them to be forgotten", PATIENCE, || {
                gateway.metric("supportal_handshakes_in_progress") == 0.0
            });
        }
    }
}

#[test]
fn whoever_is_not_trusted_needs_no_header_and_may_have_none() {
    let trusted = "proxy.trusted=[\"10.0.0.0/8\"]";
    let gateway = Gateway::start(&[trusted, "proxy.header=proxy_protocol"]);
    let head = handshake(PATH, "");
    assert_eq!(status(gateway.public(), head.as_bytes()), 101);
    for header in [line("192.0.2.1"), binary(0x21, &[])] {
        let bytes = [&header, head.as_bytes()].concat();
        assert_eq!(status(gateway.public(), &bytes), 400);
    }
}

#[test]
fn version_2_says_whether_the_client_came_by_tls() {
    let gateway = gateway(&["http.require_tls=true"]);
    let head = handshake(PATH, "X-Forwarded-Proto: https\r\n");
    for (extensions, expected) in [
        (&[][..], 403),
        (&[0x20, 0, 5, 0, 0, 0, 0, 0], 403),
        (&[0x20, 0, 5, 1, 0, 0, 0, 0], 101),
        (&[4, 0, 1, 0, 0x20, 0, 5, 1, 0, 0, 0, 0], 101),
    ] {
        let bytes = [&binary(0x21, extensions), head.as_bytes()].concat();
        assert_eq!(status(gateway.public(), &bytes), expected, "{extensions:?}");
    }
}
