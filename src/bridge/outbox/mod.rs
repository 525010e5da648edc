//! Publications on their way to one Redis, from the data plane's push until Redis has answered.
//!
//! Workers push into a [`Mailbox`], the same that workers use among themselves: a short lock, and a
//! wake only when it was empty. A full one (`bridge.outbox_capacity`, `bridge.outbox_bytes`) drops
//! the newest and counts it. The link's task takes everything at once and keeps it until Redis has
//! answered: on a broken connection it sends again from the oldest unanswered one, and the receivers
//! drop by number what came twice. What has expired is dropped and counted, never sent late.
//!
//! Hellos and marks for one room, which few need any more (see `marks`), go beside the messages: they take no
//! room of theirs, one waits for each room, and [`ASIDES_AT_ONCE`] are on their way.

mod barrier;

use super::envelope::{self, EnvelopeEntry, EnvelopeHead, NodeId};
use super::marks::Marks;
use super::wall::to_wall;
use crate::broker::Publication;
use crate::broker::mailbox::Mailbox;
use crate::broker::room::Room;
use crate::clock::Millis;
use crate::protocol::Event;
use barrier::Barrier;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;

/// Entries in one batch: what one tick puts on the wire before the next one is prepared.
const BATCH_ENTRIES: usize = 512;

/// Rooms in one batch. Each is a command of its own, and fred's future for one has 7 KiB: with 512
/// of them 9,000 rooms that spoke at once left 25 MiB behind.
const BATCH_ROOMS: usize = 128;

/// Bytes of frames in one batch, so that one does not hold the link for longer than a few
/// milliseconds.
const BATCH_BYTES: usize = 512 * 1024;

/// Hellos and marks that are taken up at a time: a message waits behind so many at most.
const ASIDES_AT_ONCE: usize = 64;

/// One thing to say, in one room.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) room: Arc<Room>,
    pub(super) number: u64,
    pub(super) what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Message(Publication),
    /// The mark alone.
    Mark,
    /// Asks the others for theirs, and says our own.
    Hello,
}

impl Outgoing {
    fn bytes(&self) -> usize {
        match &self.what {
            What::Message(publication) => publication.bytes(),
            What::Mark | What::Hello => 0,
        }
    }

    fn is_message(&self) -> bool {
        matches!(self.what, What::Message(_))
    }
}

/// The data plane's end.
#[derive(Debug)]
pub(super) struct Outbox {
    mailbox: Mailbox<Outgoing>,
    /// The last number given to an entry that was taken out: what is sent again keeps its own.
    taken: AtomicU64,
    /// Something is there.
    pub(super) filled: Notify,
    /// Hellos and marks, by the incarnation of their room.
    asides: Mutex<BTreeMap<u64, Outgoing>>,
    barrier: Barrier,
    /// What was said, and what was dropped.
    pub(super) marks: Marks,
}

impl Outbox {
    pub(super) fn new(capacity: usize, bytes_max: usize, marks: Marks) -> Self {
        Self {
            mailbox: Mailbox::new(capacity, bytes_max),
            taken: AtomicU64::new(0),
            filled: Notify::new(),
            asides: Mutex::default(),
            barrier: Barrier::default(),
            marks,
        }
    }

    /// Takes a publication if there is room. Never waits.
    pub(super) fn offer(&self, outgoing: Outgoing) -> bool {
        if self.mailbox.is_full() {
            self.marks.drop_newest(&outgoing.room, outgoing.number);
            return false;
        }
        let bytes = outgoing.bytes();
        if self.mailbox.push(outgoing, bytes) {
            self.filled.notify_one();
        }
        true
    }

    /// A hello or a mark for one room, behind what the room has forwarded: both ask for no room.
    pub(super) fn say_aside(&self, outgoing: Outgoing) {
        let mut asides = self.asides.lock();
        let incarnation = outgoing.room.incarnation();
        match asides.get_mut(&incarnation) {
            // A hello says the mark too.
            Some(known) if matches!(outgoing.what, What::Mark) => known.number = outgoing.number,
            _ => drop(asides.insert(incarnation, outgoing)),
        }
        drop(asides);
        self.filled.notify_one();
    }

    /// Done when Redis has answered for whatever is in here now, or it was dropped.
    ///
    /// # Cancel safety
    /// May be called again.
    pub(super) async fn answered_for(&self) {
        self.barrier.wait(|| self.filled.notify_one()).await;
    }

    /// Messages and their bytes that Redis has not answered for.
    pub(super) fn load(&self) -> (usize, usize) {
        (self.mailbox.len(), self.mailbox.bytes())
    }
}

/// What goes out in one command: everything one room has to say in a tick.
#[derive(Debug)]
pub(super) struct RoomBatch {
    pub(super) room: Arc<Room>,
    pub(super) envelope: Bytes,
    /// The number in the room of its newest message here, or 0.
    pub(super) last: u64,
    /// The number in the outbox of each message, and where its bytes end in the envelope.
    messages: Vec<Packed>,
}

