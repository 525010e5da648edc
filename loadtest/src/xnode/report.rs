//! The figures of a run across nodes, and what they are judged to be.

use super::books::{Disagreement, Losses, NodeBook};
use super::fault::Strike;
use super::outcome::{Latencies, Outcome, Sample};
use super::stage::Facts;
use crate::latency::{Latency, percentile_curve, recorded};
use crate::machine::Machine;
use crate::report::count;
use crate::traffic::Totals;
use crate::verify::Counts;
use serde::Serialize;
use std::collections::BTreeMap;

/// Share of a core above which the generator sets the pace.
const BUSY_MAX: f64 = 0.9;
/// Share of the time without a core above which latencies are the machine's; all servers share one core, so they wait for each other.
const WAITED_MAX: f64 = 0.05;

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

/// A figure beside what it should be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Goal {
    pub(crate) what: String,
    pub(crate) value: Option<f64>,
    pub(crate) at_most: f64,
    /// Of several runs the median is judged, not the worst.
    pub(crate) is_ratio: bool,
}

impl Goal {
    pub(super) fn at_most(what: &str, value: Option<f64>, at_most: f64) -> Self {
        Self {
            what: what.to_owned(),
            value,
            at_most,
            is_ratio: what.contains("bare Redis"),
        }
    }

    /// Reached; a figure that could not be taken is not.
    pub(crate) fn is_met(&self) -> bool {
        self.value.is_some_and(|value| value <= self.at_most)
    }

