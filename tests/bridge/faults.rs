//! What happens to Redis must not happen to the chat within a node.

use super::*;
use crate::support::proxy::{Proxy, Weather};
use crate::support::{Blow, Canaries, Signal};

#[test]
fn redis_may_come_after_the_nodes_r1() {
    let mut redis = Redis::absent(&[]);
    let (left, right) = (node_at(&redis.url(), &[]), node_at(&redis.url(), &[]));
    let canaries = Canaries::start(&left);
    until_down(&left);
    let ready = left.admin("/ready");
    assert_eq!(ready.status, 200);
    let reason = format!(
        "ready, degraded: bridge.urls[0] ({}) is down: ",
        redis.url()
    );
    assert!(ready.text().starts_with(&reason), "{}", ready.text());
    // Nobody waits for a Redis that is not there, and nothing within the node is lost.
    let (mut ann, mut bob) = (left.join("abc"), right.join("abc"));
    say(&mut ann, "alone");
    expect(&mut ann, "alone");
    redis.launch();
    until_up(&left);
    until_up(&right);
    until_confirmed(&right, 1.0);
    say(&mut ann, "together");
    // What was said before may have been too early for the other node.
    let mut event = bob.receive_json();
    if event["message"] == "alone" {
        event = bob.receive_json();
    }
    assert_eq!(event["message"], "together");
    canaries.finish();
    let log = left.wait_log("the bridge is up", 1);
    assert_eq!(log.matches("the bridge is down").count(), 1, "{log}");
    assert_eq!(log.matches("the bridge is up").count(), 1, "{log}");
}

#[test]
fn a_node_that_needs_its_redis_is_not_ready_without_it() {
    let redis = Redis::absent(&[]);
    let node = node_at(&redis.url(), &["bridge.required=true"]);
    assert_eq!(node.admin("/ready").status, 503);
    assert_eq!(node.admin("/health").json()["status"], "degraded");
    let mut ann = node.join("abc");
    say(&mut ann, "here");
    expect(&mut ann, "here");
}

/// Sends numbered messages until told to stop; returns how many.
fn talk(client: &mut Client, count: usize, from: usize) {
    for number in from..from + count {
        say(client, &number.to_string());
        expect(client, &number.to_string());
    }
}

/// Reads numbered messages up to `last`, in order; returns how many came.
fn listen(client: &mut Client, last: usize) -> u64 {
    let (mut came, mut before) = (0, None);
    loop {
        let event = client.receive_json();
        let number: usize = event["message"]
            .as_str()
            .expect("text")
            .parse()
            .expect("a number");
        assert!(
            before.is_none_or(|before| before < number),
            "{before:?}, then {number}"
        );
        before = Some(number);
        came += 1;
        if number == last {
            return came;
        }
    }
}

#[test]
fn redis_may_be_killed_again_and_again_and_every_loss_is_in_the_gaps_r2() {
    let mut redis = Redis::start(&[]);
    let (left, right) = (node(&redis, &[]), node(&redis, &[]));
    let canaries = Canaries::start(&left);
    let (mut ann, mut bob) = (left.join("abc"), right.join("abc"));
    let (mut sent, mut came) = (0, 0);
    for _round in 0..3 {
        talk(&mut ann, 50, sent);
        redis.blow(Blow::Kill);
        talk(&mut ann, 50, sent + 50);
        redis.launch();
        let back = wait::Watch::start();
        until_up(&left);
        until_up(&right);
        assert!(back.elapsed() < RECOVERY);
        // What waited in the outbox may go out before the other node has subscribed again; its
        // hello makes up the account.
        until_confirmed(&right, 1.0);
        talk(&mut ann, 1, sent + 100);
        sent += 101;
        came += listen(&mut bob, sent - 1);
    }
    wait::until("sent = delivered + gaps", RECOVERY, || {
        let gaps = right.metric("supportal_bridge_gaps_total");
        came as f64 + gaps == sent as f64
    });
    canaries.finish();
}

#[test]
fn the_first_words_after_an_outage_wait_until_the_other_node_has_subscribed_again() {
    let mut redis = Redis::start(&[]);
    // A generous pause for the test, so that a slow machine is no reason to fail.
    let left = node(&redis, &["bridge.reconnect_max=2s"]);
    let proxy = Proxy::start(redis.address());
    let right = node_at(&proxy.url(), &[]);
    until_up(&right);
    let (mut ann, mut bob) = (left.join("abc"), right.join("abc"));
    talk(&mut ann, 1, 0);
    assert_eq!(listen(&mut bob, 0), 1);
    redis.blow(Blow::Kill);
    proxy.set(Weather::Cut);
    until_down(&left);
    until_down(&right);
    redis.launch();
    until_up(&left);
    // Nothing has waited for Redis; the other node is a little later.
    talk(&mut ann, 20, 1);
    proxy.set(Weather::Fair);
    assert_eq!(listen(&mut bob, 20), 20);
    assert_eq!(right.metric("supportal_bridge_gaps_total"), 0.0);
}

