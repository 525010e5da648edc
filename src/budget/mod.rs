//! Worst-case memory: every bound of a configuration, summed with the parts' own constants.
//!
//! An upper bound, not a forecast: it is what clients that do their worst can make the node hold. An
//! idle connection costs its slot and nothing else. The kernel's socket memory is listed too,
//! because the same machine (and the same container limit) pays for it.

mod addend;
mod assistants;
mod entry;
mod vetting;

pub use addend::Addend;
use addend::addend;
use entry::{django_sessions, forward, question_bytes, recheck_bytes, who_comes};

use crate::admin;
use crate::archive;
use crate::bridge::ANSWERS_BYTES_MAX;
use crate::bridge::memory as link;
use crate::broker::queue::DELIVERY_BYTES;
use crate::broker::quota;
use crate::broker::room::ROOM_BYTES;
use crate::channels::memory as channel_layer;
use crate::chat::{RECEIVED_BYTES, TASKS_PER_CONNECTION};
use crate::config::{ArchiveMode, AssistantKind, BridgeMode, Config, MemoryLimit};
use crate::http::REQUEST_BYTES;
use crate::server::api::memory as api;
use crate::server::upstream::memory as site;
use crate::shedding::{self, MemorySource};
use crate::telemetry;
use crate::tls;
use crate::transport::decoder::PARTIAL_BYTES;
use crate::worker::memory::{CONNECTION_BYTES, KEPT_BACK_BYTES, WORKER_BYTES};
use std::fmt;

pub use crate::config::units::Bytes;

/// What a receive buffer holds beyond its bound: the kernel takes the segment that passes it, of up to
/// 64 KiB (loopback, or joined by the network card).
const SEGMENT_BYTES: usize = 64 * 1024;
/// The program, its allocator's spare pages and the page's files.
const PROCESS_BYTES: usize = 24 * 1024 * 1024;

/// The sum and its addends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryBudget {
    /// Every bound, the process's own memory first.
    pub addends: Vec<Addend>,
    /// Of these, how many bytes grow with each connection.
    pub per_connection: u64,
    /// Bytes of all addends.
    pub total: u64,
    /// What the rooms of that many connections make Redis keep, if a history is kept: not in the
    /// total, since it is another process' memory.
    pub redis: Option<Addend>,
}

