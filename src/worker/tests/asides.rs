//! What is for one connection alone keeps its place, and nobody else pays for it.

use super::rig::{Ear, Rig, masked};
use super::*;
use crate::config::{Deliver, Dialect};

const MEMBERS: usize = 61;

/// One row: what a member sends in one segment, and what it hears.
struct Row {
    name: &'static str,
    change: fn(&mut Config),
    said: Vec<u8>,
    hears: Vec<&'static str>,
    /// How often all of `hears` comes.
    times: usize,
    /// What comes behind that.
    end: Vec<&'static str>,
}

fn row(name: &'static str, said: Vec<u8>, hears: &[&'static str], times: usize) -> Row {
    Row {
        name,
        change: |_| {},
        said,
        hears: hears.to_vec(),
        times,
        end: Vec::new(),
    }
}

fn text(payload: &str) -> Vec<u8> {
    masked(Opcode::Text, payload.as_bytes())
}

fn ping(payload: &str) -> Vec<u8> {
    masked(Opcode::Ping, payload.as_bytes())
}

fn fragments(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = parts.concat();
    out[0] = 0x01;
    let last = out.len() - parts.last().unwrap().len();
    out[last] = 0x80;
    out
}

fn valid() -> Vec<u8> {
    text(r#"{"message":"ok"}"#)
}

#[rustfmt::skip]
fn rows() -> Vec<Row> {
    let long = text(&format!(r#"{{"message":"{}"}}"#, "x".repeat(101)));
    let half = fragments(&[&text(r#"{"message":"#), &ping("in"), &text(r#""ok"}"#)]);
    let django = text(r#"{"message":"ok","type":"system"}"#);
    let unknown = text(r#"{"message":"x","type":"nobody's"}"#);
    let close = masked(Opcode::Close, &1000u16.to_be_bytes());
    vec![
        row("valid", valid().repeat(100), &["ok"], 100),
        row("valid, invalid", [valid(), text("no")].concat().repeat(50), &["ok", "error"], 50),
        row("invalid", text("no").repeat(100), &["error"], 100),
        row("valid, ping", [valid(), ping("1")].concat().repeat(50), &["ok", "pong:1"], 50),
        row("pings", [ping("1"), ping("2")].concat().repeat(50), &["pong:1", "pong:2"], 50),
        row("ping, valid, invalid", [ping("1"), valid(), text("{}")].concat().repeat(30), &["pong:1", "ok", "error"], 30),
        row("fragments with a ping between, invalid", [half, text("[")].concat().repeat(30), &["pong:in", "ok", "error"], 30),
        Row { change: |config| config.chat.text_bytes_max = 100,
            ..row("too long", [valid(), long].concat().repeat(20), &["ok", "error"], 20) },
        Row { change: |config| {
                config.limits.messages_per_second = 1;
                config.limits.messages_burst = 3;
                config.limits.refusals = 20;
            },
            hears: vec![], end: [vec!["ok"; 3], vec!["error"; 20], vec!["close:4429"]].concat(),
            ..row("too many", valid().repeat(60), &[], 1) },
        Row { end: vec!["close:1000"],
            ..row("a close behind", [[valid(), text("no")].concat().repeat(30), close].concat(), &["ok", "error"], 30) },
        Row { end: vec!["ok", "close:1003"],
            ..row("a refusal behind", [[text("no"), ping("1")].concat().repeat(30), valid(), masked(Opcode::Binary, b"x"), valid()].concat(), &["error", "pong:1"], 30) },
        Row { change: |config| config.chat.dialect = Dialect::Django,
            ..row("django", [django.clone(), text("no"), ping("1")].concat().repeat(30), &["ok", "error", "pong:1"], 30) },
        Row { change: |config| config.chat.dialect = Dialect::Django,
            ..row("django, commands ignored", [django.clone(), unknown, text("no")].concat().repeat(30), &["ok", "error"], 30) },
        Row { change: |config| config.chat.deliver = Deliver::Sender,
            ..row("to the sender", [valid(), text("no"), ping("1")].concat().repeat(30), &["ok", "error", "pong:1"], 30) },
        Row { change: |config| { config.chat.dialect = Dialect::Django; config.chat.deliver = Deliver::Sender; },
            ..row("django, to the sender", [django, text("no")].concat().repeat(30), &["ok", "error"], 30) },
    ]
}

fn settings(config: &mut Config) {
    config.limits.messages_per_second = 0;
    config.limits.bytes_per_second = 0;
    config.limits.pings_per_second = 1_000;
    config.limits.refusals = 10_000;
}

/// What was heard, in short.
fn brief(heard: &[String]) -> Vec<&str> {
    let brief = |text: &String| match text {
        text if text.contains(r#""error""#) => "error",
        text if text.contains("ok") => "ok",
        text => text.clone().leak(),
    };
    heard.iter().map(brief).collect()
}

#[test]
fn a_member_that_alternates_costs_each_member_three_writes_at_most_and_hears_all_in_order() {
    for row in rows() {
        let mut rig = Rig::new(|config| {
            settings(config);
            (row.change)(config);
        });
        let mut peers: Vec<_> = (0..MEMBERS).map(|_| rig.open(Some("a"))).collect();
        peers[7].write_all(&row.said).unwrap();
        rig.settle_at(10);
        let mut expected: Vec<_> = std::iter::repeat_n(&row.hears, row.times)
            .flatten()
            .copied()
            .collect();
        expected.extend(&row.end);
        let writes = rig.worker.context.metrics.writes.get();
        assert!(
            writes <= 3 * MEMBERS as u64,
            "{}: {writes} writes",
            row.name
        );
        let mut ears: Vec<Ear> = Vec::new();
        for peer in &mut peers {
            let mut ear = Ear::default();
            ear.listen(peer);
            ears.push(ear);
        }
        assert_eq!(brief(&ears[7].heard), expected, "{}", row.name);
        let said = expected.iter().filter(|one| **one == "ok").count();
        let alone = row.name.contains("to the sender");
        for (index, ear) in ears.iter().enumerate().filter(|(index, _)| *index != 7) {
            let due = if alone { 0 } else { said };
            assert_eq!(brief(&ear.heard), vec!["ok"; due], "{}: {index}", row.name);
        }
        let ledger = rig.worker.members.ledger;
        assert_eq!(
            (ledger.unexplained(), ledger.dropped_total()),
            (0, 0),
            "{}",
            row.name
        );
        assert!(rig.broker.mailboxes().is_empty(0), "{}", row.name);
    }
}

#[test]
fn an_echo_connection_hears_messages_and_pongs_in_order_in_few_writes() {
    let mut rig = Rig::new(settings);
    let mut peers = [rig.open(None), rig.open(None)];
    let said = [text("ok"), ping("1"), masked(Opcode::Binary, b"ok")].concat();
    for peer in &mut peers {
        peer.write_all(&said.repeat(30)).unwrap();
    }
    rig.settle_at(10);
    for peer in &mut peers {
        let mut ear = Ear::default();
        ear.listen(peer);
        assert_eq!(brief(&ear.heard), ["ok", "pong:1", "ok"].repeat(30));
    }
    assert!(rig.worker.context.metrics.writes.get() <= 6);
    assert_eq!(rig.worker.members.ledger.delivered, 120);
}

#[test]
fn a_reader_that_is_behind_gets_its_asides_in_their_place() {
    let mut rig = Rig::new(|config| {
        settings(config);
        config.queue.capacity = 10_000;
        config.queue.bytes_max = 64 << 20;
    });
    let (mut peer, handoff) = rig.handoff(Some("a"));
    SockRef::from(&handoff.socket)
        .set_send_buffer_size(4 * 1024)
        .unwrap();
    assert!(
        rig.handle
            .send(Instruction::Open(Box::new(handoff)))
            .is_none()
    );
    let mut witness = rig.open(Some("a"));
    let padded = text(&format!(r#"{{"message":"ok{}"}}"#, " ".repeat(2_000)));
    let rounds = 3_000;
    let writer = std::thread::spawn({
        let mut peer = peer.try_clone().unwrap();
        move || {
            let piece = [padded, text("no")].concat();
            for _ in 0..rounds {
                peer.write_all(&piece).unwrap();
            }
        }
    });
    let (mut ear, mut other) = (Ear::default(), Ear::default());
    let mut most_queued = 0;
    let mut turns = 0;
    until("all to be heard", || {
        turns += 1;
        rig.turn_at(turns / 10);
        other.listen(&mut witness);
        most_queued = most_queued.max(rig.worker.members.ledger.queued);
        assert_eq!(rig.worker.members.ledger.unexplained(), 0);
        // The other member reads nothing until much waits for it.
        if other.heard.len() == rounds {
            ear.listen(&mut peer);
        }
        ear.heard.len() == 2 * rounds
    });
    writer.join().unwrap();
    assert!(most_queued > 100, "it was behind: {most_queued}");
    assert_eq!(brief(&ear.heard), ["ok", "error"].repeat(rounds));
}

#[test]
fn each_half_of_a_room_on_two_workers_gets_one_order_and_few_writes() {
    let node = Node::start(2, settings);
    let name = room("halves");
    let mut peers: Vec<_> = (0..10)
        .map(|index| node.join_on(index % 2, &name))
        .collect();
    let said = [valid(), text("no"), ping("1")].concat().repeat(50);
    peers[3].send(&said);
    for (index, peer) in peers.iter_mut().enumerate() {
        let mut heard = Vec::new();
        while heard.len() < if index == 3 { 150 } else { 50 } {
            let (opcode, payload) = peer.receive().expect("a frame");
            heard.push(match opcode {
                Opcode::Pong => "pong",
                _ if payload.starts_with(br#"{"error""#) => "error",
                _ => "ok",
            });
        }
        match index {
            3 => assert_eq!(heard, ["ok", "error", "pong"].repeat(50)),
            _ => assert_eq!(heard, ["ok"; 50]),
        }
    }
    let ledger = node.settled(None);
    assert_eq!((ledger.expected, ledger.dropped_total()), (550, 0));
    // The other worker may take the first messages before the last have been said.
    let writes = node.metrics.writes.get();
    assert!(writes <= 5 * 3 + 5 * 50, "{writes}");
}
