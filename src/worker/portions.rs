//! Which rooms are written in this turn, and how much of each; see [`Agenda`](super::agenda::Agenda).

use super::agenda::EVENTS;
use super::gathering::GATHER_BYTES_MAX;
use super::port::Port;
use super::turn::Worker;
use crate::broker::Consumers;

/// What the small rooms may take of a turn, in writes.
pub(super) const SMALL_ROOMS: u64 = 512;

/// What the large rooms may take of a turn, in writes.
const PORTION: u64 = 64;

impl<P: Port, C: Consumers> Worker<P, C> {
    /// Writes small rooms, within what is left of their budget.
    pub(super) fn write_small_rooms(&mut self, budget: &mut u64) {
        while *budget > 0
            && let Some(room) = self.agenda.next_room()
        {
            if self.is_large(room) {
                self.agenda.add_large(room);
                continue;
            }
            let spent =
                self.contained_writing(Some(room), |worker| worker.write_room(room, u64::MAX));
            *budget = budget.saturating_sub(spent);
            if self.has_work(room) {
                self.agenda.put_first(room);
            }
        }
    }

    /// Writes a portion to the members of large rooms.
    pub(super) fn write_large_rooms(&mut self) {
        if self.agenda.large_rooms() == 0 {
            return;
        }
        self.take_time();
        let mut budget = PORTION;
        for _ in 0..self.agenda.large_rooms() {
            let Some(room) = self.agenda.next_large() else {
                break;
            };
            if self.is_due(room) {
                let spent =
                    self.contained_writing(Some(room), |worker| worker.write_room(room, budget));
                budget = budget.saturating_sub(spent);
            }
            if self.has_work(room) {
                self.agenda.add_large(room);
            }
            if budget == 0 {
                break;
            }
        }
    }

    fn has_work(&mut self, room: u64) -> bool {
        self.rooms
            .get_mut(room)
            .is_some_and(|local| !local.is_idle())
    }

    /// Does writing this room take more than reading a whole poll does?
    fn is_large(&mut self, room: u64) -> bool {
        self.rooms.get_mut(room).is_some_and(|local| {
            let gathering = local.gathering.as_ref();
            let is_told = gathering.is_some_and(|gathering| !gathering.pending.is_empty());
            is_told && local.members.len() > EVENTS
        })
    }

    /// Should a large room be written now? While others are waiting to be read, some of whom may be
    /// about to speak in it, the fan-out waits for about as long as it will take, in events for
    /// writes: so if all its members speak at once, each gets one write and not one for each poll.
    fn is_due(&mut self, room: u64) -> bool {
        let Some(local) = self.rooms.get_mut(room) else {
            return false;
        };
        let Some(gathering) = local.gathering.as_ref().filter(|_| local.fan_out.is_none()) else {
            return true;
        };
        let waited = self.agenda.seen() - gathering.since;
        !self.agenda.is_busy()
            || waited >= local.members.len() as u64
            || gathering.load.bytes >= GATHER_BYTES_MAX
            || self.context.broker.mailboxes().is_full(self.context.worker)
    }
}
