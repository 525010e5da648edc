//! One node.

use super::*;
use crate::support::wait;
use std::time::Duration;

#[test]
fn what_is_published_reaches_the_room_and_nobody_else() {
    let gateway = gateway(&[]);
    let api = Asker::of(&gateway);
    let (mut ann, mut bob) = (gateway.join("abc"), gateway.join("other"));
    let answer = api.publish("abc", "hello é \" \\ <b>");
    assert_eq!(
        answer,
        json!({ "room": "chat_1_abc", "duplicate": false, "members": 1, "nodes": 1, "bridge": "none" })
    );
    let said = json!({ "message": "hello é \" \\ <b>", "sender": "user" });
    assert_eq!(event(&mut ann), said);
    let body = json!({
        "room": "chat_1_abc", "message": "x", "sender": "assistant", "id": "order-17",
        "meta": { "order": 17, "é": ["</script>"] },
    });
    let answer = api.post_ok("publish", &body);
    assert_eq!(
        (&answer["id"], &answer["members"]),
        (&json!("order-17"), &json!(1))
    );
    let meta = json!({ "order": 17, "é": ["</script>"] });
    let said = json!({ "message": "x", "sender": "assistant", "meta": meta });
    assert_eq!(event(&mut ann), said);
    for sender in ["user", "assistant", "system"] {
        let body = json!({ "room": "chat_1_abc", "message": "y", "sender": sender });
        api.post_ok("publish", &body);
        assert_eq!(event(&mut ann), json!({ "message": "y", "sender": sender }));
    }
    assert!(bob.is_quiet_for(Duration::from_millis(50)));
    gateway.settled_ledger();
}

#[test]
fn a_room_without_members_takes_what_is_published() {
    let gateway = gateway(&[]);
    let answer = Asker::of(&gateway).publish("nobody", "hello?");
    assert_eq!(
        answer,
        json!({ "room": "chat_1_nobody", "duplicate": false, "members": 0, "nodes": 0, "bridge": "none" })
    );
}

#[test]
fn in_dialect_django_an_event_has_its_form() {
    let gateway = gateway(&["chat.dialect=django"]);
    let api = Asker::of(&gateway);
    let mut ann = gateway.connect("/ws/chat/1/abc/");
    ann.skip_welcome();
    let body =
        json!({ "room": "chat_1_abc", "message": "é", "sender": "assistant", "meta": { "a": 1 } });
    api.post_ok("publish", &body);
    let text = ann.receive_text();
    let start = "{\"message\": \"\\u00e9\", \"sender\": \"assistant\", \"timestamp\": \"";
    assert!(text.starts_with(start), "{text}");
    assert!(text.ends_with("+00:00\", \"meta\": {\"a\":1}}"), "{text}");
    api.post_ok(
        "publish",
        &json!({ "room": "chat_1_abc", "message": "x", "sender": "system" }),
    );
    assert_eq!(event(&mut ann)["message"], "System message: x");
}

#[test]
fn an_id_is_published_once_also_by_many_at_once() {
    let gateway = gateway(&[]);
    let api = Asker::of(&gateway);
    let mut ann = gateway.join("abc");
    let body = json!({ "room": "chat_1_abc", "message": "once", "id": "1" });
    let first: Vec<bool> = std::thread::scope(|scope| {
        let askers: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| api.post_ok("publish", &body)["duplicate"] == false))
            .collect();
        askers
            .into_iter()
            .map(|asker| asker.join().expect("an answer"))
            .collect()
    });
    assert_eq!(first.iter().filter(|first| **first).count(), 1);
    // Of another room it is another, and so is none.
    api.post_ok(
        "publish",
        &json!({ "room": "chat_1_other", "message": "x", "id": "1" }),
    );
    api.publish("abc", "last");
    assert_eq!(event(&mut ann)["message"], "once");
    assert_eq!(event(&mut ann)["message"], "last");
}

