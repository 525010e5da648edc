//! What networks and Redis' own settings do: slow, cut, half-open, garbage, full, locked, demoted.

use super::*;
use crate::support::Canaries;
use crate::support::proxy::{Proxy, Weather};

#[test]
fn bad_weather_between_a_node_and_its_redis_is_survived_r4() {
    let redis = Redis::start(&[]);
    let proxy = Proxy::start(redis.address());
    let (left, right) = (node_at(&proxy.url(), &[]), node(&redis, &[]));
    until_up(&left);
    let canaries = Canaries::start(&left);
    let (mut ann, mut bob) = (left.join("abc"), right.join("abc"));
    say(&mut ann, "fair");
    expect(&mut ann, "fair");
    expect(&mut bob, "fair");
    // Slow is not down.
    for weather in [Weather::Slow, Weather::Drops] {
        proxy.set(weather);
        let text = format!("{weather:?}");
        say(&mut ann, &text);
        expect(&mut ann, &text);
        expect(&mut bob, &text);
        say(&mut bob, &text);
        expect(&mut ann, &text);
        expect(&mut bob, &text);
    }
    for weather in [Weather::Cut, Weather::Garbage, Weather::Silence] {
        proxy.set(weather);
        until_down(&left);
        say(&mut ann, "within the node");
        expect(&mut ann, "within the node");
        proxy.set(Weather::Fair);
        until_up(&left);
        // It waited in the outbox; the other node was there all the time.
        expect(&mut bob, "within the node");
        say(&mut bob, "back");
        expect(&mut bob, "back");
        expect(&mut ann, "back");
        until_confirmed(&left, 3.0);
    }
    canaries.finish();
    assert_eq!(right.metric("supportal_bridge_gaps_total"), 0.0);
}

#[test]
fn a_node_cut_off_alone_keeps_its_rooms_and_the_gap_is_counted_r5() {
    let redis = Redis::start(&[]);
    let proxy = Proxy::start(redis.address());
    let (left, right) = (node_at(&proxy.url(), &[]), node(&redis, &[]));
    until_up(&left);
    let (mut ann, mut bob) = (left.join("abc"), right.join("abc"));
    say(&mut bob, "before");
    expect(&mut bob, "before");
    expect(&mut ann, "before");
    proxy.set(Weather::Cut);
    until_down(&left);
    for number in 0..7 {
        say(&mut bob, &format!("unheard {number}"));
        expect(&mut bob, &format!("unheard {number}"));
    }
    proxy.set(Weather::Fair);
    until_up(&left);
    // No further message is needed: the hello of the node that is back brings the mark.
    until_metric(&left, "supportal_bridge_gaps_total", 7.0);
    say(&mut bob, "after");
    expect(&mut ann, "after");
}

#[test]
fn a_full_redis_still_carries_messages_r7() {
    let redis = Redis::start(&["--maxmemory", "2mb", "--maxmemory-policy", "noeviction"]);
    let (left, right) = (node(&redis, &[]), node(&redis, &[]));
    let mut hog = redis.connect();
    let large = "x".repeat(100_000);
    let is_full = |number: usize| {
        let reply = hog.command(&["SET", &format!("hog{number}"), &large]);
        reply.text().starts_with("-OOM")
    };
    assert!((0..100).any(is_full), "redis is not full");
    let (mut ann, mut bob) = (left.join("abc"), right.join("abc"));
    say(&mut ann, "through");
    expect(&mut bob, "through");
    redis.command(&["FLUSHALL"]);
    say(&mut ann, "again");
    expect(&mut bob, "again");
    assert!(is_up(&left) && is_up(&right));
}

#[test]
fn a_password_that_changes_is_told_once_and_taken_up_again_r8() {
    let redis = Redis::start(&["--requirepass", "first"]);
    let url = format!("redis://:first@127.0.0.1:{}", redis.address().port());
    let left = node_at(&url, &[]);
    until_up(&left);
    let mut operator = redis.connect();
    operator.command(&["AUTH", "first"]);
    operator.command(&["CONFIG", "SET", "requirepass", "second"]);
    for kind in ["normal", "pubsub"] {
        operator.command(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]);
    }
    wait::until("the refusal to be the reason", RECOVERY, || {
        left.admin("/ready").text().contains("WRONGPASS")
    });
    let mut ann = left.join("abc");
    say(&mut ann, "here");
    expect(&mut ann, "here");
    operator.command(&["CONFIG", "SET", "requirepass", "first"]);
    until_up(&left);
    let log = left.wait_log("the bridge is down", 1);
    assert_eq!(log.matches("the bridge is down").count(), 1, "{log}");
    assert!(!log.contains(":first@"), "a password is in the log");
}

#[test]
fn a_user_with_the_rights_of_its_channels_is_enough_and_one_without_is_told_so_r8() {
    let redis = Redis::start(&[]);
    redis.command(&[
        "ACL",
        "SETUSER",
        "chat",
        "on",
        ">secret",
        "resetchannels",
        "&supportal:*",
        "+@connection",
        "+publish",
        "+subscribe",
        "+unsubscribe",
    ]);
    let port = redis.address().port();
    let url = format!("redis://chat:secret@127.0.0.1:{port}");
    let (left, right) = (node_at(&url, &[]), node_at(&url, &[]));
    until_up(&left);
    until_up(&right);
    let (mut ann, mut bob) = (left.join("abc"), right.join("abc"));
    say(&mut ann, "allowed");
    expect(&mut bob, "allowed");
    let other = node_at(&url, &["bridge.prefix=other"]);
    wait::until("the refusal to be the reason", RECOVERY, || {
        other.admin("/ready").text().contains("NOPERM")
    });
    let mut eve = other.join("abc");
    say(&mut eve, "alone");
    expect(&mut eve, "alone");
}

#[test]
fn a_redis_that_becomes_a_replica_is_not_published_to_r8() {
    let redis = Redis::start(&[]);
    let left = node(&redis, &[]);
    redis.command(&["REPLICAOF", "127.0.0.1", "1"]);
    wait::until("the replica to be the reason", RECOVERY, || {
        left.admin("/ready").text().contains("replica")
    });
    let mut ann = left.join("abc");
    say(&mut ann, "here");
    expect(&mut ann, "here");
    redis.command(&["REPLICAOF", "NO", "ONE"]);
    until_up(&left);
}

#[test]
fn a_redis_that_is_loading_or_takes_no_more_clients_is_waited_for_r8() {
    use std::io::{Read, Write};
    let loading = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("redis://{}", loading.local_addr().expect("its address"));
    std::thread::spawn(move || {
        for mut client in loading.incoming().map_while(Result::ok) {
            let mut buffer = [0; 1024];
            while client.read(&mut buffer).is_ok_and(|count| count > 0) {
                if client
                    .write_all(b"-LOADING Redis is loading the dataset in memory\r\n")
                    .is_err()
                {
                    break;
                }
            }
        }
    });
    let node = node_at(&url, &[]);
    wait::until("the loading to be the reason", RECOVERY, || {
        node.admin("/ready").text().contains("LOADING")
    });
    let redis = Redis::start(&["--maxclients", "3"]);
    let _hogs: Vec<_> = (0..3).map(|_| redis.connect()).collect();
    let other = node_at(&redis.url(), &[]);
    until_down(&other);
    let mut ann = other.join("abc");
    say(&mut ann, "here");
    expect(&mut ann, "here");
}
