//! The clients of a listener that have not spoken yet: by key, by age, by whose place each has, and in the lines in which they
//! wait for their worker.
//!
//! There are three lines, from which the worker takes in turn: who has not been read from, who is in the middle of a handshake, and
//! who says it in more pieces than that takes. So a flood of new clients does not keep those from the end who have begun, and neither of them
//! waits for many who come drop by drop.

use super::agenda::EVENTS;
use super::port::{Ready, Socket};
use crate::clock::Millis;
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

/// Connections accepted in one share of a turn.
const BATCH: usize = 16;

/// What handshakes may take of one share of a turn, which those who are connected wait for: each is some 20 µs.
const ARRIVALS: u32 = 8;

/// What a step of a handshake below counts as: with an ECDSA certificate it takes some 80 µs, with RSA ten times that.
const TLS_STEP: u32 = 4;

/// Most shares of one turn. A turn has one for each millisecond that those who are connected have taken of it, and one at
/// least: however long that is, new clients have a sixth of it.
const SHARES_MAX: u32 = 64;

/// While so many have not been read from yet, nobody else is accepted: for whom the worker has no time waits in the kernel,
/// where no time of its handshake passes and it takes no place.
const UNREAD_MAX: usize = 32;

/// Reads in which a client that means it has come in: what its proxy says, with TLS its hello, often in two pieces, and the end of the
/// handshake with the head.
const READS: u8 = 4;

/// A place among the handshakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerPlace {
    /// The socket's peer.
    pub peer: SocketAddr,
    /// What the place counts as: an address, or all trusted proxies together until they have said whom they speak for.
    pub counted: u64,
}

/// A socket whose client has not spoken yet.
pub(super) struct Arrival<S> {
    pub(super) socket: S,
    pub(super) place: PeerPlace,
    pub(super) deadline: Millis,
    /// When its timer fires.
    pub(super) armed: Millis,
    /// What happened to it meanwhile, if it waits for a turn that has time for it.
    deferred: Option<Ready>,
    /// How often its worker has read from it.
    reads: u8,
    /// The time of its handshake is over, and its worker looks whether it has spoken.
    is_overdue: bool,
    /// How many came before it.
    number: u64,
}

impl<S> Arrival<S> {
    /// Is it at the client that this handshake is not over yet?
    fn is_waited_for(&self) -> bool {
        self.deferred.is_none() || self.reads >= READS || self.is_overdue
    }

    /// Which line it waits in.
    fn line(&self) -> usize {
        match self.reads {
            _ if self.is_overdue => 2,
            0 => 0,
            1..READS => 1,
            READS.. => 2,
        }
    }
}

/// All of them, bounded by the gate in number.
pub(super) struct WaitingArrivals<S> {
    /// By the key under which its socket is watched, and which its connection will have.
    by_key: HashMap<u64, Arrival<S>, RandomState>,
    /// The keys of all in order of arrival, the number of each beside.
    by_age: BTreeMap<u64, u64>,
    /// The same for each [`PeerPlace::counted`].
    by_peer: BTreeMap<(u64, u64), u64>,
    /// The keys of those who wait for a turn that has time for them, once each unless they are gone: see [`Arrival::line`].
    lines: [VecDeque<u64>; 3],
    /// The line whose turn it is.
    line: usize,
    /// Shares of this turn, and how much of their [`ARRIVALS`] is left.
    shares: u32,
    budget: u32,
    come: u64,
}

