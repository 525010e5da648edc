//! The tables a person reads: figures become cells here, `summary.txt` and `readme.txt` have the words around them.

use super::case::{Against, Baseline, Case, Goal, Metric, OURS};
use super::record::{Campaign, Measurement, Slice, Spread};
use crate::report::Stated;
use crate::template::{count, fill};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// One line of the table of goals: case, measure, against, goal, measured, met.
type GoalRow = [String; 6];

/// A case with all its peers, or cases of this server alone that share a heading.
#[derive(Debug, Serialize)]
struct Table<'a> {
    title: &'a str,
    grows: bool,
    flags: Vec<&'a str>,
    seconds: f64,
    heads: Vec<String>,
    rows: Vec<Vec<String>>,
    /// Each fault of the case: its round, and its times.
    strikes: Vec<Vec<String>>,
}

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
    let mut goals: Vec<GoalRow> = Vec::new();
    let mut tables: Vec<Table<'_>> = Vec::new();
    for case in &cases {
        let of_case = case.goals.iter();
        goals.extend(of_case.filter_map(|goal| goal_row(campaign, case, goal)));
        goals.extend(stated_rows(campaign, case));
        match (&case.table, tables.last_mut()) {
            (Some(title), Some(last)) if last.title == title => {
                last.flags.push(&case.flags);
                last.rows.extend(row(campaign, &case.title, case, OURS));
            }
            _ => tables.push(table(campaign, case)),
        }
    }
    let failed: Vec<String> = campaign.measurements.iter().flat_map(failures).collect();
    let disturbed = disturbed(campaign);
    fill(
        include_str!("summary.txt"),
        json!({"goals": goals, "tables": tables, "failed": failed, "disturbed": disturbed}),
    )
}

fn number(value: f64, digits: usize) -> String {
    if digits > 0 {
        return format!("{value:.digits$}");
    }
    let sign = if value <= -0.5 { "-" } else { "" };
    format!("{sign}{}", count(value.abs().round() as u64))
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

/// A case's table; where cases share one, with the row of this one.
fn table<'a>(campaign: &Campaign, case: &'a Case) -> Table<'a> {
    let grows = case.table.is_some();
    let baseline = match &case.baseline {
        Baseline::None => None,
        _ if grows => Some("the first row".to_owned()),
        Baseline::Peer(peer) => Some(peer.clone()),
        Baseline::Case(name) => Some(format!("own {name}")),
    };
    let mut heads = vec![if grows { "" } else { "peer" }.to_owned(), "n".to_owned()];
    for metric in &case.metrics {
        heads.push(metric.label.clone());
        let ratio = baseline.as_ref().filter(|_| metric.ratio);
        heads.extend(ratio.map(|baseline| format!("to {baseline}, paired")));
    }
    let peers = campaign.peers().into_iter();
    Table {
        title: case.table.as_ref().unwrap_or(&case.title),
        grows,
        flags: vec![&case.flags],
        seconds: case.seconds,
        heads,
        rows: match grows {
            true => row(campaign, &case.title, case, OURS).into_iter().collect(),
            false => peers
                .filter_map(|peer| row(campaign, &peer.name, case, &peer.name))
                .collect(),
        },
        strikes: strikes(campaign, case),
    }
}

/// A row, if there is anything to show.
fn row(campaign: &Campaign, first: &str, case: &Case, peer: &str) -> Option<Vec<String>> {
    let spread = |metric: &Metric| campaign.spread((&case.name, peer), &metric.key);
    let counts = case.metrics.iter().filter_map(|m| Some(spread(m)?.count));
    let mut row = vec![first.to_owned(), counts.max()?.to_string()];
    for metric in &case.metrics {
        row.push(cell(spread(metric), metric.digits, metric.ratio));
        if metric.ratio && case.baseline != Baseline::None {
            row.push(cell(campaign.ratio(case, peer, &metric.key), 2, true));
        }
    }
    Some(row)
}

fn strikes(campaign: &Campaign, case: &Case) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for m in campaign.of(&case.name, OURS) {
        let strikes = m.report.pointer("/across/strikes");
        for strike in strikes.and_then(Value::as_array).into_iter().flatten() {
            let times = ["at", "over", "noticed", "first", "whole", "healthy"];
            let time = |key: &str| strike.get(key).and_then(Value::as_f64);
            let times =
                times.map(|key| time(key).map_or("–".to_owned(), |time| format!("{time:.2}")));
            rows.push([vec![(m.round + 1).to_string()], times.to_vec()].concat());
        }
    }
    rows
}

