//! Both ways, both layers: what arrives, where, in which order.

use super::*;
use crate::webhook::{SECRET, View};

/// As the guide: a message is shown to the members of its room.
const ROOM: [&str; 1] = ["chat.deliver=room"];

/// As the package: a message is shown to its sender alone.
const PACKAGE: [&str; 3] = [
    "chat.dialect=django",
    "chat.deliver=sender",
    "chat.exists=[{business_id=1}]",
];

#[test]
fn a_group_send_from_a_view_reaches_every_member_on_every_node() {
    for layer in LAYERS {
        let redis = Redis::start(&[]);
        let mut site = site(layer, &[&redis], &json!({}));
        let (one, two) = (node(layer, &[&redis], &[]), node(layer, &[&redis], &[]));
        let mut clients = [one.join("abc"), one.join("abc"), two.join("abc")];
        let mut other = two.join("other");
        let event = json!({ "type": "chat.message", "message": "hi", "sender": "assistant" });
        site.order(&json!({
            "do": "group_send_from_a_view", "group": "chat_1_abc", "event": event,
        }));
        for client in &mut clients {
            let event = expect(client, "hi");
            assert_eq!(event["sender"], "assistant", "{layer}");
            assert!(event["timestamp"].is_string(), "{layer}: {event}");
        }
        site.group_send("chat_1_other", "only here");
        expect(&mut other, "only here");
    }
}

#[test]
fn a_thousand_messages_from_django_arrive_in_order() {
    for layer in LAYERS {
        let redis = Redis::start(&[]);
        let mut site = site(layer, &[&redis], &json!({}));
        let gateway = node(layer, &[&redis], &[]);
        let mut client = gateway.join("abc");
        let sent = site.order(&json!({
            "do": "group_send", "group": "chat_1_abc", "message": "m", "count": 1_000,
        }));
        assert_eq!(sent, 1_000);
        for number in 0..1_000 {
            expect(&mut client, &format!("m{number}"));
        }
        assert_eq!(
            gateway.metric("supportal_channels_delivered_total"),
            1_000.0
        );
    }
}

#[test]
fn a_thousand_users_messages_reach_a_worker_in_order() {
    let redis = Redis::start(&[]);
    let mut site = site("core", &[&redis], &json!({ "capacity": 2_000 }));
    site.order(&runworker());
    let settings = [
        "channels.send_to=supportal",
        "channels.capacity=2000",
        "bridge.node=n1",
    ];
    let gateway = node("core", &[&redis], &settings);
    let mut client = gateway.join("abc");
    for number in 0..1_000 {
        client.send_text(&user(&format!("m{number}")));
    }
    for number in 0..1_000 {
        expect(&mut client, &format!("m{number}"));
        let heard = site.hear();
        assert_eq!(heard["message"], format!("m{number}"), "{heard}");
    }
    say(&mut client, "hé \"quoted\" 😀");
    let mut heard = site.hear();
    let timestamp = heard["timestamp"].take();
    assert_eq!(timestamp.as_str().map(str::len), Some(20), "{timestamp}");
    let expected = json!({
        "type": "chat.message", "message": "hé \"quoted\" 😀", "sender": "user", "business_id": 1,
        "session_id": "abc", "group": "chat_1_abc", "timestamp": null, "node": "n1",
    });
    assert_eq!(heard, expected);
    assert_eq!(
        gateway.metric("supportal_channels_sent_total{to=\"worker\"}"),
        1_001.0
    );
}

#[test]
fn a_thousand_users_messages_reach_a_group_in_order() {
    for layer in LAYERS {
        let redis = Redis::start(&[]);
        let mut site = site(layer, &[&redis], &json!({ "capacity": 2_000 }));
        site.order(&json!({ "do": "join_quietly", "group": "users" }));
        let settings = ["channels.send_to_group=users", "channels.capacity=2000"];
        let gateway = node(layer, &[&redis], &settings);
        let mut client = gateway.join("abc");
        for number in 0..1_000 {
            client.send_text(&user(&format!("m{number}")));
        }
        for number in 0..1_000 {
            let heard = site.hear();
            assert_eq!(heard["message"], format!("m{number}"), "{layer}: {heard}");
        }
    }
}

