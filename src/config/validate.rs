//! What types cannot say: ranges, and keys that contradict each other.
//!
//! An error stops the start (exit 64); a warning goes to the banner. Each names its key and the fix.
//! Pure: nothing is opened, resolved or measured here.

use super::level::check_level;
use super::origin::{self, Pattern};
use super::problem::{Problem, Source};
use super::units::format_duration;
use super::{Config, Deliver, Dialect, Exists, Handler, Route, admin, bridge, history};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

/// hyper refuses to read with a smaller buffer.
const HEADER_BYTES_MIN: usize = 8192;
/// What a browser's upgrade request is known to need, with a proxy's additions.
const HEADERS_MIN: usize = 16;
/// Room for the guide's path with its longest ids: 9 + 18 + 1 + 64 + 1, percent-encoded threefold.
const URI_BYTES_MIN: usize = 256;
/// The kernel rounds `SO_SNDBUF` and `SO_RCVBUF` up to about this (tcp(7)).
const SOCKET_BUFFER_BYTES_MIN: usize = 4608;
/// No wait in a server is meant to be longer; a longer one is a slip in the unit.
const DURATION_MAX: Duration = Duration::from_secs(24 * 3600);
/// Most data-plane threads: a mailbox keeps its waiting publishers in a 64-bit set.
pub const WORKERS_MAX: usize = 64;
/// Control-plane threads above this are a slip in the number: they only shake hands.
const CONTROL_THREADS_MAX: usize = 256;
/// Entries of a queue or a mailbox; above this it is bounded by its bytes alone.
const CAPACITY_MAX: usize = 1 << 20;
/// A frame's header, the other fields of its JSON and the spare of a cut-off tail.
const EVENT_OVERHEAD_BYTES: usize = 512;

/// What [`validate`] found; the sources are filled in by the loader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Stops the start.
    pub errors: Vec<Problem>,
    /// Legal, but probably not meant.
    pub warnings: Vec<Problem>,
}

impl Findings {
    pub(super) fn error(
        &mut self,
        key: impl Into<String>,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let problem = Problem::new(Source::Default, key, what, fix);
        self.errors.push(problem);
    }

    pub(super) fn warn(
        &mut self,
        key: impl Into<String>,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let problem = Problem::new(Source::Default, key, what, fix);
        self.warnings.push(problem);
    }

    pub(super) fn at_least(&mut self, key: &str, value: usize, min: usize) {
        if value < min {
            self.error(
                key,
                format!("{value} is too small"),
                format!("write at least {min}"),
            );
        }
    }

    /// A time that may be from `min` to `max`.
    pub(super) fn duration(&mut self, key: &str, value: Duration, min: Duration, max: Duration) {
        if value < min {
            let what = match value.is_zero() {
                true => "must be longer than zero".to_owned(),
                false => format!("{} is too short", format_duration(value)),
            };
            let fix = format!("write at least \"{}\"", format_duration(min));
            self.error(key, what, fix);
        }
        if value > max {
            let most = format_duration(max);
            let fix = format!("check the unit; write at most \"{most}\"");
            self.error(key, format!("is longer than {most}"), fix);
        }
    }

    pub(super) fn at_most(&mut self, key: &str, value: usize, max: usize) {
        if value > max {
            self.error(
                key,
                format!("{value} is too large"),
                format!("write at most {max}"),
            );
        }
    }
}

/// Checks a whole configuration.
#[must_use]
pub fn validate(config: &Config) -> Findings {
    let mut found = Findings::default();
    check_server(config, &mut found);
    check_durations(config, &mut found);
    check_routes(&config.routes, &mut found);
    check_origin(config, &mut found);
    check_chat(config, &mut found);
    check_limits(config, &mut found);
    check_sizes(config, &mut found);
    check_assistant(config, &mut found);
    admin::check(config, &mut found);
    if let Err(what) = check_level(&config.log.level) {
        let fix = "write levels such as \"info\" or \"info,supportal::worker=debug\"";
        found.error("log.level", what, fix);
    }
    found
}

