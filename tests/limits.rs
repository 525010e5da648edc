//! Rates, caps, sizes and timeouts: each refuses or closes with its own code, and only the one who
//! asked for it.

use crate::support::{Canaries, Client, Frame, Gateway, PATIENCE, frame, http, user, wait};
use serde_json::json;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const PATH: &str = "/ws/chat/1/limits/";

#[test]
fn messages_above_the_rate_get_an_error_and_the_rest_of_the_room_goes_on() {
    let gateway = Gateway::start(&["limits.messages_per_second=1", "limits.messages_burst=5"]);
    let (mut fast, mut calm) = (gateway.join("rate"), gateway.join("rate"));
    for number in 0..8 {
        fast.send_text(&user(&number.to_string()));
    }
    let answers: Vec<_> = (0..8).map(|_index| fast.receive_json()).collect();
    let refused = answers
        .iter()
        .filter(|answer| answer["error"] == "Too many messages")
        .count();
    assert!((2..=3).contains(&refused), "{answers:?}");
    calm.send_text(&user("calm"));
    let heard = |client: &mut Client| loop {
        if client.receive_json()["message"] == "calm" {
            break;
        }
    };
    heard(&mut calm);
    heard(&mut fast);
    assert!(gateway.metric_sum("supportal_commands_refused_total") >= 2.0);
}

#[test]
fn tokens_come_back_with_time() {
    let gateway = Gateway::start(&["limits.messages_per_second=10", "limits.messages_burst=1"]);
    let mut client = gateway.join("tokens");
    client.send_text(&user("first"));
    assert_eq!(client.receive_json()["message"], "first");
    wait::until("a token to come back", PATIENCE, || {
        client.send_text(&user("again"));
        client.receive_json()["message"] == "again"
    });
}

#[test]
fn a_client_that_ignores_every_refusal_is_closed_with_4429() {
    let gateway = Gateway::start(&[
        "limits.messages_per_second=1",
        "limits.messages_burst=1",
        "limits.refusals=10",
    ]);
    let mut client = gateway.join("deaf");
    let message = frame(0x81, user("again").as_bytes());
    for _number in 0..50 {
        if !client.try_send_raw(&message) {
            break;
        }
    }
    assert_eq!(client.expect_close().0, 4429);
}

#[test]
fn connections_above_the_cap_of_one_address_get_429() {
    let gateway = Gateway::start(&["limits.connections_per_ip=3"]);
    let mut open: Vec<Client> = (0..3).map(|_index| gateway.join("cap")).collect();
    let refusal = gateway.try_connect(PATH).expect_err("the fourth");
    assert_eq!(refusal.status, 429);
    drop(open.pop());
    wait::until("the freed place", PATIENCE, || {
        gateway.try_connect(PATH).is_ok()
    });
    open[0].send_text(&user("untouched"));
    assert_eq!(open[0].receive_json()["message"], "untouched");
}

#[test]
fn connections_above_the_total_cap_get_503_and_when_to_come_back() {
    let gateway = Gateway::start(&["limits.connections=4"]);
    let open: Vec<Client> = (0..4).map(|_index| gateway.join("total")).collect();
    let refusal = gateway.try_connect(PATH).expect_err("the fifth");
    assert_eq!(refusal.status, 503);
    let seconds = refusal
        .header("retry-after")
        .and_then(|text| text.parse::<u32>().ok());
    assert!(
        seconds.is_some_and(|seconds| seconds >= 1),
        "{:?}",
        refusal.headers
    );
    drop(open);
    wait::until("room again", PATIENCE, || gateway.try_connect(PATH).is_ok());
}

