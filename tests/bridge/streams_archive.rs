//! `archive.mode = "streams"`: what all rooms said, from any node, in the step in which Redis took it.

use super::streams::{read, stream_node};
use super::*;
use crate::archive::speak_until_gone;
use crate::support::Signal;
use crate::support::http::{self, Response};
use crate::support::redis::Reply;
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::HashMap;
use std::thread;

const TOKEN: &str = "token-of-the-tests-0123456789";
const KEPT: [&str; 2] = [
    "archive.mode=streams",
    "api.token=token-of-the-tests-0123456789",
];

#[track_caller]
pub(super) fn node_with(redis: &Redis, settings: &[&str]) -> Gateway {
    stream_node(redis, &[KEPT.as_slice(), settings].concat())
}

/// The answer to a reader.
#[track_caller]
pub(super) fn answer(node: &Gateway, query: &str) -> Response {
    let request = format!(
        "GET /api/archive{query} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    );
    http::exchange(node.public(), request.as_bytes()).expect("an answer")
}

#[track_caller]
pub(super) fn page(node: &Gateway, query: &str) -> Vec<Value> {
    let response = answer(node, query);
    let text = response.text();
    assert_eq!(response.status, 200, "{text}");
    let lines = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    lines.collect()
}

pub(super) fn text<'l>(line: &'l Value, name: &str) -> &'l str {
    line[name].as_str().unwrap_or_default()
}

/// All there is, page by page, as the cursors lead.
#[track_caller]
pub(super) fn read_all(node: &Gateway, limit: usize) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let after = all.last().map_or_else(String::new, |line| {
            format!("&after={}", text(line, "cursor"))
        });
        let lines = page(node, &format!("?limit={limit}{after}"));
        if lines.is_empty() {
            return all;
        }
        all.extend(lines);
    }
}

