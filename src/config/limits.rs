//! `[queue]`, `[limits]` and `[broker]`: what one client, and all of them together, may use, and what those
//! bounds may be.

use super::keys;
use super::setting::{BYTES_MAX, CAPACITY_MAX, Ranged, WAIT, choice, seconds, section};
use super::validate::Findings;
use super::{Config, Dialect, OWN_SETTINGS_MAX, OwnKeys, Plain, Route, bridge, history, units};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use toml::{Table, Value};

/// hyper refuses to read with a smaller buffer.
const HEADER_BYTES_MIN: usize = 8192;
/// What a browser's upgrade request is known to need, with a proxy's additions.
const HEADERS_MIN: usize = 16;
/// Room for the guide's path with its longest ids: 9 + 18 + 1 + 64 + 1, percent-encoded threefold.
const URI_BYTES_MIN: usize = 256;
/// The kernel rounds `SO_SNDBUF` and `SO_RCVBUF` up to about this (tcp(7)).
const SOCKET_BUFFER_BYTES_MIN: usize = 4608;
/// Counted in 16 bits for each connection.
const REFUSALS_MAX: u32 = u16::MAX as u32;
/// A frame's header, the other fields of its JSON and the spare of a cut-off tail.
const EVENT_OVERHEAD_BYTES: usize = 512;

section! {
    /// What one subscriber's socket has not taken yet.
    ["queue"] Queue {
        /// Most deliveries waiting for one subscriber.
        capacity: usize = 100, restart per route, in 1..=CAPACITY_MAX;
        /// Most bytes of frames waiting for one subscriber.
        bytes_max: usize = 256 * 1024, restart per route, in ..=BYTES_MAX;
        /// A delivery older than this is dropped instead of written late.
        #[serde(with = "units::duration")]
        expiry: Duration = seconds(60), restart per route, in WAIT;
        /// What a full queue does: `drop_newest`, `drop_oldest` or `disconnect` (close code 4008).
        overflow: Overflow = Overflow::DropNewest, restart per route;
    }
}

choice! {
    /// What a full queue does.
    Overflow {
        /// The delivery that does not fit is dropped (Channels' rule).
        DropNewest = "drop_newest",
        /// The oldest deliveries make room.
        DropOldest = "drop_oldest",
        /// The slow reader's connection is closed with 4008.
        Disconnect = "disconnect",
    }
}

section! {
    /// What one client, and all of them together, may use.
    ["limits"] Limits {
        /// Most connections on this node; 0 = what the file-descriptor limit allows.
        connections: usize = 0, restart;
        /// Most connections from one address (IPv6: one /64); 0 = no limit.
        connections_per_ip: usize = 1000, restart;
        /// Most handshakes in progress.
        handshakes: usize = 4096, restart, in 1..;
        /// Most handshakes in progress from one address (IPv6: one /64); 0 = no limit.
        handshakes_per_ip: usize = 1024, restart;
        /// Most connections kept open for another request after an answer; 0 = each answer closes its connection.
        kept_alive: usize = 1024, restart;
        /// Longest request head in bytes, at least 8192.
        header_bytes: usize = 16 * 1024, restart, in HEADER_BYTES_MIN..=BYTES_MAX;
        /// Most header fields in a request.
        headers: usize = 64, restart, in HEADERS_MIN..;
        /// Longest request target in bytes.
        uri_bytes: usize = 8192, restart, in URI_BYTES_MIN..;
        /// Longest message in bytes, its fragments together; longer closes with 1009.
        message_bytes: usize = 64 * 1024, restart per route, in 1..=BYTES_MAX;
        /// Most fragments in one message, empty ones included.
        fragments: usize = 128, restart per route, in 1..;
        /// A message begun must be complete within this time.
        #[serde(with = "units::duration")]
        message_timeout: Duration = seconds(30), restart per route, in WAIT;
        /// Pings answered per second and connection; more closes with 1008.
        pings_per_second: u32 = 20, restart per route, in 1..;
        /// Messages per second and connection, sustained; 0 = no limit.
        messages_per_second: u32 = 20, restart per route;
        /// Messages a connection may send at once before the rate applies.
        messages_burst: u32 = 100, restart per route;
        /// Bytes read per second and connection, sustained; more stops reading for a while; 0 = no limit.
        bytes_per_second: u32 = 1024 * 1024, restart per route;
        /// Messages in a row refused for their rate before the connection is closed with 4429.
        refusals: u32 = 100, restart per route, in 1..=REFUSALS_MAX;
        /// Kernel send buffer of a socket in bytes.
        send_buffer_bytes: usize = 64 * 1024, restart, in SOCKET_BUFFER_BYTES_MIN..=BYTES_MAX;
        /// Kernel receive buffer of a socket in bytes: what a client may send that is not read yet.
        receive_buffer_bytes: usize = 64 * 1024, restart, in SOCKET_BUFFER_BYTES_MIN..=BYTES_MAX;
        /// Unsent bytes the kernel may hold per socket (TCP_NOTSENT_LOWAT).
        unsent_bytes: u32 = 16 * 1024, restart, in 1..;
    }
}

