//! `archive.mode = "streams"` where Redis is not as it should be: records that nobody can read, a failover, no answer,
//! and more to remove than one call should.

use super::streams::read;
use super::streams_archive::{answer, node_with, page, read_all, text};
use super::*;
use crate::support::deployment::check_redis;
use crate::support::redis::{Blow, Conversation, Reply};
use serde_json::Value;
use std::time::{SystemTime, UNIX_EPOCH};

const ARCHIVE: &str = "supportal:archive";

/// The life of the archives that these tests write.
const LIFE: &str = "1700000000000000";

/// An archive that is written by hand.
struct ByHand {
    redis: Conversation,
    millis: u64,
    number: u64,
}

/// An entry: its life, and what stands beside.
type Entry<'f> = (&'f str, Vec<(&'f str, &'f [u8])>);

/// What stands in an entry beside its life: the sum of bytes, room's stream, epoch, offset, time, record.
type Fields<'f> = [(&'f str, &'f [u8]); 6];

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.expect("a clock").as_millis()).expect("milliseconds")
}

fn good<'f>(offset: &'f str, record: &'f [u8]) -> Fields<'f> {
    [
        ("b", b"1000"),
        ("r", b"supportal:stream:{chat_1_abc}"),
        ("e", b"1700000000000000"),
        ("o", offset.as_bytes()),
        ("t", b"1700000000000001"),
        ("j", record),
    ]
}

/// A record, with this behind its message.
fn record(message: &str, more: &str) -> String {
    format!(
        r#"{{"id":null,"author":null,"sender":"user","message":"{message}"{more},"meta":null,"origin":"gateway"}}"#
    )
}

impl ByHand {
    fn new(redis: &Redis) -> Self {
        Self {
            redis: redis.connect(),
            millis: now(),
            number: 0,
        }
    }

    /// An entry at the next number.
    #[track_caller]
    fn add(&mut self, life: &str, fields: &[(&str, &[u8])]) {
        self.number += 1;
        let id = format!("{}-{}", self.millis, self.number);
        let mut words: Vec<&[u8]> = vec![b"XADD", ARCHIVE.as_bytes(), id.as_bytes()];
        words.extend([b"a".as_slice(), life.as_bytes()]);
        words.extend(
            fields
                .iter()
                .flat_map(|(name, value)| [name.as_bytes(), value]),
        );
        self.redis.send(&words);
        assert_eq!(self.redis.read(), Reply::Text(id));
    }

    #[track_caller]
    fn add_good(&mut self) {
        let offset = (self.number + 1).to_string();
        let record = record(&offset, "");
        self.add(LIFE, &good(&offset, record.as_bytes()));
    }
}

/// The field of this name with another value.
fn with<'f>(mut fields: Fields<'f>, name: &str, value: &'f [u8]) -> Vec<(&'f str, &'f [u8])> {
    for field in &mut fields {
        if field.0 == name {
            field.1 = value;
        }
    }
    fields.to_vec()
}

