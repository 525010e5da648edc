//! What is measured: the rows of the published table, and the goals that hold for them.

use super::growth;
use serde::{Deserialize, Serialize};

/// A figure of one measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Metric {
    /// Key in the raw data.
    pub(crate) key: &'static str,
    /// Head of the column.
    pub(crate) label: &'static str,
    /// Digits after the point.
    pub(crate) digits: usize,
    /// A column with the ratio to the baseline follows.
    pub(crate) ratio: bool,
}

/// What ratios are taken to: always the measurement of the same round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Baseline {
    /// Nothing.
    #[default]
    None,
    /// The same case of this peer.
    Peer(&'static str),
    /// This case of the same peer.
    Case(&'static str),
}

/// One row of flags, measured against every peer.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Case {
    /// Name for `--only`.
    pub(crate) name: String,
    /// Heading.
    pub(crate) title: String,
    /// Scenario and flags.
    pub(crate) flags: Vec<String>,
    /// Seconds measured.
    pub(crate) seconds: f64,
    /// Columns.
    #[serde(skip)]
    pub(crate) metrics: &'static [Metric],
    /// Ratios to what.
    #[serde(skip)]
    pub(crate) baseline: Baseline,
    /// Heading of the table it shares with others; only this server is measured, and each row is compared with the first.
    #[serde(skip)]
    pub(crate) table: Option<&'static str>,
    /// Worker threads of this server.
    #[serde(skip)]
    pub(crate) workers: usize,
}

/// What a measure must reach.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Goal {
    pub(crate) case: &'static str,
    pub(crate) metric: &'static str,
    pub(crate) against: Against,
    /// At most this, or for [`Against::Over`] at least.
    pub(crate) limit: f64,
}

/// What the limit of a goal counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Against {
    /// Ours divided by this peer's.
    Peer(&'static str),
    /// Ours divided by our own of this case.
    Case(&'static str),
    /// This peer's divided by ours: the more, the better.
    Over(&'static str),
    /// Ours itself.
    Value,
}

pub(super) const fn metric(
    key: &'static str,
    label: &'static str,
    digits: usize,
    ratio: bool,
) -> Metric {
    Metric {
        key,
        label,
        digits,
        ratio,
    }
}

pub(super) const MISSING: Metric = metric("missing", "missing", 0, false);
const DELIVERIES: &[Metric] = &[
    metric("deliveries_per_second", "deliveries/s", 0, false),
    metric("cpu_micros_per_delivery", "CPU µs/delivery", 3, true),
    metric("p50_ms", "p50 ms", 2, false),
    metric("p99_ms", "p99 ms", 2, false),
    metric("p999_ms", "p99.9 ms", 2, false),
    MISSING,
];
const OPEN: &[Metric] = &[
    metric("deliveries_per_second", "deliveries/s", 0, false),
    metric("cpu_micros_per_delivery", "CPU µs/delivery", 2, true),
    metric("p50_ms", "p50 ms", 2, true),
    metric("p99_ms", "p99 ms", 2, true),
    metric("p999_ms", "p99.9 ms", 2, false),
    MISSING,
];
const IDLE: &[Metric] = &[
    metric("rss_empty_mb", "RSS empty MB", 2, false),
    metric("rss_opened_mb", "RSS opened MB", 2, false),
    metric("idle_kib", "KiB/connection", 3, true),
    metric("end_kib", "KiB after one message each", 3, true),
    metric("opened_per_second", "connects/s", 0, false),
    MISSING,
];
const CONNECT: &[Metric] = &[
    metric("lives_per_second", "handshakes/s", 0, false),
    metric("cpu_micros_per_life", "CPU µs/handshake", 1, true),
    metric("handshake_p99_ms", "p99 ms", 2, false),
    MISSING,
];
const SLOW: &[Metric] = &[
    metric("p50_ms", "healthy p50 ms", 2, false),
    metric("p99_ms", "healthy p99 ms", 2, true),
    metric("growth_mb", "RSS growth MB", 2, false),
    metric("server_cpu", "cores", 2, false),
    metric("slow_missed", "dropped for slow", 0, false),
    metric("slow_closed", "slow closed", 0, false),
    MISSING,
];

/// Name, title, flags, seconds, columns, baseline.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    f64,
    &'static [Metric],
    Baseline,
);

const FLOOR: Baseline = Baseline::Peer("floor");
const COALESCE: Baseline = Baseline::Peer("floor-coalesce");

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("echo-200", "echo, 200 connections", "echo -c 200", 2.0, DELIVERIES, FLOOR),
    ("echo-2000", "echo, 2,000 connections", "echo -c 2000", 2.0, DELIVERIES, FLOOR),
    ("fanout-1x1000", "fan-out, 1 room of 1,000", "fanout --rooms 1 --members 1000", 2.0, DELIVERIES, FLOOR),
    ("fanout-100x10", "fan-out, 100 rooms of 10", "fanout --rooms 100 --members 10", 2.0, DELIVERIES, FLOOR),
    ("busy-1x1000", "busy room of 1,000: 10 publishers, window 4",
        "fanout --rooms 1 --members 1000 --publishers 10 --window 4", 2.0, DELIVERIES, COALESCE),
    ("open-5k", "open loop, 5,000 deliveries/s (10 rooms of 100)",
        "fanout --rooms 10 --members 100 --rate 50", 3.0, OPEN, FLOOR),
    ("open-50k", "open loop, 50,000 deliveries/s (10 rooms of 100)",
        "fanout --rooms 10 --members 100 --rate 500", 3.0, OPEN, FLOOR),
    ("idle-10000", "10,000 idle, each in its own room", "idle -c 10000", 4.0, IDLE, FLOOR),
    ("connect", "connect, upgrade, close", "connect --silent", 2.0, CONNECT, FLOOR),
    ("slow-none", "200 readers of 4 kB messages, all read (for comparison)", "slow --stopped 0", 4.0, SLOW, FLOOR),
    ("slow", "20 of 200 readers stopped, 4 kB messages", "slow --stopped 20", 4.0, SLOW, Baseline::Case("slow-none")),
];