/// Waits for the server to close a socket that completes no request.
fn closed_within(stream: &mut TcpStream, patience: Duration) -> bool {
    stream
        .set_read_timeout(Some(patience))
        .expect("read timeout");
    let mut bytes = [0; 1024];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return true,
            Ok(_answer) => {}
            Err(error) => return error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

#[test]
fn a_head_that_never_ends_is_closed_at_the_handshake_timeout() {
    let gateway = Gateway::start(&[
        "server.handshake_timeout=1s",
        "limits.connections_per_ip=0",
        "limits.messages_per_second=0",
    ]);
    let canaries = Canaries::start(&gateway);
    let watch = wait::Watch::start();
    let mut slow: Vec<TcpStream> = (0..200)
        .map(|_index| http::open(gateway.public()))
        .collect();
    for (index, stream) in slow.iter_mut().enumerate() {
        let start = [
            &b""[..],
            b"G",
            b"GET / HTTP/1.1\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nA",
        ];
        stream
            .write_all(start[index % start.len()])
            .expect("a start");
    }
    // A byte now and then does not move the deadline.
    while watch.elapsed() < Duration::from_millis(1_500) {
        for stream in slow.iter_mut().skip(3).step_by(4) {
            drop(stream.write_all(b"a"));
        }
        wait::pass(Duration::from_millis(50));
    }
    for stream in &mut slow {
        assert!(closed_within(stream, Duration::from_secs(3)), "still open");
    }
    canaries.finish();
}

#[test]
fn handshakes_in_progress_are_capped_and_the_place_comes_back() {
    let gateway = Gateway::start(&["limits.handshakes=4", "server.handshake_timeout=1s"]);
    let idle: Vec<TcpStream> = (0..20).map(|_index| http::open(gateway.public())).collect();
    let in_progress = || gateway.metric("supportal_handshakes_in_progress");
    assert!(in_progress() <= 4.0, "{}", in_progress());
    drop(idle);
    wait::until("a place again", PATIENCE, || {
        gateway.try_connect(PATH).is_ok()
    });
}

/// A valid upgrade request for `path` with more header lines.
fn request(path: &str, more: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    )
    .into_bytes()
}

#[track_caller]
fn status(gateway: &Gateway, bytes: &[u8]) -> u16 {
    gateway
        .exchange(bytes)
        .map_or(0, |response| response.status)
}

#[test]
fn too_many_or_too_long_headers_get_431() {
    let gateway = Gateway::start(&[]);
    let many = |count: usize| {
        (0..count)
            .map(|index| format!("X-{index}: 1\r\n"))
            .collect::<String>()
    };
    let long = |bytes: usize| format!("X-Long: {}\r\n", "x".repeat(bytes));
    // The valid request has five fields; the cap is 64.
    assert_eq!(status(&gateway, &request(PATH, &many(59))), 101);
    for more in [many(60), many(2_000), long(17 * 1024), long(100 * 1024)] {
        assert_eq!(
            status(&gateway, &request(PATH, &more)),
            431,
            "{} bytes",
            more.len()
        );
    }
    assert_eq!(status(&gateway, &request(PATH, &long(12 * 1024))), 101);
}

#[test]
fn a_flood_of_header_bytes_is_cut_off() {
    let gateway = Gateway::start(&[]);
    let answer = gateway.exchange(&request(PATH, &format!("X: {}\r\n", "x".repeat(4 << 20))));
    assert!(answer.is_none_or(|answer| answer.status == 431));
}

#[test]
fn a_target_above_the_limit_gets_414() {
    let gateway = Gateway::start(&[]);
    let with_query = |bytes: usize| format!("{PATH}?{}", "q".repeat(bytes - PATH.len() - 1));
    assert_eq!(status(&gateway, &request(&with_query(8_000), "")), 101);
    assert_eq!(status(&gateway, &request(&with_query(8_192), "")), 101);
    for bytes in [8_193, 12_000, 16_300, 16_400, 70_000, 1 << 20] {
        let answer = status(&gateway, &request(&with_query(bytes), ""));
        assert_eq!(answer, 414, "{bytes}");
    }
}

fn echo(limits: &str) -> (Gateway, Client) {
    let gateway = Gateway::start_with_toml(&format!(
        "[[routes]]\npath = \"/echo\"\nhandler = \"echo\"\n\n[chat]\ntext_bytes_max = 500\n\n[limits]\n{limits}\n"
    ));
    let client = gateway.connect("/echo");
    (gateway, client)
}

#[test]
fn a_message_is_legal_at_the_limit_and_1009_one_byte_above() {
    let (gateway, mut client) = echo("message_bytes = 1000");
    let exact = "x".repeat(1_000);
    client.send_text(&exact);
    assert_eq!(client.receive(), Frame::Text(exact.clone()));
    client.send_fragments(&[&"x".repeat(400), &"x".repeat(600)]);
    assert_eq!(client.receive(), Frame::Text(exact.clone()));
    client.send_text(&(exact + "x"));
    assert_eq!(client.expect_close().0, 1009);
    let mut client = gateway.connect("/echo");
    client.send_fragments(&[&"x".repeat(600), &"x".repeat(401)]);
    assert_eq!(client.expect_close().0, 1009);
    assert!(gateway.metric_sum("supportal_violations_total") >= 2.0);
}

