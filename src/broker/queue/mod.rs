//! The bounded queue of one subscriber: the deliveries its socket has not taken yet.
//!
//! Not for moving bytes: it does no I/O, takes no lock and asks no clock. The worker that owns the
//! connection (floor 5) creates a queue when a write comes back short, pushes while the socket is
//! behind, writes from [`Queue::slices`] when the socket takes more, and drops the queue once it is
//! empty, so a connection that keeps up owns none.
//!
//! Limits (`[queue]`): `capacity` deliveries, a partly written one included, and `bytes_max` bytes
//! not yet written. `expiry` arrives as each delivery's deadline. The rules are those of
//! `channels_redis` 4.3 (`core.py`, as recorded from its `send` and `group_send`): expired entries
//! are removed (`ZREMRANGEBYSCORE`), then the rest are counted (`ZCOUNT`), and at capacity the newest
//! is refused; the other two overflows are ours.
//!
//! Accounting: for any sequence of calls, from the return values alone,
//! `offered = delivered + dropped{capacity} + dropped{expired} + dropped{closed} + queued`, where
//! `offered` counts calls of [`Queue::push`] and [`Queue::push_partial`], `delivered` sums
//! [`Queue::advance`], `closed` sums [`Queue::clear`] and `queued` is [`Queue::len`].

use crate::clock::Millis;
use crate::config::{self, Overflow};
use bytes::Bytes;
use std::collections::VecDeque;
use std::io::IoSlice;

/// Most slices one vectored write gets. 64 frames of a chat line fill the 16 KiB the kernel takes at
/// a time (`limits.unsent_bytes`), and 64 slices are 1 KiB of stack, far below Linux's `IOV_MAX` of
/// 1024.
pub const SLICES_MAX: usize = 64;

/// What bounds a queue; the same for all subscribers of one kind, so it is passed in, not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Most deliveries, a partly written head included.
    pub capacity: u32,
    /// Most bytes not yet written.
    pub bytes_max: usize,
    /// What a push does that does not fit.
    pub overflow: Overflow,
}

impl From<&config::QueueSettings> for Bounds {
    fn from(queue: &config::QueueSettings) -> Self {
        Self {
            capacity: u32::try_from(queue.capacity).unwrap_or(u32::MAX),
            bytes_max: queue.bytes_max,
            overflow: queue.overflow,
        }
    }
}

/// One encoded event waiting for one subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Header and payload as they go on the wire, shared with the other members; never empty.
    pub frame: Bytes,
    /// From this moment on it is dropped instead of written.
    pub deadline: Millis,
}

/// What a delivery costs beside the bytes of its frame: its entry, in a queue that doubles as it grows, and
/// the shared frame's header.
pub(crate) const DELIVERY_BYTES: usize = 2 * size_of::<Delivery>() + 32;

/// What became of the delivery offered to [`Queue::push`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a dropped delivery is counted or it is lost silently"]
pub enum Pushed {
    /// The delivery waits.
    Queued,
    /// The delivery waits, and `dropped` older deliveries were dropped for capacity to make room.
    MadeRoom {
        /// Oldest deliveries dropped; at least one.
        dropped: u32,
    },
    /// The delivery was dropped for capacity; what waited before still does.
    DroppedNewest,
    /// The delivery was past its deadline when offered; it is included in [`PushReport::expired`].
    Expired,
    /// The delivery was dropped for capacity and the connection is to be closed as a slow reader. The
    /// caller then counts what [`Queue::clear`] says as dropped with the connection.
    Disconnect,
}

/// Outcome of one [`Queue::push`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a dropped delivery is counted or it is lost silently"]
pub struct PushReport {
    /// What became of the delivery offered.
    pub outcome: Pushed,
    /// Deliveries dropped because their deadline had come: those removed to make room, and the
    /// offered one if the outcome is [`Pushed::Expired`].
    pub expired: u32,
}

/// The deliveries of one subscriber, oldest first. See the module for the rules.
#[derive(Debug)]
pub struct Queue {
    deliveries: VecDeque<Delivery>,
    /// Bytes of the head that have already left; above zero the head can neither be dropped nor
    /// expire, because the peer waits for the rest of that frame.
    head_written: usize,
    /// Bytes not yet written, over all deliveries.
    bytes: usize,
    /// No delivery that can expire has a deadline before this. This may be too early, never too late,
    /// so a full queue is searched for expired deliveries only when there can be one.
    earliest: Millis,
}

