//! `[bridge]`: the way to other nodes, and what its settings may be.

use super::channels::{ChannelsSettings, HostAddress};
use super::problem::Findings;
use super::redis::RedisAddress;
use super::setting::{
    BYTES_MAX, CAPACITY_MAX, HOUR, Ranged, SHORT, choice, milliseconds, seconds, section,
};
use super::units;
use std::path::PathBuf;
use std::time::Duration;

/// Most Redis deployments: a label of metrics has as many values.
pub const LINKS_MAX: usize = 8;

/// Longest prefix, so that a channel's name stays short beside a room's 88 bytes.
const PREFIX_BYTES_MAX: usize = 64;

/// Below this a burst of the other nodes is lost (measured: 32 slots lose 98 of 100).
const ARRIVALS_MIN: usize = 1024;

section! {
    /// Other nodes, by way of Redis.
    ["bridge"] BridgeSettings {
        /// How nodes speak to each other: `off` (one node alone), `pubsub` (publish and subscribe; what is lost on the way is counted) or `streams` (one order on all nodes; what was missed is read again).
        mode: BridgeMode = BridgeMode::Off, restart;
        /// Redis deployments, as `redis://[[user]:password@][host][:port][/db]` (`rediss`: TLS; `-sentinel`, `-cluster`) or `unix:///path?db=0`; rooms are spread over them, so the same list in the same order on every node. `REDIS_URL` and `--redis-url` set one, and the mode to `pubsub` if none is named.
        urls: Vec<RedisAddress> = Vec::new(), restart;
        /// What every channel and key begins with; the same on every node that belongs together.
        prefix: String = "supportal".to_owned(), restart;
        /// This node's name to the other nodes (`/ready`, `/health`) and at Redis (CLIENT LIST); empty = an id of its start, and `supportal`.
        node: String = String::new(), restart;
        /// File of PEM certificates that `rediss` trusts: authorities', or a server's own; unset = the system's.
        ca_file: Option<PathBuf> = None, restart;
        /// File of our own certificate (PEM), for a Redis that asks for one; with `client_key`.
        client_cert: Option<PathBuf> = None, restart;
        /// File of that certificate's private key (PEM, not encrypted).
        client_key: Option<PathBuf> = None, restart;
        /// A node without Redis is not ready: `/ready` says 503 instead of degraded, so that a load balancer sends it nobody new.
        required: bool = false, restart;
        /// A room without members stays subscribed for this long.
        #[serde(with = "units::duration")]
        linger: Duration = seconds(10), restart, in ..=HOUR;
        /// Longest a member's welcome waits for Redis to confirm the room's subscription.
        #[serde(with = "units::duration")]
        confirm_timeout: Duration = seconds(1), restart, in ..=HOUR;
        /// Most publications on their way to one Redis; further ones stay on this node and are counted.
        outbox_capacity: usize = 16 * 1024, restart, in 1..=CAPACITY_MAX;
        /// Most bytes of publications on their way to one Redis.
        outbox_bytes: usize = 16 * 1024 * 1024, restart, in ..=BYTES_MAX;
        /// Most publications from one Redis that wait for this node; those it throws away are counted as gaps.
        arrivals_capacity: usize = 16 * 1024, restart, in ARRIVALS_MIN..=CAPACITY_MAX;
        /// Most rooms of which this node keeps what it said last, for nodes that return and ask (`pubsub`).
        marks_capacity: usize = 100_000, restart, in 1..=CAPACITY_MAX;
        /// How long it keeps that; of what was said before, rooms that are still there are told.
        #[serde(with = "units::duration")]
        marks_expiry: Duration = seconds(600), restart, in SHORT..=HOUR;
        /// Redis must connect, answer, and bring back a canary within this time.
        #[serde(with = "units::duration")]
        command_timeout: Duration = seconds(1), restart, in SHORT..=HOUR;
        /// Longest pause between two attempts to connect to Redis.
        #[serde(with = "units::duration")]
        reconnect_max: Duration = milliseconds(250), restart, in SHORT..=HOUR;
        /// Longest a message waits for its place in the order of all nodes; then its room goes on alone (`streams`).
        #[serde(with = "units::duration")]
        order_timeout: Duration = milliseconds(250), restart, in SHORT..=HOUR;
    }
}