impl<S> WaitingArrivals<S> {
    pub(super) fn new() -> Self {
        Self {
            by_key: HashMap::default(),
            by_age: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            lines: Default::default(),
            line: 0,
            shares: 1,
            budget: 0,
            come: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// One more, the youngest; its timer fires at `armed`.
    pub(super) fn insert(
        &mut self,
        key: u64,
        (socket, place): (S, PeerPlace),
        deadline: Millis,
        armed: Millis,
    ) {
        let number = self.come;
        self.come += 1;
        self.by_age.insert(number, key);
        self.by_peer.insert((place.counted, number), key);
        let arrival = Arrival {
            socket,
            place,
            deadline,
            armed,
            deferred: None,
            reads: 0,
            is_overdue: false,
            number,
        };
        self.by_key.insert(key, arrival);
    }

    pub(super) fn get(&self, key: u64) -> Option<&Arrival<S>> {
        self.by_key.get(&key)
    }

    pub(super) fn get_mut(&mut self, key: u64) -> Option<&mut Arrival<S>> {
        self.by_key.get_mut(&key)
    }

    /// The place turns out to be this one.
    pub(super) fn move_to(&mut self, key: u64, place: PeerPlace) {
        if let Some(arrival) = self.by_key.get_mut(&key) {
            self.by_peer
                .remove(&(arrival.place.counted, arrival.number));
            self.by_peer.insert((place.counted, arrival.number), key);
            arrival.place = place;
        }
    }

    pub(super) fn remove(&mut self, key: u64) -> Option<Arrival<S>> {
        let arrival = self.by_key.remove(&key)?;
        self.by_age.remove(&arrival.number);
        self.by_peer
            .remove(&(arrival.place.counted, arrival.number));
        Some(arrival)
    }

    /// Who came first, of those whose place counts as this or of all. One that waits for its worker is not slow: behind it
    /// nobody is looked for.
    pub(super) fn oldest(&self, of: Option<u64>) -> Option<(u64, &Arrival<S>)> {
        let key = match of {
            Some(counted) => {
                let mut of_peer = self.by_peer.range((counted, 0)..=(counted, u64::MAX));
                of_peer.next().map(|(_, key)| *key)
            }
            None => self.by_age.first_key_value().map(|(_, key)| *key),
        }?;
        let arrival = self.by_key.get(&key)?;
        arrival.is_waited_for().then_some((key, arrival))
    }

    /// Has a client wait until those who are connected have been served.
    pub(super) fn defer(&mut self, mut ready: Ready) {
        let Some(arrival) = self.by_key.get_mut(&ready.key) else {
            return;
        };
        match arrival.deferred {
            Some(earlier) => {
                ready.is_read_closed |= earlier.is_read_closed;
                ready.has_failed |= earlier.has_failed;
            }
            None => {
                if let Some(line) = self.lines.get_mut(arrival.line()) {
                    line.push_back(ready.key);
                }
            }
        }
        arrival.deferred = Some(ready);
    }

    /// The time of this client is over, who may have spoken meanwhile to a worker that has not come to listen: false if the
    /// worker is to look first.
    pub(super) fn is_late(&mut self, key: u64) -> bool {
        let Some(arrival) = self.by_key.get_mut(&key) else {
            return false;
        };
        if arrival.reads >= READS || arrival.is_overdue && arrival.deferred.is_none() {
            return true;
        }
        arrival.is_overdue = true;
        self.defer(Ready {
            key,
            is_readable: true,
            is_read_closed: false,
            is_writable: false,
            has_failed: false,
        });
        false
    }

    /// How many wait for their worker.
    pub(super) fn deferred(&self) -> usize {
        self.lines.iter().map(VecDeque::len).sum()
    }

    /// How many more may be accepted in this turn: no more than one poll announces.
    pub(super) fn wanted(&self) -> usize {
        match &self.lines {
            [unread, ..] if unread.len() >= UNREAD_MAX => 0,
            _ => EVENTS.min(BATCH * self.shares as usize),
        }
    }

    /// Those who are connected have been served in this turn, which took so long.
    pub(super) fn begin(&mut self, taken: Duration) {
        let millis = u32::try_from(taken.as_millis()).unwrap_or(u32::MAX);
        self.shares = millis.clamp(1, SHARES_MAX);
        self.budget = ARRIVALS * self.shares;
    }

    /// All of them, at the end.
    pub(super) fn drain(self) -> impl Iterator<Item = (u64, Arrival<S>)> {
        self.by_key.into_iter()
    }
}

impl<S: Socket> WaitingArrivals<S> {
    /// The next one that waits for its worker, if this turn has time for one more; what happened to it meanwhile.
    pub(super) fn next_deferred(&mut self) -> Option<Ready> {
        if self.budget == 0 {
            return None;
        }
        for _ in 0..self.lines.len() {
            let line = self.lines.get_mut(self.line)?;
            self.line = (self.line + 1) % 3;
            while let Some(key) = line.pop_front() {
                let arrival = self.by_key.get_mut(&key);
                if let Some(arrival) = arrival
                    && let Some(ready) = arrival.deferred.take()
                {
                    arrival.reads = arrival.reads.saturating_add(1);
                    let is_step = !arrival.is_overdue && !arrival.socket.is_established();
                    let cost = if is_step { TLS_STEP } else { 1 };
                    self.budget = self.budget.saturating_sub(cost);
                    return Some(ready);
                }
            }
        }
        None
    }
}
