//! Users' messages on their way to Django: how fast, and in which order.

use super::*;
use crate::support::proxy::{Proxy, Weather};

const LOST: &str = "supportal_channels_dropped_total{cause=\"lost\"}";

/// Where they go, and what the site hears them with.
#[track_caller]
fn listen(site: &mut Site, to_group: bool) -> &'static str {
    if to_group {
        site.order(&json!({ "do": "join_quietly", "group": "users" }));
        "channels.send_to_group=users"
    } else {
        site.order(&runworker());
        "channels.send_to=supportal"
    }
}

#[test]
fn two_thousand_messages_through_three_milliseconds_each_way_take_no_turn_each() {
    for (layer, to_group) in [("core", false), ("core", true), ("pubsub", true)] {
        let redis = Redis::start(&[]);
        let proxy = Proxy::start(redis.address());
        let mut site = site(layer, &[&redis], &json!({ "capacity": 4_000 }));
        let to = listen(&mut site, to_group);
        let settings = [to, "channels.capacity=4000"];
        let gateway = node_at(layer, &json!([proxy.url()]), &settings);
        until_up(&gateway);
        let mut clients: Vec<Client> = (0..4)
            .map(|session| gateway.join(&session.to_string()))
            .collect();
        proxy.set(Weather::Far);
        let watch = wait::Watch::start();
        for number in 0..500 {
            for client in &mut clients {
                client.send_text(&user(&format!("m{number}")));
            }
        }
        until_metric_sum(&gateway, "supportal_channels_sent_total", 2_000.0);
        let took = watch.elapsed();
        eprintln!("{layer}, {to}: {took:?}");
        // One at a time is 12 s, for a group of layer `core` 24.
        assert!(took < Duration::from_secs(6), "{layer}, {to}: {took:?}");
        let mut next = [0; 4];
        for _ in 0..2_000 {
            let heard = site.hear();
            let session: usize = heard["session_id"].as_str().unwrap().parse().unwrap();
            assert_eq!(heard["message"], format!("m{}", next[session]), "{layer}");
            next[session] += 1;
        }
        assert_eq!(gateway.metric_sum("supportal_channels_dropped_total"), 0.0);
    }
}

#[test]
fn a_channel_that_fills_up_within_one_go_takes_the_first_ones() {
    let settings = ["channels.send_to=nobody-listens", "channels.capacity=70"];
    let (redis, proxy, gateway) = node_behind_proxy(&settings);
    let mut client = gateway.join("abc");
    proxy.set(Weather::Far);
    for number in 0..200 {
        client.send_text(&user(&format!("m{number}")));
    }
    let full = "supportal_channels_dropped_total{cause=\"full\"}";
    until_metric(&gateway, full, 130.0);
    let sent = "supportal_channels_sent_total{to=\"worker\"}";
    assert_eq!((gateway.metric(sent), gateway.metric(full)), (70.0, 130.0));
    let mut site = site("core", &[&redis], &json!({}));
    site.order(&json!({ "do": "runworker", "channel": "nobody-listens" }));
    for number in 0..70 {
        assert_eq!(site.hear()["message"], format!("m{number}"));
    }
}

#[test]
fn users_messages_through_cuts_arrive_once_and_in_order() {
    let settings = ["channels.send_to=supportal", "channels.capacity=4000"];
    let (redis, proxy, gateway) = node_behind_proxy(&settings);
    let mut client = gateway.join("abc");
    let mut said = 0;
    for weather in [Weather::Cut, Weather::Deaf, Weather::Silence] {
        for weather in [Weather::Far, weather, Weather::Far] {
            proxy.set(weather);
            for _ in 0..50 {
                say(&mut client, &format!("m{said}"));
                said += 1;
            }
            if weather != Weather::Far {
                wait::until("the loss to be noticed", RECOVERY, || !is_up(&gateway));
                proxy.set(Weather::Cut);
            }
        }
        until_up(&gateway);
    }
    wait::until("all to have ended somehow", RECOVERY, || {
        gateway.metric("supportal_channels_outbox") == 0.0
    });
    say(&mut client, "end");
    // Not before: redis-py gives up a pop after five seconds, and with it what was popped just then.
    let mut site = site("core", &[&redis], &json!({}));
    site.order(&runworker());
    let mut heard = Vec::new();
    loop {
        let text = site.hear()["message"].as_str().expect("a text").to_owned();
        if text == "end" {
            break;
        }
        heard.push(text.trim_start_matches('m').parse::<u64>().expect("m7"));
    }
    assert!(heard.windows(2).all(|pair| pair[0] < pair[1]), "{heard:?}");
    // What was not answered was looked up, and sent if it was not there.
    let lost = (said - heard.len() as u64, gateway.metric(LOST));
    assert_eq!(lost, (0, 0.0), "{heard:?}");
}

#[test]
fn what_a_redis_that_has_forgotten_may_have_had_is_lost_and_not_said_twice() {
    let settings = ["channels.send_to=supportal"];
    let (mut redis, proxy, gateway) = node_behind_proxy(&settings);
    let mut client = gateway.join("abc");
    say(&mut client, "before");
    until_metric_sum(&gateway, "supportal_channels_sent_total", 1.0);
    proxy.set(Weather::Deaf);
    say_each(&mut client, 0..10);
    wait::until("the messages to be there", RECOVERY, || {
        redis.command(&["ZCARD", "asgisupportal"]) != crate::support::redis::Reply::Number(1)
    });
    redis.blow(crate::support::Blow::Kill);
    wait::until("the loss to be noticed", RECOVERY, || !is_up(&gateway));
    proxy.set(Weather::Cut);
    redis.launch();
    proxy.set(Weather::Fair);
    until_up(&gateway);
    say(&mut client, "end");
    let mut site = site("core", &[&redis], &json!({}));
    site.order(&runworker());
    let mut heard = Vec::new();
    while heard.last().is_none_or(|text| text != "end") {
        let text = site.hear()["message"].as_str().expect("a text").to_owned();
        heard.push(text);
    }
    let lost = gateway.metric(LOST);
    assert!(lost > 0.0, "{heard:?}");
    // What was answered before the weather changed was there, and went with Redis.
    until_metric_sum(&gateway, "supportal_channels_sent_total", 12.0 - lost);
    let first = 11 - heard.len();
    let mut expected: Vec<String> = (first..10).map(|number| format!("m{number}")).collect();
    expected.push("end".to_owned());
    assert_eq!(heard, expected);
}

#[track_caller]
fn until_metric_sum(gateway: &Gateway, name: &str, value: f64) {
    wait::until(&format!("{name} >= {value}"), 2 * RECOVERY, || {
        gateway.metric_sum(name) >= value
    });
}