choice! {
    /// How nodes speak to each other.
    BridgeMode {
        /// Not at all: one node alone.
        Off = "off",
        /// By publish and subscribe: what is lost on the way is counted.
        Pubsub = "pubsub",
        /// By streams: one order on all nodes, and what was missed is read again.
        Streams = "streams",
    }
}

fn check_sizes(
    bridge: &BridgeSettings,
    is_channels: bool,
    event_bytes: usize,
    found: &mut Findings,
) {
    // An outbox that nobody fills need not hold the largest event.
    let is_used = bridge.mode != BridgeMode::Off || is_channels;
    let least = if is_used { event_bytes } else { 1 };
    bridge
        .outbox_bytes
        .check(least.., "bridge.outbox_bytes", found);
}

/// Ranges, and keys that contradict each other. The event of the longest message has `event_bytes`.
pub(super) fn check(
    bridge: &BridgeSettings,
    channels: &ChannelsSettings,
    event_bytes: usize,
    found: &mut Findings,
) {
    bridge.check_ranges(found);
    let is_on = bridge.mode != BridgeMode::Off;
    if is_on && bridge.urls.is_empty() {
        let fix = "write urls = [\"redis://localhost:6379\"], or set bridge.mode = \"off\"";
        found.error("bridge.urls", "is empty: there is no Redis to go by", fix);
    }
    if !is_on && !bridge.urls.is_empty() {
        let fix = "set bridge.mode = \"pubsub\", or remove it";
        found.warn("bridge.urls", "has no effect: bridge.mode is \"off\"", fix);
    }
    bridge.urls.len().check(..=LINKS_MAX, "bridge.urls", found);
    let legal = |text: &str| {
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        text.len() <= PREFIX_BYTES_MAX && text.bytes().all(is_legal)
    };
    for (key, value) in [
        ("bridge.prefix", &bridge.prefix),
        ("bridge.node", &bridge.node),
    ] {
        if !legal(value) {
            let what = format!("{value:?} has characters that are no part of a name");
            found.error(key, what, "use at most 64 of A-Z a-z 0-9 . _ : -");
        }
    }
    if bridge.prefix.is_empty() {
        found.error(
            "bridge.prefix",
            "is empty",
            "write a name, such as \"supportal\"",
        );
    }
    check_sizes(bridge, channels.enabled, event_bytes, found);
    check_tls(bridge, channels, found);
}

/// Files that nobody reads, and options that nobody obeys.
fn check_tls(bridge: &BridgeSettings, channels: &ChannelsSettings, found: &mut Findings) {
    let hosts = channels.hosts.iter().map(HostAddress::address);
    let is_tls = bridge.urls.iter().chain(hosts).any(RedisAddress::is_tls);
    for (key, file) in [
        ("bridge.ca_file", &bridge.ca_file),
        ("bridge.client_cert", &bridge.client_cert),
        ("bridge.client_key", &bridge.client_key),
    ] {
        if file.is_some() && !is_tls {
            let fix = "use a rediss:// address, or remove it";
            found.warn(key, "has no effect without TLS", fix);
        }
    }
    match (&bridge.client_cert, &bridge.client_key) {
        (Some(_), None) => {
            let fix = "add bridge.client_key, or remove it";
            found.error("bridge.client_cert", "stands without its key", fix);
        }
        (None, Some(_)) => {
            let fix = "add bridge.client_cert, or remove it";
            found.error("bridge.client_key", "stands without its certificate", fix);
        }
        _ => {}
    }
    let hosts = channels.hosts.iter().map(HostAddress::address);
    for (key, addresses) in [
        ("bridge.urls", bridge.urls.iter().collect::<Vec<_>>()),
        ("channels.hosts", hosts.collect()),
    ] {
        for (index, address) in addresses.into_iter().enumerate() {
            for option in &address.unused {
                let key = format!("{key}[{index}]");
                let what = format!("the option `{option}` is read over");
                found.warn(key, what, "see bridge.command_timeout, or leave it out");
            }
        }
    }
}
