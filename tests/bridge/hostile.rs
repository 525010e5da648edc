//! What others put into our channels, and what Redis may do to us on the way.

use super::*;
use crate::support::redis::{Conversation, Reply};
use bytes::Bytes;
use supportal::internal::bridge::envelope::{EnvelopeEntry, EnvelopeHead, EnvelopeWriter, NodeId};

const ROOM: &str = "supportal:room:chat_1_abc";

/// A node that exists only here.
fn head(node: u8, incarnation: u64) -> EnvelopeHead {
    EnvelopeHead {
        node: NodeId([node; 16]),
        epoch: 1,
        incarnation,
    }
}

/// A text frame of a chat event.
fn frame(text: &str) -> Vec<u8> {
    let event = format!("{{\"message\":\"{text}\",\"sender\":\"user\"}}");
    let mut frame = vec![0x81, 126];
    let length = u16::try_from(event.len()).expect("a short event");
    if length < 126 {
        frame[1] = event.len().to_le_bytes()[0];
    } else {
        frame.extend_from_slice(&length.to_be_bytes());
    }
    frame.extend_from_slice(event.as_bytes());
    frame
}

/// A minute from now, in milliseconds since 1970.
fn soon() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(now.expect("after 1970").as_millis()).expect("64 bits") + 60_000
}

fn message(head: &EnvelopeHead, number: u64, text: &str, deadline: u64) -> Bytes {
    let mut writer = EnvelopeWriter::new(head, 0);
    writer.push(EnvelopeEntry::Message {
        number,
        deadline,
        frame: &frame(text),
    });
    writer.finish()
}

fn mark(head: &EnvelopeHead, number: u64) -> Bytes {
    let mut writer = EnvelopeWriter::new(head, 0);
    writer.push(EnvelopeEntry::Mark { number });
    writer.finish()
}

fn contains(envelope: &[u8], text: &str) -> bool {
    String::from_utf8_lossy(envelope).contains(text)
}

/// Publishes into the room; how many heard it.
#[track_caller]
fn publish(redis: &mut Conversation, bytes: &[u8]) -> Reply {
    redis.send(&[b"PUBLISH", ROOM.as_bytes(), bytes]);
    redis.read()
}

#[test]
fn poison_is_counted_shown_at_most_once_a_second_and_delays_nobody_r10() {
    let redis = Redis::start(&[]);
    let (left, right) = (node(&redis, &[]), node(&redis, &[]));
    let (mut ann, mut bob) = (left.join("abc"), right.join("abc"));
    let mut stranger = redis.connect();
    let good = message(&head(1, 1), 1, "x", soon()).to_vec();
    let mut table: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"hello".to_vec(),
        // What channels_redis would send.
        b"\x83\xa4type\xacchat.message\xa7message\xa2hi\xa6sender\xa4user".to_vec(),
        // An array of four thousand million, and a nest of a million arrays.
        b"\xdd\xff\xff\xff\xff".to_vec(),
        vec![0x91; 1_000_000],
        vec![0; 5_000_000],
        good[..good.len() - 1].to_vec(),
        good[..20].to_vec(),
    ];
    let mut version = good.clone();
    version[0] = 7;
    let mut length = good.clone();
    length[51..55].copy_from_slice(&u32::MAX.to_be_bytes());
    let mut ping = good.clone();
    ping[55] = 0x89;
    let mut text = good.clone();
    *text.last_mut().expect("bytes") = 0xff;
    table.extend([version, length, ping, text]);
    for (index, bytes) in table.iter().enumerate() {
        publish(&mut stranger, bytes);
        say(&mut ann, &format!("after {index}"));
        expect(&mut bob, &format!("after {index}"));
    }
    let poison = "supportal_bridge_dropped_total{cause=\"poison\"}";
    until_metric(&right, poison, table.len() as f64);
    let log = right.wait_log("no envelope of ours", 1);
    let shown = log.matches("no envelope of ours").count();
    assert!(
        (1..=4).contains(&shown),
        "{shown} lines for {} poisons",
        table.len()
    );
    // A name with our prefix that is no room of anybody's.
    redis.command(&["PUBLISH", "supportal:room:chat_1_*", "x"]);
    redis.command(&["PUBLISH", "supportal:room:", "x"]);
    say(&mut ann, "still here");
    expect(&mut bob, "still here");
}

