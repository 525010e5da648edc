//! Every form that a site's settings may give to names and messages, and what is no message at all.

use super::*;
use crate::support::Frame;

/// One message each way in this form: to a room, and of a user to a worker or a group.
#[track_caller]
fn both_ways(layer: &str, hosts: &[&Redis], options: &Value, settings: &[&str]) {
    let mut site = site(layer, hosts, options);
    let to = if layer == "core" {
        site.order(&runworker());
        "channels.send_to=supportal"
    } else {
        site.order(&json!({ "do": "join_quietly", "group": "users" }));
        "channels.send_to_group=users"
    };
    let settings = [settings, &[to]].concat();
    let gateway = node(layer, hosts, &settings);
    // Several rooms, so that with several hosts each has some; one with the longest name.
    let long = "s".repeat(64);
    for session in ["a", "b", "c", "d", "e", "f", &long] {
        let mut client = gateway.join(session);
        site.group_send(&format!("chat_1_{session}"), "from django");
        expect(&mut client, "from django");
        say(&mut client, "from a user");
        let heard = site.hear();
        let said = (&heard["message"], &heard["session_id"]);
        assert_eq!(
            said,
            (&json!("from a user"), &json!(session)),
            "{layer} {options}"
        );
    }
}

#[test]
fn messages_are_encrypted_both_ways() {
    for layer in LAYERS {
        let redis = Redis::start(&[]);
        let options = json!({ "symmetric_encryption_keys": ["new", "old"] });
        let keys = "channels.symmetric_encryption_keys=[\"new\", \"old\"]";
        both_ways(layer, &[&redis], &options, &[keys]);
    }
}

#[test]
fn a_key_that_is_being_replaced_is_still_understood() {
    let redis = Redis::start(&[]);
    let mut site = site(
        "core",
        &[&redis],
        &json!({ "symmetric_encryption_keys": ["old"] }),
    );
    let keys = "channels.symmetric_encryption_keys=[\"new\", \"old\"]";
    let gateway = node("core", &[&redis], &[keys]);
    let mut client = gateway.join("abc");
    site.group_send("chat_1_abc", "with the old key");
    expect(&mut client, "with the old key");
}

#[test]
fn messages_are_json_both_ways() {
    for layer in LAYERS {
        let redis = Redis::start(&[]);
        let options = json!({ "serializer_format": "json" });
        let format = "channels.serializer_format=json";
        both_ways(layer, &[&redis], &options, &[format]);
    }
}

#[test]
fn groups_are_sharded_over_two_redis() {
    for layer in LAYERS {
        let (one, two) = (Redis::start(&[]), Redis::start(&[]));
        both_ways(layer, &[&one, &two], &json!({}), &[]);
    }
}

#[test]
fn a_prefix_and_its_random_bytes_are_the_sites() {
    let redis = Redis::start(&[]);
    let options = json!({ "prefix": "site", "random_prefix_length": 3 });
    let settings = ["channels.prefix=site", "channels.random_prefix_length=3"];
    both_ways("core", &[&redis], &options, &settings);
    let redis = Redis::start(&[]);
    both_ways(
        "pubsub",
        &[&redis],
        &json!({ "prefix": "site" }),
        &settings[..1],
    );
}

#[test]
fn a_host_has_a_password_a_database_or_a_socket() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let socket = folder.path().join("redis.sock");
    let socket = socket.display().to_string();
    let redis = Redis::start(&["--requirepass", "pw", "--unixsocket", &socket]);
    let port = redis.address().port();
    for host in [
        json!(format!("redis://:pw@127.0.0.1:{port}/3")),
        json!({ "address": format!("redis://:pw@127.0.0.1:{port}?db=4") }),
        json!(format!("unix://:pw@{socket}?db=5")),
    ] {
        let hosts = json!([host]);
        let mut site = Site::start("core", &json!({ "hosts": hosts }));
        let gateway = node_at("core", &hosts, &[]);
        until_up(&gateway);
        let mut client = gateway.join("abc");
        site.group_send("chat_1_abc", "here");
        expect(&mut client, "here");
        let health = gateway.admin("/health").text();
        assert!(!health.contains("pw@"), "{health}");
    }
}

#[test]
fn unknown_types_are_counted_and_nobody_is_dropped() {
    let redis = Redis::start(&[]);
    let mut site = site("core", &[&redis], &json!({}));
    let gateway = node("core", &[&redis], &[]);
    let mut client = gateway.join("abc");
    for event in [
        json!({ "type": "websocket.close" }),
        json!({ "type": "_private" }),
        json!({ "message": "no type" }),
    ] {
        site.order(&json!({
            "do": "group_send_from_a_view", "group": "chat_1_abc", "event": event,
        }));
    }
    let error = json!({ "type": "send.error.message", "error": "oh" });
    site.order(&json!({
        "do": "group_send_from_a_view", "group": "chat_1_abc", "event": error,
    }));
    let event = client.receive_json();
    assert_eq!(event, json!({ "error": error, "sender": "system" }));
    let ignored = |reason| format!("supportal_channels_ignored_total{{reason=\"{reason}\"}}");
    assert_eq!(gateway.metric(&ignored("unknown_type")), 2.0);
    assert_eq!(gateway.metric(&ignored("no_type")), 1.0);
}

#[test]
fn an_event_closes_a_rooms_connections_with_its_code() {
    let redis = Redis::start(&[]);
    let mut site = site("core", &[&redis], &json!({}));
    let settings = ["channels.close_types=[\"chat.close\"]"];
    let gateway = node("core", &[&redis], &settings);
    let mut clients = [gateway.join("abc"), gateway.join("abc")];
    let mut other = gateway.join("other");
    site.group_send("chat_1_abc", "last words");
    site.order(&json!({
        "do": "group_send_from_a_view", "group": "chat_1_abc",
        "event": { "type": "chat.close", "code": 4321 },
    }));
    for client in &mut clients {
        expect(client, "last words");
        assert_eq!(client.receive(), Frame::Close(Some((4321, String::new()))));
    }
    say(&mut other, "still here");
}

#[test]
fn what_is_no_message_is_counted_and_delays_nothing() {
    let redis = Redis::start(&[]);
    let mut site = site("core", &[&redis], &json!({}));
    let gateway = node("core", &[&redis], &[]);
    let mut client = gateway.join("abc");
    let member = members(&redis, "chat_1_abc").pop().expect("a member");
    let (process, _) = member.split_once('!').expect("a channel of a process");
    let key = format!("asgi{process}!");
    let mut conversation = redis.connect();
    let poison: [&[u8]; 4] = [
        b"short",
        b"twelve bytes and no msgpack",
        b"twelve bytes\xdf\xff\xff\xff\xff",
        b"twelve bytes\x81\x01\x01",
    ];
    for bytes in poison {
        conversation.send(&[b"ZADD", key.as_bytes(), b"1", bytes]);
        conversation.read();
    }
    site.group_send("chat_1_abc", "after the poison");
    expect(&mut client, "after the poison");
    assert_eq!(gateway.metric_sum("supportal_channels_poison_total"), 4.0);
    let log = gateway.wait_log("no message of this channel layer", 1);
    assert_eq!(
        log.matches("no message of this channel layer").count(),
        1,
        "{log}"
    );
}
