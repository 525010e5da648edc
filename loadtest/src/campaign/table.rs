//! The tables a person reads.

use super::case::{Against, Baseline, Case, Goal, Metric, OURS};
use super::record::{Campaign, Measurement, Slice, Spread};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;

/// One measurement in one line.
pub(super) fn brief(case: &Case, measurement: &Measurement) -> String {
    if let Some(why) = &measurement.error {
        return format!("not measured: {why}");
    }
    let figure = |metric: &Metric| {
        let value = measurement.values.get(&metric.key)?;
        Some(format!("{} {value:.*}", metric.label, metric.digits))
    };
    let figures: Vec<String> = case.metrics.iter().filter_map(figure).collect();
    let failed = measurement.failures.first();
    let failed = failed.map_or(String::new(), |why| format!("  FAILED: {why}"));
    figures.join("  ") + &failed
}

/// The goals of this server, if it was measured, and all cases.
pub(super) fn summary(campaign: &Campaign) -> String {
    let cases = campaign.cases();
    let mut out = String::new();
    goals_table(campaign, &cases, &mut out);
    let mut shown: Option<&str> = None;
    for case in &cases {
        match case.table.as_deref() {
            None => case_table(campaign, case, &mut out),
            table if shown != table => {
                shown = table;
                let rows = cases.iter().copied();
                let rows: Vec<&Case> = rows.filter(|case| case.table.as_deref() == table).collect();
                growth_table(campaign, &rows, &mut out);
            }
            Some(_) => {}
        }
    }
    problems(campaign, &mut out);
    out
}

fn number(value: f64, digits: usize) -> String {
    if digits > 0 {
        return format!("{value:.digits$}");
    }
    let sign = if value <= -0.5 { "-" } else { "" };
    format!("{sign}{}", crate::report::count(value.abs().round() as u64))
}

fn cell(spread: Option<Spread>, digits: usize, range: bool) -> String {
    let Some(spread) = spread else {
        return "-".to_owned();
    };
    let median = number(spread.median, digits);
    if !range || spread.count < 2 {
        return median;
    }
    let (least, most) = (number(spread.least, digits), number(spread.most, digits));
    format!("{median} ({least}–{most})")
}

/// Heads and rule of a table whose first column is `first`.
fn head(first: &str, metrics: &[Metric], baseline: &str, out: &mut String) {
    let mut head = format!("| {first} | n |");
    for metric in metrics {
        head += &format!(" {} |", metric.label);
        if metric.ratio && !baseline.is_empty() {
            head += &format!(" to {baseline}, paired |");
        }
    }
    let columns = head.matches('|').count() - 1;
    writeln!(out, "{head}\n|{}", "---|".repeat(columns)).ok();
}

/// A row, if there is anything to show.
fn row(campaign: &Campaign, first: &str, case: &Case, peer: &str, out: &mut String) {
    let spread = |metric: &Metric| campaign.spread((&case.name, peer), &metric.key);
    let Some(count) = case
        .metrics
        .iter()
        .filter_map(|m| Some(spread(m)?.count))
        .max()
    else {
        return;
    };
    let mut row = format!("| {first} | {count} |");
    for metric in case.metrics.iter() {
        row += &format!(" {} |", cell(spread(metric), metric.digits, metric.ratio));
        if metric.ratio && case.baseline != Baseline::None {
            let ratio = campaign.ratio(case, peer, &metric.key);
            row += &format!(" {} |", cell(ratio, 2, true));
        }
    }
    writeln!(out, "{row}").ok();
}

fn case_table(campaign: &Campaign, case: &Case, out: &mut String) {
    let baseline = match &case.baseline {
        Baseline::None => String::new(),
        Baseline::Peer(peer) => peer.to_string(),
        Baseline::Case(name) => format!("own {name}"),
    };
    let (title, flags) = (&case.title, &case.flags);
    let seconds = case.seconds;
    let length = if seconds > 0.0 {
        format!(", {seconds} s")
    } else {
        String::new()
    };
    writeln!(out, "\n### {title}\n\n`loadtest {flags}`{length}\n").ok();
    head("peer", &case.metrics, &baseline, out);
    for peer in campaign.peers() {
        row(campaign, &peer.name, case, &peer.name, out);
    }
    strikes(campaign, case, out);
}

