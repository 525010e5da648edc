//! What a sweep has measured.

use crate::machine::Machine;
use serde::Serialize;
use serde_json::Value;

/// One combination.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Cell {
    pub(crate) capacity: u64,
    pub(crate) expiry: String,
    pub(crate) rate: f64,
    /// Percent of the stalling readers' deliveries that were dropped.
    pub(crate) loss_percent: f64,
    /// p99 of those who read, in milliseconds.
    pub(crate) healthy_p99_ms: f64,
    /// p99 age of what stalling readers did get, in milliseconds.
    pub(crate) stalled_p99_ms: f64,
    /// Growth of resident memory, in MB.
    pub(crate) growth_mb: f64,
    /// Share of the time the generator or the server waited for a core: above 0.05 the latencies are the machine's.
    pub(crate) waited: f64,
    pub(crate) dropped: Value,
    pub(crate) failures: Vec<String>,
}

/// All of them.
#[derive(Debug, Serialize)]
pub(crate) struct Grid {
    pub(crate) date: String,
    pub(crate) revision: String,
    pub(crate) machine: Machine,
    pub(crate) stall_seconds: f64,
    pub(crate) loss_max: f64,
    /// Cells that were to be measured for each rate; fewer are there of an interrupted sweep.
    pub(crate) settings: usize,
    /// Cut short: the cell under way then is in no figure.
    pub(crate) interrupted: bool,
    pub(crate) cells: Vec<Cell>,
    pub(crate) recommendation: String,
}

impl Grid {
    /// The table.
    pub(super) fn markdown(&self) -> String {
        let Self { date, revision, .. } = self;
        let (seconds, recommendation) = (self.stall_seconds, &self.recommendation);
        let Machine {
            cpu, cores, kernel, ..
        } = &self.machine;
        let mut out = format!(
            "# Queue settings, {date}\n\nSource {revision}. {cpu}, {cores} cores, Linux {kernel}. Readers stall and read in turns of {seconds} s; a \
             fresh server for each cell.\n\n{recommendation}\n\n| capacity | expiry | messages/s | dropped % | healthy p99 ms | stalled p99 ms | \
             memory MB | causes | failed |\n|---|---|---|---|---|---|---|---|---|\n"
        );
        for cell in &self.cells {
            let (capacity, expiry, rate, dropped) =
                (cell.capacity, &cell.expiry, cell.rate, &cell.dropped);
            let (loss, p99, stalled) =
                (cell.loss_percent, cell.healthy_p99_ms, cell.stalled_p99_ms);
            let (growth, failures) = (cell.growth_mb, cell.failures.join("; "));
            out += &format!(
                "| {capacity} | {expiry} | {rate} | {loss:.2} | {p99:.1} | {stalled:.0} | {growth:.2} | {dropped} | {failures} |\n"
            );
        }
        out
    }
}
