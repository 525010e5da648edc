//! The recorded Python consumer against the real server, byte for byte.
//!
//! `tests/data/transcript.jsonl` holds what `django_supportal` 1.0.2 answered under uvicorn with
//! the in-memory layer, SQLite and a model that always says `Canned answer.`; timestamps read
//! `<TS>`. Not for parser and writer alone: `src/protocol/tests/replay.rs` replays those.

use std::collections::HashSet;
use std::fmt::Write as _;

use serde_json::Value;

use crate::support::{Client, Frame, Gateway};

/// Rows that are not replayed, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    (
        "connect_double_leading_slash",
        "paths are compared exactly here: 404",
    ),
    (
        "user_ai_null_content",
        "needs the recorded model's trigger word",
    ),
    (
        "user_ai_http_400",
        "needs the recorded model's trigger word",
    ),
    (
        "user_ai_http_500_retried",
        "needs the recorded model's trigger word",
    ),
    (
        "user_slow_then_system",
        "needs the recorded model's trigger word",
    ),
    (
        "huge_16MiB_plus1",
        "uvicorn's limit; ours is limits.message_bytes, tested with the limits",
    ),
    ("group_unknown_type_chat_message", "needs a channel layer"),
    ("group_no_type", "needs a channel layer"),
    ("group_type_nonstring", "needs a channel layer"),
    ("group_type_send_error_message", "needs a channel layer"),
    ("group_type_websocket.receive_text", "needs a channel layer"),
    ("group_type_websocket.send", "needs a channel layer"),
    ("group_type_websocket.disconnect", "needs a channel layer"),
    ("group_type_websocket.connect", "needs a channel layer"),
    ("group_type_close", "needs a channel layer"),
    ("group_type_handle.user.message", "needs a channel layer"),
    ("group_type_handle.system.message", "needs a channel layer"),
    ("group_type_accept", "needs a channel layer"),
    ("group_type_scope_attr", "needs a channel layer"),
    ("group_name_invalid", "needs a channel layer"),
    ("group_other_group_not_delivered", "needs a channel layer"),
    ("group_reserved_key", "needs a channel layer"),
];

/// Rows whose frames match but which end on purpose otherwise than recorded.
const CLOSED_OTHERWISE: &[(&str, u16)] = &[
    // The consumer crashes on a binary frame and uvicorn drops the connection (1006).
    ("binary_json", 1003),
    ("binary_after_missing_session", 1003),
];

/// What the recording's database held.
const EXISTS: &[(u64, &[&str])] = &[
    (
        1,
        &[
            "session-123",
            "inactive-1",
            "sess:1",
            "sess 1",
            "sess@1",
            "sessão",
            "sess.dot_1-x",
            concat!(
                "LLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLL",
                "LLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLL"
            ),
            "nl\n1",
            "a%2Fb",
            "semi;x=1",
            "hist-1",
            "grp-1",
            "conc-1",
            "pct%41",
        ],
    ),
    (2, &["other-1"]),
    (3, &["inactive-biz"]),
];

/// Python has none of these limits; they are as wide as the longest row needs.
const SETTINGS: &str = r#"
[chat]
dialect = "django"
deliver = "sender"
text_bytes_max = 2097152

[queue]
bytes_max = 8388608

[limits]
uri_bytes = 8192
message_bytes = 2097152
messages_per_second = 0
bytes_per_second = 0
"#;

struct Row(Value);

impl Row {
    fn all() -> Vec<Self> {
        include_str!("data/transcript.jsonl")
            .lines()
            .map(|line| Self(serde_json::from_str(line).expect("a row of the recording")))
            .collect()
    }

    fn text(&self, key: &str) -> &str {
        self.0[key].as_str().expect("a string")
    }

    fn case(&self) -> &str {
        self.text("case")
    }

    fn list(&self, key: &str) -> &[Value] {
        self.0[key].as_array().map_or(&[], Vec::as_slice)
    }

    fn is_left_out(&self) -> bool {
        LEFT_OUT.iter().any(|(case, _)| *case == self.case())
    }

    /// The code the server closes with, or answers the client's close with.
    fn close_code(&self) -> u16 {
        let other = CLOSED_OTHERWISE
            .iter()
            .find(|(case, _)| *case == self.case());
        let recorded = self.0["close"][0].as_u64();
        other.map_or_else(
            || {
                recorded
                    .and_then(|code| u16::try_from(code).ok())
                    .expect("a close code")
            },
            |(_, code)| *code,
        )
    }

    /// Does the row end by what the client sent, rather than by a close of a client that is done?
    fn ends_itself(&self) -> bool {
        let closes = |sent: &Value| sent["close"].is_array() || sent["binary_hex"].is_string();
        self.list("sent").iter().any(closes)
    }
}

/// A text, written out or described by its repetition.
fn expand(text: &Value) -> Option<String> {
    if let Some(text) = text.as_str() {
        return Some(text.into());
    }
    let generated = text.get("text_gen")?;
    let part = |key: &str| generated[key].as_str().unwrap_or_default();
    let count = usize::try_from(generated["count"].as_u64()?).ok()?;
    Some(part("prefix").to_owned() + &part("repeat").repeat(count) + part("suffix"))
}

fn unhex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| {
            let pair = std::str::from_utf8(pair).expect("ASCII");
            u8::from_str_radix(pair, 16).expect("hexadecimal digits")
        })
        .collect()
}

fn send(client: &mut Client, sent: &Value) {
    if let Some(text) = expand(sent) {
        client.send_text(&text);
    } else if let Some(digits) = sent["binary_hex"].as_str() {
        client.send_binary(&unhex(digits));
    } else if let Some(fragments) = sent["fragments"].as_array() {
        let fragments: Vec<&str> = fragments.iter().filter_map(Value::as_str).collect();
        client.send_fragments(&fragments);
    } else if let Some([code, reason]) = sent["close"].as_array().map(Vec::as_slice) {
        let code = code.as_u64().and_then(|code| u16::try_from(code).ok());
        client.send_close(code.expect("a code"), reason.as_str().expect("a reason"));
    } else {
        panic!("nothing here sends {sent}");
    }
}

