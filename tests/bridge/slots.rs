//! A Cluster whose slots move while people talk: nobody hears that the bridge is down, no room waits for another one's
//! slot, and what is said meanwhile is there or counted.

use super::streams::{read, stream_node_at};
use super::streams_deployments::move_slot;
use super::streams_faults::{ORDERED, SHORT, listen, talk};
use super::*;
use crate::support::Signal;
use crate::support::deployment::cluster;
use crate::support::redis::Reply;

/// How often a node has said that a Redis is down.
pub(super) const DOWN: &str = "supportal_bridge_changes_total{state=\"down\"}";

const GAPS: &str = "supportal_bridge_gaps_total";

/// `bridge.confirm_timeout`, and what a debug build on a busy machine takes beside.
const WELCOME: Duration = Duration::from_secs(2);

/// The first third of the Cluster's slots goes to this server, slot by slot. The server says so in an
/// epoch of its own: the others hear it by gossip, each in its time, and none of them can claim the slots
/// back on the way.
pub(super) fn move_all(nodes: &[Redis], to: usize) {
    let id = nodes[to].command(&["CLUSTER", "MYID"]);
    let mut line = nodes[to].connect();
    line.command(&["CLUSTER", "BUMPEPOCH"]);
    for slot in 0..=5460 {
        let set = line.command(&["CLUSTER", "SETSLOT", &slot.to_string(), "NODE", id.text()]);
        assert_eq!(set.text(), "OK");
    }
    wait::until("every server to have heard of the move", RECOVERY, || {
        let port = format!(":{}@", nodes[to].address().port());
        nodes.iter().all(|redis| {
            let known = redis.command(&["CLUSTER", "NODES"]);
            let line = known.text().lines().find(|line| line.contains(&port));
            // The second server's own slots follow the first one's.
            line.is_some_and(|line| line.contains(" 0-5460") || line.contains(" 0-10922"))
        })
    });
}

fn url(nodes: &[Redis]) -> String {
    format!("redis-cluster://127.0.0.1:{}", nodes[0].address().port())
}

#[track_caller]
fn slot(redis: &Redis, name: &str) -> i64 {
    match redis.command(&["CLUSTER", "KEYSLOT", name]) {
        Reply::Number(slot) => slot,
        other => panic!("{other:?}"),
    }
}

fn stream(room: &str) -> String {
    format!("supportal:stream:{{chat_1_{room}}}")
}

/// Rooms whose key or channel, so `named`, is in a slot of the first server.
fn rooms_of_first(nodes: &[Redis], named: impl Fn(&str) -> String) -> impl Iterator<Item = String> {
    let rooms = (0..).map(|number| format!("r{number}"));
    rooms.filter(move |room| slot(&nodes[0], &named(room)) <= 5460)
}

/// How often this server was asked to subscribe.
fn subscribed(redis: &Redis) -> u64 {
    let stats = redis.command(&["INFO", "commandstats"]);
    let line = stats.text().lines().find_map(|line| {
        let calls = line.strip_prefix("cmdstat_ssubscribe:calls=")?;
        calls.split(',').next()?.parse().ok()
    });
    line.unwrap_or(0)
}

/// Waits until two nodes are subscribed to this channel, wherever its slot is.
#[track_caller]
pub(super) fn until_both_hear<'r>(
    nodes: impl IntoIterator<Item = &'r Redis> + Clone,
    channel: &str,
) {
    wait::until("both to be subscribed again", RECOVERY, || {
        nodes.clone().into_iter().any(|redis| {
            let count = redis.command(&["PUBSUB", "SHARDNUMSUB", channel]);
            matches!(count, Reply::Array(parts) if parts.last() == Some(&Reply::Number(2)))
        })
    });
}

/// How many messages come before the last one.
#[track_caller]
fn before_last(client: &mut Client) -> usize {
    let mut next = || client.receive_json()["message"].clone();
    std::iter::from_fn(|| Some(next()).filter(|text| text != "last")).count()
}

