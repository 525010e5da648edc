//! What a run over several nodes has besides the figures of any run: the other nodes' side, the Redis between them, its faults.

use super::judged::Faults;
use crate::latency::Latency;
use crate::ledger::Ledger;
use serde::Serialize;
use std::collections::BTreeMap;

/// What was measured and how, for the reader.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Facts {
    pub(crate) command: String,
    pub(crate) servers: String,
    pub(crate) mode: String,
    pub(crate) nodes: usize,
    pub(crate) redis: String,
    pub(crate) appendonly: bool,
    pub(crate) settings: Vec<String>,
    /// Who may use which core.
    pub(crate) pinning: String,
    /// A Python process speaks, by the channel layer's `group_send`.
    pub(crate) group_send: bool,
    pub(crate) members: usize,
    pub(crate) rate: Option<f64>,
    pub(crate) window: Option<u32>,
    pub(crate) expiry_seconds: f64,
    pub(crate) fault: Option<String>,
    /// Faults that were asked for.
    pub(crate) strikes: usize,
    /// Losses are what the bridge's mode promises not to have.
    pub(crate) must_not_lose: bool,
}

/// What did not arrive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Losses {
    /// Deliveries to members on the publisher's node, or to some but not all of the members on another one: nothing of the bridge's.
    pub(crate) within_nodes: u64,
    /// Messages that no member of a room on another node has seen, summed over the nodes.
    pub(crate) across_nodes: u64,
}

/// One node's own account, since the run began.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct NodeBook {
    pub(crate) ledger: Ledger,
    /// Counters of the bridge that grew.
    pub(crate) bridge: BTreeMap<String, u64>,
    /// Messages of other nodes that it says it has lost.
    pub(crate) counted_losses: u64,
}

/// What the books disagree about; all of it is 0 in a good run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Disagreement {
    /// Cross-node losses that no counter knows, or counted ones that nobody misses.
    pub(crate) across_nodes: i64,
    /// Deliveries that the nodes wrote and nobody read, or the other way round.
    pub(crate) deliveries: i64,
    /// Messages that were said and not taken in by the first node, or the other way round.
    pub(crate) messages: i64,
    /// Residue of the nodes' own ledgers.
    pub(crate) ledgers: i64,
}

/// One fault of Redis; times in seconds since it began.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Strike {
    /// Since the measurement began.
    pub(crate) at: f64,
    /// Redis, or its successor, took connections again.
    pub(crate) over: Option<f64>,
    /// The last node said that it is down; nothing where one was back between two looks.
    pub(crate) noticed: Option<f64>,
    /// From then on all nodes said that they are up.
    pub(crate) healthy: Option<f64>,
    /// The first message said after the blow that reached another node.
    pub(crate) first: Option<f64>,
    /// The last room of the last node had one.
    pub(crate) whole: Option<f64>,
}

/// One point of the series.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct CrossSample {
    /// Seconds since the measurement began.
    pub(crate) at: f64,
    pub(crate) far_per_second: f64,
    pub(crate) far_p99_ms: f64,
    pub(crate) bare_p99_ms: f64,
    /// Of the node that has most.
    pub(crate) outbox: u64,
    pub(crate) nodes_up: usize,
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
    /// Nothing where one of the sides has no delivery.
    pub(crate) fn of(near: &Latency, far: &Latency, bare: &Latency) -> Option<Self> {
        let p99_ms = far.p99_ms - near.p99_ms;
        (near.count > 0 && far.count > 0).then(|| Self {
            p50_ms: far.p50_ms - near.p50_ms,
            p99_ms,
            in_bare_p99: (bare.count > 0 && bare.p99_ms > 0.0).then(|| p99_ms / bare.p99_ms),
        })
    }
}

