//! What every run ends with: its lines on the terminal, its page, its JSON, its verdict.

use crate::cli::Options;
use crate::html::{STYLE, escape};
use crate::latency::Latency;
use crate::traffic::Totals;
use crate::verify::Counts;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// Share of a core above which the generator, not the server, sets the pace.
const BUSY_MAX: f64 = 0.9;
/// Share of the time without a core above which a shared machine, not the server, makes the latencies.
pub(crate) const WAITED_MAX: f64 = 0.05;

/// A whole number with separators.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// How far a run came, if it was stopped before all of it was measured.
pub(crate) fn interrupted(stop: &AtomicBool, seconds: f64, planned: f64) -> Option<String> {
    // The loop looks at the clock every few milliseconds.
    let is_part = stop.load(Ordering::Relaxed) && seconds + 0.001 < planned;
    is_part.then(|| {
        format!("after {seconds:.1} s of {planned:.1} s: the figures are of a part and not judged")
    })
}

/// Named lines for the terminal.
#[derive(Debug, Default)]
pub(crate) struct Lines(String);

impl Lines {
    pub(crate) fn add(&mut self, name: &str, text: impl Display) {
        self.0.push_str(&format!("  {name:<14} {text}\n"));
    }

    /// Percentiles with so many digits.
    pub(crate) fn latency(&mut self, name: &str, l: &Latency, digits: usize) {
        let of = |ms: f64| format!("{ms:.digits$}");
        let (p50, p90, p99) = (of(l.p50_ms), of(l.p90_ms), of(l.p99_ms));
        let (p999, max, count) = (of(l.p999_ms), l.max_ms, count(l.count));
        self.add(
            name,
            format!(
                "p50 {p50}  p90 {p90}  p99 {p99}  p99.9 {p999}  max {max:.2} ms  ({count} of them)"
            ),
        );
    }
}

/// Sentences that make a run fail.
#[derive(Debug, Default)]
pub(crate) struct Faults(pub(crate) Vec<String>);

impl Faults {
    /// So many of them, if there are any.
    pub(crate) fn some(&mut self, number: u64, what: &str) {
        if number > 0 {
            self.0.push(format!("{} {what}", count(number)));
        }
    }

    /// What no delivery may be, besides lost.
    pub(crate) fn deliveries(&mut self, counts: &Counts) {
        self.some(counts.duplicated, "deliveries came twice");
        self.some(counts.out_of_order, "deliveries came out of order");
        self.some(counts.late, "deliveries came after their expiry");
        let corrupted = "deliveries did not hold what was sent";
        self.some(counts.corrupted, corrupted);
        self.some(counts.misrouted, "deliveries came to the wrong room");
    }
}

/// What the generator's share of a core means for the figures; `of` is whose share it is, of several.
pub(crate) fn busy_warning(busy: f64, of: &str) -> Option<String> {
    (busy > BUSY_MAX).then(|| {
        format!(
            "THE GENERATOR WAS THE LIMIT ({of}{:.0} % busy): rates and latencies are its own, \
             not the server's; CPU per delivery still holds",
            busy * 100.0
        )
    })
}

/// What an open or a closed loop could not do in time.
pub(crate) fn loop_warnings(is_open: bool, lag: &Latency, totals: &Totals) -> Vec<String> {
    let mut warnings = Vec::new();
    if is_open && lag.p99_ms > 2.0 {
        warnings.push(format!(
            "the open loop ran behind its schedule (p99 {:.1} ms); latencies count from the schedule",
            lag.p99_ms
        ));
    }
    if totals.stalls > 0 {
        let n = count(totals.stalls);
        warnings.push(format!("{n} closed loops waited 5 s for what did not come"));
    }
    warnings
}

/// A goal that a run states itself: a figure beside what it should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stated {
    pub(crate) what: String,
    pub(crate) value: Option<f64>,
    pub(crate) at_most: f64,
    /// Of several runs the median is judged, not the worst.
    pub(crate) is_ratio: bool,
}

impl Stated {
    /// Reached; a figure that could not be taken is not.
    pub(crate) fn is_met(&self) -> bool {
        self.value.is_some_and(|value| value <= self.at_most)
    }

    pub(crate) fn text(&self) -> String {
        let value = self.value.map(|value| format!("{value:.3}"));
        let value = value.as_deref().unwrap_or("none");
        let verdict = if self.is_met() { "met" } else { "MISSED" };
        format!(
            "{}: {value}, at most {}  {verdict}",
            self.what, self.at_most
        )
    }
}

/// The report of a run.
pub(crate) trait Judged: Serialize {
    /// The scenario.
    fn name(&self) -> &str;

    /// How far the run came that was stopped before its end. Figures of a part are not judged.
    fn interrupted(&self) -> Option<&str>;

