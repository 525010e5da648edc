//! What a run across nodes has seen: counters, latencies, the series.

use super::books::{Disagreement, Losses, NodeBook};
use super::fault::{Look, Seen};
use crate::latency::histogram;
use crate::latency::recorded;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;

/// Latencies of one part of a run.
#[derive(Debug)]
pub(super) struct Latencies {
    pub(super) near: Histogram<u64>,
    pub(super) far: Histogram<u64>,
    pub(super) bare: Histogram<u64>,
}

impl Latencies {
    pub(super) fn new() -> Self {
        Self {
            near: histogram(),
            far: histogram(),
            bare: histogram(),
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        recorded::add(&mut self.near, &other.near);
        recorded::add(&mut self.far, &other.far);
        recorded::add(&mut self.bare, &other.bare);
    }
}

/// One point of the series.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Sample {
    /// Seconds since the measurement began.
    pub(crate) at: f64,
    pub(crate) near_per_second: f64,
    pub(crate) far_per_second: f64,
    pub(crate) near_p99_ms: f64,
    pub(crate) far_p99_ms: f64,
    pub(crate) bare_p99_ms: f64,
    /// Of the node that has most.
    pub(crate) outbox: u64,
    pub(crate) nodes_up: usize,
}

/// CPU time in nanoseconds.
#[derive(Debug, Clone, Default)]
pub(super) struct Cpu {
    pub(super) nodes: Vec<u64>,
    pub(super) redis: u64,
    pub(super) own: u64,
    pub(super) own_wait: u64,
    pub(super) servers_wait: u64,
}

/// Counters at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Mark {
    pub(super) at: u64,
    pub(super) near: u64,
    pub(super) far: u64,
    pub(super) published: u64,
    pub(super) busy: u64,
    pub(super) cpu: Cpu,
}

/// All that a run has seen.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) start: Mark,
    pub(super) end: Mark,
    /// While nothing was wrong.
    pub(super) calm: Latencies,
    /// From each blow until all rooms were reached again.
    pub(super) hit: Latencies,
    pub(super) samples: Vec<Sample>,
    pub(super) looks: Vec<Look>,
    pub(super) seen: Vec<Seen>,
    pub(super) losses: Losses,
    pub(super) disagreement: Disagreement,
    pub(super) nodes: Vec<NodeBook>,
    pub(super) bare: (u64, u64),
    pub(super) refused: BTreeMap<String, u64>,
}