/// Each fault of a case on a line.
fn strikes(campaign: &Campaign, case: &Case, out: &mut String) {
    let mut lines = String::new();
    for m in campaign.of(&case.name, OURS) {
        let strikes = m
            .report
            .pointer("/across/strikes")
            .and_then(Value::as_array);
        for strike in strikes.into_iter().flatten() {
            let time = |key: &str| {
                let time = strike.get(key).and_then(Value::as_f64);
                time.map_or("–".to_owned(), |time| format!("{time:.2}"))
            };
            let times = ["at", "over", "noticed", "first", "whole", "healthy"].map(time);
            writeln!(lines, "| {} | {} |", m.round + 1, times.join(" | ")).ok();
        }
    }
    if !lines.is_empty() {
        let heads = "| round | at s | Redis there | noticed by all | first message across | all rooms | all healthy |";
        let rule = "---|".repeat(7);
        writeln!(
            out,
            "\nSeconds after each blow:\n\n{heads}\n|{rule}\n{lines}"
        )
        .ok();
    }
}

/// Cases of this server, one a row.
fn growth_table(campaign: &Campaign, cases: &[&Case], out: &mut String) {
    let Some(first) = cases.first() else {
        return;
    };
    let title = first.table.as_deref().unwrap_or_default();
    writeln!(out, "\n### {title}\n").ok();
    head("", &first.metrics, "the first row", out);
    for case in cases {
        row(campaign, &case.title, case, OURS, out);
    }
    let lines = cases.iter().map(|case| format!("`{}`", case.flags));
    let lines: Vec<String> = lines.collect();
    writeln!(out, "\n{} s each: {}.", first.seconds, lines.join(", ")).ok();
}

fn goals_table(campaign: &Campaign, cases: &[&Case], out: &mut String) {
    let mut rows = String::new();
    for case in cases {
        for goal in case.goals.iter() {
            rows += &goal_row(campaign, case, goal).unwrap_or_default();
        }
        stated_rows(campaign, case, &mut rows);
    }
    if !rows.is_empty() {
        let heads =
            "| case | measure | against | goal | measured | met |\n|---|---|---|---|---|---|";
        writeln!(
            out,
            "\n### Goals\n\nMedians of ratios taken round by round, with their range; of what is no ratio and is stated by the run \
             itself, the worst round.\n\n{heads}\n{rows}",
            rows = rows.trim_end()
        )
        .ok();
    }
}

fn verdict(is_met: bool) -> &'static str {
    if is_met { "yes" } else { "**no**" }
}

/// The row of a goal, if both sides of it were measured.
fn goal_row(campaign: &Campaign, case: &Case, goal: &Goal) -> Option<String> {
    let metric = case.metrics.iter().find(|m| m.key == goal.metric)?;
    let name = case.name.as_str();
    let ours = (name, OURS);
    let (against, measured) = match &goal.against {
        Against::Peer(peer) => {
            let ratio = campaign.paired(ours, (name, peer), &goal.metric);
            (peer.to_string(), ratio?)
        }
        Against::Case(other) => {
            let ratio = campaign.paired(ours, (other, OURS), &goal.metric);
            (format!("own {other}"), ratio?)
        }
        Against::Value => ("-".to_owned(), campaign.spread(ours, &goal.metric)?),
        Against::Over(peer) => {
            let ratio = campaign.paired((name, peer), ours, &goal.metric);
            (format!("{peer} over ours"), ratio?)
        }
    };
    let (median, limit) = (measured.median, goal.limit);
    let (sign, is_met) = match goal.against {
        Against::Over(_) => ("≥", median >= limit),
        _ => ("≤", median <= limit),
    };
    let digits = if goal.against == Against::Value {
        metric.digits
    } else {
        2
    };
    let (title, label, met) = (&case.title, &metric.label, verdict(is_met));
    let measured = cell(Some(measured), digits, true);
    Some(format!(
        "| {title} | {label} | {against} | {sign} {limit} | {measured} | {met} |\n"
    ))
}

