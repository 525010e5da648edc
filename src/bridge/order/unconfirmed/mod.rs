//! What this node said in one room and has not got back in the order of all nodes.
//!
//! While the room is ordered, a publication waits here until it comes back, and is delivered then.
//! When that takes too long the room falls: what waits is delivered at once, in the order in which
//! it was said, and what is said from then on too. Numbers up to the watermark were delivered so;
//! when they come back after all, nothing is delivered twice. A room is ordered again once its own
//! publications come back in time.
//!
//! Pure. Bound: [`UnconfirmedLoad`], shared by the rooms of one Redis.

#[cfg(test)]
mod tests;

use crate::broker::Publication;
use crate::clock::Millis;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// How much waits over one Redis, and may: as much as its outbox holds.
#[derive(Debug)]
pub struct UnconfirmedLoad {
    entries: AtomicUsize,
    bytes: AtomicUsize,
    entries_max: usize,
    bytes_max: usize,
}

impl UnconfirmedLoad {
    /// Nothing waits; at most this much may.
    #[must_use]
    pub fn new(entries_max: usize, bytes_max: usize) -> Self {
        Self {
            entries: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            entries_max,
            bytes_max,
        }
    }

    /// Publications that wait.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.entries.load(Relaxed)
    }

    fn is_full(&self) -> bool {
        self.entries() >= self.entries_max || self.bytes.load(Relaxed) >= self.bytes_max
    }

    fn add(&self, publication: &Publication) {
        self.entries.fetch_add(1, Relaxed);
        self.bytes.fetch_add(publication.bytes(), Relaxed);
    }

    fn remove(&self, publication: &Publication) {
        self.entries.fetch_sub(1, Relaxed);
        self.bytes.fetch_sub(publication.bytes(), Relaxed);
    }
}

#[derive(Clone, Debug)]
struct Waiting {
    number: u64,
    since: Millis,
    publication: Publication,
}

/// Where a publication is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// When it comes back.
    Ordered,
    /// At once, behind those that were taken out.
    Local,
}

/// An own publication that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Back {
    /// The publication waited here: it was taken out, behind those before it.
    Waited,
    /// The publication was delivered at once.
    Known,
    /// Of another life of the room: nobody here has had it.
    Stranger,
}

/// One room's own publications.
#[derive(Debug)]
pub struct Unconfirmed {
    load: Arc<UnconfirmedLoad>,
    incarnation: u64,
    waiting: VecDeque<Waiting>,
    /// The last number that was delivered.
    watermark: u64,
    /// The same of the life of the room before this one: what was published there by the room's name,
    /// with nobody in it, may have been given to those who came meanwhile.
    before: (u64, u64),
    /// Too late once: nothing waits here until it comes back in time again.
    has_fallen: bool,
    /// A publication of which it is seen how long it takes, and when it was said.
    probe: Option<(u64, Millis)>,
}

impl Drop for Unconfirmed {
    /// Whatever becomes of the room, its place is free again.
    fn drop(&mut self) {
        self.take(u64::MAX, &mut Vec::new());
    }
}

impl Unconfirmed {
    /// Nothing was said yet.
    #[must_use]
    pub fn new(load: Arc<UnconfirmedLoad>) -> Self {
        Self {
            load,
            incarnation: 0,
            waiting: VecDeque::new(),
            watermark: 0,
            before: (0, 0),
            has_fallen: false,
            probe: None,
        }
    }

    /// Since when the oldest one waits.
    #[must_use]
    pub fn oldest(&self) -> Option<Millis> {
        self.waiting.front().map(|waiting| waiting.since)
    }

    /// Does the room go on alone?
    #[must_use]
    pub fn has_fallen(&self) -> bool {
        self.has_fallen
    }

    /// The `number`th publication of a life of the room. With `may_wait` it waits, unless the room
    /// has fallen or there is no place; else those that wait go into `earlier`.
    pub fn say(
        &mut self,
        (incarnation, number): (u64, u64),
        publication: &Publication,
        now: Millis,
        may_wait: bool,
        earlier: &mut Vec<Publication>,
    ) -> Placed {
        if incarnation < self.incarnation {
            return Placed::Local; // Of a room that nobody is in.
        }
        if incarnation > self.incarnation {
            // Nobody is left who could be given the old ones.
            let before = (self.incarnation, self.watermark);
            *self = Self::new(Arc::clone(&self.load));
            (self.incarnation, self.before) = (incarnation, before);
        }
        if may_wait && !self.has_fallen && !self.load.is_full() {
            self.load.add(publication);
            self.waiting.push_back(Waiting {
                number,
                since: now,
                publication: publication.clone(),
            });
            return Placed::Ordered;
        }
        self.take(u64::MAX, earlier);
        self.watermark = number;
        if self.has_fallen && self.probe.is_none() {
            self.probe = Some((number, now));
        }
        Placed::Local
    }

    /// The room falls: what waits goes into `earlier`. How many did.
    pub fn fall(&mut self, earlier: &mut Vec<Publication>) -> u64 {
        self.has_fallen = true;
        self.take(u64::MAX, earlier)
    }

    /// The way is as good as new: the room is ordered again.
    pub fn rise(&mut self) {
        self.has_fallen = false;
        self.probe = None;
    }

    /// An own publication came back, within `order_timeout` or later. What waited up to it goes into
    /// `ready`: those before it that did not come back never will.
    pub fn back(
        &mut self,
        (incarnation, number): (u64, u64),
        now: Millis,
        order_timeout: Duration,
        ready: &mut Vec<Publication>,
    ) -> Back {
        if incarnation != self.incarnation {
            let (life, delivered) = self.before;
            return if incarnation == life && number <= delivered {
                Back::Known
            } else {
                Back::Stranger
            };
        }
        if self.has_fallen {
            let is_quick = match self.probe {
                Some((probe, since)) if number >= probe => {
                    self.probe = None;
                    now.since(since) <= order_timeout
                }
                _ => false,
            };
            if is_quick || number >= self.watermark {
                self.rise();
            }
        }
        if number <= self.watermark {
            return Back::Known;
        }
        match self.take(number, ready) {
            0 => Back::Stranger,
            _ => Back::Waited,
        }
    }

    /// Takes out what waits up to `number`; how many those are.
    fn take(&mut self, number: u64, into: &mut Vec<Publication>) -> u64 {
        let mut taken = 0;
        while let Some(waiting) = self
            .waiting
            .pop_front_if(|waiting| waiting.number <= number)
        {
            self.load.remove(&waiting.publication);
            self.watermark = self.watermark.max(waiting.number);
            into.push(waiting.publication);
            taken += 1;
        }
        taken
    }
}
