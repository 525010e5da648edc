//! Which rooms are written in this turn, and how much of each.
//!
//! Rooms of no more members than a poll reads from are small: they are written whole, in the order in
//! which they were told something, up to a budget in all. Of the others there is one portion in a turn, to
//! one room after the other; between portions the worker polls, reads, accepts and writes small rooms, so
//! nobody waits for a large fan-out to end. What a room is told meanwhile is gathered, and leaves in
//! one write.

use super::port::Port;
use super::turn::{EVENTS, Worker};
use crate::broker::Consumers;
use std::collections::VecDeque;

/// What the small rooms may take of a turn, in writes.
pub(super) const SMALL_ROOMS: u64 = 512;

/// What the large rooms may take of a turn, in writes.
const PORTION: u64 = 64;

/// Rooms that have something to be written, by key; each is in one of the lists once.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    /// Those that were told something, and have not been found to be large.
    small: VecDeque<u64>,
    large: VecDeque<u64>,
    /// Events that the worker has seen.
    seen: u64,
    /// The last poll had as many as it can have: others may be waiting.
    is_busy: bool,
}

impl Agenda {
    /// Puts a room that was idle into line.
    pub(super) fn add(&mut self, room: u64) {
        self.small.push_back(room);
    }

    /// Notes how many events a poll had.
    pub(super) fn polled(&mut self, events: usize) {
        self.seen += events as u64;
        self.is_busy = events >= EVENTS;
    }

    pub(super) fn seen(&self) -> u64 {
        self.seen
    }
}

impl<P: Port, C: Consumers> Worker<P, C> {
    /// Writes small rooms, within what is left of their budget.
    pub(super) fn write_small_rooms(&mut self, budget: &mut u64) {
        while *budget > 0
            && let Some(room) = self.agenda.small.pop_front()
        {
            if self.is_large(room) {
                self.agenda.large.push_back(room);
                continue;
            }
            let spent =
                self.contained_writing(Some(room), |worker| worker.write_room(room, u64::MAX));
            *budget = budget.saturating_sub(spent);
            if self.has_work(room) {
                self.agenda.small.push_front(room);
            }
        }
    }

    /// Writes a portion to the members of large rooms.
    pub(super) fn write_large_rooms(&mut self) {
        if self.agenda.large.is_empty() {
            return;
        }
        self.take_time();
        let mut budget = PORTION;
        for _ in 0..self.agenda.large.len() {
            let Some(room) = self.agenda.large.pop_front() else {
                break;
            };
            if self.is_due(room) {
                let spent =
                    self.contained_writing(Some(room), |worker| worker.write_room(room, budget));
                budget = budget.saturating_sub(spent);
            }
            if self.has_work(room) {
                self.agenda.large.push_back(room);
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
        let waited = self.agenda.seen - gathering.since;
        !self.agenda.is_busy
            || waited >= local.members.len() as u64
            || gathering.load.bytes >= super::gathering::GATHER_BYTES_MAX
            || self.plane.broker.mailboxes().is_full(self.plane.worker)
    }
}