/// Sums what `connections` clients and `workers` threads may occupy at most.
#[must_use]
pub fn worst_case_memory(config: &Config, connections: usize, workers: usize) -> MemoryBudget {
    let (limits, assistant) = (&config.limits, &config.assistant);
    let (queue_bytes, message_bytes) = worst_route(config);
    let prompts = match assistant.kind {
        AssistantKind::None => 0,
        AssistantKind::Faq | AssistantKind::OpenAi | AssistantKind::Webhook => assistant.prompts,
    };
    let mailbox_bytes = config.broker.mailbox_bytes.saturating_add(
        config
            .broker
            .mailbox_capacity
            .saturating_mul(DELIVERY_BYTES),
    );
    // A prompt is a text; its reply may be as long.
    let prompt_bytes = config.chat.text_bytes_max.saturating_mul(2);
    // The kernel books a buffer at twice what was asked for (socket(7)).
    let send_bytes = limits.send_buffer_bytes.saturating_mul(2);
    let receive_bytes = limits
        .receive_buffer_bytes
        .saturating_mul(2)
        .saturating_add(SEGMENT_BYTES);
    let backlog = usize::try_from(config.server.backlog).unwrap_or(usize::MAX);
    let scopes = quota::scopes_limited(config);
    let head_bytes = limits.header_bytes.saturating_add(limits.uri_bytes);
    let kernel_bytes = send_bytes.saturating_add(receive_bytes);
    let request_bytes = head_bytes
        .saturating_add(REQUEST_BYTES)
        .saturating_add(kernel_bytes);
    #[rustfmt::skip]
    let mut addends = vec![
        addend("process and allocator", 1, PROCESS_BYTES),
        addend("log lines waiting for standard error", 1, telemetry::BUFFERS_BYTES),
        addend("the operator's connections", admin::CONNECTIONS_MAX * 2, admin::CONNECTION_BYTES),
        addend("workers: stack, buffers", workers, WORKER_BYTES),
        addend("mailboxes between workers", workers, mailbox_bytes),
        addend("kernel: connections not yet accepted", backlog, receive_bytes),
        addend("handshakes, with the kernel's buffers", limits.handshakes, request_bytes),
        addend("page connections kept alive, with the kernel's buffers", limits.kept_alive, request_bytes),
        addend("prompts and their replies", prompts, prompt_bytes),
    ];
    let [shaking, established] = tls_sessions(config, workers, connections);
    addends.extend(shaking);
    #[rustfmt::skip]
    let mut each_connection = vec![
        addend("connections: slot and room", connections, CONNECTION_BYTES + ROOM_BYTES),
        addend("partial messages", connections, message_bytes.saturating_add(PARTIAL_BYTES)),
        addend("input kept back while a mailbox is full (one read)", connections, KEPT_BACK_BYTES),
        addend("shares of what users, rooms … use together", connections, scopes * (quota::HOLDER_BYTES + quota::HELD_BYTES)),
        addend("queues of slow readers", connections, queue_bytes),
        addend("kernel: send buffers", connections, send_bytes),
        addend("kernel: receive buffers", connections, receive_bytes),
        // Those whose connections have gone are looked for once they are as many as the others.
        addend("forward: questions to be asked again", connections, question_bytes(&config.auth.forward).saturating_mul(2)),
        addend("sessions to be looked for again", connections, recheck_bytes(config).saturating_mul(2)),
    ];
    each_connection.extend(established);
    let per_connection = saturating_sum(&each_connection, |addend| addend.each);
    addends.extend(options(config, request_bytes, kernel_bytes));
    addends.extend(each_connection);
    MemoryBudget {
        per_connection,
        total: saturating_sum(&addends, Addend::bytes),
        addends,
        redis: (config.bridge.mode == BridgeMode::Streams).then(|| {
            // The newest is kept whatever its size, and counts as the appending function weighs it.
            let newest =
                (config.event_bytes(message_bytes) / 4).saturating_mul(5) + link::ENTRY_BYTES;
            let kept = config.history.bytes_max.max(newest);
            let room_bytes = kept.saturating_add(link::ROOM_BYTES);
            addend("rooms", connections, room_bytes)
        }),
    }
}

/// What is given up, and at how many bytes, so that the node stays under `limits.memory` where less than the sum is there;
/// `None` without that limit.
#[must_use]
pub fn when_short(config: &Config) -> Option<String> {
    let source = MemorySource::new(config.limits.memory);
    let limit = source.limit();
    if limit == 0 {
        return None;
    }
    let whose = match (config.limits.memory, source.is_of_container()) {
        (MemoryLimit::Auto, true) => "three quarters of the container's limit",
        (MemoryLimit::Auto, false) => "three quarters of the machine's",
        _ => "as the setting says",
    };
    let (limit_bytes, steps) = (Bytes(limit), shedding::describe(limit));
    Some(format!(
        "memory is kept under {limit_bytes}, {whose}; at\n{steps}"
    ))
}

/// What is off unless the settings turn it on: a client's request costs `request_bytes`, a socket `kernel_bytes`.
fn options(config: &Config, request_bytes: usize, kernel_bytes: usize) -> Vec<Addend> {
    [
        who_comes(config),
        upstream(config, request_bytes, kernel_bytes),
        forward(&config.auth.forward),
        assistants::model(config),
        assistants::webhook(config),
        vetting::vetting(config),
        django_sessions(config),
        http_api(config, request_bytes),
        assistants::retrieval(config),
        bridge(config),
        kept(config),
    ]
    .concat()
}

fn saturating_sum(addends: &[Addend], of: impl Fn(&Addend) -> u64) -> u64 {
    addends.iter().map(of).fold(0, u64::saturating_add)
}

impl MemoryBudget {
    /// The same where so many connections may be on routes whose consumers are tasks of the program's own; those whose
    /// connections are gone count too.
    #[must_use]
    pub fn with_tasks(mut self, config: &Config, connections: usize) -> Self {
        let (_, message_bytes) = worst_route(config);
        let each = message_bytes.saturating_add(RECEIVED_BYTES);
        let each = each.saturating_mul(config.consumers.inbox);
        let each = each.saturating_mul(TASKS_PER_CONNECTION);
        let inboxes = addend("messages that wait for tasks", connections, each);
        self.per_connection = self.per_connection.saturating_add(inboxes.each);
        self.total = self.total.saturating_add(inboxes.bytes());
        self.addends.push(inboxes);
        self
    }
}