fn verdict(is_met: bool) -> String {
    if is_met { "yes" } else { "**no**" }.to_owned()
}

/// The row of a goal, if both sides of it were measured.
fn goal_row(campaign: &Campaign, case: &Case, goal: &Goal) -> Option<GoalRow> {
    let metric = case.metrics.iter().find(|m| m.key == goal.metric)?;
    let (name, key) = (case.name.as_str(), goal.metric.as_str());
    let ours = (name, OURS);
    let (against, measured) = match &goal.against {
        Against::Peer(peer) => (peer.clone(), campaign.paired(ours, (name, peer), key)),
        Against::Case(other) => (
            format!("own {other}"),
            campaign.paired(ours, (other, OURS), key),
        ),
        Against::Value => ("-".to_owned(), campaign.spread(ours, key)),
        Against::Over(peer) => (
            format!("{peer} over ours"),
            campaign.paired((name, peer), ours, key),
        ),
    };
    let (median, limit) = (measured?.median, goal.limit);
    let (sign, is_met) = match goal.against {
        Against::Over(_) => ("≥", median >= limit),
        _ => ("≤", median <= limit),
    };
    let digits = match goal.against {
        Against::Value => metric.digits,
        _ => 2,
    };
    Some([
        case.title.clone(),
        metric.label.clone(),
        against,
        format!("{sign} {limit}"),
        cell(measured, digits, true),
        verdict(is_met),
    ])
}

/// Goals that a run of ours states itself. A round without the figure misses them.
fn stated_rows(campaign: &Campaign, case: &Case) -> Vec<GoalRow> {
    let stated = || campaign.of(&case.name, OURS).flat_map(|m| &m.goals);
    let first = campaign.of(&case.name, OURS).find(|m| !m.goals.is_empty());
    let goals = first.into_iter().flat_map(|first| &first.goals);
    let row = |goal: &Stated| {
        let same = stated().filter(|other| other.what == goal.what);
        let values: Option<Vec<f64>> = same.map(|goal| goal.value).collect();
        let spread = values.and_then(Spread::of);
        let judged = spread.map(|s| if goal.is_ratio { s.median } else { s.most });
        let measured = match judged.zip(spread) {
            Some((judged, s)) if s.count > 1 => {
                format!("{judged:.3} ({:.3}–{:.3})", s.least, s.most)
            }
            Some((judged, _)) => format!("{judged:.3}"),
            None => "none".to_owned(),
        };
        [
            case.title.clone(),
            goal.what.clone(),
            "-".to_owned(),
            format!("≤ {}", goal.at_most),
            measured,
            verdict(judged.is_some_and(|value| value <= goal.at_most)),
        ]
    };
    goals.map(row).collect()
}

/// What went wrong, so that nobody takes a broken measurement for a good one.
fn failures(m: &Measurement) -> Vec<String> {
    let who = format!("{} {}, round {}", m.case, m.peer, m.round + 1);
    let failed = m.failures.iter().map(|why| format!("{who}: {why}"));
    let error = m.error.iter();
    failed
        .chain(error.map(|why| format!("{who}: not measured, {why}")))
        .collect()
}

/// How often other programs took the cores, and the most that was waited, by case and peer.
fn disturbed(campaign: &Campaign) -> BTreeMap<String, (usize, f64)> {
    let mut disturbed: BTreeMap<String, (usize, f64)> = BTreeMap::new();
    for m in &campaign.measurements {
        let waited = m.waited().unwrap_or(0.0);
        if waited > campaign.slice(m).map_or(0.0, |slice| slice.quiet) {
            let entry = disturbed.entry(format!("{} {}", m.case, m.peer));
            let (times, most) = entry.or_default();
            (*times, *most) = (*times + 1, most.max(waited));
        }
    }
    disturbed
}

/// What somebody needs to judge the tables or to make them again.
pub(super) fn readme(campaign: &Campaign) -> String {
    let of = |slice: &Slice| {
        let of_slice = |m: &&Measurement| m.slice == slice.number;
        let measured = campaign.measurements.iter().filter(of_slice);
        let mut cases: Vec<String> = Vec::new();
        for m in measured {
            if !cases.contains(&m.case) {
                cases.push(m.case.clone());
            }
        }
        cases
    };
    let slices = campaign.slices.iter().map(|slice| (slice, of(slice)));
    let slices: Vec<(&Slice, Vec<String>)> = slices.collect();
    fill(
        include_str!("readme.txt"),
        json!({"slices": slices, "peers": campaign.peers()}),
    )
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::{Row, campaign, cpu};
    use super::*;

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
