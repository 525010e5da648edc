//! The recorded Python consumer against the parser and the writer.

use serde_json::Value;

use super::{TEXT_BYTES_MAX, parse, written};
use crate::config::{Dialect, Exists};
use crate::protocol::{CommandKind, EventWriter, Rejected, Sender, Stamp, django};

/// Rows of the recording whose frames depend on more than the text that was sent.
const LEFT_OUT: &[(&str, &str)] = &[
    ("user_ai_null_content", "the recorded model's trigger words"),
    ("user_ai_http_400", "the recorded model's trigger words"),
    (
        "user_ai_http_500_retried",
        "the recorded model's trigger words",
    ),
    ("huge_16MiB_plus1", "a limit on frames, not on commands"),
    ("group_", "events from a channel layer belong to the bridge"),
    ("connect_double_leading_slash", "a matter of routing"),
];

fn text_of(sent: &Value) -> Option<String> {
    if let Some(text) = sent.as_str() {
        return Some(text.into());
    }
    if let Some(parts) = sent["fragments"].as_array() {
        return parts
            .iter()
            .map(|part| part.as_str().map(String::from))
            .collect();
    }
    let generated = sent.get("text_gen")?;
    let part = |key: &str| generated[key].as_str().unwrap_or_default();
    let count = usize::try_from(generated["count"].as_u64()?).ok()?;
    Some(part("prefix").to_owned() + &part("repeat").repeat(count) + part("suffix"))
}

/// The path's ids, percent-decoded.
fn ids_of(path: &str) -> Option<(String, String)> {
    let (business_id, session_id) = path
        .strip_prefix("/ws/chat/")?
        .strip_suffix('/')?
        .split_once('/')?;
    let mut bytes = Vec::new();
    let mut rest = session_id.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if let (b'%', [high, low, after @ ..]) = (first, tail) {
            let digits = String::from_utf8_lossy(&[*high, *low]).into_owned();
            bytes.push(u8::from_str_radix(&digits, 16).expect("hex"));
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    Some((business_id.into(), String::from_utf8(bytes).expect("UTF-8")))
}

fn existing() -> Vec<Exists> {
    let long = "L".repeat(92);
    let table: [(u64, &[&str]); 2] = [
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
                &long,
                "nl\n1",
                "a%2Fb",
                "semi;x=1",
                "hist-1",
                "grp-1",
                "conc-1",
                "pct%41",
            ],
        ),
        (3, &["inactive-biz"]),
    ];
    table
        .map(|(business_id, sessions)| Exists {
            business_id,
            sessions: sessions.iter().map(ToString::to_string).collect(),
        })
        .into()
}

/// Every frame the consumer would send, with the timestamp blotted out.
fn replay(business_id: &str, session_id: &str, sent: &[Value]) -> Vec<String> {
    let writer = EventWriter::new(Dialect::Django);
    let mut stamp = Stamp::new(1_795_379_571, 97_401);
    let join = django::join(&existing(), business_id, session_id);
    let mut frames = vec![written(|out| match join.error {
        Some(text) => writer.connection_error(out, text),
        None => writer.welcome(out, business_id, session_id, &stamp),
    })];
    for text in sent.iter().filter_map(text_of) {
        let mut payload = text.into_bytes();
        match parse(Dialect::Django, TEXT_BYTES_MAX, &mut payload) {
            Ok(command) if join.answers => {
                let event = command.event(stamp.moment());
                frames.push(written(|out| writer.event(out, &event, &mut stamp)));
                if command.kind == CommandKind::User {
                    frames.push(written(|out| {
                        writer.message(out, Sender::Assistant, "Canned answer.", &stamp);
                    }));
                }
            }
            Ok(command) => frames.push(written(|out| writer.error(out, command.failure()))),
            Err(Rejected::Error(code)) => frames.push(written(|out| writer.error(out, code))),
            Err(Rejected::Ignored) => {}
        }
    }
    let stamp = "2026-11-22 20:32:51.097401+00:00";
    frames
        .iter()
        .map(|frame| frame.replace(stamp, "<TS>"))
        .collect()
}

#[test]
fn the_recorded_consumer_is_reproduced_byte_for_byte() {
    let recording = include_str!("../../../tests/data/transcript.jsonl");
    let (mut replayed, mut left_out) = (0, 0);
    for line in recording.lines() {
        let row: Value = serde_json::from_str(line).expect("row");
        let case = row["case"].as_str().expect("case");
        if LEFT_OUT.iter().any(|(name, _)| case.starts_with(name)) || row["http"].is_object() {
            left_out += 1;
            continue;
        }
        let (business_id, session_id) = ids_of(row["path"].as_str().expect("path")).expect(case);
        let frames = replay(
            &business_id,
            &session_id,
            row["sent"].as_array().expect("sent"),
        );
        let recorded: Vec<String> = row["received_norm"]
            .as_array()
            .expect("received")
            .iter()
            .filter_map(text_of)
            .collect();
        assert_eq!(frames, recorded, "{case}");
        replayed += 1;
    }
    assert_eq!((replayed, left_out), (95, 25));
}
