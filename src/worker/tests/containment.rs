//! A panic in one connection's code costs that connection alone, and one while something is
//! delivered no more than that connection or publication; a worker that ends holds nobody up.

use super::fairness::{crowd, finish, hear, publish, settings};
use super::rig::Rig;
use super::*;

fn assert_echoes(peer: &mut Peer, text: &str) {
    peer.send(&masked(Opcode::Text, text.as_bytes()));
    assert_eq!(
        peer.receive(),
        Some((Opcode::Text, text.as_bytes().to_vec()))
    );
}

#[test]
fn a_panic_closes_its_connection_with_1011_is_counted_and_nothing_else_notices() {
    let node = Node::start(1, |_| {});
    let name = room("calm");
    let (mut one, mut two) = (node.join_on(0, &name), node.join_on(0, &name));
    let mut echo = node.echo(Vec::new());
    let mut tripped = node.echo(Vec::new());
    assert_echoes(&mut tripped, "before");
    assert_echoes(&mut echo, "before");
    one.send(&say("1"));
    tripped.send(
        &[
            masked(Opcode::Text, b"same read"),
            masked(Opcode::Text, TRIP),
        ]
        .concat(),
    );
    one.send(&say("2"));
    assert_eq!(
        tripped.receive(),
        Some((Opcode::Text, b"same read".to_vec())),
        "what came before is answered"
    );
    assert_eq!(tripped.hear_close(), CloseReason::Internal.code());
    assert_eq!(tripped.receive(), None);
    drop(tripped);
    assert_eq!(node.metrics.panics.get(), 1);
    assert!(node.metrics.text().contains("supportal_panics_total 1"));

    // With the bytes of its handshake, too.
    let mut eager = node.echo(masked(Opcode::Text, TRIP));
    assert_eq!(eager.hear_close(), CloseReason::Internal.code());
    drop(eager);
    assert_eq!(node.metrics.panics.get(), 2);

    one.send(&say("3"));
    for peer in [&mut one, &mut two] {
        for number in ["1", "2", "3"] {
            assert_eq!(peer.hear(), number);
        }
    }
    assert_echoes(&mut echo, "after");
    until("both to be buried", || node.gone() == 2);
    node.settled(None);
}

#[test]
fn a_member_that_panics_leaves_its_room() {
    let node = Node::start(1, |_| {});
    let name = room("left");
    let mut stays = node.join_on(0, &name);
    let (mut peer, socket) = node.pair();
    node.handles.hand_over(Handoff {
        role: chat::echo(),
        ..node.handoff(socket, Some(&name))
    });
    until("both to join", || node.members(&name) == 2);
    peer.send(&masked(Opcode::Text, TRIP));
    assert_eq!(peer.hear_close(), CloseReason::Internal.code());
    until("the leave", || node.members(&name) == 1);
    stays.send(&say("alone"));
    assert_eq!(stays.hear(), "alone");
    node.settled(None);
}

#[test]
fn a_panic_while_a_room_is_written_cuts_off_that_member_and_the_others_hear_everything() {
    TRIPS.store(true, Ordering::Relaxed);
    for members in [2, 10, 200] {
        for asides in [false, true] {
            let mut rig = Rig::new(settings);
            let mut peers = crowd(&mut rig, "a", members);
            publish(&rig, "a", &format!("{TRIP_WRITING}1."), Millis::NEVER);
            publish(&rig, "a", "next", Millis::NEVER);
            if asides {
                peers[1].write_all(&masked(Opcode::Text, b"no")).unwrap();
            }
            rig.turn_at(1);
            finish(&mut rig);
            rig.turn_at(1);
            for (index, peer) in peers.iter_mut().enumerate() {
                let heard = hear(peer).len();
                assert_eq!(
                    heard,
                    if index == 1 { 0 } else { 2 },
                    "{index} of {members}"
                );
            }
            assert_eq!(rig.broker.find(&room("a")).unwrap().members(), members - 1);
            let metrics = &rig.worker.context.metrics;
            assert_eq!((metrics.panics.get(), metrics.unexplained.get()), (1, 0));
            let ledger = rig.worker.members.ledger;
            assert_eq!(ledger.expected, 2 * members as u64 + u64::from(asides));
            assert_eq!(ledger.dropped_total(), 2 + u64::from(asides), "{ledger:?}");
            assert_eq!(rig.room_ledger(&room("a")).unexplained(), 0);
        }
    }
}

