//! Mode `streams` at a Redis that refuses, in the words of each version: what was said waits for it, and nothing is dropped.

use super::streams::stream_node_at;
use super::streams_faults::{DROPPED_REFUSED, SHORT, listen, talk};
use super::*;
use crate::support::proxy::Proxy;
use crate::support::redis::Reply;

/// Two nodes over one Redis, which words errors as 6.2 does if it `is_old`.
#[track_caller]
fn nodes_over(redis: &Redis, is_old: bool) -> (Proxy, [Gateway; 2]) {
    let proxy = match is_old {
        true => Proxy::of_redis_6_2(redis.address()),
        false => Proxy::start(redis.address()),
    };
    let nodes = [(); 2].map(|()| stream_node_at(&proxy.url(), &[SHORT]));
    nodes.iter().for_each(until_up);
    (proxy, nodes)
}

#[test]
fn a_demotion_drops_nothing_whichever_redis_says_it() {
    for is_old in [false, true] {
        let redis = Redis::start(&[]);
        let (_proxy, nodes) = nodes_over(&redis, is_old);
        let (mut ann, mut bob) = (nodes[0].join("abc"), nodes[1].join("abc"));
        talk(&mut ann, 0..10);
        // Of a master that is nowhere: what it holds it keeps.
        redis.command(&["REPLICAOF", "127.0.0.1", "1"]);
        talk(&mut ann, 10..20);
        nodes.iter().for_each(until_down);
        redis.command(&["REPLICAOF", "NO", "ONE"]);
        nodes.iter().for_each(until_up);
        talk(&mut ann, 20..30);
        listen(&mut bob, 0..30);
        for node in &nodes {
            assert_eq!(node.metric(DROPPED_REFUSED), 0.0, "old: {is_old}");
            assert_eq!(node.metric("supportal_bridge_gaps_total"), 0.0);
        }
    }
}

#[test]
fn a_redis_that_is_full_alone_busy_or_cannot_save_drops_nothing_in_either_version() {
    for is_old in [false, true] {
        let redis = Redis::start(&[]);
        let (_proxy, nodes) = nodes_over(&redis, is_old);
        let (mut ann, mut bob) = (nodes[0].join("abc"), nodes[1].join("abc"));
        let mut sent = 0;
        let mut through = |hit: &dyn Fn(), cure: &dyn Fn()| {
            talk(&mut ann, sent..sent + 5);
            hit();
            talk(&mut ann, sent + 5..sent + 10);
            nodes.iter().for_each(until_down);
            cure();
            nodes.iter().for_each(until_up);
            talk(&mut ann, sent + 10..sent + 15);
            listen(&mut bob, sent..sent + 15);
            sent += 15;
        };
        let set = |key: &str, value: &str| {
            assert_eq!(redis.command(&["CONFIG", "SET", key, value]).text(), "OK");
        };
        // OOM.
        through(&|| set("maxmemory", "1"), &|| set("maxmemory", "0"));
        // NOREPLICAS.
        let (none, some) = (
            || set("min-replicas-to-write", "0"),
            || set("min-replicas-to-write", "1"),
        );
        through(&some, &none);
        // MISCONF: a folder is in the way of what is to be saved.
        let unsaved = || {
            let Reply::Array(dir) = redis.command(&["CONFIG", "GET", "dir"]) else {
                panic!("a folder")
            };
            let taken = std::path::Path::new(dir[1].text()).join("dump.rdb");
            std::fs::create_dir_all(taken).expect("a folder");
            set("save", "3600 1");
            redis.command(&["BGSAVE"]);
            wait::until("the save to fail", RECOVERY, || {
                let info = redis.command(&["INFO", "persistence"]);
                info.text().contains("rdb_last_bgsave_status:err")
            });
        };
        through(&unsaved, &|| set("save", ""));
        // BUSY: a script that does not end.
        let busy = || {
            set("busy-reply-threshold", "50");
            redis.connect().send(&[b"EVAL", b"while true do end", b"0"]);
        };
        let kill = || {
            wait::until("the script to be killed", RECOVERY, || {
                redis.command(&["SCRIPT", "KILL"]).text() == "OK"
            });
        };
        through(&busy, &kill);
        for node in &nodes {
            assert_eq!(node.metric(DROPPED_REFUSED), 0.0, "old: {is_old}");
            assert_eq!(node.metric("supportal_bridge_gaps_total"), 0.0);
        }
    }
}
