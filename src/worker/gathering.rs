//! What the members of one room are to be written: publications and asides as they come
//! ([`Gathering`]), and those that are being written ([`FanOut`]).
//!
//! An aside is for one member alone: an error, an answer, a pong. An aside keeps its place among the room's
//! publications, and none of them has to be written earlier for its sake: a member with asides gets
//! one write that has all in order, the others get the publications.
//!
//! A fan-out may stop between any two members and go on later. Who is still to get it is a range of
//! positions in the room's list of members, so members may come (behind the range), leave, or be
//! served out of turn (moved to an end of the range, which then passes over them).

use super::member::{Member, is_before};
use super::outbound::OutboundPiece;
use crate::broker::queue::Delivery;
use crate::clock::Millis;
use bytes::Bytes;
use std::ops::Range;

/// Bytes of one room's publications that are written together.
pub(super) const GATHER_BYTES_MAX: usize = 128 * 1024;

/// A numbered publication that waits to be written.
#[derive(Clone, Debug)]
pub(super) struct PendingPublication {
    pub(super) delivery: Delivery,
    pub(super) sequence: u32,
    /// Members on this worker when it was published, less those that have had it.
    pub(super) members: u32,
}

/// What is for one connection alone.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// A delivery.
    Event(Delivery),
    /// A control frame.
    Control(Bytes),
}

/// Something for one connection alone, in order with what its room is told.
#[derive(Clone, Debug)]
pub(super) struct Aside {
    /// Whom it is for.
    pub(super) connection: u64,
    /// Number of the room's publication that it comes behind.
    pub(super) behind: u32,
    pub(super) content: Content,
}

impl Aside {
    pub(super) fn new(connection: u64, behind: u32, content: Content) -> Self {
        Self {
            connection,
            behind,
            content,
        }
    }

    /// The aside as what is written, unless it is a delivery too late for that.
    pub(super) fn piece(&self, now: Millis) -> Option<OutboundPiece<'_>> {
        match &self.content {
            Content::Event(delivery) if delivery.deadline <= now => None,
            Content::Event(delivery) => Some(OutboundPiece::Event(delivery)),
            Content::Control(frame) => Some(OutboundPiece::Control(frame)),
        }
    }

    /// Is it a delivery?
    pub(super) fn is_event(&self) -> bool {
        matches!(self.content, Content::Event(_))
    }

    /// Bytes on the wire.
    pub(super) fn len(&self) -> usize {
        match &self.content {
            Content::Event(delivery) => delivery.frame.len(),
            Content::Control(frame) => frame.len(),
        }
    }
}

/// Parcels and their bytes: what a mailbox counts until they have been dealt with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ParcelLoad {
    pub(super) parcels: usize,
    pub(super) bytes: usize,
}

impl ParcelLoad {
    pub(super) fn add(&mut self, bytes: usize) {
        self.parcels += 1;
        self.bytes += bytes;
    }
}

impl std::ops::AddAssign for ParcelLoad {
    fn add_assign(&mut self, other: Self) {
        self.parcels += other.parcels;
        self.bytes += other.bytes;
    }
}

impl std::ops::SubAssign for ParcelLoad {
    fn sub_assign(&mut self, other: Self) {
        self.parcels -= other.parcels;
        self.bytes -= other.bytes;
    }
}

/// What a room has been told and its members have not been written yet, as it came.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    pub(super) pending: Vec<PendingPublication>,
    pub(super) asides: Vec<Aside>,
    pub(super) load: ParcelLoad,
    /// How many events the worker had seen when the first of it came.
    pub(super) since: u64,
}

impl Gathering {
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.asides.is_empty()
    }

    pub(super) fn add(&mut self, pending: PendingPublication) {
        self.load.add(pending.delivery.frame.len());
        self.pending.push(pending);
    }

    pub(super) fn add_aside(&mut self, aside: Aside) {
        self.load.add(aside.len());
        self.asides.push(aside);
    }

    /// Deliveries of its publications.
    pub(super) fn owed(&self) -> u64 {
        let members = self.pending.iter().map(|one| u64::from(one.members));
        members.sum()
    }

    /// Takes out what one member has been told, as a fan-out to it alone.
    pub(super) fn take_share(&mut self, connection: u64, member: Member, share: &mut FanOut) {
        for pending in &mut self.pending {
            if member.joined_before(pending.sequence) {
                pending.members = pending.members.saturating_sub(1);
                share.push(pending.delivery.clone(), pending.sequence, 1);
            }
        }
        let own = |aside: &mut Aside| aside.connection == connection;
        for aside in self.asides.extract_if(.., own) {
            share.load.add(aside.len());
            share.asides.push(aside);
        }
        self.load -= share.load;
    }
}

