//! Keys that hold something else, and a Redis that refuses: counted, named once, and nobody else is held up.

use super::*;
use crate::support::proxy::{Proxy, Weather};
use crate::support::redis::Reply;

const REFUSED: &str = "supportal_channels_dropped_total{cause=\"refused\"}";
const DOWN: &str = "supportal_channels_changes_total{state=\"down\"}";

fn foreign(whose: &str) -> String {
    format!("supportal_channels_foreign_keys_total{{whose=\"{whose}\"}}")
}

/// The key of the receiver that a room comes by.
#[track_caller]
fn receiver(redis: &Redis, group: &str) -> String {
    let member = members(redis, group).pop().expect("a member");
    let (process, _) = member.split_once('!').expect("a channel of a process");
    format!("asgi{process}!")
}

#[test]
fn what_others_leave_under_a_nodes_own_names_is_deleted_and_holds_up_nobody() {
    let redis = Redis::start(&[]);
    let mut site = site("core", &[&redis], &json!({}));
    let gateway = node("core", &[&redis], &[]);
    let mut a = gateway.join("a");
    let mut other = (0..).map(|n| n.to_string()).find_map(|session| {
        let client = gateway.join(&session);
        let group = format!("chat_1_{session}");
        let is_other = receiver(&redis, &group) != receiver(&redis, "chat_1_a");
        is_other.then_some((group, client))
    });
    let (group, client) = other.as_mut().expect("a room of another receiver");
    let marks = redis.command(&["KEYS", "asgispecific.*joined*"]).texts();
    let (own, _) = marks[0].split_once('$').expect("a name of the node's own");
    for (round, key) in [receiver(&redis, "chat_1_a"), format!("{own}$canary")]
        .iter()
        .enumerate()
    {
        redis.command(&["SET", key, "somebody else's"]);
        site.group_send(group, "not held up");
        expect(client, "not held up");
        until_metric(&gateway, &foreign("own"), round as f64 + 1.0);
        site.group_send("chat_1_a", "healed");
        expect(&mut a, "healed");
    }
    assert_eq!(gateway.metric(DOWN), 0.0);
    let log = gateway.wait_log("under a name of this node's alone", 1);
    assert!(!log.contains("somebody else's"), "{log}");
}

#[test]
fn a_group_whose_key_is_something_else_is_counted_and_the_others_are_joined_and_left() {
    let redis = Redis::start(&[]);
    let mut site = site("core", &[&redis], &json!({}));
    for session in 0..10 {
        redis.command(&["SET", &format!("asgi:group:chat_1_bad{session}"), "text"]);
    }
    let gateway = node("core", &[&redis], &["bridge.linger=0s"]);
    let bad: Vec<Client> = (0..10)
        .map(|session| gateway.join(&format!("bad{session}")))
        .collect();
    let mut good = gateway.join("good");
    site.group_send("chat_1_good", "hello");
    expect(&mut good, "hello");
    until_metric(&gateway, &foreign("group"), 10.0);
    let line = "a group's key is in use for something else";
    let log = gateway.wait_log(line, 1);
    assert_eq!(log.matches(line).count(), 1);
    let refused = log.lines().find(|text| text.contains(line));
    let is_named = refused.is_some_and(|line| line.contains("\"key\":\"asgi:group:room "));
    assert!(is_named, "{log}");
    // The good one, and no other.
    until_metric(&gateway, "supportal_channels_groups{state=\"joined\"}", 1.0);
    assert_eq!(gateway.metric(DOWN), 0.0);
    // All are left together.
    drop((bad, good));
    wait::until("the group to be left", RECOVERY, || {
        members(&redis, "chat_1_good").is_empty()
    });
}

