//! Mode `streams` when a replica takes over that lacks what the master had answered for: no event is shown twice, no
//! place names two, and every node counts what it missed.

use super::streams::{read, stream_node_at};
use super::streams_faults::{SHORT, listen, talk};
use super::*;
use crate::support::Blow;
use crate::support::proxy::{Proxy, Weather};
use crate::support::redis::Reply;

const GAPS: &str = "supportal_bridge_gaps_total";
const TOKEN: &str = "token-of-the-tests-0123456789";
const STREAM: &str = "supportal:stream:{chat_1_abc}";

/// A master, and a replica that follows it through a proxy.
struct Pair {
    master: Redis,
    replica: Redis,
    way: Proxy,
}

fn follows(redis: &Redis) -> bool {
    let info = redis.command(&["INFO", "replication"]);
    info.text().contains("master_link_status:up")
}

impl Pair {
    fn start() -> Self {
        let master = Redis::start(&[]);
        let way = Proxy::start(master.address());
        let port = way.address().port().to_string();
        let replica = Redis::start(&["--replicaof", "127.0.0.1", &port]);
        wait::until("the replica to follow", RECOVERY, || follows(&replica));
        Self {
            master,
            replica,
            way,
        }
    }

    /// The replica hears nothing from here on; it has so many entries.
    fn fall_behind(&self, entries: i64) {
        wait::until("the replica to have it all", RECOVERY, || {
            self.replica.command(&["XLEN", STREAM]) == Reply::Number(entries)
        });
        self.way.set(Weather::Silence);
    }

    /// The master is gone, and at its address is another one with what the replica had.
    fn fail_over(&mut self) {
        self.master.blow(Blow::Kill);
        self.replica.command(&["REPLICAOF", "NO", "ONE"]);
        self.master.launch();
        let port = self.replica.address().port().to_string();
        self.master.command(&["REPLICAOF", "127.0.0.1", &port]);
        wait::until("the data to be there", RECOVERY, || follows(&self.master));
        self.master.command(&["REPLICAOF", "NO", "ONE"]);
    }

    /// Epoch, offset and message of each entry, as who asks keeps them.
    fn entries(&self) -> Vec<(String, String, String)> {
        let Reply::Array(entries) = self.master.command(&["XRANGE", STREAM, "-", "+"]) else {
            panic!("entries")
        };
        let entry = |entry: Reply| {
            let Reply::Array(parts) = entry else {
                panic!("an entry")
            };
            let Reply::Array(fields) = &parts[1] else {
                panic!("fields")
            };
            let offset = parts[0].text().split_once('-').expect("an id").1;
            let [epoch, message] = [1, 5].map(|place| fields[place].text().to_owned());
            (epoch, offset.to_owned(), message)
        };
        entries.into_iter().map(entry).collect()
    }
}

/// No epoch and offset names another message than before.
#[track_caller]
fn no_place_names_two(before: &[(String, String, String)], after: &[(String, String, String)]) {
    for (epoch, offset, message) in after {
        let known = before
            .iter()
            .find(|one| (&one.0, &one.1) == (epoch, offset));
        assert!(
            known.is_none_or(|known| &known.2 == message),
            "{epoch}-{offset}"
        );
    }
}

#[test]
fn what_a_failover_lost_is_counted_exactly_by_whoever_missed_it() {
    let mut pair = Pair::start();
    let proxy = Proxy::start(pair.master.address());
    let left = stream_node_at(&pair.master.url(), &[SHORT]);
    let right = stream_node_at(&proxy.url(), &[SHORT]);
    until_up(&left);
    until_up(&right);
    let (mut ann, mut bob) = (left.join("abc"), right.join("abc"));
    talk(&mut ann, 0..10);
    listen(&mut bob, 0..10);
    pair.fall_behind(10);
    talk(&mut ann, 10..15);
    listen(&mut bob, 10..15);
    proxy.set(Weather::Cut);
    until_down(&right);
    // Nobody else hears these, and Redis answers for them.
    talk(&mut ann, 15..18);
    let before = pair.entries();
    assert_eq!(before.len(), 18);
    pair.fail_over();
    proxy.set(Weather::Fair);
    until_up(&left);
    until_up(&right);
    until_metric(&right, GAPS, 3.0);
    talk(&mut ann, 18..25);
    listen(&mut bob, 18..25);
    say(&mut bob, "of bob");
    expect(&mut bob, "of bob");
    expect(&mut ann, "of bob");
    assert_eq!(left.metric(GAPS), 0.0, "its own");
    assert_eq!(right.metric(GAPS), 3.0, "once");
    for node in [&left, &right] {
        assert_eq!(node.metric("supportal_bridge_resets_total"), 1.0);
    }
    no_place_names_two(&before, &pair.entries());
}

