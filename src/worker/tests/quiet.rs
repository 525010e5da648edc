//! Whatever has happened, a worker comes to rest: nothing is held, nothing is owed, and its poll sleeps.

use super::fairness::{crowd, finish, publish, settings};
use super::rig::{Ear, Rig};
use super::*;
use crate::broker::ConnectionKey;
use crate::broker::uplink::Author;
use crate::config::Overflow;
use proptest::prelude::*;
use std::net::Shutdown;

/// Turns within which a worker that is told nothing more comes to rest.
const TURNS: usize = 500;

const ROOMS: [&str; 3] = ["large", "pair", "single"];

#[derive(Clone, Debug)]
enum Step {
    Join(u8, u8),
    Say(u8, Vec<u8>),
    Publish(u8, u16, u16),
    Answer(u8),
    CloseRoom(u8),
    HalfClose(u8),
    Vanish(u8),
    Read(u8),
    Pass(u16),
    Turn,
    Rest,
}

fn said() -> impl Strategy<Value = Vec<u8>> {
    let one = prop_oneof![
        4 => Just(say("hello")),
        2 => Just(masked(Opcode::Text, b"no")),
        2 => Just(masked(Opcode::Ping, b"p")),
        1 => Just(masked(Opcode::Close, &1000u16.to_be_bytes())),
        1 => Just(masked(Opcode::Binary, b"x")),
        1 => Just(masked(Opcode::Text, b"cut off")[..5].to_vec()),
    ];
    proptest::collection::vec(one, 1..6).prop_map(|parts| parts.concat())
}

fn step() -> impl Strategy<Value = Step> {
    let any_one = any::<u8>;
    prop_oneof![
        2 => (any_one(), 1..20u8).prop_map(|(room, count)| Step::Join(room, count)),
        6 => (any_one(), said()).prop_map(|(who, said)| Step::Say(who, said)),
        5 => (any_one(), 0..60_000u16, 0..20_000u16)
            .prop_map(|(room, bytes, expiry)| Step::Publish(room, bytes, expiry)),
        2 => any_one().prop_map(Step::Answer),
        1 => any_one().prop_map(Step::CloseRoom),
        3 => any_one().prop_map(Step::HalfClose),
        2 => any_one().prop_map(Step::Vanish),
        2 => any_one().prop_map(Step::Read),
        2 => (0..300u16).prop_map(Step::Pass),
        6 => Just(Step::Turn),
        1 => Just(Step::Rest),
    ]
}

fn overflow() -> impl Strategy<Value = Overflow> {
    prop_oneof![
        Just(Overflow::DropNewest),
        Just(Overflow::DropOldest),
        Just(Overflow::Disconnect)
    ]
}

struct Scene {
    rig: Rig,
    peers: Vec<TcpStream>,
}

impl Scene {
    fn new(overflow: Overflow, mailbox: usize) -> Self {
        let mut rig = Rig::new(|config| {
            settings(config);
            config.queue.overflow = overflow;
            config.queue.capacity = 4;
            config.broker.mailbox_capacity = mailbox;
        });
        let mut peers = crowd(&mut rig, "large", 100);
        peers.extend(crowd(&mut rig, "pair", 2));
        Self { rig, peers }
    }

    fn turn(&mut self) {
        self.rig.turn_at(self.rig.now.0);
        let ledger = self.rig.worker.members.ledger;
        assert_eq!(ledger.unexplained(), 0, "{ledger:?}");
    }

    fn rest(&mut self) {
        for _ in 0..TURNS {
            self.turn();
            if self.rig.worker.timeout() != Some(Duration::ZERO) {
                break;
            }
        }
        let worker = &self.rig.worker;
        assert_ne!(worker.timeout(), Some(Duration::ZERO), "it spins");
        assert!(worker.deliverer.is_at_rest());
    }