#[test]
fn a_destination_that_is_something_else_keeps_nothing_from_the_others() {
    let redis = Redis::start(&[]);
    let mut site = site("core", &[&redis], &json!({}));
    site.order(&json!({ "do": "join_quietly", "group": "users" }));
    let member = members(&redis, "users").pop().expect("the site's");
    let score = redis.command(&["ZSCORE", "asgi:group:users", &member]);
    let score: f64 = score.text().parse().expect("a time");
    // Two more processes: before and behind the site's in the group.
    for (name, score) in [("0", score - 100.0), ("f", score + 100.0)] {
        let process = format!("specific.{}!", name.repeat(32));
        let (score, member) = (score.to_string(), format!("{process}x"));
        redis.command(&["ZADD", "asgi:group:users", &score, &member]);
        redis.command(&["SET", &format!("asgi{process}"), "text"]);
    }
    let settings = ["channels.send_to_group=users"];
    let gateway = node("core", &[&redis], &settings);
    let mut client = gateway.join("abc");
    for number in 0..20 {
        say(&mut client, &format!("m{number}"));
        assert_eq!(site.hear()["message"], format!("m{number}"));
    }
    until_metric(&gateway, REFUSED, 40.0);
    let log = gateway.wait_log("a user's message did not reach Django", 1);
    assert!(log.contains("WRONGTYPE"), "{log}");
}

#[test]
fn a_workers_channel_that_is_something_else_refuses_each_message_and_no_more() {
    let redis = Redis::start(&[]);
    redis.command(&["SET", "asgisupportal", "text"]);
    let gateway = node("core", &[&redis], &["channels.send_to=supportal"]);
    let mut client = gateway.join("abc");
    say_each(&mut client, 0..20);
    until_metric(&gateway, REFUSED, 20.0);
    redis.command(&["DEL", "asgisupportal"]);
    redis.command(&["SCRIPT", "FLUSH"]);
    say(&mut client, "again");
    let sent = "supportal_channels_sent_total{to=\"worker\"}";
    until_metric(&gateway, sent, 1.0);
    assert_eq!(gateway.metric(DOWN), 0.0);
}

#[test]
fn marks_that_are_something_else_cost_no_message_and_none_is_said_to_be_lost() {
    let redis = Redis::start(&[]);
    let gateway = node("core", &[&redis], &["channels.send_to=supportal"]);
    let mut client = gateway.join("abc");
    let fences = redis.command(&["KEYS", "asgispecific.*joined*"]).texts();
    let (own, _) = fences[0].split_once('$').expect("a name of the node's own");
    for flight in 0..50 {
        redis.command(&[
            "SET",
            &format!("{own}$sent.worker.{flight}"),
            "somebody else's",
        ]);
    }
    let sent = "supportal_channels_sent_total{to=\"worker\"}";
    for number in 0..20 {
        say(&mut client, &format!("m{number}"));
        until_metric(&gateway, sent, f64::from(number) + 1.0);
    }
    assert_eq!(gateway.metric(REFUSED), 0.0);
    let waiting = redis.command(&["ZCARD", "asgisupportal"]);
    assert_eq!(waiting, Reply::Number(20));
}

#[test]
fn what_expired_in_a_workers_channel_makes_room() {
    let redis = Redis::start(&[]);
    for number in 0..3 {
        let old = format!("old{number}");
        redis.command(&["ZADD", "asgisupportal", "1000", &old]);
    }
    let settings = ["channels.send_to=supportal", "channels.capacity=2"];
    let gateway = node("core", &[&redis], &settings);
    let mut client = gateway.join("abc");
    say_each(&mut client, 0..3);
    until_metric(
        &gateway,
        "supportal_channels_dropped_total{cause=\"full\"}",
        1.0,
    );
    let waiting = redis.command(&["ZCARD", "asgisupportal"]);
    assert_eq!(waiting, Reply::Number(2));
}

#[test]
fn of_what_is_too_long_no_more_is_taken_than_shows_it() {
    let redis = Redis::start(&[]);
    let gateway = node("core", &[&redis], &["channels.message_bytes=65536"]);
    let mut client = gateway.join("abc");
    let key = receiver(&redis, "chat_1_abc");
    let sent = || {
        let stats = redis.command(&["INFO", "stats"]);
        let line = |line: &str| line.strip_prefix("total_net_output_bytes:")?.parse().ok();
        let bytes: Option<u64> = stats.text().lines().find_map(line);
        bytes.expect("a number")
    };
    let before = sent();
    let texts: Vec<String> = (0..6).map(|n| n.to_string().repeat(2_000_000)).collect();
    let mut words = vec!["ZADD", key.as_str()];
    words.extend(texts.iter().flat_map(|text| ["1", text.as_str()]));
    redis.command(&words);
    until_metric(
        &gateway,
        "supportal_channels_poison_total{reason=\"too_long\"}",
        6.0,
    );
    // Two that were waited for are here as they are.
    let took = sent() - before;
    assert!(took < 6_000_000, "{took} bytes");
    let mut site = site("core", &[&redis], &json!({}));
    site.group_send("chat_1_abc", "still there");
    expect(&mut client, "still there");
}

