//! A room over several workers: one order, one account.

use super::*;

#[test]
fn every_member_of_a_spread_room_gets_every_message_once_and_in_one_order() {
    const MEMBERS: usize = 6;
    const EACH: usize = 100;
    let node = Node::start(2, |config| config.broker.spread_above = 2);
    let name = room("spread");
    let peers: Vec<_> = (0..MEMBERS)
        .map(|index| {
            let (peer, socket) = node.pair();
            node.handles.hand_over(node.handoff(socket, Some(&name)));
            until("the member to join", || node.members(&name) == index + 1);
            peer
        })
        .collect();
    let found = node.broker.find(&name).expect("the room");
    assert!((0..2).all(|worker| found.slot_on(worker).is_some()));
    let heard = std::thread::scope(|scope| {
        let ends: Vec<_> = peers
            .into_iter()
            .enumerate()
            .map(|(index, mut peer)| {
                scope.spawn(move || {
                    // In pieces that end inside frames.
                    let whole: Vec<u8> = (0..EACH)
                        .flat_map(|number| say(&format!("{index} {number}")))
                        .collect();
                    for piece in whole.chunks(97 + index) {
                        peer.send(piece);
                    }
                    let heard: Vec<_> = (0..MEMBERS * EACH).map(|_| peer.hear()).collect();
                    (peer, heard)
                })
            })
            .collect();
        ends.into_iter()
            .map(|end| end.join().expect("all messages"))
            .collect::<Vec<_>>()
    });
    let order = &heard[0].1;
    for (_, other) in &heard {
        assert_eq!(other, order, "one order for all");
    }
    for index in 0..MEMBERS {
        let own = order
            .iter()
            .filter(|text| text.starts_with(&format!("{index} ")));
        let sent = (0..EACH).map(|number| format!("{index} {number}"));
        assert!(own.cloned().eq(sent), "each publisher's own order");
    }
    let ledger = node.settled(None);
    assert_eq!(ledger.expected, (MEMBERS * MEMBERS * EACH) as u64);
    assert_eq!(ledger.delivered, ledger.expected);
    assert_eq!(
        node.settled(Some(&name)),
        ledger,
        "the room's account is the node's"
    );
}

#[test]
fn an_audit_of_one_room_tells_its_account_alone() {
    let node = Node::start(2, |_| {});
    let (quiet, loud) = (room("quiet"), room("loud"));
    let mut alone = node.join_on(0, &quiet);
    let (mut one, mut two) = (node.join_on(0, &loud), node.join_on(1, &loud));
    alone.send(&say("x"));
    alone.hear();
    for number in 0..10 {
        one.send(&say(&number.to_string()));
        one.hear();
        two.hear();
    }
    assert_eq!(node.settled(Some(&quiet)).delivered, 1);
    assert_eq!(node.settled(Some(&loud)).delivered, 20);
    assert_eq!(node.settled(Some(&room("nobody"))), Ledger::default());
    assert_eq!(node.settled(None).delivered, 21);
}

#[test]
fn what_a_leaver_had_waiting_is_taken_off_its_rooms_account() {
    let node = Node::start(1, |_| {});
    let name = room("leaver");
    let (mut stays, mut slow) = (node.join_on(0, &name), node.join_slowly(&name));
    let found = node.broker.find(&name).expect("the room");
    let publication = large();
    let mut published = 0;
    until("a backlog", || {
        node.broker.publish(&found, &publication, None);
        published += 1;
        stays.receive();
        node.audit(Some(&name)).queued > 3
    });
    slow.send(&masked(Opcode::Close, &1000u16.to_be_bytes()));
    until("the leave", || node.members(&name) == 1);
    drop(slow);
    until("the connection to be buried", || node.gone() == 1);
    let account = node.settled(Some(&name));
    assert_eq!(account.expected, 2 * published);
    assert!(account.dropped_total() > 0, "{account:?}");
    assert_eq!(account, node.settled(None));
}

/// Small and repeatable (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Publishes whenever the room has members; the deliveries the broker said are owed.
fn publish(node: &Node, name: &RoomName, done: &AtomicU64) -> u64 {
    let publication = Publication {
        frame: encoder::frame(Opcode::Text, br#"{"message":"x"}"#),
        deadline: node.clock.now() + Duration::from_secs(60),
        event: None,
    };
    let mut owed = 0;
    while done.load(Ordering::SeqCst) == 0 {
        match node.broker.find(name) {
            Some(room) if node.broker.full_mailbox(&room).is_none() => {
                owed += node.broker.publish(&room, &publication, None).1;
            }
            _ => std::thread::yield_now(),
        }
    }
    owed
}

#[test]
fn joins_and_leaves_of_every_kind_under_publishing_leave_no_residue() {
    let (seconds, micros) = crate::clock::wall();
    let seed = seconds ^ u64::from(micros) << 20 | 1;
    println!("seed {seed}");
    let mut chance = Chance(seed);
    let node = Node::start(2, |config| {
        config.broker.spread_above = 2;
        config.broker.mailbox_capacity = 64;
        config.queue.capacity = 20;
    });
    let name = room("churn");
    let done = AtomicU64::new(0);
    let opened = 150;
    let owed: u64 = std::thread::scope(|scope| {
        let publishers: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| publish(&node, &name, &done)))
            .collect();
        let mut peers = Vec::new();
        for _ in 0..opened {
            let (peer, socket) = node.pair();
            node.handles.hand_over(node.handoff(socket, Some(&name)));
            peers.push(peer);
            if peers.len() < 8 {
                continue;
            }
            let mut peer = peers.swap_remove(chance.below(8) as usize);
            match chance.below(4) {
                0 => drop(peer), // With unread bytes: a reset.
                1 => {
                    peer.send(&masked(Opcode::Close, &1000u16.to_be_bytes()));
                    assert_eq!(peer.hear_close(), 1000);
                }
                2 => {
                    peer.send(&[0xff; 4]);
                    assert_eq!(peer.hear_close(), 1002);
                }
                _ => {
                    peer.receive();
                    peer.0
                        .shutdown(std::net::Shutdown::Write)
                        .expect("an open socket");
                }
            }
        }
        drop(peers);
        done.store(1, Ordering::SeqCst);
        publishers
            .into_iter()
            .map(|publisher| publisher.join().expect("a publisher"))
            .sum()
    });
    until("all to be buried", || node.gone() == opened);
    let ledger = node.settled(None);
    assert_eq!(ledger.expected, owed, "what the broker owed, seed {seed}");
    assert_eq!(node.broker.rooms(), 0);
    assert_eq!(node.metrics.unexplained.get(), 0, "seed {seed}");
    assert!(ledger.delivered > 0 && owed > 0);
}