/// Every case of the table.
pub(crate) fn all() -> Vec<Case> {
    ROWS.iter()
        .map(|&(name, title, flags, seconds, metrics, baseline)| Case {
            name: name.to_owned(),
            title: title.to_owned(),
            flags: flags.split_whitespace().map(str::to_owned).collect(),
            seconds,
            metrics,
            baseline,
            table: None,
            workers: 1,
        })
        .collect()
}

/// Those and the ones of `--growth`.
pub(crate) fn known() -> Vec<Case> {
    let mut all = all();
    all.extend(growth::all());
    all
}

/// A case of the user's own, named by its flags.
pub(crate) fn custom(flags: &str, seconds: f64) -> Case {
    let open = flags.contains("--rate");
    Case {
        name: flags
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join("-"),
        title: flags.to_owned(),
        flags: flags.split_whitespace().map(str::to_owned).collect(),
        seconds,
        metrics: if open { OPEN } else { DELIVERIES },
        baseline: FLOOR,
        table: None,
        workers: 1,
    }
}

/// The goals.
pub(crate) fn goals() -> Vec<Goal> {
    use Against::{Case, Over, Peer, Value};
    let goal = |case, metric, against, limit| Goal {
        case,
        metric,
        against,
        limit,
    };
    let cpu = "cpu_micros_per_delivery";
    vec![
        goal("echo-200", cpu, Peer("floor"), 1.12),
        goal("echo-2000", cpu, Peer("floor"), 1.15),
        goal("fanout-1x1000", cpu, Peer("floor"), 1.03),
        goal("fanout-1x1000", cpu, Peer("bun"), 1.0),
        goal("fanout-1x1000", "p99_ms", Peer("bun"), 1.0),
        goal("fanout-100x10", cpu, Peer("floor"), 1.0),
        goal("busy-1x1000", cpu, Peer("floor-coalesce"), 1.1),
        goal("busy-1x1000", cpu, Peer("bun"), 1.0),
        goal("open-5k", "p50_ms", Peer("floor"), 1.1),
        goal("open-5k", "p99_ms", Peer("floor"), 1.1),
        goal("open-50k", "p50_ms", Peer("floor"), 1.1),
        goal("open-50k", "p99_ms", Peer("floor"), 1.1),
        goal("idle-10000", "idle_kib", Value, 0.60),
        goal("connect", "cpu_micros_per_life", Peer("floor"), 1.2),
        goal("connect", "cpu_micros_per_life", Peer("bun"), 1.0),
        goal("slow", "p99_ms", Case("slow-none"), 1.2),
        // 20 queues of `queue.bytes_max` (256 KiB).
        goal("slow", "growth_mb", Value, 5.3),
        goal("echo-200", cpu, Over("channels-uvicorn"), 60.0),
        goal("fanout-100x10", cpu, Over("channels-uvicorn"), 60.0),
    ]
}
