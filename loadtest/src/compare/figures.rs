//! From a generator's report to the figures of a table.

use crate::campaign::{Figures, figure, read};
use serde_json::Value;

/// Name in the raw data, place in the report.
#[rustfmt::skip]
const PLACES: &[(&str, &str)] = &[
    ("deliveries_per_second", "/figures/deliveries_per_second"),
    ("cpu_micros_per_delivery", "/figures/cpu_micros_per_delivery"),
    ("cpu_micros_per_life", "/figures/cpu_micros_per_life"),
    ("lives_per_second", "/figures/lives_per_second"),
    ("server_cpu", "/figures/server_cpu"),
    ("generator_busy", "/figures/generator_busy"),
    ("p50_ms", "/latency/p50_ms"),
    ("p99_ms", "/latency/p99_ms"),
    ("p999_ms", "/latency/p999_ms"),
    ("handshake_p99_ms", "/handshakes/p99_ms"),
    ("missing", "/verification/lost"),
    ("slow_missed", "/verification/missed_by_slow_readers"),
];

/// All figures that the report has.
pub(crate) fn figures(report: &Value) -> Figures {
    let at = |pointer: &str| figure(report, pointer);
    let mut figures = read(report, PLACES);
    let mut set = |name: &str, value: Option<f64>| {
        figures.extend(value.map(|value| (name.to_owned(), value)));
    };
    let closed = report
        .pointer("/totals/slow_closed")
        .and_then(Value::as_object);
    // A sum of nothing would be -0.
    let sum = |numbers: &serde_json::Map<String, Value>| {
        numbers
            .values()
            .filter_map(Value::as_f64)
            .fold(0.0, |a, b| a + b)
    };
    set("slow_closed", closed.map(sum));
    let waited = ["generator", "server"].map(|who| at(&format!("/figures/{who}_waited")));
    set(
        "waited",
        Some(waited.into_iter().flatten().fold(0.0, f64::max)),
    );
    let rss = |name: &str| at(&format!("/memory/{name}/rss_bytes"));
    let connections = at("/memory/connections").filter(|n| *n > 0.0);
    let each = |name: &str| Some((rss(name)? - rss("empty")?) / 1024.0 / connections?);
    set("idle_kib", each("idle").or_else(|| each("opened")));
    set("end_kib", each("end"));
    set("rss_empty_mb", rss("empty").map(|bytes| bytes / 1e6));
    set("rss_opened_mb", rss("opened").map(|bytes| bytes / 1e6));
    let opened = at("/memory/connect_seconds").filter(|seconds| *seconds > 0.0);
    let rate = connections.zip(opened).map(|(n, seconds)| n / seconds);
    set("opened_per_second", rate);
    let samples = report.pointer("/samples").and_then(Value::as_array);
    let resident = |sample: &Value| sample.pointer("/server/rss_bytes")?.as_f64();
    let peak = samples
        .into_iter()
        .flatten()
        .filter_map(resident)
        .reduce(f64::max);
    let growth = peak
        .zip(rss("opened"))
        .map(|(peak, opened)| (peak - opened) / 1e6);
    set("growth_mb", growth);
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

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
