//! Mode `streams` when things go wrong: what was accepted reaches every member once and in order, and
//! chat within a node waits for nothing longer than `bridge.order_timeout`.

use super::streams::{read, stream_node, stream_node_at};
use super::*;
use crate::support::proxy::{Proxy, Weather};
use crate::support::{Blow, Canaries};

/// As they are by default: what does not come back is delivered after this.
pub(super) const SHORT: &str = "bridge.order_timeout=250ms";

/// Rooms whose members see the order of all nodes.
pub(super) const ORDERED: &str = "supportal_bridge_rooms{state=\"ordered\"}";

/// Publications that Redis refused for their room alone.
pub(super) const DROPPED_REFUSED: &str = "supportal_bridge_dropped_total{cause=\"refused\"}";

/// Says numbered messages, each once the one before was seen.
#[track_caller]
pub(super) fn talk(client: &mut Client, numbers: std::ops::Range<usize>) {
    for number in numbers {
        say(client, &number.to_string());
        expect(client, &number.to_string());
    }
}

/// The next messages must be these, each once and in order.
#[track_caller]
pub(super) fn listen(client: &mut Client, numbers: std::ops::Range<usize>) {
    let expected: Vec<String> = numbers.map(|number| number.to_string()).collect();
    assert_eq!(read(client, expected.len()), expected);
}

#[test]
fn a_room_is_ordered_again_after_redis_stood_still_although_nobody_speaks() {
    let mut redis = Redis::start(&[]);
    let node = stream_node(&redis, &[SHORT]);
    let mut ann = node.join("abc");
    talk(&mut ann, 0..1);
    redis.blow(Blow::Stop);
    talk(&mut ann, 1..2);
    assert_eq!(node.metric(ORDERED), 0.0);
    redis.blow(Blow::Continue);
    until_metric(&node, ORDERED, 1.0);
}

#[test]
fn redis_may_be_killed_again_and_again_and_nothing_is_lost_r2() {
    let mut redis = Redis::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let (left, right) = (stream_node(&redis, &[SHORT]), stream_node(&redis, &[SHORT]));
    let (mut ann, mut bob) = (left.join("abc"), right.join("abc"));
    let mut sent = 0;
    for _round in 0..4 {
        talk(&mut ann, sent..sent + 50);
        // Some are on their way in this moment.
        for number in sent + 50..sent + 100 {
            say(&mut ann, &number.to_string());
        }
        redis.blow(Blow::Kill);
        for number in sent + 50..sent + 100 {
            expect(&mut ann, &number.to_string());
        }
        talk(&mut ann, sent + 100..sent + 120);
        redis.launch();
        until_up(&left);
        until_up(&right);
        talk(&mut ann, sent + 120..sent + 150);
        listen(&mut bob, sent..sent + 150);
        sent += 150;
    }
    for node in [&left, &right] {
        assert_eq!(node.metric("supportal_bridge_gaps_total"), 0.0);
        assert_eq!(node.metric("supportal_bridge_resets_total"), 0.0);
        assert_eq!(node.metric_sum("supportal_bridge_dropped_total"), 0.0);
        node.settled_ledger();
    }
    assert!(left.metric("supportal_bridge_recalled_total") > 0.0);
    // And the two are one again, the other way round too.
    say(&mut bob, "back");
    expect(&mut ann, "back");
    expect(&mut bob, "back");
    until_metric(&left, ORDERED, 1.0);
}

#[test]
fn an_append_whose_answer_was_lost_is_not_appended_again_r11() {
    let redis = Redis::start(&[]);
    let proxy = Proxy::start(redis.address());
    let left = stream_node_at(&proxy.url(), &[SHORT]);
    let right = stream_node(&redis, &[SHORT]);
    until_up(&left);
    let (mut ann, mut bob) = (left.join("abc"), right.join("abc"));
    talk(&mut ann, 0..5);
    proxy.set(Weather::Deaf);
    // Redis takes it, the other node has it, and this one is not told.
    say(&mut ann, "5");
    listen(&mut bob, 0..6);
    expect(&mut ann, "5");
    proxy.set(Weather::Cut);
    until_down(&left);
    talk(&mut ann, 6..8);
    proxy.set(Weather::Fair);
    until_up(&left);
    talk(&mut ann, 8..12);
    listen(&mut bob, 6..12);
    // Nothing else came on either side.
    say(&mut bob, "the end");
    expect(&mut bob, "the end");
    expect(&mut ann, "the end");
}

