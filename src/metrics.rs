//! Every counter of the node in one table: name, help, labels.
//!
//! Worker threads count in plain integers and add them here once per turn, so no atomic is touched
//! per delivery. Labels come from closed sets in the code; nothing a peer sends becomes a label, but for the names that
//! the archive's readers give themselves, who bring the API's token and are bounded.

use prometheus_client::encoding::text::encode;
pub use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
pub use prometheus_client::metrics::gauge::Gauge;
pub use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::AtomicU64;

/// A counter with one label whose values are a closed set.
pub type Labelled = Family<[(&'static str, &'static str); 1], Counter>;

/// Requests by their endpoint and status: closed sets both.
pub type ApiRequests = Family<[(&'static str, &'static str); 2], Counter>;

/// A gauge with one label whose values are a closed set.
pub type Gauges = Family<[(&'static str, &'static str); 1], Gauge>;

/// A gauge of each reader of the archive, by its name.
pub type PerReader = Family<[(&'static str, String); 1], Gauge>;

/// Seconds of each reader of the archive, by its name.
pub type ReaderSeconds = Family<[(&'static str, String); 1], Gauge<f64, AtomicU64>>;

/// A gauge of every worker, by its number.
pub type PerWorker = Family<[(&'static str, usize); 1], Gauge>;

/// Seconds, with one label whose values are a closed set.
pub type Seconds = Family<[(&'static str, &'static str); 1], Gauge<f64, AtomicU64>>;

/// Upper ends of the classes of a [`Histogram`] of seconds.
const SECONDS: [f64; 12] = [
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0,
];

/// The table: each row is a metric's field, its type, its name, its label if it has one, and what it counts.
macro_rules! metrics {
    ($($field:ident: $type:ty = $make:ident($($name:literal),+) $help:literal;)+) => {
        /// All metrics of one node. Cheap to share behind an `Arc`; every field may be updated from any
        /// thread.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Registry,
            rows: Vec<Row>,
            $(
                #[doc = $help]
                pub $field: $type,
            )+
        }

        impl Metrics {
            /// Registers every metric of the table.
            #[must_use]
            pub fn new() -> Self {
                let registry = Registry::with_prefix("supportal");
                let mut table = MetricTable { registry, rows: Vec::new() };
                table.build("Version of this build");
                Self {
                    $($field: table.$make($($name,)+ $help),)+
                    registry: table.registry,
                    rows: table.rows,
                }
            }
        }
    };
}

#[rustfmt::skip]
metrics! {
    connections: Gauge = gauge("connections") "Open WebSocket connections";
    connections_opened: Counter = counter("connections_opened") "Connections handed to a worker since start";
    connections_closed: Labelled = labelled("connections_closed", "reason") "Connections that ended, by reason";
    slow_readers_closed: Labelled = labelled("slow_readers_closed", "cause") "Slow readers given up, by cause: `overflow` of a queue (4008), `still` for too long while something waited (4010), want of `memory` (1013)";
    auth_refused: Labelled = labelled("auth_refused", "cause") "Handshakes refused for who comes or with what (`auth.mode`), by cause";
    handshakes_refused: Labelled = labelled("handshakes_refused", "reason") "Requests answered with a refusal status, by reason";
    proxy_unbelieved: Counter = counter("proxy_unbelieved") "Requests and connections that say something where a proxy of `proxy.trusted` would (`proxy.header`), from an address that is none";
    handshakes_in_progress: Gauge = gauge("handshakes_in_progress") "Sockets accepted and not yet handed over or closed";
    connections_kept_alive: Gauge = gauge("connections_kept_alive") "Connections of pages that were answered and are open for another request";
    api_requests: ApiRequests = api_requests("api_requests") "Requests to the HTTP API, by endpoint and status";
    upstream_answers: Labelled = labelled("upstream_answers", "status") "Answers of the site behind this node (`http.upstream`), by class of status; `101` for a WebSocket that it accepted";
    upstream_errors: Labelled = labelled("upstream_errors", "reason") "Requests that the site did not answer, or not to the end, by reason: no `connect`, `connect_timeout`, `head_timeout`, `closed` before the answer, `malformed` answer, wrong `upgrade`, a `body` that broke off, `idle_timeout` in one";
    upstream_requests: Gauge = gauge("upstream_requests") "Requests at the site";
    upstream_websockets: Gauge = gauge("upstream_websockets") "The site's WebSockets that are passed through";
    accept_errors: Labelled = labelled("accept_errors", "kind") "Failed accepts, by kind";
    tls_handshakes: Labelled = labelled("tls_handshakes", "kind") "TLS handshakes that succeeded: `full`, or `resumed` by a session ticket";
    tls_handshakes_failed: Labelled = labelled("tls_handshakes_failed", "reason") "TLS handshakes that failed, by reason: `alert` of the client, no `alpn` protocol in common, `closed` by it, `incompatible` versions or suites, `malformed`, `not_tls`, `plain_http`, a trusted proxy without its `proxy` header, `other`";
    tls_certificate_expiry: Gauge = gauge_of_seconds("tls_certificate_expiry") "When the first of the certificates in use expires, as Unix time; 0 without TLS";
    rooms: Gauge = gauge("rooms") "Rooms with members on this node";
    worker_connections: PerWorker = per_worker("worker_connections") "Connections of this worker, those on their way to it included";
    worker_load: PerWorker = per_worker("worker_load") "What this worker carries: 64 for each connection, 256 for each room, 1 for each delivery and 8 for each accept of the last seconds (half-life 8.2 s); new rooms go where it is least";
    commands: Labelled = labelled("commands", "kind") "Commands accepted, by kind";
    commands_refused: Labelled = labelled("commands_refused", "reason") "Commands answered with an error frame or ignored, by reason";
    violations: Labelled = labelled("violations", "kind") "Frames that broke RFC 6455 or a cap, by kind";
    publications: Counter = counter("publications") "Publications accepted into rooms";
    deliveries_expected: Counter = counter("deliveries_expected") "Deliveries owed to subscribers";
    deliveries_delivered: Counter = counter("deliveries_delivered") "Deliveries whose last byte the kernel took";
    deliveries_dropped: Labelled = labelled("deliveries_dropped", "cause") "Deliveries dropped, by cause";
    deliveries_queued: Gauge = gauge("deliveries_queued") "Deliveries waiting in subscribers' queues";
    unexplained: Gauge = gauge("unexplained") "Residue of the ledger: expected minus delivered, dropped and queued; always 0";
    reads_paused: Labelled = labelled("reads_paused", "reason") "Times a connection's reading was paused, by reason";
    bytes_read: Counter = bytes("read") "Bytes read from WebSocket connections";
    bytes_written: Counter = bytes("written") "Bytes written to WebSocket connections";
    writes: Counter = counter("writes") "Write system calls on WebSocket connections";
    panics: Counter = counter("panics") "Panics contained to one connection or prompt";
    quota_refused: Labelled = labelled("quota_refused", "scope") "Messages, handshakes and connections refused as the connections of one `room`, `user`, `business`, `address` or the `node` used too much together";
    reloads: Labelled = labelled("reloads", "outcome") "Times that settings were read again while the node ran, by outcome: `taken` or `refused`";
    prompts: Labelled = labelled("prompts", "outcome") "Prompts to the assistant, by outcome";
    vets: Labelled = labelled("vet", "result") "Messages shown to the site before they are published (`chat.vet`), by result: `passed`, `changed`, `refused`; or why the site has not said so, and `vet.on_timeout` decided: `full` (`vet.queue_bytes`), `timeout`, no `connect`, `broken_off`, `server_error`, `client_error`, `redirect`, `encoded`, `not_json`, `malformed`, `too_long`, or `stopped` with the node";
    vet_open: Gauge = gauge("vet_open") "Messages that are being vetted";
    vet_time: Histogram = histogram("vet") "Time that a message waited to be vetted";
    assistant_answers: Labelled = labelled("assistant_answers", "outcome") "Questions to the model (`openai`) or the site (`webhook`), by outcome: `ok`, `later` and `unwanted` (`webhook`), `cancelled` as nobody waited any more, or why the customer got the apology";
    assistant_contexts: Labelled = labelled("assistant_contexts", "outcome") "Rooms of which the site was asked what was said in them before (`assistant.openai.context_url`), by outcome: `found`, `nothing` there, `refused` (401, 403), another `status`, or why there was no answer";
    assistant_answers_open: Gauge = gauge("assistant_answers_open") "Questions that the model or the site is answering";
    assistant_retries: Counter = counter("assistant_retries") "Questions that the model or the site was asked once more before the first word of an answer";
    assistant_breaker_open: Gauge = gauge("assistant_breaker_open") "1 while the model or the site has failed so often that nobody asks it, or nobody of one business (`breaker_failures`)";
    assistant_first_token: Histogram = histogram("assistant_first_token") "Time from a question to the first word of the answer of a model or the site, tries that failed included";
    assistant_answer: Histogram = histogram("assistant_answer") "Time from a question to the last word of the answer of a model or the site";
    bridge_up: Gauges = gauges("bridge_up", "link") "1 while a canary comes back over this Redis in time, by its place in bridge.urls";
    bridge_changes: Labelled = labelled("bridge_changes", "state") "Changes of a Redis between up and down, by the new state";
    bridge_published: Counter = counter("bridge_published") "Publications that a Redis took";
    bridge_resent: Counter = counter("bridge_resent") "Publications sent once more after a broken connection";
    bridge_received: Counter = counter("bridge_received") "Publications that arrived: of other nodes, in mode `streams` own ones too";
    bridge_delivered: Counter = counter("bridge_delivered") "Publications of other nodes that went into a room of this one";
    bridge_echoes: Counter = counter("bridge_echoes") "Own envelopes that came back, dropped; with streams, own publications that had been delivered before";
    bridge_duplicates: Counter = counter("bridge_duplicates") "Publications that arrived a second time, dropped; with streams, also those sent once more after a failover had lost them";
    bridge_gaps: Counter = counter("bridge_gaps") "Publications of other nodes that never arrived, counted exactly";
    bridge_digests: Counter = counter("bridge_digests") "Digests of marks, and questions for them, that this node published (`pubsub`)";
    bridge_marks_forgotten: Counter = counter("bridge_marks_forgotten") "Rooms whose last number was forgotten for want of room (`bridge.marks_capacity`): of one that has ended since, a node that returns does not count what it missed at the end";
    bridge_dropped: Labelled = labelled("bridge_dropped", "cause") "Publications dropped between the nodes, by cause: `full` outbox, `expired` in it, `late` or `poison` on arrival, full `mailbox`, `refused` by Redis, not answered by it at `shutdown`";
    bridge_outbox: Gauge = gauge("bridge_outbox") "Publications on their way to Redis";
    bridge_outbox_bytes: Gauge = gauge_of_bytes("bridge_outbox") "Their frames";
    bridge_subscriptions: Gauges = gauges("bridge_subscriptions", "state") "Rooms wanted and rooms confirmed by Redis";
    bridge_canary: Seconds = seconds("bridge_canary", "link") "Time of the last canary through Redis and back";
    bridge_lagged: Counter = counter("bridge_lagged") "Envelopes thrown away because this node read too slowly; the gaps count what was in them";
    bridge_unconfirmed: Counter = counter("bridge_unconfirmed") "Rooms whose members were welcomed before a Redis that was there confirmed the subscription";
    bridge_appended: Counter = counter("bridge_appended") "Publications that a room's stream took";
    bridge_repeated: Counter = counter("bridge_repeated") "Publications sent once more that the stream had taken before, dropped by Redis";
    bridge_reads: Counter = counter("bridge_reads") "Reads of a room's stream: where it stands, what was missed, `/history`";
    bridge_recovered: Counter = counter("bridge_recovered") "Publications that arrived by such a read, not by subscription";
    bridge_resets: Counter = counter("bridge_resets") "Rooms that began a new epoch: a failover, or their keys (stream and origins) are gone";
    bridge_recalled: Counter = counter("bridge_recalled") "Own publications that were delivered here because they did not come back within `bridge.order_timeout`";
    bridge_awaited: Gauge = gauge("bridge_awaited") "Own publications that wait for their place in the order of all nodes";
    bridge_nodes: Gauges = gauges("bridge_nodes", "state") "Other nodes that are `heard` over Redis, and those among them that are `differing`: another list of Redis, mode or version of the format than here";
    bridge_rooms: Gauges = gauges("bridge_rooms", "state") "Rooms `ordered` with all nodes, those `alone` meanwhile, and of both those `reading` what they missed";
    channels_up: Gauges = gauges("channels_up", "host") "1 while a canary comes back over this Redis of the Django site in time, by its place in channels.hosts";
    channels_changes: Labelled = labelled("channels_changes", "state") "Changes of a Redis of the site between up and down, by the new state";
    channels_canary: Seconds = seconds("channels_canary", "host") "Time of the last canary through Redis and back";
    channels_groups: Gauges = gauges("channels_groups", "state") "Rooms that are to be groups of the site, and those that are; not those whose key is something else";
    channels_received: Counter = counter("channels_received") "Messages of the site that arrived";
    channels_delivered: Counter = counter("channels_delivered") "Events that a room was shown, or that closed it";
    channels_ignored: Labelled = labelled("channels_ignored", "reason") "Events without effect, by reason";
    channels_poison: Labelled = labelled("channels_poison", "reason") "Messages that could not be read, dropped, by reason";
    channels_sent: Labelled = labelled("channels_sent", "to") "Users' messages that reached the site, by destination: `worker` or `group`";
    channels_dropped: Labelled = labelled("channels_dropped", "cause") "Messages dropped between browser and site, by cause: full `outbox`, `expired` in it, `full` channel, `nobody` in the group, `refused` by Redis, `lost` connection, `unwritable` in the format; from the site in layer core: `cut`, one that may have been on its way when the connection broke; in layer pubsub: `lagged` reader, full `mailbox`";
    channels_foreign_keys: Labelled = labelled("channels_foreign_keys", "whose") "Keys of the site's Redis that hold something else, as often as they were met: a `group` that cannot be joined, or the node's `own`, which were deleted";
    channels_outbox: Gauge = gauge("channels_outbox") "Users' messages on their way to the site";
    auth_jwks: Labelled = labelled("auth_jwks", "outcome") "Fetches of the JWK set at the address of `auth.jwt.jwks`, by outcome: a `set`, `no_answer`, an answer that is `no_set`; and sets that counted no more, `too_old` (`auth.jwt.jwks_max_age`)";
    auth_questions: Labelled = labelled("auth_questions", "outcome") "Questions to the site who somebody is (`auth.forward`), by outcome";
    auth_spared: Labelled = labelled("auth_spared", "by") "Handshakes about which the site was not asked: let in by what the `cache` remembers, or waiting for the answer to the same question (`company`)";
    archive_written: Counter = counter("archive_written") "Messages that are in the archive's journal, synced to the disk";
    archive_dropped: Labelled = labelled("archive_dropped", "cause") "Messages that are not kept, by cause: the `queue` was full, since the disk is slow, full or out of order; not written by `shutdown`";
    archive_trimmed: Labelled = labelled("archive_trimmed", "cause") "Messages removed from the journal, by cause: older than `archive.expiry`, or to stay below `archive.bytes_max` (`bytes`)";
    archive_failures: Labelled = labelled("archive_failures", "kind") "Faults of the archive, by kind. Of the journal, most of them of attempts to write it: `full` journal or disk, `damaged` file, `torn` off at its end, `replaced` or removed under the node, `failed` otherwise. Of streams, when they are read: a record that is `unreadable`, a Redis that is left out of an answer (`unanswered`)";
    archive_queue: Gauge = gauge("archive_queue") "Messages on their way to the journal";
    archive_queue_bytes: Gauge = gauge_of_bytes("archive_queue") "What they occupy";
    archive_events: Gauge = gauge("archive_events") "Messages in the journal";
    archive_lag: PerReader = per_reader("archive_lag") "Messages behind the place from which this reader of the archive (`reader=`) asked last";
    archive_lag_time: ReaderSeconds = reader_seconds("archive_lag") "Age of the oldest of them; 0 without any";
    retrieval_searches: Labelled = labelled("retrieval_searches", "outcome") "Searches for what an answer may stand on, by outcome: `found`, `nothing` there, `no_embedding` of the question, one of another `dimension` than the documents', no end before the `timeout`, or `panicked`";
    retrieval_reads: Labelled = labelled("retrieval_reads", "outcome") "Times that the files of a business were read for retrieval, by outcome: `taken`, `absent`, or what was wrong with them";
    retrieval_embeddings: Labelled = labelled("retrieval_embeddings", "outcome") "Embeddings of questions, by outcome: `answered`, `remembered`, waited for in `company` of the same question, or why there was none";
    retrieval_evicted: Counter = counter("retrieval_evicted") "Businesses that made room for others (`retrieval.bytes_max`, `retrieval.businesses`)";
    retrieval_businesses: Gauge = gauge("retrieval_businesses") "Businesses whose documents are in memory";
    retrieval_bytes: Gauge = gauge_of_bytes("retrieval") "Memory of these documents";
    log_lines_dropped: Gauge = gauge("log_lines_dropped") "Log lines dropped because the log's reader was slow";
    memory_used: Gauge = gauge_of_bytes("memory_used") "Memory that is held against `limits.memory`: the container's or the process's; 0 without a limit";
    memory_limit: Gauge = gauge_of_bytes("memory_limit") "Memory to stay under (`limits.memory`); 0 = no limit";
    memory_shedding: Gauges = gauges("memory_shedding", "step") "1 while memory is so short that this is given up: new `handshakes`, most of the `queues` of slow readers, the slowest `readers`";
    memory_shed: Counter = counter("memory_shed_deliveries") "Deliveries dropped from the queues of slow readers for want of memory; they are among the dropped for `capacity` or, with their readers, `closed`";
    resident: Gauge = gauge_of_bytes("process_resident_memory") "Resident memory of the process";
    open_fds: Gauge = gauge("process_open_fds") "Open file descriptors of the process";
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// The exposition text (OpenMetrics 1.0, which Prometheus reads).
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(8 * 1024);
        // Writing into a String cannot fail; an empty answer would be visible at once.
        if encode(&mut text, &self.registry).is_err() {
            text.clear();
        }
        text
    }
}

/// Adds one to the series of a [`Labelled`] metric.
pub fn count(metric: &Labelled, name: &'static str, value: &'static str) {
    metric.get_or_create(&[(name, value)]).inc();
}

/// Adds `number`, unless that is none, to the series of a [`Labelled`] metric.
pub fn count_all(metric: &Labelled, name: &'static str, value: &'static str, number: u64) {
    if number > 0 {
        metric.get_or_create(&[(name, value)]).inc_by(number);
    }
}

/// Makes the series of these values appear at zero: an alert on a rate must not wait for the first event.
pub fn declare(
    metric: &Labelled,
    name: &'static str,
    values: impl IntoIterator<Item = &'static str>,
) {
    for value in values {
        drop(metric.get_or_create(&[(name, value)]));
    }
}

/// Sets a gauge of things that are counted.
pub fn set(gauge: &Gauge, number: usize) {
    gauge.set(number.cast_signed() as i64);
}

/// The table as Markdown, for the manual.
#[must_use]
pub fn markdown() -> String {
    let mut out = String::from("| metric | kind | meaning |\n|---|---|---|\n");
    for (name, kind, help) in Metrics::new().rows {
        out.push_str(&format!("| `supportal_{name}` | {kind} | {help} |\n"));
    }
    out
}

/// A row of the manual's table: exposed name without prefix, kind, help.
type Row = (String, &'static str, &'static str);

struct MetricTable {
    registry: Registry,
    rows: Vec<Row>,
}

impl MetricTable {
    fn build(&mut self, help: &'static str) {
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        self.registry.register("build", help, Info::new(version));
        self.rows
            .push(("build_info{version}".to_owned(), "info", help));
    }

    fn counter(&mut self, name: &'static str, help: &'static str) -> Counter {
        let counter = Counter::default();
        self.registry.register(name, help, counter.clone());
        self.rows.push((format!("{name}_total"), "counter", help));
        counter
    }

    fn bytes(&mut self, name: &'static str, help: &'static str) -> Counter {
        let counter = Counter::default();
        self.registry
            .register_with_unit(name, help, Unit::Bytes, counter.clone());
        self.rows
            .push((format!("{name}_bytes_total"), "counter", help));
        counter
    }

    fn api_requests(&mut self, name: &'static str, help: &'static str) -> ApiRequests {
        let family = ApiRequests::default();
        self.registry.register(name, help, family.clone());
        self.rows
            .push((format!("{name}_total{{endpoint,status}}"), "counter", help));
        family
    }

    fn labelled(
        &mut self,
        name: &'static str,
        label: &'static str,
        help: &'static str,
    ) -> Labelled {
        let family = Labelled::default();
        self.registry.register(name, help, family.clone());
        self.rows
            .push((format!("{name}_total{{{label}}}"), "counter", help));
        family
    }

    fn gauge(&mut self, name: &'static str, help: &'static str) -> Gauge {
        let gauge = Gauge::default();
        self.registry.register(name, help, gauge.clone());
        self.rows.push((name.to_owned(), "gauge", help));
        gauge
    }

    fn gauges(&mut self, name: &'static str, label: &'static str, help: &'static str) -> Gauges {
        let family = Gauges::default();
        self.registry.register(name, help, family.clone());
        self.rows
            .push((format!("{name}{{{label}}}"), "gauge", help));
        family
    }

    fn per_worker(&mut self, name: &'static str, help: &'static str) -> PerWorker {
        let family = PerWorker::default();
        self.registry.register(name, help, family.clone());
        self.rows.push((format!("{name}{{worker}}"), "gauge", help));
        family
    }

    fn per_reader(&mut self, name: &'static str, help: &'static str) -> PerReader {
        let family = PerReader::default();
        self.registry.register(name, help, family.clone());
        self.rows.push((format!("{name}{{reader}}"), "gauge", help));
        family
    }

    fn reader_seconds(&mut self, name: &'static str, help: &'static str) -> ReaderSeconds {
        let family = ReaderSeconds::default();
        self.registry
            .register_with_unit(name, help, Unit::Seconds, family.clone());
        self.rows
            .push((format!("{name}_seconds{{reader}}"), "gauge", help));
        family
    }

    fn seconds(&mut self, name: &'static str, label: &'static str, help: &'static str) -> Seconds {
        let family = Seconds::default();
        self.registry
            .register_with_unit(name, help, Unit::Seconds, family.clone());
        self.rows
            .push((format!("{name}_seconds{{{label}}}"), "gauge", help));
        family
    }

    fn histogram(&mut self, name: &'static str, help: &'static str) -> Histogram {
        let histogram = Histogram::new(SECONDS);
        self.registry
            .register_with_unit(name, help, Unit::Seconds, histogram.clone());
        self.rows
            .push((format!("{name}_seconds"), "histogram", help));
        histogram
    }

    fn gauge_of_seconds(&mut self, name: &'static str, help: &'static str) -> Gauge {
        let gauge = Gauge::default();
        self.registry
            .register_with_unit(name, help, Unit::Seconds, gauge.clone());
        self.rows.push((format!("{name}_seconds"), "gauge", help));
        gauge
    }

    fn gauge_of_bytes(&mut self, name: &'static str, help: &'static str) -> Gauge {
        let gauge = Gauge::default();
        self.registry
            .register_with_unit(name, help, Unit::Bytes, gauge.clone());
        self.rows.push((format!("{name}_bytes"), "gauge", help));
        gauge
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_carries_prefix_labels_and_help() {
        let metrics = Metrics::new();
        count(&metrics.deliveries_dropped, "cause", "expired");
        let text = metrics.text();
        assert!(
            text.contains("supportal_deliveries_dropped_total{cause=\"expired\"} 1"),
            "{text}"
        );
        assert!(text.contains("# HELP supportal_unexplained "));
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn the_markdown_names_every_metric_once() {
        let table = markdown();
        assert!(
            table.contains("| `supportal_connections` | gauge | Open WebSocket connections |"),
            "{table}"
        );
        assert_eq!(
            table
                .matches("supportal_deliveries_dropped_total{cause}")
                .count(),
            1
        );
    }
}
