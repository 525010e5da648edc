//! The plain case: rooms whose members are on several nodes.

use super::streams::stream_node;
use super::*;
use crate::support::Frame;

#[test]
fn two_nodes_chat_both_ways_in_order() {
    let redis = Redis::start(&[]);
    let (left, right) = (node(&redis, &[]), node(&redis, &[]));
    let (mut ann, mut bob) = (left.join("abc"), right.join("abc"));
    for number in 0..200 {
        say(&mut ann, &format!("ann {number}"));
    }
    for number in 0..200 {
        expect(&mut bob, &format!("ann {number}"));
        expect(&mut ann, &format!("ann {number}"));
    }
    for number in 0..200 {
        say(&mut bob, &format!("bob {number}"));
    }
    for number in 0..200 {
        expect(&mut ann, &format!("bob {number}"));
    }
    assert_eq!(left.metric("supportal_bridge_delivered_total"), 200.0);
    for node in [&left, &right] {
        assert_eq!(node.metric("supportal_bridge_gaps_total"), 0.0);
        assert_eq!(node.metric("supportal_bridge_duplicates_total"), 0.0);
        assert_eq!(node.metric_sum("supportal_bridge_dropped_total"), 0.0);
        assert!(node.metric("supportal_bridge_echoes_total") > 0.0);
    }
}

#[test]
fn every_node_of_three_hears_every_other() {
    let redis = Redis::start(&[]);
    let nodes = [node(&redis, &[]), node(&redis, &[]), node(&redis, &[])];
    let mut members: Vec<Client> = nodes.iter().map(|node| node.join("abc")).collect();
    for speaker in 0..3 {
        say(&mut members[speaker], &format!("from {speaker}"));
        for member in &mut members {
            expect(member, &format!("from {speaker}"));
        }
    }
}

#[test]
fn a_member_is_welcomed_only_once_its_first_message_would_arrive() {
    let redis = Redis::start(&[]);
    let (left, right) = (node(&redis, &[]), node(&redis, &[]));
    for round in 0..50 {
        let session = format!("room-{round}");
        let mut ann = left.join(&session);
        // The welcome says that the room is subscribed: what is said from here on arrives.
        let mut bob = right.join(&session);
        say(&mut ann, "first");
        expect(&mut bob, "first");
    }
    assert_eq!(right.metric("supportal_bridge_unconfirmed_total"), 0.0);
    assert_eq!(confirmed(&right), 50.0);
}

#[test]
fn nodes_with_another_prefix_share_a_redis_and_hear_nothing() {
    let redis = Redis::start(&[]);
    let shop = node(&redis, &["bridge.prefix=shop"]);
    let bank = node(&redis, &["bridge.prefix=bank"]);
    let other = node(&redis, &["bridge.prefix=bank"]);
    let (mut ann, mut bob) = (shop.join("abc"), bank.join("abc"));
    let mut eve = other.join("abc");
    say(&mut ann, "to the shop");
    say(&mut bob, "to the bank");
    expect(&mut eve, "to the bank");
    expect(&mut bob, "to the bank");
    expect(&mut ann, "to the shop");
    assert_eq!(shop.metric("supportal_bridge_received_total"), 0.0);
}

#[test]
fn what_was_accepted_before_sigterm_reaches_the_other_nodes() {
    let redis = Redis::start(&[]);
    let (left, right) = (node(&redis, &["server.drain_grace=1s"]), node(&redis, &[]));
    let (mut ann, mut bob) = (left.join("abc"), right.join("abc"));
    for number in 0..500 {
        say(&mut ann, &format!("{number}"));
    }
    expect(&mut ann, "0");
    left.signal(crate::support::Signal::Term);
    // Accepted is what came back before the close: how much that is depends on what had been read.
    let mut accepted = 1;
    while let Frame::Text(_) = ann.receive() {
        accepted += 1;
    }
    for number in 0..accepted {
        expect(&mut bob, &format!("{number}"));
    }
    assert_eq!(left.wait_exit(RECOVERY), Some(0));
}

#[test]
fn the_channels_at_redis_are_the_rooms_with_members_r14() {
    let redis = Redis::start(&[]);
    let left = node(&redis, &["bridge.linger=50ms"]);
    let rooms = |redis: &Redis| {
        redis
            .command(&["PUBSUB", "CHANNELS", "supportal:room:*"])
            .texts()
    };
    let mut members: Vec<Client> = (0..40).map(|n| left.join(&format!("r{n}"))).collect();
    assert_eq!(rooms(&redis).len(), 40);
    members.truncate(3);
    wait::until("the empty rooms to be given up", RECOVERY, || {
        rooms(&redis)
            == [
                "supportal:room:chat_1_r0",
                "supportal:room:chat_1_r1",
                "supportal:room:chat_1_r2",
            ]
    });
    // A member that comes back is heard again.
    let right = node(&redis, &["bridge.linger=50ms"]);
    let (mut ann, mut bob) = (left.join("r30"), right.join("r30"));
    say(&mut bob, "back");
    expect(&mut ann, "back");
    until_metric(
        &left,
        "supportal_bridge_subscriptions{state=\"wanted\"}",
        4.0,
    );
}

type StartNode = fn(&Redis, &[&str]) -> Gateway;

#[test]
fn members_of_a_relay_see_each_others_frames_on_every_node() {
    let route = "routes=[{path=\"/ws/board/{id:int}/\", handler=\"relay\"}]";
    for (mode, start) in [("pubsub", node as StartNode), ("streams", stream_node)] {
        let redis = Redis::start(&[]);
        let nodes = [start(&redis, &[route]), start(&redis, &[route])];
        let [mut ann, mut bob] = [&nodes[0], &nodes[1]].map(|node| node.connect("/ws/board/7/"));
        for node in &nodes {
            until_confirmed(node, 1.0);
        }
        let said = [
            Frame::Text(String::new()),
            Frame::Binary(Vec::new()),
            Frame::Binary(b"\0\xff\xfe".to_vec()),
            Frame::Text("between".to_owned()),
            Frame::Binary(b"text".to_vec()),
            Frame::Binary(vec![9; 300]),
        ];
        for frame in &said {
            match frame {
                Frame::Binary(bytes) => ann.send_binary(bytes),
                Frame::Text(text) => ann.send_text(text),
                other => panic!("not a message: {other:?}"),
            }
        }
        for member in [&mut ann, &mut bob] {
            for frame in &said {
                assert_eq!(member.receive(), *frame, "{mode}");
            }
        }
        for node in &nodes {
            node.settled_ledger();
        }
    }
}
