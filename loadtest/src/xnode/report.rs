//! The figures of a run across nodes, and what they are judged to be.

use super::books::{Disagreement, Losses, NodeBook};
use super::fault::Strike;
use super::outcome::{CrossSample, Latencies, Outcome};
use super::stage::Facts;
use crate::clock::seconds;
use crate::latency::{Latency, Times};
use crate::machine::Machine;
use crate::report::{Faults, Judged, Lines, Stated, WAITED_MAX, busy_warning, loop_warnings};
use crate::tally::Tally;
use crate::traffic::Totals;
use crate::verify::Counts;
use serde::Serialize;

/// Latencies by where the receiver was.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Paths {
    /// On the publisher's node.
    pub(crate) near: Latency,
    /// On another one.
    pub(crate) far: Latency,
    /// A bare PUBLISH and its message, beside the load.
    pub(crate) bare: Latency,
}

impl Paths {
    fn of(latencies: &Latencies) -> Self {
        Self {
            near: Latency::of(&latencies.near),
            far: Latency::of(&latencies.far),
            bare: Latency::of(&latencies.bare),
        }
    }
}

/// What the bridge adds to a delivery: far less near.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Added {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// p99 added, in p99 of the bare round trip.
    pub(crate) in_bare_p99: Option<f64>,
}

impl Added {
    fn of(paths: &Paths) -> Option<Self> {
        let Paths { near, far, bare } = paths;
        if near.count == 0 || far.count == 0 {
            return None;
        }
        let p99_ms = far.p99_ms - near.p99_ms;
        Some(Self {
            p50_ms: far.p50_ms - near.p50_ms,
            p99_ms,
            in_bare_p99: (bare.count > 0 && bare.p99_ms > 0.0).then(|| p99_ms / bare.p99_ms),
        })
    }
}

/// CPU time of the window.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Cost {
    /// Cores each node used.
    pub(crate) nodes: Vec<f64>,
    pub(crate) redis: f64,
    /// Of all nodes and Redis.
    pub(crate) micros_per_delivery: Option<f64>,
    pub(crate) deliveries_per_cpu_second: Option<f64>,
    /// Time servers could have run but had no core, as a share of the window; of all their threads.
    pub(crate) servers_waited: f64,
    pub(crate) generator_busy: f64,
    pub(crate) generator_cpu: f64,
    pub(crate) generator_waited: f64,
}

impl Cost {
    fn of(outcome: &Outcome) -> Self {
        let (a, b) = (&outcome.start, &outcome.end);
        let wall = b.at.saturating_sub(a.at).max(1) as f64;
        let nodes = a.cpu.nodes.iter().zip(&b.cpu.nodes);
        let nodes: Vec<u64> = nodes.map(|(a, b)| b.saturating_sub(*a)).collect();
        let redis = b.cpu.redis.saturating_sub(a.cpu.redis);
        let all = (nodes.iter().sum::<u64>() + redis) as f64;
        let deliveries = (b.near + b.far).saturating_sub(a.near + a.far) as f64;
        // Time comes in steps of 10 ms.
        let is_enough = deliveries > 0.0 && all > 1e8;
        Self {
            nodes: nodes.iter().map(|nanos| *nanos as f64 / wall).collect(),
            redis: redis as f64 / wall,
            micros_per_delivery: is_enough.then(|| all / 1e3 / deliveries),
            deliveries_per_cpu_second: is_enough.then(|| deliveries * 1e9 / all),
            servers_waited: b.cpu.servers_wait.saturating_sub(a.cpu.servers_wait) as f64 / wall,
            generator_busy: b.busy.saturating_sub(a.busy) as f64 / wall,
            generator_cpu: b.cpu.own.saturating_sub(a.cpu.own) as f64 / wall,
            generator_waited: b.cpu.own_wait.saturating_sub(a.cpu.own_wait) as f64 / wall,
        }
    }
}

/// How the run was asked for.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Asked {
    pub(crate) command: String,
    pub(crate) seed: u64,
    pub(crate) rooms: usize,
    pub(crate) members: usize,
    pub(crate) group_send: bool,
    pub(crate) rate: Option<f64>,
    pub(crate) window: Option<u32>,
    pub(crate) text_bytes: usize,
    pub(crate) expiry_seconds: f64,
}

/// Everything known about a run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct CrossReport {
    pub(crate) scenario: &'static str,
    pub(crate) asked: Asked,
    pub(crate) facts: Facts,
    pub(crate) machine: Machine,
    pub(crate) seconds: f64,
    pub(crate) near: u64,
    pub(crate) far: u64,
    pub(crate) published: u64,
    pub(crate) latency: Paths,
    pub(crate) added: Option<Added>,
    /// From each blow until all rooms were reached again.
    pub(crate) hit: Paths,
    pub(crate) lag: Latency,
    pub(crate) cost: Cost,
    pub(crate) verification: Counts,
    pub(crate) totals: Totals,
    pub(crate) losses: Losses,
    pub(crate) unexplained: Disagreement,
    pub(crate) nodes: Vec<NodeBook>,
    pub(crate) outbox_max: u64,
    pub(crate) fault: Option<&'static str>,
    pub(crate) strikes: Vec<Strike>,
    /// Faults that were asked for.
    pub(crate) strikes_wanted: usize,
    /// Losses are what the bridge's mode promises not to have.
    pub(crate) must_not_lose: bool,
    pub(crate) trouble: Tally,
    pub(crate) notes: Vec<String>,
    pub(crate) goals: Vec<Stated>,
    pub(crate) samples: Vec<CrossSample>,
    pub(crate) bare_sent: u64,
    pub(crate) bare_lost: u64,
    pub(crate) percentiles: Vec<(&'static str, Vec<(f64, f64)>)>,
    /// How far the run came that was stopped before its end. Figures of a part are not judged.
    pub(crate) interrupted: Option<String>,
}