/// Goals that a run of ours states itself. A round without the figure misses them.
fn stated_rows(campaign: &Campaign, case: &Case, rows: &mut String) {
    let stated = || campaign.of(&case.name, OURS).flat_map(|m| &m.goals);
    let Some(first) = campaign.of(&case.name, OURS).find(|m| !m.goals.is_empty()) else {
        return;
    };
    for goal in &first.goals {
        let same = stated().filter(|other| other.what == goal.what);
        let values: Option<Vec<f64>> = same.map(|goal| goal.value).collect();
        let spread = values.and_then(Spread::of);
        let judged = spread.map(|s| if goal.is_ratio { s.median } else { s.most });
        let is_met = judged.is_some_and(|value| value <= goal.at_most);
        let measured = match (judged, spread) {
            (Some(judged), Some(s)) if s.count > 1 => {
                format!("{judged:.3} ({:.3}–{:.3})", s.least, s.most)
            }
            (Some(judged), _) => format!("{judged:.3}"),
            _ => "none".to_owned(),
        };
        let (title, what, limit) = (&case.title, &goal.what, goal.at_most);
        let met = verdict(is_met);
        writeln!(
            rows,
            "| {title} | {what} | - | ≤ {limit} | {measured} | {met} |"
        )
        .ok();
    }
}

/// What went wrong, so that nobody takes a broken measurement for a good one.
fn problems(campaign: &Campaign, out: &mut String) {
    let mut failed = String::new();
    let mut disturbed: BTreeMap<String, (usize, f64)> = BTreeMap::new();
    for m in &campaign.measurements {
        let who = format!("- {} {}, round {}", m.case, m.peer, m.round + 1);
        for why in &m.failures {
            writeln!(failed, "{who}: {why}").ok();
        }
        if let Some(why) = &m.error {
            writeln!(failed, "{who}: not measured, {why}").ok();
        }
        let waited = m.waited().unwrap_or(0.0);
        if waited > campaign.slice(m).map_or(0.0, |slice| slice.quiet) {
            let entry = disturbed.entry(format!("{} {}", m.case, m.peer));
            let (times, most) = entry.or_default();
            (*times, *most) = (*times + 1, most.max(waited));
        }
    }
    if failed.is_empty() {
        writeln!(out, "\nNo measurement failed a check.").ok();
    } else {
        writeln!(out, "\n### Failures\n\n{failed}").ok();
    }
    if !disturbed.is_empty() {
        writeln!(out, "\n### Disturbed\n\nOther programs took the cores, so rates and latencies are the machine's:\n").ok();
    }
    for (what, (times, most)) in disturbed {
        let most = most * 100.0;
        writeln!(out, "- {what}: {times} times, waited up to {most:.0} %").ok();
    }
}

/// One start of the program: what was typed, on what, and which cases it holds.
fn slice_text(campaign: &Campaign, slice: &Slice, out: &mut String) {
    let pinned = match slice.cores {
        (Some(server), Some(generator)) => {
            format!("Servers pinned to core {server}, generator to core {generator}.")
        }
        _ => "NOT PINNED: servers and generator shared the cores.".to_owned(),
    };
    let mut cases: Vec<&str> = Vec::new();
    for m in &campaign.measurements {
        if m.slice == slice.number && !cases.contains(&m.case.as_str()) {
            cases.push(&m.case);
        }
    }
    let (
        Slice {
            command,
            date,
            revision,
            rounds,
            ..
        },
        cases,
    ) = (slice, cases.join(", "));
    let (m, warmup) = (&slice.machine, slice.warmup_seconds);
    let (cpu, cores, memory, kernel) = (&m.cpu, m.cores, m.memory_gib, &m.kernel);
    let (congestion, rustc) = (&m.congestion, &m.rustc);
    writeln!(
        out,
        "```sh\n{command}\n```\n\n{date}, source {revision}. {cpu}, {cores} cores, {memory:.0} GiB, Linux {kernel}, \
         TCP {congestion}, loopback; {rustc}.\n{pinned} {rounds} rounds, {warmup} s of warm-up.\nCases: {cases}.\n"
    )
    .ok();
}

