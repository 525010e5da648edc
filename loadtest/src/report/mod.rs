//! The figures of a run; [`verdict`] judges them, `report.txt` shows them.

mod across;
mod judged;
mod part;
mod reconcile;
mod returns;
mod storm;
mod verdict;

use crate::latency::Latency;
use crate::ledger::Ledger;
use crate::measure::Process;
use crate::traffic::Totals;
use crate::verify::Counts;
pub(crate) use across::{
    Across, Added, CrossSample, Disagreement, Facts, Losses, NodeBook, Strike,
};
pub(crate) use judged::{Stated, exit_code, write_json};
pub(crate) use part::{Generator, Interval, Part, Used, Window};
pub(crate) use returns::{Comings, Returns};
use serde::Serialize;
pub(crate) use storm::StormPart;

/// How the note of a restart begins that did not work: the verdict takes it for a failure.
pub(crate) const FAILED: &str = "restart failed: ";

/// One point of the series.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Sample {
    /// Seconds since the measurement began.
    pub(crate) at: f64,
    pub(crate) deliveries: f64,
    pub(crate) published: f64,
    pub(crate) handshakes: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) connections: usize,
    pub(crate) tcp_buffer_bytes: Option<u64>,
    pub(crate) server: Option<Process>,
    pub(crate) queued: Option<u64>,
    pub(crate) dropped: Option<u64>,
    /// The same by cause.
    pub(crate) causes: std::collections::BTreeMap<String, u64>,
    pub(crate) unexplained: Option<i64>,
}

/// The server's memory through the run.
#[derive(Debug, Default, Clone, Serialize)]
pub(crate) struct Memory {
    pub(crate) connections: usize,
    pub(crate) connect_seconds: f64,
    pub(crate) empty: Option<Process>,
    pub(crate) opened: Option<Process>,
    pub(crate) idle: Option<Process>,
    pub(crate) end: Option<Process>,
    pub(crate) closed: Option<Process>,
    /// Kernel buffers of all TCP sockets of the machine, both ends (their fixed structures are not in it).
    pub(crate) tcp_empty_bytes: Option<u64>,
    pub(crate) tcp_opened_bytes: Option<u64>,
}

/// The window's figures.
#[derive(Debug, Default, Clone, Serialize)]
pub(crate) struct Figures {
    pub(crate) seconds: f64,
    pub(crate) rooms: usize,
    pub(crate) connections: usize,
    pub(crate) wanted: usize,
    pub(crate) deliveries: u64,
    pub(crate) deliveries_per_second: f64,
    pub(crate) published: u64,
    pub(crate) published_per_second: f64,
    pub(crate) lives: u64,
    pub(crate) lives_per_second: f64,
    /// Cores the server used; of several, all of them.
    pub(crate) server_cpu: Option<f64>,
    /// Cores each process used that was asked for: the server, or the nodes and then their Redis.
    pub(crate) cores: Vec<f64>,
    pub(crate) cpu_micros_per_delivery: Option<f64>,
    pub(crate) cpu_micros_per_life: Option<f64>,
    /// Share of the window the loop worked.
    pub(crate) generator_busy: f64,
    /// Cores it used.
    pub(crate) generator_cpu: f64,
    /// Share of the window it could have run but had no core.
    pub(crate) generator_waited: f64,
    /// The same for all threads of the server.
    pub(crate) server_waited: Option<f64>,
}

/// Everything known about a run; the observer fills it.
#[derive(Debug, Default, Clone, Serialize)]
pub(crate) struct Report {
    pub(crate) scenario: String,
    pub(crate) seed: u64,
    pub(crate) text_bytes: usize,
    pub(crate) command_bytes: usize,
    pub(crate) open_loop: bool,
    pub(crate) figures: Figures,
    /// The process that generated the load.
    pub(crate) generators: Vec<Generator>,
    pub(crate) latency: Latency,
    pub(crate) handshakes: Latency,
    pub(crate) lag: Latency,
    pub(crate) verification: Counts,
    pub(crate) lost_explained: u64,
    pub(crate) totals: Totals,
    pub(crate) memory: Memory,
    pub(crate) ledger_before: Option<Ledger>,
    pub(crate) ledger_after: Option<Ledger>,
    pub(crate) samples: Vec<Sample>,
    pub(crate) notes: Vec<String>,
    /// Of readers that stop at times.
    pub(crate) slow_latency: Latency,
    /// Of people who leave and come back.
    pub(crate) returns: Option<Returns>,
    /// What a soak must hold.
    pub(crate) soak: Option<SoakLimits>,
    /// By what was measured: percentile and milliseconds.
    pub(crate) percentiles: Vec<(&'static str, Vec<(f64, f64)>)>,
    /// Of a run over several nodes.
    pub(crate) across: Option<Across>,
    pub(crate) goals: Vec<Stated>,
    pub(crate) storm: Option<StormPart>,
    /// How far the run came that was stopped before its end. Figures of a part are not judged.
    pub(crate) interrupted: Option<String>,
}

impl Report {
    /// The same with the other nodes' side.
    pub(crate) fn with_across(mut self, across: Option<Across>) -> Self {
        self.across = across.map(|mut across| {
            across.added = Added::of(&self.latency, &across.latency, &across.bare);
            self.percentiles.append(&mut across.percentiles);
            self.notes.append(&mut across.notes);
            across
        });
        self
    }
}

/// What a soak must hold besides losing nothing.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct SoakLimits {
    /// Growth of resident memory after the first fifth.
    pub(crate) rss_growth_bytes: u64,
    /// Connections that come and go, so that descriptors may vary by twice as many.
    pub(crate) lanes: usize,
}
