//! From the mailbox to the sockets of a room's members.
//!
//! Publications are gathered per room, written as one run of bytes to each member, and accounted
//! for. What is gathered counts as in the mailbox until it has been written. What a room's members are
//! to be written in this turn is the worker's choice; here it is done.

use super::agenda::Agenda;
use super::client::{Ended, Stage};
use super::connections::Connections;
use super::fan_out::{BYTES_PER_WRITE, Counter, Offered};
use super::gathering::{Aside, Content, FanOut, Gathering, ParcelLoad, PendingPublication};
use super::member::low_half;
use super::members::RoomMembers;
use super::outbound::{Reader, Sent};
use super::per_route::PerRoute;
use super::port::Port;
use super::rooms::{Change, LocalRoom, key_of};
use super::slab::index_of;
use crate::broker::ledger::Cause;
use crate::broker::queue::Delivery;
use crate::broker::{Mailboxes, Parcel, RoomSlot};
use crate::clock::Millis;

/// Publications that cost about as much to take for one member as another write.
const FRAMES_PER_WRITE: u64 = 64;

/// Lists of publications kept for reuse.
const SPARE: usize = 64;

/// What has been taken from the mailbox and is on its way, and what that takes.
#[derive(Debug)]
pub(super) struct Deliverer {
    pub(super) readers: PerRoute<Reader>,
    /// The readers while memory is ample, if it is short.
    ample: Option<PerRoute<Reader>>,
    /// Room for the parcels of one mailbox.
    parcels: Vec<Parcel>,
    /// Of what has been taken, what has been dealt with since room was made for it.
    done: ParcelLoad,
    /// What has been taken and no room has been made for yet.
    held: ParcelLoad,
    /// What is for connections that are in no room.
    apart: FanOut,
    offered: Offered,
    /// The bytes of a fan-out's frames in a row, and with the asides of a member between them.
    blob: Vec<u8>,
    mixed: Vec<u8>,
    /// An emptied fan-out, for the next room that begins one.
    spare_fan_out: Option<Box<FanOut>>,
    /// Emptied gatherings, for the next rooms that need one.
    #[expect(
        clippy::vec_box,
        reason = "they move in and out of rooms, where a box is 8 bytes"
    )]
    spare: Vec<Box<Gathering>>,
}

impl Deliverer {
    pub(super) fn new(readers: PerRoute<Reader>) -> Self {
        Self {
            readers,
            ample: None,
            parcels: Vec::new(),
            done: ParcelLoad::default(),
            held: ParcelLoad::default(),
            apart: FanOut::default(),
            offered: Offered::default(),
            blob: Vec::new(),
            mixed: Vec::new(),
            spare_fan_out: None,
            spare: Vec::new(),
        }
    }

    /// Other settings hold from now on.
    pub(super) fn take_readers(&mut self, readers: PerRoute<Reader>) {
        match &mut self.ample {
            Some(ample) => {
                self.readers = readers.short();
                *ample = readers;
            }
            None => self.readers = readers,
        }
    }

    /// Are queues bounded as while memory is short?
    pub(super) fn is_short(&self) -> bool {
        self.ample.is_some()
    }

    /// Queues are bounded as while memory is short from now on, or no longer; is that new?
    pub(super) fn set_short(&mut self, is_short: bool) -> bool {
        match (self.ample.take(), is_short) {
            (None, true) => {
                let short = self.readers.short();
                self.ample = Some(std::mem::replace(&mut self.readers, short));
            }
            (Some(ample), false) => self.readers = ample,
            (ample, _) => {
                self.ample = ample;
                return false;
            }
        }
        true
    }

    /// Takes what is in the mailbox of this worker.
    pub(super) fn take(&mut self, mailboxes: &Mailboxes, worker: usize) -> Vec<Parcel> {
        let mut parcels = std::mem::take(&mut self.parcels);
        let bytes = mailboxes.swap(worker, &mut parcels);
        self.held += ParcelLoad {
            parcels: parcels.len(),
            bytes,
        };
        parcels
    }

    /// Keeps the memory of what was taken, for the next time.
    pub(super) fn keep(&mut self, emptied: Vec<Parcel>) {
        self.parcels = emptied;
    }

    /// Is there anything in the mailbox that has not been taken?
    pub(super) fn has_parcels(&self, mailboxes: &Mailboxes, worker: usize) -> bool {
        mailboxes.len(worker) > self.held.parcels
    }

    /// A parcel of so many bytes has been dealt with.
    pub(super) fn finish_parcel(&mut self, bytes: usize) {
        self.done.add(bytes);
    }

    /// These parcels have been dealt with.
    pub(super) fn finish(&mut self, load: ParcelLoad) {
        self.done += load;
    }

    /// Is there something in the mailbox's account that has been dealt with?
    pub(super) fn has_finished(&self) -> bool {
        self.done != ParcelLoad::default()
    }

