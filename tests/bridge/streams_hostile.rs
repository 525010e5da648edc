//! Mode `streams` where somebody else has written into Redis: what is wrong with one key is of those alone who need it.

use super::streams::stream_node_at;
use super::streams_faults::{DROPPED_REFUSED, SHORT, listen, talk};
use super::*;
use crate::support::proxy::{Proxy, Weather};
use crate::support::redis::Reply;

const STREAM: &str = "supportal:stream:{chat_1_abc}";

const WENT_DOWN: &str = "supportal_bridge_changes_total{state=\"down\"}";

#[test]
fn a_room_of_which_redis_has_lost_something_is_told_so_although_the_archive_is_somebody_elses() {
    let redis = Redis::start(&[]);
    let proxy = Proxy::start(redis.address());
    let node = stream_node_at(&proxy.url(), &[SHORT, "archive.mode=streams"]);
    until_up(&node);
    let mut ann = node.join("abc");
    talk(&mut ann, 0..5);
    proxy.set(Weather::Cut);
    until_down(&node);
    let Reply::Array(newest) = redis.command(&["XREVRANGE", STREAM, "+", "-", "COUNT", "1"]) else {
        panic!("entries")
    };
    let Reply::Array(newest) = &newest[0] else {
        panic!("an entry")
    };
    redis.command(&["XDEL", STREAM, newest[0].text()]);
    redis.command(&["DEL", "supportal:origins:{chat_1_abc}", "supportal:archive"]);
    redis.command(&["SET", "supportal:archive", "mine"]);
    let downs = node.metric(WENT_DOWN);
    proxy.set(Weather::Fair);
    until_up(&node);
    // Another epoch has begun, and the node has read it.
    until_metric(&node, "supportal_bridge_rooms{state=\"reading\"}", 0.0);
    talk(&mut ann, 5..6);
    until_metric(&node, DROPPED_REFUSED, 1.0);
    redis.command(&["DEL", "supportal:archive"]);
    talk(&mut ann, 6..20);
    wait::until("what is said to be appended", RECOVERY, || {
        node.metric("supportal_bridge_appended_total") >= 10.0
    });
    assert_eq!(node.metric(WENT_DOWN), downs, "the way over Redis was fine");
}

#[test]
fn a_key_that_is_somebody_elses_and_ours_by_turns_ends_no_session() {
    let redis = Redis::start(&[]);
    // Answers take a while, so several calls are on their way.
    let proxy = Proxy::start(redis.address());
    let node = stream_node_at(&proxy.url(), &[SHORT]);
    until_up(&node);
    proxy.set(Weather::Far);
    let (mut ann, mut other) = (node.join("abc"), node.join("other"));
    let mut said = 0;
    let mut burst = |ann: &mut Client| {
        for number in said..said + 20 {
            say(ann, &number.to_string());
        }
        said += 20;
    };
    for _round in 0..30 {
        redis.command(&["DEL", STREAM]);
        redis.command(&["SET", STREAM, "mine"]);
        burst(&mut ann);
        wait::until("some to be refused", RECOVERY, || {
            let all = node.metric(DROPPED_REFUSED) + node.metric("supportal_bridge_appended_total");
            burst(&mut ann);
            all > 0.0 && node.metric(DROPPED_REFUSED) > 0.0
        });
        redis.command(&["DEL", STREAM]);
        burst(&mut ann);
    }
    talk(&mut other, 0..5);
    listen(&mut ann, 0..said);
    assert_eq!(node.metric(WENT_DOWN), 0.0, "nothing was wrong with Redis");
}