fn check_server(config: &Config, found: &mut Findings) {
    let server = &config.server;
    found.at_most("server.workers", server.workers, WORKERS_MAX);
    found.at_least("server.control_threads", server.control_threads, 1);
    found.at_most(
        "server.control_threads",
        server.control_threads,
        CONTROL_THREADS_MAX,
    );
    if server.backlog == 0 {
        found.at_least("server.backlog", 0, 1);
    }
    if !server.is_notice_within_grace() {
        let what = "is longer than server.drain_grace, which includes it";
        let fix = "write a notice within the grace, such as \"3s\" of \"10s\"";
        found.error("server.drain_notice", what, fix);
    } else if server.is_notice_cut() {
        let what = "is cut to two thirds of server.drain_grace: closes need the rest";
        let fix = "lower it, or raise server.drain_grace";
        found.warn("server.drain_notice", what, fix);
    }
    if server.ping_timeout > server.ping_interval {
        found.warn(
            "server.ping_timeout",
            "is longer than server.ping_interval: a dead connection is found late",
            "write a timeout below the interval, such as \"8s\" below \"25s\"",
        );
    }
}

/// Deadlines and waits: above zero, unless zero has a meaning, and no longer than anybody means.
fn check_durations(config: &Config, found: &mut Findings) {
    const SHORT: Duration = Duration::from_millis(10);
    let (server, limits) = (&config.server, &config.limits);
    for (key, value, min) in [
        ("server.handshake_timeout", server.handshake_timeout, SHORT),
        ("server.http_timeout", server.http_timeout, SHORT),
        (
            "server.keep_alive_timeout",
            server.keep_alive_timeout,
            SHORT,
        ),
        ("server.ping_interval", server.ping_interval, SHORT),
        ("server.ping_timeout", server.ping_timeout, SHORT),
        // Without a notice the listener closes at once, without grace everybody is closed at once.
        ("server.drain_notice", server.drain_notice, Duration::ZERO),
        ("server.drain_grace", server.drain_grace, Duration::ZERO),
        ("queue.expiry", config.queue.expiry, SHORT),
        ("limits.message_timeout", limits.message_timeout, SHORT),
        ("assistant.timeout", config.assistant.timeout, SHORT),
    ] {
        found.duration(key, value, min, DURATION_MAX);
    }
}

fn check_routes(routes: &[Route], found: &mut Findings) {
    let mut shapes = BTreeSet::new();
    for (index, route) in routes.iter().enumerate() {
        let key = format!("routes[{}].path", index + 1);
        let path = &route.path;
        if !path.starts_with('/') {
            let fix = format!("write \"/{path}\"");
            found.error(&key, format!("{path:?} does not begin with `/`"), fix);
        }
        if path.contains(['?', '#', '%'])
            || path.chars().any(|c| c.is_whitespace() || c.is_control())
        {
            let what = format!("{path:?} has characters that a decoded path does not keep");
            found.error(
                &key,
                what,
                "write the path alone, without query, `%` or spaces",
            );
        }
        check_placeholders(&key, route, found);
        let shape = shape(path);
        if !shapes.insert(shape) {
            let what = format!("{path:?} matches the same paths as an earlier route");
            found.error(&key, what, "remove one of the two");
        }
    }
}

