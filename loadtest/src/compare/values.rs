//! From a generator's report to the figures of a table, and from figures to medians and paired ratios.

use super::campaign::{Campaign, Measurement};
use super::cases::{Baseline, Case};
use serde_json::Value;
use std::collections::BTreeMap;

/// Series and curves of the report: large, and of no use to a table.
const SERIES: [&str; 2] = ["samples", "percentiles"];

/// Why there are no figures.
pub(super) fn no_measurement(why: String) -> Measurement {
    Measurement {
        slice: 0,
        case: String::new(),
        peer: String::new(),
        round: 0,
        tries: 1,
        values: BTreeMap::new(),
        failures: Vec::new(),
        warnings: Vec::new(),
        error: Some(why),
        report: Value::Null,
    }
}

/// The figures of one report; whose they are, the caller knows.
pub(super) fn measurement(mut report: Value) -> Measurement {
    let values = figures(&report);
    let list = |name: &str| -> Vec<String> {
        let list = report.pointer(name).and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(|text| text.as_str().map(str::to_owned))
            .collect()
    };
    let (failures, warnings) = (list("/verdict/failures"), list("/verdict/warnings"));
    if let Some(report) = report.as_object_mut() {
        for series in SERIES {
            report.remove(series);
        }
    }
    Measurement {
        values,
        failures,
        warnings,
        error: None,
        report,
        ..no_measurement(String::new())
    }
}

pub(crate) fn figures(report: &Value) -> BTreeMap<String, f64> {
    let at = |pointer: &str| report.pointer(pointer).and_then(Value::as_f64);
    let mut values = BTreeMap::new();
    let mut set = |key: &str, value: Option<f64>| {
        if let Some(value) = value {
            values.insert(key.to_owned(), value);
        }
    };
    for key in [
        "deliveries_per_second",
        "cpu_micros_per_delivery",
        "cpu_micros_per_life",
        "lives_per_second",
        "server_cpu",
        "generator_busy",
    ] {
        set(key, at(&format!("/figures/{key}")));
    }
    for key in ["p50_ms", "p99_ms", "p999_ms"] {
        let any = at("/latency/count").is_some_and(|count| count > 0.0);
        set(key, at(&format!("/latency/{key}")).filter(|_| any));
    }
    set("handshake_p99_ms", at("/handshakes/p99_ms"));
    set("missing", at("/verification/lost"));
    set("slow_missed", at("/verification/missed_by_slow_readers"));
    let closed = report
        .pointer("/totals/slow_closed")
        .and_then(Value::as_object);
    set(
        "slow_closed",
        // A sum of nothing would be -0.
        closed.map(|map| {
            map.values()
                .filter_map(Value::as_f64)
                .fold(0.0, |a, b| a + b)
        }),
    );
    let waited = at("/figures/generator_waited").unwrap_or(0.0);
    set(
        "waited",
        Some(waited.max(at("/figures/server_waited").unwrap_or(0.0))),
    );
    let rss = |name: &str| at(&format!("/memory/{name}/rss_bytes"));
    let connections = at("/memory/connections").filter(|n| *n > 0.0);
    let each = |name: &str| Some((rss(name)? - rss("empty")?) / 1024.0 / connections?);
    set("idle_kib", each("idle").or_else(|| each("opened")));
    set("end_kib", each("end"));
    set("rss_empty_mb", rss("empty").map(|bytes| bytes / 1e6));
    set("rss_opened_mb", rss("opened").map(|bytes| bytes / 1e6));
    let opened = at("/memory/connect_seconds").filter(|seconds| *seconds > 0.0);
    set(
        "opened_per_second",
        connections.zip(opened).map(|(n, seconds)| n / seconds),
    );
    let samples = report.pointer("/samples").and_then(Value::as_array);
    let peak = samples
        .into_iter()
        .flatten()
        .filter_map(|sample| sample.pointer("/server/rss_bytes")?.as_f64())
        .fold(None, |most: Option<f64>, rss| {
            Some(most.map_or(rss, |most| most.max(rss)))
        });
    set(
        "growth_mb",
        peak.zip(rss("opened"))
            .map(|(peak, opened)| (peak - opened) / 1e6),
    );
    values
}

/// Median and extremes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
    pub(super) count: usize,
}

impl Spread {
    /// Of some values; `None` of none.
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let upper = *sorted.get(middle)?;
        let median = if sorted.len() % 2 == 1 {
            upper
        } else {
            let lower = middle.checked_sub(1).and_then(|at| sorted.get(at));
            f64::midpoint(upper, *lower?)
        };
        Some(Self {
            median,
            least: *sorted.first()?,
            most: *sorted.last()?,
            count: sorted.len(),
        })
    }
}

impl Campaign {
    /// The value of each round, by slice and round: only neighbours in time are compared.
    fn rounds_of(&self, case: &str, peer: &str, metric: &str) -> BTreeMap<(usize, usize), f64> {
        self.measurements
            .iter()
            .filter(|m| m.case == case && m.peer == peer)
            .filter_map(|m| Some(((m.slice, m.round), *m.values.get(metric)?)))
            .collect()
    }

    /// A figure of a peer in a case over all rounds.
    pub(super) fn spread(&self, case: &str, peer: &str, metric: &str) -> Option<Spread> {
        let values: Vec<f64> = self.rounds_of(case, peer, metric).into_values().collect();
        Spread::of(&values)
    }

    /// The same figure of two (case, peer), divided round by round.
    pub(super) fn paired(
        &self,
        ours: (&str, &str),
        theirs: (&str, &str),
        metric: &str,
    ) -> Option<Spread> {
        let theirs = self.rounds_of(theirs.0, theirs.1, metric);
        let ratios: Vec<f64> = self
            .rounds_of(ours.0, ours.1, metric)
            .into_iter()
            .filter_map(|(round, value)| {
                let other = *theirs.get(&round)?;
                (other > 0.0).then_some(value / other)
            })
            .collect();
        Spread::of(&ratios)
    }

    /// The ratio to the case's baseline.
    pub(super) fn ratio(&self, case: &Case, peer: &str, metric: &str) -> Option<Spread> {
        let theirs = match case.baseline {
            Baseline::None => return None,
            Baseline::Peer(other) => (case.name.as_str(), other),
            Baseline::Case(other) => (other, peer),
        };
        self.paired((&case.name, peer), theirs, metric)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        let spread = Spread::of(&[4.0, 1.0, 2.0, 3.0]).unwrap();
        assert_eq!((spread.median, spread.least, spread.most), (2.5, 1.0, 4.0));
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[7.0]).map(|s| s.median), Some(7.0));
    }

    #[test]
    fn figures_come_from_where_the_report_has_them() {
        let report = serde_json::json!({
            "figures": {"deliveries_per_second": 5.0, "generator_waited": 0.1, "server_waited": 0.2},
            "latency": {"count": 0, "p50_ms": 0.0}, "verification": {"lost": 3},
            "memory": {"connections": 1024, "empty": {"rss_bytes": 1_048_576},
                "opened": {"rss_bytes": 2_097_152}, "end": {"rss_bytes": 3_145_728}},
            "samples": [{"server": {"rss_bytes": 4_097_152}}, {"server": null}]});
        let values = figures(&report);
        assert_eq!(values["idle_kib"], 1.0);
        assert_eq!(values["end_kib"], 2.0);
        assert_eq!(values["growth_mb"], 2.0);
        assert_eq!((values["missing"], values["waited"]), (3.0, 0.2));
        // No latency was recorded, so there is none.
        assert!(!values.contains_key("p50_ms"));
    }
}