impl CrossReport {
    /// What the loop has seen; what only the flags and the loop's engine know is still missing.
    pub(super) fn of(outcome: Outcome, asked: Asked, facts: Facts) -> Self {
        let latency = Paths::of(&outcome.calm);
        let (a, b) = (&outcome.start, &outcome.end);
        let states = outcome.looks.iter().flat_map(|look| &look.nodes);
        let mut all = outcome.calm.clone();
        all.add(&outcome.hit);
        let percentiles = [("near", &all.near), ("far", &all.far), ("bare", &all.bare)];
        let percentiles = percentiles.into_iter().filter(|(_, of)| !of.is_empty());
        Self {
            scenario: "xnode",
            machine: Machine::here(),
            asked,
            facts,
            seconds: seconds(b.at.saturating_sub(a.at)),
            near: b.near.saturating_sub(a.near),
            far: b.far.saturating_sub(a.far),
            published: b.published.saturating_sub(a.published),
            added: Added::of(&latency),
            latency,
            hit: Paths::of(&outcome.hit),
            lag: Latency::of(&Times::default()),
            cost: Cost::of(&outcome),
            verification: Counts::default(),
            totals: Totals::default(),
            losses: outcome.losses,
            unexplained: outcome.disagreement,
            outbox_max: states.map(|state| state.outbox).max().unwrap_or(0),
            fault: None,
            strikes: Vec::new(),
            strikes_wanted: 0,
            must_not_lose: false,
            bare_sent: outcome.bare.0,
            bare_lost: outcome.bare.0.saturating_sub(outcome.bare.1),
            percentiles: percentiles
                .map(|(name, of)| (name, of.percentiles()))
                .collect(),
            nodes: outcome.nodes,
            trouble: outcome.refused,
            notes: Vec::new(),
            goals: Vec::new(),
            samples: outcome.samples,
            interrupted: None,
        }
    }

    /// The longest of a time of all faults; nothing if one of them has none.
    pub(super) fn longest(&self, of: impl Fn(&Strike) -> Option<f64>) -> Option<f64> {
        let times: Option<Vec<f64>> = self.strikes.iter().map(of).collect();
        times.and_then(|times| times.into_iter().reduce(f64::max))
    }
}

impl Judged for CrossReport {
    fn name(&self) -> &str {
        self.scenario
    }

    fn interrupted(&self) -> Option<&str> {
        self.interrupted.as_deref()
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Faults::default();
        let (losses, u) = (&self.losses, &self.unexplained);
        faults.some(losses.within_nodes, "deliveries lost within a node");
        if self.fault.is_none() || self.must_not_lose {
            let what = "messages lost between the nodes";
            faults.some(losses.across_nodes, what);
        }
        faults.deliveries(&self.verification);
        let what = "cross-node losses without a count, or counts without a loss";
        faults.some(u.across_nodes.unsigned_abs(), what);
        let what = "deliveries in one book only, the nodes' or ours";
        faults.some(u.deliveries.unsigned_abs(), what);
        let what = "messages in one book only, the first node's or ours";
        faults.some(u.messages.unsigned_abs(), what);
        let what = "deliveries the nodes' ledgers cannot explain";
        faults.some(u.ledgers.unsigned_abs(), what);
        let trouble = self.trouble.values().sum();
        faults.some(trouble, "connections refused or ended, or errors");
        faults.some(self.bare_lost, "bare publications of Redis lost");
        let missing = self.strikes_wanted.saturating_sub(self.strikes.len());
        faults.some(missing as u64, "faults did not happen");
        let never = self.strikes.iter().filter(|strike| strike.whole.is_none());
        let what = "faults after which not all rooms were reached again";
        faults.some(never.count() as u64, what);
        if self.far == 0 {
            faults
                .0
                .push("nothing was delivered across nodes".to_owned());
        }
        faults.0
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.notes.clone();
        let cost = &self.cost;
        if self.asked.window.is_some() {
            warnings.extend(busy_warning(cost.generator_busy, ""));
        }
        if cost.generator_waited > WAITED_MAX {
            let percent = cost.generator_waited * 100.0;
            warnings.push(format!(
                "the generator waited for a core {percent:.0} % of the time: other programs ran"
            ));
        }
        let is_open = self.asked.rate.is_some();
        warnings.extend(loop_warnings(is_open, &self.lag, &self.totals));
        warnings
    }

    fn lines(&self, lines: &mut Lines) {
        self.all_lines(lines);
    }

    fn plots(&self) -> String {
        self.all_plots()
    }

    fn goals(&self) -> &[Stated] {
        &self.goals
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn latency(values: &[u64]) -> Latency {
        let mut histogram = Times::default();
        for value in values {
            histogram.saturating_record(value * 1_000);
        }
        Latency::of(&histogram)
    }

    #[test]
    fn what_the_bridge_adds_is_far_less_near_in_units_of_the_bare_round_trip() {
        let mut paths = Paths {
            near: latency(&[100]),
            far: latency(&[400]),
            bare: latency(&[200]),
        };
        let added = Added::of(&paths).unwrap();
        assert!((added.p99_ms - 0.3).abs() < 1e-3, "{added:?}");
        assert!((added.in_bare_p99.unwrap() - 1.5).abs() < 0.01, "{added:?}");
        paths.bare = latency(&[]);
        assert_eq!(Added::of(&paths).unwrap().in_bare_p99, None);
        paths.near = latency(&[]);
        assert_eq!(Added::of(&paths), None);
    }
}
