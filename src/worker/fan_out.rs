//! From what rooms have been told to the sockets of their members, a portion at a time.

use super::client::{Client, Ended};
use super::gathering::{FanOut, Gathering};
use super::outbound::{Batch, Reader, Sent};
use super::per_route::PerRoute;
use super::port::Port;
use super::rooms::{Change, LocalRoom, Member};
use super::slab::{Slab, index_of};
use super::turn::Worker;
use crate::broker::Consumers;
use crate::broker::ledger::Cause;
use crate::clock::Millis;
use std::io;
use std::ops::Range;

/// Bytes that cost about as much as another write.
const BYTES_PER_WRITE: u64 = 8 * 1024;

/// Publications that cost about as much to take for one member as another write.
const FRAMES_PER_WRITE: u64 = 64;

/// Lists of publications kept for reuse.
const SPARE: usize = 64;

/// What became of deliveries that were offered to members, until that is booked; and whose
/// connections need more than that.
#[derive(Debug, Default)]
pub(super) struct Offered {
    sent: Sent,
    /// Deliveries that had their turn.
    deliveries: u64,
    /// Of these, those that were too old by then.
    late: u64,
    /// Of these, those whose connection was gone.
    failed: u64,
    /// Members with something waiting for a socket that nobody watches for that.
    unwatched: Vec<u32>,
    overflowed: Vec<u32>,
    broken: Vec<u32>,
    /// Who is being served.
    pub(super) member: Option<u32>,
}

/// What serving members takes beside them.
struct Counter<'a, S> {
    now: Millis,
    readers: &'a PerRoute<Reader>,
    clients: &'a mut Slab<Client<S>>,
    offered: &'a mut Offered,
    /// The bytes of a member's frames and asides in a row.
    mixed: &'a mut Vec<u8>,
}