#[test]
fn what_comes_twice_is_delivered_once_and_an_echo_never_r11() {
    let redis = Redis::start(&[]);
    let (left, right) = (node(&redis, &[]), node(&redis, &[]));
    let (mut ann, mut bob) = (left.join("abc"), right.join("abc"));
    let mut tap = redis.connect();
    tap.send(&[b"SUBSCRIBE", ROOM.as_bytes()]);
    tap.read();
    say(&mut ann, "once");
    expect(&mut ann, "once");
    expect(&mut bob, "once");
    let mut envelope = tap.published();
    while !contains(&envelope, "once") {
        envelope = tap.published(); // Hellos and marks.
    }
    let mut stranger = redis.connect();
    for _ in 0..3 {
        publish(&mut stranger, &envelope);
    }
    until_metric(&right, "supportal_bridge_duplicates_total", 3.0);
    until_metric(&right, "supportal_bridge_delivered_total", 1.0);
    assert_eq!(left.metric("supportal_bridge_delivered_total"), 0.0);
    assert!(left.metric("supportal_bridge_echoes_total") >= 4.0);
    // An incarnation that has ended comes back from somewhere.
    let (old, new) = (head(9, 1), head(9, 2));
    for bytes in [
        message(&old, 1, "old", soon()),
        message(&new, 1, "new", soon()),
        message(&old, 2, "replayed", soon()),
        message(&new, 2, "newer", soon()),
        message(&new, 3, "too late", 1),
    ] {
        publish(&mut stranger, &bytes);
    }
    for text in ["old", "new", "newer"] {
        expect(&mut bob, text);
    }
    until_metric(&right, "supportal_bridge_duplicates_total", 4.0);
    until_metric(
        &right,
        "supportal_bridge_dropped_total{cause=\"late\"}",
        1.0,
    );
    assert_eq!(right.metric("supportal_bridge_gaps_total"), 0.0);
    // What came from elsewhere never goes out again: the strangers' and ours are all there is.
    say(&mut bob, "last");
    expect(&mut ann, "old");
    let mut published: Vec<Vec<u8>> = Vec::new();
    while !published
        .last()
        .is_some_and(|bytes| contains(bytes, "last"))
    {
        published.push(tap.published());
    }
    let newer = |bytes: &&Vec<u8>| contains(bytes, "newer");
    assert_eq!(published.iter().filter(newer).count(), 1);
}

#[test]
fn a_burst_arrives_whole_or_is_in_the_gaps_r9() {
    const BURST: u64 = 50_000;
    let redis = Redis::start(&[]);
    let right = node(&redis, &[]);
    let mut bob = right.join("abc");
    let (mut stranger, head) = (redis.connect(), head(5, 1));
    publish(&mut stranger, &mark(&head, 0));
    let deadline = soon();
    let reader = std::thread::spawn(move || {
        let mut came = 0_u64;
        while bob.receive_json()["message"] != "end" {
            came += 1;
        }
        (bob, came)
    });
    for number in (1..=BURST).step_by(1_000) {
        let mut bytes = Vec::new();
        for number in number..number + 1_000 {
            let envelope = message(&head, number, &number.to_string(), deadline);
            let start = format!(
                "*3\r\n$7\r\nPUBLISH\r\n${}\r\n{ROOM}\r\n${}\r\n",
                ROOM.len(),
                envelope.len()
            );
            bytes.extend_from_slice(start.as_bytes());
            bytes.extend_from_slice(&envelope);
            bytes.extend_from_slice(b"\r\n");
        }
        stranger.send_raw(&bytes);
        for _ in 0..1_000 {
            stranger.read();
        }
    }
    publish(&mut stranger, &message(&head, BURST + 1, "end", deadline));
    let (_bob, came) = reader.join().expect("the burst");
    let gaps = right.metric("supportal_bridge_gaps_total");
    let mailbox = right.metric("supportal_bridge_dropped_total{cause=\"mailbox\"}");
    assert_eq!(
        came as f64 + gaps + mailbox,
        BURST as f64,
        "{gaps} in gaps, {mailbox} at a mailbox"
    );
}

