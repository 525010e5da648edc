//! What is told of a Redis: by one name everywhere, and what its address should be if there is something else behind it.

use super::streams::stream_node_at;
use super::*;
use crate::support::deployment::{Sealed, Watched, check_redis, cluster};
use crate::support::redis::free_port;

/// What `supportal check --redis` says of these settings, and whether it is content.
#[track_caller]
fn check(settings: &[&str]) -> (String, bool) {
    let sets = settings.iter().flat_map(|set| ["--set", set]);
    let output = check_redis(&sets.collect::<Vec<&str>>());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (text, output.status.success())
}

/// The lines of a log that hold this.
fn lines<'l>(log: &'l str, part: &str) -> Vec<&'l str> {
    log.lines().filter(|line| line.contains(part)).collect()
}

#[test]
fn one_redis_has_one_name_in_errors_lines_answers_and_metrics() {
    let (redis, nobody) = (Redis::start(&[]), free_port());
    let (there, absent) = (redis.url(), format!("redis://127.0.0.1:{nobody}"));
    let urls = format!("bridge.urls={there},{absent}");
    let (text, _) = check(&["bridge.mode=pubsub", &urls]);
    for part in [
        format!("  bridge.urls[0]  {there}  version "),
        format!("  bridge.urls[1]  {absent}  FAILED: "),
    ] {
        assert!(text.contains(&part), "{part} in {text}");
    }
    let output = check_redis(&[
        "--set",
        "bridge.mode=pubsub",
        "--set",
        &format!("bridge.urls=[{there:?}, \"nowhere\"]"),
    ]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.contains("bridge.urls[1]: ") && !error.contains("bridge.urls[2]"),
        "{error}"
    );
    let node = node_at(&format!("{there},{absent}"), &[]);
    wait::until("the first to be up", RECOVERY, || {
        node.metric("supportal_bridge_up{link=\"0\"}") == 1.0
    });
    let log = node.wait_log("the bridge is down", 1);
    let down = lines(&log, "the bridge is down");
    assert!(down[0].contains("\"redis\":\"bridge.urls[1]\""), "{log}");
    let log = node.wait_log("the bridge is up", 1);
    let up = lines(&log, "the bridge is up");
    assert!(up[0].contains("\"redis\":\"bridge.urls[0]\""), "{log}");
    assert_eq!(node.metric("supportal_bridge_up{link=\"1\"}"), 0.0);
    let reason = format!("bridge.urls[1] ({absent}) is down: ");
    let ready = node.admin("/ready").text();
    assert!(ready.contains(&reason), "{ready}");
    let health = node.admin("/health").json();
    assert_eq!(health["bridge"]["redis"][0]["name"], "bridge.urls[0]");
    assert_eq!(health["bridge"]["redis"][1]["name"], "bridge.urls[1]");
    assert!(health["reasons"].to_string().contains(&reason), "{health}");
}

#[test]
fn a_redis_of_the_site_has_one_name_too() {
    let nobody = format!("redis://127.0.0.1:{}", free_port());
    let hosts = format!("channels.hosts={nobody}");
    let settings = ["channels.enabled=true", &hosts];
    let (text, is_good) = check(&settings);
    let part = format!("  channels.hosts[0]  {nobody}  FAILED: ");
    assert!(text.contains(&part) && !is_good, "{text}");
    let node = Gateway::start(&settings);
    let log = node.wait_log("the channel layer is down", 1);
    let down = lines(&log, "the channel layer is down");
    assert!(down[0].contains("\"host\":\"channels.hosts[0]\""), "{log}");
    let ready = node.admin("/ready").text();
    let reason = format!("channels.hosts[0] ({nobody}) is down: ");
    assert!(ready.contains(&reason), "{ready}");
    let health = node.admin("/health").json();
    assert_eq!(health["bridge"]["django"][0]["name"], "channels.hosts[0]");
}

#[test]
fn the_first_time_that_a_redis_is_up_it_was_not_down() {
    let mut redis = Redis::start(&[]);
    let node = node(&redis, &[]);
    let log = node.wait_log("the bridge is up", 1);
    let up = lines(&log, "the bridge is up");
    assert!(!up[0].contains("\"down\":"), "{log}");
    redis.blow(crate::support::Blow::Kill);
    until_down(&node);
    redis.launch();
    let log = node.wait_log("the bridge is up", 2);
    let up = lines(&log, "the bridge is up");
    assert!(up[1].contains("\"down\":"), "{log}");
    // What the client library thinks of it is told by us already.
    assert!(lines(&log, "fred").is_empty(), "{log}");
}

