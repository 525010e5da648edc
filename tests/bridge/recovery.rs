//! What nodes say about marks, over a real Redis: a return with many rooms, old nodes, strangers.

use super::*;
use crate::support::Blow;
use crate::support::proxy::{Proxy, Weather};
use crate::support::redis::Conversation;

const POISON: &str = "supportal_bridge_dropped_total{cause=\"poison\"}";
const DIGESTS: &str = "supportal_bridge_digests_total";
const GAPS: &str = "supportal_bridge_gaps_total";

/// A question or a digest of a node that exists only here.
fn letter(magic: &str, node: u8, asked: u64, absence: u64, entries: &[u8]) -> Vec<u8> {
    let mut bytes = magic.as_bytes().to_vec();
    bytes.push(b'\n');
    bytes.extend_from_slice(&[node; 16]);
    for number in [1, asked, absence] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes.extend_from_slice(entries);
    bytes
}

fn mark(name: &str, incarnation: u64, number: u64) -> Vec<u8> {
    let mut entry = vec![u8::try_from(name.len()).expect("a short name")];
    entry.extend_from_slice(name.as_bytes());
    entry.extend_from_slice(&incarnation.to_be_bytes());
    entry.extend_from_slice(&number.to_be_bytes());
    entry
}

const MARKS: &str = "supportal-marks 1";
const ASK: &str = "supportal-ask 1";

#[track_caller]
fn publish(stranger: &mut Conversation, bytes: &[u8]) {
    stranger.send(&[b"PUBLISH", b"supportal:nodes", bytes]);
    drop(stranger.read());
}

#[test]
fn a_node_with_more_rooms_than_its_outbox_holds_drops_nothing_after_a_return() {
    const ROOMS: usize = 120;
    let mut redis = Redis::start(&[]);
    let settings = ["bridge.outbox_capacity=40"];
    let (left, right) = (node(&redis, &settings), node(&redis, &settings));
    let mut pairs: Vec<(Client, Client)> = (0..ROOMS)
        .map(|room| {
            let room = format!("room{room}");
            (left.join(&room), right.join(&room))
        })
        .collect();
    let (ann, bob) = &mut pairs[0];
    say(ann, "before");
    expect(ann, "before");
    expect(bob, "before");
    for round in 0..2 {
        redis.blow(Blow::Kill);
        until_down(&left);
        until_down(&right);
        redis.launch();
        until_up(&left);
        until_up(&right);
        // At once, while the rooms are subscribed and asked for.
        for (room, (ann, _)) in pairs.iter_mut().enumerate().take(30) {
            let text = format!("{round} {room}");
            say(ann, &text);
            expect(ann, &text);
        }
        until_confirmed(&right, ROOMS as f64);
        wait::until("said = delivered + gaps", RECOVERY, || {
            let known = right.metric("supportal_bridge_delivered_total") + right.metric(GAPS);
            known == (1 + 30 * (round + 1)) as f64
        });
    }
    for gateway in [&left, &right] {
        let full = gateway.metric("supportal_bridge_dropped_total{cause=\"full\"}");
        assert_eq!(full, 0.0);
        // A handful a return, not one for each room.
        assert!(gateway.metric(DIGESTS) < 40.0);
    }
}

#[test]
fn what_was_lost_while_a_node_was_away_is_counted_when_it_is_back_without_a_further_word() {
    let redis = Redis::start(&[]);
    let left = node(&redis, &[]);
    let proxy = Proxy::start(redis.address());
    let right = node_at(&proxy.url(), &[]);
    until_up(&right);
    let (mut ann, mut bob) = (left.join("abc"), right.join("abc"));
    say(&mut ann, "before");
    expect(&mut ann, "before");
    expect(&mut bob, "before");
    proxy.set(Weather::Cut);
    until_down(&right);
    for number in 0..7 {
        say(&mut ann, &number.to_string());
        expect(&mut ann, &number.to_string());
    }
    until_metric(&left, "supportal_bridge_outbox", 0.0);
    proxy.set(Weather::Fair);
    until_metric(&right, GAPS, 7.0);
}

#[test]
fn subscribers_that_redis_cuts_off_again_and_again_count_every_loss() {
    const ROOMS: usize = 40;
    let redis = Redis::start(&[]);
    let (left, right) = (node(&redis, &[]), node(&redis, &[]));
    let mut pairs: Vec<(Client, Client)> = (0..ROOMS)
        .map(|room| {
            let room = format!("room{room}");
            (left.join(&room), right.join(&room))
        })
        .collect();
    for (ann, bob) in &mut pairs {
        say(ann, "before");
        expect(ann, "before");
        expect(bob, "before");
    }
    // What Redis does to one that reads too slowly: here in the middle of whatever a return consists of.
    let mut operator = redis.connect();
    for round in 0..12 {
        drop(operator.command(&["CLIENT", "KILL", "TYPE", "pubsub"]));
        for (ann, _) in pairs.iter_mut().skip(round * 3).take(3) {
            let text = format!("round {round}");
            say(ann, &text);
            expect(ann, &text);
        }
    }
    until_up(&left);
    until_up(&right);
    wait::until("said = delivered + gaps", RECOVERY, || {
        let known = right.metric("supportal_bridge_delivered_total") + right.metric(GAPS);
        known == (ROOMS + 12 * 3) as f64
    });
}

