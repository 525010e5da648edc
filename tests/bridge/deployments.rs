//! Redis as it is deployed: several of them, behind Sentinel, as a Cluster, with TLS; and
//! `supportal check --redis` of it.

use super::*;
use crate::support::deployment::{Sealed, Watched, check_redis, cluster};
use crate::support::redis::{Reply, free_port};
use crate::support::{Blow, Frame};
use supportal::internal::redis::link_of;

#[test]
fn rooms_spread_over_several_redis_and_one_may_fail_alone() {
    let mut redis = [Redis::start(&[]), Redis::start(&[])];
    let urls = format!("{},{}", redis[0].url(), redis[1].url());
    let (left, right) = (node_at(&urls, &[]), node_at(&urls, &[]));
    until_up(&left);
    until_up(&right);
    let room = |link: usize| {
        let name = |n: &usize| link_of(&format!("chat_1_r{n}"), 2) == link;
        format!("r{}", (0..100).find(name).expect("a room there"))
    };
    let rooms = [room(0), room(1)];
    let mut members: Vec<(Client, Client)> = rooms
        .iter()
        .map(|room| (left.join(room), right.join(room)))
        .collect();
    for (ann, bob) in &mut members {
        say(ann, "both");
        expect(ann, "both");
        expect(bob, "both");
    }
    for (link, redis) in redis.iter().enumerate() {
        let channels = redis
            .command(&["PUBSUB", "CHANNELS", "supportal:room:*"])
            .texts();
        assert_eq!(channels, [format!("supportal:room:chat_1_{}", rooms[link])]);
    }
    redis[0].blow(Blow::Kill);
    until_down(&left);
    let (ann, bob) = &mut members[1];
    say(ann, "the other");
    expect(bob, "the other");
    let reason = format!("bridge.urls[0] ({}) is down", redis[0].url());
    assert!(left.admin("/ready").text().contains(&reason));
    assert_eq!(left.metric("supportal_bridge_up{link=\"0\"}"), 0.0);
    assert_eq!(left.metric("supportal_bridge_up{link=\"1\"}"), 1.0);
    redis[0].launch();
    until_up(&left);
    until_up(&right);
    until_confirmed(&right, 2.0);
    let (ann, bob) = &mut members[0];
    say(ann, "again");
    expect(bob, "again");
}

#[test]
fn sentinel_names_the_master_and_after_a_failover_the_new_one_r6() {
    let mut watched = Watched::start();
    let url = format!(
        "redis-sentinel://127.0.0.1:{}?sentinelServiceName=mymaster",
        watched.sentinel.address().port()
    );
    let (left, right) = (node_at(&url, &[]), node_at(&url, &[]));
    until_up(&left);
    until_up(&right);
    let (mut ann, mut bob) = (left.join("abc"), right.join("abc"));
    say(&mut ann, "before");
    expect(&mut bob, "before");
    watched.master.blow(Blow::Kill);
    until_down(&left);
    until_down(&right);
    until_up(&left);
    until_up(&right);
    until_confirmed(&right, 1.0);
    say(&mut ann, "after");
    expect(&mut bob, "after");
    let role = watched.replica.command(&["ROLE"]);
    let Reply::Array(role) = role else {
        panic!("{role:?}")
    };
    assert_eq!(role[0].text(), "master");
}

