//! What never reaches the log: texts, tokens, raw control bytes.

use crate::support::{Blow, Gateway, PATIENCE, Redis, Signal, frame, user, wait};
use std::time::Duration;

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

/// The part of the rooms' names that is their secret.
const ROOM: &str = "qwertz-room-8817";
/// How long a debug build on a busy machine may take to get over a fault.
const RECOVERY: Duration = Duration::from_secs(20);

fn session(name: &str) -> String {
    format!("{ROOM}-{name}")
}

/// A node of a bridge and of a Django site's channel layer, after everything that is worth a line in its log; the log.
fn log_of_a_bad_day(level: &str) -> String {
    let mut redis = Redis::start(&[]);
    // Keys of somebody else where a room's stream, and where its group, should be.
    let stream = format!("supportal:stream:{{chat_1_{}}}", session("stream"));
    redis.command(&["SET", &stream, SECRET]);
    let foreign = format!("supportal:stream:{{chat_1_{}}}", session("foreign"));
    redis.command(&["XADD", &foreign, "*", ROOM, SECRET]);
    let group = format!("asgi:group:chat_1_{}", session("group"));
    redis.command(&["SET", &group, SECRET]);
    let url = redis.url();
    let gateway = Gateway::start(&[
        &format!("log.level={level}"),
        "bridge.mode=streams",
        &format!("bridge.urls={url}"),
        "channels.enabled=true",
        &format!("channels.hosts={url}"),
        "channels.send_to=nobody",
        "assistant.kind=faq",
        "queue.overflow=disconnect",
        "queue.capacity=4",
        "limits.messages_per_second=0",
        "origin.allowed=*",
        "server.drain_grace=1s",
    ]);
    let is_up = || gateway.admin("/ready").text() == "ready\n";
    wait::until("Redis to be up", RECOVERY, is_up);
    for name in ["stream", "foreign", "group"] {
        let mut client = gateway.join(&session(name));
        client.send_text(&user(SECRET));
        client.receive_json();
    }
    poison(&redis, &gateway);
    let mut flooder = gateway.join(&session("slow"));
    let slow = gateway.join(&session("slow"));
    slow.shrink_receive_buffer(4096);
    let closed =
        || gateway.metric("supportal_connections_closed_total{reason=\"slow_reader\"}") > 0.0;
    wait::until("the slow reader to be closed", RECOVERY, || {
        flooder.try_send_raw(&text_frame(&user(&SECRET.repeat(500))));
        while flooder.receive_within(Duration::from_millis(20)).is_some() {}
        closed()
    });
    gateway.join(&session("rude")).send_raw(&frame(0x83, b""));
    for path in [
        format!("/ws/chat/1/{ROOM}%2f/?token={SECRET}"),
        format!("/ws/chat/x/{ROOM}/"),
    ] {
        assert!(gateway.try_connect(&path).is_err(), "{path}");
    }
    redis.blow(Blow::Kill);
    wait::until("Redis to be down", RECOVERY, || !is_up());
    redis.launch();
    wait::until("Redis to be up again", RECOVERY, is_up);
    let mut client = gateway.join(&session("stream"));
    client.send_text(&user(SECRET));
    client.receive_json();
    gateway.signal(Signal::Term);
    gateway.wait_exit(RECOVERY);
    gateway.unchecked().log()
}

fn text_frame(text: &str) -> Vec<u8> {
    frame(0x81, text.as_bytes())
}

/// What no node and no site sends, by the ways that reach this node.
fn poison(redis: &Redis, gateway: &Gateway) {
    let mut client = gateway.join(&session("poison"));
    client.send_text(&user(SECRET));
    client.receive_json();
    let channel = format!("supportal:room:chat_1_{}", session("poison"));
    redis.command(&["PUBLISH", &channel, &format!("{SECRET} {ROOM}")]);
    let group = format!("asgi:group:chat_1_{}", session("poison"));
    let mut members = Vec::new();
    wait::until("the room to be a group", RECOVERY, || {
        members = redis.command(&["ZRANGE", &group, "0", "-1"]).texts();
        !members.is_empty()
    });
    let (process, _) = members[0].split_once('!').expect("a channel of a process");
    redis.command(&[
        "ZADD",
        &format!("asgi{process}!"),
        "1",
        &format!("{SECRET}{ROOM}"),
    ]);
    let poisoned = || gateway.metric_sum("supportal_channels_poison_total") > 0.0;
    wait::until("the poison to be counted", RECOVERY, poisoned);
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn on_a_bad_day_the_log_names_no_room_and_quotes_nobody() {
    let log = log_of_a_bad_day("info");
    for line in [
        "Redis refuses a room's stream",
        "no message of this channel layer",
        "a group's key is in use",
        "the bridge is down",
        "the bridge is up",
    ] {
        assert!(
            log.contains(line),
            "the day was not bad enough: no `{line}` in\n{log}"
        );
    }
    for secret in [
        ROOM,
        SECRET,
        "chat_1_",
        &hex(ROOM),
        &hex(SECRET),
        &hex("chat_1_"),
    ] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}

#[test]
fn who_debugs_sees_the_names_of_rooms_and_still_no_word_said_in_them() {
    // `trace` is all that `debug` is, and more.
    let log = log_of_a_bad_day("trace");
    assert!(log.contains(&session("stream")), "no room in the log");
    for secret in [SECRET, &hex(SECRET)] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is in the log");
    }
}
