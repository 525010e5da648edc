//! What networks and Redis' own settings do between a node and the site's Redis.

use super::*;
use crate::support::Canaries;
use crate::support::proxy::{Proxy, Weather};

#[test]
fn bad_weather_between_a_node_and_the_sites_redis_is_survived() {
    for layer in LAYERS {
        let redis = Redis::start(&[]);
        let proxy = Proxy::start(redis.address());
        let mut site = site(layer, &[&redis], &json!({}));
        let gateway = node_at(layer, &json!([proxy.url()]), &[]);
        until_up(&gateway);
        let canaries = Canaries::start(&gateway);
        let mut client = gateway.join("abc");
        // Slow is not down.
        for weather in [Weather::Slow, Weather::Drops] {
            proxy.set(weather);
            site.group_send("chat_1_abc", &format!("{weather:?}"));
            expect(&mut client, &format!("{weather:?}"));
        }
        for weather in [Weather::Cut, Weather::Garbage, Weather::Silence] {
            proxy.set(weather);
            until_down(&gateway);
            say(&mut client, "within the node");
            proxy.set(Weather::Fair);
            until_up(&gateway);
            // The room and the canaries' two.
            until_metric(&gateway, "supportal_channels_groups{state=\"joined\"}", 3.0);
            let text = format!("after {weather:?}");
            site.group_send("chat_1_abc", &text);
            expect(&mut client, &text);
        }
        canaries.finish();
    }
}

#[test]
fn what_django_sends_while_a_node_is_cut_off_waits_in_layer_core() {
    let redis = Redis::start(&[]);
    let proxy = Proxy::start(redis.address());
    let mut site = site("core", &[&redis], &json!({}));
    let gateway = node_at("core", &json!([proxy.url()]), &[]);
    until_up(&gateway);
    let mut client = gateway.join("abc");
    proxy.set(Weather::Cut);
    until_down(&gateway);
    for number in 0..50 {
        site.group_send("chat_1_abc", &format!("m{number}"));
    }
    proxy.set(Weather::Fair);
    for number in 0..50 {
        expect(&mut client, &format!("m{number}"));
    }
}

#[test]
fn a_password_that_changes_and_a_replica_are_named_as_the_reason() {
    for layer in LAYERS {
        let redis = Redis::start(&["--requirepass", "old"]);
        let port = redis.address().port();
        let hosts = json!([format!("redis://:old@127.0.0.1:{port}")]);
        let gateway = node_at(layer, &hosts, &[]);
        until_up(&gateway);
        let mut client = gateway.join("abc");
        let mut admin = redis.connect();
        admin.command(&["AUTH", "old"]);
        admin.command(&["CONFIG", "SET", "requirepass", "new"]);
        admin.command(&["CLIENT", "KILL", "TYPE", "normal"]);
        admin.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        until_reason(&gateway, "WRONGPASS");
        say(&mut client, "chat goes on");
        admin.command(&["CONFIG", "SET", "requirepass", "old"]);
        until_up(&gateway);
        admin.command(&["REPLICAOF", "127.0.0.1", "1"]);
        until_reason(&gateway, "read-only replica");
        admin.command(&["REPLICAOF", "NO", "ONE"]);
        until_up(&gateway);
        until_metric(&gateway, "supportal_channels_groups{state=\"joined\"}", 1.0);
    }
}

#[test]
fn a_flood_of_ten_thousand_is_survived_and_every_message_accounted_for() {
    for layer in LAYERS {
        let redis = Redis::start(&[]);
        let mut site = site(layer, &[&redis], &json!({ "capacity": 20_000 }));
        let gateway = node(layer, &[&redis], &[]);
        let canaries = Canaries::start(&gateway);
        let mut client = gateway.join("abc");
        site.order(&json!({
            "do": "group_send", "group": "chat_1_abc", "message": "m", "count": 10_000,
        }));
        for number in 0..10_000 {
            expect(&mut client, &format!("m{number}"));
        }
        canaries.finish();
        assert_eq!(gateway.metric_sum("supportal_channels_dropped_total"), 0.0);
    }
}

#[track_caller]
fn until_down(gateway: &Gateway) {
    wait::until("the loss to be noticed", RECOVERY, || !is_up(gateway));
}

#[track_caller]
fn until_reason(gateway: &Gateway, reason: &str) {
    let what = format!("the reason to be {reason}");
    wait::until(&what, RECOVERY, || {
        gateway.admin("/ready").text().contains(reason)
    });
}
