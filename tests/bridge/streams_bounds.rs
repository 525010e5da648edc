//! What users can make Redis keep of a room: bytes, and for how long.

use super::{RECOVERY, expect, node_at, say, until_down, until_up};
use crate::support::proxy::{Proxy, Weather};
use crate::support::redis::Reply;
use crate::support::{Gateway, Redis, wait};

/// What a room's keys may take beside `history.bytes_max`, as `check` counts.
const OVERHEAD: i64 = 24 * 1024;

fn start(redis: &Redis, settings: &[&str]) -> Gateway {
    let node = node_at(&redis.url(), &[&["bridge.mode=streams"], settings].concat());
    until_up(&node);
    node
}

fn number(reply: &Reply) -> i64 {
    match reply {
        Reply::Number(number) => *number,
        other => panic!("no number: {other:?}"),
    }
}

fn memory(redis: &Redis, key: &str) -> i64 {
    number(&redis.command(&["MEMORY", "USAGE", key, "SAMPLES", "0"]))
}

#[test]
fn rooms_that_are_filled_stay_within_their_bytes() {
    let redis = Redis::start(&[]);
    for (bytes_max, length) in [
        (256 * 1024, 32_000),
        (256 * 1024, 3_000),
        (256 * 1024, 10),
        (70_000, 32_000),
        (65_536, 8_000),
        // Not one fits: the newest is kept, whatever its size.
        (4_096, 8_000),
    ] {
        let bytes = format!("history.bytes_max={bytes_max}");
        let settings = [bytes.as_str(), "history.capacity=10000"];
        let node = start(&redis, &settings);
        for room in 0..3 {
            let session = format!("{bytes_max}-{length}-{room}");
            let mut member = node.join(&session);
            let count = (bytes_max as usize * 3 / length).clamp(3, 400);
            for number in 0..count {
                let text = format!("{number} {}", "x".repeat(length - 10));
                say(&mut member, &text);
                expect(&mut member, &text);
            }
            let name = format!("chat_1_{session}");
            let stream = format!("supportal:stream:{{{name}}}");
            let held =
                memory(&redis, &stream) + memory(&redis, &format!("supportal:origins:{{{name}}}"));
            let newest = (length as i64 + 300) * 5 / 4 + 128;
            let most = bytes_max.max(newest) + OVERHEAD;
            assert!(held <= most, "{session}: {held} bytes");
            // The newest are there, without a hole, and not fewer than fit.
            let kept = node
                .admin(&format!("/history?room={name}&limit=1000"))
                .json();
            assert_eq!(kept["offset"], count, "{session}");
            let kept = kept["messages"].as_array().expect("messages").len();
            assert_eq!(
                i64::try_from(kept).ok(),
                Some(number(&redis.command(&["XLEN", &stream])))
            );
            let fit = (bytes_max / newest).min(count as i64).max(1);
            assert!(kept as i64 >= fit, "{session}: {kept} of {fit} kept");
        }
    }
}

#[test]
fn a_stream_of_an_older_version_is_read_and_comes_within_the_bytes() {
    /// Copies a stream as an older version wrote it: without the field `b`.
    const COPY: &str = "for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do \
        local f = entry[2] redis.call('XADD', KEYS[2], entry[1], 'e', f[2], 'h', f[4], 'm', f[6]) end";
    let redis = Redis::start(&[]);
    let wide = start(&redis, &["history.bytes_max=1048576"]);
    let mut member = wide.join("new");
    let text = |number: usize| format!("{number} {}", "x".repeat(5_000));
    for number in 0..30 {
        say(&mut member, &text(number));
        expect(&mut member, &text(number));
    }
    let (new, old) = (
        "supportal:stream:{chat_1_new}",
        "supportal:stream:{chat_1_old}",
    );
    redis.command(&["EVAL", COPY, "2", new, old]);
    assert_eq!(redis.command(&["XLEN", old]), Reply::Number(30));
    // Joins where it stands, and goes on from there.
    let node = start(&redis, &["history.bytes_max=80000"]);
    let history = || node.admin("/history?room=chat_1_old&limit=100").json();
    assert_eq!(history()["messages"].as_array().map(Vec::len), Some(30));
    let mut member = node.join("old");
    for number in 30..33 {
        say(&mut member, &text(number));
        expect(&mut member, &text(number));
        assert_eq!(history()["offset"], number + 1);
        assert!(memory(&redis, old) <= 80_000 + OVERHEAD);
        let kept = history()["messages"].as_array().expect("messages").clone();
        assert!((11..=12).contains(&kept.len()), "{} kept", kept.len());
        assert_eq!(kept.last().expect("the newest")["offset"], number + 1);
    }
    assert_eq!(node.metric("supportal_bridge_resets_total"), 0.0);
    assert_eq!(node.metric("supportal_bridge_gaps_total"), 0.0);
}