/// What is wrong with the address is said by `check`, and by a node that starts with it.
#[track_caller]
fn is_told(url: &str, mode: &str, settings: &[&str], parts: &[&str]) {
    let (mode, urls) = (format!("bridge.mode={mode}"), format!("bridge.urls={url}"));
    let all = [&[mode.as_str(), &urls], settings].concat();
    let (text, is_good) = check(&all);
    assert!(!is_good, "{text}");
    let failed = lines(&text, "FAILED: ");
    let node = Gateway::start(&[&NODE[..], &all].concat());
    let log = node.wait_log("the bridge is down", 1).replace("\\\"", "\"");
    let down = lines(&log, "the bridge is down");
    let ready = node.admin("/ready").text();
    for part in parts {
        assert!(failed[0].contains(part), "{url}: {part} in {text}");
        assert!(down[0].contains(part), "{url}: {part} in {log}");
        assert!(ready.contains(part), "{url}: {part} in {ready}");
    }
    for text in [failed[0], down[0], &ready] {
        assert!(!text.contains("Unknown Error"), "{text}");
    }
}

#[test]
fn a_cluster_and_a_server_alone_are_told_apart() {
    let (nodes, alone) = (cluster(&[]), Redis::start(&[]));
    let one = nodes[0].url();
    is_told(&one, "streams", &[], &["Cluster", "write redis-cluster://"]);
    let url = alone.url().replace("redis:", "redis-cluster:");
    is_told(&url, "pubsub", &[], &["no Cluster", "write redis://"]);
    // What is published to one server of a Cluster is heard at all: it works, and costs every server every message.
    let urls = format!("bridge.urls={one}");
    let (text, is_good) = check(&["bridge.mode=pubsub", &urls]);
    let warned = lines(&text, "  warning: ");
    assert!(is_good, "{text}");
    assert!(
        warned[0].contains("bridge.urls[0]") && warned[0].contains("write redis-cluster://"),
        "{text}"
    );
    let node = node_at(&one, &[]);
    until_up(&node);
    let log = node.log();
    let warned = lines(&log, "this Redis is a server of a Cluster");
    assert_eq!(warned.len(), 1, "{log}");
    assert!(warned[0].contains("write redis-cluster://"), "{log}");
}

#[test]
fn tls_where_there_is_none_and_none_where_there_is_are_told() {
    let (sealed, plain) = (Sealed::start(), Redis::start(&["--requirepass", "hunter2"]));
    let trust = sealed.trust();
    let with_tls = plain.url().replace("redis:", "rediss:");
    let without = sealed.url().replace("rediss:", "redis:");
    for mode in ["pubsub", "streams"] {
        is_told(
            &with_tls,
            mode,
            &[&trust],
            &["without TLS", "write redis://"],
        );
        is_told(&without, mode, &[], &["with TLS", "write rediss://"]);
    }
    let of_cluster = without.replace("redis:", "redis-cluster:");
    is_told(&of_cluster, "pubsub", &[], &["write rediss-cluster://"]);
}

#[test]
fn sentinels_and_what_is_none_are_told() {
    let watched = Watched::start();
    let port = watched.sentinel.address().port();
    let at = |port: u16| format!("redis-sentinel://127.0.0.1:{port}?sentinelServiceName=other");
    let parts = ["\"other\"", "no Sentinel knows", "sentinelServiceName"];
    is_told(&at(port), "pubsub", &[], &parts);
    let master = watched.master.address().port();
    is_told(
        &at(master),
        "pubsub",
        &[],
        &["no Sentinel", "write redis://"],
    );
    let sealed = at(port).replace("redis-", "rediss-");
    is_told(&sealed, "pubsub", &[], &["write redis-sentinel://"]);
    for mode in ["pubsub", "streams"] {
        let url = watched.sentinel.url();
        is_told(&url, mode, &[], &["a Sentinel", "write redis-sentinel://"]);
    }
}