/// What somebody needs to judge the tables or to make them again.
pub(super) fn readme(campaign: &Campaign) -> String {
    let date = campaign.slices.first().map_or("", |slice| &slice.date);
    let mut out = format!("# Campaign of {date}\n\n");
    for slice in &campaign.slices {
        slice_text(campaign, slice, &mut out);
    }
    out += "Rounds go in turns (A B C, C B A, ...), with fresh servers and a fresh generator for each measurement. \
        Each case comes from one start of the program.\n\n\
        Tables: [summary.md](summary.md). Every report: [raw.json](raw.json).\n\n\
        | peer | version | speaks | |\n|---|---|---|---|\n";
    for peer in campaign.peers() {
        let (name, version, speaks, note) = (peer.name, peer.version, peer.speaks, peer.note);
        writeln!(out, "| {name} | {version} | {speaks} | {note} |").ok();
    }
    out += "\nHow to read it: CPU per delivery is user and system time of the servers' process trees divided by deliveries; on loopback it \
        holds the receiver's half of TCP. A ratio is taken within one round and its median and range over the rounds are shown. \
        `missing` must be 0. Rates and closed-loop latencies also hang on the generator's core.\n\nA measurement is to be repeated \
        on a quiet machine if the summary lists it as disturbed.\n";
    out
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::{Row, campaign, cpu};
    use super::*;
    use crate::report::Stated;

    fn judged(goals: &[(Against, f64)]) -> Case {
        let goal = |(against, limit): &(Against, f64)| Goal {
            metric: "cpu".into(),
            against: against.clone(),
            limit: *limit,
        };
        Case {
            metrics: cpu(),
            baseline: Baseline::Peer("floor".into()),
            goals: goals.iter().map(goal).collect(),
            ..Case::default()
        }
    }

    #[test]
    fn goals_are_judged_by_the_median_of_paired_ratios() {
        let over = Against::Over("channels".into());
        let like = judged(&[(Against::Peer("floor".into()), 1.12), (over, 60.0)]);
        let rows: &[Row] = &[
            ("echo", OURS, 0, 5.0),
            ("echo", "floor", 0, 5.0),
            ("echo", "channels", 0, 250.0),
            ("echo", OURS, 1, 8.0),
            ("echo", "floor", 1, 4.0),
        ];
        let text = summary(&campaign(&like, &[rows]));
        for row in [
            "| floor | ≤ 1.12 | 1.50 (1.00–2.00) | **no** |",
            "| channels over ours | ≥ 60 | 50.00 | **no** |",
            "| supportal | 2 | 6.50 (5.00–8.00) | 1.50 (1.00–2.00) |",
        ] {
            assert!(text.contains(row), "{row} in {text}");
        }
    }

    #[test]
    fn of_the_goals_a_run_states_the_worst_round_counts_and_none_is_a_miss() {
        let rows: &[Row] = &[("stop", OURS, 0, 1.0), ("stop", OURS, 1, 1.0)];
        let mut campaign = campaign(&Case::default(), &[rows]);
        let stated = |value, is_ratio| {
            vec![Stated {
                what: "noticed after, s".to_owned(),
                value,
                at_most: 3.0,
                is_ratio,
            }]
        };
        for (values, is_ratio, row) in [
            ([Some(1.0), Some(2.5)], false, "2.500 (1.000–2.500) | yes |"),
            (
                [Some(1.0), Some(4.5)],
                false,
                "4.500 (1.000–4.500) | **no** |",
            ),
            ([Some(1.0), Some(4.5)], true, "2.750 (1.000–4.500) | yes |"),
            ([Some(1.0), None], false, "| ≤ 3 | none | **no** |"),
        ] {
            for (m, value) in campaign.measurements.iter_mut().zip(values) {
                m.goals = stated(value, is_ratio);
            }
            let text = summary(&campaign);
            assert!(text.contains(row), "{row} in {text}");
        }
    }

    #[test]
    fn growth_is_one_table_compared_with_its_first_row() {
        let mut like = judged(&[]);
        like.table = Some("Growth: message size".to_owned());
        like.baseline = Baseline::Case("64".into());
        let rows: &[Row] = &[("64", OURS, 0, 5.0), ("16k", OURS, 0, 15.0)];
        let text = summary(&campaign(&like, &[rows]));
        assert_eq!(text.matches("Growth: message size").count(), 1, "{text}");
        assert!(text.contains("| 16k | 1 | 15.00 | 3.00 |"), "{text}");
    }

    #[test]
    fn every_fault_has_its_line() {
        let rows: &[Row] = &[("kill", OURS, 0, 1.0)];
        let mut campaign = campaign(&Case::default(), &[rows]);
        let strike = serde_json::json!({"at": 15.0, "over": 0.1, "noticed": null, "whole": 0.5});
        campaign.measurements[0].report = serde_json::json!({ "across": {"strikes": [strike]} });
        let text = summary(&campaign);
        assert!(
            text.contains("| 1 | 15.00 | 0.10 | – | – | 0.50 | – |"),
            "{text}"
        );
    }
}
