//! Mode `streams` over Redis as it is deployed: behind Sentinel, and as a Cluster.

use super::slots::DOWN;
use super::streams::{read, stream_node_at};
use super::streams_faults::{ORDERED, SHORT, listen, talk};
use super::*;
use crate::support::Blow;
use crate::support::deployment::{Watched, cluster, cluster_replica};
use crate::support::redis::Reply;

/// What takes 3 s at most, on a slow machine.
const SLOW: Duration = Duration::from_secs(6);

/// Both speak at the same time: both must see one order, each message once.
#[track_caller]
fn one_order(ann: &mut Client, bob: &mut Client) {
    for number in 0..50 {
        say(ann, &format!("ann {number}"));
        say(bob, &format!("bob {number}"));
    }
    assert_eq!(read(ann, 100), read(bob, 100));
}

#[test]
fn a_failover_by_sentinel_loses_nothing_and_repeats_nothing_r6() {
    let mut watched = Watched::start();
    let url = format!(
        "redis-sentinel://127.0.0.1:{}?sentinelServiceName=mymaster",
        watched.sentinel.address().port()
    );
    let nodes = [(); 2].map(|()| stream_node_at(&url, &[SHORT]));
    nodes.iter().for_each(until_up);
    let (mut ann, mut bob) = (nodes[0].join("abc"), nodes[1].join("abc"));
    talk(&mut ann, 0..20);
    listen(&mut bob, 0..20);
    let stream = ["XLEN", "supportal:stream:{chat_1_abc}"];
    wait::until("the replica to have it all", RECOVERY, || {
        watched.replica.command(&stream) == Reply::Number(20)
    });
    watched.master.blow(Blow::Kill);
    let watch = wait::Watch::start();
    talk(&mut ann, 20..60);
    listen(&mut bob, 20..60);
    // Within 3 s by design, of which Sentinel takes one; the machine of a test may be slow.
    assert!(watch.elapsed() < SLOW, "{:?}", watch.elapsed());
    for node in &nodes {
        until_metric(node, ORDERED, 1.0);
    }
    one_order(&mut ann, &mut bob);
    for node in &nodes {
        assert_eq!(node.metric("supportal_bridge_gaps_total"), 0.0);
        assert_eq!(node.metric("supportal_bridge_resets_total"), 0.0);
        assert_eq!(node.metric_sum("supportal_bridge_dropped_total"), 0.0);
    }
}

/// Moves a slot with its keys, with what `meanwhile` does while they are gone from the first server
/// and the second is not yet the slot's.
#[track_caller]
pub(super) fn move_slot(
    nodes: &[Redis],
    slot: i64,
    (from, to): (usize, usize),
    meanwhile: impl FnOnce(),
) {
    let slot = slot.to_string();
    let ids = [from, to].map(|node| nodes[node].command(&["CLUSTER", "MYID"]));
    let set = |node: usize, state: &str, id: &Reply| {
        let words = ["CLUSTER", "SETSLOT", &slot, state, id.text()];
        assert_eq!(nodes[node].command(&words).text(), "OK");
    };
    set(to, "IMPORTING", &ids[0]);
    set(from, "MIGRATING", &ids[1]);
    let keys = nodes[from].command(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]);
    let (keys, port) = (keys.texts(), nodes[to].address().port().to_string());
    let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
    words.extend(keys.iter().map(String::as_str));
    assert_eq!(nodes[from].command(&words).text(), "OK", "{keys:?}");
    meanwhile();
    for node in [to, from, 3 - from - to] {
        set(node, "NODE", &ids[1]);
    }
}