#[test]
fn an_id_with_which_nobody_was_reached_may_come_again() {
    let gateway = gateway(&[]);
    let api = Asker::of(&gateway);
    let body = json!({ "room": "chat_1_abc", "message": "hello", "id": "1" });
    assert_eq!(api.post_ok("publish", &body)["members"], 0);
    let mut ann = gateway.join("abc");
    let again = api.post_ok("publish", &body);
    assert_eq!(
        (&again["duplicate"], &again["members"]),
        (&json!(false), &json!(1))
    );
    assert_eq!(event(&mut ann)["message"], "hello");
    assert_eq!(api.post_ok("publish", &body)["duplicate"], true);
}

#[test]
fn an_id_is_remembered_for_its_time_and_no_more_of_them_than_these() {
    let gateway = gateway(&["api.idempotency_capacity=2", "api.idempotency_expiry=200ms"]);
    let api = Asker::of(&gateway);
    let _ann = gateway.join("abc");
    let publish = |id: &str| {
        let body = json!({ "room": "chat_1_abc", "message": "x", "id": id });
        api.post_ok("publish", &body)["duplicate"] == true
    };
    assert!(!publish("1"));
    wait::until("the id to be forgotten", Duration::from_secs(5), || {
        !publish("1")
    });
    assert!(!publish("2") && !publish("3"));
    assert!(!publish("1"), "two have come since");
}

#[test]
fn a_broadcast_reaches_every_room_of_a_business_or_of_all() {
    let gateway = gateway(&[
        "server.workers=2",
        r#"routes=[{path="/ws/chat/{business_id}/{session_id}/", handler="chat"}, {path="/ws/board/{id:int}/", handler="relay"}]"#,
    ]);
    let api = Asker::of(&gateway);
    let mut ours: Vec<Client> = (0..5)
        .map(|n| gateway.join(&format!("s{}", n / 2)))
        .collect();
    let mut theirs = gateway.connect("/ws/chat/12/s0/");
    theirs.skip_welcome();
    let mut board = gateway.connect("/ws/board/7/");
    let answer = api.post_ok(
        "broadcast",
        &json!({ "business_id": 1, "message": "closing soon" }),
    );
    assert_eq!(
        answer,
        json!({ "duplicate": false, "rooms": 3, "members": 5, "skipped": 0, "nodes": { "asked": 1, "answered": 1 } })
    );
    for member in &mut ours {
        assert_eq!(
            event(member),
            json!({ "message": "closing soon", "sender": "system" })
        );
    }
    let body = json!({ "message": "all", "sender": "assistant", "id": "b1" });
    assert_eq!(api.post_ok("broadcast", &body)["rooms"], 4);
    assert_eq!(api.post_ok("broadcast", &body)["duplicate"], true);
    for member in ours.iter_mut().chain([&mut theirs]) {
        assert_eq!(
            event(member),
            json!({ "message": "all", "sender": "assistant" })
        );
        assert!(
            member.is_quiet_for(Duration::from_millis(20)),
            "twice, or another's"
        );
    }
    assert!(
        board.is_quiet_for(Duration::from_millis(20)),
        "a board is no chat"
    );
    gateway.settled_ledger();
}

#[test]
fn a_batch_is_done_in_order_and_each_command_has_an_answer_of_its_own() {
    let gateway = gateway(&["api.batch=4"]);
    let api = Asker::of(&gateway);
    let mut ann = gateway.join("abc");
    let body = json!({ "commands": [
        { "publish": { "room": "chat_1_abc", "message": "one" } },
        { "publish": { "room": "chat_1_abc", "message": "two", "colour": "red" } },
        { "broadcast": { "message": "three" } },
        { "disconnect": { "room": "chat_1_abc", "code": 4001 } },
    ]});
    let answer = api.post_ok("batch", &body);
    let results = answer["results"].as_array().expect("results");
    let statuses: Vec<&Value> = results.iter().map(|result| &result["status"]).collect();
    assert_eq!(statuses, [200, 422, 200, 200], "{answer}");
    assert_eq!(results[1]["problem"]["field"], "commands.1.publish.colour");
    assert_eq!(results[0]["result"]["members"], 1);
    assert_eq!(results[3]["result"]["closed"], 1);
    assert_eq!(event(&mut ann)["message"], "one");
    assert_eq!(event(&mut ann)["message"], "three");
    assert_eq!(ann.expect_close().0, 4001);
}