#[test]
fn a_node_cut_off_alone_reads_what_it_missed_r5() {
    let redis = Redis::start(&[]);
    let proxy = Proxy::start(redis.address());
    let (left, right) = (stream_node_at(&proxy.url(), &[]), stream_node(&redis, &[]));
    until_up(&left);
    let (mut ann, mut bob) = (left.join("abc"), right.join("abc"));
    talk(&mut bob, 0..3);
    listen(&mut ann, 0..3);
    proxy.set(Weather::Cut);
    until_down(&left);
    talk(&mut bob, 3..60);
    proxy.set(Weather::Fair);
    // No further message is needed.
    listen(&mut ann, 3..60);
    talk(&mut bob, 60..63);
    listen(&mut ann, 60..63);
    assert_eq!(left.metric("supportal_bridge_gaps_total"), 0.0);
    assert_eq!(left.metric("supportal_bridge_recovered_total"), 57.0);
}

#[test]
fn what_a_stream_no_longer_has_is_counted_exactly() {
    let redis = Redis::start(&[]);
    let proxy = Proxy::start(redis.address());
    let capacity = "history.capacity=5";
    let left = stream_node_at(&proxy.url(), &[capacity]);
    let right = stream_node(&redis, &[capacity]);
    until_up(&left);
    let (mut ann, mut bob) = (left.join("abc"), right.join("abc"));
    talk(&mut bob, 0..3);
    listen(&mut ann, 0..3);
    proxy.set(Weather::Cut);
    until_down(&left);
    talk(&mut bob, 3..15);
    proxy.set(Weather::Fair);
    listen(&mut ann, 10..15);
    until_metric(&left, "supportal_bridge_gaps_total", 7.0);
    talk(&mut bob, 15..16);
    listen(&mut ann, 15..16);
}

#[test]
fn a_subscription_that_redis_cuts_loses_nothing_r9() {
    let redis = Redis::start(&[]);
    // All of it, since each cut may come before the one before was read up.
    let settings = ["history.capacity=200", SHORT];
    let node = || stream_node(&redis, &settings);
    let (left, right) = (node(), node());
    let (mut ann, mut bob) = (left.join("abc"), right.join("abc"));
    let mut admin = redis.connect();
    for round in 0..5 {
        for number in 40 * round..40 * round + 20 {
            say(&mut bob, &number.to_string());
        }
        admin.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        for number in 40 * round + 20..40 * round + 40 {
            say(&mut bob, &number.to_string());
        }
        listen(&mut ann, 40 * round..40 * round + 40);
        listen(&mut bob, 40 * round..40 * round + 40);
    }
    assert_eq!(left.metric("supportal_bridge_gaps_total"), 0.0);
    assert_eq!(right.metric("supportal_bridge_gaps_total"), 0.0);
}

#[test]
fn a_room_goes_on_after_flushall_and_after_its_functions_were_forgotten_r8() {
    let redis = Redis::start(&[]);
    let (left, right) = (stream_node(&redis, &[SHORT]), stream_node(&redis, &[SHORT]));
    let (mut ann, mut bob) = (left.join("abc"), right.join("abc"));
    talk(&mut ann, 0..10);
    redis.command(&["FLUSHALL"]);
    talk(&mut ann, 10..20);
    listen(&mut bob, 0..20);
    until_metric(&left, "supportal_bridge_resets_total", 1.0);
    until_metric(&right, "supportal_bridge_resets_total", 1.0);
    redis.command(&["SCRIPT", "FLUSH"]);
    talk(&mut ann, 20..30);
    listen(&mut bob, 20..30);
    assert_eq!(right.metric("supportal_bridge_gaps_total"), 0.0);
}

#[test]
fn a_redis_that_stands_still_delays_a_room_once_and_nothing_comes_late_r3() {
    let mut redis = Redis::start(&[]);
    let settings = ["queue.expiry=3s", "bridge.outbox_capacity=40", SHORT];
    let (left, right) = (
        stream_node(&redis, &settings),
        stream_node(&redis, &settings),
    );
    let canaries = Canaries::start(&right);
    let (mut ann, mut bob) = (left.join("abc"), right.join("abc"));
    talk(&mut ann, 0..10);
    listen(&mut bob, 0..10);
    redis.blow(Blow::Stop);
    let watch = wait::Watch::start();
    until_down(&left);
    // Noticed within 3 s by design; the machine of a test may be slow.
    assert!(watch.elapsed() < RECOVERY / 2, "{:?}", watch.elapsed());
    until_down(&right);
    let mut eve = left.join("other");
    talk(&mut eve, 0..1);
    talk(&mut ann, 10..110);
    let waiting = left.metric("supportal_bridge_outbox");
    assert!(waiting <= 42.0, "{waiting} in the outbox");
    assert!(left.metric("supportal_bridge_dropped_total{cause=\"full\"}") > 0.0);
    wait::until("the outbox to expire", RECOVERY, || {
        left.metric("supportal_bridge_outbox") == 0.0
    });
    redis.blow(Blow::Continue);
    until_up(&left);
    until_up(&right);
    talk(&mut ann, 110..111);
    listen(&mut bob, 110..111);
    wait::until(
        "what never came to the stream to be counted",
        RECOVERY,
        || {
            right.metric("supportal_bridge_gaps_total")
                + right.metric("supportal_bridge_dropped_total{cause=\"late\"}")
                == 100.0
        },
    );
    canaries.finish();
}

