//! Every counter of the node in one table: name, help, labels.
//!
//! Worker threads count in plain integers and add them here once per turn, so no atomic is touched
//! per delivery. Labels come from closed sets in the code; nothing a peer sends becomes a label.

use prometheus_client::encoding::text::encode;
pub use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
pub use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::AtomicU64;

/// A counter with one label whose values are a closed set.
pub type Labelled = Family<[(&'static str, &'static str); 1], Counter>;

/// Requests by their endpoint and status: closed sets both.
pub type ApiRequests = Family<[(&'static str, &'static str); 2], Counter>;

/// A gauge with one label whose values are a closed set.
pub type Gauges = Family<[(&'static str, &'static str); 1], Gauge>;

/// A gauge of every worker, by its number.
pub type PerWorker = Family<[(&'static str, usize); 1], Gauge>;

/// Seconds, with one label whose values are a closed set.
pub type Seconds = Family<[(&'static str, &'static str); 1], Gauge<f64, AtomicU64>>;

/// All metrics of one node. Cheap to share behind an `Arc`; every field may be updated from any
/// thread.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    rows: Vec<Row>,
    /// Open WebSocket connections.
    pub connections: Gauge,
    /// Connections handed to a worker since start.
    pub connections_opened: Counter,
    /// Connections that ended, by reason.
    pub connections_closed: Labelled,
    /// Handshakes answered with an HTTP status instead of 101, by reason.
    pub handshakes_refused: Labelled,
    /// Sockets accepted and not yet handed over or closed.
    pub handshakes_in_progress: Gauge,
    /// Connections of pages that were answered and are open for another request.
    pub connections_kept_alive: Gauge,
    /// Requests to the HTTP API, by endpoint and status.
    pub api_requests: ApiRequests,
    /// Failed accepts, by kind.
    pub accept_errors: Labelled,
    /// Rooms with members on this node.
    pub rooms: Gauge,
    /// Connections of a worker, those on their way to it included.
    pub worker_connections: PerWorker,
    /// What a worker carries, in deliveries, as new rooms are placed by it.
    pub worker_load: PerWorker,
    /// Commands accepted, by kind.
    pub commands: Labelled,
    /// Commands answered with an error frame or ignored, by reason.
    pub commands_refused: Labelled,
    /// Frames that broke RFC 6455 or a cap, by kind.
    pub violations: Labelled,
    /// Publications accepted into rooms.
    pub publications: Counter,
    /// Deliveries owed to subscribers.
    pub deliveries_expected: Counter,
    /// Deliveries whose last byte the kernel took.
    pub deliveries_delivered: Counter,
    /// Deliveries dropped, by cause.
    pub deliveries_dropped: Labelled,
    /// Deliveries waiting in subscribers' queues.
    pub deliveries_queued: Gauge,
    /// Residue of the ledger.
    pub unexplained: Gauge,
    /// Times a connection's reading was paused, by reason.
    pub reads_paused: Labelled,
    /// Bytes read from WebSocket connections.
    pub bytes_read: Counter,
    /// Bytes written to WebSocket connections.
    pub bytes_written: Counter,
    /// Write system calls on WebSocket connections.
    pub writes: Counter,
    /// Panics contained to one connection or prompt.
    pub panics: Counter,
    /// Times that settings were read again, by outcome.
    pub reloads: Labelled,
    /// Prompts to the assistant, by outcome.
    pub prompts: Labelled,
    /// Does the way over this Redis work, proven by a canary?
    pub bridge_up: Gauges,
    /// Changes of that state, by the new one.
    pub bridge_changes: Labelled,
    /// Publications that a Redis took.
    pub bridge_published: Counter,
    /// Publications sent once more after a broken connection.
    pub bridge_resent: Counter,
    /// Publications of other nodes that arrived.
    pub bridge_received: Counter,
    /// Of these, those that went into a room here.
    pub bridge_delivered: Counter,
    /// Own envelopes that came back.
    pub bridge_echoes: Counter,
    /// Publications that arrived a second time and were dropped.
    pub bridge_duplicates: Counter,
    /// Publications of other nodes that never arrived.
    pub bridge_gaps: Counter,
    /// Publications dropped on the way, by cause.
    pub bridge_dropped: Labelled,
    /// Publications and marks on their way to Redis.
    pub bridge_outbox: Gauge,
    /// Bytes of publications on their way to Redis.
    pub bridge_outbox_bytes: Gauge,
    /// Rooms subscribed at Redis, by state.
    pub bridge_subscriptions: Gauges,
    /// What the last canary took there and back.
    pub bridge_canary: Seconds,
    /// Envelopes thrown away because this node read too slowly.
    pub bridge_lagged: Counter,
    /// Rooms whose members were welcomed before Redis confirmed the subscription.
    pub bridge_unconfirmed: Counter,
    /// Publications that a stream took.
    pub bridge_appended: Counter,
    /// Publications sent again that a stream had taken already.
    pub bridge_repeated: Counter,
    /// Reads of a room's stream.
    pub bridge_reads: Counter,
    /// Publications that arrived by such a read.
    pub bridge_recovered: Counter,
    /// Streams that began anew or went back.
    pub bridge_resets: Counter,
    /// Own publications that were delivered before they came back.
    pub bridge_recalled: Counter,
    /// Own publications that wait to come back.
    pub bridge_awaited: Gauge,
    /// Rooms by how their order is made.
    pub bridge_rooms: Gauges,
    /// Does the way over this Redis of the channel layer work, proven by a canary?
    pub channels_up: Gauges,
    /// Changes of that state, by the new one.
    pub channels_changes: Labelled,
    /// What the last canary took there and back.
    pub channels_canary: Seconds,
    /// Rooms that are groups, by state.
    pub channels_groups: Gauges,
    /// Messages of the site that arrived.
    pub channels_received: Counter,
    /// Events that were shown to a room or closed it.
    pub channels_delivered: Counter,
    /// Events without effect, by reason.
    pub channels_ignored: Labelled,
    /// Messages that could not be read, by reason.
    pub channels_poison: Labelled,
    /// Users' messages that reached Django, by destination.
    pub channels_sent: Labelled,
    /// Messages dropped, by cause.
    pub channels_dropped: Labelled,
    /// Users' messages on their way to Django.
    pub channels_outbox: Gauge,
    /// Log lines dropped because the log's reader was slow.
    pub log_lines_dropped: Gauge,
    /// Resident memory of the process.
    pub resident: Gauge,
    /// Open file descriptors of the process.
    pub open_fds: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Registers every metric of the table.
    #[must_use]
    #[rustfmt::skip]
    pub fn new() -> Self {
        let mut table = MetricTable::new();
        Self {
            connections: table.gauge("connections", "Open WebSocket connections"),
            connections_opened: table.counter("connections_opened", "Connections handed to a worker since start"),
            connections_closed: table.labelled("connections_closed", "reason", "Connections that ended, by reason"),
            handshakes_refused: table.labelled("handshakes_refused", "reason", "Requests answered with a refusal status, by reason"),
            handshakes_in_progress: table.gauge("handshakes_in_progress", "Sockets accepted and not yet handed over or closed"),
            connections_kept_alive: table.gauge("connections_kept_alive", "Connections of pages that were answered and are open for another request"),
            api_requests: table.api_requests("api_requests", "Requests to the HTTP API, by endpoint and status"),
            accept_errors: table.labelled("accept_errors", "kind", "Failed accepts, by kind"),
            rooms: table.gauge("rooms", "Rooms with members on this node"),
            worker_connections: table.per_worker("worker_connections", "Connections of this worker, those on their way to it included"),
            worker_load: table.per_worker("worker_load", "What this worker carries: 64 for each connection, 256 for each room, 1 for each delivery and 8 for each accept of the last seconds (half-life 8.2 s); new rooms go where it is least"),
            commands: table.labelled("commands", "kind", "Commands accepted, by kind"),
            commands_refused: table.labelled("commands_refused", "reason", "Commands answered with an error frame or ignored, by reason"),
            violations: table.labelled("violations", "kind", "Frames that broke RFC 6455 or a cap, by kind"),
            publications: table.counter("publications", "Publications accepted into rooms"),
            deliveries_expected: table.counter("deliveries_expected", "Deliveries owed to subscribers"),
            deliveries_delivered: table.counter("deliveries_delivered", "Deliveries whose last byte the kernel took"),
            deliveries_dropped: table.labelled("deliveries_dropped", "cause", "Deliveries dropped, by cause"),
            deliveries_queued: table.gauge("deliveries_queued", "Deliveries waiting in subscribers' queues"),
            unexplained: table.gauge("unexplained", "Residue of the ledger: expected minus delivered, dropped and queued; always 0"),
            reads_paused: table.labelled("reads_paused", "reason", "Times a connection's reading was paused, by reason"),
            bytes_read: table.bytes("read", "Bytes read from WebSocket connections"),
            bytes_written: table.bytes("written", "Bytes written to WebSocket connections"),
            writes: table.counter("writes", "Write system calls on WebSocket connections"),
            panics: table.counter("panics", "Panics contained to one connection or prompt"),
            reloads: table.labelled("reloads", "outcome", "Times that settings were read again while the node ran, by outcome: `taken` or `refused`"),
            prompts: table.labelled("prompts", "outcome", "Prompts to the assistant, by outcome"),
            bridge_up: table.gauges("bridge_up", "link", "1 while a canary comes back over this Redis in time, by its place in bridge.urls"),
            bridge_changes: table.labelled("bridge_changes", "state", "Changes of a Redis between up and down, by the new state"),
            bridge_published: table.counter("bridge_published", "Publications that a Redis took"),
            bridge_resent: table.counter("bridge_resent", "Publications sent once more after a broken connection"),
            bridge_received: table.counter("bridge_received", "Publications of other nodes that arrived"),
            bridge_delivered: table.counter("bridge_delivered", "Publications of other nodes that went into a room of this one"),
            bridge_echoes: table.counter("bridge_echoes", "Own envelopes that came back, dropped; with streams, own publications that had been delivered before"),
            bridge_duplicates: table.counter("bridge_duplicates", "Publications that arrived a second time, dropped"),
            bridge_gaps: table.counter("bridge_gaps", "Publications of other nodes that never arrived, counted exactly"),
            bridge_dropped: table.labelled("bridge_dropped", "cause", "Publications dropped between the nodes, by cause: `full` outbox, `expired` in it, `late` or `poison` on arrival, full `mailbox`, `refused` by Redis, not answered by it at `shutdown`"),
            bridge_outbox: table.gauge("bridge_outbox", "Publications and marks on their way to Redis"),
            bridge_outbox_bytes: table.gauge_of_bytes("bridge_outbox", "Their frames"),
            bridge_subscriptions: table.gauges("bridge_subscriptions", "state", "Rooms wanted and rooms confirmed by Redis"),
            bridge_canary: table.seconds("bridge_canary", "link", "Time of the last canary through Redis and back"),
            bridge_lagged: table.counter("bridge_lagged", "Envelopes thrown away because this node read too slowly; the gaps count what was in them"),
            bridge_unconfirmed: table.counter("bridge_unconfirmed", "Rooms whose members were welcomed before Redis confirmed the subscription"),
            bridge_appended: table.counter("bridge_appended", "Publications that a room's stream took"),
            bridge_repeated: table.counter("bridge_repeated", "Publications sent once more that the stream had taken before, dropped by Redis"),
            bridge_reads: table.counter("bridge_reads", "Reads of a room's stream: where it stands, what was missed, `/history`"),
            bridge_recovered: table.counter("bridge_recovered", "Publications that arrived by such a read, not by subscription"),
            bridge_resets: table.counter("bridge_resets", "Streams that began anew or went back: expired, deleted, or lost in a failover"),
            bridge_recalled: table.counter("bridge_recalled", "Own publications that were delivered here because they did not come back within `bridge.order_timeout`"),
            bridge_awaited: table.gauge("bridge_awaited", "Own publications that wait for their place in the order of all nodes"),
            bridge_rooms: table.gauges("bridge_rooms", "state", "Rooms `ordered` with all nodes, those `alone` meanwhile, and of both those `reading` what they missed"),
            channels_up: table.gauges("channels_up", "host", "1 while a canary comes back over this Redis of the Django site in time, by its place in channels.hosts"),
            channels_changes: table.labelled("channels_changes", "state", "Changes of a Redis of the site between up and down, by the new state"),
            channels_canary: table.seconds("channels_canary", "host", "Time of the last canary through Redis and back"),
            channels_groups: table.gauges("channels_groups", "state", "Rooms that are to be groups of the site, and those that are"),
            channels_received: table.counter("channels_received", "Messages of the site that arrived"),
            channels_delivered: table.counter("channels_delivered", "Events that a room was shown, or that closed it"),
            channels_ignored: table.labelled("channels_ignored", "reason", "Events without effect, by reason"),
            channels_poison: table.labelled("channels_poison", "reason", "Messages that could not be read, dropped, by reason"),
            channels_sent: table.labelled("channels_sent", "to", "Users' messages that reached the site, by destination: `worker` or `group`"),
            channels_dropped: table.labelled("channels_dropped", "cause", "Messages dropped between browser and site, by cause: full `outbox`, `expired` in it, `full` channel, `nobody` in the group, `refused` by Redis, `lost` connection, `unwritable` in the format; from the site in layer pubsub: `lagged` reader, full `mailbox`"),
            channels_outbox: table.gauge("channels_outbox", "Users' messages on their way to the site"),
            log_lines_dropped: table.gauge("log_lines_dropped", "Log lines dropped because the log's reader was slow"),
            resident: table.gauge_of_bytes("process_resident_memory", "Resident memory of the process"),
            open_fds: table.gauge("process_open_fds", "Open file descriptors of the process"),
            registry: table.registry,
            rows: table.rows,
        }
    }

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
    fn new() -> Self {
        let mut table = Self {
            registry: Registry::with_prefix("supportal"),
            rows: Vec::new(),
        };
        table.build("Version of this build");
        table
    }

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

    fn seconds(&mut self, name: &'static str, label: &'static str, help: &'static str) -> Seconds {
        let family = Seconds::default();
        self.registry
            .register_with_unit(name, help, Unit::Seconds, family.clone());
        self.rows
            .push((format!("{name}_seconds{{{label}}}"), "gauge", help));
        family
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