#[test]
fn what_a_redis_refuses_is_said_in_its_own_words_alone() {
    for (arguments, word) in [
        (&["--maxmemory", "1"][..], "OOM "),
        (&["--min-replicas-to-write", "1"], "NOREPLICAS "),
        (
            &[
                "--user", "default", "on", "nopass", "~*", "&*", "+@all", "-evalsha",
            ],
            "NOPERM ",
        ),
    ] {
        let redis = Redis::start(arguments);
        is_told(&redis.url(), "streams", &[], &[word]);
        let urls = format!("bridge.urls={}", redis.url());
        let (text, _) = check(&["bridge.mode=streams", &urls]);
        assert!(text.contains(&format!("  FAILED: {word}")), "{text}");
    }
}

#[test]
fn a_history_whose_key_is_of_another_type_was_answered_and_says_so() {
    let redis = Redis::start(&[]);
    redis.command(&["SET", "supportal:stream:{chat_1_abc}", "a text"]);
    let node = stream_node_at(&redis.url(), &[]);
    until_up(&node);
    let answer = node.admin("/history?room=chat_1_abc");
    let text = answer.text();
    assert_eq!(answer.status, 502, "{text}");
    for part in ["is none of ours", ": WRONGTYPE "] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("did not answer"), "{text}");
    // In the log it is named by its tag: who knows a room's name may enter it.
    let _ann = node.join("abc");
    let log = node.wait_log("Redis refuses a room's stream", 1);
    let refused = lines(&log, "Redis refuses a room's stream");
    for part in [
        "\"key\":\"supportal:stream:{room ",
        "\"reason\":\"WRONGTYPE ",
    ] {
        assert!(refused[0].contains(part), "{part} in {log}");
    }
}

#[test]
fn check_warns_of_a_redis_that_forgets_what_it_has_answered_for() {
    let (forgetful, keeps) = (Redis::start(&[]), Redis::start(&["--appendonly", "yes"]));
    for (redis, mode, is_warned) in [
        (&forgetful, "streams", true),
        (&forgetful, "pubsub", false),
        (&keeps, "streams", false),
    ] {
        let urls = format!("bridge.urls={}", redis.url());
        let (text, is_good) = check(&[&format!("bridge.mode={mode}"), &urls]);
        assert!(is_good, "{text}");
        let warned = lines(&text, "appendonly");
        assert_eq!(warned.len(), usize::from(is_warned), "{mode}: {text}");
        if is_warned {
            assert!(warned[0].contains("warning: bridge.urls[0] ("), "{text}");
        }
    }
}

#[test]
fn nodes_that_differ_are_a_gauge_and_two_lines_and_show_who_they_are() {
    let redis = Redis::start(&[]);
    let one = node_at(&redis.url(), &["bridge.node=one"]);
    let same = node_at(&redis.url(), &["bridge.node=same"]);
    let heard = "supportal_bridge_nodes{state=\"heard\"}";
    let differing = "supportal_bridge_nodes{state=\"differing\"}";
    until_metric(&one, heard, 1.0);
    assert_eq!(one.metric(differing), 0.0);
    let two = stream_node_at(&redis.url(), &["bridge.node=two"]);
    for (node, count) in [(&one, 1.0), (&same, 1.0), (&two, 2.0)] {
        until_metric(node, differing, count);
        let log = node.wait_log("nodes have other settings", 1);
        let line = lines(&log, "nodes have other settings")[0];
        assert!(
            line.contains("\"WARN\"") && line.contains("its bridge.mode is "),
            "{log}"
        );
    }
    until_metric(&one, heard, 2.0);
    let health = two.admin("/health").json();
    let id = health["bridge"]["node"].as_str().expect("an id").to_owned();
    let reasons = one.admin("/health").json()["reasons"].to_string();
    assert!(
        id.len() == 32 && id.get(..8).is_some_and(|id| reasons.contains(id)),
        "{id} in {reasons}"
    );
    drop(two);
    until_metric(&one, differing, 0.0);
    let log = one.wait_log("all nodes have the same settings again", 1);
    for (part, number) in [
        ("nodes have other settings", 1),
        ("all nodes have the same settings again", 1),
    ] {
        assert_eq!(lines(&log, part).len(), number, "{part} in {log}");
    }
}