    fn text(&self) -> String {
        let value = self
            .value
            .map_or("none".to_owned(), |value| format!("{value:.3}"));
        let verdict = if self.is_met() { "met" } else { "MISSED" };
        format!(
            "{}: {value}, at most {}  {verdict}",
            self.what, self.at_most
        )
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
pub(crate) struct Report {
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
    pub(crate) trouble: BTreeMap<String, u64>,
    pub(crate) notes: Vec<String>,
    pub(crate) goals: Vec<Goal>,
    pub(crate) samples: Vec<Sample>,
    pub(crate) bare_sent: u64,
    pub(crate) bare_lost: u64,
    pub(crate) percentiles: Vec<(&'static str, Vec<(f64, f64)>)>,
    /// How far the run came that was stopped before its end. Figures of a part are not judged.
    pub(crate) interrupted: Option<String>,
}

/// What the report adds to what the loop has seen.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) asked: Asked,
    pub(super) facts: Facts,
    pub(super) lag: Latency,
    pub(super) verification: Counts,
    pub(super) totals: Totals,
    pub(super) strikes: Vec<Strike>,
    pub(super) strikes_wanted: usize,
    pub(super) fault: Option<&'static str>,
    pub(super) must_not_lose: bool,
    pub(super) notes: Vec<String>,
}

impl Report {
    /// Of one run.
    pub(super) fn new(frame: Frame, outcome: Outcome) -> Self {
        let latency = Paths::of(&outcome.calm);
        let (a, b) = (&outcome.start, &outcome.end);
        let most = outcome.looks.iter().flat_map(|look| &look.nodes);
        let mut all = Latencies {
            near: outcome.calm.near.clone(),
            far: outcome.calm.far.clone(),
            bare: outcome.calm.bare.clone(),
        };
        recorded::add(&mut all.near, &outcome.hit.near);
        recorded::add(&mut all.far, &outcome.hit.far);
        let percentiles = [("near", &all.near), ("far", &all.far), ("bare", &all.bare)];
        let percentiles = percentiles.into_iter().filter(|(_, of)| !of.is_empty());
        Self {
            scenario: "xnode",
            machine: Machine::here(),
            seconds: b.at.saturating_sub(a.at) as f64 / 1e9,
            near: b.near.saturating_sub(a.near),
            far: b.far.saturating_sub(a.far),
            published: b.published.saturating_sub(a.published),
            added: Added::of(&latency),
            latency,
            hit: Paths::of(&outcome.hit),
            cost: Cost::of(&outcome),
            losses: outcome.losses,
            unexplained: outcome.disagreement,
            outbox_max: most.map(|state| state.outbox).max().unwrap_or(0),
            bare_sent: outcome.bare.0,
            bare_lost: outcome.bare.0.saturating_sub(outcome.bare.1),
            percentiles: percentiles
                .map(|(name, of)| (name, percentile_curve(of)))
                .collect(),
            nodes: outcome.nodes,
            trouble: outcome.refused,
            samples: outcome.samples,
            asked: frame.asked,
            facts: frame.facts,
            lag: frame.lag,
            verification: frame.verification,
            totals: frame.totals,
            fault: frame.fault,
            strikes: frame.strikes,
            strikes_wanted: frame.strikes_wanted,
            must_not_lose: frame.must_not_lose,
            notes: frame.notes,
            goals: Vec::new(),
            interrupted: None,
        }
    }

    /// The longest of a time of all faults; nothing if one of them has none.
    pub(super) fn longest(&self, of: impl Fn(&Strike) -> Option<f64>) -> Option<f64> {
        let times: Option<Vec<f64>> = self.strikes.iter().map(of).collect();
        times.and_then(|times| times.into_iter().reduce(f64::max))
    }

    /// Sentences that make the run fail; empty if all is well.
    pub(crate) fn failures(&self) -> Vec<String> {
        if let Some(how_far) = &self.interrupted {
            return vec![format!("interrupted {how_far}")];
        }
        let mut failures = Vec::new();
        let mut fail = |number: u64, what: &str| {
            if number > 0 {
                failures.push(format!("{} {what}", count(number)));
            }
        };
        let v = &self.verification;
        fail(self.losses.within_nodes, "deliveries lost within a node");
        if self.fault.is_none() || self.must_not_lose {
            fail(self.losses.across_nodes, "messages lost between the nodes");
        }
        fail(v.duplicated, "deliveries came twice");
        fail(v.out_of_order, "deliveries came out of order");
        fail(v.late, "deliveries came after their expiry");
        fail(v.corrupted, "deliveries did not hold what was sent");
        fail(v.misrouted, "deliveries came to the wrong room");
        let u = &self.unexplained;
        for (number, what) in [
            (
                u.across_nodes,
                "cross-node losses without a count, or counts without a loss",
            ),
            (
                u.deliveries,
                "deliveries in one book only, the nodes' or ours",
            ),
            (
                u.messages,
                "messages in one book only, the first node's or ours",
            ),
            (u.ledgers, "deliveries the nodes' ledgers cannot explain"),
        ] {
            fail(number.unsigned_abs(), what);
        }
        fail(
            self.trouble.values().sum(),
            "connections refused or ended, or errors",
        );
        fail(self.bare_lost, "bare publications of Redis lost");
        fail(
            self.strikes_wanted.saturating_sub(self.strikes.len()) as u64,
            "faults did not happen",
        );
        let never = self.strikes.iter().filter(|strike| strike.whole.is_none());
        fail(
            never.count() as u64,
            "faults after which not all rooms were reached again",
        );
        if self.far == 0 {
            failures.push("nothing was delivered across nodes".to_owned());
        }
        failures
    }

    /// Sentences a reader must know before believing the figures.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = self.notes.clone();
        let busy = self.cost.generator_busy;
        if busy > BUSY_MAX && self.asked.window.is_some() {
            warnings.push(format!(
                "THE GENERATOR WAS THE LIMIT ({:.0} % busy): rates and latencies are its own; CPU per delivery still holds",
                busy * 100.0
            ));
        }
        if self.cost.generator_waited > WAITED_MAX {
            warnings.push(format!(
                "the generator waited for a core {:.0} % of the time: other programs ran",
                self.cost.generator_waited * 100.0
            ));
        }
        if self.asked.rate.is_some() && self.lag.p99_ms > 2.0 {
            warnings.push(format!(
                "the open loop ran behind its schedule (p99 {:.1} ms); latencies count from the schedule",
                self.lag.p99_ms
            ));
        }
        if self.totals.stalls > 0 {
            let n = count(self.totals.stalls);
            warnings.push(format!("{n} closed loops waited 5 s for what did not come"));
        }
        warnings
    }

    /// Goals as lines.
    pub(crate) fn goal_lines(&self) -> Vec<String> {
        self.goals.iter().map(Goal::text).collect()
    }

    /// The figures with what they were judged to be.
    pub(crate) fn json(&self) -> serde_json::Value {
        let mut json = serde_json::to_value(self).unwrap_or_default();
        if let Some(json) = json.as_object_mut() {
            let missed: Vec<&str> = self
                .goals
                .iter()
                .filter(|goal| !goal.is_met())
                .map(|goal| goal.what.as_str())
                .collect();
            let verdict = serde_json::json!({
                "failures": self.failures(), "warnings": self.warnings(), "goals_missed": missed,
            });
            json.insert("verdict".to_owned(), verdict);
        }
        json
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::latency::histogram;

    fn latency(values: &[u64]) -> Latency {
        let mut histogram = histogram();
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

    #[test]
    fn a_goal_without_a_figure_is_missed() {
        assert!(Goal::at_most("a", Some(2.0), 2.0).is_met());
        assert!(!Goal::at_most("a", Some(2.1), 2.0).is_met());
        let none = Goal::at_most("a", None, 2.0);
        assert!(!none.is_met() && none.text().contains("MISSED"));
    }
}
