//! A full mailbox stops its publishers, and only them; nothing is lost.

use super::*;
use std::net::Shutdown;

const CAPACITY: u64 = 4;

fn two_workers() -> Node {
    Node::start(2, |config| {
        config.broker.mailbox_capacity = CAPACITY as usize
    })
}

#[test]
fn a_full_mailbox_of_another_worker_stalls_the_publisher_and_loses_nothing() {
    let node = two_workers();
    let name = room("wide");
    let (mut near, mut far) = (node.join_on(0, &name), node.join_on(1, &name));
    let (mut other, mut friend) = (
        node.join_on(0, &room("other")),
        node.join_on(0, &room("other")),
    );
    let thaw = node.freeze(1);
    let burst: Vec<u8> = (0..200).flat_map(|n| say(&n.to_string())).collect();
    near.send(&burst);
    until("the stall", || node.paused_by_mailbox() > 0);
    assert_eq!(node.broker.publications(), CAPACITY);
    // Connections of the same worker go on with rooms that are not full.
    for number in 0..50 {
        other.send(&say(&number.to_string()));
        assert_eq!(other.hear(), number.to_string());
        assert_eq!(friend.hear(), number.to_string());
    }
    assert_eq!(node.broker.publications(), CAPACITY + 50);
    // More input than was kept waits in the socket.
    near.send(&say("last"));
    drop(thaw);
    for peer in [&mut near, &mut far] {
        for number in 0..200 {
            assert_eq!(peer.hear(), number.to_string());
        }
        assert_eq!(peer.hear(), "last");
    }
    let ledger = node.settled(None);
    assert_eq!((ledger.expected, ledger.dropped_total()), (502, 0));
}

#[test]
fn the_end_of_a_stream_that_came_during_a_stall_is_noticed() {
    let node = two_workers();
    let name = room("end");
    let (mut near, mut far) = (node.join_on(0, &name), node.join_on(1, &name));
    let thaw = node.freeze(1);
    let burst: Vec<u8> = (0..20).flat_map(|n| say(&n.to_string())).collect();
    near.send(&burst);
    until("the stall", || node.paused_by_mailbox() > 0);
    near.send(&say("20"));
    near.0.shutdown(Shutdown::Write).expect("an open socket");
    // Two turns of the worker: it has seen the event and could not read.
    for _ in 0..2 {
        let (done, is_done) = mpsc::channel();
        let reply = Box::new(move |_| assert!(done.send(()).is_ok()));
        assert!(
            node.handles
                .handle(0)
                .send(Instruction::Audit(None, reply))
                .is_none()
        );
        is_done.recv_timeout(PATIENCE).expect("a turn");
    }
    drop(thaw);
    for number in 0..=20 {
        assert_eq!(far.hear(), number.to_string());
    }
    until("the connection to be buried", || node.gone() == 1);
    assert_eq!(node.members(&name), 1);
    node.settled(None);
}

#[test]
fn publishers_on_both_sides_of_full_mailboxes_do_not_stop_each_other() {
    let node = Node::start(2, |config| config.broker.mailbox_capacity = 1);
    let name = room("both");
    let peers: Vec<_> = (0..4).map(|index| node.join_on(index % 2, &name)).collect();
    let heard: Vec<Vec<String>> = std::thread::scope(|scope| {
        let ends: Vec<_> = peers
            .into_iter()
            .enumerate()
            .map(|(index, mut peer)| {
                let mut writer = Peer(peer.0.try_clone().expect("a descriptor"));
                scope.spawn(move || {
                    let burst: Vec<u8> = (0..300)
                        .flat_map(|number| say(&format!("{index} {number}")))
                        .collect();
                    writer.send(&burst);
                });
                scope.spawn(move || (0..1_200).map(|_| peer.hear()).collect::<Vec<_>>())
            })
            .collect();
        ends.into_iter()
            .map(|end| end.join().expect("all messages"))
            .collect()
    });
    for other in &heard[1..] {
        assert_eq!(other, &heard[0], "one order for all");
    }
    assert!(node.paused_by_mailbox() > 0);
    until("all to be buried", || node.gone() == 4);
    let ledger = node.settled(None);
    assert_eq!(ledger.expected, 4_800);
}
