//! What one generator process knows of a run. The report is made from the parts of all of them, or from the only one.

use super::returns::Returned;
use crate::clock::seconds;
use crate::latency::Times;
use crate::measure::Process;
use crate::tally::sum_of;
use crate::traffic::Totals;
use crate::verify::Counts;
use serde::{Deserialize, Serialize};

/// What happened since the slice before.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Interval {
    /// Nanoseconds from the start of the measurement to its end.
    pub(crate) at: u64,
    pub(crate) window: Window,
    /// Open at its end.
    pub(crate) connections: usize,
    /// Lost since the start of the run.
    pub(crate) lost: u64,
    /// Errors, refusals and closes of the server since then.
    pub(crate) errors: u64,
    pub(crate) latency: Times,
    pub(crate) handshakes: Times,
}

/// What one process counted in a time of so many nanoseconds.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Window {
    pub(crate) nanos: u64,
    pub(crate) delivered: u64,
    pub(crate) published: u64,
    pub(crate) lives: u64,
    /// Connections.
    pub(crate) opened: u64,
    /// Time the loop worked.
    pub(crate) busy: u64,
    pub(crate) cpu: u64,
    /// Time it could have run but had no core.
    pub(crate) waited: u64,
}

sum_of!(Window: nanos delivered published lives opened busy cpu waited);

impl Window {
    /// What was counted since `then`.
    pub(crate) fn since(&self, then: &Self) -> Self {
        Self {
            nanos: self.nanos - then.nanos,
            delivered: self.delivered - then.delivered,
            published: self.published - then.published,
            lives: self.lives - then.lives,
            opened: self.opened - then.opened,
            busy: self.busy - then.busy,
            cpu: self.cpu - then.cpu,
            waited: self.waited - then.waited,
        }
    }
}

/// All one process knows besides its slices.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) window: Window,
    pub(crate) connections: usize,
    pub(crate) command_bytes: usize,
    pub(crate) verification: Counts,
    pub(crate) lost_explained: u64,
    pub(crate) totals: Totals,
    pub(crate) returned: Option<Returned>,
    pub(crate) lag: Times,
    pub(crate) slow_latency: Times,
    pub(crate) notes: Vec<String>,
}

/// One generator process in the report.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Generator {
    pub(crate) connections: usize,
    pub(crate) deliveries: u64,
    pub(crate) published: u64,
    /// Share of the window its loop worked.
    pub(crate) busy: f64,
    /// Cores it used.
    pub(crate) cpu: f64,
    /// Share of the window it could have run but had no core.
    pub(crate) waited: f64,
}

impl Part {
    /// Its line in the report.
    pub(crate) fn generator(&self) -> Generator {
        let window = &self.window;
        let share = |nanos: u64| nanos as f64 / window.nanos.max(1) as f64;
        Generator {
            connections: self.connections,
            deliveries: window.delivered,
            published: window.published,
            busy: share(window.busy),
            cpu: share(window.cpu),
            waited: share(window.waited),
        }
    }

    /// All parts as one; the window is as long as the longest.
    pub(crate) fn sum(parts: Vec<Self>) -> Option<Self> {
        let several = parts.len() > 1;
        let mut all: Option<Self> = None;
        for (number, mut part) in (1..).zip(parts) {
            if several {
                for note in &mut part.notes {
                    *note = format!("process {number}: {note}");
                }
            }
            match &mut all {
                None => all = Some(part),
                Some(all) => all.add(part),
            }
        }
        all
    }

    fn add(&mut self, other: Self) {
        let nanos = self.window.nanos.max(other.window.nanos);
        self.window += other.window;
        self.window.nanos = nanos;
        self.connections += other.connections;
        self.verification += other.verification;
        self.lost_explained += other.lost_explained;
        self.totals += other.totals;
        match (&mut self.returned, other.returned) {
            (Some(ours), Some(theirs)) => ours.add(&theirs),
            (ours @ None, theirs) => *ours = theirs,
            (Some(_), None) => {}
        }
        self.lag += &other.lag;
        self.slow_latency += &other.slow_latency;
        self.notes.extend(other.notes);
    }
}