section! {
    /// Rooms and the mailboxes between workers.
    ["broker"] Broker {
        /// Members above which a room spreads over all workers.
        spread_above: usize = 256, restart, in 1..;
        /// Most publications waiting for one worker; a full mailbox stops the reading of its publishers.
        mailbox_capacity: usize = 8192, restart, in 1..=CAPACITY_MAX;
        /// Most bytes of publications waiting for one worker.
        mailbox_bytes: usize = 16 * 1024 * 1024, restart, in ..=BYTES_MAX;
    }
}

/// Messages that wait for one task; above this it is no task that keeps up.
const INBOX_MAX: usize = 4096;

section! {
    /// Consumers of a program's own: the library's routes.
    ["consumers"] OwnConsumers {
        /// Most messages of one connection that wait for its task; while as many wait, it is not read from.
        inbox: usize = 16, restart, in 1..=INBOX_MAX;
        /// Longest until a task takes or says something, or its connection ends with 1011; an in-line consumer that has not returned by then is logged, and `/ready` says no until it has.
        #[serde(with = "units::duration")]
        timeout: Duration = seconds(5), restart, in WAIT;
    }
}

impl Config {
    /// Most bytes of the event that one message of so many bytes becomes.
    pub(crate) fn event_bytes(&self, message_bytes: usize) -> usize {
        // Python's ASCII escapes write a character of two bytes as six, and one of four as twelve.
        let growth = match self.chat.dialect {
            Dialect::Guide => 1,
            Dialect::Django => 3,
        };
        let bytes = message_bytes.saturating_mul(growth);
        bytes.saturating_add(EVENT_OVERHEAD_BYTES)
    }
}

/// The sections of which a route may have keys of its own.
const OF_ROUTES: [&str; 2] = ["queue", "limits"];

impl Route {
    /// The paths of the keys that it has of its own.
    fn own_keys(&self) -> impl Iterator<Item = String> {
        let sections = OF_ROUTES.into_iter().zip([&self.queue, &self.limits]);
        sections.flat_map(|(section, own)| own.keys().map(move |name| format!("{section}.{name}")))
    }
}

/// A section with the route's own keys in their place.
fn merged<T: Serialize + DeserializeOwned>(section: &T, own: &OwnKeys) -> Result<T, String> {
    let of_node = Table::try_from(section).map_err(|error| error.to_string())?;
    let of_route = own.iter().map(|(name, value)| {
        let value = match value {
            Plain::Number(number) => Value::Integer((*number).into()),
            Plain::Text(text) => Value::String(text.clone()),
        };
        (name.clone(), value)
    });
    let all: Table = of_node.into_iter().chain(of_route).collect();
    all.try_into()
        .map_err(|error: toml::de::Error| error.message().to_owned())
}

impl Config {
    /// The settings as they hold on the routes that have some of their own, in the order of these routes.
    ///
    /// # Errors
    /// One sentence that names the path, if a key is none or its value does not fit.
    pub fn of_routes(&self) -> Result<Vec<Self>, String> {
        let own = self.routes.iter().filter(|route| route.has_own_settings());
        own.map(|route| {
            let merge = || {
                let (queue, limits) = (
                    merged(&self.queue, &route.queue)?,
                    merged(&self.limits, &route.limits)?,
                );
                Ok(Self {
                    queue,
                    limits,
                    ..self.clone()
                })
            };
            merge().map_err(|what: String| format!("route {:?}: {what}", route.path))
        })
        .collect()
    }

