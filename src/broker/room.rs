//! One room of this node: its order, and which workers hold its members.

use super::mailboxes::Mailboxes;
use super::parcel::{Parcel, RoomSlot};
use super::publication::Publication;
use crate::name::RoomName;
use crate::protocol::CloseReason;
use parking_lot::Mutex;
use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A room with one member: the registry's entry, the name, the list of members.
pub(crate) const ROOM_BYTES: usize = 256;
const _: () = assert!(
    size_of::<Room>() <= 80,
    "96 with the counts of its `Arc`: a size that allocators have"
);

/// Members of the room on one worker; without any there is no such value.
#[derive(Clone, Copy, Debug)]
struct WorkerMembers {
    slot: RoomSlot,
    members: NonZeroU32,
}

/// A room's order and members: what its lock guards.
#[derive(Debug, Default)]
pub(super) struct LockedRoom {
    /// Number of the last publication; the first is 1.
    pub(super) sequence: u64,
    /// Number of the last publication that was offered to the uplinks; the first is 1.
    pub(super) forwarded: u64,
    /// Members on the first worker that has some. Most rooms never have a second.
    home: Option<WorkerMembers>,
    /// That worker.
    home_worker: u16,
    /// Further workers, once the room has spread.
    #[expect(
        clippy::box_collection,
        reason = "8 bytes instead of 24 in every room that never spreads"
    )]
    spread: Option<Box<Vec<(u16, WorkerMembers)>>>,
    /// Ways that do not reach this room yet; without any, members are welcomed as they come.
    unconfirmed: u8,
}

impl LockedRoom {
    /// The workers with members.
    fn placements(&self) -> impl Iterator<Item = (usize, WorkerMembers)> {
        let home = self.home.map(|home| (self.home_worker, home));
        let spread = self.spread.iter().flat_map(|spread| spread.iter().copied());
        let all = home.into_iter().chain(spread);
        all.map(|(worker, placement)| (usize::from(worker), placement))
    }

    fn members(&self) -> usize {
        let members = |(_, placement): (usize, WorkerMembers)| placement.members.get() as usize;
        self.placements().map(members).sum()
    }

    fn placement_mut(&mut self, worker: u16) -> Option<&mut WorkerMembers> {
        if self.home_worker == worker {
            // Home is the only place of its worker.
            return self.home.as_mut();
        }
        let mut spread = self.spread.iter_mut().flat_map(|spread| spread.iter_mut());
        let found = spread.find(|(other, _)| *other == worker);
        found.map(|(_, placement)| placement)
    }

    /// The first member on a worker that has none.
    fn add(&mut self, worker: u16, slot: RoomSlot) {
        let members = NonZeroU32::MIN;
        let placement = WorkerMembers { slot, members };
        if self.home.is_none() {
            (self.home_worker, self.home) = (worker, Some(placement));
        } else {
            let spread = self.spread.get_or_insert_default();
            spread.push((worker, placement));
        }
    }

    /// Gives the next number to a publication and puts it into the mailbox of every worker with
    /// members; how many members those are.
    pub(super) fn put(
        &mut self,
        publication: &Publication,
        mailboxes: &Mailboxes,
        from: Option<usize>,
    ) -> u64 {
        self.sequence += 1;
        let bytes = publication.frame.len();
        let mut members = 0;
        let mut put = |worker: u16, placement: &WorkerMembers| {
            members += u64::from(placement.members.get());
            let parcel = Parcel::Room {
                slot: placement.slot,
                sequence: self.sequence,
                members: placement.members.get(),
                delivery: publication.delivery(),
            };
            mailboxes.push_sized(usize::from(worker), parcel, bytes, from);
        };
        if let Some(home) = &self.home {
            put(self.home_worker, home);
        }
        if let Some(spread) = &self.spread {
            for (worker, placement) in spread.iter() {
                put(*worker, placement);
            }
        }
        members
    }

    fn remove(&mut self, worker: u16) {
        if let Some(spread) = &mut self.spread {
            spread.retain(|(other, _)| *other != worker);
        }
        if self.home_worker == worker {
            let next = self.spread.as_mut().and_then(|spread| spread.pop());
            self.home = next.map(|(_, placement)| placement);
            self.home_worker = next.map_or(worker, |(worker, _)| worker);
        }
        if self.spread.as_ref().is_some_and(|spread| spread.is_empty()) {
            self.spread = None;
        }
    }
}

/// A room of this node, with members or, for the length of one publication, without.
#[derive(Debug)]
pub struct Room {
    name: RoomName,
    /// Written once, before anybody finds the room: under the lock of its place in the registry.
    incarnation: AtomicU64,
    state: Mutex<LockedRoom>,
}

/// A member's seat in a room, returned by [`Broker::join`](super::Broker::join).
#[derive(Clone, Debug)]
pub struct Joined {
    /// The room.
    pub room: Arc<Room>,
    /// The room's place on the worker.
    pub slot: RoomSlot,
    /// Number of the last publication before the join: later ones are for this member.
    pub sequence: u64,
    /// The worker had no member of this room before.
    pub first_on_worker: bool,
    /// Nor had the node.
    pub(super) first_on_node: bool,
    /// Members are welcomed as they come; if not, a [`Parcel::Confirmed`] will say when.
    pub confirmed: bool,
}

/// Whose last member a leave took away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    /// Nobody's: others stay on the worker.
    Not,
    /// The worker's.
    OnWorker,
    /// The node's.
    OnNode,
}

impl Room {
    pub(super) fn new(name: RoomName, unconfirmed: u8) -> Self {
        Self {
            name,
            incarnation: AtomicU64::new(0),
            state: Mutex::new(LockedRoom {
                unconfirmed,
                ..LockedRoom::default()
            }),
        }
    }