/// Bytes of the largest queue and of the longest message of any route: all connections may be on one.
fn worst_route(config: &Config) -> (usize, usize) {
    // Routes whose settings cannot be are refused at start.
    let own = config.of_routes().unwrap_or_default();
    let all = std::iter::once(config).chain(&own);
    all.fold((0, 0), |(queue_bytes, message_bytes), route| {
        let entries = route.queue.capacity.saturating_mul(DELIVERY_BYTES);
        (
            queue_bytes.max(route.queue.bytes_max.saturating_add(entries)),
            message_bytes.max(route.limits.message_bytes),
        )
    })
}

/// The site behind this node: a client's request costs `request_bytes`, a socket `kernel_bytes`.
fn upstream(config: &Config, request_bytes: usize, kernel_bytes: usize) -> Vec<Addend> {
    let http = &config.http;
    if http.upstream.is_none() {
        return Vec::new();
    }
    let site_bytes = http
        .upstream_buffer_bytes
        .saturating_mul(2)
        .saturating_add(site::CONNECTION_BYTES)
        .saturating_add(kernel_bytes);
    let both_bytes = kernel_bytes
        .saturating_mul(2)
        .saturating_add(site::WEBSOCKET_BYTES);
    #[rustfmt::skip]
    let addends = vec![
        addend("requests at the site, with the kernel's buffers", http.upstream_requests, request_bytes.saturating_add(site_bytes)),
        addend("connections to the site kept alive", http.upstream_kept_alive, site_bytes),
        addend("the site's WebSockets, with the kernel's buffers", http.upstream_websockets, both_bytes),
    ];
    addends
}

/// The HTTP API, if there is one; a connection of its own listener may occupy `connection_bytes`.
fn http_api(config: &Config, connection_bytes: usize) -> Vec<Addend> {
    let settings = &config.api;
    if !settings.is_on() {
        return Vec::new();
    }
    let has_nodes = config.bridge.mode != BridgeMode::Off;
    let askers = if has_nodes { settings.requests } else { 0 };
    let own = if settings.listen.is_some() {
        settings.requests.saturating_mul(api::CONNECTIONS_EACH)
    } else {
        0
    };
    #[rustfmt::skip]
    let addends = vec![
        addend("API: requests, their bodies and answers", settings.requests, api::request_bytes(settings)),
        addend("API: answers of other nodes", askers, ANSWERS_BYTES_MAX),
        addend("API: ids that are remembered", settings.idempotency_capacity, api::ID_BYTES),
        addend("API: connections of its own listener", own, connection_bytes),
    ];
    addends
}

/// TLS, if the public listener speaks it: what is there beside connections, and what each connection adds.
fn tls_sessions(config: &Config, workers: usize, connections: usize) -> [Vec<Addend>; 2] {
    if !config.tls.is_on() {
        return [Vec::new(), Vec::new()];
    }
    let limits = &config.limits;
    let threads = workers.saturating_add(config.server.control_threads);
    let pages = match config.http.upstream {
        None => limits.kept_alive,
        // A client keeps its place at the site until the whole answer is taken: at most two to a request there.
        Some(_) => limits
            .kept_alive
            .saturating_add(config.http.upstream_requests.saturating_mul(2))
            .saturating_add(config.http.upstream_websockets),
    };
    #[rustfmt::skip]
    let sessions = [
        vec![
            addend("TLS: buffers of threads", threads, tls::SCRATCH_BYTES),
            addend("TLS: handshakes", limits.handshakes, tls::HANDSHAKE_BYTES),
            addend("TLS: connections of pages", pages, tls::SESSION_BYTES + tls::HELD_BYTES),
        ],
        vec![
            addend("TLS: keys", connections, tls::SESSION_BYTES),
            addend("TLS: records read or written in part", connections, tls::HELD_BYTES),
        ],
    ];
    sessions
}

