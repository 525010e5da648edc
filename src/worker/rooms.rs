//! This worker's members of each room, and the account of the deliveries owed to them.

use super::agenda::Agenda;
use super::gathering::{Aside, FanOut, GATHER_BYTES_MAX, Gathering, ParcelLoad};
use super::member::{Member, low_half};
use super::slab::index_of;
use crate::broker::RoomSlot;
use crate::broker::ledger::{Cause, Ledger};
use crate::broker::room::Room;
use std::sync::Arc;

/// Members of a room that is written in the turn in which it is told something: some 50 µs. The others share a portion of each turn, so that
/// nobody waits for many of them (`loadtest entrance --only flood-none,flood-free`).
const SMALL_MEMBERS: usize = 32;

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

    /// Takes another account's place.
    pub(super) fn set(&mut self, ledger: &Ledger) {
        self.expected = ledger.expected;
        self.delivered = ledger.delivered;
        self.queued = (ledger.queued & u64::from(u32::MAX)) as u32;
        self.dropped = Some(Box::new(ledger.dropped));
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
    /// What it has been told, until that is being written.
    pub(super) gathering: Option<Box<Gathering>>,
    /// What is being written.
    pub(super) fan_out: Option<Box<FanOut>>,
    pub(super) ledger: RoomLedger,
    /// Number of the last publication that came here, low half.
    pub(super) latest: u32,
}

/// A room's place as the broker writes it, from the slab's key.
pub(super) fn slot_of(key: u64) -> RoomSlot {
    RoomSlot {
        index: index_of(key),
        generation: (key >> 32) as u32,
    }
}

/// The reverse of [`slot_of`].
pub(super) fn key_of(slot: RoomSlot) -> u64 {
    u64::from(slot.generation) << 32 | u64::from(slot.index)
}

impl LocalRoom {
    /// A room whose last publication before its first member here was `sequence`.
    pub(super) fn new(room: Arc<Room>, sequence: u64) -> Self {
        Self {
            room,
            members: Vec::with_capacity(1),
            gathering: None,
            fan_out: None,
            ledger: RoomLedger::default(),
            latest: low_half(sequence),
        }
    }

    /// Deliveries of which nothing has become yet.
    pub(super) fn owed(&self) -> u64 {
        let events = |asides: &[Aside]| asides.iter().filter(|one| one.is_event()).count() as u64;
        let under_way = self.fan_out.as_ref();
        let gathered = self.gathering.as_ref();
        under_way.map_or(0, |fan_out| fan_out.owed + events(&fan_out.asides))
            + gathered.map_or(0, |gathering| gathering.owed() + events(&gathering.asides))
    }

    /// The parcels that it holds.
    pub(super) fn load(&self) -> ParcelLoad {
        let fan_out = self.fan_out.as_ref();
        let mut load = fan_out.map_or(ParcelLoad::default(), |fan_out| fan_out.load);
        let gathering = self.gathering.as_ref();
        load += gathering.map_or(ParcelLoad::default(), |gathering| gathering.load);
        load
    }

    /// Publications that the members here have still to be written, those in the mailbox included.
    pub(super) fn waiting(&self) -> u32 {
        let gathered = self.gathering.as_ref().map_or(0, |one| one.pending.len());
        let under_way = self.fan_out.as_ref().map_or(0, |one| one.frames.len());
        let untaken = low_half(self.room.sequence()).wrapping_sub(self.latest);
        untaken.saturating_add((gathered + under_way) as u32)
    }

    /// Does writing it take so long that others are not to wait for all of it?
    pub(super) fn is_large(&self) -> bool {
        let gathering = self.gathering.as_ref();
        let is_told = gathering.is_some_and(|gathering| !gathering.pending.is_empty());
        is_told && self.members.len() > SMALL_MEMBERS
    }

    /// Should a large room be written now? While others are waiting to be read, some of whom may be
    /// about to speak in it, the fan-out waits for about as long as it will take, in events for
    /// writes: so if all its members speak at once, each gets one write and not one for each poll.
    /// `is_crowded`: this worker's mailbox is.
    pub(super) fn is_due(&self, agenda: &Agenda, is_crowded: bool) -> bool {
        let Some(gathering) = self.gathering.as_ref().filter(|_| self.fan_out.is_none()) else {
            return true;
        };
        let waited = agenda.seen() - gathering.since;
        !agenda.is_busy()
            || waited >= self.members.len() as u64
            || gathering.load.bytes >= GATHER_BYTES_MAX
            || is_crowded
    }

    /// Is nothing to be written to its members?
    pub(super) fn is_idle(&self) -> bool {
        self.gathering.is_none() && self.fan_out.is_none()
    }

    /// Adds a member that joined after publication `sequence`; its position.
    pub(super) fn add(&mut self, index: u32, sequence: u64) -> u32 {
        self.members.push(Member {
            index,
            joined: low_half(sequence),
        });
        (self.members.len() - 1) as u32
    }

    /// Removes the member at `position`; `moved` hears of everybody (by place in the slab) who has
    /// another position now.
    pub(super) fn remove(&mut self, position: u32, mut moved: impl FnMut(u32, u32)) {
        let Self {
            members, fan_out, ..
        } = self;
        let mut hole = position;
        if let Some(fan_out) = fan_out {
            hole = fan_out.close_up(hole, |from, to| {
                members.swap(from as usize, to as usize);
                if let Some(member) = members.get(to as usize) {
                    moved(member.index, to);
                }
            });
        }
        if (hole as usize) < members.len() {
            members.swap_remove(hole as usize);
        }
        if let Some(member) = members.get(hole as usize) {
            moved(member.index, hole);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
