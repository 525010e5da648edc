//! The rights that `check --redis` prints are enough for everything, and each is needed.

use super::streams::stream_node_at;
use super::streams_faults::{listen, talk};
use super::*;
use crate::support::deployment::{Watched, check_redis, cluster};
use crate::support::rights::{assert_each_is_needed, assert_no_denial, grant, rights};

#[track_caller]
fn check(url: &str, mode: &str) -> (bool, String) {
    let mode = format!("bridge.mode={mode}");
    let output = check_redis(&["--set", &mode, "--redis-url", url]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!text.contains("secret"), "{text}");
    (output.status.success(), text)
}

/// A node as exactly the user of the printed rights; then without each of them in turn.
#[track_caller]
fn is_exact(url: &str, title: &str, servers: &[&Redis]) {
    for mode in ["pubsub", "streams"] {
        grant(servers, &["+@all", "~*", "&*"].map(str::to_owned));
        let (_, text) = check(url, mode);
        let rights = rights(&text, title);
        for word in ["+@connection", "+cluster", "+client", "+@all"] {
            assert!(!rights.contains(&word.to_owned()), "{rights:?}");
        }
        grant(servers, &rights);
        let (is_good, text) = check(url, mode);
        assert!(is_good && !text.contains("done without"), "{text}");
        let nodes = [(); 2].map(|()| match mode {
            "streams" => stream_node_at(url, &["bridge.linger=10ms"]),
            _ => node_at(url, &["bridge.linger=10ms"]),
        });
        nodes.iter().for_each(until_up);
        let (mut ann, mut bob) = (nodes[0].join("abc"), nodes[1].join("abc"));
        talk(&mut ann, 0..3);
        listen(&mut bob, 0..3);
        drop((ann, bob));
        nodes.iter().for_each(|node| until_confirmed(node, 0.0));
        drop(nodes);
        assert_no_denial(servers);
        assert_each_is_needed(servers, &rights, mode, || check(url, mode));
    }
}

#[test]
fn of_one_server_in_a_database() {
    let redis = Redis::start(&[]);
    let port = redis.address().port();
    is_exact(
        &format!("redis://chat:secret@127.0.0.1:{port}/2"),
        "rights it needs",
        &[&redis],
    );
}

#[test]
fn of_a_master_and_of_its_sentinels() {
    let watched = Watched::start();
    let port = watched.sentinel.address().port();
    let url = format!(
        "redis-sentinel://chat:secret@127.0.0.1:{port}?sentinelServiceName=mymaster&sentinelUsername=chat&sentinelPassword=secret"
    );
    let (_, text) = check(&url, "pubsub");
    grant(
        &[&watched.sentinel],
        &rights(&text, "rights it needs at the sentinels"),
    );
    is_exact(&url, "rights it needs", &[&watched.master]);
    assert_no_denial(&[&watched.sentinel]);
}

#[test]
fn of_a_cluster() {
    let nodes = cluster(&[]);
    let servers: Vec<&Redis> = nodes.iter().collect();
    let port = nodes[0].address().port();
    is_exact(
        &format!("redis-cluster://chat:secret@127.0.0.1:{port}"),
        "rights it needs at the Cluster",
        &servers,
    );
}
