//! The table of `xnode --all`: each goal beside its value, then what was measured case by case.

use super::campaign::{CASES, Case, Entry};
use serde_json::Value;

/// Deliveries for a CPU second, of ours to Python's.
const PYTHON_TIMES: f64 = 100.0;
/// p50 of group_send to browser at 50 messages/s, in milliseconds.
const PYTHON_P50_MS: f64 = 0.6;

/// A goal of one case.
#[derive(Debug, PartialEq)]
struct Row {
    what: String,
    value: Option<f64>,
    /// Beside the value: what it was in each round, or what it was compared with.
    detail: String,
    goal: String,
    is_met: bool,
}

/// A figure of a report.
fn figure(entry: &Entry, path: &str) -> Option<f64> {
    entry.report.as_ref().ok()?.pointer(path)?.as_f64()
}

fn of<'a>(entries: &'a [Entry], case: &Case, servers: &str) -> Vec<&'a Entry> {
    let is_one = |entry: &&Entry| entry.case == case.name && entry.servers == servers;
    entries.iter().filter(is_one).collect()
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().checked_sub(1)? / 2, values.len() / 2);
    Some((values.get(low)? + values.get(high)?) / 2.0)
}

fn listed(values: &[f64]) -> String {
    let values: Vec<String> = values.iter().map(|value| number(*value)).collect();
    values.join(", ")
}

fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

/// Ours divided by the other's of the same round.
fn ratios(ours: &[&Entry], theirs: &[&Entry], path: &str) -> Vec<f64> {
    let pair = |ours: &&Entry| {
        let other = theirs.iter().find(|other| other.round == ours.round)?;
        Some(figure(ours, path)? / figure(other, path)?)
    };
    ours.iter().filter_map(pair).collect()
}

fn compared(entries: &[Entry], case: &Case, rows: &mut Vec<Row>) {
    let Some(peer) = case.servers.get(1) else {
        return;
    };
    let (ours, theirs) = (of(entries, case, "supportal"), of(entries, case, peer));
    let mut row = |what: &str, values: Vec<f64>, goal: String, is_met: &dyn Fn(f64) -> bool| {
        let value = median(values.clone());
        rows.push(Row {
            what: what.to_owned(),
            value,
            detail: listed(&values),
            goal,
            is_met: value.is_some_and(is_met),
        });
    };
    if *peer == "bun" {
        let values = ratios(&ours, &theirs, "/cost/micros_per_delivery");
        row(
            "CPU of nodes and Redis a delivery, to Bun's of the same round",
            values,
            "at most 1".to_owned(),
            &|value| value <= 1.0,
        );
    } else if case.name == "django-50" {
        let p50 = |entry: &&Entry| figure(entry, "/latency/far/p50_ms");
        let goal = format!("at most {PYTHON_P50_MS}");
        row(
            "p50, ms",
            ours.iter().filter_map(p50).collect(),
            goal,
            &|value| value <= PYTHON_P50_MS,
        );
    } else {
        let values = ratios(&ours, &theirs, "/cost/deliveries_per_cpu_second");
        let goal = format!("at least {PYTHON_TIMES}");
        row(
            "deliveries for a CPU second of nodes and Redis, to Python's of the same round",
            values,
            goal,
            &|value| value >= PYTHON_TIMES,
        );
    }
}

/// Goals that a run of ours states itself: the median of the rounds for a ratio to Redis, the worst for everything else.
fn stated(entries: &[Entry], case: &Case, rows: &mut Vec<Row>) {
    let ours = of(entries, case, "supportal");
    let goals = |entry: &&Entry| -> Vec<Value> {
        let goals = entry.report.as_ref().ok();
        let goals = goals.and_then(|report| report.get("goals")?.as_array().cloned());
        goals.unwrap_or_default()
    };
    let Some(first) = ours.first().map(goals) else {
        return;
    };
    for goal in first {
        let what = goal.get("what").and_then(Value::as_str).unwrap_or_default();
        let limit = goal.get("at_most").and_then(Value::as_f64).unwrap_or(0.0);
        let all = ours.iter().flat_map(goals);
        let same = all.filter(|goal| goal.get("what").and_then(Value::as_str) == Some(what));
        let values: Option<Vec<f64>> = same.map(|goal| goal.get("value")?.as_f64()).collect();
        let values = values.unwrap_or_default();
        let value = if what.contains("bare Redis") {
            median(values.clone())
        } else {
            values.iter().copied().reduce(f64::max)
        };
        rows.push(Row {
            what: what.to_owned(),
            value,
            detail: listed(&values),
            goal: format!("at most {limit}"),
            is_met: value.is_some_and(|value| value <= limit),
        });
    }
}