/// All of it. Latencies of the publisher's own node are those of the report.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Across {
    pub(crate) facts: Facts,
    /// Deliveries of the window on other nodes than the publisher's.
    pub(crate) far: u64,
    /// Theirs.
    pub(crate) latency: Latency,
    /// A bare PUBLISH and its message, beside the load.
    pub(crate) bare: Latency,
    pub(crate) added: Option<Added>,
    /// From each blow until all rooms were reached again: on the publisher's node, on others.
    pub(crate) hit_near: Latency,
    pub(crate) hit_far: Latency,
    pub(crate) losses: Losses,
    pub(crate) unexplained: Disagreement,
    pub(crate) books: Vec<NodeBook>,
    pub(crate) outbox_max: u64,
    pub(crate) strikes: Vec<Strike>,
    pub(crate) bare_sent: u64,
    pub(crate) bare_lost: u64,
    pub(crate) samples: Vec<CrossSample>,
    #[serde(skip)]
    pub(crate) percentiles: Vec<(&'static str, Vec<(f64, f64)>)>,
    #[serde(skip)]
    pub(crate) notes: Vec<String>,
}

impl Across {
    /// The longest of a time of all faults; nothing if one of them has none.
    pub(crate) fn longest(&self, of: impl Fn(&Strike) -> Option<f64>) -> Option<f64> {
        let times: Option<Vec<f64>> = self.strikes.iter().map(of).collect();
        times.and_then(|times| times.into_iter().reduce(f64::max))
    }

    pub(super) fn faults(&self, faults: &mut Faults) {
        let (losses, u, facts) = (&self.losses, &self.unexplained, &self.facts);
        faults.some(losses.within_nodes, "deliveries lost within a node");
        if facts.fault.is_none() || facts.must_not_lose {
            let what = "messages lost between the nodes";
            faults.some(losses.across_nodes, what);
        }
        let what = "cross-node losses without a count, or counts without a loss";
        faults.some(u.across_nodes.unsigned_abs(), what);
        let what = "deliveries in one book only, the nodes' or ours";
        faults.some(u.deliveries.unsigned_abs(), what);
        let what = "messages in one book only, the first node's or ours";
        faults.some(u.messages.unsigned_abs(), what);
        let what = "deliveries the nodes' ledgers cannot explain";
        faults.some(u.ledgers.unsigned_abs(), what);
        faults.some(self.bare_lost, "bare publications of Redis lost");
        let missing = facts.strikes.saturating_sub(self.strikes.len());
        faults.some(missing as u64, "faults did not happen");
        let never = self.strikes.iter().filter(|strike| strike.whole.is_none());
        let what = "faults after which not all rooms were reached again";
        faults.some(never.count() as u64, what);
        let nothing = (self.far == 0).then(|| "nothing was delivered across nodes".to_owned());
        faults.0.extend(nothing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Times;
    use crate::report::Report;

    #[test]
    fn every_figure_of_several_nodes_has_its_place_in_the_summary() {
        let facts = Facts {
            fault: Some("kill-redis".to_owned()),
            rate: Some(100.0),
            ..Facts::default()
        };
        let across = Across {
            facts,
            added: Some(Added::default()),
            books: vec![NodeBook::default()],
            strikes: vec![Strike::default()],
            ..Across::default()
        };
        let report = Report {
            across: Some(across),
            ..Report::default()
        };
        let text = report.text();
        for line in [
            "\n  pace           rooms of 0, 100 messages/s; 0 deliveries",
            "\n  added          p50 0.000  p99 0.000 ms\n",
            "\n  kill-redis     at 0.0 s: redis there after never",
            "\n  node 0         accepted 0  delivered 0",
            "\n  FAILED         nothing was delivered\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn what_the_bridge_adds_is_far_less_near_in_units_of_the_bare_round_trip() {
        let latency = |values: &[u64]| {
            let mut times = Times::default();
            values
                .iter()
                .for_each(|value| times.saturating_record(value * 1_000));
            Latency::of(&times)
        };
        let (near, far, none) = (latency(&[100]), latency(&[400]), latency(&[]));
        let added = Added::of(&near, &far, &latency(&[200])).unwrap();
        assert!((added.p99_ms - 0.3).abs() < 1e-3, "{added:?}");
        assert!((added.in_bare_p99.unwrap() - 1.5).abs() < 0.01, "{added:?}");
        assert_eq!(Added::of(&near, &far, &none).unwrap().in_bare_p99, None);
        assert_eq!(Added::of(&none, &far, &none), None);
    }
}
