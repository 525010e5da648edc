//! This worker's members of each room, and the account of the deliveries owed to them.

use crate::broker::Publication;
use crate::broker::ledger::{Cause, Ledger};
use crate::broker::room::{Room, RoomSlot};
use std::sync::Arc;

/// One member: a place in the worker's slab.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) index: u32,
    /// Low half of the room's sequence when it joined: later publications are for it. Members and
    /// publications in flight are never 2^31 publications apart, so the half tells the order.
    joined: u32,
}

/// A numbered publication that waits for the end of the turn.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) publication: Publication,
    pub(super) sequence: u32,
    /// Members on this worker when it was published.
    pub(super) members: u32,
}

/// A room's publications of one turn.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    pub(super) pending: Vec<Pending>,
    pub(super) bytes: usize,
}

/// A room's account: as [`Ledger`], but small, since there is one per room.
#[derive(Clone, Debug, Default)]
pub(super) struct RoomLedger {
    expected: u64,
    delivered: u64,
    queued: u32,
    dropped: Option<Box<[u64; Cause::ALL.len()]>>,
}

impl RoomLedger {
    pub(super) fn add(&mut self, change: &Change) {
        self.expected += change.expected;
        self.delivered += change.delivered;
        self.queued = self
            .queued
            .wrapping_add((change.queued & u64::from(u32::MAX)) as u32);
        if change.dropped.iter().any(|&count| count > 0) {
            for (column, more) in self
                .dropped
                .get_or_insert_default()
                .iter_mut()
                .zip(change.dropped)
            {
                *column += more;
            }
        }
    }

    pub(super) fn read(&self) -> Ledger {
        Ledger {
            expected: self.expected,
            delivered: self.delivered,
            queued: u64::from(self.queued),
            dropped: self.dropped.as_deref().copied().unwrap_or_default(),
        }
    }
}

/// A step of an account. `queued` counts in two's complement: it may be a decrease.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Change {
    pub(super) expected: u64,
    pub(super) delivered: u64,
    pub(super) queued: u64,
    pub(super) dropped: [u64; Cause::ALL.len()],
}

impl Change {
    pub(super) fn dropped(cause: Cause, deliveries: u64) -> Self {
        let mut change = Self::default();
        change.drop(cause, deliveries);
        change
    }

    pub(super) fn drop(&mut self, cause: Cause, deliveries: u64) {
        if let Some(column) = self.dropped.get_mut(cause as usize) {
            *column += deliveries;
        }
    }

    /// Adds this step to the worker's account.
    pub(super) fn apply(&self, ledger: &mut Ledger) {
        ledger.expected += self.expected;
        ledger.delivered += self.delivered;
        ledger.queued = ledger.queued.wrapping_add(self.queued);
        for (column, more) in ledger.dropped.iter_mut().zip(self.dropped) {
            *column += more;
        }
    }
}

/// A room on this worker.
#[derive(Debug)]
pub(super) struct LocalRoom {
    pub(super) room: Arc<Room>,
    pub(super) members: Vec<Member>,
    /// Publications of this turn; nothing between turns.
    pub(super) gathering: Option<Box<Gathering>>,
    pub(super) ledger: RoomLedger,
}

/// A room's place as the broker writes it, from the slab's key.
pub(super) fn slot_of(key: u64) -> RoomSlot {
    RoomSlot {
        index: super::slab::index_of(key),
        generation: (key >> 32) as u32,
    }
}

/// The reverse of [`slot_of`].
pub(super) fn key_of(slot: RoomSlot) -> u64 {
    u64::from(slot.generation) << 32 | u64::from(slot.index)
}

fn low_half(sequence: u64) -> u32 {
    (sequence & u64::from(u32::MAX)) as u32
}

impl Pending {
    pub(super) fn new(publication: Publication, sequence: u64, members: u32) -> Self {
        Self {
            publication,
            sequence: low_half(sequence),
            members,
        }
    }
}

impl LocalRoom {
    pub(super) fn new(room: Arc<Room>) -> Self {
        Self {
            room,
            members: Vec::with_capacity(1),
            gathering: None,
            ledger: RoomLedger::default(),
        }
    }

    /// Adds a member that joined after publication `sequence`; its position.
    pub(super) fn add(&mut self, index: u32, sequence: u64) -> u32 {
        self.members.push(Member {
            index,
            joined: low_half(sequence),
        });
        (self.members.len() - 1) as u32
    }

    /// Removes the member at `position`; the member that took its position, if one did.
    pub(super) fn remove(&mut self, position: u32) -> Option<u32> {
        let position = position as usize;
        if position < self.members.len() {
            self.members.swap_remove(position);
        }
        self.members.get(position).map(|member| member.index)
    }
}

impl Member {
    /// The first of these publications, oldest first, that came after this member joined.
    pub(super) fn first_of(self, sequences: &[u32]) -> usize {
        let is_before = |sequence: &&u32| sequence.wrapping_sub(self.joined).cast_signed() <= 0;
        sequences.iter().take_while(is_before).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_gets_what_was_published_after_it_joined() {
        let first = |joined| Member { index: 0, joined }.first_of(&[5, 6, 7]);
        assert_eq!((first(4), first(5), first(6), first(7)), (0, 1, 2, 3));
        assert_eq!(
            Member {
                index: 0,
                joined: u32::MAX
            }
            .first_of(&[u32::MAX, 0]),
            1
        );
    }

    #[test]
    fn a_small_account_reads_as_the_large_one() {
        let mut account = RoomLedger::default();
        let mut ledger = Ledger::default();
        let mut queued = Change {
            expected: 3,
            delivered: 1,
            queued: 2,
            ..Change::default()
        };
        for change in [
            queued,
            Change {
                queued: 0u64.wrapping_sub(2),
                delivered: 1,
                ..Change::dropped(Cause::Expired, 1)
            },
        ] {
            account.add(&change);
            change.apply(&mut ledger);
        }
        assert_eq!((account.read(), ledger.unexplained()), (ledger, 0));
        queued.drop(Cause::Capacity, 0);
    }
}