    fn take(&mut self, step: &Step) {
        let count = self.peers.len();
        let pick = |chance: u8| usize::from(chance) % count.max(1);
        let name = |chance: u8| ROOMS[usize::from(chance) % ROOMS.len()];
        match step {
            Step::Join(room, count) => {
                let peers = crowd(&mut self.rig, name(*room), usize::from(*count));
                self.peers.extend(peers);
            }
            Step::Say(who, said) => {
                if let Some(peer) = self.peers.get_mut(pick(*who)) {
                    // The connection may have been closed.
                    drop(peer.write_all(said));
                }
            }
            Step::Publish(chance, bytes, expiry) => {
                let now = self.rig.now.0;
                let deadline = Millis(now + u64::from(*expiry));
                if self.rig.broker.find(&room(name(*chance))).is_some() {
                    let text = "x".repeat(usize::from(*bytes));
                    publish(&self.rig, name(*chance), &text, deadline);
                }
            }
            Step::Answer(chance) => {
                let index = u32::from(*chance) % self.rig.worker.connections.clients.places();
                let key = self
                    .rig
                    .worker
                    .connections
                    .clients
                    .key_at(index)
                    .unwrap_or_default();
                self.rig.broker.answered(Author {
                    worker: 0,
                    connection: ConnectionKey(key),
                });
            }
            Step::CloseRoom(chance) => {
                if let Some(room) = self.rig.broker.find(&room(name(*chance))) {
                    self.rig
                        .broker
                        .close_room(&room, CloseReason::Asked(4000), None);
                }
            }
            Step::HalfClose(who) => {
                if let Some(peer) = self.peers.get(pick(*who)) {
                    drop(peer.shutdown(Shutdown::Write));
                }
            }
            Step::Vanish(who) if count > 0 => {
                self.peers.swap_remove(pick(*who));
            }
            Step::Vanish(_) => {}
            Step::Read(who) => {
                if let Some(peer) = self.peers.get_mut(pick(*who)) {
                    Ear::default().listen(peer);
                }
            }
            Step::Pass(ticks) => self.rig.now = Millis(self.rig.now.0 + 100 * u64::from(*ticks)),
            Step::Turn => self.turn(),
            Step::Rest => self.rest(),
        }
    }

