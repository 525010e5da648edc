//! What `compare` measures: the rows of the published table with their goals, and those of `--growth`.

use crate::campaign::{Against, Baseline, Case, Goal, Metric, metric};
use std::borrow::Cow;

const RATE: Metric = metric("deliveries_per_second", "deliveries/s", 0, false);
const P50: Metric = metric("p50_ms", "p50 ms", 2, false);
const P99: Metric = metric("p99_ms", "p99 ms", 2, false);
const P999: Metric = metric("p999_ms", "p99.9 ms", 2, false);
const MISSING: Metric = metric("missing", "missing", 0, false);
const CPU: &str = "cpu_micros_per_delivery";
const CPU_LABEL: &str = "CPU µs/delivery";
const DELIVERIES: &[Metric] = &[
    RATE,
    metric(CPU, CPU_LABEL, 3, true),
    P50,
    P99,
    P999,
    MISSING,
];
const OPEN: &[Metric] = &[
    RATE,
    metric(CPU, CPU_LABEL, 2, true),
    metric("p50_ms", "p50 ms", 2, true),
    metric("p99_ms", "p99 ms", 2, true),
    P999,
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
const GROWTH: &[Metric] = &[RATE, metric(CPU, CPU_LABEL, 2, true), P50, P99, MISSING];

/// Seconds of a case of `--growth`: the cheapest one uses some 200 ms of CPU time in them, which the kernel counts in steps of 10.
const GROWTH_SECONDS: f64 = 2.0;
/// Seconds of a case of the user's own.
const CUSTOM_SECONDS: f64 = 5.0;

const FLOOR: Baseline = Baseline::Peer(Cow::Borrowed("floor"));
const COALESCE: Baseline = Baseline::Peer(Cow::Borrowed(super::peers::COALESCE));
const NONE_STOPPED: Baseline = Baseline::Case(Cow::Borrowed("slow-none"));

/// Ours to this peer's.
const fn to(metric: &'static str, peer: &'static str, limit: f64) -> Goal {
    Goal::of(metric, Against::Peer(Cow::Borrowed(peer)), limit)
}

/// CPU of Django Channels over ours.
const fn over_python(limit: f64) -> Goal {
    Goal::of(CPU, Against::Over(Cow::Borrowed("channels-uvicorn")), limit)
}

/// Name, title, flags, seconds, columns, baseline, goals.
type CaseRow = (
    &'static str,
    &'static str,
    &'static str,
    f64,
    &'static [Metric],
    Baseline,
    &'static [Goal],
);

#[rustfmt::skip]
const ROWS: &[CaseRow] = &[
    ("echo-200", "echo, 200 connections", "echo -c 200", 2.0, DELIVERIES, FLOOR,
        &[to(CPU, "floor", 1.12), over_python(60.0)]),
    ("echo-2000", "echo, 2,000 connections", "echo -c 2000", 2.0, DELIVERIES, FLOOR,
        &[to(CPU, "floor", 1.15)]),
    ("fanout-1x1000", "fan-out, 1 room of 1,000", "fanout --rooms 1 --members 1000", 2.0, DELIVERIES, FLOOR,
        &[to(CPU, "floor", 1.03), to(CPU, "bun", 1.0), to("p99_ms", "bun", 1.0)]),
    ("fanout-100x10", "fan-out, 100 rooms of 10", "fanout --rooms 100 --members 10", 2.0, DELIVERIES, FLOOR,
        &[to(CPU, "floor", 1.0), over_python(60.0)]),
    ("busy-1x1000", "busy room of 1,000: 10 publishers, window 4",
        "fanout --rooms 1 --members 1000 --publishers 10 --window 4", 2.0, DELIVERIES, COALESCE,
        &[to(CPU, "floor-coalesce", 1.1), to(CPU, "bun", 1.0)]),
    ("open-5k", "open loop, 5,000 deliveries/s (10 rooms of 100)",
        "fanout --rooms 10 --members 100 --rate 50", 3.0, OPEN, FLOOR,
        &[to("p50_ms", "floor", 1.1), to("p99_ms", "floor", 1.1)]),
    ("open-50k", "open loop, 50,000 deliveries/s (10 rooms of 100)",
        "fanout --rooms 10 --members 100 --rate 500", 3.0, OPEN, FLOOR,
        &[to("p50_ms", "floor", 1.1), to("p99_ms", "floor", 1.1)]),
    ("idle-10000", "10,000 idle, each in its own room", "idle -c 10000", 4.0, IDLE, FLOOR,
        &[Goal::of("idle_kib", Against::Value, 0.60)]),
    ("connect", "connect, upgrade, close", "connect --silent", 2.0, CONNECT, FLOOR,
        &[to("cpu_micros_per_life", "floor", 1.2), to("cpu_micros_per_life", "bun", 1.0)]),
    ("slow-none", "200 readers of 4 kB messages, all read (for comparison)", "slow --stopped 0", 4.0, SLOW, FLOOR, &[]),
    // 20 queues of `queue.bytes_max` (256 KiB).
    ("slow", "20 of 200 readers stopped, 4 kB messages", "slow --stopped 20", 4.0, SLOW, NONE_STOPPED,
        &[Goal::of("p99_ms", Against::Case(Cow::Borrowed("slow-none")), 1.2), Goal::of("growth_mb", Against::Value, 5.3)]),
];

const CONNECTIONS: &str = "Growth: connections, 20,000 messages/s over all of them";
const ROOMS: &str = "Growth: rooms of 10, 40,000 deliveries/s over all of them";
const SPLIT: &str = "Growth: 100 members in more rooms, 20,000 deliveries/s";
const SIZE: &str = "Growth: message size, 10 rooms of 10, 20,000 deliveries/s";
const WORKERS: &str = "Growth: workers, 100 rooms of 10, 40,000 deliveries/s (the second shares a core with the generator)";

/// Table, name, title, flags, workers. Each table changes one thing and is compared with its first row.
#[rustfmt::skip]
const GROWTH_ROWS: &[(&str, &str, &str, &str, usize)] = &[
    (CONNECTIONS, "grow-connections-1k", "1,000 connections", "echo -c 1000 --rate 20000", 1),
    (CONNECTIONS, "grow-connections-5k", "5,000 connections", "echo -c 5000 --rate 20000", 1),
    (CONNECTIONS, "grow-connections-10k", "10,000 connections", "echo -c 10000 --rate 20000", 1),
    (CONNECTIONS, "grow-connections-19k", "19,000 connections", "echo -c 19000 --rate 20000", 1),
    (ROOMS, "grow-rooms-10", "10 rooms", "fanout --rooms 10 --members 10 --rate 4000", 1),
    (ROOMS, "grow-rooms-100", "100 rooms", "fanout --rooms 100 --members 10 --rate 4000", 1),
    (ROOMS, "grow-rooms-1000", "1,000 rooms", "fanout --rooms 1000 --members 10 --rate 4000", 1),
    (SPLIT, "grow-split-1", "1 room of 100", "fanout --rooms 1 --members 100 --rate 200", 1),
    (SPLIT, "grow-split-10", "10 rooms of 10", "fanout --rooms 10 --members 10 --rate 2000", 1),
    (SPLIT, "grow-split-100", "100 rooms of 1", "fanout --rooms 100 --members 1 --rate 20000", 1),
    (SIZE, "grow-size-64", "64 bytes", "fanout --rooms 10 --members 10 --rate 2000 --size 64", 1),
    (SIZE, "grow-size-1k", "1 KiB", "fanout --rooms 10 --members 10 --rate 2000 --size 1024", 1),
    (SIZE, "grow-size-16k", "16 KiB", "fanout --rooms 10 --members 10 --rate 2000 --size 16384", 1),
    (WORKERS, "grow-workers-1", "1 worker", "fanout --rooms 100 --members 10 --rate 4000", 1),
    (WORKERS, "grow-workers-2", "2 workers", "fanout --rooms 100 --members 10 --rate 4000", 2),
];

/// Every case, in the order of the tables: those of `--all`, then those of `--growth`, which share a [`Case::table`].
pub(super) fn known() -> Vec<Case> {
    let all = ROWS.iter().cloned();
    let all = all.map(
        |(name, title, flags, seconds, metrics, baseline, goals)| Case {
            name: name.to_owned(),
            title: title.to_owned(),
            flags: Case::words(flags),
            seconds,
            metrics: metrics.into(),
            baseline,
            goals: goals.into(),
            workers: 1,
            ..Case::default()
        },
    );
    let first = |table: &str| {
        GROWTH_ROWS
            .iter()
            .find(|row| row.0 == table)
            .map(|row| row.1)
    };
    let growth = GROWTH_ROWS.iter();
    let growth = growth.map(|&(table, name, title, flags, workers)| Case {
        name: name.to_owned(),
        title: title.to_owned(),
        flags: Case::words(flags),
        seconds: GROWTH_SECONDS,
        metrics: GROWTH.into(),
        baseline: first(table).map_or(Baseline::None, |name| Baseline::Case(name.into())),
        table: Some(table.to_owned()),
        workers,
        ..Case::default()
    });
    let numbered = (0..).zip(all.chain(growth));
    numbered
        .map(|(place, case)| Case { place, ..case })
        .collect()
}

/// A case of the user's own, named by its flags; the last of the tables.
pub(super) fn custom(flags: &str) -> Case {
    let words = flags.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let is_open = flags.contains("--rate");
    Case {
        name: words.join("-"),
        title: flags.to_owned(),
        flags: Case::words(flags),
        seconds: CUSTOM_SECONDS,
        metrics: if is_open { OPEN } else { DELIVERIES }.into(),
        baseline: FLOOR,
        workers: 1,
        place: usize::MAX,
        ..Case::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_a_table_are_compared_with_its_first() {
        let all = known();
        let named = |name: &str| all.iter().find(|case| case.name == name).unwrap();
        let first = |name: &'static str| Baseline::Case(name.into());
        for name in ["grow-connections-1k", "grow-connections-19k"] {
            assert_eq!(named(name).baseline, first("grow-connections-1k"));
        }
        assert_eq!(named("grow-size-16k").baseline, first("grow-size-64"));
    }

    #[test]
    fn every_goal_is_of_a_column() {
        for case in known() {
            for goal in case.goals.iter() {
                assert!(
                    case.metrics.iter().any(|m| m.key == goal.metric),
                    "{goal:?}"
                );
            }
        }
    }
}
