//! The tables a person reads.

use super::cases::{Against, Baseline, Case, Goal, Metric, goals};
use super::values::Spread;
use super::{Measurement, Outcome};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The peer whose goals are judged.
const OURS: &str = "supportal";

/// One measurement in one line.
pub(super) fn brief(case: &Case, measurement: &Measurement) -> String {
    if let Some(why) = &measurement.error {
        return format!("not measured: {why}");
    }
    let figures: Vec<String> = case
        .metrics
        .iter()
        .filter_map(|metric| {
            let value = measurement.values.get(metric.key)?;
            Some(format!("{} {value:.*}", metric.label, metric.digits))
        })
        .collect();
    let failed = measurement
        .failures
        .first()
        .map_or(String::new(), |why| format!("  FAILED: {why}"));
    figures.join("  ") + &failed
}

/// All cases and, if this server was measured, its goals.
pub(super) fn summary(outcome: &Outcome) -> String {
    let mut out = String::new();
    goals_table(outcome, &mut out);
    for case in &outcome.cases {
        case_table(outcome, case, &mut out);
    }
    problems(outcome, &mut out);
    out
}

fn number(value: f64, digits: usize) -> String {
    if digits == 0 {
        let whole = crate::report::count(value.abs().round() as u64);
        return if value <= -0.5 {
            format!("-{whole}")
        } else {
            whole
        };
    }
    format!("{value:.digits$}")
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

fn case_table(outcome: &Outcome, case: &Case, out: &mut String) {
    let baseline = match case.baseline {
        Baseline::Peer(peer) => peer.to_owned(),
        Baseline::Case(name) => format!("own {name}"),
    };
    writeln!(
        out,
        "\n### {}\n\n`loadtest {}`, {} s\n",
        case.title,
        case.flags.join(" "),
        case.seconds
    )
    .ok();
    let mut head = "| peer | n |".to_owned();
    for metric in case.metrics {
        head += &format!(" {} |", metric.label);
        if metric.ratio {
            head += &format!(" to {baseline}, paired |");
        }
    }
    let columns = head.matches('|').count() - 1;
    writeln!(out, "{head}\n|{}", "---|".repeat(columns)).ok();
    for peer in &outcome.peers {
        let name = peer.name.as_str();
        let first: Option<&Metric> = case.metrics.first();
        let count = first
            .and_then(|metric| outcome.spread(&case.name, name, metric.key))
            .map_or(0, |spread| spread.count);
        if count == 0 {
            continue;
        }
        let mut row = format!("| {name} | {count} |");
        for metric in case.metrics {
            let spread = outcome.spread(&case.name, name, metric.key);
            row += &format!(" {} |", cell(spread, metric.digits, metric.ratio));
            if metric.ratio {
                row += &format!(
                    " {} |",
                    cell(outcome.ratio(case, name, metric.key), 2, true)
                );
            }
        }
        writeln!(out, "{row}").ok();
    }
}

fn goals_table(outcome: &Outcome, out: &mut String) {
    let rows: Vec<String> = goals()
        .iter()
        .filter_map(|goal| goal_row(outcome, goal))
        .flatten()
        .collect();
    if rows.is_empty() {
        return;
    }
    writeln!(
        out,
        "\n### Goals\n\nMedians of ratios taken round by round, with their range.\n\n\
         | case | measure | against | goal | measured | met |\n|---|---|---|---|---|---|\n{}",
        rows.join("\n")
    )
    .ok();
}

/// One row for each peer the goal names that was measured.
fn goal_row(outcome: &Outcome, goal: &Goal) -> Option<Vec<String>> {
    let case = outcome.cases.iter().find(|case| case.name == goal.case)?;
    let metric = case
        .metrics
        .iter()
        .find(|metric| metric.key == goal.metric)?;
    let ours = (goal.case, OURS);
    let row = |against: &str, sign: &str, measured: Spread, met: bool| {
        let digits = if goal.against == Against::Value {
            metric.digits
        } else {
            2
        };
        let verdict = if met { "yes" } else { "**no**" };
        format!(
            "| {} | {} | {against} | {sign} {} | {} | {verdict} |",
            case.title,
            metric.label,
            goal.limit,
            cell(Some(measured), digits, true)
        )
    };
    let least = |against: &str, measured: Option<Spread>| {
        let measured = measured?;
        Some(vec![row(
            against,
            "≤",
            measured,
            measured.median <= goal.limit,
        )])
    };
    match goal.against {
        Against::Peer(peer) => least(peer, outcome.paired(ours, (goal.case, peer), goal.metric)),
        Against::Case(other) => least(other, outcome.paired(ours, (other, OURS), goal.metric)),
        Against::Value => least("-", outcome.spread(goal.case, OURS, goal.metric)),
        Against::Over(start) => {
            let rows = outcome
                .peers
                .iter()
                .filter(|peer| peer.name.starts_with(start));
            let rows = rows.filter_map(|peer| {
                let measured = outcome.paired((goal.case, &peer.name), ours, goal.metric)?;
                let name = format!("{} over ours", peer.name);
                Some(row(&name, "≥", measured, measured.median >= goal.limit))
            });
            Some(rows.collect())
        }
    }
}

/// What went wrong, so that nobody takes a broken measurement for a good one.
fn problems(outcome: &Outcome, out: &mut String) {
    let mut failed = String::new();
    let mut disturbed: BTreeMap<String, (usize, f64)> = BTreeMap::new();
    for m in &outcome.measurements {
        let who = format!("- {} {}, round {}", m.case, m.peer, m.round + 1);
        for why in &m.failures {
            writeln!(failed, "{who}: {why}").ok();
        }
        if let Some(why) = &m.error {
            writeln!(failed, "{who}: not measured, {why}").ok();
        }
        let waited = m.values.get("waited").copied().unwrap_or(0.0);
        if waited > outcome.quiet {
            let (times, most) = disturbed
                .entry(format!("{} {}", m.case, m.peer))
                .or_default();
            (*times, *most) = (*times + 1, most.max(waited));
        }
    }
    if failed.is_empty() {
        writeln!(out, "\nNo measurement failed a check.").ok();
    } else {
        writeln!(out, "\n### Failures\n\n{failed}").ok();
    }
    if disturbed.is_empty() {
        return;
    }
    writeln!(out, "\n### Disturbed\n\nOther programs took the cores, so rates and latencies are the machine's:\n").ok();
    for (what, (times, most)) in disturbed {
        let most = most * 100.0;
        writeln!(
            out,
            "- {what}: in {times} of {} rounds, waited up to {most:.0} %",
            outcome.rounds
        )
        .ok();
    }
}

/// What somebody needs to judge the tables or to make them again.
pub(super) fn readme(outcome: &Outcome) -> String {
    let machine = &outcome.machine;
    let pinned = match (outcome.server_core, outcome.generator_core) {
        (Some(server), Some(generator)) => {
            format!("Server pinned to core {server}, generator to core {generator}.")
        }
        _ => "NOT PINNED: server and generator shared the cores.".to_owned(),
    };
    let mut out = format!(
        "# Comparison of {date}\n\n```sh\n{command}\n```\n\nSource {revision}. {cpu}, {cores} cores, {memory:.0} GiB, \
         Linux {kernel}, TCP {congestion}, loopback; {rustc}.\n{pinned} {rounds} rounds in turns (A B C, C B A, ...), a fresh \
         server and a fresh generator for each measurement, {warmup} s of warm-up.\n\nTables: [summary.md](summary.md). \
         Every report: [raw.json](raw.json).\n\n",
        date = outcome.date,
        command = outcome.command,
        revision = outcome.revision,
        cpu = machine.cpu,
        cores = machine.cores,
        memory = machine.memory_gib,
        kernel = machine.kernel,
        congestion = machine.congestion,
        rustc = machine.rustc,
        rounds = outcome.rounds,
        warmup = outcome.warmup_seconds,
    );
    out += "| peer | version | speaks | |\n|---|---|---|---|\n";
    for peer in &outcome.peers {
        let version = outcome.versions.get(&peer.name).map_or("", String::as_str);
        let version = if version.is_empty() {
            outcome.revision.as_str()
        } else {
            version
        };
        let speaks = peer.kind.text();
        let note = peer.note.as_deref().unwrap_or_default();
        writeln!(out, "| {} | {version} | {speaks} | {note} |", peer.name).ok();
    }
    out += "\nHow to read it: CPU per delivery is user and system time of the server's process tree divided by deliveries; on loopback it \
        holds the receiver's half of TCP. A ratio is taken within one round and its median and range over the rounds are shown. \
        `missing` must be 0. Rates and closed-loop latencies also hang on the generator's core.\n\nThe measurement is to be repeated \
        on a quiet machine if the summary lists disturbances.\n";
    out
}