#[test]
fn who_is_in_a_room_is_counted_and_listed() {
    let gateway = gateway(&["server.workers=2", "api.members=3", "broker.spread_above=1"]);
    let api = Asker::of(&gateway);
    assert_eq!(
        api.presence("chat_1_abc"),
        json!({ "room": "chat_1_abc", "count": 0, "members": [], "nodes": { "asked": 1, "answered": 1 } })
    );
    let members: Vec<Client> = (0..5).map(|_| gateway.join("abc")).collect();
    let _other = gateway.join("other");
    let answer = api.presence("chat_1_abc");
    assert_eq!(answer["count"], 5);
    let listed = answer["members"].as_array().expect("members");
    assert_eq!(listed.len(), 3);
    for member in listed {
        assert_eq!(member["role"], "customer");
        assert_eq!(member.get("user"), None, "anonymous");
    }
    drop(members);
    wait::until("the members to be gone", Duration::from_secs(5), || {
        api.presence("chat_1_abc")["count"] == 0
    });
}

#[test]
fn a_connection_and_a_room_are_closed_behind_what_was_said_before() {
    let gateway = gateway(&["server.workers=2", "broker.spread_above=1"]);
    let api = Asker::of(&gateway);
    let mut members: Vec<Client> = (0..3).map(|_| gateway.join("abc")).collect();
    let id = api.presence("chat_1_abc")["members"][0]["connection"].clone();
    let body = json!({ "connection": id, "code": 4003, "reason": "go away é" });
    let answer = api.post_ok("disconnect", &body);
    assert_eq!(
        answer,
        json!({ "closed": 1, "nodes": { "asked": 1, "answered": 1 } })
    );
    wait::until("one to be gone", Duration::from_secs(5), || {
        api.presence("chat_1_abc")["count"] == 2
    });
    assert_eq!(api.post_ok("disconnect", &body)["closed"], 0, "it is gone");
    api.publish("abc", "last words");
    let answer = api.post_ok("disconnect", &json!({ "room": "chat_1_abc" }));
    assert_eq!(answer["closed"], 2);
    let mut closes: Vec<(u16, String)> = Vec::new();
    for member in &mut members {
        let mut close = None;
        while close.is_none() {
            match member.receive() {
                crate::support::Frame::Text(text) => assert!(text.contains("last words"), "{text}"),
                crate::support::Frame::Close(said) => close = said,
                other => panic!("{other:?}"),
            }
        }
        closes.extend(close);
    }
    closes.sort();
    let removed = (4500, "removed".to_owned());
    assert_eq!(
        closes,
        [(4003, "go away é".to_owned()), removed.clone(), removed]
    );
    assert_eq!(
        api.post_ok("disconnect", &json!({ "room": "chat_1_abc" }))["closed"],
        0
    );
    assert_eq!(
        api.post_ok("disconnect", &json!({ "user": "nobody" }))["closed"],
        0
    );
    gateway.settled_ledger();
}

#[test]
fn the_rate_is_refused_with_429_and_when_to_come_back() {
    let gateway = gateway(&["api.messages_per_second=1", "api.messages_burst=2"]);
    let api = Asker::of(&gateway);
    let body = json!({ "room": "chat_1_abc", "message": "x" });
    let answers: Vec<Response> = (0..4).map(|_| api.post("publish", &body)).collect();
    let refused: Vec<&Response> = answers
        .iter()
        .filter(|answer| answer.status == 429)
        .collect();
    assert!((1..=2).contains(&refused.len()), "{answers:?}");
    for answer in refused {
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(answer.json()["type"], "urn:supportal:problem:too-many");
    }
    // What publishes nothing has no rate.
    assert_eq!(api.presence("chat_1_abc")["count"], 0);
}

