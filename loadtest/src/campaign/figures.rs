//! From a report's JSON to the figures of a table.

use super::case::Cases;
use serde_json::Value;
use std::collections::BTreeMap;

/// Values by name.
pub(crate) type Values = BTreeMap<String, f64>;

/// One figure; percentiles of nothing are none.
pub(crate) fn figure(report: &Value, pointer: &str) -> Option<f64> {
    let of = pointer
        .strip_suffix("_ms")
        .and_then(|of| of.rsplit_once('/'));
    let count = of.and_then(|(of, _)| report.pointer(&format!("{of}/count")));
    if count.and_then(Value::as_f64) == Some(0.0) {
        return None;
    }
    report.pointer(pointer)?.as_f64()
}

/// A list of sentences, such as `/verdict/failures`.
pub(crate) fn sentences(report: &Value, pointer: &str) -> Vec<String> {
    let list = report.pointer(pointer).and_then(Value::as_array);
    let texts = list.into_iter().flatten().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

/// All figures that the report has.
pub(crate) fn figures(report: &Value) -> Values {
    let at = |pointer: &str| figure(report, pointer);
    let named = Cases::figures().into_iter();
    let named = named.filter_map(|(name, place)| Some((name, at(&place)?)));
    let mut figures: Values = named.collect();
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
    set("waited", Some(waited(report)));
    let (full, resumed) = (at("/totals/tls_full"), at("/totals/tls_resumed"));
    let shaken = full
        .zip(resumed)
        .filter(|(full, resumed)| full + resumed > 0.0);
    set(
        "resumed",
        shaken.map(|(full, resumed)| resumed * 100.0 / (full + resumed)),
    );
    let cores = report.pointer("/figures/cores").and_then(Value::as_array);
    let redis = cores.and_then(|all| all.last()?.as_f64());
    let rate = at("/figures/deliveries_per_second").filter(|rate| *rate > 0.0);
    let redis = redis.filter(|_| report.get("across").is_some_and(|across| !across.is_null()));
    set(
        "redis_micros_per_delivery",
        redis.zip(rate).map(|(redis, rate)| redis * 1e6 / rate),
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
    set("rss_peak_mb", peak.map(|peak| peak / 1e6));
    figures
}

/// Share of the time that the generator or the server waited for a core. What shares a core by intention does not count: nodes and their
/// Redis, a Python process that speaks and the generator, or what stands beside one that is measured.
fn waited(report: &Value) -> f64 {
    let who = match report
        .pointer("/across/facts/group_send")
        .and_then(Value::as_bool)
    {
        None if report.get("beside").is_some() => &["server"][..],
        None => &["generator", "server"],
        Some(false) => &["generator"],
        Some(true) => &[],
    };
    let shares = who
        .iter()
        .filter_map(|who| figure(report, &format!("/figures/{who}_waited")));
    shares.fold(0.0, f64::max)
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

    #[test]
    fn over_nodes_redis_has_its_share_and_who_shares_a_core_is_not_disturbed() {
        let mut report = serde_json::json!({
            "figures": {"deliveries_per_second": 50.0, "cores": [0.2, 0.5], "generator_waited": 0.2, "server_waited": 0.9},
            "across": {"facts": {"group_send": false}, "bare": {"count": 0, "p50_ms": 0.0},
                "latency": {"count": 40, "p50_ms": 0.2}}});
        let values = figures(&report);
        assert_eq!(
            (values["redis_micros_per_delivery"], values["waited"]),
            (10_000.0, 0.2)
        );
        assert_eq!(values["far_p50_ms"], 0.2);
        assert!(!values.contains_key("bare_p50_ms"));
        report["across"]["facts"]["group_send"] = true.into();
        assert_eq!(figures(&report)["waited"], 0.0);
    }
}