#[test]
fn every_node_gives_what_all_said_once_and_each_room_in_its_order() {
    const EACH: usize = 50;
    let redis = Redis::start(&[]);
    let nodes = [(); 2].map(|()| node_with(&redis, &[]));
    let mut members: Vec<Client> = Vec::new();
    for node in &nodes {
        members.extend(["a", "b"].map(|room| node.join(room)));
    }
    for number in 0..EACH {
        for (speaker, member) in members.iter_mut().enumerate() {
            say(member, &format!("{speaker} {number}"));
        }
    }
    let heard = [0, 1].map(|room| read(&mut members[room], 2 * EACH));
    let body = r#"{"room": "chat_2_nobody", "message": "for later", "sender": "assistant", "id": "order-17", "meta": {"order": 17}}"#;
    let request = format!(
        "POST /api/publish HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let published = nodes[0].exchange(request.as_bytes()).expect("an answer");
    assert_eq!(published.status, 200);
    wait::until("all is kept", RECOVERY, || {
        read_all(&nodes[1], 1000).len() > 4 * EACH
    });
    let lines = read_all(&nodes[0], 1000);
    assert_eq!(lines.len(), 4 * EACH + 1);
    for limit in [1, 7] {
        assert_eq!(read_all(&nodes[1], limit), lines);
    }
    for (room, heard) in ["chat_1_a", "chat_1_b"].into_iter().zip(heard) {
        let lines: Vec<_> = lines.iter().filter(|line| line["room"] == room).collect();
        let said: Vec<_> = lines.iter().map(|line| text(line, "message")).collect();
        assert_eq!(said, heard, "as the members saw it");
        let offsets = lines.iter().map(|line| line["offset"].as_u64());
        assert!(offsets.eq((1..=2 * EACH as u64).map(Some)));
        assert!(
            lines
                .windows(2)
                .all(|pair| text(pair[0], "at") < text(pair[1], "at")
                    && pair[0]["epoch"] == pair[1]["epoch"])
        );
    }
    let mut last = lines.last().expect("a line").clone();
    for name in ["cursor", "epoch", "at", "accepted"] {
        assert!(!last[name].take().is_null(), "{name}");
    }
    let expected = json!({
        "cursor": null, "room": "chat_2_nobody", "business_id": 2, "session_id": "nobody", "epoch": null, "offset": 1,
        "id": "order-17", "author": null, "sender": "assistant", "message": "for later", "meta": {"order": 17},
        "origin": "api", "at": null, "accepted": null,
    });
    assert_eq!(last, expected);
}

#[test]
fn rooms_of_several_redis_are_all_found_and_a_cursor_has_a_place_in_each() {
    let several = [Redis::start(&[]), Redis::start(&[])];
    let urls = format!("bridge.urls={},{}", several[0].url(), several[1].url());
    let node = node_with(&several[0], &[&urls]);
    for room in 0..20 {
        let mut member = node.join(&format!("room{room}"));
        say(&mut member, &room.to_string());
        read(&mut member, 1);
    }
    wait::until("all is kept", RECOVERY, || {
        read_all(&node, 1000).len() >= 20
    });
    let lines = read_all(&node, 3);
    let mut rooms: Vec<_> = lines.iter().map(|line| text(line, "room")).collect();
    rooms.sort_unstable();
    rooms.dedup();
    assert_eq!((lines.len(), rooms.len()), (20, 20));
    for redis in &several {
        assert_ne!(
            redis.command(&["XLEN", "supportal:archive"]),
            Reply::Number(0)
        );
    }
    assert_eq!(text(&lines[0], "cursor").len(), 96);
    for (cursor, status) in [("abc", 400), ("", 400), (&"0".repeat(48), 409)] {
        let query = format!("?after={cursor}");
        assert_eq!(answer(&node, &query).status, status, "{cursor}");
    }
}

#[test]
fn who_waits_is_answered_and_how_far_a_reader_is_behind_is_in_the_metrics() {
    let redis = Redis::start(&[]);
    let node = node_with(&redis, &[]);
    let mut ann = node.join("abc");
    say(&mut ann, "first");
    read(&mut ann, 1);
    let first = page(&node, "?wait=30s");
    let after = format!("?reader=rows&after={}", text(&first[0], "cursor"));
    let lines = thread::scope(|scope| {
        let reader = scope.spawn(|| page(&node, &format!("{after}&wait=30s")));
        say(&mut ann, "second");
        reader.join().expect("a page")
    });
    assert_eq!((lines.len(), text(&lines[0], "message")), (1, "second"));
    let lag = |unit: &str| node.metric(&format!("supportal_archive_lag{unit}{{reader=\"rows\"}}"));
    assert!((lag("") - 1.0).abs() < 0.1 && lag("_seconds") > 0.0);
}

#[test]
fn what_was_removed_before_it_was_read_is_one_exact_gap_and_a_lost_archive_one_without_a_number() {
    let redis = Redis::start(&[]);
    let node = node_with(&redis, &["archive.expiry=1s"]);
    let mut ann = node.join("abc");
    let said = Cell::new(0);
    let speak = |ann: &mut Client| {
        said.set(said.get() + 1);
        say(ann, &said.get().to_string());
        read(ann, 1);
        said.get()
    };
    speak(&mut ann);
    let first = page(&node, "?wait=30s");
    let after = format!("?limit=10000&after={}", text(&first[0], "cursor"));
    let mut lines = Vec::new();
    wait::until("some are too old", RECOVERY, || {
        let last = speak(&mut ann);
        lines = page(&node, &after);
        let newest = lines
            .last()
            .is_some_and(|line| text(line, "message").parse() == Ok(last));
        newest && !lines[0]["gap"].is_null()
    });
    let told = lines[0]["gap"].as_u64().expect("a number") as usize + lines.len() - 1;
    assert_eq!(told + 1, said.get());
    let left = page(
        &node,
        &format!("?limit=10000&after={}", text(&lines[0], "cursor")),
    );
    assert_eq!(left.last(), lines.last());
    // Who begins has missed the first too. What becomes too old meanwhile is in the number.
    let begun = page(&node, "?limit=10000");
    let told = begun[0]["gap"].as_u64().expect("a number") as usize + begun.len() - 1;
    assert_eq!(told, said.get());
    redis.command(&["FLUSHALL"]);
    speak(&mut ann);
    let lines = page(&node, &after);
    assert!(lines[0]["gap"].is_null() && lines[0].as_object().expect("an object").len() == 2);
    assert_eq!(
        (lines.len(), text(&lines[1], "message")),
        (2, said.get().to_string().as_str())
    );
}

#[test]
fn the_archive_stays_within_its_bytes_and_goes_when_nobody_speaks() {
    const BYTES_MAX: i64 = 16 * 1024 * 1024;
    let redis = Redis::start(&[]);
    let node = node_with(
        &redis,
        &["archive.bytes_max=16777216", "history.capacity=1"],
    );
    let mut ann = node.join("abc");
    let long = "x".repeat(30_000);
    for _ in 0..700 {
        say(&mut ann, &long);
        read(&mut ann, 1);
    }
    let number = |command: &[&str]| match redis.command(command) {
        Reply::Number(number) => number,
        other => panic!("no number: {other:?}"),
    };
    let used = number(&["MEMORY", "USAGE", "supportal:archive", "SAMPLES", "0"]);
    assert!((BYTES_MAX / 2..=BYTES_MAX).contains(&used), "{used}");
    assert!(number(&["PTTL", "supportal:archive"]) > 0);
}

#[test]
fn killed_in_a_flood_a_node_leaves_no_message_in_one_stream_alone() {
    let redis = Redis::start(&[]);
    let node = node_with(
        &redis,
        &["history.capacity=10000", "history.bytes_max=16000000"],
    );
    thread::scope(|scope| {
        for speaker in 0..3 {
            let client = node.join("abc");
            let texts = (0..).map(move |number| format!("{speaker} {number}"));
            scope.spawn(move || speak_until_gone(client, texts));
        }
        wait::until("much is said", RECOVERY, || {
            node.metric("supportal_bridge_appended_total") >= 300.0
        });
        node.signal(Signal::Kill);
    });
    let other = node_with(&redis, &[]);
    let archived: HashMap<u64, String> = read_all(&other, 1000)
        .iter()
        .map(|line| {
            (
                line["offset"].as_u64().expect("a number"),
                text(line, "message").to_owned(),
            )
        })
        .collect();
    let history = other.admin("/history?room=chat_1_abc&limit=10000").json();
    let messages = history["messages"].as_array().expect("messages");
    assert!(!messages.is_empty());
    for message in messages {
        let offset = message["offset"].as_u64().expect("a number");
        assert_eq!(archived[&offset], text(&message["event"], "message"));
    }
    assert_eq!(
        archived.len() as u64,
        history["offset"].as_u64().expect("a number")
    );
}
