//! What one run shares between its connections: rooms, verification, latencies, counts.

use crate::clock::Clock;
use crate::contract::Contract;
use crate::latency::Times;
use crate::message::{Marker, Message};
use crate::tally::Tally;
use crate::verify::{Counts, Fit, Verify};
use std::collections::HashSet;

/// A room of this run.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// Messages sent by each publisher.
    pub(crate) sent: Vec<u32>,
    /// Messages the server answered with an error.
    pub(crate) refused: u32,
    /// Sequences of a publisher whose connection was cut before they came back: (slot, first, past the last).
    pub(crate) unsure: Vec<(u16, u32, u32)>,
    /// Deliveries to its members.
    pub(crate) delivered: u64,
    /// Their latencies are not recorded.
    pub(crate) background: bool,
}

impl Room {
    /// How many of these sequences nobody can know the fate of.
    pub(crate) fn unsure_of(&self, slot: u16, first: u32, end: u32) -> u64 {
        self.unsure
            .iter()
            .filter(|(of, ..)| *of == slot)
            .map(|&(_, from, to)| u64::from(to.min(end).saturating_sub(from.max(first))))
            .sum()
    }
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) id: usize,
    /// The person of its group.
    pub(crate) person: Option<u32>,
    /// With a close frame.
    pub(crate) clean: bool,
    /// The connection had been open.
    pub(crate) opened: bool,
}

/// What happened to a connection, for whoever opened it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Upgraded.
    Opened(usize),
    /// Its own message came back.
    Own(usize),
    /// Gone, or never opened.
    Gone {
        /// Group it belonged to.
        group: usize,
        /// Room it was in or wanted.
        room: u32,
        /// More of it.
        ending: Ending,
    },
}

/// Counts besides verification.
#[derive(Debug, Default, Clone, serde::Serialize)]
pub(crate) struct Totals {
    pub(crate) published: u64,
    /// Frames that carry no message of this run: welcomes, assistants.
    pub(crate) unpublished_frames: u64,
    pub(crate) opened: u64,
    /// Those of them whose handshake of TLS was a full one.
    pub(crate) tls_full: u64,
    /// Those of them that resumed a session.
    pub(crate) tls_resumed: u64,
    /// Version, suite and key exchange of the first connection with TLS.
    pub(crate) tls_chosen: Option<String>,
    /// Times a closed loop waited five seconds for its own message and began anew.
    pub(crate) stalls: u64,
    /// Sends left out because the server had stopped reading.
    pub(crate) not_sent: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// Errors the server sent, by text.
    pub(crate) errors: Tally,
    /// Connections that did not open, by reason.
    pub(crate) refused: Tally,
    /// Connections the server ended, by reason.
    pub(crate) closed: Tally,
    /// What a server that restarts ended or refused, by reason.
    pub(crate) expected_ends: Tally,
    /// Deliveries under way to a connection when it ended.
    pub(crate) parted_under_way: u64,
    /// Messages whose publisher's connection ended before they came back.
    pub(crate) parted_unsure: u64,
    /// Holes that such messages explain.
    pub(crate) parted_holes: u64,
    /// Sends left out because no publisher was connected.
    pub(crate) nobody_there: u64,
    /// The same for slow readers.
    pub(crate) slow_closed: Tally,
}

impl Totals {
    /// Errors, refusals and closes of the server, those of slow readers and of a restart apart.
    pub(crate) fn troubles(&self) -> u64 {
        let maps = [&self.errors, &self.refused, &self.closed];
        maps.iter().flat_map(|map| map.values()).sum()
    }
}

/// What arrives on other nodes than the publisher's.
#[derive(Debug, Default)]
pub(crate) struct Far {
    /// Latencies, those of a recovery apart.
    pub(crate) latency: Times,
    pub(crate) delivered: u64,
    /// Waits for rooms to be reached again.
    pub(crate) recovery: Option<Recovery>,
    /// Latencies while there is one, on the publisher's node.
    pub(crate) hit_near: Times,
    /// The same on others.
    pub(crate) hit_far: Times,
}