#[test]
fn a_panic_while_a_leaver_is_written_to_lets_it_leave() {
    TRIPS.store(true, Ordering::Relaxed);
    let mut rig = Rig::new(settings);
    let mut peers = crowd(&mut rig, "a", 200);
    publish(&rig, "a", "first", Millis::NEVER);
    rig.turn_at(1);
    publish(&rig, "a", &format!("{TRIP_WRITING}1."), Millis::NEVER);
    let close = masked(Opcode::Close, &1000u16.to_be_bytes());
    peers[1].write_all(&close).unwrap();
    rig.turn_at(1);
    finish(&mut rig);
    assert_eq!(rig.broker.find(&room("a")).unwrap().members(), 199);
    assert_eq!(hear(&mut peers[2]).len(), 2);
    assert_eq!(rig.worker.context.metrics.panics.get(), 1);
}

#[test]
fn a_panic_while_an_echo_is_written_cuts_off_that_connection_alone() {
    TRIPS.store(true, Ordering::Relaxed);
    let mut rig = Rig::new(settings);
    let (mut broken, mut other) = (rig.open(None), rig.open(None));
    broken
        .write_all(&masked(
            Opcode::Text,
            format!("{TRIP_WRITING}0.").as_bytes(),
        ))
        .unwrap();
    other.write_all(&masked(Opcode::Text, b"whole")).unwrap();
    rig.settle_at(1);
    finish(&mut rig);
    assert_eq!(hear(&mut other), ["whole"]);
    assert_eq!(rig.worker.connections.clients.len(), 1);
    let ledger = rig.worker.members.ledger;
    assert_eq!((ledger.delivered, ledger.dropped_total()), (1, 1));
}

#[test]
fn a_panic_while_a_publication_is_delivered_drops_it_and_delivers_the_rest() {
    let mut rig = Rig::new(settings);
    let mut peers = crowd(&mut rig, "a", 3);
    let trip = std::str::from_utf8(TRIP_DELIVERY).unwrap();
    for text in ["one", trip, "two"] {
        publish(&rig, "a", text, Millis::NEVER);
    }
    rig.turn_at(1);
    finish(&mut rig);
    for peer in &mut peers {
        assert_eq!(hear(peer), ["one", "two"]);
    }
    let ledger = rig.worker.members.ledger;
    assert_eq!((ledger.expected, ledger.delivered), (9, 6));
    assert_eq!(rig.worker.context.metrics.panics.get(), 1);
}

#[test]
fn a_worker_that_ends_by_a_fault_holds_up_nobody_and_leaves_no_member_and_no_residue() {
    let node = Node::start(2, |config| config.broker.mailbox_capacity = 4);
    let name = room("wide");
    let (mut near, far) = (node.join_on(0, &name), node.join_on(1, &name));
    let thaw = node.freeze(1);
    let burst: Vec<u8> = (0..50).flat_map(|n| say(&n.to_string())).collect();
    near.send(&burst);
    until("the stall", || node.paused_by_mailbox() > 0);
    let fault = Box::new(|_| panic!("asked for by a test"));
    assert!(
        node.handles
            .handle(1)
            .send(Instruction::Audit(None, fault))
            .is_none()
    );
    drop(thaw);
    for number in 0..50 {
        assert_eq!(near.hear(), number.to_string());
    }
    until("the end of that worker", || !node.workers.is_whole());
    assert_eq!(node.members(&name), 1);
    node.settled(None);
    let metrics = &node.metrics;
    let explained = metrics.deliveries_delivered.get()
        + metrics
            .deliveries_dropped
            .get_or_create(&[("cause", "closed")])
            .get();
    until("its account to be published", || {
        metrics.unexplained.get() == 0
    });
    assert!(explained <= metrics.deliveries_expected.get());
    assert_eq!(metrics.deliveries_queued.get(), 0);
    drop(far);
}
