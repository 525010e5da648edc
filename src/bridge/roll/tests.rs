//! Who is on the roll, and what is said of those who differ.

use super::*;

fn card(node: u8, places: usize, place: usize) -> Card {
    Card {
        node: NodeId([node; 16]),
        name: format!("n{node}"),
        mode: "pubsub".to_owned(),
        format: VERSION,
        place,
        places,
        up: 0xff,
    }
}

const UP: [Option<Millis>; 2] = [Some(Millis(0)); 2];

/// What node 1 thinks after 5 s, in which `theirs` came every second over its Redis.
fn thinks(theirs: &[(usize, Card)]) -> Vec<String> {
    let mut roll = Roll::default();
    for second in 0..5 {
        for (over, other) in theirs {
            roll.hear(&card(1, 2, *over), other.clone(), Millis(second * 1_000));
        }
    }
    roll.differences(&UP, Millis(4_500), FRESH)
}

#[test]
fn nodes_with_the_same_list_agree_whatever_they_call_it() {
    assert!(thinks(&[(0, card(2, 2, 0)), (1, card(2, 2, 1))]).is_empty());
    assert!(thinks(&[]).is_empty());
    assert!(thinks(&[(0, card(1, 9, 3))]).is_empty(), "itself");
}

#[test]
fn every_difference_names_the_node_and_what_differs() {
    let other = |change: &dyn Fn(&mut Card)| {
        let mut other = card(2, 2, 0);
        change(&mut other);
        other
    };
    for (theirs, part) in [
        (
            vec![(0, card(2, 2, 1)), (1, card(2, 2, 0))],
            "] of 2 there, here it is bridge.urls[",
        ),
        (
            vec![(0, card(2, 1, 0))],
            "is bridge.urls[0] of 1 there, here it is bridge.urls[0] of 2",
        ),
        (
            vec![(0, card(2, 3, 0)), (1, card(2, 3, 1))],
            "] of 3 there, here it is bridge.urls[",
        ),
        (
            vec![(0, card(2, 2, 0))],
            "another Redis is bridge.urls[1] there",
        ),
        (
            vec![(1, card(2, 2, 1))],
            "another Redis is bridge.urls[0] there",
        ),
        (
            vec![(0, other(&|card| card.mode = "streams".to_owned()))],
            "\"streams\"",
        ),
        (vec![(0, other(&|card| card.format = 9))], "version 9"),
    ] {
        let found = thinks(&theirs);
        assert!(!found.is_empty(), "{part}");
        for text in found {
            assert!(
                text.contains(part) && text.starts_with("node \"n2\""),
                "{text}"
            );
        }
    }
}

#[test]
fn a_redis_that_is_down_for_either_is_not_judged() {
    let mut down = card(2, 2, 0);
    down.up = bit(0);
    assert!(thinks(&[(0, down)]).is_empty());
    let mut roll = Roll::default();
    for second in 0..5 {
        roll.hear(&card(1, 2, 0), card(2, 2, 0), Millis(second * 1_000));
    }
    let up = [Some(Millis(0)), None];
    assert!(roll.differences(&up, Millis(4_500), FRESH).is_empty());
}

#[test]
fn a_node_that_is_gone_or_put_right_is_forgotten() {
    let mut roll = Roll::default();
    roll.hear(&card(1, 2, 0), card(2, 1, 0), Millis(0));
    assert_eq!(roll.differences(&UP, Millis(1_000), FRESH).len(), 1);
    assert!(roll.differences(&UP, Millis(9_000), FRESH).is_empty());
    assert_eq!(roll.len(), 0);
}

#[test]
fn a_card_is_read_back_and_anything_else_is_none() {
    let own = card(7, 2, 1);
    let text = own.write();
    assert_eq!(Card::read(text.as_bytes()), Some(own));
    for length in 0..text.len() - 3 {
        assert_eq!(Card::read(&text.as_bytes()[..length]), None, "{length}");
    }
    for strange in [&b"\xff"[..], b"", b"supportal-node 2 x", &[b'a'; 10_000]] {
        assert_eq!(Card::read(strange), None);
    }
    let long = format!("{text}{}", "x".repeat(CARD_BYTES_MAX));
    assert_eq!(Card::read(long.as_bytes()), None);
    let hostile = text.replace("n7", "a\u{1b}[2J");
    assert_eq!(Card::read(hostile.as_bytes()), None);
    for places in ["18446744073709551615 2", "256 300", "2 2", "0 0", "-1 2"] {
        let hostile = text.replace(" 1 2 ", &format!(" {places} "));
        assert!(
            hostile != text && Card::read(hostile.as_bytes()).is_none(),
            "{hostile}"
        );
    }
}

#[test]
fn of_many_nodes_with_other_settings_few_are_told() {
    let strangers: Vec<_> = (2..200).map(|node| (0, card(node, 3, 0))).collect();
    let found = thinks(&strangers);
    assert_eq!(found.len(), TOLD_MAX + 1);
    assert_eq!(found.last().unwrap(), "and 190 more of this kind");
}

#[test]
fn strangers_have_no_more_room_than_this() {
    let mut roll = Roll::default();
    for number in 0..2 * NODES_MAX {
        let mut other = card(2, 2, 0);
        other.node = NodeId((number as u128 + 9).to_be_bytes());
        roll.hear(&card(1, 2, 0), other, Millis(0));
    }
    assert_eq!(roll.len(), NODES_MAX);
    // Those nodes are gone, and nobody has asked meanwhile.
    roll.hear(&card(1, 2, 0), card(2, 1, 0), Millis(5_000));
    assert_eq!(roll.len(), 1);
}

#[test]
fn nodes_in_another_mode_are_none_that_are_spoken_to() {
    let mut roll = Roll::default();
    let mut streams = card(3, 1, 0);
    streams.mode = "streams".to_owned();
    for other in [card(2, 1, 0), streams] {
        roll.hear(&card(1, 1, 0), other, Millis(9));
    }
    let heard = |mode| roll.heard(mode, 0, Millis(9));
    assert_eq!(heard("pubsub"), HashSet::from([NodeId([2; 16])]));
    assert_eq!(heard("streams"), HashSet::from([NodeId([3; 16])]));
}

#[test]
fn the_log_is_told_once_that_nodes_differ_and_once_that_they_do_not_whatever_comes_and_goes() {
    let settings = BridgeSettings {
        mode: BridgeMode::Streams,
        urls: vec![crate::config::redis::RedisAddress::parse("redis://a").unwrap()],
        ..BridgeSettings::default()
    };
    let company = Company::new(NodeId([1; 16]), &settings);
    company.turned(0, Some(Millis(0)));
    let mut told = Vec::new();
    for tenth in 0..600_u64 {
        let now = Millis(tenth * 100);
        // In the first half minute one differs, and for a while another one; in the middle Redis is away for ten seconds.
        let is_up = !(100..200).contains(&tenth);
        if is_up && tenth % 10 == 0 && tenth < 300 {
            company.hear(0, card(2, 1, 0).write().as_bytes(), now);
            if tenth < 50 {
                company.hear(0, card(3, 2, 1).write().as_bytes(), now);
            }
        }
        match tenth {
            100 => company.turned(0, None),
            200 => company.turned(0, Some(now)),
            _ => {}
        }
        if is_up && let Some((nodes, said)) = company.news(now) {
            told.push((tenth, nodes, said.len()));
        }
    }
    assert_eq!(told, [(0, 2, 2), (330, 0, 0)]);
    assert_eq!(company.judge(Millis(60_000)).0, 0);
}