/// Publications on their way to the members of a room, and the asides among them.
#[derive(Debug)]
pub(super) struct FanOut {
    pub(super) frames: Vec<Delivery>,
    /// The frames' numbers.
    pub(super) sequences: Vec<u32>,
    /// Numbers of those that have become too old for the members still to be served.
    pub(super) late: Vec<u32>,
    /// Those of one connection beside each other, in order.
    pub(super) asides: Vec<Aside>,
    /// Deliveries of which nothing has become yet.
    pub(super) owed: u64,
    pub(super) load: ParcelLoad,
    /// No frame's deadline is before this.
    earliest: Millis,
    /// Members at these positions are still to be served.
    unserved: Range<u32>,
    newest_first: bool,
}

impl Default for FanOut {
    fn default() -> Self {
        Self {
            frames: Vec::new(),
            sequences: Vec::new(),
            late: Vec::new(),
            asides: Vec::new(),
            owed: 0,
            load: ParcelLoad::default(),
            earliest: Millis::NEVER,
            unserved: 0..0,
            newest_first: false,
        }
    }
}

impl FanOut {
    fn push(&mut self, delivery: Delivery, sequence: u32, members: u32) {
        self.owed += u64::from(members);
        self.earliest = self.earliest.min(delivery.deadline);
        self.frames.push(delivery);
        self.sequences.push(sequence);
    }

    pub(super) fn add_aside(&mut self, aside: Aside) {
        self.load.add(aside.len());
        self.asides.push(aside);
    }

    /// Begins to write what has been gathered to so many members: all of it, or as much as is written
    /// together.
    pub(super) fn begin(&mut self, gathering: &mut Gathering, members: usize) {
        let mut bytes = 0;
        let fits = |pending: &&PendingPublication| {
            let fits = bytes < GATHER_BYTES_MAX;
            bytes += pending.delivery.frame.len();
            fits
        };
        let count = gathering.pending.iter().take_while(fits).count();
        for pending in gathering.pending.drain(..count) {
            self.load.add(pending.delivery.frame.len());
            self.push(pending.delivery, pending.sequence, pending.members);
        }
        if gathering.pending.is_empty() {
            self.load = std::mem::take(&mut gathering.load);
            self.asides.append(&mut gathering.asides);
        } else {
            let last = self.sequences.last().copied().unwrap_or_default();
            let is_within = |aside: &Aside| !is_before(last, aside.behind);
            let within = gathering.asides.partition_point(is_within);
            for aside in gathering.asides.drain(..within) {
                self.load.add(aside.len());
                self.asides.push(aside);
            }
            gathering.load -= self.load;
        }
        self.gather_asides();
        // One frame goes to the newest member first: who opened a room often speaks in it, and hears
        // itself once the others' frames are out, so that its next message does not wait behind this
        // one (1 x 1,000, closed loop: p99 11 ms oldest first, 5 ms newest first). Several go to the
        // oldest first: the room is busy, and what its speakers say next leaves in one write more.
        self.newest_first = self.frames.len() == 1;
        if !self.frames.is_empty() {
            self.unserved = 0..u32::try_from(members).unwrap_or(u32::MAX);
        }
    }

    /// Puts the asides of each connection beside each other.
    pub(super) fn gather_asides(&mut self) {
        self.asides.sort_by_key(|aside| aside.connection);
    }

    /// Takes out the frames that are too old by now.
    pub(super) fn expire(&mut self, now: Millis) {
        if now < self.earliest {
            return;
        }
        let mut sequences = std::mem::take(&mut self.sequences).into_iter();
        let late = &mut self.late;
        let kept = &mut self.sequences;
        self.frames.retain(|delivery| {
            let is_late = delivery.deadline <= now;
            let list = if is_late { &mut *late } else { &mut *kept };
            list.extend(sequences.next());
            !is_late
        });
        let deadlines = self.frames.iter().map(|frame| frame.deadline);
        self.earliest = deadlines.min().unwrap_or(Millis::NEVER);
    }

    /// The position of the next member to be served, who counts as served from here on.
    pub(super) fn next(&mut self) -> Option<u32> {
        if self.newest_first {
            self.unserved.next_back()
        } else {
            self.unserved.next()
        }
    }