#[test]
fn while_a_third_of_the_slots_moves_to_and_fro_every_message_is_there_or_counted_and_every_welcome_in_time()
 {
    const ROOMS: usize = 90;
    let nodes = cluster(&["--cluster-allow-replica-migration", "no"]);
    let (left, right) = (node_at(&url(&nodes), &[]), node_at(&url(&nodes), &[]));
    [&left, &right].into_iter().for_each(until_up);
    let name = |room: usize| format!("r{room}");
    let mut members: Vec<(Client, Client)> = (0..ROOMS)
        .map(|room| (left.join(&name(room)), right.join(&name(room))))
        .collect();
    [&left, &right]
        .into_iter()
        .for_each(|node| until_confirmed(node, ROOMS as f64));
    // Who has been heard once in a room is counted from there.
    for (ann, bob) in &mut members {
        talk(ann, 0..1);
        listen(bob, 0..1);
    }
    let (asked, watch) = (subscribed(&nodes[2]), wait::Watch::start());
    let mut said = 0;
    let mut fresh = Vec::new();
    std::thread::scope(|scope| {
        let mover = scope.spawn(|| [1, 0, 1].map(|to| move_all(&nodes, to)));
        while !mover.is_finished() || said < 4 {
            for (ann, _) in &mut members {
                say(ann, "said");
            }
            said += 1;
            // What a node on a busy machine carries: no outbox is full of it.
            wait::pass(Duration::from_millis(20));
            if fresh.len() == 300 {
                continue; // The node lets in no more from one address.
            }
            let began = wait::Watch::start();
            fresh.push(left.join(&format!("new{said}")));
            assert!(began.elapsed() < WELCOME, "{:?}", began.elapsed());
        }
    });
    // Its rooms are subscribed once; it is asked for one of them twice a second by each node.
    let (elapsed, asked) = (watch.elapsed().as_secs_f64(), subscribed(&nodes[2]) - asked);
    assert!(
        (asked as f64) < 5.0 * elapsed + fresh.len() as f64 + 8.0,
        "{asked} in {elapsed}"
    );
    for node in [&left, &right] {
        until_metric(
            node,
            CONFIRMED,
            node.metric("supportal_bridge_subscriptions{state=\"wanted\"}"),
        );
    }
    let mut heard = 0;
    for (room, (ann, bob)) in members.iter_mut().enumerate() {
        until_both_hear(&nodes, &format!("supportal:room:chat_1_{}", name(room)));
        say(ann, "last");
        assert_eq!(before_last(ann), said, "within a node nothing is lost");
        heard += before_last(bob);
    }
    let missed = (said * ROOMS - heard) as f64;
    println!(
        "{said} x {ROOMS} said, {missed} missed in {elapsed:.1} s, {} welcomes",
        fresh.len()
    );
    until_metric(&right, GAPS, missed);
    assert!(missed < (said * ROOMS) as f64 / 2.0, "{missed}");
    for node in [&left, &right] {
        assert_eq!(node.metric(DOWN), 0.0, "{}", node.log());
        assert_eq!(node.metric_sum("supportal_bridge_dropped_total"), 0.0);
    }
    assert!(left.metric("supportal_bridge_sent_on_total{how=\"moved\"}") > 0.0);
    left.wait_log(
        "a server of the Cluster does not take commands for a slot",
        1,
    );
}

#[test]
fn a_slot_that_goes_away_and_comes_back_between_two_looks_is_subscribed_again() {
    let nodes = cluster(&["--cluster-allow-replica-migration", "no"]);
    let (left, right) = (node_at(&url(&nodes), &[]), node_at(&url(&nodes), &[]));
    [&left, &right].into_iter().for_each(until_up);
    let channel = |room: &str| format!("supportal:room:chat_1_{room}");
    let room = rooms_of_first(&nodes, channel).next().expect("one");
    let (mut ann, mut bob) = (left.join(&room), right.join(&room));
    [&left, &right]
        .into_iter()
        .for_each(|node| until_confirmed(node, 1.0));
    let slot = slot(&nodes[0], &channel(&room)).to_string();
    let ids = [0, 1].map(|node: usize| nodes[node].command(&["CLUSTER", "MYID"]));
    // In the first server's eyes alone, and within a moment.
    for id in [&ids[1], &ids[0]] {
        let words = ["CLUSTER", "SETSLOT", &slot, "NODE", id.text()];
        assert_eq!(nodes[0].command(&words).text(), "OK");
    }
    until_both_hear(&nodes, &channel(&room));
    say(&mut ann, "there");
    expect(&mut ann, "there");
    expect(&mut bob, "there");
    for node in [&left, &right] {
        assert_eq!(node.metric(DOWN), 0.0, "{}", node.log());
    }
}

