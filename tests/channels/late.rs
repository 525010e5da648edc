//! What was said on a connection that is given up and arrives when the next one has begun: nothing is done then.

use super::*;
use crate::support::proxy::{Proxy, Weather};

const LINGER: &str = "bridge.linger=0s";

/// Holds the node's connections back, says something on them, and waits for others in their place.
#[track_caller]
fn hold_while<T>(gateway: &Gateway, proxy: &Proxy, say: impl FnOnce() -> T) -> T {
    let down = "supportal_channels_changes_total{state=\"down\"}";
    let before = gateway.metric(down);
    proxy.set(Weather::Held);
    let said = say();
    until_metric(gateway, down, before + 1.0);
    until_up(gateway);
    said
}

/// Lets what was held arrive, and waits for its end.
#[track_caller]
fn let_go(redis: &Redis, proxy: &Proxy) {
    proxy.set(Weather::Fair);
    // The node's two connections and the asker's.
    wait::until("the old connections to end", RECOVERY, || {
        let list = redis.command(&["CLIENT", "LIST"]);
        list.text().lines().count() <= 3
    });
}

#[track_caller]
fn until_wanted(gateway: &Gateway, rooms: f64) {
    let wanted = "supportal_channels_groups{state=\"wanted\"}";
    wait::until("the rooms to be known", RECOVERY, || {
        gateway.metric(wanted) == rooms
    });
}

#[test]
fn a_group_that_was_left_and_is_joined_again_is_not_left_by_what_arrives_late() {
    let (redis, proxy, gateway) = node_behind_proxy(&[LINGER]);
    let client = gateway.join("abc");
    hold_while(&gateway, &proxy, || {
        drop(client);
        until_wanted(&gateway, 0.0);
    });
    let mut client = gateway.join("abc");
    wait::until("the group to be joined", RECOVERY, || {
        members(&redis, "chat_1_abc").len() == 1
    });
    let_go(&redis, &proxy);
    let mut site = site("core", &[&redis], &json!({}));
    site.group_send("chat_1_abc", "still a member");
    expect(&mut client, "still a member");
}

#[test]
fn a_group_that_was_joined_and_left_again_is_not_joined_by_what_arrives_late() {
    let (redis, proxy, gateway) = node_behind_proxy(&[LINGER]);
    let client = hold_while(&gateway, &proxy, || {
        let client = gateway.join("abc");
        until_wanted(&gateway, 1.0);
        client
    });
    wait::until("the group to be joined", RECOVERY, || {
        members(&redis, "chat_1_abc").len() == 1
    });
    drop(client);
    wait::until("the group to be left", RECOVERY, || {
        members(&redis, "chat_1_abc").is_empty()
    });
    let_go(&redis, &proxy);
    assert_eq!(members(&redis, "chat_1_abc"), [""; 0]);
}

#[test]
fn users_messages_that_arrive_late_are_not_said_twice() {
    let (redis, proxy, gateway) = node_behind_proxy(&["channels.send_to=supportal"]);
    let mut client = gateway.join("abc");
    hold_while(&gateway, &proxy, || {
        say_each(&mut client, 0..5);
    });
    until_metric(
        &gateway,
        "supportal_channels_sent_total{to=\"worker\"}",
        5.0,
    );
    let_go(&redis, &proxy);
    say(&mut client, "end");
    let mut site = site("core", &[&redis], &json!({}));
    site.order(&runworker());
    for number in 0..5 {
        assert_eq!(site.hear()["message"], format!("m{number}"));
    }
    assert_eq!(site.hear()["message"], "end");
}