    /// A drain of ten seconds; nobody reads.
    fn drain(mut self) {
        const STEP: u64 = 250;
        self.rest();
        let deadline = Millis(self.rig.now.0 + 10_000);
        let instruction = Instruction::Drain {
            reason: CloseReason::GoingAway,
            deadline,
        };
        assert!(self.rig.handle.send(instruction).is_none());
        while !self.rig.worker.is_done() {
            self.turn();
            self.rig.now = Millis(self.rig.now.0 + STEP);
            let late = self.rig.now.since(deadline);
            assert!(late < Duration::from_secs(1), "the grace is over");
        }
        self.turn();
        let worker = &self.rig.worker;
        assert!(worker.deliverer.is_at_rest());
        assert!(worker.members.has_no_backlog());
        assert_eq!(worker.members.ledger.queued, 0);
        let broker = &self.rig.broker;
        assert_eq!((broker.rooms(), broker.placement().connections(0)), (0, 0));
        assert_eq!(broker.placement().load(0, Millis::NEVER), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_a_worker_comes_to_rest_and_its_drain_ends(
        steps in proptest::collection::vec(step(), 1..80),
        overflow in overflow(),
        mailbox in prop_oneof![Just(3usize), Just(8_192)],
    ) {
        let mut scene = Scene::new(overflow, mailbox);
        for step in &steps {
            scene.take(step);
        }
        scene.drain();
    }
}

#[test]
fn the_answer_to_a_close_frame_is_read_although_the_byte_rate_is_used_up() {
    let mut rig = Rig::new(|config| {
        settings(config);
        config.limits.bytes_per_second = 1_000;
    });
    let mut peers = crowd(&mut rig, "pair", 2);
    let burst: Vec<u8> = (0..3_000).flat_map(|_| say("hello")).collect();
    peers[0].write_all(&burst).unwrap();
    until("the byte rate to be used up", || {
        rig.turn_at(1);
        let paused = &rig.worker.context.metrics.reads_paused;
        paused.get_or_create(&[("reason", "bytes")]).get() > 0
    });
    // What it says from here on is not read.
    let close = masked(Opcode::Close, &4000u16.to_be_bytes());
    peers[0].write_all(&close).unwrap();
    peers[0].shutdown(Shutdown::Write).unwrap();
    rig.turn_at(1);
    let found = rig.broker.find(&room("pair")).unwrap();
    rig.broker
        .close_room(&found, CloseReason::Asked(4000), None);
    rig.settle_at(1);
    finish(&mut rig);
    assert_eq!(rig.left.load(Ordering::Relaxed), 1, "gone at once");
    let mut ear = Ear::default();
    ear.listen(&mut peers[0]);
    assert_eq!(ear.heard.last().unwrap(), "close:4000");
    assert!(ear.ended);
}

#[test]
fn a_reply_that_a_large_room_has_not_been_written_yet_reaches_who_stayed_for_it_alone() {
    let mut rig = Rig::new(settings);
    let mut peers = crowd(&mut rig, "large", 200);
    // Of both ends of the room, and between.
    for index in [0, 100, 199] {
        let key = rig.worker.connections.clients.key_at(index).unwrap();
        rig.worker.connections.clients.get_mut(key).unwrap().asked = 1;
        publish(&rig, "large", "under way", Millis::NEVER);
        rig.turn_at(1);
        let peer = &mut peers[index as usize];
        peer.shutdown(Shutdown::Write).unwrap();
        publish(&rig, "large", "reply", Millis::NEVER);
        rig.broker.answered(Author {
            worker: 0,
            connection: ConnectionKey(key),
        });
        rig.turn_at(1);
        rig.turn_at(1);
        let mut ear = Ear::default();
        ear.listen(peer);
        let last = ear.heard.split_off(ear.heard.len() - 2);
        assert_eq!(last, ["under way", "reply"]);
        finish(&mut rig);
        rig.settle_at(1);
        ear.listen(peer);
        assert!(ear.ended);
    }
    let ledger = rig.worker.members.ledger;
    assert_eq!((ledger.unexplained(), ledger.dropped_total()), (0, 0));
}

#[test]
fn who_leaves_a_room_that_has_much_to_write_takes_as_much_of_the_turn() {
    let mut rig = Rig::new(settings);
    let mut peers = crowd(&mut rig, "large", 100);
    publish(&rig, "large", "under way", Millis::NEVER);
    rig.turn_at(1);
    for _ in 0..64 {
        publish(&rig, "large", &"x".repeat(8_192), Millis::NEVER);
    }
    for peer in peers.iter_mut().take(50) {
        let close = masked(Opcode::Close, &1000u16.to_be_bytes());
        peer.write_all(&close).unwrap();
    }
    let found = rig.broker.find(&room("large")).unwrap();
    rig.turn_at(1);
    assert!((90..100).contains(&found.members()), "{}", found.members());
    until("all to leave", || {
        rig.turn_at(1);
        found.members() == 50
    });
    finish(&mut rig);
}

#[test]
fn nothing_is_written_to_who_is_gone_and_what_it_was_owed_is_closed() {
    let mut rig = Rig::new(settings);
    let mut peers = crowd(&mut rig, "large", 200);
    publish(&rig, "large", "under way", Millis::NEVER);
    rig.turn_at(1);
    let writes = rig.worker.context.metrics.writes.get();
    assert_eq!(writes, 64, "a portion, newest first");
    publish(&rig, "large", "late", Millis::NEVER);
    // Closed with something unread: a reset.
    peers.truncate(150);
    rig.turn_at(1);
    assert_eq!(rig.broker.find(&room("large")).unwrap().members(), 150);
    let portion = rig.worker.context.metrics.writes.get() - writes;
    assert!(portion <= 64, "{portion}");
    finish(&mut rig);
    let ledger = rig.worker.members.ledger;
    assert_eq!(
        (ledger.expected, ledger.delivered),
        (400, 350),
        "{ledger:?}"
    );
    assert_eq!((ledger.unexplained(), ledger.dropped_total()), (0, 50));
}