#[test]
fn taken_messages_that_are_something_else_meanwhile_hold_nobody_up() {
    let (redis, proxy, gateway) = node_behind_proxy(&[]);
    let mut site = site("core", &[&redis], &json!({}));
    let mut client = gateway.join("abc");
    proxy.set(Weather::Slow);
    let taken = || redis.command(&["KEYS", "asgispecific.*$taken.*"]).texts();
    let mut sent = 0;
    wait::until("messages to be taken", RECOVERY, || {
        site.group_send("chat_1_abc", &format!("m{sent}"));
        sent += 1;
        !taken().is_empty()
    });
    proxy.set(Weather::Cut);
    for key in taken() {
        redis.command(&["SET", &key, "somebody else's"]);
    }
    wait::until("the loss to be noticed", RECOVERY, || !is_up(&gateway));
    proxy.set(Weather::Fair);
    until_up(&gateway);
    site.group_send("chat_1_abc", "after");
    wait::until("the room to hear of it", RECOVERY, || {
        client.receive_json()["message"] == "after"
    });
    assert_eq!(gateway.metric(&foreign("own")), 1.0);
}

/// Has Redis refuse whatever is written, by its own word for why.
#[track_caller]
fn refuse(redis: &Redis, word: &str) {
    match word {
        "OOM" => drop(redis.command(&["CONFIG", "SET", "maxmemory", "1"])),
        "READONLY" => drop(redis.command(&["REPLICAOF", "127.0.0.1", "1"])),
        _ => {
            let Reply::Array(dir) = redis.command(&["CONFIG", "GET", "dir"]) else {
                panic!("no folder")
            };
            let folder = std::path::Path::new(dir[1].text()).join("none.rdb");
            std::fs::create_dir_all(folder.join("full")).expect("a folder in its place");
            redis.command(&["CONFIG", "SET", "save", "3600 1"]);
            redis.command(&["BGSAVE"]);
            wait::until("the snapshot to fail", RECOVERY, || {
                let said = redis.command(&["INFO", "persistence"]);
                said.text().contains("rdb_last_bgsave_status:err")
            });
        }
    }
}

#[track_caller]
fn relent(redis: &Redis, word: &str) {
    let words: &[&str] = match word {
        "OOM" => &["CONFIG", "SET", "maxmemory", "0"],
        "READONLY" => &["REPLICAOF", "NO", "ONE"],
        _ => &["CONFIG", "SET", "save", ""],
    };
    redis.command(words);
}

#[test]
fn users_messages_wait_for_a_redis_that_takes_none_for_now() {
    for word in ["OOM", "MISCONF", "READONLY"] {
        for is_old in [false, true] {
            let redis = Redis::start(&["--dbfilename", "none.rdb"]);
            let proxy = if is_old {
                Proxy::of_redis_6_2(redis.address())
            } else {
                Proxy::start(redis.address())
            };
            let settings = ["channels.send_to=supportal"];
            let gateway = node_at("core", &json!([proxy.url()]), &settings);
            until_up(&gateway);
            let mut client = gateway.join("abc");
            refuse(&redis, word);
            say_each(&mut client, 0..20);
            wait::until("the reason to be known", RECOVERY, || {
                let ready = gateway.admin("/ready").text();
                ready.contains(word) || ready.contains("read-only replica")
            });
            relent(&redis, word);
            let mut site = site("core", &[&redis], &json!({}));
            site.order(&runworker());
            for number in 0..20 {
                assert_eq!(site.hear()["message"], format!("m{number}"), "{word}");
            }
            assert_eq!(gateway.metric(REFUSED), 0.0, "{word}");
            let down = "the channel layer is down";
            assert_eq!(gateway.log().matches(down).count(), 1, "{word}");
            site.group_send("chat_1_abc", "back");
            until_metric(&gateway, "supportal_channels_groups{state=\"joined\"}", 1.0);
        }
    }
}
