//! Two books of one run: the server's ledger and ours. Each side counts by itself; what they disagree about must have a cause.

use super::Report;
use crate::ledger::Ledger;
use serde::Serialize;

/// The difference of the books, and what no cause explains of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Reconciled {
    /// We published it, the server never took it in: it was under way when a publisher was cut, or was answered with an error.
    pub(crate) never_accepted: u64,
    /// The server wrote it, we never read it: the connection was cut first.
    pub(crate) never_read: u64,
    /// The rest: a message, or a delivery, on one side only and without a cause.
    pub(crate) residue: u64,
}

/// Our own book.
#[derive(Debug, Clone, Copy, Default)]
struct OurBook {
    published: u64,
    received: u64,
    /// Messages on their way in when their publisher was cut, and those answered with an error.
    may_be_unknown: u64,
    /// Deliveries on their way to connections that were cut, or of which the server had not noticed that they were.
    may_be_unread: u64,
}

fn reconcile(ours: OurBook, before: &Ledger, after: &Ledger) -> Reconciled {
    let accepted = after.accepted.saturating_sub(before.accepted);
    let written = after.delivered.saturating_sub(before.delivered);
    let never_accepted = ours.published.saturating_sub(accepted);
    let never_read = written.saturating_sub(ours.received);
    // Nobody can read what was not written. More messages accepted than ours are an assistant's.
    let from_nowhere = ours.received.saturating_sub(written);
    Reconciled {
        never_accepted,
        never_read,
        residue: from_nowhere
            + never_accepted.saturating_sub(ours.may_be_unknown)
            + never_read.saturating_sub(ours.may_be_unread),
    }
}

impl Report {
    /// Our book beside the server's; nothing where there is no ledger, where nobody reads (`connect --silent`), or where the server ended
    /// connections itself: a restart has a new ledger, and what a closed reader had not read yet only its kernel knew.
    pub(crate) fn reconciled(&self) -> Option<Reconciled> {
        let (before, after) = self
            .ledger_before
            .as_ref()
            .zip(self.ledger_after.as_ref())?;
        let t = &self.totals;
        let ended = [&t.closed, &t.slow_closed, &t.expected_ends];
        if ended.iter().any(|map| !map.is_empty())
            || after.queued > 0
            || self.figures.deliveries == 0
        {
            return None;
        }
        // Each life has a welcome that may be cut, too.
        let returns = self.returns.as_ref();
        let away = returns.map_or(0, |r| r.counts.missed_while_away + r.counts.left);
        let errors = t.errors.values().sum::<u64>();
        let ours = OurBook {
            published: t.published,
            // Welcomes, errors and assistants' replies are deliveries of the ledger as well.
            received: self.verification.delivered + t.unpublished_frames + errors,
            may_be_unknown: t.parted_unsure + errors,
            may_be_unread: t.parted_under_way + away,
        };
        Some(reconcile(ours, before, after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_cut_explains_is_no_residue_and_the_rest_is() {
        let ledger = |(accepted, delivered)| Ledger {
            accepted,
            delivered,
            ..Ledger::default()
        };
        // Published, received, may be unknown and unread; the ledger before and after; never accepted, never read, residue.
        for (ours, before, after, found) in [
            ((10, 100, 0, 0), (5, 50), (15, 150), (0, 0, 0)),
            // One of two messages and three of thirteen deliveries have no cause.
            ((12, 90, 1, 10), (0, 0), (10, 103), (2, 13, 4)),
            // Nobody reads what was not written.
            ((10, 101, 50, 50), (0, 0), (10, 100), (0, 0, 1)),
        ] {
            let (published, received, may_be_unknown, may_be_unread) = ours;
            let ours = OurBook {
                published,
                received,
                may_be_unknown,
                may_be_unread,
            };
            let Reconciled {
                never_accepted,
                never_read,
                residue,
            } = reconcile(ours, &ledger(before), &ledger(after));
            assert_eq!((never_accepted, never_read, residue), found);
        }
    }
}