/// A path with its parts without their names: two of one shape match the same paths.
fn shape(path: &str) -> String {
    let part = |segment: &str| match placeholder(segment) {
        Some(kind) => format!("{{{kind}}}"),
        None => segment.to_owned(),
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// The type of a placeholder; empty for the ids of a chat.
fn placeholder(segment: &str) -> Option<&str> {
    let part = segment.strip_prefix('{')?.strip_suffix('}')?;
    match part.split_once(':') {
        None => ["business_id", "session_id"].contains(&part).then_some(""),
        Some((_, kind)) => ["int", "slug", "uuid"].contains(&kind).then_some(kind),
    }
}

fn check_placeholders(key: &str, route: &Route, found: &mut Findings) {
    let path = &route.path;
    let count = |name: &str| path.split('/').filter(|segment| *segment == name).count();
    let known = ["{business_id}", "{session_id}"];
    for segment in path
        .split('/')
        .filter(|segment| segment.contains(['{', '}']))
    {
        if placeholder(segment).is_none() {
            let fix = "placeholders are the whole segments {business_id}, {session_id}, {name:int}, {name:slug} and {name:uuid}";
            found.error(key, format!("{segment:?} is not a placeholder"), fix);
        }
    }
    for name in known {
        if route.handler == Handler::Chat && count(name) == 0 {
            let what = format!("a chat route without {name} has no room");
            found.error(
                key,
                what,
                format!("add the segment {name}, as in {:?}", super::CHAT_PATH),
            );
        }
        if count(name) > 1 {
            found.error(key, format!("{name} appears twice"), "keep one of them");
        }
    }
}

fn check_origin(config: &Config, found: &mut Findings) {
    for entry in &config.origin.allowed {
        let sentence = |what: &str| format!("{} {what}", origin::shown(entry));
        match Pattern::read(entry) {
            Err(fault) => found.error("origin.allowed", sentence(&fault.what), fault.fix),
            Ok((_, Some(fault))) => {
                found.warn("origin.allowed", sentence(&fault.what), fault.fix);
            }
            Ok((_, None)) => {}
        }
    }
    let allowed = &config.origin.allowed;
    if allowed.len() > 1 && allowed.iter().any(|entry| entry == "*") {
        let fix = "remove \"*\", or the others";
        found.warn(
            "origin.allowed",
            "\"*\" makes the other entries pointless",
            fix,
        );
    }
}

fn check_chat(config: &Config, found: &mut Findings) {
    let chat = &config.chat;
    found.at_least("chat.text_bytes_max", chat.text_bytes_max, 1);
    if chat.text_bytes_max > config.limits.message_bytes {
        found.error(
            "chat.text_bytes_max",
            format!(
                "{} is above limits.message_bytes = {}: such a message closes the connection instead",
                chat.text_bytes_max, config.limits.message_bytes
            ),
            "lower it, or raise limits.message_bytes",
        );
    }
    match chat.dialect {
        Dialect::Guide if !chat.exists.is_empty() => found.error(
            "chat.exists",
            "has no effect in dialect \"guide\", which serves every business and session",
            "remove it, or set chat.dialect = \"django\"",
        ),
        Dialect::Django if chat.exists.is_empty() => found.warn(
            "chat.exists",
            "is empty: in dialect \"django\" every connection is told that its business does not exist",
            "list the businesses as [[chat.exists]]",
        ),
        _ => {}
    }
    if chat.dialect == Dialect::Django && chat.deliver == Deliver::Room {
        found.warn(
            "chat.deliver",
            "\"room\" differs from what the Python package does in dialect \"django\"",
            "set chat.deliver = \"sender\" to compare the two",
        );
    }
    check_exists(&chat.exists, found);
}

fn check_exists(exists: &[Exists], found: &mut Findings) {
    let mut seen = BTreeSet::new();
    for (index, business) in exists.iter().enumerate() {
        let key = format!("chat.exists[{}]", index + 1);
        if !seen.insert(business.business_id) {
            let what = format!("business {} is listed twice", business.business_id);
            found.error(&key, what, "put its sessions into one table");
        }
        if business.sessions.iter().any(String::is_empty) {
            found.error(
                &key,
                "a session is empty",
                "remove it; no sessions at all means any",
            );
        }
    }
}

fn check_limits(config: &Config, found: &mut Findings) {
    let limits = &config.limits;
    for (key, value, min) in [
        ("queue.capacity", config.queue.capacity, 1),
        ("limits.handshakes", limits.handshakes, 1),
        ("limits.header_bytes", limits.header_bytes, HEADER_BYTES_MIN),
        ("limits.headers", limits.headers, HEADERS_MIN),
        ("limits.uri_bytes", limits.uri_bytes, URI_BYTES_MIN),
        ("limits.message_bytes", limits.message_bytes, 1),
        ("limits.fragments", limits.fragments, 1),
        (
            "limits.pings_per_second",
            limits.pings_per_second as usize,
            1,
        ),
        ("limits.refusals", limits.refusals as usize, 1),
        (
            "limits.send_buffer_bytes",
            limits.send_buffer_bytes,
            SOCKET_BUFFER_BYTES_MIN,
        ),
        (
            "limits.receive_buffer_bytes",
            limits.receive_buffer_bytes,
            SOCKET_BUFFER_BYTES_MIN,
        ),
        ("limits.unsent_bytes", limits.unsent_bytes as usize, 1),
        ("broker.spread_above", config.broker.spread_above, 1),
        ("broker.mailbox_capacity", config.broker.mailbox_capacity, 1),
    ] {
        found.at_least(key, value, min);
    }
    // Sizes end up in 32-bit lengths and in sums of them.
    for (key, value) in [
        ("queue.bytes_max", config.queue.bytes_max),
        ("broker.mailbox_bytes", config.broker.mailbox_bytes),
        ("limits.message_bytes", limits.message_bytes),
        ("limits.header_bytes", limits.header_bytes),
        ("limits.send_buffer_bytes", limits.send_buffer_bytes),
        ("limits.receive_buffer_bytes", limits.receive_buffer_bytes),
    ] {
        found.at_most(key, value, 1 << 30);
    }
    for (key, value, max) in [
        ("queue.capacity", config.queue.capacity, CAPACITY_MAX),
        (
            "broker.mailbox_capacity",
            config.broker.mailbox_capacity,
            CAPACITY_MAX,
        ),
        // Counted in 16 bits for each connection.
        (
            "limits.refusals",
            limits.refusals as usize,
            usize::from(u16::MAX),
        ),
    ] {
        found.at_most(key, value, max);
    }
    check_limits_together(config, found);
}

fn check_limits_together(config: &Config, found: &mut Findings) {
    let limits = &config.limits;
    if limits.messages_per_second > 0 && limits.messages_burst == 0 {
        found.at_least("limits.messages_burst", 0, 1);
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
impl Config {
    /// Most bytes of the event that one message becomes.
    pub(super) fn event_bytes(&self) -> usize {
        // Python's ASCII escapes write a character of two bytes as six, and one of four as twelve.
        let growth = match self.chat.dialect {
            Dialect::Guide => 1,
            Dialect::Django => 3,
        };
        let bytes = self.limits.message_bytes.saturating_mul(growth);
        bytes.saturating_add(EVENT_OVERHEAD_BYTES)
    }
}

fn check_sizes(config: &Config, found: &mut Findings) {
    let event = config.event_bytes();
    bridge::check(&config.bridge, event, found);
    history::check(config, found);
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

fn check_assistant(config: &Config, found: &mut Findings) {
    let assistant = &config.assistant;
    for (key, value) in [
        ("assistant.prompts", assistant.prompts),
        ("assistant.prompts_per_room", assistant.prompts_per_room),
        ("assistant.concurrency", assistant.concurrency),
    ] {
        if value == 0 {
            let fix = "write at least 1; assistant.kind = \"none\" turns the assistant off";
            found.error(key, "0 is too small", fix);
        }
    }
    if assistant.concurrency > assistant.prompts {
        let what = "is above assistant.prompts, which it cannot reach";
        found.warn(
            "assistant.concurrency",
            what,
            "write at most assistant.prompts",
        );
    }
    if assistant.knowledge.is_some() && assistant.kind == super::AssistantKind::None {
        let what = "has no effect with assistant.kind = \"none\"";
        found.warn(
            "assistant.knowledge",
            what,
            "remove it, or set assistant.kind = \"faq\"",
        );
    }
}

/// Whether an address is this machine's own, in either family.
pub(super) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}