/// JSON of as many levels.
fn nested(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

#[track_caller]
fn number(redis: &Redis, command: &[&str]) -> i64 {
    match redis.command(command) {
        Reply::Number(number) => number,
        other => panic!("no number: {other:?}"),
    }
}

fn failures(node: &Gateway, kind: &str) -> u64 {
    let series = format!("supportal_archive_failures_total{{kind=\"{kind}\"}}");
    node.metric(&series) as u64
}

#[test]
fn records_that_nobody_can_read_are_exact_gaps_counted_and_never_the_end() {
    let redis = Redis::start(&[]);
    let node = node_with(&redis, &[]);
    let fine = record("x", "");
    let fields = good("1", fine.as_bytes());
    // What was written before: JSON within JSON, one level too deep to be read back.
    let deep = record("x", &format!(r#","json":{}"#, nested(127)));
    let typed = fine.replace("\"x\"", "7");
    let cut = &fine.as_bytes()[..fine.len() - 1];
    let without = fine.replace(r#""sender":"user","#, "");
    let bad: Vec<Entry<'_>> = vec![
        (LIFE, with(fields, "j", deep.as_bytes())),
        (LIFE, with(fields, "j", cut)),
        (LIFE, with(fields, "j", b"")),
        (LIFE, with(fields, "j", b"{}")),
        (LIFE, with(fields, "j", b"[1]")),
        (LIFE, with(fields, "j", b"\xff\xfe{}")),
        (LIFE, with(fields, "j", typed.as_bytes())),
        (LIFE, with(fields, "j", without.as_bytes())),
        (LIFE, with(fields, "r", b"other:stream:{chat_1_abc}")),
        (LIFE, with(fields, "r", b"\xff")),
        (LIFE, with(fields, "r", b"")),
        (LIFE, with(fields, "e", b"one")),
        (LIFE, with(fields, "o", b"0")),
        (LIFE, with(fields, "o", b"-1")),
        (LIFE, with(fields, "t", b"")),
        (LIFE, fields[..5].to_vec()),
        (LIFE, fields[..1].to_vec()),
        ("", fields.to_vec()),
        ("life", fields.to_vec()),
    ];
    let mut hand = ByHand::new(&redis);
    // Two or three in a row, at the beginning too.
    for (life, fields) in &bad {
        hand.add(life, fields);
        if hand.number % 4 > 1 {
            hand.add_good();
        }
    }
    hand.add_good();
    let all = hand.number;
    for limit in [1, 2, 3, 1000] {
        let lines = read_all(&node, limit);
        let gaps = lines.iter().filter_map(|line| line["gap"].as_u64());
        assert_eq!(gaps.sum::<u64>(), bad.len() as u64, "limit {limit}");
        let events = lines.iter().filter(|line| line["gap"].is_null());
        assert_eq!(events.count() as u64, all - bad.len() as u64);
        // Each place leads behind itself.
        for (index, line) in lines.iter().enumerate() {
            let query = format!("?limit=1000&after={}", text(line, "cursor"));
            let behind = page(&node, &query);
            let said = |lines: &[Value]| {
                let said = lines.iter().filter(|line| line["gap"].is_null());
                said.cloned().collect::<Vec<_>>()
            };
            assert_eq!(said(&behind), said(&lines[index + 1..]));
        }
    }
    assert!(failures(&node, "unreadable") >= 4 * bad.len() as u64);
    node.wait_log("records of the archive cannot be read", 1);
    // The last one too is told, and what is said behind it is found.
    hand.add(LIFE, &with(fields, "j", b""));
    let lines = read_all(&node, 1000);
    assert_eq!(lines.last().expect("lines")["gap"], 1);
    let mut ann = node.join("abc");
    say(&mut ann, "behind");
    read(&mut ann, 1);
    let query = format!(
        "?wait=30s&after={}",
        text(lines.last().expect("lines"), "cursor")
    );
    assert_eq!(text(&page(&node, &query)[0], "message"), "behind");
}

#[test]
fn records_of_the_first_form_are_read_as_those_of_today() {
    let redis = Redis::start(&[]);
    let node = node_with(&redis, &[]);
    let mut hand = ByHand::new(&redis);
    for (json, meta) in [
        (r#"{"a":[1]}"#, r#"{"order":17}"#),
        (r#""{\"a\":[1]}""#, r#""{\"order\":17}""#),
    ] {
        let record = record("x", &format!(r#","json":{json}"#))
            .replace(r#""meta":null"#, &format!(r#""meta":{meta}"#));
        let offset = (hand.number + 1).to_string();
        hand.add(LIFE, &good(&offset, record.as_bytes()));
    }
    for line in read_all(&node, 1000) {
        assert_eq!(line["json"], serde_json::json!({"a": [1]}));
        assert_eq!(line["meta"], serde_json::json!({"order": 17}));
    }
}

#[test]
fn what_is_nested_as_deep_as_it_may_be_is_kept_and_nothing_is_lost_behind_it() {
    let redis = Redis::start(&[]);
    let node = node_with(&redis, &["chat.dialect=django"]);
    let mut ann = node.join("abc");
    for levels in [126, 127, 128, 500] {
        let text = format!(r#"{{"message": {}, "type": "user"}}"#, nested(levels));
        ann.send_text(&text);
        ann.receive_text();
    }
    say(&mut ann, "behind");
    let mut shown = String::new();
    wait::until("all is kept", RECOVERY, || {
        shown = answer(&node, "").text();
        shown.lines().count() == 5
    });
    let lines: Vec<_> = shown.lines().collect();
    for (line, levels) in lines.iter().zip([126, 127]) {
        assert!(
            line.contains(&format!(r#""json":{}"#, nested(levels))),
            "{line}"
        );
    }
    for line in &lines[2..4] {
        assert!(line.contains(r#""json":null"#), "{line}");
    }
    assert!(lines[4].contains("behind") && !shown.contains("gap"));
    assert_eq!(failures(&node, "unreadable"), 0);
}

#[test]
fn a_cursor_ahead_of_a_redis_that_lost_its_newest_is_told_so_also_once_others_have_their_numbers() {
    let redis = Redis::start(&[]);
    let node = node_with(&redis, &[]);
    let mut hand = ByHand::new(&redis);
    for _ in 0..5 {
        hand.millis += 10;
        hand.add_good();
    }
    let lines = read_all(&node, 1000);
    let after = |place: usize| format!("?after={}", text(&lines[place], "cursor"));
    // A replica that had not heard of the last two takes over, and its clock is behind.
    redis.command(&["DEL", ARCHIVE]);
    let (mut other, newest) = (ByHand::new(&redis), hand.millis);
    for number in 1..=6 {
        // What it had heard of, what it was told at once, by its clock, and what later.
        other.millis = match number {
            1..=3 => newest - 50 + 10 * number,
            4..=5 => newest - 20 + number,
            _ => newest + 10,
        };
        other.add_good();
        for place in 0..5 {
            let status = answer(&node, &after(place)).status;
            let is_lost = place as u64 >= number.min(3);
            assert_eq!(
                status,
                if is_lost { 409 } else { 200 },
                "{place} of {number}"
            );
        }
    }
    let refused = answer(&node, &after(4));
    assert_eq!(refused.problem(), "cursor");
    let problem = refused.json();
    let detail = text(&problem, "detail");
    assert!(
        detail.contains("ahead of redis 0") && detail.contains("begin without a cursor"),
        "{detail}"
    );
    // Who had not read what was lost goes on.
    let behind = page(&node, &after(2));
    assert_eq!(behind.len(), 3);
}

#[test]
fn a_redis_that_does_not_answer_is_left_out_counted_and_not_stepped_over() {
    let mut several = [Redis::start(&[]), Redis::start(&[])];
    let urls = format!("bridge.urls={},{}", several[0].url(), several[1].url());
    let node = node_with(&several[0], &[&urls, "bridge.command_timeout=1s"]);
    for room in 0..20 {
        let mut member = node.join(&format!("room{room}"));
        say(&mut member, &room.to_string());
        read(&mut member, 1);
    }
    wait::until("all is kept", RECOVERY, || {
        read_all(&node, 1000).len() == 20
    });
    let all = read_all(&node, 1000);
    let of_second = number(&several[1], &["XLEN", ARCHIVE]) as usize;
    several[1].blow(Blow::Stop);
    let first = page(&node, "");
    assert_eq!(first.len(), 20 - of_second);
    assert!(failures(&node, "unanswered") >= 1);
    node.wait_log("a Redis is left out of the archive's answer", 1);
    several[1].blow(Blow::Continue);
    let query = format!("?after={}", text(first.last().expect("lines"), "cursor"));
    let mut second = Vec::new();
    wait::until("the other one answers", RECOVERY, || {
        second = page(&node, &query);
        !second.is_empty()
    });
    let mut said: Vec<_> = first
        .iter()
        .chain(&second)
        .map(|line| text(line, "message"))
        .collect();
    let mut expected: Vec<_> = all.iter().map(|line| text(line, "message")).collect();
    said.sort_unstable();
    expected.sort_unstable();
    assert_eq!(said, expected, "each once");
}

#[test]
fn one_call_removes_so_many_that_are_too_old_or_too_much_and_the_next_ones_the_rest() {
    let redis = Redis::start(&[]);
    let node = node_with(
        &redis,
        &["archive.bytes_max=16777216", "history.capacity=1"],
    );
    let mut ann = node.join("abc");
    // How much is left behind the first call, and how many calls it takes until so much is left.
    let mut speak = |left: &[&str], until: i64| {
        let mut all = Vec::new();
        while all.last().is_none_or(|last| *last > until) {
            assert!(all.len() < 100, "{all:?}");
            say(&mut ann, "x");
            read(&mut ann, 1);
            all.push(number(&redis, left));
        }
        (all[0], all.len())
    };
    // Too old, by days.
    let mut hand = ByHand::new(&redis);
    hand.millis -= 30 * 24 * 3600 * 1000;
    for _ in 0..5000 {
        hand.add_good();
    }
    let (left, calls) = speak(&["XLEN", ARCHIVE], 10);
    assert!(left > 3500 && calls <= 7, "{left} left, {calls} calls");
    // Too many bytes.
    let mut hand = ByHand::new(&redis);
    redis.command(&["DEL", ARCHIVE]);
    let long = record(&"x".repeat(1_000_000), "");
    for number in 1..=40_u64 {
        let (offset, sum) = (number.to_string(), (number * 1_250_400).to_string());
        let mut fields = good(&offset, long.as_bytes());
        fields[0].1 = sum.as_bytes();
        hand.add(LIFE, &fields);
    }
    let (left, calls) = speak(&["MEMORY", "USAGE", ARCHIVE, "SAMPLES", "0"], 16_777_216);
    assert!(
        left >= 38_000_000 && calls > 10,
        "{left} left, {calls} calls"
    );
}

#[test]
fn a_page_of_long_messages_costs_redis_no_more_than_what_is_answered() {
    const LONG: usize = 500_000;
    let redis = Redis::start(&[]);
    let node = node_with(&redis, &[]);
    let mut hand = ByHand::new(&redis);
    let long = record(&"x".repeat(LONG), "");
    for number in 1..=60_u64 {
        let offset = number.to_string();
        hand.add(LIFE, &good(&offset, long.as_bytes()));
    }
    let memory = |name: &str| {
        let info = redis.command(&["INFO", "memory"]);
        let line = info.text().lines().find_map(|line| line.strip_prefix(name));
        let value = line.and_then(|rest| rest.strip_prefix(':')?.trim().parse::<i64>().ok());
        value.unwrap_or_else(|| panic!("no {name}: {info:?}"))
    };
    redis.command(&["CONFIG", "RESETSTAT"]);
    let before = memory("used_memory");
    assert_eq!(page(&node, "?limit=1000").len(), 3);
    let took = memory("used_memory_peak") - before;
    // All entries would be 30 MB.
    assert!(took < 16 * LONG as i64, "{took} bytes");
}

#[test]
fn the_check_says_what_a_redis_would_throw_away() {
    let check = |redis: &Redis, settings: &[&str]| {
        let sets = settings.iter().flat_map(|set| ["--set", set]);
        let url = redis.url();
        let arguments: Vec<_> = sets.chain(["--redis-url", &url]).collect();
        let output = check_redis(&arguments);
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let streams = "bridge.mode=streams";
    let redis = Redis::start(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    let found = check(&redis, &[streams]);
    assert!(
        found.contains("throws whole rooms away when it is full: maxmemory-policy is allkeys-lru"),
        "{found}"
    );
    assert!(!found.contains("is full before"), "{found}");
    let found = check(&redis, &[streams, "archive.mode=streams"]);
    assert!(
        found.contains("throws whole rooms, or the archive, away"),
        "{found}"
    );
    assert!(
        found.contains("maxmemory is 104857600, archive.bytes_max 1073741824"),
        "{found}"
    );
    assert!(!check(&redis, &[]).contains("when it is full"));
    redis.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    let found = check(
        &redis,
        &[
            streams,
            "archive.mode=streams",
            "archive.bytes_max=16777216",
        ],
    );
    assert!(
        !found.contains("when it is full") && !found.contains("is full before"),
        "{found}"
    );
    redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
    redis.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let found = check(&redis, &[streams, "archive.mode=streams"]);
    assert!(
        !found.contains("when it is full") && !found.contains("is full before"),
        "{found}"
    );
}
