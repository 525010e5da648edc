//! No room keeps a worker to itself: large fan-outs are written in portions, and what many say at once
//! is gathered.

use super::rig::{Ear, Rig, masked};
use super::*;
use proptest::prelude::*;

/// More than three portions.
const MANY: usize = 200;

pub(super) fn settings(config: &mut Config) {
    config.limits.messages_per_second = 0;
    config.limits.bytes_per_second = 0;
    config.limits.pings_per_second = 1_000;
}

pub(super) fn crowd(rig: &mut Rig, name: &str, members: usize) -> Vec<TcpStream> {
    let mut peers = Vec::new();
    for _ in 0..members {
        let (peer, handoff) = rig.handoff(Some(name));
        assert!(
            rig.handle
                .send(Instruction::Open(Box::new(handoff)))
                .is_none()
        );
        peers.push(peer);
    }
    rig.turn_at(rig.now.0);
    peers
}

pub(super) fn publish(rig: &Rig, name: &str, text: &str, deadline: Millis) {
    let publication = Publication {
        frame: encoder::frame(Opcode::Text, text.as_bytes()),
        deadline,
        event: None,
    };
    let room = rig.broker.find(&room(name)).expect("a room with members");
    rig.broker.publish(&room, &publication, Some(0));
}

pub(super) fn hear(peer: &mut TcpStream) -> Vec<String> {
    let mut ear = Ear::default();
    ear.listen(peer);
    ear.heard
}

/// Turns until the mailbox is empty; the account must add up after each.
pub(super) fn finish(rig: &mut Rig) {
    while !rig.broker.mailboxes().is_empty(0) {
        rig.turn_at(rig.now.0);
        assert_eq!(rig.worker.members.ledger.unexplained(), 0);
    }
}

#[test]
fn small_rooms_are_answered_while_a_large_fan_out_is_written() {
    let mut rig = Rig::new(settings);
    let mut many = crowd(&mut rig, "many", MANY);
    let mut pair = crowd(&mut rig, "pair", 2);
    publish(&rig, "many", "long", Millis::NEVER);
    rig.turn_at(1);
    let begun = rig.worker.members.ledger.delivered;
    assert!(begun > 0 && begun < MANY as u64, "{begun}");
    pair[0].write_all(&say("hello")).unwrap();
    let late = crowd(&mut rig, "pair", 1);
    let delivered = rig.worker.members.ledger.delivered;
    assert!(delivered < MANY as u64, "it goes on: {delivered}");
    for peer in &mut pair {
        assert_eq!(hear(peer).len(), 1, "answered meanwhile");
    }
    assert_eq!(rig.broker.find(&room("pair")).unwrap().members(), 3);
    finish(&mut rig);
    for peer in &mut many {
        assert_eq!(hear(peer), ["long"]);
    }
    drop(late);
}

#[test]
fn a_room_that_says_more_than_a_mailbox_holds_keeps_no_other_room_waiting() {
    let mut rig = Rig::new(|config| {
        settings(config);
        config.broker.mailbox_capacity = 512;
    });
    let mut many = crowd(&mut rig, "many", MANY);
    let mut pair = crowd(&mut rig, "pair", 2);
    let burst: Vec<u8> = (0..60).flat_map(|_| say("flood")).collect();
    for peer in many.iter_mut().take(50) {
        peer.write_all(&burst).unwrap();
    }
    let stalled = |rig: &Rig| {
        let paused = &rig.worker.context.metrics.reads_paused;
        paused.get_or_create(&[("reason", "mailbox")]).get()
    };
    while stalled(&rig) == 0 {
        rig.turn_at(rig.now.0);
    }
    for number in 0..20 {
        pair[0].write_all(&say(&number.to_string())).unwrap();
        rig.turn_at(rig.now.0);
        rig.turn_at(rig.now.0);
        assert!(!rig.broker.mailboxes().is_full(0));
        for peer in &mut pair {
            assert_eq!(
                hear(peer).len(),
                1,
                "{number}: heard in this turn or the next"
            );
        }
    }
    let said = rig.broker.publications();
    assert!(said < 3_000, "the flood is not over: {said}");
    // Nobody who had to wait is forgotten.
    while rig.broker.publications() < 3_020 {
        rig.turn_at(rig.now.0);
        for peer in &mut many {
            hear(peer);
        }
    }
    finish(&mut rig);
}

