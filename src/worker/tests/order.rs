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
    let visit = chat::DjangoPeer {
        business_id: "1".to_owned(),
        session_id: "visit".to_owned(),
        error: None,
        answers: true,
        prompts: name.clone(),
    };
    node.handles.hand_over(Handoff {
        role: chat::django(visit),
        ..node.handoff(socket, Some(name))
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
fn connections_handed_over_together_are_all_taken_with_one_wake() {
    let node = Node::start(1, |_| {});
    let thaw = node.freeze(0);
    let name = room("storm");
    let pairs = [node.pair(), node.pair(), node.pair()];
    let peers = pairs.map(|(peer, socket)| {
        node.handles.hand_over(node.handoff(socket, Some(&name)));
        peer
    });
    drop(thaw);
    until("all to join", || node.members(&name) == 3);
    // The worker has taken those, so the next one wakes it again.
    let (peer, socket) = node.pair();
    node.handles.hand_over(node.handoff(socket, Some(&name)));
    until("the fourth to join", || node.members(&name) == 4);
    drop((peers, peer));
}
