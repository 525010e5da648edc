//! What never reaches the log: texts, tokens, raw control bytes.

use crate::support::{Gateway, PATIENCE, frame, user, wait};

const SECRET: &str = "xyzzy-plugh-5309";

#[test]
fn no_text_no_token_and_no_control_byte_is_logged_at_any_level() {
    let gateway = Gateway::start(&["log.level=trace", "assistant.kind=faq"]);
    let mut client = gateway.connect_with(
        &format!("/ws/chat/1/logs/?token={SECRET}"),
        &[
            ("Authorization", &format!("Bearer {SECRET}")),
            ("Cookie", &format!("sessionid={SECRET}")),
            ("Sec-WebSocket-Protocol", SECRET),
            ("User-Agent", SECRET),
        ],
    );
    client.skip_welcome();
    client.send_text(&user(SECRET));
    client.receive_json();
    for broken in [
        SECRET.to_owned(),
        format!("{{\"message\": \"{SECRET}"),
        user("\u{1b}[31m\r\nfake line"),
    ] {
        client.send_text(&broken);
        client.receive_json();
    }
    client.send_raw(&frame(0x88, &[b"\x03\xe8", SECRET.as_bytes()].concat()));
    client.expect_close();
    for head in [
        "GET /\u{1b}[31m\u{7}evil HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /ws/chat/1/%0a%1b%5b31m/ HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        gateway.exchange(head.as_bytes());
    }
    let gone = || gateway.metric("supportal_connections") == 0.0;
    wait::until("the connection to leave", PATIENCE, gone);
    let log = gateway.log();
    assert!(
        !log.contains(SECRET),
        "a text or token is in the log:\n{log}"
    );
    assert!(!log.contains("fake line"), "a text is in the log:\n{log}");
    let raw = log
        .chars()
        .find(|character| character.is_control() && *character != '\n');
    assert_eq!(
        raw,
        None,
        "a raw control character in the log:\n{}",
        log.escape_debug()
    );
}

#[test]
fn json_lines_are_json() {
    let gateway = Gateway::start(&["log.level=debug"]);
    gateway.join("lines").send_raw(&frame(0x83, b""));
    gateway.exchange(b"nonsense\r\n\r\n");
    for line in gateway.log().lines() {
        let event = serde_json::from_str::<serde_json::Value>(line);
        assert!(
            event.is_ok_and(|event| event["level"].is_string()),
            "{line}"
        );
    }
}

#[test]
fn a_flood_of_violations_does_not_flood_the_log() {
    let gateway = Gateway::start(&["limits.connections_per_ip=0"]);
    let before = gateway.log().lines().count();
    for _number in 0..200 {
        let mut client = gateway.join("flood");
        client.send_raw(&frame(0x83, b""));
        client.expect_close();
    }
    let lines = gateway.log().lines().count() - before;
    assert!(
        lines < 20,
        "{lines} lines at the default level for 200 violations"
    );
}