#[test]
fn a_worker_answers_into_the_room() {
    let redis = Redis::start(&[]);
    let mut site = site("core", &[&redis], &json!({}));
    site.order(&runworker());
    let gateway = node("core", &[&redis], &["channels.send_to=supportal"]);
    let (mut asker, mut other) = (gateway.join("abc"), gateway.join("abc"));
    say(&mut asker, "answer me");
    expect(&mut other, "answer me");
    for client in [&mut asker, &mut other] {
        let event = expect(client, "re: answer me");
        assert_eq!(event["sender"], "assistant");
    }
    assert_eq!(site.hear()["message"], "answer me");
}

#[test]
fn a_worker_hears_users_whom_no_other_member_is_shown() {
    let redis = Redis::start(&[]);
    let mut site = site("core", &[&redis], &json!({}));
    site.order(&runworker());
    let settings = [
        "channels.send_to=supportal",
        "chat.dialect=django",
        "chat.deliver=sender",
        "chat.exists=[{business_id=1}]",
    ];
    let gateway = node("core", &[&redis], &settings);
    let mut client = gateway.join("abc");
    for message in [json!("hé"), json!(1.5), json!({ "a": [null, true] })] {
        client.send_text(&json!({ "message": message }).to_string());
        assert_eq!(client.receive_json()["message"], message);
        assert_eq!(site.hear()["message"], message);
    }
    client.send_text(&json!({ "message": "not a user", "type": "system" }).to_string());
    client.receive_json();
    site.group_send("chat_1_abc", "from django");
    expect(&mut client, "from django");
    assert!(!site.has_heard());
}