#[test]
fn what_many_members_say_at_once_costs_each_of_them_one_write() {
    for members in [65, 124, 150] {
        let mut rig = Rig::new(settings);
        let mut peers = crowd(&mut rig, "a", members);
        for peer in &mut peers {
            peer.write_all(&say("x")).unwrap();
        }
        rig.turn_at(1);
        finish(&mut rig);
        rig.turn_at(1);
        finish(&mut rig);
        let writes = rig.worker.context.metrics.writes.get();
        assert_eq!(writes, members as u64, "{members} members");
        for peer in &mut peers {
            assert_eq!(hear(peer).len(), members);
        }
    }
}

#[test]
fn several_large_rooms_take_turns() {
    let mut rig = Rig::new(settings);
    let mut rooms: Vec<_> = ["a", "b"].map(|name| crowd(&mut rig, name, MANY)).into();
    for name in ["a", "b"] {
        publish(&rig, name, "x", Millis::NEVER);
    }
    rig.turn_at(1);
    rig.turn_at(1);
    for peers in &mut rooms {
        let heard = peers.iter_mut().filter_map(|peer| hear(peer).pop()).count();
        assert!(heard > 0 && heard < MANY, "{heard}");
    }
    finish(&mut rig);
}

#[test]
fn rooms_of_some_dozens_share_a_portion_while_a_small_one_is_written_at_once() {
    let mut rig = Rig::new(settings);
    let names = ["a", "b", "c", "d"];
    let mut crowds = names.map(|name| crowd(&mut rig, name, 50));
    let mut pair = crowd(&mut rig, "pair", 2);
    for name in names {
        publish(&rig, name, "x", Millis::NEVER);
    }
    publish(&rig, "pair", "x", Millis::NEVER);
    rig.turn_at(1);
    for peer in &mut pair {
        assert_eq!(hear(peer), ["x"]);
    }
    let heard = |peers: &mut Vec<TcpStream>| peers.iter_mut().map(|peer| hear(peer).len()).sum();
    let first: [usize; 4] = crowds.each_mut().map(heard);
    assert_eq!(first, [50, 50, 0, 0], "each of them whole");
    rig.turn_at(1);
    assert_eq!(crowds.each_mut().map(heard), [0, 0, 50, 50]);
    finish(&mut rig);
}

#[test]
fn what_becomes_too_old_under_way_is_not_written() {
    let mut rig = Rig::new(settings);
    let mut peers = crowd(&mut rig, "a", MANY);
    let now = rig.now.0;
    publish(&rig, "a", "short", Millis(now + 10_000));
    publish(&rig, "a", "long", Millis(now + 60_000));
    rig.turn_at(now);
    let before = rig.worker.members.ledger.delivered / 2;
    assert!(before > 0 && before < MANY as u64);
    rig.now = Millis(now + 20_000);
    finish(&mut rig);
    let heard = |text: &str, peers: &mut [TcpStream]| {
        let all = peers.iter_mut().map(hear);
        all.map(|texts| texts.iter().filter(|one| *one == text).count())
            .collect::<Vec<_>>()
    };
    let ledger = rig.worker.members.ledger;
    assert_eq!(ledger.expected, 2 * MANY as u64);
    assert_eq!(ledger.dropped[1], MANY as u64 - before, "expired");
    assert_eq!(ledger.delivered, MANY as u64 + before);
    assert_eq!(heard("long", &mut peers), vec![1; MANY]);

    // And all of it, for those who are left.
    publish(&rig, "a", "short", Millis(rig.now.0 + 10_000));
    rig.turn_at(rig.now.0);
    rig.now = Millis(rig.now.0 + 20_000);
    finish(&mut rig);
    let after = rig.worker.members.ledger;
    assert_eq!(after.expected, 3 * MANY as u64);
    assert!(after.dropped[1] > ledger.dropped[1] && after.delivered > ledger.delivered);
}

