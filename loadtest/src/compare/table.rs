//! The tables a person reads.

use super::campaign::{Campaign, Measurement, Slice};
use super::cases::{Against, Baseline, Case, Goal, Metric, goals};
use super::values::Spread;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The peer whose goals are judged.
pub(super) const OURS: &str = "supportal";

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
pub(super) fn summary(campaign: &Campaign) -> String {
    let mut out = String::new();
    goals_table(campaign, &mut out);
    let cases = campaign.cases();
    let mut shown: Option<&str> = None;
    for case in &cases {
        match case.table {
            None => case_table(campaign, case, &mut out),
            Some(table) if shown != Some(table) => {
                shown = Some(table);
                let rows: Vec<&Case> = cases
                    .iter()
                    .copied()
                    .filter(|case| case.table == Some(table))
                    .collect();
                growth_table(campaign, table, &rows, &mut out);
            }
            Some(_) => {}
        }
    }
    problems(campaign, &mut out);
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
    let count = case
        .metrics
        .first()
        .and_then(|metric| campaign.spread(&case.name, peer, metric.key))
        .map_or(0, |spread| spread.count);
    if count == 0 {
        return;
    }
    let mut row = format!("| {first} | {count} |");
    for metric in case.metrics {
        let spread = campaign.spread(&case.name, peer, metric.key);
        row += &format!(" {} |", cell(spread, metric.digits, metric.ratio));
        if metric.ratio && case.baseline != Baseline::None {
            row += &format!(
                " {} |",
                cell(campaign.ratio(case, peer, metric.key), 2, true)
            );
        }
    }
    writeln!(out, "{row}").ok();
}

fn case_table(campaign: &Campaign, case: &Case, out: &mut String) {
    let baseline = match case.baseline {
        Baseline::None => String::new(),
        Baseline::Peer(peer) => peer.to_owned(),
        Baseline::Case(name) => format!("own {name}"),
    };
    let (title, flags) = (&case.title, case.flags.join(" "));
    writeln!(
        out,
        "\n### {title}\n\n`loadtest {flags}`, {} s\n",
        case.seconds
    )
    .ok();
    head("peer", case.metrics, &baseline, out);
    for peer in campaign.peers() {
        row(campaign, &peer.name, case, &peer.name, out);
    }
}

/// Cases of this server, one a row.
fn growth_table(campaign: &Campaign, title: &str, cases: &[&Case], out: &mut String) {
    let Some(first) = cases.first() else {
        return;
    };
    writeln!(out, "\n### {title}\n").ok();
    head("", first.metrics, "the first row", out);
    for case in cases {
        row(campaign, &case.title, case, OURS, out);
    }
    let lines: Vec<String> = cases
        .iter()
        .map(|case| format!("`{}`", case.flags.join(" ")))
        .collect();
    writeln!(out, "\n{} s each: {}.", first.seconds, lines.join(", ")).ok();
}

