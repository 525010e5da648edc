//! How the cost of one delivery grows: the same load of this server with more connections, more rooms, longer messages, a second
//! worker. Each table changes one thing and is compared with its first row.

use super::cases::{Baseline, Case, MISSING, Metric, metric};

/// Seconds of each: the cheapest one uses some 200 ms of CPU time in them, which the kernel counts in steps of 10.
const SECONDS: f64 = 2.0;

const METRICS: &[Metric] = &[
    metric("deliveries_per_second", "deliveries/s", 0, false),
    metric("cpu_micros_per_delivery", "CPU µs/delivery", 2, true),
    metric("p50_ms", "p50 ms", 2, false),
    metric("p99_ms", "p99 ms", 2, false),
    MISSING,
];

const CONNECTIONS: &str = "Growth: connections, 20,000 messages/s over all of them";
const ROOMS: &str = "Growth: rooms of 10, 40,000 deliveries/s over all of them";
const SPLIT: &str = "Growth: 100 members in more rooms, 20,000 deliveries/s";
const SIZE: &str = "Growth: message size, 10 rooms of 10, 20,000 deliveries/s";
const WORKERS: &str = "Growth: workers, 100 rooms of 10, 40,000 deliveries/s (the second shares a core with the generator)";

/// Table, name, title, flags, workers.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    usize,
);

#[rustfmt::skip]
const ROWS: &[Row] = &[
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

/// Every case of `--growth`.
pub(super) fn all() -> Vec<Case> {
    let first = |table: &str| ROWS.iter().find(|row| row.0 == table).map(|row| row.1);
    ROWS.iter()
        .map(|&(table, name, title, flags, workers)| Case {
            name: name.to_owned(),
            title: title.to_owned(),
            flags: flags.split_whitespace().map(str::to_owned).collect(),
            seconds: SECONDS,
            metrics: METRICS,
            baseline: first(table).map_or(Baseline::None, Baseline::Case),
            table: Some(table),
            workers,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_a_table_are_compared_with_its_first() {
        let all = all();
        let baseline = |name: &str| all.iter().find(|case| case.name == name).unwrap().baseline;
        for name in ["grow-connections-1k", "grow-connections-19k"] {
            assert_eq!(baseline(name), Baseline::Case("grow-connections-1k"));
        }
        assert_eq!(baseline("grow-size-16k"), Baseline::Case("grow-size-64"));
    }
}