#[test]
fn poisoned_letters_are_counted_told_at_most_once_a_second_and_delay_nobody() {
    let redis = Redis::start(&[]);
    let (left, right) = (node(&redis, &[]), node(&redis, &[]));
    let (mut ann, mut bob) = (left.join("abc"), right.join("abc"));
    let mut stranger = redis.connect();
    let good = letter(MARKS, 9, 0, 0, &mark("chat_1_abc", 1, 5));
    let table = [
        letter(MARKS, 9, 0, 0, &mark("chat_1_a/b", 1, 5)),
        letter(MARKS, 9, 0, 0, &mark("", 1, 5)),
        letter(MARKS, 9, 0, 0, &mark("chat_1_abc", 1, u64::MAX)),
        letter(MARKS, 9, 0, 0, &mark("chat_1_abc", u64::MAX, 5)),
        letter(MARKS, 9, 0, 0, &[255, b'c']),
        letter(MARKS, 9, 0, 0, &vec![0xff; 5_000_000]),
        letter(ASK, 9, 1, u64::MAX, b"\x0cchat_1_\xff\xff\xff\xff\xff"),
        letter(ASK, 9, 1, u64::MAX, &[200]),
        good[..good.len() - 1].to_vec(),
        good[..30].to_vec(),
        b"supportal-marks 1\n".to_vec(),
        b"supportal-ask 1\n".to_vec(),
    ];
    for (index, bytes) in table.iter().enumerate() {
        publish(&mut stranger, bytes);
        say(&mut ann, &format!("after {index}"));
        expect(&mut bob, &format!("after {index}"));
    }
    until_metric(&right, POISON, table.len() as f64);
    let log = right.wait_log("no envelope of ours", 1);
    let shown = log.matches("no envelope of ours").count();
    assert!((1..=4).contains(&shown), "{shown} lines");
    // Marks of rooms of nobody here, numbers that go back, and 0: nothing comes of them.
    for (room, number) in [("chat_7_x", 99), ("chat_1_abc", 5), ("chat_1_abc", 0)] {
        publish(
            &mut stranger,
            &letter(MARKS, 9, 0, 0, &mark(room, 1, number)),
        );
    }
    say(&mut ann, "still here");
    expect(&mut bob, "still here");
    assert_eq!(right.metric(POISON), table.len() as f64);
    assert_eq!(right.metric(GAPS), 0.0);
}

#[test]
fn a_flood_of_questions_of_strangers_costs_a_few_digests_a_second() {
    let redis = Redis::start(&[]);
    let node = node(&redis, &[]);
    let mut ann = node.join("abc");
    say(&mut ann, "x");
    expect(&mut ann, "x");
    let mut stranger = redis.connect();
    let before = node.metric(DIGESTS);
    let watch = wait::Watch::start();
    for asked in 1..=3_000_u64 {
        let id = u8::try_from(asked % 250).expect("a byte");
        publish(&mut stranger, &letter(ASK, id, asked, u64::MAX, &[]));
    }
    // It is answered none the less.
    wait::until("an answer", RECOVERY, || node.metric(DIGESTS) > before);
    let digests = node.metric(DIGESTS) - before;
    let most = 5.0 * watch.elapsed().as_secs_f64() + 5.0;
    assert!(digests <= most, "{digests} of {most}");
    say(&mut ann, "still here");
    expect(&mut ann, "still here");
}

#[test]
fn a_node_of_an_older_version_is_asked_in_its_rooms() {
    let redis = Redis::start(&[]);
    let node = node(&redis, &[]);
    let mut old = redis.connect();
    let _ann = node.join("old");
    until_confirmed(&node, 1.0);
    // The node returns; the old one says who it is, and no word about marks.
    drop(old.command(&["CLIENT", "KILL", "TYPE", "normal"]));
    let card = format!("supportal-node 1 {:032x} pubsub 0 1 1 1 old", 7);
    // One for the first member, one for the old node: both come back.
    wait::until("a hello for the old node", RECOVERY, || {
        publish(&mut old, card.as_bytes());
        node.metric("supportal_bridge_echoes_total") >= 2.0
    });
}
