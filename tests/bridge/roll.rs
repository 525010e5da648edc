//! Nodes with other settings are named, by `/ready`, `/health` and `check`.

use super::*;
use crate::support::deployment::check_redis;

/// Waits for a node to name another, and for this reason; how long it took is bounded by design to
/// 5 s, and the machine of a test may be slow.
#[track_caller]
fn until_named(gateway: &Gateway, part: &str) {
    wait::until(&format!("{part} to be named"), RECOVERY, || {
        let text = gateway.admin("/ready").text();
        text.starts_with("ready, degraded: node") && text.contains(part)
    });
    let health = gateway.admin("/health").text().replace("\\\"", "\"");
    assert!(
        health.contains(part) && !health.contains("hunter2"),
        "{health}"
    );
}

#[test]
fn a_node_whose_list_of_redis_is_another_is_named() {
    let redis = [(); 3].map(|()| Redis::start(&[]));
    let [a, b, c] = redis.each_ref().map(Redis::url);
    let one = node_at(&format!("{a},{b}"), &["bridge.node=one"]);
    until_up(&one);
    for (list, node, part) in [
        (
            format!("{b},{a}"),
            "order",
            "] of 2 there, here it is bridge.urls[",
        ),
        (
            a.clone(),
            "short",
            "this Redis is bridge.urls[0] of 1 there, here it is bridge.urls[0] of 2",
        ),
        (
            format!("{a},{c}"),
            "third",
            "another Redis is bridge.urls[1] there",
        ),
    ] {
        let other = node_at(
            &list,
            &["bridge.node=".to_owned() + node]
                .each_ref()
                .map(String::as_str),
        );
        until_named(&one, &format!("node \"{node}\""));
        until_named(&one, part);
        until_named(&other, "node \"one\"");
        let output = check_redis(&[
            "--set",
            "bridge.mode=pubsub",
            "--set",
            &format!("bridge.urls={a},{b}"),
        ]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            text.contains("DIFFERS: node") && text.contains(node) && !output.status.success(),
            "{text}"
        );
        drop(other);
        until_up(&one);
    }
}

#[test]
fn a_node_of_another_mode_is_named_and_one_of_another_prefix_is_none_of_ours() {
    let redis = Redis::start(&["--requirepass", "hunter2"]);
    let url = redis.url().replace("//", "//:hunter2@");
    let one = node_at(&url, &["bridge.node=one"]);
    until_up(&one);
    let stranger = node_at(&url, &["bridge.prefix=other"]);
    until_up(&stranger);
    let two = node_at(&url, &["bridge.node=two", "bridge.mode=streams"]);
    until_named(&one, "node \"two\"");
    until_named(
        &two,
        "its bridge.mode is \"pubsub\", here it is \"streams\"",
    );
    until_up(&stranger);
    let output = check_redis(&["--redis-url", &url]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("other nodes heard: 2") && text.contains("node \"two\""),
        "{text}"
    );
}
