//! What the generator knows of a run, and what the server used in it.

use super::returns::Returns;
use crate::latency::Times;
use crate::measure::Process;
use crate::traffic::{Beside, Totals};
use crate::verify::Counts;
use serde::Serialize;

/// What happened since the slice before.
#[derive(Debug, Clone, Default)]
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

/// What the generator counted in a time of so many nanoseconds.
#[derive(Debug, Default, Clone, Copy)]
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

/// All the generator knows besides its slices.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) window: Window,
    pub(crate) connections: usize,
    pub(crate) command_bytes: usize,
    pub(crate) verification: Counts,
    pub(crate) lost_explained: u64,
    pub(crate) totals: Totals,
    pub(crate) returns: Option<Returns>,
    pub(crate) lag: Times,
    pub(crate) slow_latency: Times,
    pub(crate) beside: Option<Beside>,
    pub(crate) notes: Vec<String>,
}

/// The generator in the report.
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
