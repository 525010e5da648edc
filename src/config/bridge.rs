//! `[bridge]`: the way to other nodes, and what its settings may be.

use super::channels::Host;
use super::redis::RedisAddress;
use super::validate::Findings;
use super::{Config, units};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// Most Redis deployments: a label of metrics has as many values.
pub const LINKS_MAX: usize = 8;

/// Longest prefix, so that a channel's name stays short beside a room's 88 bytes.
const PREFIX_BYTES_MAX: usize = 64;

/// Entries of an outbox and slots for arrivals; above this its bytes bound it alone.
const CAPACITY_MAX: usize = 1 << 20;

/// `[bridge]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bridge {
    /// How nodes speak to each other.
    pub mode: BridgeMode,
    /// The Redis deployments; rooms are spread over them. The same list in the same order on every
    /// node.
    pub urls: Vec<RedisAddress>,
    /// What every channel and key begins with. The same on every node that belongs together.
    pub prefix: String,
    /// This node's name in logs; empty = its process number.
    pub node: String,
    /// File of PEM certificates that `rediss://` trusts; unset = the system's.
    pub ca_file: Option<PathBuf>,
    /// File of our own certificate in PEM, for a Redis that asks for one; with `client_key`.
    pub client_cert: Option<PathBuf>,
    /// File of its private key in PEM.
    pub client_key: Option<PathBuf>,
    /// Is a node without Redis unfit for new connections? Then `/ready` says 503.
    pub required: bool,
    /// A room without members stays subscribed for this long.
    #[serde(with = "units::duration")]
    pub linger: Duration,
    /// Longest a member's welcome waits for Redis to confirm the room's subscription.
    #[serde(with = "units::duration")]
    pub confirm_timeout: Duration,
    /// Most publications on their way to one Redis.
    pub outbox_capacity: usize,
    /// Most bytes of them.
    pub outbox_bytes: usize,
    /// Most publications from one Redis that wait for this node.
    pub arrivals_capacity: usize,
    /// Redis must connect and answer within this time.
    #[serde(with = "units::duration")]
    pub command_timeout: Duration,
    /// Longest pause between two attempts to connect.
    #[serde(with = "units::duration")]
    pub reconnect_max: Duration,
    /// Longest a message waits for its place in the order of all nodes; then its room goes on alone.
    #[serde(with = "units::duration")]
    pub order_timeout: Duration,
}

impl Default for Bridge {
    fn default() -> Self {
        Self {
            mode: BridgeMode::Off,
            urls: Vec::new(),
            prefix: "supportal".to_owned(),
            node: String::new(),
            ca_file: None,
            client_cert: None,
            client_key: None,
            required: false,
            linger: Duration::from_secs(10),
            confirm_timeout: Duration::from_secs(1),
            outbox_capacity: 16 * 1024,
            outbox_bytes: 16 * 1024 * 1024,
            arrivals_capacity: 16 * 1024,
            command_timeout: Duration::from_secs(1),
            reconnect_max: Duration::from_millis(250),
            order_timeout: Duration::from_millis(250),
        }
    }
}

/// How nodes speak to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BridgeMode {
    /// Not at all: one node alone.
    Off,
    /// By publish and subscribe: what is lost on the way is counted.
    Pubsub,
    /// By streams: one order on all nodes, and what was missed is read again.
    Streams,
}

fn check_sizes(config: &Config, found: &mut Findings) {
    let bridge = &config.bridge;
    found.at_least("bridge.outbox_capacity", bridge.outbox_capacity, 1);
    found.at_most(
        "bridge.outbox_capacity",
        bridge.outbox_capacity,
        CAPACITY_MAX,
    );
    // An outbox that nobody fills need not hold the largest event.
    let is_used = bridge.mode != BridgeMode::Off || config.channels.enabled;
    let least = if is_used { config.event_bytes() } else { 1 };
    found.at_least("bridge.outbox_bytes", bridge.outbox_bytes, least);
    found.at_most("bridge.outbox_bytes", bridge.outbox_bytes, 1 << 30);
    // Below this a burst of the other nodes is lost (measured: 32 slots lose 98 of 100).
    found.at_least("bridge.arrivals_capacity", bridge.arrivals_capacity, 1024);
    found.at_most(
        "bridge.arrivals_capacity",
        bridge.arrivals_capacity,
        CAPACITY_MAX,
    );
}

/// Ranges, and keys that contradict each other.
pub(super) fn check(config: &Config, found: &mut Findings) {
    let bridge = &config.bridge;
    let is_on = bridge.mode != BridgeMode::Off;
    if is_on && bridge.urls.is_empty() {
        let fix = "write urls = [\"redis://localhost:6379\"], or set bridge.mode = \"off\"";
        found.error("bridge.urls", "is empty: there is no Redis to go by", fix);
    }
    if !is_on && !bridge.urls.is_empty() {
        let fix = "set bridge.mode = \"pubsub\", or remove it";
        found.warn("bridge.urls", "has no effect: bridge.mode is \"off\"", fix);
    }
    found.at_most("bridge.urls", bridge.urls.len(), LINKS_MAX);
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
    check_sizes(config, found);
    let (least, most) = (Duration::from_millis(10), Duration::from_secs(3600));
    for (key, value, min) in [
        ("bridge.linger", bridge.linger, Duration::ZERO),
        (
            "bridge.confirm_timeout",
            bridge.confirm_timeout,
            Duration::ZERO,
        ),
        ("bridge.command_timeout", bridge.command_timeout, least),
        ("bridge.reconnect_max", bridge.reconnect_max, least),
        ("bridge.order_timeout", bridge.order_timeout, least),
    ] {
        found.duration(key, value, min, most);
    }
    check_tls(config, found);
}

/// Files that nobody reads, and options that nobody obeys.
fn check_tls(config: &Config, found: &mut Findings) {
    let bridge = &config.bridge;
    let hosts = config.channels.hosts.iter().map(Host::address);
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
    let hosts = config.channels.hosts.iter().map(Host::address);
    for (key, addresses) in [
        ("bridge.urls", bridge.urls.iter().collect::<Vec<_>>()),
        ("channels.hosts", hosts.collect()),
    ] {
        for (index, address) in addresses.into_iter().enumerate() {
            for option in &address.unused {
                let key = format!("{key}[{}]", index + 1);
                let what = format!("the option `{option}` is read over");
                found.warn(key, what, "see bridge.command_timeout, or leave it out");
            }
        }
    }
}