#[test]
fn who_closes_hears_first_what_was_published_before() {
    let mut rig = Rig::new(settings);
    let mut peers = crowd(&mut rig, "a", MANY);
    publish(&rig, "a", "one", Millis::NEVER);
    rig.turn_at(1);
    publish(&rig, "a", "two", Millis::NEVER);
    rig.turn_at(1);
    // Of those that have been served and those that have not.
    for peer in peers.iter_mut().step_by(5) {
        peer.write_all(&[say("bye"), masked(Opcode::Close, &[3, 232])].concat())
            .unwrap();
    }
    rig.turn_at(1);
    finish(&mut rig);
    rig.settle_at(2);
    for (index, peer) in peers.iter_mut().enumerate() {
        let heard = hear(peer);
        assert_eq!(heard[..2], ["one", "two"], "{index}");
        let (last, byes) = match index % 5 {
            0 => ("close:1000", heard[2..heard.len() - 1].len()),
            _ => (heard.last().unwrap().as_str(), heard[2..].len()),
        };
        assert_eq!(heard.last().unwrap(), last);
        assert!(byes >= 1, "its own at least");
    }
    let ledger = rig.worker.members.ledger;
    assert_eq!(ledger.unexplained(), 0);
    assert_eq!(ledger.dropped_total(), 0, "{ledger:?}");
}

#[test]
fn publishers_wait_for_a_mailbox_that_a_large_room_fills_and_nothing_is_lost() {
    let mut rig = Rig::new(|config| {
        settings(config);
        config.broker.mailbox_capacity = 4;
    });
    let mut peers = crowd(&mut rig, "a", MANY);
    let said: Vec<u8> = (0..40)
        .flat_map(|number| say(&format!("{number}.")))
        .collect();
    peers[0].write_all(&said).unwrap();
    until("all to be heard", || {
        rig.turn_at(1);
        rig.worker.members.ledger.delivered == 40 * MANY as u64
    });
    finish(&mut rig);
    for peer in &mut peers {
        let heard = hear(peer);
        let in_order = |(number, text): (usize, &String)| text.contains(&format!("{number}."));
        assert!(heard.len() == 40 && heard.iter().enumerate().all(in_order));
    }
}

#[test]
fn when_a_large_room_is_closed_small_rooms_are_answered_meanwhile() {
    let mut rig = Rig::new(settings);
    let mut many = crowd(&mut rig, "many", MANY);
    let mut pair = crowd(&mut rig, "pair", 2);
    publish(&rig, "many", "last", Millis::NEVER);
    let found = rig.broker.find(&room("many")).unwrap();
    rig.broker
        .close_room(&found, CloseReason::Asked(4000), None);
    pair[0].write_all(&say("hello")).unwrap();
    rig.turn_at(1);
    assert!(found.members() > 0, "not all of them at once");
    assert_eq!(hear(&mut pair[1]).len(), 1);
    until("all to leave", || {
        rig.turn_at(1);
        found.members() == 0
    });
    finish(&mut rig);
    for peer in &mut many {
        assert_eq!(hear(peer), ["last", "close:4000"]);
    }
    let ledger = rig.worker.members.ledger;
    assert_eq!((ledger.unexplained(), ledger.dropped_total()), (0, 0));
}

/// What happens in a room.
#[derive(Clone, Debug)]
enum Step {
    Join(u8),
    Close(u8),
    Vanish(u8),
    Say(u8),
    Err(u8),
    Ping(u8),
    Publish,
    Turn,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (1..40u8).prop_map(Step::Join),
        2 => any::<u8>().prop_map(Step::Close),
        1 => any::<u8>().prop_map(Step::Vanish),
        4 => any::<u8>().prop_map(Step::Say),
        3 => any::<u8>().prop_map(Step::Err),
        2 => any::<u8>().prop_map(Step::Ping),
        3 => Just(Step::Publish),
        6 => Just(Step::Turn),
    ]
}

/// A member, what it has said that comes back to it, and what it has heard.
struct Guest {
    peer: TcpStream,
    ear: Ear,
    said: Vec<String>,
    closes: bool,
}

/// A room of guests; who closes or vanishes is kept apart.
struct Party {
    rig: Rig,
    guests: Vec<Guest>,
    gone: Vec<Guest>,
    number: u32,
}