/// A message in an envelope.
#[derive(Clone, Debug)]
struct Packed {
    number: u64,
    end: usize,
    event: Option<Arc<Event<'static>>>,
}

/// A message on its own.
#[derive(Debug)]
pub(super) struct OutboxPiece {
    /// In the outbox.
    pub(super) number: u64,
    /// The message as an entry of an envelope.
    pub(super) message: Bytes,
    /// What the message says, if somebody on this node reads events.
    pub(super) event: Option<Arc<Event<'static>>>,
}

impl RoomBatch {
    /// The envelope's head, and each message.
    pub(super) fn pieces(&self) -> (Bytes, Vec<OutboxPiece>) {
        let mut start = envelope::HEAD_BYTES;
        let pieces = self.messages.iter().map(|packed| {
            let message = self.envelope.slice(start..packed.end);
            start = packed.end;
            OutboxPiece {
                number: packed.number,
                message,
                event: packed.event.clone(),
            }
        });
        (
            self.envelope.slice(..envelope::HEAD_BYTES),
            pieces.collect(),
        )
    }
}

/// A parcel being packed.
#[derive(Debug)]
struct Packing {
    room: Arc<Room>,
    writer: envelope::EnvelopeWriter,
    last: u64,
    messages: Vec<Packed>,
}

impl Packing {
    /// Packs what has the number `sequence` in the outbox. `wall` is `now` as other machines read it.
    fn push(&mut self, sequence: u64, outgoing: &Outgoing, (now, wall): (Millis, u64)) {
        let number = outgoing.number;
        match &outgoing.what {
            What::Message(publication) => {
                self.last = number;
                self.writer.push(EnvelopeEntry::Message {
                    number,
                    deadline: to_wall(publication.deadline, now, wall),
                    frame: &publication.frame,
                });
                self.messages.push(Packed {
                    number: sequence,
                    end: self.writer.len(),
                    event: publication.event.clone(),
                });
            }
            What::Mark => self.writer.push(EnvelopeEntry::Mark { number }),
            What::Hello => {
                self.writer.push(EnvelopeEntry::Hello);
                self.writer.push(EnvelopeEntry::Mark { number });
            }
        }
    }

    fn finish(self) -> RoomBatch {
        RoomBatch {
            room: self.room,
            envelope: self.writer.finish(),
            last: self.last,
            messages: self.messages,
        }
    }
}

/// One tick's worth: the parcels, and how many entries of the ledger they settle.
#[derive(Debug, Default)]
pub(super) struct OutboxBatch {
    pub(super) parcels: Vec<RoomBatch>,
    pub(super) entries: usize,
    pub(super) messages: u64,
}

/// The link's end: everything that was taken from the outbox and not yet answered for.
#[derive(Debug)]
pub(super) struct Sending {
    outbox: Arc<Outbox>,
    node: NodeId,
    epoch: u64,
    /// Oldest first, with their numbers; the first `sent` of them are on the wire.
    unanswered: VecDeque<(u64, Outgoing)>,
    sent: usize,
    /// How many of them are hellos and marks.
    asides: usize,
    /// Scratch of a swap and of a batch.
    taken: Vec<Outgoing>,
    /// Are marks said at all?
    says_marks: bool,
    /// Messages dropped as expired, not yet counted in the metrics.
    pub(super) expired: u64,
    /// Messages sent once more.
    pub(super) resent: u64,
}

impl Drop for Sending {
    /// However its task ends, the outbox has its room back.
    fn drop(&mut self) {
        self.settle(usize::MAX);
    }
}

impl Sending {
    pub(super) fn new(outbox: Arc<Outbox>, node: NodeId, epoch: u64) -> Self {
        Self {
            outbox,
            node,
            epoch,
            unanswered: VecDeque::new(),
            sent: 0,
            asides: 0,
            taken: Vec::new(),
            says_marks: true,
            expired: 0,
            resent: 0,
        }
    }

    /// For receivers who need no marks: a stream says itself where it ends.
    pub(super) fn without_marks(mut self) -> Self {
        self.says_marks = false;
        self
    }

    /// A session begins: what was on the wire of the last one is sent again.
    pub(super) fn begin(&mut self) {
        let again = self.unanswered.iter().take(self.sent);
        self.resent += again.filter(|(_, again)| again.is_message()).count() as u64;
        self.sent = 0;
    }

    /// Takes what the data plane has put into the outbox.
    pub(super) fn collect(&mut self) {
        let asides = self.take_asides();
        self.outbox.mailbox.swap(&mut self.taken);
        // Behind the messages: whatever their rooms had forwarded is among these, or went before.
        self.taken.extend(asides);
        let first = 1 + self
            .outbox
            .taken
            .fetch_add(self.taken.len() as u64, Ordering::Relaxed);
        let last = first + self.taken.len() as u64 - 1;
        self.unanswered.extend((first..).zip(self.taken.drain(..)));
        self.outbox.barrier.collected(last, self.oldest());
    }