    /// Makes room in the mailbox for what has been dealt with; is there enough for everybody now?
    pub(super) fn release(&mut self, mailboxes: &Mailboxes, worker: usize) -> bool {
        let done = std::mem::take(&mut self.done);
        self.held -= done;
        debug_assert!(
            self.held.parcels > 0 || self.held.bytes == 0,
            "what a mailbox counts of a parcel is what is given back of it"
        );
        mailboxes.release(worker, done.parcels, done.bytes);
        !mailboxes.is_crowded(worker)
    }

    /// Adds a publication to what its room is told.
    pub(super) fn add_publication(
        &mut self,
        members: &mut RoomMembers,
        agenda: &mut Agenda,
        slot: RoomSlot,
        sequence: u64,
        (owed, delivery): (u32, Delivery),
    ) {
        let key = key_of(slot);
        let Some(local) = members.rooms.get_mut(key) else {
            self.done.add(delivery.frame.len());
            members.miss(u64::from(owed));
            return;
        };
        let sequence = low_half(sequence);
        local.latest = sequence;
        self.gathering(local, agenda, key).add(PendingPublication {
            delivery,
            sequence,
            members: owed,
        });
    }

    /// Keeps what is for one connection alone until its room is written.
    pub(super) fn set_aside<P: Port>(
        &mut self,
        connections: &mut Connections<P>,
        members: &mut RoomMembers,
        connection: u64,
        content: Content,
    ) {
        let client = connections.clients.get_mut(connection);
        let Some(client) = client.filter(|client| client.stage != Stage::Left) else {
            let aside = Aside::new(connection, 0, content);
            self.done.add(aside.len());
            members.miss(u64::from(aside.is_event()));
            return;
        };
        let room = client.seat.map(|seat| seat.room);
        let room = room.and_then(|room| Some((members.rooms.key_at(room)?, room)));
        let local = room.and_then(|(key, room)| Some((key, members.rooms.at_mut(room)?)));
        let Some((key, local)) = local else {
            self.apart.add_aside(Aside::new(connection, 0, content));
            return;
        };
        let aside = Aside::new(connection, local.latest, content);
        let agenda = &mut connections.agenda;
        self.gathering(local, agenda, key).add_aside(aside);
    }

