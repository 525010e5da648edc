//! What the nodes say about their bridge: looked at by a thread of its own during the run, and counted before and after it.

use super::fault::{BridgeLook, State};
use crate::clock::{Clock, pause};
use crate::ledger::get;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Between two looks at all nodes: a tenth of what a goal tells apart.
const EVERY: Duration = Duration::from_millis(25);

/// How a node's bridge is.
pub(crate) fn state(admin: &str) -> State {
    let text = get(admin, "/health").unwrap_or_default();
    let health: Value = serde_json::from_str(&text).unwrap_or_default();
    let links = ["/bridge/redis", "/bridge/django"].map(|path| health.pointer(path));
    let links = links.into_iter().flatten().filter_map(Value::as_array);
    let links: Vec<&Value> = links.flatten().collect();
    let is = |link: &&Value| link.pointer("/up").and_then(Value::as_bool) == Some(true);
    let outbox = |link: &&Value| link.pointer("/outbox").and_then(Value::as_u64);
    State {
        is_up: !links.is_empty() && links.iter().all(is),
        outbox: links.iter().filter_map(outbox).sum(),
    }
}

/// Looks at these admin listeners, if there are any, until nobody takes what was seen.
pub(super) fn looks(admins: Vec<String>, clock: Clock) -> Receiver<BridgeLook> {
    let (tell, looks) = channel();
    std::thread::spawn(move || {
        while !admins.is_empty() {
            let nodes = admins.iter().map(|admin| state(admin)).collect();
            // The moment after: nothing was noticed, or healthy, sooner than said.
            let at = clock.now();
            if tell.send(BridgeLook { at, nodes }).is_err() {
                return;
            }
            pause(EVERY);
        }
    });
    looks
}

/// The bridge's counters of one node, by series.
#[derive(Debug, Clone, Default)]
pub(super) struct Counters(BTreeMap<String, f64>);

impl Counters {
    /// Those of now.
    /// Errors: The admin listener does not answer.
    pub(super) fn fetch(admin: &str) -> Result<Self, String> {
        let text = get(admin, "/metrics").map_err(|error| format!("{admin}/metrics: {error}"))?;
        Ok(Self::read(&text))
    }

    fn read(text: &str) -> Self {
        let of_bridge = |line: &&str| {
            line.starts_with("supportal_bridge_") || line.starts_with("supportal_channels_")
        };
        let pair = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        };
        Self(text.lines().filter(of_bridge).filter_map(pair).collect())
    }

    /// How much the series, with or without labels, has grown since `before`.
    pub(super) fn grown(&self, before: &Self, series: &str) -> u64 {
        let of = |counters: &Self| {
            let all = counters.0.iter();
            let named = all.filter(|(name, _)| {
                name.as_str() == series
                    || name
                        .strip_prefix(series)
                        .is_some_and(|rest| rest.starts_with('{'))
            });
            named.map(|(_, value)| value).sum::<f64>()
        };
        (of(self) - of(before)).max(0.0) as u64
    }

    /// The growth of every counter that grew, by series.
    pub(super) fn growth(&self, before: &Self) -> BTreeMap<String, u64> {
        let grown = self.0.iter().filter(|(name, _)| name.contains("_total"));
        let grown = grown.map(|(name, now)| {
            let then = before.0.get(name).copied().unwrap_or(0.0);
            let short = name.trim_start_matches("supportal_").to_owned();
            (short, (now - then).max(0.0) as u64)
        });
        grown.filter(|(_, number)| *number > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_told_apart_and_summed_over_their_labels() {
        let before = Counters::read("# HELP x\nsupportal_bridge_gaps_total 3\nsupportal_rooms 9\n");
        let text = "supportal_bridge_gaps_total 10\nsupportal_bridge_dropped_total{cause=\"late\"} 2\n\
            supportal_bridge_dropped_total{cause=\"full\"} 5\nsupportal_bridge_outbox 4\n";
        let after = Counters::read(text);
        assert_eq!(after.grown(&before, "supportal_bridge_gaps_total"), 7);
        assert_eq!(after.grown(&before, "supportal_bridge_dropped_total"), 7);
        let late = "supportal_bridge_dropped_total{cause=\"late\"}";
        assert_eq!(after.grown(&before, late), 2);
        assert_eq!(after.growth(&before).len(), 3);
    }
}