    pub(super) fn begin(&self, incarnation: u64) {
        self.incarnation.store(incarnation, Ordering::Relaxed);
    }

    /// The room's name.
    #[must_use]
    pub fn name(&self) -> &RoomName {
        &self.name
    }

    /// Which of this node's rooms of that name it is: a room that dies and comes back has a higher
    /// one, and its [`Room::forwarded`] begins anew.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.incarnation.load(Ordering::Relaxed)
    }

    /// Number of the last publication that was offered to the uplinks.
    #[must_use]
    pub fn forwarded(&self) -> u64 {
        self.state.lock().forwarded
    }

    /// Members on all workers.
    #[must_use]
    pub fn members(&self) -> usize {
        self.state.lock().members()
    }

    /// Number of the last publication.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.state.lock().sequence
    }

    /// Where the room lives on `worker`.
    #[must_use]
    pub fn slot_on(&self, worker: usize) -> Option<RoomSlot> {
        let state = self.state.lock();
        let found = state.placements().find(|(other, _)| *other == worker);
        found.map(|(_, placement)| placement.slot)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state.lock().home.is_none()
    }

    /// The worker a new member should go to, given `spread_above` and `workers`: the home while the
    /// room is small, then the worker with the fewest members, of several the one with the least load.
    /// One without a `load` takes nobody.
    pub(super) fn preferred_worker(
        &self,
        spread_above: usize,
        workers: usize,
        load: impl Fn(usize) -> Option<u64>,
    ) -> Option<usize> {
        let state = self.state.lock();
        let (home, _) = state.placements().next()?;
        if state.members() < spread_above {
            return Some(home);
        }
        let count = |worker: usize| {
            let found = state.placements().find(|(other, _)| *other == worker);
            found.map_or(0, |(_, placement)| placement.members.get())
        };
        let open = (0..workers).filter_map(|worker| Some((count(worker), load(worker)?, worker)));
        open.min().map(|(_, _, worker)| worker)
    }

    /// Takes a seat on `worker`; `make_slot` runs if the room is new there.
    pub(super) fn sit(
        self: &Arc<Self>,
        worker: u16,
        make_slot: impl FnOnce() -> RoomSlot,
    ) -> Joined {
        let room = Arc::clone(self);
        let mut state = self.state.lock();
        let mut joined = Joined {
            room,
            slot: RoomSlot::default(),
            sequence: state.sequence,
            first_on_worker: false,
            first_on_node: false,
            confirmed: state.unconfirmed == 0,
        };
        if let Some(placement) = state.placement_mut(worker) {
            placement.members = placement.members.saturating_add(1);
            joined.slot = placement.slot;
            return joined;
        }
        joined.slot = make_slot();
        joined.first_on_worker = true;
        joined.first_on_node = state.home.is_none();
        state.add(worker, joined.slot);
        joined
    }

    /// Gives a seat back.
    pub(super) fn stand(&self, worker: u16) -> Last {
        let mut state = self.state.lock();
        let Some(placement) = state.placement_mut(worker) else {
            return Last::Not;
        };
        if let Some(left) = NonZeroU32::new(placement.members.get() - 1) {
            placement.members = left;
            return Last::Not;
        }
        state.remove(worker);
        if state.home.is_none() {
            Last::OnNode
        } else {
            Last::OnWorker
        }
    }

    /// These ways reach the room. With the last of them, members are welcomed from here on, and those
    /// that wait for it are told, behind what was published before.
    pub(super) fn confirm(&self, ways: u8, mailboxes: &Mailboxes, from: Option<usize>) {
        let mut state = self.state.lock();
        if state.unconfirmed == 0 {
            return;
        }
        state.unconfirmed &= !ways;
        if state.unconfirmed != 0 {
            return;
        }
        for (worker, placement) in state.placements() {
            let slot = placement.slot;
            mailboxes.push(worker, Parcel::Confirmed { slot }, from);
        }
    }

    /// Tells every worker with members to close their connections.
    pub(super) fn close(&self, mailboxes: &Mailboxes, reason: CloseReason, farewell: Option<&str>) {
        let state = self.state.lock();
        for (worker, placement) in state.placements() {
            let slot = placement.slot;
            let parcel = Parcel::Close {
                slot,
                reason,
                farewell: farewell.map(Box::from),
            };
            mailboxes.push(worker, parcel, None);
        }
    }

    /// The first worker among this room's whose mailbox is full.
    pub(super) fn full_mailbox(&self, mailboxes: &Mailboxes) -> Option<usize> {
        let state = self.state.lock();
        let mut workers = state.placements().map(|(worker, _)| worker);
        workers.find(|&worker| mailboxes.is_full(worker))
    }

    /// Is the mailbox of any worker of this room's crowded?
    pub(super) fn is_crowded(&self, mailboxes: &Mailboxes) -> bool {
        let state = self.state.lock();
        let mut workers = state.placements().map(|(worker, _)| worker);
        workers.any(|worker| mailboxes.is_crowded(worker))
    }

    /// Lets `act` publish in the room's order: nobody else does, joins or leaves meanwhile.
    pub(super) fn in_order<T>(&self, act: impl FnOnce(&mut LockedRoom) -> T) -> T {
        act(&mut self.state.lock())
    }
}

/// A room as a key of the registry: found by its name, without a second copy of it.
#[derive(Clone, Debug)]
pub(super) struct ByName(pub(super) Arc<Room>);

impl Borrow<str> for ByName {
    fn borrow(&self) -> &str {
        self.0.name.as_str()
    }
}

impl Hash for ByName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name.as_str().hash(state);
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for ByName {}