#[test]
fn with_a_listener_of_its_own_the_api_is_there_alone() {
    let gateway = gateway(&["api.listen=127.0.0.1:0"]);
    let own = api_address(&gateway);
    let body = json!({ "room": "chat_1_abc", "message": "x" });
    assert_eq!(Asker(own).post("publish", &body).status, 200);
    assert_eq!(Asker::of(&gateway).post("publish", &body).status, 404);
    let page = http::exchange(own, &request("GET", "/", &GOOD, b"")).expect("an answer");
    assert_eq!(page.status, 404);
}

/// The address that the log says.
#[track_caller]
pub(crate) fn api_address(gateway: &Gateway) -> SocketAddr {
    let log = gateway.wait_log("the HTTP API listens", 1);
    let line = log
        .lines()
        .find(|line| line.contains("the HTTP API listens"));
    let line: Value = serde_json::from_str(line.expect("a line")).expect("JSON");
    line["api"]
        .as_str()
        .expect("an address")
        .parse()
        .expect("an address")
}

#[test]
fn without_a_token_only_programs_of_this_machine_are_answered() {
    let gateway = Gateway::start(&["api.listen=127.0.0.1:0"]);
    let own = api_address(&gateway);
    let body = br#"{"room":"chat_1_abc","message":"x"}"#;
    let ask = |host: &str, fields: &[&str]| {
        let fields = [&["Content-Type: application/json"][..], fields].concat();
        let bytes = request("POST", "/api/publish", &fields, body);
        let bytes = String::from_utf8(bytes).expect("UTF-8");
        let bytes = bytes.replace("Host: localhost", &format!("Host: {host}"));
        let answer = http::exchange(own, bytes.as_bytes()).expect("an answer");
        (
            answer.status,
            answer.json()["type"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    };
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:80"] {
        assert_eq!(ask(host, &[]), (200, String::new()), "{host}");
    }
    for host in ["evil.example", "localhost.evil.example", "10.0.0.1", "a b"] {
        let foreign = "urn:supportal:problem:foreign-host".to_owned();
        assert_eq!(ask(host, &[]), (421, foreign), "{host}");
    }
    let page = "urn:supportal:problem:foreign-page".to_owned();
    assert_eq!(ask("localhost", &["Origin: http://localhost"]), (403, page));
}

#[test]
fn without_token_and_listener_there_is_no_api() {
    let gateway = Gateway::shared();
    let answer =
        Asker::of(&gateway).post("publish", &json!({ "room": "chat_1_abc", "message": "x" }));
    assert_eq!((answer.status, answer.text().as_str()), (404, "not found"));
}

#[test]
fn requests_are_counted_by_endpoint_and_status() {
    let gateway = gateway(&[]);
    let api = Asker::of(&gateway);
    api.publish("abc", "x");
    api.post("publish", &json!({}));
    api.post("nowhere", &json!({}));
    for (endpoint, status) in [("publish", 200), ("publish", 422), ("other", 404)] {
        let series =
            format!("supportal_api_requests_total{{endpoint=\"{endpoint}\",status=\"{status}\"}}");
        assert_eq!(gateway.metric(&series), 1.0, "{series}");
    }
}

#[test]
fn the_node_s_own_close_is_not_delayed_by_the_api() {
    let gateway = gateway(&["api.listen=127.0.0.1:0"]);
    let _idle = http::open(api_address(&gateway));
    gateway.signal(crate::support::Signal::Term);
    assert_eq!(gateway.wait_exit(Duration::from_secs(10)), Some(0));
}
