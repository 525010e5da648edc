//! From what rooms have been told to the sockets of their members, a portion at a time.

use super::client::{Client, WriteSide};
use super::gathering::FanOut;
use super::member::Member;
use super::outbound::{FrameBatch, Reader, Sent};
use super::per_route::PerRoute;
use super::slab::{Slab, index_of};
use crate::clock::Millis;
use std::io;
use std::ops::Range;

/// Bytes that cost about as much as another write.
pub(super) const BYTES_PER_WRITE: u64 = 8 * 1024;

/// What became of deliveries that were offered to members, until that is booked; and whose
/// connections need more than that.
#[derive(Debug, Default)]
pub(super) struct Offered {
    pub(super) sent: Sent,
    /// Deliveries that had their turn.
    pub(super) deliveries: u64,
    /// Of these, those that were too old by then.
    pub(super) late: u64,
    /// Of these, those whose connection was gone.
    pub(super) failed: u64,
    /// Members with something waiting for a socket that nobody watches for that.
    pub(super) unwatched: Vec<u32>,
    pub(super) overflowed: Vec<u32>,
    pub(super) broken: Vec<u32>,
    /// Who is being served.
    pub(super) member: Option<u32>,
}

/// What serving members takes beside them.
pub(super) struct Counter<'a, S> {
    pub(super) now: Millis,
    pub(super) readers: &'a PerRoute<Reader>,
    pub(super) clients: &'a mut Slab<Client<S>>,
    pub(super) offered: &'a mut Offered,
    /// The bytes of a member's frames and asides in a row.
    pub(super) mixed: &'a mut Vec<u8>,
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
        let batch = FrameBatch {
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
    pub(super) fn write_frames(
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
                for delivery in several {
                    blob.extend_from_slice(&delivery.frame);
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
    pub(super) fn write_asides(
        &mut self,
        members: &mut [Member],
        fan_out: &mut FanOut,
        budget: u64,
    ) -> u64 {
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
    pub(super) fn pass(&mut self, members: &mut [Member], fan_out: &mut FanOut, position: u32) {
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
    pub(super) fn serve_asides(
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
            Ok(())
                if client.outgoing == WriteSide::Watched
                    || client.connection.outbound.is_idle() => {}
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