/// Whoever else may write to this Redis may write an entry like ours.
#[test]
fn what_somebody_else_says_of_the_bytes_does_not_lift_their_bound() {
    const PLANT: &str = "local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1] \
        local f, millis, offset = last[2], string.match(last[1], '(%d+)-(%d+)') \
        redis.call('XADD', KEYS[1], millis .. '-' .. (offset + 1), f[1], f[2], f[3], f[4], f[5], f[6], 'b', ARGV[1])";
    const BYTES: i64 = 40_000;
    const PLANTED: [&str; 13] = [
        "nan",
        "-nan",
        "inf",
        "-inf",
        "1e308",
        "-1e308",
        "0x7fffffffffffffff",
        "-1",
        "0",
        "junk",
        "",
        "18446744073709551616",
        "999999999999999",
    ];
    let redis = Redis::start(&[]);
    let node = start(&redis, &["history.bytes_max=40000"]);
    let text = |number: usize| format!("{number} {}", "x".repeat(5_000));
    for (room, planted) in PLANTED.into_iter().enumerate() {
        let session = format!("planted-{room}");
        let stream = format!("supportal:stream:{{chat_1_{session}}}");
        let mut member = node.join(&session);
        for number in 0..30 {
            say(&mut member, &text(number));
            expect(&mut member, &text(number));
            if number == 10 {
                redis.command(&["EVAL", PLANT, "1", &stream, planted]);
            }
        }
        let held = memory(&redis, &stream);
        assert!(held <= BYTES + OVERHEAD, "{planted:?}: {held} bytes");
        let page = format!("/history?room=chat_1_{session}&limit=100");
        let kept = node.admin(&page).json();
        assert_eq!(kept["offset"], 31, "{planted:?}");
        let kept = kept["messages"].as_array().expect("messages").len();
        assert!((5..=7).contains(&kept), "{planted:?}: {kept} kept");
    }
}

/// What was appended and not published would be a repeat at the next try, and nobody would hear it.
#[test]
fn what_somebody_else_plants_beside_a_room_keeps_no_message_from_the_other_node() {
    const PLANT: &str = "for number = 1, 70 do redis.call('HSET', KEYS[1], 'o' .. number, 'junk') end \
        redis.call('HSET', KEYS[1], 'said', ARGV[1])";
    let redis = Redis::start(&[]);
    let settings = [
        "archive.mode=streams",
        "api.token=token-of-the-tests-0123456789",
    ];
    let (left, right) = (start(&redis, &settings), start(&redis, &settings));
    for (room, planted) in ["inf", "nan", "-1", "junk"].into_iter().enumerate() {
        let session = format!("beside-{room}");
        let (mut ann, mut bob) = (left.join(&session), right.join(&session));
        let origins = format!("supportal:origins:{{chat_1_{session}}}");
        for text in ["before", "behind", "at last"] {
            say(&mut ann, text);
            expect(&mut ann, text);
            expect(&mut bob, text);
            redis.command(&["EVAL", PLANT, "1", &origins, planted]);
        }
    }
    for node in [&left, &right] {
        assert_eq!(node.metric("supportal_bridge_repeated_total"), 0.0);
        assert_eq!(node.metric("supportal_bridge_gaps_total"), 0.0);
    }
}

#[test]
fn what_the_bytes_no_longer_hold_is_counted_exactly() {
    let redis = Redis::start(&[]);
    let proxy = Proxy::start(redis.address());
    let settings = [
        "bridge.mode=streams",
        "history.bytes_max=70000",
        "history.capacity=1000",
    ];
    let (left, right) = (
        node_at(&proxy.url(), &settings),
        node_at(&redis.url(), &settings),
    );
    until_up(&left);
    until_up(&right);
    let (mut ann, mut bob) = (left.join("abc"), right.join("abc"));
    let text = |number: usize| format!("{number} {}", "x".repeat(8_000));
    say(&mut bob, &text(0));
    expect(&mut bob, &text(0));
    expect(&mut ann, &text(0));
    proxy.set(Weather::Cut);
    until_down(&left);
    for number in 1..=30 {
        say(&mut bob, &text(number));
        expect(&mut bob, &text(number));
    }
    proxy.set(Weather::Fair);
    // Six of about 10 KB fit; those before them are missed, and known to be.
    for number in 25..=30 {
        expect(&mut ann, &text(number));
    }
    wait::until("the gap to be counted", RECOVERY, || {
        left.metric("supportal_bridge_gaps_total") == 24.0
    });
    assert_eq!(left.metric("supportal_bridge_recovered_total"), 6.0);
}
