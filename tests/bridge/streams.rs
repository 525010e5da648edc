//! Mode `streams`: one order on all nodes, each message once on each, and a history that any node reads.

use super::*;
use crate::support::redis::Reply;
use serde_json::Value;

/// A node in mode `streams`, with its bridge up.
#[track_caller]
pub(super) fn stream_node(redis: &Redis, settings: &[&str]) -> Gateway {
    let node = stream_node_at(&redis.url(), settings);
    until_up(&node);
    node
}

/// A node in mode `streams`.
#[track_caller]
pub(super) fn stream_node_at(url: &str, settings: &[&str]) -> Gateway {
    let mut all = vec!["bridge.mode=streams", "bridge.order_timeout=5s"];
    all.extend(settings);
    node_at(url, &all)
}

/// The next `count` messages.
#[track_caller]
pub(super) fn read(client: &mut Client, count: usize) -> Vec<String> {
    let text = |event: Value| event["message"].as_str().expect("a message").to_owned();
    (0..count).map(|_| text(client.receive_json())).collect()
}

/// The history of room `abc`, as its texts.
#[track_caller]
fn history(node: &Gateway, query: &str) -> Vec<String> {
    let answer = node.admin(&format!("/history?room=chat_1_abc{query}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    let messages = answer["messages"].as_array().expect("messages").iter();
    let text = |message: &Value| {
        message["event"]["message"]
            .as_str()
            .expect("text")
            .to_owned()
    };
    messages.map(text).collect()
}

#[test]
fn members_of_all_nodes_see_one_order_and_each_message_once() {
    const EACH: usize = 200;
    let redis = Redis::start(&[]);
    let nodes = [(); 3].map(|()| stream_node(&redis, &[]));
    let mut members: Vec<Client> = nodes.iter().map(|node| node.join("abc")).collect();
    for number in 0..EACH {
        for (speaker, member) in members.iter_mut().enumerate() {
            say(member, &format!("{speaker} {number}"));
        }
    }
    let orders: Vec<Vec<String>> = members
        .iter_mut()
        .map(|member| read(member, 3 * EACH))
        .collect();
    assert_eq!(orders[0], orders[1]);
    assert_eq!(orders[0], orders[2]);
    for speaker in 0..3 {
        let said: Vec<String> = (0..EACH).map(|n| format!("{speaker} {n}")).collect();
        let is_theirs = |text: &&String| text.starts_with(&format!("{speaker} "));
        let heard: Vec<String> = orders[0].iter().filter(is_theirs).cloned().collect();
        assert_eq!(heard, said);
    }
    // And nothing else comes.
    say(&mut members[0], "the end");
    for (node, member) in nodes.iter().zip(&mut members) {
        expect(member, "the end");
        assert_eq!(node.metric("supportal_bridge_gaps_total"), 0.0);
        assert_eq!(node.metric("supportal_bridge_recalled_total"), 0.0);
        assert_eq!(node.metric("supportal_bridge_awaited"), 0.0);
        assert_eq!(node.metric_sum("supportal_bridge_dropped_total"), 0.0);
        let ordered = "supportal_bridge_rooms{state=\"ordered\"}";
        assert_eq!(node.metric(ordered), 1.0);
        node.settled_ledger();
    }
    let appended: f64 = nodes
        .iter()
        .map(|node| node.metric("supportal_bridge_appended_total"))
        .sum();
    assert_eq!(appended, (3 * EACH + 1) as f64);
    let length = redis.command(&["XLEN", "supportal:stream:{chat_1_abc}"]);
    // Those that are too many are cut off together: a sixteenth of `history.capacity` may wait for that.
    assert!(
        matches!(length, Reply::Number(100..=106)),
        "history.capacity: {length:?}"
    );
}

#[test]
fn a_member_is_welcomed_once_its_room_has_a_place_in_the_stream() {
    let redis = Redis::start(&[]);
    let (left, right) = (stream_node(&redis, &[]), stream_node(&redis, &[]));
    for round in 0..30 {
        let session = format!("room-{round}");
        let mut ann = left.join(&session);
        say(&mut ann, "before");
        expect(&mut ann, "before");
        let mut bob = right.join(&session);
        say(&mut ann, "first");
        expect(&mut bob, "first");
        say(&mut bob, "second");
        expect(&mut ann, "first");
        expect(&mut ann, "second");
    }
    for node in [&left, &right] {
        assert_eq!(node.metric("supportal_bridge_unconfirmed_total"), 0.0);
        assert_eq!(node.metric("supportal_bridge_resets_total"), 0.0);
        assert_eq!(node.metric("supportal_bridge_recalled_total"), 0.0);
    }
}

#[test]
fn history_is_read_on_a_node_without_members() {
    let redis = Redis::start(&[]);
    let settings = ["history.capacity=5"];
    let (left, right) = (
        stream_node(&redis, &settings),
        stream_node(&redis, &settings),
    );
    let mut ann = left.join("abc");
    assert!(history(&right, "").is_empty());
    for number in 0..8 {
        say(&mut ann, &number.to_string());
        expect(&mut ann, &number.to_string());
    }
    assert_eq!(history(&right, ""), ["3", "4", "5", "6", "7"]);
    assert_eq!(history(&left, "&limit=2"), ["6", "7"]);
    let answer = right.admin("/history?room=chat_1_abc&limit=1").json();
    assert_eq!(answer["offset"], 8, "{answer}");
    assert_eq!(answer["messages"][0]["offset"], 8, "{answer}");
    assert_eq!(answer["messages"][0]["event"]["sender"], "user", "{answer}");
    let time = answer["messages"][0]["time_milliseconds"].as_u64();
    assert!(
        time.is_some_and(|time| time > 1_600_000_000_000),
        "{answer}"
    );
    assert_eq!(right.admin("/history?room=chat_1_abc&limit=x").status, 400);
    let other = node(&redis, &[]);
    let answer = other.admin("/history?room=chat_1_abc");
    assert_eq!(
        (answer.status, answer.text().contains("streams")),
        (404, true)
    );
}

#[test]
fn a_history_ends_with_its_expiry() {
    let redis = Redis::start(&[]);
    let node = stream_node(&redis, &["history.expiry=1s", "queue.expiry=1s"]);
    let mut ann = node.join("abc");
    say(&mut ann, "early");
    expect(&mut ann, "early");
    // Kept alive by a later message, what is too old is not shown and goes at the next append.
    wait::pass(Duration::from_millis(700));
    say(&mut ann, "late");
    expect(&mut ann, "late");
    wait::until("the early one to expire", RECOVERY, || {
        history(&node, "") == ["late"]
    });
    let keys = redis.command(&["KEYS", "supportal:*chat*"]).texts();
    assert_eq!(keys.len(), 2, "{keys:?}");
    wait::until("the room's keys to expire", RECOVERY, || {
        redis
            .command(&["KEYS", "supportal:*chat*"])
            .texts()
            .is_empty()
    });
    assert!(history(&node, "").is_empty());
    // The stream begins anew, and the room goes on.
    say(&mut ann, "anew");
    expect(&mut ann, "anew");
    until_metric(&node, "supportal_bridge_resets_total", 1.0);
}