impl Party {
    fn new() -> Self {
        let mut party = Self {
            rig: Rig::new(settings),
            guests: Vec::new(),
            gone: Vec::new(),
            number: 0,
        };
        party.join(100);
        party
    }

    fn join(&mut self, count: usize) {
        for peer in crowd(&mut self.rig, "party", count) {
            self.guests.push(Guest {
                peer,
                ear: Ear::default(),
                said: Vec::new(),
                closes: false,
            });
        }
    }

    /// Any but the first, who stays and hears everything.
    fn pick(&mut self, chance: u8) -> usize {
        1 + usize::from(chance) % (self.guests.len() - 1)
    }

    fn take(&mut self, step: &Step) {
        self.number += 1;
        let number = self.number;
        let say = |party: &mut Self, chance: u8, bytes: Vec<u8>, back: String| {
            let who = party.pick(chance);
            party.guests[who].peer.write_all(&bytes).unwrap();
            party.guests[who].said.push(back);
        };
        match *step {
            Step::Join(count) => self.join(usize::from(count)),
            Step::Close(chance) if self.guests.len() > 2 => {
                let who = self.pick(chance);
                let mut guest = self.guests.swap_remove(who);
                let close = masked(Opcode::Close, &1000u16.to_be_bytes());
                guest.peer.write_all(&close).unwrap();
                guest.closes = true;
                self.gone.push(guest);
            }
            Step::Vanish(chance) if self.guests.len() > 2 => {
                let who = self.pick(chance);
                self.guests.swap_remove(who);
            }
            Step::Close(_) | Step::Vanish(_) => {}
            Step::Say(chance) => {
                let text = format!("said {number}.");
                say(self, chance, super::say(&text), text);
            }
            Step::Err(chance) => {
                let error = "Invalid message format".to_owned();
                say(self, chance, masked(Opcode::Text, b"no"), error);
            }
            Step::Ping(chance) => {
                let payload = format!("{number}.");
                let back = format!("pong:{payload}");
                say(self, chance, masked(Opcode::Ping, payload.as_bytes()), back);
            }
            Step::Publish => publish(
                &self.rig,
                "party",
                &format!("room {number}."),
                Millis::NEVER,
            ),
            Step::Turn => {
                self.rig.turn_at(1);
                let ledger = self.rig.worker.members.ledger;
                assert_eq!(ledger.unexplained(), 0, "{ledger:?}");
                for guest in self.guests.iter_mut().chain(&mut self.gone) {
                    guest.ear.listen(&mut guest.peer);
                }
            }
        }
    }

    fn check(mut self) {
        for _ in 0..3 {
            finish(&mut self.rig);
            self.take(&Step::Turn);
        }
        let own = |text: &str| text.starts_with("pong:") || text.contains("error");
        let public = |guest: &Guest| -> Vec<String> {
            let heard = guest.ear.heard.iter();
            heard
                .filter(|text| !own(text) && !text.starts_with("close:"))
                .cloned()
                .collect()
        };
        let all = public(&self.guests[0]);
        for guest in self.guests.iter().chain(&self.gone) {
            let heard = public(guest);
            let begin = all.len().saturating_sub(heard.len());
            let begin = if guest.closes {
                let first = heard.first();
                first.map_or(0, |first| {
                    all.iter().position(|text| text == first).expect("no other")
                })
            } else {
                begin
            };
            assert_eq!(
                heard,
                all[begin..begin + heard.len()],
                "in one order, with no hole"
            );
            let mut answers = guest.ear.heard.iter();
            for said in &guest.said {
                assert!(
                    answers.any(|text| text.contains(said.as_str())),
                    "{said} in its order"
                );
            }
            let closed = guest
                .ear
                .heard
                .last()
                .is_some_and(|text| text == "close:1000");
            assert_eq!(closed, guest.closes);
        }
        let room = self.rig.room_ledger(&room("party"));
        assert_eq!(room.unexplained(), 0, "{room:?}");
        assert_eq!(self.rig.worker.members.ledger.queued, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn who_comes_and_goes_during_fan_outs_hears_everything_once_in_one_order(
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut party = Party::new();
        for step in &steps {
            party.take(step);
        }
        party.check();
    }
}