    /// Sentences that make the run fail; empty if all is well.
    fn faults(&self) -> Vec<String>;

    /// Sentences a reader must know before believing the figures.
    fn warnings(&self) -> Vec<String>;

    /// The lines of the terminal, without the verdict.
    fn lines(&self, lines: &mut Lines);

    /// Markup between the page's title and its warnings.
    fn cards(&self) -> String {
        String::new()
    }

    /// Markup before the page's summary.
    fn plots(&self) -> String;

    fn goals(&self) -> &[Stated] {
        &[]
    }

    /// What the JSON has besides the figures and the verdict.
    fn beside(&self) -> Option<(&'static str, Value)> {
        None
    }

    /// The faults, or that the run was stopped.
    fn failures(&self) -> Vec<String> {
        let stopped = self.interrupted();
        stopped.map_or_else(
            || self.faults(),
            |how_far| vec![format!("interrupted {how_far}")],
        )
    }

    /// The summary.
    fn text(&self) -> String {
        let mut lines = Lines::default();
        self.lines(&mut lines);
        for warning in self.warnings() {
            lines.add("WARNING", warning);
        }
        for goal in self.goals() {
            lines.add("goal", goal.text());
        }
        let failures = self.failures();
        if let Some(how_far) = self.interrupted() {
            lines.add("INTERRUPTED", how_far);
        } else if failures.is_empty() {
            lines.add("verdict", "good");
        } else {
            failures
                .iter()
                .for_each(|failure| lines.add("FAILED", failure));
        }
        lines.0
    }

    /// One page without outside resources.
    fn page(&self) -> String {
        let failures = self.failures();
        let (verdict, colour) = match self.interrupted() {
            Some(_) => ("interrupted", "#9a6700"),
            None if failures.is_empty() => ("good", "#1a7f37"),
            None => ("failed", "#cf222e"),
        };
        let sentences = |class: &str, all: Vec<String>| -> String {
            let all = all.iter();
            all.map(|text| format!("<p class={class}>{}</p>", escape(text)))
                .collect()
        };
        let (name, cards, plots) = (escape(self.name()), self.cards(), self.plots());
        let warnings = sentences("warn", self.warnings());
        let (failures, text) = (sentences("fail", failures), escape(&self.text()));
        format!(
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
             <title>loadtest {name}</title><style>{STYLE}</style><body>\
             <h1>loadtest {name} <span style=\"color:{colour}\">{verdict}</span></h1>{cards}{warnings}{failures}{plots}\
             <h2>Summary</h2><pre>{text}</pre></body></html>\n"
        )
    }

    /// The figures with what they were judged to be.
    fn json(&self) -> Value {
        let mut json = serde_json::to_value(self).unwrap_or_default();
        let missed = self.goals().iter().filter(|goal| !goal.is_met());
        let missed: Vec<&str> = missed.map(|goal| goal.what.as_str()).collect();
        if let Some(json) = json.as_object_mut() {
            let (failures, warnings) = (self.failures(), self.warnings());
            let verdict =
                json!({"failures": failures, "warnings": warnings, "goals_missed": missed});
            json.insert("verdict".to_owned(), verdict);
            json.extend(self.beside().map(|(name, value)| (name.to_owned(), value)));
        }
        json
    }

    /// Writes the files that were asked for; the program's exit code.
    /// Errors: A file cannot be written.
    fn files(&self, options: &Options) -> Result<ExitCode, String> {
        if let Some(path) = &options.json {
            write_json(path, &self.json())?;
        }
        if let Some(path) = &options.html {
            write(path, &self.page())?;
        }
        // Whoever stops a run has not found a fault.
        let is_good = self.interrupted().is_some() || self.failures().is_empty();
        Ok(exit_code(is_good))
    }
}

/// Of a run that found no fault, or some.
pub(crate) fn exit_code(is_good: bool) -> ExitCode {
    if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Writes figures into a file.
/// Errors: It cannot be written.
pub(crate) fn write_json(path: &Path, json: &Value) -> Result<(), String> {
    let text = serde_json::to_string_pretty(json).map_err(|error| error.to_string())?;
    write(path, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        let texts = [0, 999, 1_234_567].map(count);
        assert_eq!(texts, ["0", "999", "1,234,567"]);
    }

    #[test]
    fn a_goal_without_a_figure_is_missed() {
        let goal = |value| Stated {
            what: "a".to_owned(),
            value,
            at_most: 2.0,
            is_ratio: false,
        };
        assert!(goal(Some(2.0)).is_met() && !goal(Some(2.1)).is_met());
        assert!(!goal(None).is_met() && goal(None).text().contains("MISSED"));
    }
}