#[test]
fn a_slot_moves_with_its_stream_while_both_speak_and_there_is_one_order() {
    let nodes = cluster(&[]);
    let gateways = [(); 2].map(|()| stream_node_at(&url(&nodes), &["history.capacity=2000"]));
    gateways.iter().for_each(until_up);
    let rooms: Vec<String> = rooms_of_first(&nodes, stream).take(4).collect();
    let mut members: Vec<(Client, Client)> = rooms
        .iter()
        .map(|room| (gateways[0].join(room), gateways[1].join(room)))
        .collect();
    for (ann, bob) in &mut members {
        talk(ann, 0..3);
        listen(bob, 0..3);
    }
    let mut said = 0;
    std::thread::scope(|scope| {
        let mover = scope.spawn(|| {
            for (from, to) in [(0, 1), (1, 2), (2, 0)] {
                for room in &rooms {
                    let hold = || wait::pass(Duration::from_millis(100));
                    move_slot(&nodes, slot(&nodes[0], &stream(room)), (from, to), hold);
                }
            }
        });
        while !mover.is_finished() {
            for (ann, bob) in &mut members {
                say(ann, &format!("ann {said}"));
                say(bob, &format!("bob {said}"));
            }
            said += 1;
            wait::pass(Duration::from_millis(5));
        }
    });
    // Each slot has its server: what was said while its keys were under way is read there.
    for node in &gateways {
        until_metric(node, "supportal_bridge_awaited", 0.0);
        until_metric(node, ORDERED, rooms.len() as f64);
        let sum = |name: &str| node.metric_sum(&format!("supportal_bridge_{name}_total"));
        let lost = ["gaps", "resets", "dropped", "repeated", "recalled"].map(sum);
        assert_eq!(
            lost, [0.0; 5],
            "gaps, resets, dropped, repeated, recalled; {said} said"
        );
    }
    for (ann, bob) in &mut members {
        let order = read(ann, 2 * said);
        assert_eq!(order, read(bob, 2 * said));
        for who in ["ann", "bob"] {
            let own: Vec<&String> = order.iter().filter(|text| text.starts_with(who)).collect();
            let expected: Vec<String> = (0..said).map(|n| format!("{who} {n}")).collect();
            assert_eq!(own, expected.iter().collect::<Vec<_>>());
        }
    }
    for node in &gateways {
        assert_eq!(node.metric(DOWN), 0.0, "{}", node.log());
        assert_eq!(node.metric(GAPS), 0.0);
        assert_eq!(node.metric_sum("supportal_bridge_dropped_total"), 0.0);
    }
    assert!(gateways[0].metric("supportal_bridge_sent_on_total{how=\"asked\"}") > 0.0);
}

#[test]
fn a_node_that_stands_while_a_slot_moves_thrice_has_all_that_was_said_meanwhile() {
    let nodes = cluster(&[]);
    let gateways = [(); 2].map(|()| stream_node_at(&url(&nodes), &["history.capacity=2000"]));
    gateways.iter().for_each(until_up);
    let room = rooms_of_first(&nodes, stream).next().expect("one");
    let (mut ann, mut bob) = (gateways[0].join(&room), gateways[1].join(&room));
    talk(&mut ann, 0..3);
    listen(&mut bob, 0..3);
    gateways[1].signal(Signal::Stop);
    let mut said = 3;
    for move_on in [(0, 1), (1, 2), (2, 0)] {
        move_slot(&nodes, slot(&nodes[0], &stream(&room)), move_on, || ());
        // More than a page: what is read first ends in an epoch that is neither the one before nor the last.
        talk(&mut ann, said..said + 100);
        said += 100;
    }
    gateways[1].signal(Signal::Continue);
    listen(&mut bob, 3..said);
    for node in &gateways {
        until_metric(node, ORDERED, 1.0);
        assert_eq!(node.metric(GAPS), 0.0);
        assert_eq!(node.metric("supportal_bridge_resets_total"), 0.0);
    }
}

