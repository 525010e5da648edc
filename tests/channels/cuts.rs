//! Connections that break at the worst moment: what is lost then, and what is counted.

use super::*;
use crate::support::proxy::{Proxy, Weather};
use std::ops::RangeInclusive;

const CUT: &str = "supportal_channels_dropped_total{cause=\"cut\"}";

/// What a member is shown until `end`, as numbers: `m7 and so on` is 7.
#[track_caller]
fn numbers_until_end(client: &mut Client) -> Vec<u64> {
    let mut numbers = Vec::new();
    loop {
        let event = client.receive_json();
        let text = event["message"].as_str().expect("a text").to_owned();
        if text == "end" {
            return numbers;
        }
        let digits = text.trim_start_matches('m').split(' ').next();
        numbers.push(digits.and_then(|digits| digits.parse().ok()).expect("m7"));
    }
}

/// All of `sent` arrived once and in order, but for at most one lost in each of `cuts`, and that is counted.
#[track_caller]
fn assert_accounted(gateway: &Gateway, sent: u64, arrived: &[u64], cuts: RangeInclusive<u64>) {
    assert!(
        arrived.windows(2).all(|pair| pair[0] < pair[1]),
        "{arrived:?}"
    );
    let lost = sent - arrived.len() as u64;
    let counted = gateway.metric(CUT) as u64;
    assert!(lost <= counted, "{lost} lost, {counted} counted");
    assert!(cuts.contains(&counted), "{counted} counted of {cuts:?}");
}

#[test]
fn an_answer_that_never_arrives_costs_one_message_at_most_and_is_counted() {
    // The many that wait behind the first one; and the first one itself.
    for words in ["", &" and so on".repeat(600)] {
        let redis = Redis::start(&[]);
        let proxy = Proxy::start(redis.address());
        let mut site = site("core", &[&redis], &json!({}));
        let gateway = node_at("core", &json!([proxy.url()]), &[]);
        until_up(&gateway);
        let mut client = gateway.join("abc");
        let mut sent = 0;
        for _ in 0..3 {
            proxy.set(Weather::Cut);
            until_down(&gateway);
            for _ in 0..50 {
                site.group_send("chat_1_abc", &format!("m{sent}{words}"));
                sent += 1;
            }
            proxy.set(Weather::Bite);
            wait::until("a long answer", RECOVERY, || {
                proxy.weather() == Weather::Fair
            });
            until_up(&gateway);
        }
        site.group_send("chat_1_abc", "end");
        let arrived = numbers_until_end(&mut client);
        assert_accounted(&gateway, sent, &arrived, 0..=6);
        eprintln!("{} of {sent}", arrived.len());
        assert!(arrived.len() as u64 >= sent - 3);
    }
}

#[test]
fn a_stream_of_messages_through_many_cuts_is_accounted_for() {
    let redis = Redis::start(&[]);
    let proxy = Proxy::start(redis.address());
    let mut site = site("core", &[&redis], &json!({ "capacity": 10_000 }));
    let gateway = node_at("core", &json!([proxy.url()]), &[]);
    until_up(&gateway);
    let mut client = gateway.join("abc");
    let mut sent = 0;
    for weather in [Weather::Cut, Weather::Silence, Weather::Deaf, Weather::Cut] {
        for weather in [Weather::Fair, weather] {
            proxy.set(weather);
            for _ in 0..100 {
                site.group_send("chat_1_abc", &format!("m{sent}"));
                sent += 1;
            }
        }
        until_down(&gateway);
        // What was held back in silence is not to arrive in the next session.
        proxy.set(Weather::Cut);
        proxy.set(Weather::Fair);
        until_up(&gateway);
    }
    site.group_send("chat_1_abc", "end");
    let arrived = numbers_until_end(&mut client);
    let downs = gateway.metric("supportal_channels_changes_total{state=\"down\"}");
    assert_accounted(&gateway, sent, &arrived, 0..=downs as u64);
}

#[test]
fn a_group_is_left_although_redis_was_away_when_its_room_emptied() {
    for weather in [Weather::Cut, Weather::Silence, Weather::Deaf] {
        let redis = Redis::start(&[]);
        let proxy = Proxy::start(redis.address());
        let mut site = site("core", &[&redis], &json!({}));
        let gateway = node_at("core", &json!([proxy.url()]), &["bridge.linger=0s"]);
        until_up(&gateway);
        let (gone, back) = (gateway.join("gone"), gateway.join("back"));
        let mut stays = gateway.join("stays");
        proxy.set(weather);
        drop((gone, back));
        until_down(&gateway);
        let wanted = "supportal_channels_groups{state=\"wanted\"}";
        wait::until("the rooms to be forgotten", RECOVERY, || {
            gateway.metric(wanted) <= 1.0
        });
        let mut back = gateway.join("back");
        drop(gateway.join("never"));
        if weather != Weather::Deaf {
            assert_eq!(members(&redis, "chat_1_gone").len(), 1, "{weather:?}");
        }
        proxy.set(Weather::Cut);
        proxy.set(Weather::Fair);
        until_up(&gateway);
        wait::until("the group to be left", RECOVERY, || {
            members(&redis, "chat_1_gone").is_empty()
        });
        for (session, client) in [("back", &mut back), ("stays", &mut stays)] {
            site.group_send(&format!("chat_1_{session}"), session);
            expect(client, session);
            assert_eq!(members(&redis, &format!("chat_1_{session}")).len(), 1);
        }
    }
}

#[test]
fn a_node_that_ends_leaves_what_emptied_while_redis_was_away() {
    let settings = ["bridge.linger=0s", "bridge.reconnect_max=20ms"];
    let (redis, proxy, gateway) = node_behind_proxy(&settings);
    // So many that they are not left in one command.
    let clients: Vec<Client> = (0..300).map(|n| gateway.join(&n.to_string())).collect();
    let _stays = gateway.join("stays");
    proxy.set(Weather::Cut);
    until_down(&gateway);
    drop(clients);
    wait::until("the rooms to be forgotten", RECOVERY, || {
        gateway.metric("supportal_channels_groups{state=\"wanted\"}") <= 1.0
    });
    proxy.set(Weather::Fair);
    until_up(&gateway);
    gateway.signal(crate::support::Signal::Term);
    assert_eq!(gateway.wait_exit(RECOVERY), Some(0));
    assert_eq!(redis.command(&["KEYS", "*"]).texts(), [""; 0]);
}

#[track_caller]
fn until_down(gateway: &Gateway) {
    wait::until("the loss to be noticed", RECOVERY, || !is_up(gateway));
}
