//! Beside a real Django site: channels and channels_redis in Python, on a real Redis that each test
//! has for itself.

mod courier;
mod cuts;
mod deployments;
mod faults;
mod forms;
mod kept;
mod late;
mod life;
mod network;
mod origins;
mod talk;

use crate::support::proxy::Proxy;
use crate::support::site::Site;
use crate::support::{Client, Gateway, Redis, user, wait};
use serde_json::{Value, json};
use std::time::Duration;

/// How long a debug build and a Python on a busy machine may take to get over a fault.
const RECOVERY: Duration = Duration::from_secs(20);

/// Settings that every node of these tests has: no limits on what a test sends.
const NODE: [&str; 5] = [
    "server.workers=2",
    "limits.messages_per_second=0",
    "queue.capacity=100000",
    "queue.bytes_max=67108864",
    "channels.enabled=true",
];

/// Both layers.
const LAYERS: [&str; 2] = ["core", "pubsub"];

/// A node of the channel layer, up.
#[track_caller]
fn node(layer: &str, hosts: &[&Redis], settings: &[&str]) -> Gateway {
    let gateway = node_at(layer, &urls(hosts), settings);
    until_up(&gateway);
    gateway
}

/// A node of the channel layer on these hosts.
#[track_caller]
fn node_at(layer: &str, hosts: &Value, settings: &[&str]) -> Gateway {
    let layer = format!("channels.layer={layer}");
    let hosts = setting(hosts);
    let mut all = NODE.to_vec();
    all.extend([layer.as_str(), &hosts]);
    all.extend(settings);
    Gateway::start(&all)
}

/// A Redis, a proxy before it, and a node of layer `core` that reaches it by that and is up.
#[track_caller]
fn node_behind_proxy(settings: &[&str]) -> (Redis, Proxy, Gateway) {
    let redis = Redis::start(&[]);
    let proxy = Proxy::start(redis.address());
    let gateway = node_at("core", &json!([proxy.url()]), settings);
    until_up(&gateway);
    (redis, proxy, gateway)
}

/// Hosts as a setting: TOML has another sign in its tables than JSON.
fn setting(hosts: &Value) -> String {
    let written = hosts.to_string().replace("\":", "\" = ");
    format!("channels.hosts={written}")
}

fn urls(hosts: &[&Redis]) -> Value {
    hosts.iter().map(|redis| redis.url()).collect()
}

/// A site on the same hosts, with further options of its CONFIG.
#[track_caller]
fn site(layer: &str, hosts: &[&Redis], options: &Value) -> Site {
    let mut config = options.clone();
    config["hosts"] = urls(hosts);
    Site::start(layer, &config)
}

#[track_caller]
fn until_up(gateway: &Gateway) {
    wait::until("the channel layer to be up", RECOVERY, || is_up(gateway));
}

fn is_up(gateway: &Gateway) -> bool {
    gateway.admin("/ready").text() == "ready\n"
}

/// The next event must be this message; returns it.
#[track_caller]
fn expect(client: &mut Client, text: &str) -> Value {
    let event = client.receive_json();
    assert_eq!(event["message"], text, "{event}");
    event
}

/// Sends a user's message, which the room is shown.
#[track_caller]
fn say(client: &mut Client, text: &str) {
    client.send_text(&user(text));
    expect(client, text);
}

/// Says `m` and each of these numbers, one after the other.
#[track_caller]
fn say_each(client: &mut Client, numbers: std::ops::Range<usize>) {
    for number in numbers {
        say(client, &format!("m{number}"));
    }
}

/// Waits until a metric is at least this.
#[track_caller]
fn until_metric(gateway: &Gateway, series: &str, value: f64) {
    wait::until(&format!("{series} >= {value}"), RECOVERY, || {
        gateway.metric(series) >= value
    });
}

/// The members of a group in Redis.
#[track_caller]
fn members(redis: &Redis, group: &str) -> Vec<String> {
    let key = format!("asgi:group:{group}");
    redis.command(&["ZRANGE", &key, "0", "-1"]).texts()
}

/// A worker's order: hear what users say.
fn runworker() -> Value {
    json!({ "do": "runworker", "channel": "supportal" })
}