#[test]
fn after_a_redis_that_stood_still_there_is_one_order_again_and_nothing_comes_late_or_twice_r3() {
    let mut redis = Redis::start(&[]);
    let settings = ["queue.expiry=4s", SHORT];
    let nodes = [(); 2].map(|()| stream_node(&redis, &settings));
    let mut members = [nodes[0].join("abc"), nodes[1].join("abc")];
    let said = |who: usize, numbers: std::ops::Range<usize>| -> Vec<String> {
        numbers.map(|number| format!("{who} {number}")).collect()
    };
    // Both speak, and each hears itself at once; some were on their way when Redis stood still.
    let speak = |members: &mut [Client; 2], numbers: std::ops::Range<usize>| {
        for (who, member) in members.iter_mut().enumerate() {
            for text in said(who, numbers.clone()) {
                say(member, &text);
                expect(member, &text);
            }
        }
    };
    redis.blow(Blow::Stop);
    let watch = wait::Watch::start();
    speak(&mut members, 0..10);
    for node in &nodes {
        until_down(node);
    }
    // Noticed within 3 s by design; the machine of a test may be slow.
    assert!(watch.elapsed() < RECOVERY / 3, "{:?}", watch.elapsed());
    speak(&mut members, 10..20);
    for node in &nodes {
        wait::until("all of it to expire", RECOVERY, || {
            node.metric("supportal_bridge_outbox") == 0.0
        });
    }
    speak(&mut members, 20..40);
    redis.blow(Blow::Continue);
    for (who, member) in members.iter_mut().enumerate() {
        assert_eq!(read(member, 20), said(1 - who, 20..40));
    }
    for node in &nodes {
        until_metric(node, ORDERED, 1.0);
    }
    for (who, member) in members.iter_mut().enumerate() {
        for text in said(who, 40..90) {
            say(member, &text);
        }
    }
    let orders: Vec<Vec<String>> = members.iter_mut().map(|one| read(one, 100)).collect();
    assert_eq!(orders[0], orders[1]);
    for node in &nodes {
        let dropped = |cause| {
            node.metric(&format!(
                "supportal_bridge_dropped_total{{cause={cause:?}}}"
            ))
        };
        assert_eq!(dropped("expired"), 20.0);
        let missed = node.metric("supportal_bridge_gaps_total") + dropped("late");
        assert_eq!(missed, 20.0, "those of the other");
    }
}

#[test]
fn a_redis_that_comes_back_with_an_older_stream_repeats_nothing_and_what_is_new_arrives() {
    let mut redis = Redis::start(&[]);
    let nodes = [(); 2].map(|()| stream_node(&redis, &[SHORT]));
    let (mut ann, mut bob) = (nodes[0].join("abc"), nodes[1].join("abc"));
    talk(&mut ann, 0..10);
    assert_eq!(redis.command(&["SAVE"]).text(), "OK");
    talk(&mut ann, 10..20);
    listen(&mut bob, 0..20);
    redis.blow(Blow::Kill);
    talk(&mut ann, 20..30);
    redis.launch();
    nodes.iter().for_each(until_up);
    listen(&mut bob, 20..30);
    talk(&mut ann, 30..40);
    listen(&mut bob, 30..40);
    // The speaker's own place went back with the stream.
    say(&mut bob, "of bob");
    expect(&mut bob, "of bob");
    expect(&mut ann, "of bob");
    for node in &nodes {
        until_metric(node, ORDERED, 1.0);
        assert!(node.metric("supportal_bridge_resets_total") >= 1.0);
        assert_eq!(node.metric("supportal_bridge_gaps_total"), 0.0);
    }
}

#[test]
fn redis_may_come_after_the_nodes_r1() {
    let mut redis = Redis::absent(&[]);
    let node = |redis: &Redis| stream_node_at(&redis.url(), &[SHORT]);
    let (left, right) = (node(&redis), node(&redis));
    until_down(&left);
    let (mut ann, mut bob) = (left.join("abc"), right.join("abc"));
    talk(&mut ann, 0..3);
    let answer = left.admin("/history?room=chat_1_abc");
    assert_eq!(answer.status, 503, "{}", answer.text());
    redis.launch();
    until_up(&left);
    until_up(&right);
    until_confirmed(&left, 1.0);
    until_confirmed(&right, 1.0);
    say(&mut ann, "together");
    expect(&mut ann, "together");
    // What was said before may have been too early for the other node.
    let mut heard = read(&mut bob, 1);
    while heard.last().is_some_and(|text| text != "together") {
        heard.extend(read(&mut bob, 1));
    }
    assert!(heard.is_sorted(), "{heard:?}");
}

