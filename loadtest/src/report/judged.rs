//! What a run ends with: its lines on the terminal, its page, its JSON, its exit code.

use super::Report;
use crate::cli::Options;
use crate::html;
use crate::template::{count, fill};
use crate::verify::Counts;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// Sentences that make a run fail.
#[derive(Debug, Default)]
pub(super) struct Faults(pub(super) Vec<String>);

impl Faults {
    /// So many of them, if there are any.
    pub(super) fn some(&mut self, number: u64, what: &str) {
        if number > 0 {
            self.0.push(format!("{} {what}", count(number)));
        }
    }

    /// What no delivery may be, besides lost.
    pub(super) fn deliveries(&mut self, counts: &Counts) {
        self.some(counts.duplicated, "deliveries came twice");
        self.some(counts.out_of_order, "deliveries came out of order");
        self.some(counts.late, "deliveries came after their expiry");
        let corrupted = "deliveries did not hold what was sent";
        self.some(counts.corrupted, corrupted);
        self.some(counts.misrouted, "deliveries came to the wrong room");
    }
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
    fn is_met(&self) -> bool {
        self.value.is_some_and(|value| value <= self.at_most)
    }
}

impl Report {
    /// The same, with how far it came if the run was stopped before all of it was measured.
    pub(crate) fn unless_stopped(mut self, stop: &AtomicBool, planned: f64) -> Self {
        let seconds = self.figures.seconds;
        // The loop looks at the clock every few milliseconds.
        let is_part = stop.load(Ordering::Relaxed) && seconds + 0.001 < planned;
        self.interrupted = is_part.then(|| {
            format!(
                "after {seconds:.1} s of {planned:.1} s: the figures are of a part and not judged"
            )
        });
        self
    }

    /// The faults, or that the run was stopped: figures of a part are not judged.
    pub(crate) fn failures(&self) -> Vec<String> {
        match &self.interrupted {
            Some(how_far) => vec![format!("interrupted {how_far}")],
            None => self.faults(),
        }
    }

    /// The summary, from the template.
    pub(crate) fn text(&self) -> String {
        fill(include_str!("report.txt"), self.json())
    }

    /// One page without outside resources.
    pub(crate) fn page(&self) -> String {
        let mut json = self.json();
        if let Some(json) = json.as_object_mut() {
            json.insert("text".to_owned(), Value::String(self.text()));
        }
        html::page(&self.scenario, &json)
    }

    /// The figures with what they were judged to be.
    fn json(&self) -> Value {
        let mut json = serde_json::to_value(self).unwrap_or_default();
        let missed = self.goals.iter().filter(|goal| !goal.is_met());
        let missed: Vec<&str> = missed.map(|goal| goal.what.as_str()).collect();
        if let Some(json) = json.as_object_mut() {
            let (failures, warnings) = (self.failures(), self.warnings());
            let verdict =
                json!({"failures": failures, "warnings": warnings, "goals_missed": missed});
            json.insert("verdict".to_owned(), verdict);
            json.insert("books".to_owned(), json!(self.reconciled()));
        }
        json
    }

    /// Writes the files that were asked for; the program's exit code.
    /// Errors: A file cannot be written.
    pub(crate) fn files(&self, options: &Options) -> Result<ExitCode, String> {
        if let Some(path) = &options.json {
            write_json(path, &self.json())?;
        }
        if let Some(path) = &options.html {
            write(path, &self.page())?;
        }
        // Whoever stops a run has not found a fault.
        let is_good = self.interrupted.is_some() || self.failures().is_empty();
        Ok(exit_code(is_good))
    }
}

/// Of a run that found no fault, or some.
pub(crate) fn exit_code(is_good: bool) -> ExitCode {
    match is_good {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Writes figures into a file.
/// Errors: The file cannot be written.
pub(crate) fn write_json(path: &Path, json: &Value) -> Result<(), String> {
    let text = serde_json::to_string_pretty(json).map_err(|error| error.to_string())?;
    write(path, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_without_a_figure_is_missed() {
        let goal = |value| Stated {
            what: "a".to_owned(),
            value,
            at_most: 2.0,
            is_ratio: false,
        };
        assert!(goal(Some(2.0)).is_met() && !goal(Some(2.1)).is_met());
        assert!(!goal(None).is_met());
    }
}
