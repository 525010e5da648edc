//! What one connection gets, in which order.

use super::*;
use crate::config::{AssistantKind, Deliver, Dialect};

fn django() -> Node {
    Node::start(1, |config| {
        config.chat.dialect = Dialect::Django;
        config.chat.deliver = Deliver::Sender;
        config.assistant.kind = AssistantKind::Faq;
    })
}

fn visit(node: &Node, name: &RoomName) -> Peer {
    let (peer, socket) = node.pair();
    let visit = Visit {
        business_id: "1".to_owned(),
        session_id: "visit".to_owned(),
        error: None,
        answers: true,
        prompts: name.clone(),
    };
    node.crew.open(Handoff {
        role: Role::Visit(Box::new(visit)),
        ..handoff(socket, Some(name))
    });
    peer
}

fn ask(text: &str, kind: &str) -> Vec<u8> {
    let command = format!(r#"{{"message":"{text}","type":"{kind}"}}"#);
    masked(Opcode::Text, command.as_bytes())
}

#[test]
fn commands_that_waited_for_a_reply_are_answered_in_front_of_the_close() {
    let node = django();
    let mut peer = visit(&node, &room("visit"));
    let close = masked(Opcode::Close, &1000u16.to_be_bytes());
    peer.send(&[ask("Hello?", "user"), ask("noted", "system"), close].concat());
    let mut events = Vec::new();
    loop {
        let (opcode, payload) = peer.receive().expect("a close frame");
        if opcode == Opcode::Close {
            break;
        }
        events.push(String::from_utf8(payload).expect("text"));
    }
    assert_eq!(events.len(), 3, "echo, reply, system message: {events:?}");
    assert!(events[2].contains("System message: noted"), "{events:?}");
    drop(peer);
    until("the connection to be buried", || node.gone() == 1);
    let ledger = node.settled(None);
    assert_eq!((ledger.delivered, ledger.dropped_total()), (3, 0));
}

#[test]
fn connections_handed_over_together_need_one_wake() {
    let node = Node::start(1, |_| {});
    let thaw = node.freeze(0);
    let name = room("storm");
    let (first, second) = (node.pair(), node.pair());
    assert!(node.crew.hand_over(handoff(first.1, Some(&name))));
    assert!(!node.crew.hand_over(handoff(second.1, Some(&name))));
    node.crew.nudge();
    drop(thaw);
    until("both to join", || node.members(&name) == 2);
    let third = node.pair();
    assert!(
        node.crew.hand_over(handoff(third.1, Some(&name))),
        "the worker has taken the others"
    );
    node.crew.nudge();
    until("the third to join", || node.members(&name) == 3);
    drop((first.0, second.0, third.0));
}
