//! Rooms written to, and what came of it booked.

use super::client::Ended;
use super::fan_out::{BYTES_PER_WRITE, Counter};
use super::gathering::{FanOut, Gathering};
use super::outbound::Sent;
use super::port::Port;
use super::rooms::{Change, LocalRoom};
use super::slab::index_of;
use super::turn::Worker;
use crate::broker::Consumers;
use crate::broker::ledger::Cause;

/// Publications that cost about as much to take for one member as another write.
const FRAMES_PER_WRITE: u64 = 64;

/// Lists of publications kept for reuse.
const SPARE: usize = 64;

impl<P: Port, C: Consumers> Worker<P, C> {
    /// Writes what a room has been told to its members, to about `budget` of them; what of the budget
    /// that took.
    pub(super) fn write_room(&mut self, key: u64, budget: u64) -> u64 {
        let Self {
            rooms,
            clients,
            bounds,
            context,
            offered,
            blob,
            mixed,
            spare_fan_out,
            ..
        } = self;
        let Some(LocalRoom {
            members,
            fan_out,
            gathering,
            ..
        }) = rooms.get_mut(key)
        else {
            return 0;
        };
        let fan_out = match (fan_out, gathering) {
            (Some(fan_out), _) => fan_out,
            (none, Some(gathering)) => {
                let fan_out = none.insert(spare_fan_out.take().unwrap_or_default());
                fan_out.begin(gathering, members.len());
                fan_out
            }
            (None, None) => return 0,
        };
        fan_out.expire(context.now);
        let mut counter = Counter {
            now: context.now,
            bounds,
            clients,
            offered,
            mixed,
        };
        let mut spent = counter.write_asides(members, fan_out, budget);
        spent += counter.write_frames(members, fan_out, blob, budget.saturating_sub(spent));
        self.book(Some(index_of(key)));
        self.end_fan_out(key);
        spent
    }

    /// Books what became of what was offered to members of this room, and sees to those who are behind
    /// or gone.
    pub(super) fn book(&mut self, room: Option<u32>) {
        let offered = &mut self.offered;
        let mut change = Change {
            expected: std::mem::take(&mut offered.deliveries),
            ..Change::default()
        };
        change.drop(Cause::Expired, std::mem::take(&mut offered.late));
        change.drop(Cause::Closed, std::mem::take(&mut offered.failed));
        let sent = std::mem::take(&mut offered.sent);
        self.account(room, change, sent);
        while let Some(index) = self.offered.unwatched.pop() {
            if let Some(key) = self.clients.key_at(index) {
                self.watch_writes(key);
            }
        }
        while let Some(index) = self.offered.broken.pop() {
            if let Some(key) = self.clients.key_at(index) {
                self.agenda.mark_gone(key, Ended::Gone);
            }
        }
        while let Some(index) = self.offered.overflowed.pop() {
            if let Some(key) = self.clients.key_at(index) {
                self.overflow(key);
            }
        }
    }

    /// Puts a fan-out aside that everybody has had.
    fn end_fan_out(&mut self, key: u64) {
        let Some(local) = self.rooms.get_mut(key) else {
            return;
        };
        let Some(mut fan_out) = local.fan_out.take_if(|fan_out| fan_out.is_done()) else {
            return;
        };
        // Nobody is left of those that the rest was for.
        let mut change = Change::dropped(Cause::Closed, fan_out.owed);
        change.expected = fan_out.owed;
        self.done += fan_out.load;
        fan_out.clear();
        self.spare_fan_out = Some(fan_out);
        if let Some(gathering) = local.gathering.take_if(|gathering| gathering.is_empty()) {
            self.reuse(gathering);
        }
        if change.expected > 0 {
            self.account(Some(index_of(key)), change, Sent::default());
        }
    }

    pub(super) fn reuse(&mut self, gathering: Box<Gathering>) {
        let is_small = gathering.pending.capacity() <= 1024 && gathering.asides.capacity() <= 1024;
        if self.spare.len() < SPARE && is_small {
            self.spare.push(gathering);
        }
    }

    /// Writes the asides of connections that are in no room.
    pub(super) fn write_apart(&mut self) -> u64 {
        if self.apart.load.parcels == 0 {
            return 0;
        }
        self.apart.gather_asides();
        let mut spent = 0;
        while let Some((connection, begin)) = self.apart.last_asides() {
            let Self {
                apart,
                clients,
                bounds,
                context,
                offered,
                mixed,
                ..
            } = self;
            let mut counter = Counter {
                now: context.now,
                bounds,
                clients,
                offered,
                mixed,
            };
            let asides = begin..apart.asides.len();
            counter.serve_asides(apart, connection, None, asides);
            apart.asides.truncate(begin);
            spent += 1;
        }
        self.book(None);
        self.done += self.apart.load;
        self.apart.clear();
        spent
    }

    /// Writes to a member that leaves all that its room has been told so far; what that took, in writes.
    pub(super) fn catch_up(&mut self, key: u64) -> u64 {
        let Some(seat) = self.clients.get_mut(key).and_then(|client| client.seat) else {
            return 0;
        };
        let Self {
            rooms,
            clients,
            bounds,
            context,
            offered,
            mixed,
            done,
            ..
        } = self;
        let Some(local) = rooms.at_mut(seat.room).filter(|local| !local.is_idle()) else {
            return 0;
        };
        let Some(&member) = local.members.get(seat.position as usize) else {
            return 0;
        };
        let mut counter = Counter {
            now: context.now,
            bounds,
            clients,
            offered,
            mixed,
        };
        if let Some(fan_out) = &mut local.fan_out {
            fan_out.expire(context.now);
            let asides = fan_out.asides_of(key);
            if !asides.is_empty() || fan_out.awaits(seat.position) {
                let frames = fan_out.awaits(seat.position).then_some(member);
                counter.serve_asides(fan_out, key, frames, asides.clone());
                fan_out.asides.drain(asides);
                counter.pass(&mut local.members, fan_out, seat.position);
            }
        }
        let mut spent = 1;
        if let Some(gathering) = &mut local.gathering {
            let mut share = FanOut::default();
            gathering.take_share(key, member, &mut share);
            share.expire(context.now);
            let asides = 0..share.asides.len();
            counter.serve_asides(&mut share, key, Some(member), asides);
            *done += share.load;
            let frames = share.frames.iter().map(|one| one.frame.len() as u64);
            spent += (frames.sum::<u64>() + share.load.bytes as u64) / BYTES_PER_WRITE;
            spent += share.frames.len() as u64 / FRAMES_PER_WRITE;
        }
        self.book(Some(seat.room));
        spent
    }
}