#[test]
fn a_worker_hears_system_messages_where_it_is_to_hear_them() {
    let view = View::start(|request, _| request.say("HTTP/1.1 204 No Content\r\n\r\n"));
    let (url, secret) = (
        format!("vet.url=http://{}/", view.puppet.address()),
        format!("vet.secret={SECRET}"),
    );
    let vetted = ["chat.vet=webhook", &*url, &*secret];
    let send = "channels.send=[\"user\", \"system\"]";
    // Also where a view of the site has seen them before.
    for (shown, vetted) in [
        (&ROOM[..], &[][..]),
        (&PACKAGE[..], &[][..]),
        (&ROOM[..], &vetted[..]),
        (&PACKAGE[..], &vetted[..]),
    ] {
        let redis = Redis::start(&[]);
        let mut site = site("core", &[&redis], &json!({}));
        site.order(&runworker());
        let mut settings = vec!["channels.send_to=supportal", "bridge.node=n1", send];
        settings.extend(shown);
        settings.extend(vetted);
        let gateway = node("core", &[&redis], &settings);
        let mut client = gateway.join("abc");
        client.send_text(r#"{"message": "noted", "type": "system"}"#);
        let event = client.receive_json();
        assert_eq!(event["sender"], "system", "{event}");
        let mut heard = site.hear();
        heard["timestamp"].take();
        let expected = json!({
            "type": "chat.message", "message": "noted", "sender": "system", "business_id": 1,
            "session_id": "abc", "group": "chat_1_abc", "timestamp": null, "node": "n1",
        });
        assert_eq!(heard, expected, "without the prefix that clients are shown");
        say(&mut client, "hello");
        assert_eq!(site.hear()["sender"], "user");
    }
    assert_eq!(view.asked().len(), 4);
}

#[test]
fn a_group_hears_system_messages_alone_if_so_configured() {
    for layer in LAYERS {
        let redis = Redis::start(&[]);
        let mut site = site(layer, &[&redis], &json!({}));
        site.order(&json!({ "do": "join_quietly", "group": "notes" }));
        let settings = [
            "channels.send_to_group=notes",
            "channels.send=[\"system\"]",
            "chat.dialect=django",
            "chat.exists=[{business_id=1}]",
        ];
        let gateway = node(layer, &[&redis], &settings);
        let mut client = gateway.join("abc");
        say(&mut client, "of a user");
        for message in [json!("hé"), json!({ "a": [1.5, null] })] {
            client.send_text(&json!({ "message": message, "type": "system" }).to_string());
            let heard = site.hear();
            assert_eq!(heard["message"], message, "{layer}: {heard}");
            assert_eq!(heard["sender"], "system", "{layer}: {heard}");
        }
    }
}

#[test]
fn a_system_message_that_is_refused_is_told_to_nobody() {
    let redis = Redis::start(&[]);
    let mut site = site("core", &[&redis], &json!({}));
    site.order(&runworker());
    let settings = [
        "channels.send_to=supportal",
        "channels.send=[\"user\", \"system\"]",
        "chat.system_from=[\"agent\"]",
    ];
    let gateway = node("core", &[&redis], &settings);
    let mut client = gateway.join("abc");
    client.send_text(r#"{"message": "refused", "type": "system"}"#);
    assert!(client.receive_json()["error"].is_string());
    say(&mut client, "hello");
    assert_eq!(site.hear()["message"], "hello");
    assert!(!site.has_heard());
}

#[test]
fn python_consumers_and_gateway_nodes_share_a_group() {
    for layer in LAYERS {
        let redis = Redis::start(&[]);
        let mut site = site(layer, &[&redis], &json!({}));
        let joined = site.order(&json!({ "do": "join", "group": "chat_1_abc" }));
        assert_eq!(joined, "websocket.accept");
        let gateway = node(layer, &[&redis], &[]);
        let mut client = gateway.join("abc");
        // What a user says here is no event of that group: an unmodified consumer would end at it.
        say(&mut client, "not for the group");
        site.group_send("chat_1_abc", "for all");
        expect(&mut client, "for all");
        assert_eq!(site.hear(), "for all", "{layer}");
        assert!(!site.has_heard(), "{layer}");
    }
}

#[test]
fn between_nodes_and_from_django_everything_arrives_once() {
    let redis = Redis::start(&[]);
    let mut site = site("core", &[&redis], &json!({}));
    site.order(&runworker());
    let urls = format!("bridge.urls={}", redis.url());
    let settings = ["bridge.mode=pubsub", &urls, "channels.send_to=supportal"];
    let nodes = [
        node("core", &[&redis], &settings),
        node("core", &[&redis], &settings),
    ];
    let (mut one, mut two) = (nodes[0].join("abc"), nodes[1].join("abc"));
    for round in 0..20 {
        say(&mut one, &format!("user {round}"));
        expect(&mut two, &format!("user {round}"));
        assert_eq!(site.hear()["message"], format!("user {round}"));
        site.group_send("chat_1_abc", &format!("django {round}"));
        for client in [&mut one, &mut two] {
            expect(client, &format!("django {round}"));
        }
    }
    assert!(!site.has_heard());
}

#[test]
fn a_channel_that_is_full_is_counted_and_its_user_told() {
    let redis = Redis::start(&[]);
    let settings = [
        "channels.send_to=nobody-listens",
        "channels.channel_capacity=[{pattern=\"nobody*\", capacity=5}]",
        "channels.tell_full=true",
    ];
    let gateway = node("core", &[&redis], &settings);
    let mut client = gateway.join("abc");
    say_each(&mut client, 0..5);
    until_metric(
        &gateway,
        "supportal_channels_sent_total{to=\"worker\"}",
        5.0,
    );
    say(&mut client, "m5");
    let event = client.receive_json();
    assert_eq!(event["error"], "Too busy, please try again", "{event}");
    assert_eq!(event["sender"], "system");
    until_metric(
        &gateway,
        "supportal_channels_dropped_total{cause=\"full\"}",
        1.0,
    );
    let waiting = redis.command(&["ZCARD", "asginobody-listens"]);
    assert_eq!(waiting, crate::support::redis::Reply::Number(5));
}

#[test]
fn a_node_goes_on_when_django_has_been_told_more_than_a_mailbox_holds() {
    for further in ["chat.deliver=room", "chat.deliver=sender"] {
        let redis = Redis::start(&[]);
        let settings = [
            "channels.send_to_group=users",
            "broker.mailbox_bytes=262144",
            further,
        ];
        let gateway = node("core", &[&redis], &settings);
        let mut client = gateway.join("abc");
        let text = "x".repeat(20_000);
        for _ in 0..30 {
            say(&mut client, &text);
        }
    }
}
