//! Several nodes, one chat, by way of a real Redis that each test has for itself.

mod addresses;
mod answers;
mod chat;
mod deployments;
mod faults;
mod hostile;
mod network;
mod recovery;
mod rights;
mod roll;
mod slots;
mod streams;
mod streams_archive;
mod streams_archive_faults;
mod streams_bounds;
mod streams_deployments;
mod streams_failover;
mod streams_faults;
mod streams_functions;
mod streams_hostile;
mod streams_refusals;
mod told;

use crate::support::{Client, Gateway, Redis, user, wait};
use std::time::Duration;

/// How long a debug build on a busy machine may take to get over a fault.
const RECOVERY: Duration = Duration::from_secs(20);

/// Settings that every node of these tests has: no limits on what a test sends.
const NODE: [&str; 4] = [
    "server.workers=2",
    "limits.messages_per_second=0",
    "queue.capacity=100000",
    "queue.bytes_max=67108864",
];

/// A node at this Redis, with its bridge up.
#[track_caller]
fn node(redis: &Redis, settings: &[&str]) -> Gateway {
    let gateway = node_at(&redis.url(), settings);
    until_up(&gateway);
    gateway
}

/// A node at this address of Redis.
#[track_caller]
fn node_at(url: &str, settings: &[&str]) -> Gateway {
    let urls = format!("bridge.urls={url}");
    let mut all = NODE.to_vec();
    all.extend(["bridge.mode=pubsub", &urls]);
    all.extend(settings);
    Gateway::start(&all)
}

#[track_caller]
fn until_up(gateway: &Gateway) {
    wait::until("the bridge to be up", RECOVERY, || is_up(gateway));
}

fn is_up(gateway: &Gateway) -> bool {
    gateway.admin("/ready").text() == "ready\n"
}

#[track_caller]
fn until_down(gateway: &Gateway) {
    wait::until("the bridge to be down", RECOVERY, || !is_up(gateway));
}

/// Sends a user's message.
#[track_caller]
fn say(client: &mut Client, text: &str) {
    client.send_text(&user(text));
}

/// The next event must be this message.
#[track_caller]
fn expect(client: &mut Client, text: &str) {
    let event = client.receive_json();
    assert_eq!(event["message"], text, "{event}");
}

/// Waits until a metric is this.
#[track_caller]
fn until_metric(gateway: &Gateway, series: &str, value: f64) {
    let mut last = 0.0;
    wait::until(&format!("{series} = {value}"), RECOVERY, || {
        last = gateway.metric(series);
        last == value
    });
}

const CONFIRMED: &str = "supportal_bridge_subscriptions{state=\"confirmed\"}";

/// Rooms whose subscription Redis has confirmed.
fn confirmed(gateway: &Gateway) -> f64 {
    gateway.metric(CONFIRMED)
}

/// Waits until Redis has confirmed the subscriptions of so many rooms.
#[track_caller]
fn until_confirmed(gateway: &Gateway, rooms: f64) {
    until_metric(gateway, CONFIRMED, rooms);
}