#[test]
fn a_failover_to_a_replica_that_stood_still_and_has_caught_up_is_no_loss() {
    let mut pair = Pair::start();
    let nodes = [(); 2].map(|()| stream_node_at(&pair.master.url(), &[SHORT]));
    nodes.iter().for_each(until_up);
    let (mut ann, mut bob) = (nodes[0].join("abc"), nodes[1].join("abc"));
    talk(&mut ann, 0..5);
    pair.replica.blow(Blow::Stop);
    talk(&mut ann, 5..10);
    listen(&mut bob, 0..10);
    let before = pair.entries();
    pair.replica.blow(Blow::Continue);
    pair.fall_behind(10);
    pair.fail_over();
    nodes.iter().for_each(until_up);
    talk(&mut ann, 10..15);
    listen(&mut bob, 10..15);
    for node in &nodes {
        assert_eq!(node.metric(GAPS), 0.0);
        assert_eq!(node.metric("supportal_bridge_resets_total"), 0.0);
    }
    no_place_names_two(&before, &pair.entries());
}

#[test]
fn a_failover_again_and_again_shows_nothing_twice_and_leaves_nothing_unexplained() {
    let mut pair = Pair::start();
    let nodes = [(); 3].map(|()| stream_node_at(&pair.master.url(), &[SHORT]));
    nodes.iter().for_each(until_up);
    let mut members: Vec<Client> = nodes.iter().map(|node| node.join("abc")).collect();
    let mut said = 0;
    for round in 0..3 {
        let (first, rest) = members.split_at_mut(1);
        talk(&mut first[0], said..said + 5);
        rest.iter_mut()
            .for_each(|member| listen(member, said..said + 5));
        said += 5;
        let before = pair.entries();
        pair.fall_behind(i64::try_from(before.len()).expect("a count"));
        talk(&mut first[0], said..said + 5);
        rest.iter_mut()
            .for_each(|member| listen(member, said..said + 5));
        said += 5;
        let before = pair.entries();
        pair.fail_over();
        // What is said meanwhile comes later to the others, and once.
        talk(&mut first[0], said..said + 5);
        nodes.iter().for_each(until_up);
        rest.iter_mut()
            .for_each(|member| listen(member, said..said + 5));
        said += 5;
        no_place_names_two(&before, &pair.entries());
        for node in &nodes {
            assert_eq!(node.metric(GAPS), 0.0, "round {round}");
        }
        let port = pair.master.address().port().to_string();
        pair.way.set(Weather::Fair);
        pair.replica.command(&["REPLICAOF", "127.0.0.1", &port]);
        wait::until("the replica to follow", RECOVERY, || follows(&pair.replica));
    }
}

#[test]
fn what_was_heard_and_lost_with_its_answer_is_sent_again_and_shown_once() {
    let mut pair = Pair::start();
    let proxy = Proxy::start(pair.master.address());
    let left = stream_node_at(&proxy.url(), &[SHORT]);
    let right = stream_node_at(&pair.master.url(), &[SHORT]);
    until_up(&left);
    until_up(&right);
    let (mut ann, mut bob) = (left.join("abc"), right.join("abc"));
    talk(&mut ann, 0..5);
    listen(&mut bob, 0..5);
    pair.fall_behind(5);
    proxy.set(Weather::Deaf);
    say(&mut ann, "5");
    listen(&mut bob, 5..6);
    expect(&mut ann, "5");
    let before = pair.entries();
    assert_eq!(before.len(), 6);
    proxy.set(Weather::Cut);
    pair.fail_over();
    proxy.set(Weather::Fair);
    until_up(&left);
    until_up(&right);
    talk(&mut ann, 6..10);
    assert_eq!(read(&mut bob, 4), ["6", "7", "8", "9"]);
    let duplicates = "supportal_bridge_duplicates_total";
    wait::until("the second time to be counted", RECOVERY, || {
        right.metric(duplicates) >= 1.0
    });
    assert_eq!(right.metric(GAPS), 0.0);
    no_place_names_two(&before, &pair.entries());
}

/// Says it in room `abc` by the room's name.
#[track_caller]
fn publish(node: &Gateway, text: &str) {
    let body = format!(r#"{{"room": "chat_1_abc", "message": "{text}"}}"#);
    let request = format!(
        "POST /api/publish HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = node.exchange(request.as_bytes()).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn what_was_said_by_a_rooms_name_and_lost_is_counted_by_whoever_missed_it() {
    let mut pair = Pair::start();
    let proxy = Proxy::start(pair.master.address());
    let token = format!("api.token={TOKEN}");
    // Nobody is in the room there.
    let left = stream_node_at(&pair.master.url(), &[SHORT, &token]);
    let right = stream_node_at(&proxy.url(), &[SHORT]);
    until_up(&left);
    until_up(&right);
    let mut bob = right.join("abc");
    for number in 0..10 {
        publish(&left, &number.to_string());
    }
    listen(&mut bob, 0..10);
    pair.fall_behind(10);
    proxy.set(Weather::Cut);
    until_down(&right);
    for number in 10..13 {
        publish(&left, &number.to_string());
    }
    wait::until("Redis to have answered for them", RECOVERY, || {
        pair.entries().len() == 13 && left.metric("supportal_bridge_outbox") == 0.0
    });
    pair.fail_over();
    proxy.set(Weather::Fair);
    until_up(&left);
    until_up(&right);
    until_metric(&right, GAPS, 3.0);
    publish(&left, "13");
    listen(&mut bob, 13..14);
    assert_eq!(right.metric(GAPS), 3.0, "once");
    assert_eq!(left.metric(GAPS), 0.0, "nobody was there");
}
