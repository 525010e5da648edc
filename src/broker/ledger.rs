//! Double-entry accounting of deliveries.
//!
//! For every room, worker and node: `expected = delivered + dropped{cause} + queued`. Each side is
//! counted where it happens, never derived from the other, so [`Ledger::unexplained`] is a real
//! check: a delivery lost without a cause shows up there.

use std::ops::AddAssign;

/// Why a delivery was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Cause {
    /// The subscriber's queue was full (deliveries or bytes).
    Capacity,
    /// The delivery waited longer than `queue.expiry`.
    Expired,
    /// The subscriber left or its connection closed first.
    Closed,
    /// The node stopped first.
    Shutdown,
}

impl Cause {
    /// Every cause, in the order of the ledger's columns.
    pub const ALL: [Self; 4] = [Self::Capacity, Self::Expired, Self::Closed, Self::Shutdown];

    /// The metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Capacity => "capacity",
            Self::Expired => "expired",
            Self::Closed => "closed",
            Self::Shutdown => "shutdown",
        }
    }
}

/// The account of one room, one worker or one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Deliveries owed: one per publication and member at the moment of publishing.
    pub expected: u64,
    /// Deliveries whose last byte the kernel took.
    pub delivered: u64,
    /// Deliveries dropped, by [`Cause`].
    pub dropped: [u64; Cause::ALL.len()],
    /// Deliveries waiting in queues.
    pub queued: u64,
}

impl Ledger {
    /// Counts `deliveries` dropped for `cause`.
    pub fn drop(&mut self, cause: Cause, deliveries: u64) {
        if let Some(column) = self.dropped.get_mut(cause as usize) {
            *column += deliveries;
        }
    }

    /// All drops together.
    #[must_use]
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// Deliveries that are nowhere (positive) or appeared twice (negative). Zero, always.
    #[must_use]
    pub fn unexplained(&self) -> i64 {
        let explained = self.delivered + self.dropped_total() + self.queued;
        self.expected.cast_signed() - explained.cast_signed()
    }
}

impl AddAssign for Ledger {
    fn add_assign(&mut self, other: Self) {
        self.expected += other.expected;
        self.delivered += other.delivered;
        self.queued += other.queued;
        for (column, more) in self.dropped.iter_mut().zip(other.dropped) {
            *column += more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_without_a_cause_is_unexplained() {
        let mut ledger = Ledger {
            expected: 10,
            delivered: 6,
            queued: 1,
            ..Ledger::default()
        };
        ledger.drop(Cause::Expired, 2);
        assert_eq!(ledger.unexplained(), 1);
        ledger.drop(Cause::Capacity, 1);
        assert_eq!(ledger.unexplained(), 0);
        ledger.delivered += 1;
        assert_eq!(ledger.unexplained(), -1);
    }
}