#[test]
fn connections_that_redis_cuts_come_back_and_lose_nothing_uncounted_r9() {
    let redis = Redis::start(&[]);
    let (left, right) = (node(&redis, &[]), node(&redis, &[]));
    let (mut ann, mut bob) = (left.join("abc"), right.join("abc"));
    say(&mut ann, "before");
    expect(&mut bob, "before");
    for kind in ["normal", "pubsub"] {
        let ups = right.metric("supportal_bridge_changes_total{state=\"up\"}");
        redis.command(&["CLIENT", "KILL", "TYPE", kind]);
        wait::until("both to come back", RECOVERY, || {
            right.metric("supportal_bridge_changes_total{state=\"up\"}") > ups
                && is_up(&right)
                && is_up(&left)
                && confirmed(&right) == 1.0
        });
        say(&mut ann, kind);
        expect(&mut bob, kind);
    }
}

#[test]
fn no_text_of_a_user_reaches_a_command_a_pattern_or_a_channel_r12() {
    let redis = Redis::start(&[]);
    let mut monitor = redis.connect();
    monitor.send(&[b"MONITOR"]);
    monitor.read();
    let node = node(&redis, &[]);
    let mut ann = node.join("abc");
    for path in [
        "*",
        "a%0d%0aFLUSHALL",
        "%5Babc%5D",
        "a%20b",
        "..%2F..",
        "%7Babc%7D",
    ] {
        let refusal = node.try_connect(&format!("/ws/chat/1/{path}/"));
        assert!(refusal.is_err(), "{path} was taken");
    }
    say(&mut ann, "\r\nFLUSHALL\r\nKEYS *");
    expect(&mut ann, "\r\nFLUSHALL\r\nKEYS *");
    say(&mut ann, "the end");
    let allowed = [
        "HELLO",
        "PING",
        "ROLE",
        "CLIENT",
        "SUBSCRIBE",
        "UNSUBSCRIBE",
        "PUBLISH",
        "SELECT",
        "INFO",
    ];
    let name = |channel: &str| {
        let rest = channel.strip_prefix("supportal:").unwrap_or("?");
        rest == "room:chat_1_abc" || rest == "nodes" || rest.starts_with("canary:")
    };
    loop {
        let line = monitor.line();
        let words: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
        let command = words
            .first()
            .copied()
            .unwrap_or_default()
            .to_ascii_uppercase();
        assert!(allowed.contains(&command.as_str()), "{line}");
        if ["SUBSCRIBE", "UNSUBSCRIBE", "PUBLISH"].contains(&command.as_str()) {
            assert!(name(words[1]), "{line}");
        }
        if line.contains("the end") {
            break;
        }
    }
}

#[test]
fn a_peer_that_boots_again_makes_no_gap_r13() {
    let redis = Redis::start(&[]);
    let (mut left, right) = (node(&redis, &[]), node(&redis, &[]));
    let mut bob = right.join("abc");
    for round in 0..3 {
        let mut ann = left.join("abc");
        for number in 0..5 {
            say(&mut ann, &format!("{round}.{number}"));
            expect(&mut bob, &format!("{round}.{number}"));
        }
        drop(ann);
        // What Redis has not answered for by the end is sent once more.
        until_metric(&left, "supportal_bridge_outbox", 0.0);
        left.restart();
        until_up(&left);
    }
    assert_eq!(right.metric("supportal_bridge_gaps_total"), 0.0);
    assert_eq!(right.metric("supportal_bridge_duplicates_total"), 0.0);
}