/// The rooms of other nodes that have heard nothing that was said since a fault began.
#[derive(Debug)]
pub(crate) struct Recovery {
    /// When the fault began.
    since: u64,
    waiting: HashSet<(u32, u16)>,
    /// The first of them heard something.
    pub(crate) first: Option<u64>,
    /// The last of them did.
    pub(crate) whole: Option<u64>,
}

impl Recovery {
    /// A fault begins.
    pub(crate) fn begin(since: u64, rooms: impl Iterator<Item = (u32, u16)>) -> Self {
        Self {
            since,
            waiting: rooms.collect(),
            first: None,
            whole: None,
        }
    }

    fn heard(&mut self, room: u32, node: u16, sent: u64, now: u64) {
        if sent >= self.since && self.waiting.remove(&(room, node)) {
            self.first.get_or_insert(now);
            if self.waiting.is_empty() {
                self.whole = Some(now);
            }
        }
    }
}

/// Latencies before and during a storm, none of those after.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    pub(crate) before: Times,
    pub(crate) during: Times,
    /// When it began and when its last connection was open.
    pub(crate) begun: Option<u64>,
    pub(crate) over: Option<u64>,
}

impl Beside {
    fn record(&mut self, age: u64) {
        match (self.begun, self.over) {
            (None, _) => self.before.saturating_record(age),
            (Some(_), None) => self.during.saturating_record(age),
            (Some(_), Some(_)) => {}
        }
    }
}

/// Shared by all connections of a run.
#[derive(Debug)]
pub(crate) struct Traffic {
    pub(crate) clock: Clock,
    /// What the server speaks.
    pub(crate) contract: Contract,
    /// Writes and finds messages.
    pub(crate) message: Message,
    pub(crate) verify: Verify,
    pub(crate) rooms: Vec<Room>,
    /// Latencies since the last sample.
    pub(crate) latency: Times,
    /// The same of receivers on other nodes than the publishers'.
    pub(crate) far: Far,
    /// Latencies of readers that stop at times, of the whole run.
    pub(crate) slow_latency: Times,
    /// Handshake times since the last sample.
    pub(crate) handshakes: Times,
    /// How far behind its schedule the open loop sent.
    pub(crate) lag: Times,
    /// Latencies beside a storm.
    pub(crate) beside: Option<Beside>,
    pub(crate) totals: Totals,
    /// What happened in this turn.
    pub(crate) notices: Vec<Notice>,
    /// Random numbers from the seed.
    pub(crate) random: fastrand::Rng,
    /// Deliveries older than this are late.
    pub(crate) expiry: u64,
    /// Read buffer, lent to one connection at a time.
    pub(crate) buffer: Vec<u8>,
    /// Frames of one write.
    pub(crate) outgoing: Vec<u8>,
    /// Everything that was read, where somebody wants to know.
    pub(crate) sightings: Option<Vec<Sighting>>,
}

impl Traffic {
    /// Nothing has happened yet.
    pub(crate) fn new(clock: Clock, run: u16, text_bytes: usize, seed: u64, expiry: u64) -> Self {
        Self {
            clock,
            contract: Contract::default(),
            message: Message::new(run, text_bytes),
            verify: Verify::default(),
            rooms: Vec::new(),
            latency: Times::default(),
            far: Far::default(),
            slow_latency: Times::default(),
            handshakes: Times::default(),
            lag: Times::default(),
            beside: None,
            totals: Totals::default(),
            notices: Vec::new(),
            random: fastrand::Rng::with_seed(seed),
            expiry,
            buffer: vec![0; 256 * 1024],
            outgoing: Vec::with_capacity(64 * 1024),
            sightings: None,
        }
    }

    /// The next marker of a publisher, counted as sent.
    pub(crate) fn next_marker(&mut self, room: u32, slot: u16, sent: u64) -> Option<Marker> {
        let count = self
            .rooms
            .get_mut(room as usize)?
            .sent
            .get_mut(usize::from(slot))?;
        let sequence = *count;
        *count = count.wrapping_add(1);
        self.totals.published += 1;
        Some(Marker {
            room,
            slot,
            sequence,
            sent,
        })
    }