impl Interval {
    /// The same interval of several processes as one; its rates are the sum of theirs.
    pub(crate) fn sum(slices: &[Self]) -> Rates {
        let mut all = Rates::default();
        for slice in slices {
            let window = &slice.window;
            let rate = |count: u64| count as f64 / seconds(window.nanos).max(1e-9);
            all.at = all.at.max(slice.at);
            all.deliveries += rate(window.delivered);
            all.published += rate(window.published);
            all.handshakes += rate(window.opened);
            all.connections += slice.connections;
            all.lost += slice.lost;
            all.errors += slice.errors;
            all.latency += &slice.latency;
            all.opened_in += &slice.handshakes;
        }
        all
    }
}

/// An interval of all processes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rates {
    pub(crate) at: u64,
    pub(crate) deliveries: f64,
    pub(crate) published: f64,
    pub(crate) handshakes: f64,
    pub(crate) connections: usize,
    pub(crate) lost: u64,
    pub(crate) errors: u64,
    pub(crate) latency: Times,
    /// Time that handshakes took.
    pub(crate) opened_in: Times,
}

/// What each process of the server had used at the two ends of the window.
#[derive(Debug, Default, Clone)]
pub(crate) struct Used {
    pub(crate) start: Vec<Option<Process>>,
    pub(crate) end: Vec<Option<Process>>,
}

impl Used {
    /// How much a time has grown, of each process; 0 of one that has ended.
    pub(crate) fn grown(&self, of: fn(&Process) -> u64) -> Vec<u64> {
        let time = |process: &Option<Process>| process.as_ref().map_or(0, of);
        let ends = self.start.iter().zip(&self.end);
        ends.map(|(a, b)| time(b).saturating_sub(time(a))).collect()
    }

    /// The same of all; none where none was asked for.
    pub(crate) fn grown_in_all(&self, of: fn(&Process) -> u64) -> Option<u64> {
        let is_known = self.end.iter().any(Option::is_some);
        is_known.then(|| self.grown(of).iter().sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(nanos: u64, delivered: u64, values: impl Iterator<Item = u64>) -> Interval {
        let mut latency = Times::default();
        values.for_each(|value| latency.saturating_record(value));
        let window = Window {
            nanos,
            delivered,
            ..Window::default()
        };
        Interval {
            window,
            connections: 10,
            lost: 1,
            latency,
            ..Interval::default()
        }
    }

    #[test]
    fn a_histogram_survives_the_pipe_exactly() {
        let values = (0..5000u64).map(|i| i * i * 3_777);
        let ends = [0, 999, 1_000, u64::MAX, 89_999_999_999];
        let slice = slice(1, 1, values.chain(ends));
        let text = serde_json::to_string(&slice).unwrap();
        let back: Interval = serde_json::from_str(&text).unwrap();
        assert_eq!(back.latency, slice.latency);
        assert_eq!(back.latency.max(), slice.latency.max());
    }

    #[test]
    fn slices_of_one_interval_add_up() {
        let fast = slice(1_000_000_000, 900, (0..90).map(|_| 1_000_000));
        let slow = slice(2_000_000_000, 200, (0..10).map(|_| 9_000_000));
        let all = Interval::sum(&[fast, slow]);
        assert!((all.deliveries - 1000.0).abs() < 1e-6);
        assert_eq!((all.connections, all.lost, all.latency.len()), (20, 2, 100));
        assert!((all.latency.value_at_quantile(0.99) as f64 / 9e6 - 1.0).abs() < 0.001);
    }

    #[test]
    fn parts_add_up_and_notes_say_whose_they_are() {
        let part = |delivered, busy| {
            let mut part = Part {
                connections: 5,
                notes: vec!["odd".to_owned()],
                ..Part::default()
            };
            (part.window.nanos, part.window.busy) = (1000, busy);
            (part.window.delivered, part.verification.lost) = (delivered, 1);
            part.totals.errors.count("no");
            part
        };
        let all = Part::sum(vec![part(100, 200), part(50, 700)]).unwrap();
        assert_eq!((all.window.delivered, all.verification.lost), (150, 2));
        assert_eq!((all.connections, all.totals.errors["no"]), (10, 2));
        assert_eq!(all.notes, ["process 1: odd", "process 2: odd"]);
        assert_eq!(Part::sum(vec![part(100, 200)]).unwrap().notes, ["odd"]);
        assert!((part(1, 700).generator().busy - 0.7).abs() < 1e-9);
    }
}
