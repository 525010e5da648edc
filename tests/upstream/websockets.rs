//! The site's own WebSockets, passed through byte for byte.

use super::before;
use super::puppet::{Puppet, Request};
use crate::support::client::{ACCEPT, KEY};
use crate::support::http::{open, read_response};
use crate::support::{Client, Frame, Gateway, PATIENCE, Signal, user, wait};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// Says 101 and what follows, and then whatever it hears.
fn echo(request: &mut Request, after: &[u8]) -> bool {
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\nSec-WebSocket-Protocol: a\r\nServer: site\r\n\r\n"
    );
    request.say([head.as_bytes(), after].concat());
    loop {
        let heard = std::mem::take(&mut request.rest);
        if !request.say(heard) || !request.read() {
            return false;
        }
    }
}

/// A handshake with these lines on top, and what follows it at once.
fn handshake(gateway: &Gateway, lines: &str, after: &[u8]) -> TcpStream {
    let mut stream = open(gateway.public());
    let head = format!(
        "GET /ws/custom/?a=b HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{lines}\r\n"
    );
    stream
        .write_all(&[head.as_bytes(), after].concat())
        .expect("sent");
    stream
}

#[test]
fn every_byte_passes_in_both_directions() {
    let site = Puppet::start(|request| echo(request, b"first"));
    let gateway = before(
        &site,
        &[
            "server.http_timeout=200ms",
            "server.handshake_timeout=500ms",
        ],
    );
    let lines = "Origin: https://b.example\r\nSec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Extensions: permessage-deflate\r\nCookie: c=d\r\n";
    let mut stream = handshake(&gateway, lines, b"early");
    let (answer, rest) = read_response(&mut stream).expect("an answer");
    assert_eq!(answer.status, 101);
    for (name, value) in [
        ("sec-websocket-accept", ACCEPT),
        ("sec-websocket-protocol", "a"),
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("server", "site"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    let head = site.heads().pop().expect("a request").to_ascii_lowercase();
    for line in [
        "get /ws/custom/?a=b http/1.1",
        "host: a.example",
        "connection: upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
        "sec-websocket-protocol: a, b",
        "sec-websocket-extensions: permessage-deflate",
        "origin: https://b.example",
        "cookie: c=d",
        "x-forwarded-for: 127.0.0.1",
    ] {
        assert!(head.contains(&format!("{line}\r\n")), "{line} in {head}");
    }
    let mut heard = rest;
    let mut read_to = |stream: &mut TcpStream, length: usize| {
        while heard.len() < length {
            let mut bytes = [0; 64 * 1024];
            let count = stream.read(&mut bytes).expect("bytes");
            assert!(count > 0, "ended after {} bytes", heard.len());
            heard.extend_from_slice(&bytes[..count]);
        }
        std::mem::take(&mut heard)
    };
    assert_eq!(read_to(&mut stream, 10), b"firstearly");
    // No deadline of requests holds here.
    wait::pass(Duration::from_millis(700));
    let bytes: Vec<u8> = (0..1_000_000_u32)
        .map(|number| number.to_le_bytes()[0] ^ number.to_le_bytes()[1])
        .collect();
    let mut writer = stream.try_clone().expect("the same socket");
    let sent = bytes.clone();
    let writing = std::thread::spawn(move || writer.write_all(&sent).expect("sent"));
    assert!(
        read_to(&mut stream, bytes.len()) == bytes,
        "other bytes came back"
    );
    writing.join().expect("all was sent");
    assert_eq!(gateway.metric("supportal_upstream_websockets"), 1.0);
    assert_eq!(gateway.metric("supportal_upstream_requests"), 0.0);
    stream.shutdown(Shutdown::Write).expect("half closed");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("the site's end");
    assert!(rest.is_empty());
    wait::until("the socket to be gone", PATIENCE, || {
        gateway.metric("supportal_upstream_websockets") == 0.0
    });
}

#[test]
fn a_refusal_of_the_site_is_passed_on() {
    let site = Puppet::start(|request| {
        let answer = match request.target() {
            "/ws/forbidden/" => "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
            "/ws/wrong/" => {
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"
            }
            "/ws/other/" => {
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"
            }
            _ => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        };
        request.say(answer)
    });
    let gateway = before(&site, &[]);
    for (path, status) in [
        ("/ws/forbidden/", 403),
        ("/ws/nowhere/", 404),
        ("/ws/wrong/", 502),
        ("/ws/other/", 502),
    ] {
        assert_eq!(
            gateway.try_connect(path).expect_err(path).status,
            status,
            "{path}"
        );
    }
    wait::until("all to be over", PATIENCE, || {
        gateway.metric("supportal_upstream_websockets") == 0.0
    });
    assert_eq!(gateway.metric("supportal_upstream_requests"), 0.0);
}

#[test]
fn more_than_the_cap_get_a_503_and_silence_ends_one() {
    let site = Puppet::start(|request| echo(request, b""));
    let settings = [
        "http.upstream_websockets=1",
        "http.upstream_websocket_timeout=500ms",
    ];
    let gateway = before(&site, &settings);
    let mut stream = handshake(&gateway, "", b"");
    let (answer, _rest) = read_response(&mut stream).expect("an answer");
    assert_eq!(answer.status, 101);
    let refusal = gateway
        .try_connect("/ws/custom/")
        .expect_err("one too many");
    assert!(refusal.status == 503 && refusal.header("retry-after").is_some());
    let mut rest = Vec::new();
    drop(stream.read_to_end(&mut rest));
    assert!(rest.is_empty(), "ended, and nothing put into it");
    wait::until("the place to be free", PATIENCE, || {
        gateway.metric("supportal_upstream_websockets") == 0.0
    });
    let mut again = handshake(&gateway, "", b"");
    assert_eq!(read_response(&mut again).expect("an answer").0.status, 101);
}

#[test]
fn no_place_per_address_is_left_over() {
    let site = Puppet::start(|request| echo(request, b""));
    let gateway = before(&site, &["limits.connections_per_ip=2"]);
    let mut held: Vec<TcpStream> = (0..2).map(|_| handshake(&gateway, "", b"")).collect();
    for stream in &mut held {
        assert_eq!(read_response(stream).expect("an answer").0.status, 101);
    }
    assert_eq!(
        gateway
            .try_connect("/ws/custom/")
            .expect_err("one too many")
            .status,
        429
    );
    assert_eq!(
        gateway
            .try_connect("/ws/chat/1/a/")
            .expect_err("the same address")
            .status,
        429
    );
    held.clear();
    wait::until("the places to be free", PATIENCE, || {
        gateway.metric("supportal_upstream_websockets") == 0.0
    });
    gateway.join("a").send_text("{}");
}

#[test]
fn one_address_has_its_share_of_the_places() {
    let site = Puppet::start(|request| echo(request, b""));
    let settings = [
        "http.upstream_websockets=3",
        "http.upstream_websockets_per_ip=2",
        "proxy.trusted=127.0.0.1",
        "proxy.header=x-forwarded-for",
    ];
    let gateway = before(&site, &settings);
    let open = |client: &str| {
        let line = format!("X-Forwarded-For: {client}\r\n");
        let mut stream = handshake(&gateway, &line, b"");
        let (answer, _rest) = read_response(&mut stream).expect("an answer");
        (answer.status, answer.text(), stream)
    };
    let one = [open("192.0.2.1"), open("192.0.2.1")];
    let (status, text, _stream) = open("192.0.2.1");
    assert_eq!(
        (status, text.as_str()),
        (429, "too many WebSockets from this address")
    );
    let other = open("192.0.2.2");
    assert_eq!([one[0].0, one[1].0, other.0], [101; 3]);
    assert_eq!(open("192.0.2.3").0, 503, "in all");
    drop(one);
    wait::until("the share to be free", PATIENCE, || {
        open("192.0.2.1").0 == 101
    });
}

#[test]
fn without_tls_they_are_refused_as_handshakes_are() {
    let site = Puppet::start(|request| echo(request, b""));
    let gateway = before(&site, &["http.require_tls=true"]);
    for path in ["/ws/custom/", "/ws/chat/1/a/"] {
        let refusal = gateway.try_connect(path).expect_err(path);
        assert_eq!(
            (refusal.status, refusal.text().as_str()),
            (403, "this address needs wss"),
            "{path}"
        );
    }
    assert_eq!(gateway.get("/page").status, 308);
    assert!(site.heads().is_empty());
}

#[test]
fn their_handshakes_and_bytes_are_counted_with_those_of_their_address() {
    let site = Puppet::start(|request| echo(request, b""));
    let settings = [
        "limits.address.handshakes_per_second=1",
        "limits.address.handshakes_burst=2",
        "limits.address.bytes_per_second=40000",
        "limits.address.bytes_burst=40000",
    ];
    let gateway = before(&site, &settings);
    let mut stream = handshake(&gateway, "", b"early");
    let (answer, early) = read_response(&mut stream).expect("an answer");
    assert_eq!(answer.status, 101);
    let mut chat = gateway.join("a");
    let refusal = gateway.try_connect("/ws/custom/").expect_err("the third");
    assert_eq!(
        (refusal.status, refusal.text().as_str()),
        (429, "too many at once")
    );
    let begun = wait::Watch::start();
    stream.write_all(&[b'x'; 120_000]).expect("sent");
    let mut rest = vec![0; 120_005 - early.len()];
    stream.read_exact(&mut rest).expect("all of it, later");
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(1_900), "{took:?}");
    // The address has nothing left for its chat.
    stream.write_all(&[b'x'; 60_000]).expect("sent");
    stream.read_exact(&mut [0; 40_000]).expect("as they come");
    chat.send_text(&user("hello"));
    assert_eq!(chat.receive_json()["error"], "Too many messages");
}

#[test]
fn at_the_end_of_a_drain_what_is_passed_through_ends_too() {
    let site = Puppet::start(|request| echo(request, b""));
    let gateway = before(&site, &["server.drain_grace=2s"]);
    let mut client =
        Client::open(gateway.public(), "/ws/custom/", &[]).expect("the site's WebSocket");
    let mut chat = gateway.join("a");
    gateway.signal(Signal::Term);
    let (code, _reason) = chat.expect_close();
    assert_eq!(code, 1012, "ours is told");
    // Still passed through. The site's echo is masked, as no server's frame is: only bytes are looked at.
    client.send_raw(b"\x81\x02hi");
    assert_eq!(client.receive(), Frame::Text("hi".to_owned()));
    client.expect_eof();
    assert_eq!(gateway.wait_exit(Duration::from_secs(15)), Some(0));
}
