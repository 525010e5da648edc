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