#[test]
fn slots_that_stay_open_for_seconds_take_nothing_down() {
    let nodes = cluster(&[]);
    let gateways = [(); 2].map(|()| stream_node_at(&url(&nodes), &[SHORT]));
    gateways.iter().for_each(until_up);
    let (mut ann, mut bob) = (gateways[0].join("abc"), gateways[1].join("abc"));
    talk(&mut ann, 0..1);
    listen(&mut bob, 0..1);
    // That of a canary, with its keys; and one without keys: a room of it cannot begin.
    let canaries = |redis: &Redis| {
        redis
            .command(&["KEYS", "supportal:stream:{canary:*"])
            .texts()
    };
    let (from, canary) = (0..3)
        .find_map(|node| Some((node, slot(&nodes[node], canaries(&nodes[node]).first()?))))
        .expect("one");
    let fresh = slot(&nodes[0], "supportal:stream:{chat_1_fresh}");
    let owner = usize::try_from(fresh / 5461).expect("a server").min(2);
    let ids: Vec<String> = nodes
        .iter()
        .map(|redis| redis.command(&["CLUSTER", "MYID"]).text().to_owned())
        .collect();
    let set = |slot: i64, (node, state, of): (usize, &str, usize)| {
        let words = ["CLUSTER", "SETSLOT", &slot.to_string(), state, &ids[of]];
        assert_eq!(nodes[node].command(&words).text(), "OK");
    };
    let next = (owner + 1) % 3;
    set(fresh, (next, "IMPORTING", owner));
    set(fresh, (owner, "MIGRATING", next));
    let mut early = gateways[0].join("fresh");
    say(&mut early, "early");
    let watch = wait::Watch::start();
    let mut said = 1;
    move_slot(&nodes, canary, (from, (from + 1) % 3), || {
        while watch.elapsed() < Duration::from_secs(5) {
            talk(&mut ann, said..said + 1);
            listen(&mut bob, said..said + 1);
            said += 1;
            wait::pass(Duration::from_millis(50));
        }
    });
    expect(&mut early, "early");
    for node in [next, owner, 3 - next - owner] {
        set(fresh, (node, "NODE", next));
    }
    let mut late = gateways[1].join("fresh");
    for node in &gateways {
        until_metric(node, ORDERED, 2.0);
        assert_eq!(node.metric(DOWN), 0.0, "{}", node.log());
    }
    say(&mut early, "at last");
    expect(&mut early, "at last");
    expect(&mut late, "at last");
}

#[test]
fn connections_to_one_server_break_and_the_bridge_stays_up_and_loses_nothing() {
    let nodes = cluster(&[]);
    let gateways = [(); 2].map(|()| stream_node_at(&url(&nodes), &[SHORT]));
    gateways.iter().for_each(until_up);
    let mut members: Vec<(Client, Client)> = (0..9)
        .map(|room| format!("r{room}"))
        .map(|room| (gateways[0].join(&room), gateways[1].join(&room)))
        .collect();
    for (ann, bob) in &mut members {
        talk(ann, 0..3);
        listen(bob, 0..3);
    }
    let mut known = 3;
    for kind in ["normal", "pubsub", "normal"] {
        nodes[0].command(&["CLIENT", "KILL", "TYPE", kind]);
        for (ann, bob) in &mut members {
            talk(ann, known..known + 5);
            listen(bob, known..known + 5);
        }
        known += 5;
    }
    for node in &gateways {
        assert_eq!(node.metric(DOWN), 0.0, "{}", node.log());
        assert_eq!(node.metric(GAPS), 0.0);
        assert_eq!(node.metric_sum("supportal_bridge_dropped_total"), 0.0);
    }
}
