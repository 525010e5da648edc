//! Several nodes on one Redis.

use super::*;
use crate::support::{Redis, wait};
use std::time::Duration;

const RECOVERY: Duration = Duration::from_secs(20);

/// A node with the API, with its bridge up.
#[track_caller]
fn node(redis: &Redis, mode: &str, settings: &[&str]) -> Gateway {
    let (urls, mode) = (
        format!("bridge.urls={}", redis.url()),
        format!("bridge.mode={mode}"),
    );
    let mut all = vec!["server.workers=2", mode.as_str(), urls.as_str()];
    all.extend(settings);
    let gateway = gateway(&all);
    wait::until("the bridge to be up", RECOVERY, || {
        gateway.admin("/ready").text() == "ready\n"
    });
    gateway
}

/// Two nodes that have heard of each other.
#[track_caller]
fn two_nodes(redis: &Redis, mode: &str, settings: &[&str]) -> [Gateway; 2] {
    let nodes = [node(redis, mode, settings), node(redis, mode, settings)];
    for node in &nodes {
        wait::until("the nodes to know each other", RECOVERY, || {
            Asker::of(node).presence("chat_1_nobody")["nodes"]
                == json!({ "asked": 2, "answered": 2 })
        });
    }
    nodes
}

#[test]
fn what_is_published_on_a_node_without_members_reaches_the_other() {
    for (mode, dialect) in [
        ("pubsub", "guide"),
        ("streams", "guide"),
        ("pubsub", "django"),
    ] {
        let redis = Redis::start(&[]);
        let dialect = format!("chat.dialect={dialect}");
        let [left, right] = two_nodes(&redis, mode, &[dialect.as_str()]);
        let mut bob = right.join("abc");
        let answer = Asker::of(&left).publish("abc", "from afar");
        assert_eq!(
            answer,
            json!({ "room": "chat_1_abc", "duplicate": false, "members": 0, "nodes": 1, "bridge": "queued" }),
            "{mode}"
        );
        assert_eq!(
            event(&mut bob),
            json!({ "message": "from afar", "sender": "user" }),
            "{mode}"
        );
        let mut ann = left.join("abc");
        let answer = Asker::of(&left).publish("abc", "to both");
        assert_eq!(
            (&answer["members"], &answer["nodes"]),
            (&json!(1), &json!(2)),
            "{mode}"
        );
        for member in [&mut ann, &mut bob] {
            assert_eq!(event(member)["message"], "to both", "{mode}");
        }
        for node in [&left, &right] {
            node.settled_ledger();
        }
    }
}

#[test]
fn a_broadcast_reaches_the_rooms_of_all_nodes_once() {
    for mode in ["pubsub", "streams"] {
        let redis = Redis::start(&[]);
        let [left, right] = two_nodes(&redis, mode, &[]);
        let mut members = [left.join("a"), right.join("a"), right.join("b")];
        let body = json!({ "business_id": "1", "message": "soon", "id": "b1" });
        let answer = Asker::of(&left).post_ok("broadcast", &body);
        assert_eq!(
            answer,
            json!({ "id": "b1", "duplicate": false, "rooms": 3, "members": 3, "skipped": 0,
                    "nodes": { "asked": 2, "answered": 2 } }),
            "{mode}"
        );
        // A retry on the other node: it has seen the id too.
        assert_eq!(
            Asker::of(&right).post_ok("broadcast", &body)["duplicate"],
            true
        );
        Asker::of(&left).post_ok("broadcast", &json!({ "message": "last" }));
        for member in &mut members {
            assert_eq!(event(member)["message"], "soon", "{mode}");
            assert_eq!(event(member)["message"], "last", "{mode}");
        }
    }
}

#[test]
fn presence_and_disconnect_work_wherever_the_connection_is() {
    for mode in ["pubsub", "streams"] {
        let redis = Redis::start(&[]);
        let [left, right] = two_nodes(&redis, mode, &[]);
        let mut members = [left.join("abc"), right.join("abc"), right.join("abc")];
        let mut other = right.join("other");
        let answers = [&left, &right].map(|node| Asker::of(node).presence("chat_1_abc"));
        for answer in &answers {
            assert_eq!(answer["count"], 3, "{answer}");
            assert_eq!(answer["nodes"], json!({ "asked": 2, "answered": 2 }));
        }
        let ids = |answer: &Value| {
            let listed = answer["members"].as_array().expect("members").iter();
            let mut ids: Vec<String> = listed
                .map(|member| member["connection"].to_string())
                .collect();
            ids.sort();
            ids
        };
        assert_eq!(ids(&answers[0]), ids(&answers[1]));
        // One connection of the other node, by its name there.
        let id = Asker::of(&right).presence("chat_1_other")["members"][0]["connection"].clone();
        let body = json!({ "connection": id, "code": 4009, "reason": "bye" });
        assert_eq!(Asker::of(&left).post_ok("disconnect", &body)["closed"], 1);
        assert_eq!(other.expect_close(), (4009, "bye".to_owned()));
        let answer = Asker::of(&left).post_ok("disconnect", &json!({ "room": "chat_1_abc" }));
        assert_eq!(
            answer,
            json!({ "closed": 3, "nodes": { "asked": 2, "answered": 2 } })
        );
        for member in &mut members {
            assert_eq!(member.expect_close(), (4500, "removed".to_owned()));
        }
    }
}

#[test]
fn a_node_that_does_not_answer_is_missing_and_said_to_be() {
    let redis = Redis::start(&[]);
    let [left, right] = two_nodes(&redis, "pubsub", &["api.nodes_timeout=300ms"]);
    let _ann = left.join("abc");
    right.signal(crate::support::Signal::Stop);
    let answer = Asker::of(&left).presence("chat_1_abc");
    assert_eq!(answer["count"], 1);
    assert_eq!(answer["nodes"], json!({ "asked": 2, "answered": 1 }));
    right.signal(crate::support::Signal::Continue);
}

#[test]
fn without_its_redis_a_node_answers_for_itself() {
    let mut redis = Redis::start(&[]);
    let [left, _right] = two_nodes(&redis, "pubsub", &[]);
    let mut ann = left.join("abc");
    redis.blow(crate::support::Blow::Kill);
    wait::until("the bridge to be down", RECOVERY, || {
        left.admin("/ready").text() != "ready\n"
    });
    let api = Asker::of(&left);
    let answer = api.publish("abc", "still here");
    assert_eq!(
        (&answer["members"], &answer["nodes"]),
        (&json!(1), &Value::Null)
    );
    assert_eq!(answer["bridge"], "queued");
    assert_eq!(event(&mut ann)["message"], "still here");
    let answer = api.presence("chat_1_abc");
    assert_eq!(
        (&answer["count"], &answer["nodes"]["answered"]),
        (&json!(1), &json!(1))
    );
    api.post_ok("disconnect", &json!({ "room": "chat_1_abc" }));
    assert_eq!(ann.expect_close().0, 4500);
}
