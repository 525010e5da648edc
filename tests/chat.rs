//! The chat contract of the guide, as a client sees it.

use crate::support::{Client, Gateway, user};
use serde_json::{Value, json};
use std::time::Duration;

/// Nothing else may arrive for this long.
const QUIET: Duration = Duration::from_millis(300);

/// `2024-01-01T12:00:00Z`: RFC 3339, UTC, whole seconds.
fn is_timestamp(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    text.len() == 20
        && text
            .bytes()
            .zip(b"dddd-dd-ddTdd:dd:ddZ")
            .all(|(byte, form)| match form {
                b'd' => byte.is_ascii_digit(),
                form => byte == *form,
            })
}

#[track_caller]
fn assert_event(event: &Value, message: &str, sender: &str) {
    assert_eq!(event["message"], message, "{event}");
    assert_eq!(event["sender"], sender, "{event}");
    assert!(is_timestamp(&event["timestamp"]), "{event}");
    assert_eq!(
        event.as_object().map(serde_json::Map::len),
        Some(3),
        "extra keys: {event}"
    );
}

#[track_caller]
fn assert_error(client: &mut Client, error: &str) {
    assert_eq!(
        client.receive_json(),
        json!({ "error": error, "sender": "system" })
    );
}

#[test]
fn the_first_frame_says_what_was_joined() {
    let gateway = Gateway::shared();
    let mut client = gateway.connect("/ws/chat/42/session-123/");
    let welcome = client.receive_json();
    assert_eq!(welcome["sender"], "system");
    let message = welcome["message"].as_str().expect("a message");
    assert!(
        message.contains("42") && message.contains("session-123"),
        "{message}"
    );
}

#[test]
fn without_welcome_the_first_frame_is_the_first_message() {
    let gateway = Gateway::start(&["chat.welcome=false"]);
    let mut client = gateway.connect("/ws/chat/1/quiet/");
    client.send_text(&user("first"));
    assert_event(&client.receive_json(), "first", "user");
}

