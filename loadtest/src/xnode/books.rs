//! What the members of all nodes have seen beside what the nodes say they did: each cross-node loss must be in a counter.

use super::watch::Counters;
use crate::client::Phase;
use crate::engine::Engine;
use crate::ledger::Ledger;
use crate::report::{Disagreement, Losses, NodeBook};
use std::collections::HashMap;

/// Series of messages that a node knows it never had from another: all holes in the numbers, whatever made them.
const GAPS: &str = "supportal_bridge_gaps_total";
/// Series of messages that came from another node and were dropped on arrival, by cause. Those dropped before (`full`, `expired`) leave a
/// hole in the numbers, so they are in the gaps as well.
const ON_ARRIVAL: [&str; 3] = [
    "supportal_bridge_dropped_total{cause=\"late\"}",
    "supportal_bridge_dropped_total{cause=\"mailbox\"}",
    "supportal_bridge_dropped_total{cause=\"poison\"}",
];

/// One receiver: its room, its node, and how many messages it has not seen.
type Missing = ((u32, u16), u64);

/// Sorts what is missing. A message lost between the nodes is missing for every member of the room on that node, so what the luckiest
/// of them misses was lost there, and the rest within the node.
pub(super) fn losses(missing: impl Iterator<Item = Missing>) -> Losses {
    let mut losses = Losses::default();
    let mut far: HashMap<(u32, u16), Vec<u64>> = HashMap::new();
    for ((room, node), number) in missing {
        if node == 0 {
            losses.within_nodes += number;
        } else {
            far.entry((room, node)).or_default().push(number);
        }
    }
    for numbers in far.values() {
        let least = numbers.iter().copied().min().unwrap_or(0);
        losses.across_nodes += least;
        losses.within_nodes += numbers.iter().map(|number| number - least).sum::<u64>();
    }
    losses
}

/// What every open connection misses at this moment.
pub(super) fn missing(engine: &Engine) -> Vec<Missing> {
    let clients = engine.ids().into_iter().filter_map(|id| engine.client(id));
    let open = clients.filter(|client| client.phase == Phase::Open);
    open.filter_map(|client| {
        let receiver = &client.receiver;
        let room = engine.traffic.rooms.get(receiver.room as usize)?;
        let missing = engine.traffic.verify.missing_of(receiver.place, &room.sent);
        Some(((receiver.room, receiver.node), missing))
    })
    .collect()
}

/// A node's counters and ledger at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Page {
    pub(super) counters: Counters,
    pub(super) ledger: Ledger,
}

impl Page {
    /// That of now.
    /// Errors: The admin listener does not answer.
    pub(super) fn fetch(admin: &str) -> Result<Self, String> {
        Ok(Self {
            counters: Counters::fetch(admin)?,
            ledger: crate::ledger::fetch(admin)?,
        })
    }

    /// The account since `before`.
    pub(super) fn since(&self, before: &Self) -> NodeBook {
        let grown = |series: &str| self.counters.grown(&before.counters, series);
        let (then, now) = (&before.ledger, &self.ledger);
        let mut ledger = now.clone();
        ledger.accepted = now.accepted.saturating_sub(then.accepted);
        ledger.expected = now.expected.saturating_sub(then.expected);
        ledger.delivered = now.delivered.saturating_sub(then.delivered);
        for (cause, number) in &mut ledger.dropped {
            let then = then.dropped.get(cause).copied().unwrap_or(0);
            *number = number.saturating_sub(then);
        }
        NodeBook {
            ledger,
            bridge: self.counters.growth(&before.counters),
            counted_losses: grown(GAPS)
                + ON_ARRIVAL.iter().map(|series| grown(series)).sum::<u64>(),
        }
    }
}

/// Our own side.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ours {
    pub(super) losses: Losses,
    pub(super) published: u64,
    /// Frames read: deliveries, welcomes, errors.
    pub(super) received: u64,
    /// A Python process spoke: no node took in a command.
    pub(super) is_spoken: bool,
}

/// Lays the books side by side.
pub(super) fn disagreement(ours: &Ours, nodes: &[NodeBook]) -> Disagreement {
    if nodes.is_empty() {
        return Disagreement::default();
    }
    let counted: u64 = nodes.iter().map(|node| node.counted_losses).sum();
    let written: u64 = nodes.iter().map(|node| node.ledger.delivered).sum();
    let taken = nodes.first().map_or(0, |node| node.ledger.accepted);
    let residue = |ledger: &Ledger| ledger.residue().abs().max(ledger.unexplained.abs());
    Disagreement {
        across_nodes: match ours.is_spoken {
            // What the layer drops is not numbered by the nodes: here nothing may be lost.
            true => ours.losses.across_nodes as i64,
            false => ours.losses.across_nodes as i64 - counted as i64,
        },
        deliveries: written as i64 - ours.received as i64,
        messages: match ours.is_spoken {
            true => 0,
            false => ours.published as i64 - taken as i64,
        },
        ledgers: nodes.iter().map(|node| residue(&node.ledger)).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_of_all_members_of_a_node_is_the_bridges_and_any_other_is_the_nodes() {
        let missing = [
            ((1, 0), 0),
            ((1, 0), 2),
            ((1, 1), 7),
            ((1, 1), 7),
            ((1, 1), 8),
            ((1, 2), 0),
            ((2, 1), 3),
        ];
        let found = losses(missing.into_iter());
        assert_eq!((found.within_nodes, found.across_nodes), (2 + 1, 7 + 3));
    }

    fn book(accepted: u64, delivered: u64, counted_losses: u64) -> NodeBook {
        let mut book = NodeBook {
            counted_losses,
            ..NodeBook::default()
        };
        (book.ledger.accepted, book.ledger.expected) = (accepted, delivered);
        book.ledger.delivered = delivered;
        book
    }

    #[test]
    fn books_agree_only_if_every_loss_is_counted_and_every_count_is_a_loss() {
        let mut ours = Ours {
            losses: Losses {
                within_nodes: 0,
                across_nodes: 5,
            },
            published: 100,
            received: 190,
            is_spoken: false,
        };
        let nodes = [book(100, 100, 0), book(95, 90, 5)];
        assert_eq!(disagreement(&ours, &nodes), Disagreement::default());
        ours.losses.across_nodes = 4;
        assert_eq!(disagreement(&ours, &nodes).across_nodes, -1);
        ours.received = 191;
        ours.published = 102;
        let found = disagreement(&ours, &nodes);
        assert_eq!((found.deliveries, found.messages), (-1, 2));
        let mut torn = book(0, 10, 0);
        torn.ledger.unexplained = -3;
        assert_eq!(disagreement(&Ours::default(), &[torn]).ledgers, 3);
        assert_eq!(disagreement(&ours, &[]), Disagreement::default());
    }
}