#[test]
fn a_cluster_carries_rooms_by_sharded_channels_and_slots_may_move() {
    // A master whose last slot is taken would become a replica, and could not take them back.
    let nodes = cluster(&["--cluster-allow-replica-migration", "no"]);
    let url = format!("redis-cluster://127.0.0.1:{}", nodes[0].address().port());
    let (left, right) = (node_at(&url, &[]), node_at(&url, &["bridge.linger=50ms"]));
    until_up(&left);
    until_up(&right);
    let mut members: Vec<(Client, Client)> = (0..12)
        .map(|n| (left.join(&format!("r{n}")), right.join(&format!("r{n}"))))
        .collect();
    for (ann, bob) in &mut members {
        say(ann, "sharded");
        expect(bob, "sharded");
        say(bob, "back");
        expect(ann, "sharded");
        expect(ann, "back");
        expect(bob, "back");
    }
    let spread: Vec<usize> = nodes
        .iter()
        .map(|redis| {
            redis
                .command(&["PUBSUB", "SHARDCHANNELS", "supportal:room:*"])
                .texts()
                .len()
        })
        .collect();
    assert_eq!(spread.iter().sum::<usize>(), 12);
    assert!(spread.iter().all(|&rooms| rooms > 0), "{spread:?}");
    for (turn, to) in [1, 0, 1].into_iter().enumerate() {
        move_all(&nodes, to);
        // What is said before both nodes have subscribed where the rooms are is lost, and counted.
        for (ann, bob) in &mut members {
            until_heard(ann, bob, &format!("ann {turn}"));
            until_heard(bob, ann, &format!("bob {turn}"));
        }
    }
}

/// Speaks until the other one hears.
fn until_heard(speaker: &mut Client, listener: &mut Client, word: &str) {
    let hears = |client: &mut Client| {
        let frame = client.receive_within(Duration::from_millis(100));
        matches!(frame, Some(Frame::Text(text)) if text.contains(word))
    };
    wait::until("a room to be heard where it is now", RECOVERY, || {
        say(speaker, word);
        hears(listener)
    });
}

/// The first third of the Cluster's slots goes to this server, slot by slot. The server says so in an
/// epoch of its own: the others hear it by gossip, each in its time, and none of them can claim the slots
/// back on the way.
fn move_all(nodes: &[Redis], to: usize) {
    let id = nodes[to].command(&["CLUSTER", "MYID"]);
    let mut line = nodes[to].connect();
    line.command(&["CLUSTER", "BUMPEPOCH"]);
    for slot in 0..=5460 {
        let set = line.command(&["CLUSTER", "SETSLOT", &slot.to_string(), "NODE", id.text()]);
        assert_eq!(set.text(), "OK");
    }
    wait::until("every server to have heard of the move", RECOVERY, || {
        let port = format!(":{}@", nodes[to].address().port());
        nodes.iter().all(|redis| {
            let known = redis.command(&["CLUSTER", "NODES"]);
            let line = known.text().lines().find(|line| line.contains(&port));
            // The second server's own slots follow the first one's.
            line.is_some_and(|line| line.contains(" 0-5460") || line.contains(" 0-10922"))
        })
    });
}

#[test]
fn tls_with_a_certificate_of_ones_own() {
    let sealed = Sealed::start();
    let (url, trust) = (sealed.url(), sealed.trust());
    let (left, right) = (node_at(&url, &[&trust]), node_at(&url, &[&trust]));
    until_up(&left);
    until_up(&right);
    let (mut ann, mut bob) = (left.join("abc"), right.join("abc"));
    say(&mut ann, "sealed");
    expect(&mut bob, "sealed");
    // Without the certificate it is a stranger.
    let other = Sealed::start();
    let trust = other.trust();
    let stranger = node_at(&url, &[&trust]);
    stranger.wait_log("the bridge is down", 1);
    assert!(!is_up(&stranger));
}

#[test]
fn check_connects_to_every_redis_and_says_what_it_found() {
    let redis = Redis::start(&["--requirepass", "hunter2"]);
    let good = format!("redis://:hunter2@127.0.0.1:{}/3", redis.address().port());
    let output = check_redis(&["--redis-url", &good]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    for part in [
        "version ",
        "master",
        "ping ",
        "canary ",
        "supportal/3:room:",
        "(hidden)@127.0.0.1",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let wrong = good.replace("hunter2", "hunter3");
    let nobody = format!("redis://127.0.0.1:{}", free_port());
    for url in [&wrong, &nobody] {
        let output = check_redis(&["--redis-url", url]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("FAILED: "), "{text}");
        assert!(!text.contains("hunter"), "{text}");
    }
    let output = check_redis(&[]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("none is used"));
}
