//! The figures of a run; [`verdict`] judges them, [`text`] shows them.

mod part;
mod reconcile;
mod returns;
mod text;
mod verdict;

use crate::latency::Latency;
use crate::ledger::Ledger;
use crate::measure::Process;
use crate::traffic::Totals;
use crate::verify::Counts;
pub(crate) use part::{Generator, Part, Slice, Used, Window};
pub(crate) use returns::{Returned, Returns};
use serde::Serialize;
use std::sync::atomic::{AtomicBool, Ordering};

/// How the note of a restart begins that did not work: the verdict takes it for a failure.
pub(crate) const FAILED: &str = "restart failed: ";

/// One point of the series.
#[derive(Debug, Clone, Serialize)]
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
#[derive(Debug, Clone, Serialize)]
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
    pub(crate) server_cpu: Option<f64>,
    pub(crate) cpu_micros_per_delivery: Option<f64>,
    pub(crate) cpu_micros_per_life: Option<f64>,
    /// Share of the window the loop worked; of several processes, the busiest one's.
    pub(crate) generator_busy: f64,
    /// Cores all generators used.
    pub(crate) generator_cpu: f64,
    /// Share of the window the generator that waited most could have run but had no core.
    pub(crate) generator_waited: f64,
    /// The same for all threads of the server.
    pub(crate) server_waited: Option<f64>,
}

/// Everything known about a run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    pub(crate) scenario: String,
    pub(crate) seed: u64,
    pub(crate) text_bytes: usize,
    pub(crate) command_bytes: usize,
    pub(crate) open_loop: bool,
    pub(crate) figures: Figures,
    /// The processes that generated the load.
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
    pub(crate) percentiles: Vec<(f64, f64)>,
    /// How far the run came that was stopped before its end. Figures of a part are not judged.
    pub(crate) interrupted: Option<String>,
}

/// How far a run came, if it was stopped before all of it was measured.
pub(crate) fn interrupted(stop: &AtomicBool, seconds: f64, planned: f64) -> Option<String> {
    // The loop looks at the clock every few milliseconds.
    let is_part = stop.load(Ordering::Relaxed) && seconds + 0.001 < planned;
    is_part.then(|| {
        format!("after {seconds:.1} s of {planned:.1} s: the figures are of a part and not judged")
    })
}

/// What a soak must hold besides losing nothing.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct SoakLimits {
    /// Growth of resident memory after the first fifth.
    pub(crate) rss_growth_bytes: u64,
    /// Connections that come and go, so that descriptors may vary by twice as many.
    pub(crate) lanes: usize,
}

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

impl Report {
    /// The figures with what they were judged to be.
    pub(crate) fn json(&self) -> serde_json::Value {
        let mut json = serde_json::to_value(self).unwrap_or_default();
        if let Some(json) = json.as_object_mut() {
            let verdict =
                serde_json::json!({"failures": self.failures(), "warnings": self.warnings()});
            json.insert("verdict".to_owned(), verdict);
            json.insert("books".to_owned(), serde_json::json!(self.reconciled()));
        }
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
    }
}
