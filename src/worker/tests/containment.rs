//! A panic in one connection's code costs that connection alone.

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
    assert_eq!(node.crew.metrics.panics.get(), 1);
    assert!(
        node.crew
            .metrics
            .text()
            .contains("supportal_panics_total 1")
    );

    // With the bytes of its handshake, too.
    let mut eager = node.echo(masked(Opcode::Text, TRIP));
    assert_eq!(eager.hear_close(), CloseReason::Internal.code());
    drop(eager);
    assert_eq!(node.crew.metrics.panics.get(), 2);

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
    node.crew.hand_over(Handoff {
        role: Role::Echo,
        ..handoff(socket, Some(&name))
    });
    until("both to join", || node.members(&name) == 2);
    peer.send(&masked(Opcode::Text, TRIP));
    assert_eq!(peer.hear_close(), CloseReason::Internal.code());
    until("the leave", || node.members(&name) == 1);
    stays.send(&say("alone"));
    assert_eq!(stays.hear(), "alone");
    node.settled(None);
}