    /// Checks these settings of a route of the program's own on this node, as those of `[[routes]]` are.
    ///
    /// # Errors
    /// One sentence that names the key.
    pub(crate) fn admit(&self, queue: &Queue, limits: &Limits) -> Result<Self, String> {
        let merged = Self {
            queue: queue.clone(),
            limits: limits.clone(),
            ..self.clone()
        };
        for (section, of_node, of_route) in [
            (
                "queue",
                Table::try_from(&self.queue),
                Table::try_from(queue),
            ),
            (
                "limits",
                Table::try_from(&self.limits),
                Table::try_from(limits),
            ),
        ] {
            let (of_node, of_route) = (of_node.unwrap_or_default(), of_route.unwrap_or_default());
            let is_kept = |(name, value): &(&String, &Value)| of_node.get(*name) == Some(*value);
            let changed = of_route.iter().filter(|entry| !is_kept(entry));
            let mut keys = changed.map(|(name, _)| format!("{section}.{name}"));
            if let Some(key) = keys.find(|key| !is_per_route(key)) {
                return Err(format!("{key}: no route has this of its own"));
            }
        }
        match beside(self, &merged).errors.first() {
            Some(problem) => Err(format!("{}: {}", problem.key, problem.what)),
            None => Ok(merged),
        }
    }
}

/// Is this a key that a route may have of its own?
fn is_per_route(path: &str) -> bool {
    keys::find(path).is_some_and(|key| key.per_route)
}

/// What is wrong with a route's settings that is not wrong with the node's.
fn beside(node: &Config, route: &Config) -> Findings {
    let [general, mut found] = [node, route].map(|config| {
        let mut found = Findings::default();
        check(config, &mut found);
        history::check(config, &mut found);
        bridge::check(config, &mut found);
        found
    });
    found
        .errors
        .retain(|problem| !general.errors.contains(problem));
    found
        .warnings
        .retain(|problem| !general.warnings.contains(problem));
    found
}

/// What the settings of routes say for themselves, and together with the node's.
pub(super) fn check_routes(config: &Config, found: &mut Findings) {
    let own = config.routes.iter().enumerate();
    let own = own.filter(|(_, route)| route.has_own_settings());
    if own.clone().count() > OWN_SETTINGS_MAX {
        let what = format!("more than {OWN_SETTINGS_MAX} routes have settings of their own");
        found.error(
            "routes",
            what,
            "set in [queue] and [limits] what most have in common",
        );
    }
    // One that cannot be merged has been told with its value.
    let merged = config.of_routes().unwrap_or_default();
    for ((index, route), merged) in own.zip(merged) {
        let in_route = |key: &str| format!("routes[{}].{key}", index + 1);
        for key in route.own_keys() {
            if !is_per_route(&key) {
                let fix = format!("write {key} once, for all routes");
                found.error(in_route(&key), "no route has this of its own", fix);
            }
        }
        let mut here = beside(config, &merged);
        for problem in here.errors.iter_mut().chain(&mut here.warnings) {
            let section = problem.key.split('.').next().unwrap_or_default();
            if OF_ROUTES.contains(&section) {
                problem.key = in_route(&problem.key);
            }
        }
        found.errors.append(&mut here.errors);
        found.warnings.append(&mut here.warnings);
    }
}

/// Ranges, and keys that contradict each other.
pub(super) fn check(config: &Config, found: &mut Findings) {
    config.queue.check_ranges(found);
    config.limits.check_ranges(found);
    config.broker.check_ranges(found);
    config.consumers.check_ranges(found);
    check_queues(config, found);
    let limits = &config.limits;
    if limits.messages_per_second > 0 {
        let key = "limits.messages_burst";
        limits.messages_burst.check(1.., key, found);
    }
    if limits.uri_bytes > limits.header_bytes {
        let what = "is above limits.header_bytes: no request that long arrives whole";
        found.error(
            "limits.uri_bytes",
            what,
            "lower it, or raise limits.header_bytes",
        );
    }
    let readable = u128::from(limits.bytes_per_second) * limits.message_timeout.as_millis() / 1000;
    if limits.bytes_per_second > 0 && readable < limits.message_bytes as u128 {
        let what = "is so low that a message of full length may miss limits.message_timeout";
        let fix = "raise it or limits.message_timeout, or lower limits.message_bytes";
        found.warn("limits.bytes_per_second", what, fix);
    }
    if limits.unsent_bytes as usize > limits.send_buffer_bytes {
        let what = "is above limits.send_buffer_bytes and has no effect";
        found.warn(
            "limits.unsent_bytes",
            what,
            "write at most limits.send_buffer_bytes",
        );
    }
}

/// Each queue must hold the event of the longest message, or that message reaches nobody, ever.
fn check_queues(config: &Config, found: &mut Findings) {
    let event = config.event_bytes(config.limits.message_bytes);
    for (key, value) in [
        ("queue.bytes_max", config.queue.bytes_max),
        ("broker.mailbox_bytes", config.broker.mailbox_bytes),
    ] {
        if value < event {
            let what = format!("{value} is too small for the event of the longest message");
            found.error(
                key,
                what,
                format!("write at least {event}, or lower limits.message_bytes"),
            );
        }
    }
}