/// The frame with its timestamp, if it is written as Python writes it, replaced by `<TS>`.
fn blot(frame: &str) -> String {
    const KEY: &str = "\"timestamp\": \"";
    let Some((head, tail)) = frame.rsplit_once(KEY) else {
        return frame.into();
    };
    let (stamp, end) = tail.split_once('"').unwrap_or((tail, ""));
    let shape: String = stamp
        .chars()
        .map(|character| {
            if character.is_ascii_digit() {
                '0'
            } else {
                character
            }
        })
        .collect();
    let known = [
        "0000-00-00 00:00:00.000000+00:00",
        "0000-00-00 00:00:00+00:00",
    ];
    let stamp = if known.contains(&shape.as_str()) {
        "<TS>"
    } else {
        stamp
    };
    format!("{head}{KEY}{stamp}\"{end}")
}

fn start() -> (Gateway, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let knowledge = folder.path().join("faq.toml");
    // What nobody asks, so that every question gets the answer the recorded model gave.
    let entry = "[[entry]]\nquestion = \"zyzzyva\"\nanswer = \"A weevil.\"\n";
    std::fs::write(
        &knowledge,
        format!("unknown = \"Canned answer.\"\n\n{entry}"),
    )
    .expect("the knowledge file");

    let mut settings = String::from(SETTINGS);
    write!(
        settings,
        "\n[assistant]\nkind = \"faq\"\nknowledge = {knowledge:?}\n"
    )
    .expect("written to a string");
    for (business_id, sessions) in EXISTS {
        let sessions = Value::from(*sessions);
        write!(
            settings,
            "\n[[chat.exists]]\nbusiness_id = {business_id}\nsessions = {sessions}\n"
        )
        .expect("written to a string");
    }
    (Gateway::start_with_toml(&settings), folder)
}

/// Replays one row; returns what differs.
fn replay(gateway: &Gateway, row: &Row) -> Result<(), String> {
    let headers: &[(&str, &str)] = match row.case() {
        "connect_subprotocol_offered" => &[("Sec-WebSocket-Protocol", "chat, v2")],
        "connect_permessage_deflate" => &[("Sec-WebSocket-Extensions", "permessage-deflate")],
        _ => &[],
    };
    let connected = gateway.try_connect_with(row.text("path"), headers);
    if row.0["http"].is_object() {
        // Recorded is a 500, an exception in the router; here it is a plain answer.
        return match connected {
            Err(refusal) if refusal.status == 404 || row.case() == "connect_root" => Ok(()),
            Err(refusal) => Err(format!("refused with {}", refusal.status)),
            Ok(_) => Err("accepted".into()),
        };
    }
    let mut client = connected.map_err(|refusal| format!("refused with {}", refusal.status))?;
    for sent in row.list("sent") {
        send(&mut client, sent);
    }
    for expected in row.list("received_norm").iter().filter_map(expand) {
        let frame = blot(&client.receive_text());
        if frame != expected {
            return Err(format!(
                "\n  expected {expected:.300}\n  received {frame:.300}"
            ));
        }
    }
    if !row.ends_itself() {
        // What the server says unasked would come before the pong.
        client.ping(b"done");
        match client.receive() {
            Frame::Pong(payload) if payload == b"done" => {}
            other => return Err(format!("one frame too many: {other:?}")),
        }
        client.send_close(1000, "");
    }
    let (code, _) = client.expect_close();
    let expected = row.close_code();
    if code == expected {
        Ok(())
    } else {
        Err(format!("closed with {code}, expected {expected}"))
    }
}

#[test]
fn the_recorded_consumer_and_the_server_send_the_same_frames() {
    let (gateway, _folder) = start();
    let mut faults = String::new();
    for row in Row::all().iter().filter(|row| !row.is_left_out()) {
        if let Err(fault) = replay(&gateway, row) {
            writeln!(faults, "{}: {fault}", row.case()).expect("written to a string");
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
}

#[test]
fn every_recorded_row_is_replayed_or_left_out_with_a_reason() {
    let rows = Row::all();
    let cases: HashSet<&str> = rows.iter().map(Row::case).collect();
    assert_eq!(cases.len(), rows.len(), "a case is recorded twice");
    let left_out: HashSet<&str> = LEFT_OUT.iter().map(|(case, _)| *case).collect();
    assert_eq!(left_out.len(), LEFT_OUT.len(), "a row is left out twice");
    for (case, reason) in LEFT_OUT {
        assert!(cases.contains(case), "{case} is not in the recording");
        assert!(!reason.is_empty(), "{case} has no reason");
    }
    for (case, _) in CLOSED_OTHERWISE {
        assert!(cases.contains(case) && !left_out.contains(case), "{case}");
    }
    assert_eq!((rows.len(), LEFT_OUT.len()), (120, 22));
}

#[test]
fn only_timestamps_as_python_writes_them_are_blotted_out() {
    let frame = |stamp: &str| format!(r#"{{"message": "x", "timestamp": "{stamp}"}}"#);
    for stamp in [
        "2026-11-22 20:32:51.097401+00:00",
        "2024-01-01 12:00:00+00:00",
    ] {
        assert_eq!(blot(&frame(stamp)), frame("<TS>"));
    }
    for stamp in ["2024-01-01T12:00:00Z", "2024-01-01 12:00:00.1+00:00", ""] {
        assert_eq!(blot(&frame(stamp)), frame(stamp));
    }
}