/// The ways to other nodes and to a Django site.
fn bridge(config: &Config) -> Vec<Addend> {
    let [(hosts, host_bytes), (sends, said_bytes)] = django(config);
    let links = match config.bridge.mode {
        BridgeMode::Off => 0,
        BridgeMode::Pubsub | BridgeMode::Streams => config.bridge.urls.len(),
    };
    let streams = if config.bridge.mode == BridgeMode::Streams {
        links
    } else {
        0
    };
    let outgoing = config
        .bridge
        .outbox_capacity
        .saturating_mul(link::OUTGOING_BYTES);
    let outbox_bytes = config.bridge.outbox_bytes.saturating_add(outgoing);
    let arrivals = config.bridge.arrivals_capacity;
    let marks = config
        .bridge
        .marks_capacity
        .saturating_mul(link::MARK_BYTES);
    let marks = marks.saturating_add(link::DIGESTS_BYTES);
    #[rustfmt::skip]
    let addends = vec![
        addend("Django: hosts, and messages from them", hosts, host_bytes),
        addend("Django: users' messages", sends, said_bytes),
        addend("bridge: connections to Redis", links, link::LINK_BYTES),
        addend("bridge: outboxes", links, outbox_bytes),
        addend("bridge: arrivals", links, arrivals.saturating_mul(link::ARRIVAL_BYTES)),
        addend("bridge: what was said last in which room", links - streams, marks),
        addend("bridge: messages that are to come back in order", streams, outbox_bytes),
        addend("bridge: gaps being read", streams, link::GAPS.saturating_mul(link::PAGE_BYTES.saturating_add(worst_route(config).1.saturating_mul(4)))),
    ];
    addends
}

/// What is said and kept.
fn kept(config: &Config) -> Vec<Addend> {
    if config.archive.mode == ArchiveMode::Off {
        return Vec::new();
    }
    // An answer ends with the message that passes its bytes, however long that is: as it is kept, and escaped in its line.
    let longest = worst_route(config).1.saturating_mul(8);
    let shards = match config.archive.mode {
        ArchiveMode::Streams => config.bridge.urls.len().max(1),
        ArchiveMode::Off | ArchiveMode::Journal => 1,
    };
    let readers = vec![
        addend(
            "archive: readers and their answers",
            config.archive.readers,
            api::ARCHIVE_READER_BYTES.saturating_add(longest.saturating_mul(shards)),
        ),
        addend(
            "archive: names of readers",
            config.archive.reader_names,
            archive::READER_NAME_BYTES,
        ),
    ];
    if config.archive.mode == ArchiveMode::Streams {
        return readers;
    }
    let journal = vec![
        addend("archive: the journal's writer", 1, archive::WRITER_BYTES),
        addend(
            "archive: histories being read",
            archive::HISTORIES,
            archive::HISTORY_BYTES.saturating_add(longest),
        ),
        addend(
            "archive: messages to be written",
            1,
            // What is being written has left the queue's count only once it is.
            config.archive.queue_bytes,
        ),
    ];
    [readers, journal].concat()
}

/// Hosts of a Django site's channel layer, and queues of users' messages for it: how many, and bytes
/// of each.
fn django(config: &Config) -> [(usize, usize); 2] {
    let (bridge, channels) = (&config.bridge, &config.channels);
    if !channels.enabled {
        return [(0, 0); 2];
    }
    let host_bytes = channels
        .message_bytes
        .saturating_mul(channel_layer::MESSAGES)
        .saturating_add(channel_layer::HOST_BYTES);
    let sends = [&channels.send_to, &channels.send_to_group];
    let said = bridge.outbox_capacity.saturating_mul(DELIVERY_BYTES);
    [
        (channels.hosts.len(), host_bytes),
        (
            sends.into_iter().flatten().count(),
            bridge.outbox_bytes.saturating_add(said),
        ),
    ]
}

impl fmt::Display for MemoryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A part that is off has none.
        for addend in self
            .addends
            .iter()
            .filter(|addend| addend.count > 0 && addend.each > 0)
        {
            let (count, each) = (addend.count, Bytes(addend.each));
            let sum = Bytes(addend.bytes()).to_string();
            writeln!(f, "  {sum:>12}  {} ({count} x {each})", addend.name)?;
        }
        write!(f, "  {:>12}  in all", Bytes(self.total).to_string())?;
        if let Some(rooms) = &self.redis {
            let (count, each) = (rooms.count, Bytes(rooms.each));
            let sum = Bytes(rooms.bytes()).to_string();
            write!(
                f,
                "\n\nmemory at worst, in Redis\n  {sum:>12}  {count} rooms that spoke within the history's time ({each} each)"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