#[test]
fn a_route_has_limits_of_its_own() {
    let gateway = Gateway::start_with_toml(
        "[[routes]]\npath = \"/small\"\nhandler = \"echo\"\nlimits.message_bytes = 100\n\
         [[routes]]\npath = \"/echo\"\nhandler = \"echo\"\n\
         [[routes]]\npath = \"/once/{id:int}\"\nhandler = \"relay\"\nlimits.messages_burst = 1\nlimits.refusals = 1\n\
         limits.messages_per_second = 1\n",
    );
    let (at_limit, above) = ("a".repeat(100), "a".repeat(101));
    let (mut small, mut plain) = (gateway.connect("/small"), gateway.connect("/echo"));
    small.send_text(&at_limit);
    assert_eq!(small.receive(), Frame::Text(at_limit));
    plain.send_text(&above);
    assert_eq!(plain.receive(), Frame::Text(above.clone()));
    small.send_text(&above);
    assert_eq!(small.expect_close().0, 1009);
    let mut once = gateway.connect("/once/7");
    for _ in 0..3 {
        once.send_text("again");
    }
    assert_eq!(once.receive(), Frame::Text("again".to_owned()));
    assert_eq!(once.expect_close().0, 4429);
}

#[test]
fn an_announced_length_is_refused_before_any_payload() {
    let (gateway, _client) = echo("message_bytes = 1000");
    for head in [
        &b"\x82\xfe\x03\xe9\0\0\0\0"[..],
        b"\x82\xff\0\0\0\0\x04\0\0\0\0\0\0\0",
        b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0",
    ] {
        let mut client = gateway.connect("/echo");
        client.send_raw(head);
        assert_eq!(client.expect_close().0, 1009, "{head:x?}");
    }
}

#[test]
fn fragments_are_counted_empty_ones_too() {
    let (gateway, mut client) = echo("fragments = 10");
    client.send_fragments(&["a"; 10]);
    assert_eq!(client.receive(), Frame::Text("a".repeat(10)));
    for fragment in ["a", ""] {
        let mut client = gateway.connect("/echo");
        client.send_raw(&frame(0x01, fragment.as_bytes()));
        for _number in 0..12 {
            if !client.try_send_raw(&frame(0x00, fragment.as_bytes())) {
                break;
            }
        }
        assert_eq!(
            client.expect_close().0,
            1008,
            "fragments of {} bytes",
            fragment.len()
        );
    }
}

#[test]
fn a_message_never_finished_is_closed_with_1008() {
    let (_gateway, mut client) = echo("message_timeout = \"500ms\"");
    client.send_raw(&frame(0x01, b"begun"));
    client.ping(b"alive");
    assert_eq!(client.receive(), Frame::Pong(b"alive".to_vec()));
    assert_eq!(client.expect_close().0, 1008);
}

#[test]
fn a_flood_of_pings_is_closed_with_1008_and_disturbs_nobody() {
    let gateway = Gateway::start(&["limits.pings_per_second=5", "limits.messages_per_second=0"]);
    let canaries = Canaries::start(&gateway);
    let mut client = gateway.join("pings");
    let flood = frame(0x89, b"p").repeat(200);
    while client.try_send_raw(&flood) && client.receive_within(Duration::ZERO).is_none() {}
    assert_eq!(client.expect_close().0, 1008);
    canaries.finish();
}

#[test]
fn unasked_pongs_are_ignored() {
    let gateway = Gateway::shared();
    let mut client = gateway.join("pongs");
    for _number in 0..50 {
        client.send_raw(&frame(0x8a, b"unasked"));
    }
    client.send_text(&user("after"));
    assert_eq!(client.receive_json()["message"], "after");
}

#[test]
fn a_silent_connection_is_pinged_and_closed_when_it_does_not_answer() {
    let gateway = Gateway::start(&["server.ping_interval=300ms", "server.ping_timeout=300ms"]);
    let mut answers = gateway.join("answers");
    let mut silent = gateway.join("silent");
    for _number in 0..3 {
        match answers.receive() {
            Frame::Ping(payload) => answers.send_raw(&frame(0x8a, &payload)),
            other => panic!("expected a ping, got {other:?}"),
        }
    }
    assert!(matches!(silent.receive(), Frame::Ping(_)));
    silent.expect_eof();
    answers.send_text(&user("alive"));
    assert_eq!(answers.receive_json()["message"], "alive");
}

#[test]
fn a_text_is_legal_at_its_limit_and_an_error_above() {
    let gateway = Gateway::start(&["chat.text_bytes_max=10"]);
    let mut client = gateway.join("text");
    client.send_text(&user("ééééé"));
    assert_eq!(client.receive_json()["message"], "ééééé");
    client.send_text(&user("éééééx"));
    assert_eq!(
        client.receive_json(),
        json!({ "error": "Message too long", "sender": "system" })
    );
}