    /// Is the member at this position still to be served?
    pub(super) fn awaits(&self, position: u32) -> bool {
        self.unserved.contains(&position)
    }

    /// Nobody is left to be served.
    pub(super) fn is_done(&self) -> bool {
        self.unserved.is_empty() && self.asides.is_empty()
    }

    /// Nobody gets these publications any more.
    pub(super) fn stop(&mut self) {
        self.unserved = 0..0;
    }

    /// The last connection with asides, and where they begin.
    pub(super) fn last_asides(&self) -> Option<(u64, usize)> {
        let connection = self.asides.last()?.connection;
        let others = self
            .asides
            .iter()
            .rposition(|aside| aside.connection != connection);
        Some((connection, others.map_or(0, |last| last + 1)))
    }

    /// Where the asides of a connection are.
    pub(super) fn asides_of(&self, connection: u64) -> Range<usize> {
        let begin = self
            .asides
            .partition_point(|aside| aside.connection < connection);
        let end = self
            .asides
            .partition_point(|aside| aside.connection <= connection);
        begin..end
    }

    /// How many publications were for this member and are too old by now.
    pub(super) fn late_for(&self, member: Member) -> u64 {
        let meant = |sequence: &&u32| member.joined_before(**sequence);
        self.late.iter().filter(meant).count() as u64
    }

    /// How many of these asides are deliveries, and how many of those are too late.
    pub(super) fn events(&self, asides: Range<usize>, now: Millis) -> (u64, u64) {
        let (mut events, mut late) = (0, 0);
        for aside in self.asides.get(asides).unwrap_or_default() {
            events += u64::from(aside.is_event());
            late += u64::from(aside.piece(now).is_none());
        }
        (events, late)
    }

    /// The frames from number `first` on and some of the asides, in order, without those that are too
    /// late.
    pub(super) fn merged(&self, first: usize, asides: Range<usize>, now: Millis) -> Merged<'_> {
        Merged {
            frames: self.frames.get(first..).unwrap_or_default(),
            sequences: self.sequences.get(first..).unwrap_or_default(),
            asides: self.asides.get(asides).unwrap_or_default(),
            now,
        }
    }

    /// Empties it for reuse; what its vectors have allocated stays, unless that was a burst.
    pub(super) fn clear(&mut self) {
        const KEPT: usize = 1024;
        self.frames.clear();
        self.frames.shrink_to(KEPT);
        self.sequences.clear();
        self.sequences.shrink_to(KEPT);
        self.late.clear();
        self.late.shrink_to(KEPT);
        self.asides.clear();
        self.asides.shrink_to(KEPT);
        (self.owed, self.load) = (0, ParcelLoad::default());
        self.earliest = Millis::NEVER;
        self.stop();
    }

    /// Lets the members at the ends of the range move over `hole`, a position that is being vacated,
    /// so that neither those served nor those not yet served change sides. `fill` moves the member of
    /// the first position to the second.
    pub(super) fn close_up(&mut self, mut hole: u32, mut fill: impl FnMut(u32, u32)) -> u32 {
        for end in [&mut self.unserved.start, &mut self.unserved.end] {
            if hole < *end {
                *end -= 1;
                fill(*end, hole);
                hole = *end;
            }
        }
        hole
    }

    /// The member at this position has been served: with whom it has to change places, unless it was
    /// not still to be served.
    pub(super) fn pass(&mut self, position: u32) -> Option<u32> {
        self.awaits(position).then(|| self.next())?
    }
}

/// Frames and asides of one connection in order.
#[derive(Clone, Debug)]
pub(super) struct Merged<'a> {
    frames: &'a [Delivery],
    sequences: &'a [u32],
    asides: &'a [Aside],
    now: Millis,
}

impl<'a> Iterator for Merged<'a> {
    type Item = OutboundPiece<'a>;

    fn next(&mut self) -> Option<OutboundPiece<'a>> {
        loop {
            match (self.sequences, self.asides) {
                ([sequence, ..], asides)
                    if asides
                        .first()
                        .is_none_or(|aside| !is_before(aside.behind, *sequence)) =>
                {
                    let (frame, rest) = self.frames.split_first()?;
                    self.frames = rest;
                    self.sequences = self.sequences.get(1..)?;
                    return Some(OutboundPiece::Event(frame));
                }
                (_, [aside, rest @ ..]) => {
                    self.asides = rest;
                    if let Some(piece) = aside.piece(self.now) {
                        return Some(piece);
                    }
                }
                ([..], []) => return None,
            }
        }
    }
}
