//! Memberships and Redis over time: expiry, `flush`, a Redis that comes and goes, the end of a node.

use super::*;
use crate::support::{Blow, Signal};

#[test]
fn a_member_is_welcomed_once_its_group_is_joined() {
    let redis = Redis::start(&[]);
    let gateway = node("core", &[&redis], &[]);
    for session in 0..20 {
        let _client = gateway.join(&session.to_string());
        let group = format!("chat_1_{session}");
        assert_eq!(members(&redis, &group).len(), 1, "{group}");
    }
}

#[test]
fn a_group_is_left_with_the_last_member_and_with_the_node() {
    let redis = Redis::start(&[]);
    let gateway = node("core", &[&redis], &["bridge.linger=0s"]);
    let client = gateway.join("a");
    let _stays = gateway.join("b");
    drop(client);
    wait::until("the group to be left", RECOVERY, || {
        members(&redis, "chat_1_a").is_empty()
    });
    assert_eq!(members(&redis, "chat_1_b").len(), 1);
    gateway.signal(Signal::Term);
    assert_eq!(gateway.wait_exit(RECOVERY), Some(0));
    let keys = redis.command(&["KEYS", "*"]).texts();
    assert_eq!(keys, Vec::<String>::new());
}

#[test]
fn a_membership_outlives_group_expiry() {
    let redis = Redis::start(&[]);
    let options = json!({ "group_expiry": 2 });
    let mut site = site("core", &[&redis], &options);
    let gateway = node("core", &[&redis], &["channels.group_expiry=2"]);
    let mut client = gateway.join("abc");
    wait::pass(Duration::from_secs(5));
    site.group_send("chat_1_abc", "still a member");
    expect(&mut client, "still a member");
}

#[test]
fn a_flush_of_the_site_is_healed() {
    let redis = Redis::start(&[]);
    let mut site = site("core", &[&redis], &json!({}));
    let gateway = node("core", &[&redis], &[]);
    let mut client = gateway.join("abc");
    site.order(&json!({ "do": "flush" }));
    wait::until("the group to be joined again", RECOVERY, || {
        members(&redis, "chat_1_abc").len() == 1
    });
    site.group_send("chat_1_abc", "after the flush");
    expect(&mut client, "after the flush");
    assert!(is_up(&gateway), "a flush is no outage");
}

#[test]
fn redis_comes_late_goes_and_comes_back() {
    for layer in LAYERS {
        let mut redis = Redis::absent(&[]);
        let gateway = node_at(layer, &urls(&[&redis]), &[]);
        let mut client = gateway.join("abc");
        say(&mut client, "before there is a Redis");
        redis.launch();
        until_up(&gateway);
        let mut site = site(layer, &[&redis], &json!({}));
        until_joined(&gateway);
        site.group_send("chat_1_abc", "late");
        expect(&mut client, "late");
        for round in 0..3 {
            redis.blow(Blow::Kill);
            wait::until("the loss to be noticed", RECOVERY, || !is_up(&gateway));
            say(&mut client, &format!("without Redis {round}"));
            redis.launch();
            let back = wait::Watch::start();
            until_up(&gateway);
            until_joined(&gateway);
            eprintln!("{layer}: back after {:?}", back.elapsed());
            // The Python side learns with its first message that its connection is gone.
            wait::until("Python to be back", RECOVERY, || {
                let order = json!({
                    "do": "group_send", "group": "chat_1_abc", "message": format!("back {round}"),
                });
                site.try_order(&order).is_ok()
            });
            expect(&mut client, &format!("back {round}"));
        }
        let log = gateway.wait_log("the channel layer is up", 4);
        // Absent at the start, and three times gone.
        assert_eq!(log.matches("the channel layer is down").count(), 4, "{log}");
        assert_eq!(log.matches("the channel layer is up").count(), 4, "{log}");
    }
}

#[test]
fn a_redis_that_hangs_is_noticed_and_holds_nobody_up() {
    for layer in LAYERS {
        let mut redis = Redis::start(&[]);
        let settings = ["channels.send_to_group=users"];
        let gateway = node(layer, &[&redis], &settings);
        let mut client = gateway.join("abc");
        redis.blow(Blow::Stop);
        wait::until("the silence to be noticed", RECOVERY, || {
            say(&mut client, "chat goes on");
            !is_up(&gateway)
        });
        redis.blow(Blow::Continue);
        until_up(&gateway);
        until_joined(&gateway);
    }
}

#[test]
fn a_full_or_read_only_redis_is_named_as_the_reason() {
    let redis = Redis::start(&["--maxmemory", "1", "--maxmemory-policy", "noeviction"]);
    let gateway = node_at("core", &urls(&[&redis]), &[]);
    let mut client = gateway.join("abc");
    wait::until("the reason to be known", RECOVERY, || {
        gateway.admin("/ready").text().contains("OOM")
    });
    say(&mut client, "chat goes on");
    redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
    until_up(&gateway);
    until_joined(&gateway);
}

#[test]
fn users_messages_wait_for_redis_until_they_expire() {
    let mut redis = Redis::absent(&[]);
    let settings = ["channels.send_to=supportal"];
    let gateway = node_at("core", &urls(&[&redis]), &settings);
    let mut client = gateway.join("abc");
    say_each(&mut client, 0..10);
    redis.launch();
    let mut site = site("core", &[&redis], &json!({}));
    site.order(&runworker());
    for number in 0..10 {
        assert_eq!(site.hear()["message"], format!("m{number}"));
    }
}

#[test]
fn users_messages_that_expire_are_dropped_and_counted() {
    let redis = Redis::absent(&[]);
    let settings = [
        "channels.send_to=supportal",
        "channels.tell_full=true",
        "queue.expiry=500ms",
    ];
    let gateway = node_at("core", &urls(&[&redis]), &settings);
    let mut client = gateway.join("abc");
    say(&mut client, "nobody takes this");
    let event = client.receive_json();
    assert_eq!(event["error"], "Too busy, please try again", "{event}");
    until_metric(
        &gateway,
        "supportal_channels_dropped_total{cause=\"expired\"}",
        1.0,
    );
}

#[test]
fn who_finds_the_outbox_full_is_told_so_while_redis_is_still_away() {
    let redis = Redis::absent(&[]);
    let settings = [
        "channels.send_to=supportal",
        "channels.tell_full=true",
        "bridge.outbox_capacity=1",
    ];
    let gateway = node_at("core", &urls(&[&redis]), &settings);
    let (mut ann, mut bob) = (gateway.join("a"), gateway.join("b"));
    say(&mut ann, "waits");
    say(&mut bob, "finds no room");
    let event = bob.receive_json();
    assert_eq!(event["error"], "Too busy, please try again", "{event}");
    until_metric(
        &gateway,
        "supportal_channels_dropped_total{cause=\"outbox\"}",
        1.0,
    );
}

/// Waits until the node's one room is in its group.
#[track_caller]
fn until_joined(gateway: &Gateway) {
    until_metric(gateway, "supportal_channels_groups{state=\"joined\"}", 1.0);
}