    /// A connection is in its room: what is published from now on must come to it.
    pub(crate) fn joined(&mut self, receiver: &Receiver) {
        if let Some(room) = self.rooms.get(receiver.room as usize) {
            self.verify.joined(receiver.place, &room.sent);
        }
    }

    /// A connection whose person comes back has ended: counts what was under way in both directions.
    pub(crate) fn parted(&mut self, receiver: &Receiver, outstanding: u32) {
        let Some(room) = self.rooms.get_mut(receiver.room as usize) else {
            return;
        };
        self.totals.parted_under_way += self.verify.owed(receiver.place, &room.sent);
        let Some(slot) = receiver.slot.filter(|_| outstanding > 0) else {
            return;
        };
        let sent = room.sent.get(usize::from(slot)).copied().unwrap_or(0);
        room.unsure
            .push((slot, sent.saturating_sub(outstanding), sent));
        self.totals.parted_unsure += u64::from(outstanding);
    }

    /// A chat frame that arrived for `receiver` at `now`. True if it is the receiver's own.
    pub(crate) fn arrived(&mut self, receiver: &Receiver, payload: &[u8], now: u64) -> bool {
        let (marker, same) = match self.message.find(payload) {
            Some(Ok(marker)) => (marker, true),
            Some(Err(marker)) => (marker, false),
            None => {
                self.totals.unpublished_frames += 1;
                return false;
            }
        };
        let counts: &mut Counts = &mut self.verify.counts;
        counts.corrupted += u64::from(!same);
        if marker.room != receiver.room {
            counts.misrouted += 1;
            return false;
        }
        if let Some(sightings) = &mut self.sightings {
            sightings.push(Sighting {
                life: receiver.life,
                room: marker.room,
                reader: receiver.slot,
                slot: marker.slot,
                sequence: marker.sequence,
                at: now,
            });
        }
        let age = now.saturating_sub(marker.sent);
        counts.late += u64::from(age > self.expiry && !receiver.slow);
        let fit = self
            .verify
            .deliver(receiver.place, marker.slot, marker.sequence, receiver.slow);
        if fit == Fit::Foreign {
            return false;
        }
        let mut is_background = false;
        if let Some(room) = self.rooms.get_mut(receiver.room as usize) {
            room.delivered += 1;
            is_background = room.background;
        }
        if let Fit::Gap(first, end) = fit
            && let Some(room) = self.rooms.get(receiver.room as usize)
            && !receiver.slow
        {
            self.totals.parted_holes += room.unsure_of(marker.slot, first, end);
        }
        if receiver.slow {
            self.slow_latency.saturating_record(age);
        } else if receiver.node > 0 {
            self.far.delivered += 1;
            if let Some(recovery) = &mut self.far.recovery {
                recovery.heard(receiver.room, receiver.node, marker.sent, now);
                self.far.hit_far.saturating_record(age);
            } else {
                self.far.latency.saturating_record(age);
            }
        } else if self.far.recovery.is_some() {
            self.far.hit_near.saturating_record(age);
        } else if !is_background {
            self.latency.saturating_record(age);
            if let Some(beside) = &mut self.beside {
                beside.record(age);
            }
        }
        receiver.slot == Some(marker.slot) && fit != Fit::Again
    }
}

/// The receiving side of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Receiver {
    pub(crate) room: u32,
    /// Its place among the room's publishers, if it publishes.
    pub(crate) slot: Option<u16>,
    pub(crate) place: crate::verify::Place,
    /// The reader stops at times, so holes are expected.
    pub(crate) slow: bool,
    /// The node it is connected to; the publishers' is 0.
    pub(crate) node: u16,
    /// The connection's number: no two of a run have the same.
    pub(crate) life: u32,
}

/// A message that a connection has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sighting {
    /// The connection's number.
    pub(crate) life: u32,
    pub(crate) room: u32,
    /// The reader's own place among the room's publishers.
    pub(crate) reader: Option<u16>,
    pub(crate) slot: u16,
    pub(crate) sequence: u32,
    /// When it was read, in nanoseconds of the run's clock.
    pub(crate) at: u64,
}