    /// What this room is told from here on is added to it.
    fn gathering<'a>(
        &mut self,
        local: &'a mut LocalRoom,
        agenda: &mut Agenda,
        key: u64,
    ) -> &'a mut Gathering {
        if local.is_idle() {
            agenda.add_room(key);
        }
        local.gathering.get_or_insert_with(|| {
            let mut gathering = self.spare.pop().unwrap_or_default();
            gathering.since = agenda.seen();
            gathering
        })
    }

    /// Writes what a room has been told to its members, to about `budget` of them; what of the budget
    /// that took.
    pub(super) fn write_room<P: Port>(
        &mut self,
        connections: &mut Connections<P>,
        members: &mut RoomMembers,
        now: Millis,
        key: u64,
        budget: u64,
    ) -> u64 {
        let Some(LocalRoom {
            members: list,
            fan_out,
            gathering,
            ..
        }) = members.rooms.get_mut(key)
        else {
            return 0;
        };
        let fan_out = match (fan_out, gathering) {
            (Some(fan_out), _) => fan_out,
            (none, Some(gathering)) => {
                let fan_out = none.insert(self.spare_fan_out.take().unwrap_or_default());
                fan_out.begin(gathering, list.len());
                fan_out
            }
            (None, None) => return 0,
        };
        fan_out.expire(now);
        let mut counter = Counter {
            now,
            readers: &self.readers,
            clients: &mut connections.clients,
            offered: &mut self.offered,
            mixed: &mut self.mixed,
        };
        let mut spent = counter.write_asides(list, fan_out, budget);
        let left = budget.saturating_sub(spent);
        spent += counter.write_frames(list, fan_out, &mut self.blob, left);
        self.book(connections, members, now, Some(index_of(key)));
        self.end_fan_out(members, key);
        spent
    }

    /// Books what became of what was offered to members of this room, and sees to those who are behind
    /// or gone.
    pub(super) fn book<P: Port>(
        &mut self,
        connections: &mut Connections<P>,
        members: &mut RoomMembers,
        now: Millis,
        room: Option<u32>,
    ) {
        let offered = &mut self.offered;
        let mut change = Change {
            expected: std::mem::take(&mut offered.deliveries),
            ..Change::default()
        };
        change.drop(Cause::Expired, std::mem::take(&mut offered.late));
        change.drop(Cause::Closed, std::mem::take(&mut offered.failed));
        let sent = std::mem::take(&mut offered.sent);
        members.account(room, change, sent);
        while let Some(index) = offered.unwatched.pop() {
            if let Some(key) = connections.clients.key_at(index) {
                connections.watch_writes(key);
            }
        }
        while let Some(index) = offered.broken.pop() {
            if let Some(key) = connections.clients.key_at(index) {
                connections.agenda.mark_gone(key, Ended::Gone);
            }
        }
        while let Some(index) = offered.overflowed.pop() {
            if let Some(key) = connections.clients.key_at(index) {
                connections.overflow(key, now, members);
            }
        }
    }

    /// Puts a fan-out aside that everybody has had.
    fn end_fan_out(&mut self, members: &mut RoomMembers, key: u64) {
        let Some(local) = members.rooms.get_mut(key) else {
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
            members.account(Some(index_of(key)), change, Sent::default());
        }
    }

    fn reuse(&mut self, gathering: Box<Gathering>) {
        let is_small = gathering.pending.capacity() <= 1024 && gathering.asides.capacity() <= 1024;
        if self.spare.len() < SPARE && is_small {
            self.spare.push(gathering);
        }
    }

    /// Writes the asides of connections that are in no room.
    pub(super) fn write_apart<P: Port>(
        &mut self,
        connections: &mut Connections<P>,
        members: &mut RoomMembers,
        now: Millis,
    ) -> u64 {
        if self.apart.load.parcels == 0 {
            return 0;
        }
        self.apart.gather_asides();
        let mut spent = 0;
        while let Some((connection, begin)) = self.apart.last_asides() {
            let mut counter = Counter {
                now,
                readers: &self.readers,
                clients: &mut connections.clients,
                offered: &mut self.offered,
                mixed: &mut self.mixed,
            };
            let asides = begin..self.apart.asides.len();
            counter.serve_asides(&mut self.apart, connection, None, asides);
            self.apart.asides.truncate(begin);
            spent += 1;
        }
        self.book(connections, members, now, None);
        self.done += self.apart.load;
        self.apart.clear();
        spent
    }

    /// Writes to a member that leaves all that its room has been told so far; what that took, in writes.
    pub(super) fn catch_up<P: Port>(
        &mut self,
        connections: &mut Connections<P>,
        members: &mut RoomMembers,
        now: Millis,
        key: u64,
    ) -> u64 {
        let client = connections.clients.get_mut(key);
        let Some(seat) = client.and_then(|client| client.seat) else {
            return 0;
        };
        let local = members.rooms.at_mut(seat.room);
        let Some(local) = local.filter(|local| !local.is_idle()) else {
            return 0;
        };
        let Some(&member) = local.members.get(seat.position as usize) else {
            return 0;
        };
        let mut counter = Counter {
            now,
            readers: &self.readers,
            clients: &mut connections.clients,
            offered: &mut self.offered,
            mixed: &mut self.mixed,
        };
        if let Some(fan_out) = &mut local.fan_out {
            fan_out.expire(now);
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
            share.expire(now);
            let asides = 0..share.asides.len();
            counter.serve_asides(&mut share, key, Some(member), asides);
            self.done += share.load;
            let frames = share.frames.iter().map(|one| one.frame.len() as u64);
            spent += (frames.sum::<u64>() + share.load.bytes as u64) / BYTES_PER_WRITE;
            spent += share.frames.len() as u64 / FRAMES_PER_WRITE;
        }
        self.book(connections, members, now, Some(seat.room));
        spent
    }

    /// Whom a panic interrupted being written to, by place.
    pub(super) fn take_interrupted(&mut self) -> Option<u32> {
        self.offered.member.take()
    }

    /// Drops what is for this connection alone, of what is being written to `room` or to those in none.
    pub(super) fn drop_asides(&mut self, members: &mut RoomMembers, room: Option<u64>, key: u64) {
        let local = room.and_then(|room| members.rooms.get_mut(room));
        let fan_out = match local {
            Some(LocalRoom { fan_out, .. }) => fan_out.as_deref_mut(),
            None => Some(&mut self.apart),
        };
        if let Some(fan_out) = fan_out {
            let asides = fan_out.asides_of(key);
            fan_out.asides.drain(asides);
        }
    }

    /// Drops what a room was to be told, or what was for connections in none.
    pub(super) fn drop_work(&mut self, members: &mut RoomMembers, room: Option<u64>) {
        let missed = match room {
            None => {
                let events = self.apart.asides.iter().filter(|aside| aside.is_event());
                let missed = events.count() as u64;
                self.apart.clear();
                missed
            }
            Some(room) => members.rooms.get_mut(room).map_or(0, |local| {
                let missed = local.owed();
                (local.fan_out, local.gathering) = (None, None);
                missed
            }),
        };
        members.miss(missed);
    }

    /// Parcels that nobody holds any more are done with; `in_rooms` is what the rooms hold.
    pub(super) fn recount(&mut self, in_rooms: ParcelLoad) {
        self.done = self.held;
        self.done -= in_rooms;
        self.done -= self.apart.load;
    }

    /// Nothing is held, and nothing waits to be released.
    #[cfg(test)]
    pub(super) fn is_at_rest(&self) -> bool {
        (self.held, self.done) == Default::default()
    }
}