fn goals_table(campaign: &Campaign, out: &mut String) {
    let rows: Vec<String> = goals()
        .iter()
        .filter_map(|goal| goal_row(campaign, goal))
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

/// The row of a goal, if both sides of it were measured.
fn goal_row(campaign: &Campaign, goal: &Goal) -> Option<String> {
    let cases = campaign.cases();
    let case = cases.into_iter().find(|case| case.name == goal.case)?;
    let metric = case.metrics.iter().find(|m| m.key == goal.metric)?;
    let ours = (goal.case, OURS);
    let (against, sign, measured) = match goal.against {
        Against::Peer(peer) => {
            let ratio = campaign.paired(ours, (goal.case, peer), goal.metric);
            (peer.to_owned(), "≤", ratio?)
        }
        Against::Case(other) => {
            let ratio = campaign.paired(ours, (other, OURS), goal.metric);
            (format!("own {other}"), "≤", ratio?)
        }
        Against::Value => {
            let value = campaign.spread(goal.case, OURS, goal.metric);
            ("-".to_owned(), "≤", value?)
        }
        Against::Over(peer) => {
            let ratio = campaign.paired((goal.case, peer), ours, goal.metric);
            (format!("{peer} over ours"), "≥", ratio?)
        }
    };
    let met = match goal.against {
        Against::Over(_) => measured.median >= goal.limit,
        _ => measured.median <= goal.limit,
    };
    let digits = match goal.against {
        Against::Value => metric.digits,
        _ => 2,
    };
    Some(format!(
        "| {} | {} | {against} | {sign} {} | {} | {} |",
        case.title,
        metric.label,
        goal.limit,
        cell(Some(measured), digits, true),
        if met { "yes" } else { "**no**" }
    ))
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
        let waited = m.values.get("waited").copied().unwrap_or(0.0);
        let quiet = campaign.slice(m).map_or(0.0, |slice| slice.quiet);
        if waited > quiet {
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
        writeln!(out, "- {what}: {times} times, waited up to {most:.0} %").ok();
    }
}

/// One start of `compare`: what was typed, on what, and which cases it holds.
fn slice_text(campaign: &Campaign, slice: &Slice, out: &mut String) {
    let machine = &slice.machine;
    let pinned = match (slice.server_core, slice.generator_core) {
        (Some(server), Some(generator)) => {
            format!("Server pinned to core {server}, generator to core {generator}.")
        }
        _ => "NOT PINNED: server and generator shared the cores.".to_owned(),
    };
    let mut cases: Vec<&str> = Vec::new();
    for m in &campaign.measurements {
        if m.slice == slice.number && !cases.contains(&m.case.as_str()) {
            cases.push(&m.case);
        }
    }
    writeln!(
        out,
        "```sh\n{command}\n```\n\n{date}, source {revision}. {cpu}, {cores} cores, {memory:.0} GiB, Linux {kernel}, \
         TCP {congestion}, loopback; {rustc}.\n{pinned} {rounds} rounds, {warmup} s of warm-up.\nCases: {cases}.\n",
        command = slice.command,
        date = slice.date,
        revision = slice.revision,
        cpu = machine.cpu,
        cores = machine.cores,
        memory = machine.memory_gib,
        kernel = machine.kernel,
        congestion = machine.congestion,
        rustc = machine.rustc,
        rounds = slice.rounds,
        warmup = slice.warmup_seconds,
        cases = cases.join(", ")
    )
    .ok();
}

/// What somebody needs to judge the tables or to make them again.
pub(super) fn readme(campaign: &Campaign) -> String {
    let date = campaign.slices.first().map_or("", |slice| &slice.date);
    let mut out = format!("# Comparison of {date}\n\n");
    for slice in &campaign.slices {
        slice_text(campaign, slice, &mut out);
    }
    out += "Rounds go in turns (A B C, C B A, ...), with a fresh server and a fresh generator for each measurement. \
        Each case comes from one start of the program.\n\n\
        Tables: [summary.md](summary.md). Every report: [raw.json](raw.json).\n\n\
        | peer | version | speaks | |\n|---|---|---|---|\n";
    for peer in campaign.peers() {
        let (name, version) = (&peer.name, &peer.version);
        let note = peer.note.as_deref().unwrap_or_default();
        writeln!(
            out,
            "| {name} | {version} | {} | {note} |",
            peer.kind.text()
        )
        .ok();
    }
    out += "\nHow to read it: CPU per delivery is user and system time of the server's process tree divided by deliveries; on loopback it \
        holds the receiver's half of TCP. A ratio is taken within one round and its median and range over the rounds are shown. \
        `missing` must be 0. Rates and closed-loop latencies also hang on the generator's core.\n\nA measurement is to be repeated \
        on a quiet machine if the summary lists it as disturbed.\n";
    out
}

#[cfg(test)]
mod tests {
    use super::super::campaign::tests::campaign;
    use super::*;

    #[test]
    fn goals_are_judged_by_the_median_of_paired_ratios() {
        let campaign = campaign(&[&[
            ("echo-200", "supportal", 0, 5.0),
            ("echo-200", "floor", 0, 5.0),
            ("echo-200", "channels-uvicorn", 0, 250.0),
            ("echo-200", "supportal", 1, 8.0),
            ("echo-200", "floor", 1, 4.0),
        ]]);
        let text = summary(&campaign);
        assert!(
            text.contains("| floor | ≤ 1.12 | 1.50 (1.00–2.00) | **no** |"),
            "{text}"
        );
        assert!(
            text.contains("| channels-uvicorn over ours | ≥ 60 | 50.00 | **no** |"),
            "{text}"
        );
    }

    #[test]
    fn rounds_of_different_slices_are_never_paired() {
        let campaign = campaign(&[
            &[
                ("slow-none", "supportal", 0, 1.0),
                ("slow", "supportal", 0, 2.0),
            ],
            &[("slow-none", "supportal", 0, 1.0)],
        ]);
        let paired = campaign.paired(
            ("slow", OURS),
            ("slow-none", OURS),
            "cpu_micros_per_delivery",
        );
        assert_eq!(paired, None);
    }

    #[test]
    fn growth_is_one_table_compared_with_its_first_row() {
        let campaign = campaign(&[&[
            ("grow-size-64", "supportal", 0, 5.0),
            ("grow-size-16k", "supportal", 0, 15.0),
        ]]);
        let text = summary(&campaign);
        assert_eq!(text.matches("Growth: message size").count(), 1, "{text}");
        assert!(text.contains("| 16 KiB | 1 | 1 | 15.00 | 3.00 |"), "{text}");
    }
}