fn rows(entries: &[Entry], case: &Case) -> Vec<Row> {
    let mut rows = Vec::new();
    stated(entries, case, &mut rows);
    compared(entries, case, &mut rows);
    rows
}

/// The columns of the second table.
const COLUMNS: &[(&str, &str)] = &[
    ("deliveries/s", ""),
    ("same node p50 ms", "/latency/near/p50_ms"),
    ("p99", "/latency/near/p99_ms"),
    ("across p50 ms", "/latency/far/p50_ms"),
    ("p99", "/latency/far/p99_ms"),
    ("bare p50 ms", "/latency/bare/p50_ms"),
    ("p99", "/latency/bare/p99_ms"),
    ("CPU µs/delivery", "/cost/micros_per_delivery"),
    ("of it Redis", ""),
    ("lost within", "/losses/within_nodes"),
    ("lost across", "/losses/across_nodes"),
    ("unexplained", "/unexplained/across_nodes"),
];

fn column(entry: &Entry, name: &str, path: &str) -> Option<f64> {
    let deliveries = || Some(figure(entry, "/near")? + figure(entry, "/far")?);
    match name {
        "deliveries/s" => Some(deliveries()? / figure(entry, "/seconds")?),
        "of it Redis" => {
            let redis = figure(entry, "/cost/redis")? * figure(entry, "/seconds")? * 1e6;
            Some(redis / deliveries()?)
        }
        _ if path.starts_with("/latency") => {
            let count = path.rsplit_once('/')?.0.to_owned() + "/count";
            (figure(entry, &count)? > 0.0)
                .then(|| figure(entry, path))
                .flatten()
        }
        _ => figure(entry, path),
    }
}

/// What the terminal says of one measurement.
pub(super) fn brief(entry: &Entry) -> String {
    let report = match &entry.report {
        Ok(report) => report,
        Err(why) => return why.clone(),
    };
    let shown = COLUMNS.iter().filter_map(|(name, path)| {
        let value = column(entry, name, path)?;
        Some(format!("{name} {}", number(value)))
    });
    let failures = report
        .pointer("/verdict/failures")
        .and_then(Value::as_array);
    let failures = failures.into_iter().flatten().filter_map(Value::as_str);
    let failures = failures.map(|failure| format!("FAILED {failure}"));
    shown.chain(failures).collect::<Vec<String>>().join(", ")
}

/// The whole text.
pub(super) fn summary(entries: &[Entry]) -> String {
    let mut out = "# The bridge\n\n".to_owned();
    if let Some(last) = entries.last() {
        let m = &last.machine;
        out += &format!(
            "{}, source {}. {}, {} cores, {:.1} GiB, Linux {}, {}. `loadtest xnode --all`; a value is the median of the rounds where it is a \
             ratio, else the worst of them, and each round stands behind it.\n",
            last.date, last.revision, m.cpu, m.cores, m.memory_gib, m.kernel, m.rustc
        );
        let pinning = entries
            .iter()
            .filter_map(|entry| {
                entry
                    .report
                    .as_ref()
                    .ok()?
                    .pointer("/facts/pinning")?
                    .as_str()
            })
            .next();
        if let Some(pinning) = pinning {
            out += &format!("Pinning: {pinning}.\n");
        }
    }
    out += "\n| Case | Goal | Value | Rounds | Must be | |\n|---|---|---|---|---|---|\n";
    for case in CASES {
        for row in rows(entries, case) {
            out += &format!(
                "| {} | {} | **{}** | {} | {} | {} |\n",
                case.name,
                row.what,
                row.value.map_or("none".to_owned(), number),
                row.detail,
                row.goal,
                if row.is_met { "met" } else { "**missed**" }
            );
        }
    }
    for case in CASES {
        let lines: Vec<String> = entries
            .iter()
            .filter(|entry| entry.case == case.name)
            .map(line)
            .collect();
        if lines.is_empty() {
            continue;
        }
        out += &format!(
            "\n## {}\n\n{}.\n\n| servers, round |",
            case.name, case.title
        );
        COLUMNS
            .iter()
            .for_each(|(name, _)| out += &format!(" {name} |"));
        out += &format!("\n|---|{}\n", "---|".repeat(COLUMNS.len()));
        lines.iter().for_each(|line| out += line);
        out += &strikes(entries, case);
    }
    out
}