#[test]
fn a_cluster_keeps_the_streams_and_a_slot_may_move_with_its_own() {
    let nodes = cluster(&[]);
    let url = format!("redis-cluster://127.0.0.1:{}", nodes[0].address().port());
    let gateways = [(); 2].map(|()| stream_node_at(&url, &[SHORT]));
    gateways.iter().for_each(until_up);
    let mut members: Vec<(Client, Client)> = (0..9)
        .map(|n| {
            let room = format!("r{n}");
            (gateways[0].join(&room), gateways[1].join(&room))
        })
        .collect();
    for (ann, bob) in &mut members {
        talk(ann, 0..10);
        listen(bob, 0..10);
    }
    let slot = |n: usize| {
        let key = format!("supportal:stream:{{chat_1_r{n}}}");
        match nodes[0].command(&["CLUSTER", "KEYSLOT", &key]) {
            Reply::Number(slot) => slot,
            other => panic!("{other:?}"),
        }
    };
    let streams = |redis: &Redis| redis.command(&["KEYS", "supportal:stream:*chat*"]).texts();
    assert!(nodes.iter().all(|redis| !streams(redis).is_empty()));
    let moved: Vec<usize> = (0..9).filter(|&n| slot(n) <= 5460).collect();
    for &n in &moved {
        let (ann, bob) = &mut members[n];
        move_slot(&nodes, slot(n), (0, 1), || talk(ann, 10..20));
        talk(ann, 20..30);
        listen(bob, 10..30);
    }
    assert!(streams(&nodes[0]).is_empty());
    for (n, (ann, bob)) in members.iter_mut().enumerate() {
        let known = if moved.contains(&n) { 30 } else { 10 };
        talk(ann, known..40);
        listen(bob, known..40);
    }
    for gateway in &gateways {
        until_up(gateway);
        until_metric(gateway, ORDERED, 9.0);
    }
    for (ann, bob) in &mut members {
        one_order(ann, bob);
    }
    for gateway in &gateways {
        assert_eq!(gateway.metric(DOWN), 0.0, "{}", gateway.log());
        assert_eq!(gateway.metric("supportal_bridge_gaps_total"), 0.0);
        assert_eq!(gateway.metric("supportal_bridge_resets_total"), 0.0);
        assert_eq!(gateway.metric_sum("supportal_bridge_dropped_total"), 0.0);
    }
}

#[test]
fn a_cluster_that_loses_a_master_loses_no_message_r6() {
    let quick = ["--cluster-node-timeout", "1000"];
    let mut nodes = cluster(&quick);
    let replica = cluster_replica(&nodes, 0, &quick);
    let url = format!(
        "redis-cluster://127.0.0.1:{}?node=127.0.0.1:{}",
        nodes[1].address().port(),
        nodes[2].address().port()
    );
    let gateways = [(); 2].map(|()| stream_node_at(&url, &[SHORT]));
    gateways.iter().for_each(until_up);
    let mut members: Vec<(Client, Client)> = (0..9)
        .map(|n| {
            let room = format!("r{n}");
            (gateways[0].join(&room), gateways[1].join(&room))
        })
        .collect();
    for (ann, bob) in &mut members {
        talk(ann, 0..10);
        listen(bob, 0..10);
    }
    let offset = |redis: &Redis| {
        let info = redis.command(&["INFO", "replication"]);
        let line = info.text().lines().find_map(|line| {
            let line = line.trim_end();
            line.strip_prefix("master_repl_offset:").map(str::to_owned)
        });
        line.expect("an offset")
    };
    wait::until("the replica to have it all", RECOVERY, || {
        offset(&nodes[0]) == offset(&replica)
    });
    nodes[0].blow(Blow::Kill);
    let watch = wait::Watch::start();
    for (ann, bob) in &mut members {
        talk(ann, 10..20);
        say(bob, "of bob");
    }
    for (ann, bob) in &mut members {
        // Bob hears himself at once, and what others said meanwhile when Redis is back.
        let mut heard = read(bob, 11);
        heard.retain(|text| text != "of bob");
        let said: Vec<String> = (10..20).map(|number| number.to_string()).collect();
        assert_eq!(heard, said);
        expect(ann, "of bob");
    }
    assert!(watch.elapsed() < RECOVERY, "{:?}", watch.elapsed());
    for gateway in &gateways {
        until_up(gateway);
        until_metric(gateway, ORDERED, 9.0);
        assert_eq!(gateway.metric("supportal_bridge_gaps_total"), 0.0);
        assert_eq!(gateway.metric_sum("supportal_bridge_dropped_total"), 0.0);
    }
    for (ann, bob) in &mut members {
        one_order(ann, bob);
    }
}