#[test]
fn a_room_whose_key_is_somebody_elses_goes_on_within_its_nodes() {
    let redis = Redis::start(&[]);
    redis.command(&["SET", "supportal:stream:{chat_1_abc}", "mine"]);
    let (left, right) = (stream_node(&redis, &[SHORT]), stream_node(&redis, &[SHORT]));
    let mut ann = left.join("abc");
    let (mut eve, mut dan) = (left.join("other"), right.join("other"));
    talk(&mut ann, 0..3);
    talk(&mut eve, 0..3);
    listen(&mut dan, 0..3);
    until_metric(&left, DROPPED_REFUSED, 3.0);
    assert!(is_up(&left));
    assert_eq!(left.admin("/history?room=chat_1_abc").status, 502);
}

#[test]
fn a_room_whose_key_was_somebody_elses_is_whole_again_once_that_is_deleted() {
    const KEY: &str = "supportal:stream:{chat_1_abc}";
    let redis = Redis::start(&[]);
    redis.command(&["SET", KEY, "mine"]);
    let (left, right) = (stream_node(&redis, &[SHORT]), stream_node(&redis, &[SHORT]));
    let (mut ann, mut bob) = (left.join("abc"), right.join("abc"));
    talk(&mut ann, 0..3);
    // Before the key is given back, or it would take the rest of them.
    until_metric(&left, DROPPED_REFUSED, 3.0);
    until_metric(&left, ORDERED, 0.0);
    redis.command(&["DEL", KEY]);
    // The first one said is heard, however soon it is.
    talk(&mut ann, 3..4);
    listen(&mut bob, 3..4);
    let watch = wait::Watch::start();
    until_metric(&left, ORDERED, 1.0);
    until_metric(&right, ORDERED, 1.0);
    assert!(watch.elapsed() < RECOVERY / 2, "{:?}", watch.elapsed());
    // It becomes somebody else's while it is in use, and nobody speaks when it is given back.
    redis.command(&["SET", KEY, "mine again"]);
    talk(&mut ann, 4..6);
    say(&mut bob, "of bob");
    expect(&mut bob, "of bob");
    until_metric(&left, DROPPED_REFUSED, 5.0);
    until_metric(&right, DROPPED_REFUSED, 1.0);
    until_metric(&left, ORDERED, 0.0);
    until_metric(&right, ORDERED, 0.0);
    redis.command(&["DEL", KEY]);
    // Within 2 s by design; the machine of a test may be slow.
    let watch = wait::Watch::start();
    until_metric(&left, ORDERED, 1.0);
    until_metric(&right, ORDERED, 1.0);
    assert!(watch.elapsed() < RECOVERY / 2, "{:?}", watch.elapsed());
    talk(&mut ann, 6..8);
    listen(&mut bob, 6..8);
    say(&mut bob, "the end");
    expect(&mut ann, "the end");
    // Two that were refused; of the other node nothing had been heard before.
    for (node, missed) in [(&left, 0.0), (&right, 2.0)] {
        assert_eq!(node.metric("supportal_bridge_gaps_total"), missed);
        let log = node.log();
        assert!(log.matches("a room's stream").count() <= 2, "{log}");
    }
}

#[test]
fn a_redis_that_is_full_is_down_for_streams_and_back_once_it_has_room_r7() {
    let redis = Redis::start(&["--maxmemory-policy", "noeviction"]);
    let (left, right) = (stream_node(&redis, &[SHORT]), stream_node(&redis, &[SHORT]));
    let (mut ann, mut bob) = (left.join("abc"), right.join("abc"));
    talk(&mut ann, 0..3);
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    talk(&mut ann, 3..6);
    wait::until("the lack of memory to be the reason", RECOVERY, || {
        left.admin("/ready").text().contains("OOM")
    });
    talk(&mut ann, 6..9);
    redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
    until_up(&left);
    talk(&mut ann, 9..12);
    listen(&mut bob, 0..12);
}

#[test]
fn what_was_accepted_before_sigterm_reaches_everybody() {
    let redis = Redis::start(&[]);
    let left = stream_node(&redis, &["server.drain_grace=1s"]);
    let right = stream_node(&redis, &[]);
    let (mut ann, mut bob) = (left.join("abc"), right.join("abc"));
    for number in 0..500 {
        say(&mut ann, &format!("{number}"));
    }
    expect(&mut ann, "0");
    left.signal(crate::support::Signal::Term);
    listen(&mut bob, 0..500);
    listen(&mut ann, 1..500);
    assert_eq!(left.wait_exit(RECOVERY), Some(0));
}