impl<S: io::Write> Counter<'_, S> {
    /// Offers a fan-out's frames to a member; `several` are their bytes in a row, if it is not one.
    fn serve(&mut self, fan_out: &mut FanOut, several: &[u8], member: Member) {
        let Self {
            now,
            readers,
            clients,
            offered,
            ..
        } = self;
        let first = member.first_of(&fan_out.sequences);
        let deliveries = fan_out.frames.len().saturating_sub(first) as u64;
        let late = fan_out.late_for(member);
        fan_out.owed = fan_out.owed.saturating_sub(deliveries + late);
        let bytes = match fan_out.frames.as_slice() {
            [only] => only.frame.as_ref(),
            _ => several,
        };
        offered.deliveries += deliveries + late;
        offered.late += late;
        offered.member = Some(member.index);
        #[cfg(test)]
        super::tests::trip_writing(member.index, bytes);
        let Some(client) = clients.at_mut(member.index) else {
            offered.failed += deliveries;
            return;
        };
        let batch = Batch {
            frames: &fan_out.frames,
            bytes,
        };
        let Client {
            socket, connection, ..
        } = client;
        let outbound = &mut connection.outbound;
        let outcome = outbound.offer(*now, readers, batch, first, socket, &mut offered.sent);
        offered.conclude(member.index, client, deliveries, outcome);
    }

    /// Writes the frames of a fan-out to members that are still to be served.
    fn write_frames(
        &mut self,
        members: &[Member],
        fan_out: &mut FanOut,
        blob: &mut Vec<u8>,
        budget: u64,
    ) -> u64 {
        match fan_out.frames.as_slice() {
            // Too old for everybody who is left.
            [] => {
                let owed = std::mem::take(&mut fan_out.owed);
                self.offered.deliveries += owed;
                self.offered.late += owed;
                fan_out.stop();
                return 0;
            }
            [_] => {}
            several => {
                blob.clear();
                for publication in several {
                    blob.extend_from_slice(&publication.frame);
                }
            }
        }
        let mut spent = 0;
        while spent < budget
            && let Some(position) = fan_out.next()
        {
            let before = self.offered.sent.bytes;
            if let Some(&member) = members.get(position as usize) {
                self.serve(fan_out, blob, member);
            }
            spent += 1 + (self.offered.sent.bytes - before) / BYTES_PER_WRITE;
        }
        spent
    }

    /// Writes the asides of a fan-out, with its frames to those members who have some.
    fn write_asides(&mut self, members: &mut [Member], fan_out: &mut FanOut, budget: u64) -> u64 {
        let mut spent = 0;
        while spent < budget
            && let Some((key, begin)) = fan_out.last_asides()
        {
            let before = self.offered.sent.bytes;
            let client = self.clients.get_mut(key);
            let seat = client.and_then(|client| client.seat);
            let position = seat.map_or(u32::MAX, |seat| seat.position);
            let member = members.get(position as usize).copied();
            let member = member.filter(|_| fan_out.awaits(position));
            let end = fan_out.asides.len();
            self.serve_asides(fan_out, key, member, begin..end);
            fan_out.asides.truncate(begin);
            self.pass(members, fan_out, position);
            spent += 1 + (self.offered.sent.bytes - before) / BYTES_PER_WRITE;
        }
        spent
    }

    /// Notes that the member at this position has been served.
    fn pass(&mut self, members: &mut [Member], fan_out: &mut FanOut, position: u32) {
        let Some(other) = fan_out.pass(position) else {
            return;
        };
        members.swap(position as usize, other as usize);
        for position in [position, other] {
            let member = members.get(position as usize);
            let client = member.and_then(|member| self.clients.at_mut(member.index));
            if let Some(seat) = client.and_then(|client| client.seat.as_mut()) {
                seat.position = position;
            }
        }
    }

    /// Offers a connection its asides, and if it is a `member` the frames among which they are.
    fn serve_asides(
        &mut self,
        fan_out: &mut FanOut,
        key: u64,
        member: Option<Member>,
        asides: Range<usize>,
    ) {
        let Self {
            now,
            readers,
            clients,
            offered,
            mixed,
        } = self;
        let (mut first, mut late) = (fan_out.frames.len(), 0);
        if let Some(member) = member {
            first = member.first_of(&fan_out.sequences);
            late = fan_out.late_for(member);
        }
        let frames = fan_out.frames.len().saturating_sub(first) as u64;
        fan_out.owed = fan_out.owed.saturating_sub(frames + late);
        let (events, too_late) = fan_out.events(asides.clone(), *now);
        offered.deliveries += frames + late + events;
        offered.late += late + too_late;
        offered.member = Some(index_of(key));
        let deliveries = frames + events - too_late;
        let Some(client) = clients.get_mut(key) else {
            offered.failed += deliveries;
            return;
        };
        let pieces = fan_out.merged(first, asides, *now);
        let mut rest = pieces.clone();
        let bytes = match (rest.next(), rest.next()) {
            (None, _) => return offered.member = None,
            (Some(only), None) => only.frame(),
            // All of it is put in line, and nothing written.
            _ if !client.connection.outbound.is_clear() => &[][..],
            (Some(_), Some(_)) => {
                mixed.clear();
                for piece in pieces.clone() {
                    mixed.extend_from_slice(piece.frame());
                }
                mixed.as_slice()
            }
        };
        #[cfg(test)]
        super::tests::trip_writing(index_of(key), bytes);
        let Client {
            socket, connection, ..
        } = client;
        let outbound = &mut connection.outbound;
        let sent = &mut offered.sent;
        let outcome = outbound.interleave(*now, readers, pieces, bytes, socket, sent);
        offered.conclude(index_of(key), client, deliveries, outcome);
    }
}

impl Offered {
    fn conclude<S>(
        &mut self,
        index: u32,
        client: &Client<S>,
        deliveries: u64,
        outcome: io::Result<()>,
    ) {
        match outcome {
            Ok(()) if client.watched || client.connection.outbound.is_idle() => {}
            Ok(()) => self.unwatched.push(index),
            Err(_) => {
                self.failed += deliveries;
                self.broken.push(index);
            }
        }
        if std::mem::take(&mut self.sent.overflow) {
            self.overflowed.push(index);
        }
        self.member = None;
    }
}

impl<P: Port, C: Consumers> Worker<P, C> {
    /// Writes what a room has been told to its members, to about `budget` of them; what of the budget
    /// that took.
    pub(super) fn write_room(&mut self, key: u64, budget: u64) -> u64 {
        let Self {
            rooms,
            clients,
            readers,
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
            readers,
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
                readers,
                context,
                offered,
                mixed,
                ..
            } = self;
            let mut counter = Counter {
                now: context.now,
                readers,
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
            readers,
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
            readers,
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