#[test]
fn a_user_message_comes_back_to_its_sender() {
    let gateway = Gateway::shared();
    let mut client = gateway.join("echo");
    client.send_text(r#"{"message": "Hello, I need help with my order", "type": "user"}"#);
    assert_event(
        &client.receive_json(),
        "Hello, I need help with my order",
        "user",
    );
}

#[test]
fn a_message_without_type_is_a_user_message() {
    let gateway = Gateway::shared();
    let mut client = gateway.join("untyped");
    client.send_text(r#"{"message": "plain"}"#);
    assert_event(&client.receive_json(), "plain", "user");
}

#[test]
fn a_system_message_keeps_its_text_and_says_system() {
    let gateway = Gateway::shared();
    let mut client = gateway.join("system");
    client.send_text(r#"{"message": "agent joined", "type": "system"}"#);
    assert_event(&client.receive_json(), "agent joined", "system");
}

#[test]
fn two_members_of_a_room_see_each_other() {
    let gateway = Gateway::shared();
    let (mut one, mut two) = (gateway.join("pair"), gateway.join("pair"));
    one.send_text(&user("from one"));
    for member in [&mut one, &mut two] {
        assert_event(&member.receive_json(), "from one", "user");
    }
    two.send_text(&user("from two"));
    for member in [&mut one, &mut two] {
        assert_event(&member.receive_json(), "from two", "user");
    }
}

#[test]
fn deliver_sender_answers_only_the_sender() {
    let gateway = Gateway::start(&["chat.deliver=sender"]);
    let (mut one, mut two) = (gateway.join("package"), gateway.join("package"));
    one.send_text(&user("mine"));
    assert_event(&one.receive_json(), "mine", "user");
    assert!(two.is_quiet_for(QUIET), "another member heard it");
}

#[test]
fn every_error_has_the_guides_form_and_leaves_the_connection_open() {
    let gateway = Gateway::start(&["chat.text_bytes_max=100"]);
    let mut client = gateway.join("errors");
    let long = user(&"x".repeat(101));
    let table = [
        ("", "Empty message received"),
        ("  \t\r\n ", "Empty message received"),
        ("hello", "Invalid message format"),
        ("{", "Invalid message format"),
        (r#"{"message": "a",}"#, "Invalid message format"),
        (r#"{"message": "a"} x"#, "Invalid message format"),
        ("{}", "Missing required field in message"),
        (r#"{"type": "user"}"#, "Missing required field in message"),
        (
            r#"{"message": "a", "type": "assistant"}"#,
            "Unknown message type",
        ),
        (
            r#"{"message": "a", "type": "USER"}"#,
            "Unknown message type",
        ),
        (&long, "Message too long"),
    ];
    for (sent, error) in table {
        client.send_text(sent);
        assert_error(&mut client, error);
    }
    client.send_text(&user("still here"));
    assert_event(&client.receive_json(), "still here", "user");
}

#[test]
fn hostile_json_gets_an_error_and_nothing_else() {
    let gateway = Gateway::shared();
    let mut client = gateway.join("hostile-json");
    let table = [
        "[".repeat(60_000),
        "{\"a\":".repeat(10_000),
        format!(r#"{{"message": {}}}"#, "9".repeat(60_000)),
        r#"{"message": 1e999999}"#.to_owned(),
        r#"{"message": NaN}"#.to_owned(),
        "\u{feff}{\"message\": \"bom\"}".to_owned(),
        "{\"message\": \"raw \u{1} control\"}".to_owned(),
        r#"{"message": "bad escape \q"}"#.to_owned(),
        "\0".to_owned(),
    ];
    for sent in &table {
        client.send_text(sent);
        let answer = client.receive_json();
        let start: String = sent.chars().take(40).collect();
        assert!(answer["error"].is_string(), "{start} got {answer}");
    }
    client.send_text(&user("still here"));
    assert_event(&client.receive_json(), "still here", "user");
}

#[test]
fn only_the_sender_sees_its_error() {
    let gateway = Gateway::shared();
    let (mut one, mut two) = (gateway.join("private-error"), gateway.join("private-error"));
    one.send_text("nonsense");
    assert_error(&mut one, "Invalid message format");
    assert!(two.is_quiet_for(QUIET));
}

#[test]
fn text_of_every_kind_arrives_unchanged() {
    let gateway = Gateway::shared();
    let mut client = gateway.join("texts");
    let table = [
        "áéíóú ß œ",
        "日本語 العربية עברית",
        "🙂👩‍👩‍👧‍👦🏳️‍🌈",
        "\u{10ffff}\u{e000}\u{200b}\u{feff}",
        "quote \" backslash \\ slash / tab \t newline \n return \r",
        "\u{0}\u{1}\u{1f}\u{7f}",
        "<script>alert('x')</script> & \u{2028}\u{2029}",
        "'; DROP TABLE rooms; -- %s %n {0} ${x} \u{1b}[31m",
        " leading and trailing ",
    ];
    for text in table {
        client.send_text(&user(text));
        assert_event(&client.receive_json(), text, "user");
    }
}

#[test]
fn escaped_and_literal_characters_mean_the_same() {
    let gateway = Gateway::shared();
    let mut client = gateway.join("escapes");
    client.send_text(r#"{"message": "\u00e9\ud83d\ude42\/\b\f", "type": "\u0075ser"}"#);
    assert_event(&client.receive_json(), "é🙂/\u{8}\u{c}", "user");
}

#[test]
fn a_long_text_arrives_whole() {
    let gateway = Gateway::shared();
    let (mut one, mut two) = (gateway.join("long"), gateway.join("long"));
    let text = "long ".repeat(6_000);
    one.send_text(&user(&text));
    for member in [&mut one, &mut two] {
        assert_event(&member.receive_json(), &text, "user");
    }
}

#[test]
fn unknown_keys_are_ignored_and_never_echoed() {
    let gateway = Gateway::shared();
    let mut client = gateway.join("keys");
    client.send_text(
        r#"{"sender": "assistant", "room": "chat_9_9", "message": "m", "timestamp": "x", "error": 1}"#,
    );
    assert_event(&client.receive_json(), "m", "user");
}

#[test]
fn rooms_do_not_hear_each_other() {
    let gateway = Gateway::shared();
    let paths = [
        "/ws/chat/1/iso/",
        "/ws/chat/2/iso/",
        "/ws/chat/1/iso2/",
        "/ws/chat/11/so/",
    ];
    let mut clients = paths.map(|path| {
        let mut client = gateway.connect(path);
        client.skip_welcome();
        client
    });
    for (index, path) in paths.iter().enumerate() {
        clients[index].send_text(&user(path));
    }
    for (client, path) in clients.iter_mut().zip(paths) {
        assert_event(&client.receive_json(), path, "user");
        assert!(
            client.is_quiet_for(Duration::from_millis(100)),
            "{path} heard another room"
        );
    }
}

#[test]
fn a_member_that_left_hears_nothing_and_disturbs_nobody() {
    let gateway = Gateway::shared();
    let mut stays = gateway.join("leave");
    let mut leaves = gateway.join("leave");
    leaves.send_close(1000, "bye");
    assert_eq!(leaves.expect_close().0, 1000);
    leaves.expect_eof();
    stays.send_text(&user("alone"));
    assert_event(&stays.receive_json(), "alone", "user");
}

#[test]
fn all_members_see_one_order_and_each_publishers_own() {
    const PUBLISHERS: usize = 4;
    const EACH: usize = 250;
    let gateway = Gateway::start(&[
        "limits.messages_per_second=0",
        "limits.bytes_per_second=0",
        "queue.capacity=2000",
        "queue.bytes_max=4194304",
        "broker.spread_above=2",
        "server.workers=4",
    ]);
    let mut members: Vec<Client> = (0..PUBLISHERS + 2)
        .map(|_index| gateway.join("order"))
        .collect();
    for number in 0..EACH {
        for (publisher, member) in members.iter_mut().take(PUBLISHERS).enumerate() {
            member.send_text(&user(&format!("{publisher} {number}")));
        }
    }
    let mut orders = members.iter_mut().map(|member| {
        let texts = (0..PUBLISHERS * EACH).map(|_index| {
            member.receive_json()["message"]
                .as_str()
                .expect("a message")
                .to_owned()
        });
        texts.collect::<Vec<String>>()
    });
    let first = orders.next().expect("a member");
    for order in orders {
        assert!(order == first, "two members of one room saw two orders");
    }
    for publisher in 0..PUBLISHERS {
        let prefix = format!("{publisher} ");
        let own = first
            .iter()
            .filter_map(|text| text.strip_prefix(&prefix)?.parse::<usize>().ok());
        assert!(own.eq(0..EACH), "publisher {publisher} out of order");
    }
}

#[test]
fn a_room_larger_than_one_worker_gets_everything() {
    let gateway = Gateway::start(&["broker.spread_above=4", "server.workers=2"]);
    let mut members: Vec<Client> = (0..40).map(|_index| gateway.join("large")).collect();
    for number in 0..10 {
        members[number].send_text(&user(&number.to_string()));
        for member in &mut members {
            assert_event(&member.receive_json(), &number.to_string(), "user");
        }
    }
}

#[test]
fn a_binary_message_is_refused_with_1003() {
    let gateway = Gateway::shared();
    let mut client = gateway.join("binary");
    client.send_binary(br#"{"message": "a"}"#);
    assert_eq!(client.expect_close().0, 1003);
    client.expect_eof();
}