#[test]
fn what_waits_for_a_redis_that_is_down_at_the_end_is_told_in_one_line() {
    let mut redis = Redis::start(&[]);
    for mode in ["pubsub", "streams"] {
        let mode = format!("bridge.mode={mode}");
        let node = node(&redis, &[&mode]);
        let mut ann = node.join("abc");
        talk(&mut ann, 2, 0);
        until_metric(&node, "supportal_bridge_outbox", 0.0);
        redis.blow(Blow::Kill);
        until_down(&node);
        talk(&mut ann, 5, 2);
        node.signal(Signal::Term);
        assert_eq!(node.wait_exit(RECOVERY), Some(0));
        let log = node.wait_log("without having told", 1);
        let told: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("without having told"))
            .collect();
        assert_eq!(told.len(), 1, "{log}");
        assert!(told[0].contains("\"lost\":5"), "{log}");
        redis.launch();
    }
}

#[test]
fn a_redis_that_stands_still_is_noticed_and_nothing_waits_for_it_r3() {
    let mut redis = Redis::start(&[]);
    let settings = ["queue.expiry=3s", "bridge.outbox_capacity=40"];
    let (left, right) = (node(&redis, &settings), node(&redis, &settings));
    let canaries = Canaries::start(&right);
    let (mut ann, mut bob) = (left.join("abc"), right.join("abc"));
    talk(&mut ann, 10, 0);
    assert_eq!(listen(&mut bob, 9), 10);
    redis.blow(Blow::Stop);
    let watch = wait::Watch::start();
    until_down(&left);
    // Noticed within 3 s by design; the machine of a test may be slow.
    assert!(watch.elapsed() < RECOVERY / 2, "{:?}", watch.elapsed());
    until_down(&right);
    // Members are welcomed at once, the outbox stays within its bound.
    let mut eve = left.join("other");
    talk(&mut eve, 1, 0);
    talk(&mut ann, 100, 10);
    let waiting = left.metric("supportal_bridge_outbox");
    assert!(waiting <= 42.0, "{waiting} in the outbox");
    assert!(left.metric("supportal_bridge_dropped_total{cause=\"full\"}") > 0.0);
    // Long enough for everything in the outbox to expire.
    wait::until("the outbox to expire", RECOVERY, || {
        left.metric("supportal_bridge_outbox") == 0.0
    });
    redis.blow(Blow::Continue);
    until_up(&left);
    until_up(&right);
    talk(&mut ann, 1, 110);
    // The standing Redis may still hold commands of the broken connection; what they carry has
    // expired, and nothing expired is delivered.
    assert_eq!(listen(&mut bob, 110), 1);
    wait::until("the gap to be counted", RECOVERY, || {
        right.metric("supportal_bridge_gaps_total")
            + right.metric("supportal_bridge_dropped_total{cause=\"late\"}")
            == 100.0
    });
    canaries.finish();
}

#[test]
fn a_drain_ends_within_its_grace_while_redis_stands_still() {
    for mode in ["pubsub", "streams"] {
        let mut redis = Redis::start(&[]);
        let mode = format!("bridge.mode={mode}");
        // Longer than the grace: the node does not know yet that its Redis stands.
        let settings = [&mode, "bridge.command_timeout=20s", "server.drain_grace=3s"];
        let node = node(&redis, &settings);
        let mut ann = node.join("abc");
        talk(&mut ann, 2, 0);
        until_metric(&node, "supportal_bridge_outbox", 0.0);
        redis.blow(Blow::Stop);
        talk(&mut ann, 5, 2);
        let watch = wait::Watch::start();
        node.signal(Signal::Term);
        assert_eq!(ann.expect_close().0, 1012);
        drop(ann);
        assert_eq!(node.wait_exit(RECOVERY), Some(0));
        // The grace, and a busy machine; the flush alone would take 40 s.
        assert!(
            watch.elapsed() < Duration::from_secs(8),
            "{:?}",
            watch.elapsed()
        );
        let log = node.wait_log("without having told", 1);
        assert!(log.contains("\"lost\":5"), "{log}");
        redis.blow(Blow::Continue);
    }
}