    fn take_asides(&mut self) -> Vec<Outgoing> {
        let mut taken = Vec::new();
        let mut asides = self.outbox.asides.lock();
        while self.asides < ASIDES_AT_ONCE
            && let Some((_, aside)) = asides.pop_first()
        {
            self.asides += 1;
            taken.push(aside);
        }
        taken
    }

    fn oldest(&self) -> Option<u64> {
        self.unanswered.front().map(|(sequence, _)| *sequence)
    }

    /// Entries that are not on the wire.
    pub(super) fn unsent(&self) -> usize {
        self.unanswered.len() - self.sent
    }

    /// Is there anything that is not on the wire?
    pub(super) fn has_unsent(&self) -> bool {
        self.sent < self.unanswered.len()
    }

    /// Messages that Redis has not answered for.
    pub(super) fn messages(&self) -> u64 {
        let all = self.unanswered.iter();
        all.filter(|(_, left)| left.is_message()).count() as u64
    }

    /// Drops what has expired, while nothing is on the wire: it makes room for what somebody may
    /// still want.
    pub(super) fn sweep(&mut self, now: Millis) {
        let (mut expired, mut bytes) = (0, 0);
        let mut rooms = Vec::new();
        self.sent = 0;
        self.unanswered
            .retain(|(_, outgoing)| match &outgoing.what {
                What::Message(publication) if publication.deadline <= now => {
                    expired += 1;
                    bytes += outgoing.bytes();
                    rooms.push((Arc::clone(&outgoing.room), outgoing.number));
                    false
                }
                _ => true,
            });
        self.expired += expired as u64;
        let _nobody = self.outbox.mailbox.release(expired, bytes);
        self.said(rooms.iter().map(|(room, number)| (&**room, *number)), now);
        self.outbox.barrier.settled(self.oldest());
    }

    /// These numbers are on their way, or never will be: a mark is to tell of them.
    fn said<'a>(&self, rooms: impl IntoIterator<Item = (&'a Room, u64)>, now: Millis) {
        if self.says_marks {
            self.outbox.marks.say(rooms, now);
        }
    }

    /// The next batch, empty if there is nothing to send. `wall` is `now` as other machines read it.
    pub(super) fn batch(&mut self, now: Millis, wall: u64) -> OutboxBatch {
        let (mut batch, mut bytes) = (OutboxBatch::default(), 0);
        let mut packings: Vec<Packing> = Vec::new();
        let mut expired: Vec<(&Room, u64)> = Vec::new();
        let mut places: HashMap<usize, usize> = HashMap::new();
        let unsent = self.unanswered.range(self.sent..);
        for (sequence, outgoing) in unsent.take(BATCH_ENTRIES) {
            if bytes >= BATCH_BYTES {
                break;
            }
            let room = &outgoing.room;
            let identity = Arc::as_ptr(room).addr();
            if packings.len() >= BATCH_ROOMS && !places.contains_key(&identity) {
                break;
            }
            batch.entries += 1;
            bytes += outgoing.bytes();
            if let What::Message(publication) = &outgoing.what
                && publication.deadline <= now
            {
                self.expired += 1;
                expired.push((room, outgoing.number));
                continue;
            }
            let place = *places.entry(identity).or_insert_with(|| {
                let head = EnvelopeHead {
                    node: self.node,
                    epoch: self.epoch,
                    incarnation: room.incarnation(),
                };
                let room_for = outgoing.bytes() + envelope::MESSAGE_BYTES;
                packings.push(Packing {
                    room: Arc::clone(room),
                    writer: envelope::EnvelopeWriter::new(&head, room_for),
                    last: 0,
                    messages: Vec::new(),
                });
                packings.len() - 1
            });
            if let Some(packing) = packings.get_mut(place) {
                batch.messages += u64::from(outgoing.is_message());
                packing.push(*sequence, outgoing, (now, wall));
            }
        }
        let spoken = packings.iter().filter(|packing| packing.last > 0);
        let spoken = spoken.map(|packing| (&*packing.room, packing.last));
        self.said(expired.into_iter().chain(spoken), now);
        self.sent += batch.entries;
        batch.parcels = packings.into_iter().map(Packing::finish).collect();
        batch
    }

    /// Redis has answered for the oldest `entries`.
    pub(super) fn settle(&mut self, entries: usize) {
        let count = entries.min(self.unanswered.len());
        let (mut messages, mut bytes) = (0, 0);
        for (_, outgoing) in self.unanswered.drain(..count) {
            messages += usize::from(outgoing.is_message());
            bytes += outgoing.bytes();
        }
        self.asides = self.asides.saturating_sub(count - messages);
        self.sent = self.sent.saturating_sub(count);
        // Nobody waits for room here: a full outbox drops.
        let _nobody = self.outbox.mailbox.release(messages, bytes);
        self.outbox.barrier.settled(self.oldest());
    }
}

#[cfg(test)]
mod tests;