fn line(entry: &Entry) -> String {
    let mut out = format!("| {} {} |", entry.servers, entry.round + 1);
    for (name, path) in COLUMNS {
        let value = column(entry, name, path).map_or("–".to_owned(), number);
        out += &format!(" {value} |");
    }
    let why = entry.report.as_ref().err();
    out += &why.map_or(String::new(), |why| format!(" {why} |"));
    out + "\n"
}

/// Each fault of a case on a line.
fn strikes(entries: &[Entry], case: &Case) -> String {
    let mut lines = String::new();
    for entry in entries.iter().filter(|entry| entry.case == case.name) {
        let strikes = entry.report.as_ref().ok();
        let strikes = strikes.and_then(|report| report.get("strikes")?.as_array());
        for strike in strikes.into_iter().flatten() {
            let time = |key: &str| {
                let time = strike.get(key).and_then(Value::as_f64);
                time.map_or("–".to_owned(), |time| format!("{time:.2}"))
            };
            let times = ["at", "over", "noticed", "first", "whole", "healthy"].map(time);
            lines += &format!("| {} | {} |\n", entry.round + 1, times.join(" | "));
        }
    }
    if lines.is_empty() {
        return lines;
    }
    format!(
        "\nSeconds after each blow:\n\n| round | at s | Redis there | noticed by all | first message across | all rooms | all healthy |\n\
         |---|---|---|---|---|---|---|\n{lines}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;
    use serde_json::json;

    fn entry(case: &str, servers: &str, round: usize, report: Value) -> Entry {
        Entry {
            case: case.to_owned(),
            servers: servers.to_owned(),
            round,
            revision: String::new(),
            date: String::new(),
            machine: Machine::here(),
            report: Ok(report),
        }
    }

    fn named(name: &str) -> &'static Case {
        CASES.iter().find(|case| case.name == name).unwrap()
    }

    #[test]
    fn a_ratio_is_taken_within_a_round_and_its_median_is_judged() {
        let cost = |micros: f64| json!({"cost": {"micros_per_delivery": micros}});
        let entries = [
            entry("cpu-1x100", "supportal", 0, cost(4.0)),
            entry("cpu-1x100", "bun", 0, cost(2.0)),
            entry("cpu-1x100", "bun", 1, cost(4.0)),
            entry("cpu-1x100", "supportal", 1, cost(2.0)),
            entry("cpu-1x100", "supportal", 2, cost(3.0)),
            entry("cpu-1x100", "bun", 2, cost(4.0)),
        ];
        let rows = rows(&entries, named("cpu-1x100"));
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].value, rows[0].is_met), (Some(0.75), true));
        assert_eq!(rows[0].detail, "2.000, 0.500, 0.750");
    }

    #[test]
    fn of_the_goals_a_run_states_the_worst_round_counts_and_none_is_a_miss() {
        let goals = |value: Value| json!({"goals": [{"what": "noticed after, s", "value": value, "at_most": 3.0}]});
        let mut entries = vec![
            entry("stop", "supportal", 0, goals(json!(1.0))),
            entry("stop", "supportal", 1, goals(json!(2.5))),
        ];
        let found = rows(&entries, named("stop"));
        assert_eq!((found[0].value, found[0].is_met), (Some(2.5), true));
        entries.push(entry("stop", "supportal", 2, goals(Value::Null)));
        let found = rows(&entries, named("stop"));
        assert_eq!((found[0].value, found[0].is_met), (None, false));
        assert!(summary(&entries).contains("**missed**"));
    }

    #[test]
    fn medians_of_even_and_odd_numbers() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }
}