impl Default for Queue {
    fn default() -> Self {
        Self::new()
    }
}

impl Queue {
    /// An empty queue; allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            deliveries: VecDeque::new(),
            head_written: 0,
            bytes: 0,
            earliest: Millis::NEVER,
        }
    }

    /// Takes the rest of a frame of which `written` bytes have already left, whatever the bounds
    /// say: the peer cannot make sense of anything else before it.
    ///
    /// # Panics
    ///
    /// If something waits already or nothing of the frame is left: both would corrupt the stream.
    pub fn push_partial(&mut self, delivery: Delivery, written: usize) {
        assert!(
            self.deliveries.is_empty() && written < delivery.frame.len(),
            "invariant: the rest of a frame comes first and is not empty"
        );
        self.append(delivery);
        self.head_written = written;
        self.bytes -= written;
    }

    /// Offers a delivery. If it does not fit, expired deliveries are removed first, then
    /// `bounds.overflow` decides. A delivery larger than `bounds.bytes_max` never fits, not even
    /// into an empty queue; `drop_oldest` then drops nothing that could not have made room for it.
    pub fn push(&mut self, now: Millis, bounds: &Bounds, delivery: Delivery) -> PushReport {
        debug_assert!(
            !delivery.frame.is_empty(),
            "invariant: a frame has a header"
        );
        if delivery.deadline <= now {
            return PushReport {
                outcome: Pushed::Expired,
                expired: 1,
            };
        }
        let expired = if self.fits(bounds, &delivery) {
            0
        } else {
            self.expire(now)
        };
        let outcome = if self.fits(bounds, &delivery) {
            self.append(delivery);
            Pushed::Queued
        } else {
            self.overflow(bounds, delivery)
        };
        PushReport { outcome, expired }
    }

    /// Drops the deliveries whose deadline has come and says how many. Called right before a write,
    /// so nothing is written at or after its deadline. A partly written head stays.
    #[must_use = "a dropped delivery is counted or it is lost silently"]
    pub fn expire(&mut self, now: Millis) -> u32 {
        if now < self.earliest {
            return 0;
        }
        let before = self.len();
        let mut protected = self.head_written > 0;
        let (mut bytes, mut earliest) = (self.bytes, Millis::NEVER);
        self.deliveries.retain(|delivery| {
            if std::mem::take(&mut protected) {
                return true;
            }
            let keep = delivery.deadline > now;
            if keep {
                earliest = earliest.min(delivery.deadline);
            } else {
                bytes -= delivery.frame.len();
            }
            keep
        });
        (self.bytes, self.earliest) = (bytes, earliest);
        before - self.len()
    }

    /// Fills `out` from the front with what is to be written next, the head from where its last
    /// write ended, and says how many slices that are. Call [`Queue::expire`] first.
    #[must_use]
    pub fn slices<'a>(&'a self, out: &mut [IoSlice<'a>; SLICES_MAX]) -> usize {
        let mut skip = self.head_written;
        let mut filled = 0;
        for (slot, delivery) in out.iter_mut().zip(&self.deliveries) {
            let rest = delivery.frame.get(skip..).unwrap_or_default();
            *slot = IoSlice::new(rest);
            skip = 0;
            filled += 1;
        }
        filled
    }

    /// Notes that `written` more bytes have left and says how many deliveries are wholly delivered
    /// by that. `written` is at most the bytes of the slices given; more is ignored.
    #[must_use = "a delivery is counted or it is unexplained"]
    pub fn advance(&mut self, written: usize) -> u32 {
        let mut left = written;
        let mut delivered = 0;
        while let Some(head) = self.deliveries.front() {
            let rest = head.frame.len() - self.head_written;
            if left < rest {
                self.head_written += left;
                self.bytes -= left;
                break;
            }
            left -= rest;
            self.bytes -= rest;
            self.head_written = 0;
            self.deliveries.pop_front();
            delivered += 1;
        }
        delivered
    }

    /// Drops everything, the rest of a partly written head included, and says how many deliveries
    /// that were. For a connection that is going away.
    #[must_use = "a dropped delivery is counted or it is lost silently"]
    pub fn clear(&mut self) -> u32 {
        let dropped = self.len();
        *self = Self::new();
        dropped
    }

    /// Drops what has not started to leave, and says how many deliveries that were: the rest of a
    /// partly written head must still come first.
    #[must_use = "a dropped delivery is counted or it is lost silently"]
    pub fn clear_waiting(&mut self) -> u32 {
        let kept = usize::from(self.has_partial_head());
        let before = self.len();
        self.deliveries.truncate(kept);
        let rest = self.deliveries.front().map_or(0, |head| head.frame.len());
        self.bytes = rest - self.head_written;
        self.earliest = Millis::NEVER;
        before - self.len()
    }

    /// Drops what is beyond `bounds`, which have become smaller, and gives its memory back; says how many deliveries that
    /// were. What has started to leave stays; of the rest `drop_oldest` keeps the newest, the others the oldest.
    #[must_use = "a dropped delivery is counted or it is lost silently"]
    pub fn cut(&mut self, bounds: &Bounds) -> u32 {
        let before = self.len();
        let first = usize::from(self.has_partial_head());
        while self.len() > bounds.capacity || self.bytes > bounds.bytes_max {
            let victim = match bounds.overflow {
                _ if self.deliveries.len() == first => None,
                Overflow::DropOldest => self.deliveries.remove(first),
                Overflow::DropNewest | Overflow::Disconnect => self.deliveries.pop_back(),
            };
            let Some(victim) = victim else { break };
            self.bytes -= victim.frame.len();
        }
        self.deliveries.shrink_to_fit();
        before - self.len()
    }

    /// Deliveries waiting, a partly written head included.
    #[must_use]
    pub fn len(&self) -> u32 {
        // A push needs room below a u32 capacity, and a partial write an empty queue.
        u32::try_from(self.deliveries.len()).unwrap_or(u32::MAX)
    }

    /// Bytes not yet written.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Does nothing wait? Then the queue can be dropped.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.deliveries.is_empty()
    }

    /// Has part of the head left already?
    #[must_use]
    pub const fn has_partial_head(&self) -> bool {
        self.head_written > 0
    }

    fn fits(&self, bounds: &Bounds, delivery: &Delivery) -> bool {
        self.len() < bounds.capacity
            && self.bytes.saturating_add(delivery.frame.len()) <= bounds.bytes_max
    }

    fn append(&mut self, delivery: Delivery) {
        self.bytes += delivery.frame.len();
        self.earliest = self.earliest.min(delivery.deadline);
        self.deliveries.push_back(delivery);
    }

    fn overflow(&mut self, bounds: &Bounds, delivery: Delivery) -> Pushed {
        match bounds.overflow {
            Overflow::DropNewest => Pushed::DroppedNewest,
            Overflow::Disconnect => Pushed::Disconnect,
            Overflow::DropOldest => self.drop_oldest(bounds, delivery),
        }
    }

    fn drop_oldest(&mut self, bounds: &Bounds, delivery: Delivery) -> Pushed {
        let (kept, kept_bytes) = self.protected();
        let could_fit = kept < bounds.capacity
            && kept_bytes.saturating_add(delivery.frame.len()) <= bounds.bytes_max;
        if !could_fit {
            return Pushed::DroppedNewest;
        }
        let mut dropped = 0;
        let oldest = usize::from(self.head_written > 0);
        while !self.fits(bounds, &delivery) {
            // With a partly written head this shifts that one entry, not the tail: VecDeque moves
            // the shorter side.
            let Some(victim) = self.deliveries.remove(oldest) else {
                break;
            };
            self.bytes -= victim.frame.len();
            dropped += 1;
        }
        self.append(delivery);
        Pushed::MadeRoom { dropped }
    }

    /// Deliveries and bytes that cannot be dropped: the rest of a partly written head.
    fn protected(&self) -> (u32, usize) {
        match self.deliveries.front() {
            Some(head) if self.head_written > 0 => (1, head.frame.len() - self.head_written),
            _ => (0, 0),
        }
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
