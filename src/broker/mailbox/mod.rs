//! The bounded mailbox of one worker: what other workers, the bridge and the control plane want it
//! to fan out.
//!
//! Many producers append under a short lock; the one consumer swaps the whole `Vec` for an empty one
//! and works on it without the lock. The mailbox knows neither pollers nor sockets: its methods say
//! who must be woken, and the caller (the broker for its workers, floors 3 and 5) does it.
//!
//! Limits (`broker.mailbox_capacity`, `broker.mailbox_bytes`): an entry counts from its push until
//! the consumer [releases](Mailbox::release) it, so what is being worked on is inside the bound.
//! A push always stores. Publishers ask [`Mailbox::is_full`] before they read more from their
//! sockets, so at most one entry per publisher gets past the bound, and nothing is dropped here.
//!
//! A full mailbox in four steps: the publisher calls [`Mailbox::wait`]; if that says true it stops
//! reading; the consumer's [`Mailbox::release`] says that someone waits; the consumer takes
//! [`Mailbox::take_waiters`] and wakes those workers, which read on.

use crate::sync::Mutex;
use crate::sync::atomic::Ordering::{Relaxed, SeqCst};
use crate::sync::atomic::{AtomicU64, AtomicUsize, fence};

/// Most workers that can wait for one mailbox: the bits of its mask.
pub const WAITERS_MAX: usize = 64;

/// A mailbox is crowded once this part of its bounds is taken: what is beyond is for those who say little.
const CROWDED_SHARE: usize = 8;

/// A swapped `Vec` that has grown past this many times the capacity is given back to the allocator.
/// Pushes past the bound reach about once the capacity (one entry per publisher), and `Vec` doubles,
/// so growth beyond four times is a burst that is not worth keeping memory for.
const KEPT_CAPACITIES: usize = 4;

/// Entries on their way to one worker. See the module for the rules.
#[derive(Debug)]
pub struct Mailbox<T> {
    pending: Mutex<PendingEntries<T>>,
    /// Entries pushed and not yet released.
    entries: AtomicUsize,
    /// Bytes of those entries.
    bytes: AtomicUsize,
    /// Bit per publishing worker that stopped reading.
    waiters: AtomicU64,
    capacity: usize,
    bytes_max: usize,
    /// Entries and bytes from which on it is crowded.
    crowded: (usize, usize),
}

#[derive(Debug)]
struct PendingEntries<T> {
    entries: Vec<T>,
    bytes: usize,
    /// The consumer is gone.
    is_closed: bool,
}

impl<T> Mailbox<T> {
    /// An empty mailbox; allocates nothing. Bounds of zero are taken as one, or nothing could ever
    /// be pushed, released and so wake a waiter.
    #[must_use]
    pub fn new(capacity: usize, bytes_max: usize) -> Self {
        let (capacity, bytes_max) = (capacity.max(1), bytes_max.max(1));
        Self {
            pending: Mutex::new(PendingEntries {
                entries: Vec::new(),
                bytes: 0,
                is_closed: false,
            }),
            entries: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            waiters: AtomicU64::new(0),
            crowded: (
                capacity.div_ceil(CROWDED_SHARE),
                bytes_max.div_ceil(CROWDED_SHARE),
            ),
            capacity,
            bytes_max,
        }
    }

    /// Is there no room? Lock-free: two loads.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.entries.load(Relaxed) >= self.capacity || self.bytes.load(Relaxed) >= self.bytes_max
    }

    /// Is so much of the room taken that whoever has much in here is to wait? As [`Mailbox::is_full`].
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        let (entries, bytes) = self.crowded;
        self.entries.load(Relaxed) >= entries || self.bytes.load(Relaxed) >= bytes
    }

    /// Appends `entry`, which keeps `bytes` bytes alive, full or not, unless the consumer is gone. True if the mailbox held
    /// nothing to swap before: then the consumer must be woken.
    #[must_use = "true means that the consumer must be woken"]
    pub fn push(&self, entry: T, bytes: usize) -> bool {
        self.offer(entry, bytes).unwrap_or_default()
    }

    /// As [`Mailbox::push`], for whoever accounts for what is not taken: `None` if the consumer is gone.
    #[must_use = "true means that the consumer must be woken, None that the entry is gone"]
    pub fn offer(&self, entry: T, bytes: usize) -> Option<bool> {
        let mut pending = self.pending.lock();
        if pending.is_closed {
            return None;
        }
        let was_empty = pending.entries.is_empty();
        pending.entries.push(entry);
        pending.bytes += bytes;
        // Counted before the lock is free, so that no release can come before its push.
        self.entries.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
        Some(was_empty)
    }

    /// Moves everything into `into`, oldest first, and says how many bytes that is. What `into` had
    /// allocated serves the next pushes, so two `Vec`s take turns and nothing is allocated. For the
    /// one consumer only.
    ///
    /// # Panics
    ///
    /// If `into` is not empty: its entries would be delivered a second time.
    pub fn swap(&self, into: &mut Vec<T>) -> usize {
        assert!(
            into.is_empty(),
            "invariant: the last swap has been worked off"
        );
        if into.capacity() > self.capacity.saturating_mul(KEPT_CAPACITIES) {
            into.shrink_to(self.capacity);
        }
        let mut pending = self.pending.lock();
        std::mem::swap(&mut pending.entries, into);
        std::mem::take(&mut pending.bytes)
    }

    /// Makes the room of `entries` swapped entries with `bytes` bytes free again. True if there is
    /// room and someone waits for it: then wake [`Mailbox::take_waiters`]. For the one consumer
    /// only; cheapest once per swap.
    #[must_use = "true means that waiters must be woken"]
    pub fn release(&self, entries: usize, bytes: usize) -> bool {
        self.entries.fetch_sub(entries, Relaxed);
        self.bytes.fetch_sub(bytes, Relaxed);
        // Pairs with the fence in `wait`: either this sees the waiter's bit, or the waiter sees the
        // room. Both may, never neither.
        fence(SeqCst);
        // Still full means that entries are left whose release will come here again.
        self.waiters.load(Relaxed) != 0 && !self.is_full()
    }

    /// The consumer is gone: everything that waits, which is the caller's to account for. The mailbox is
    /// never full again and takes nothing more; wake [`Mailbox::take_waiters`]. What the consumer had
    /// swapped needs no release.
    #[must_use = "what is in there has to be accounted for"]
    pub fn close(&self) -> Vec<T> {
        let mut pending = self.pending.lock();
        pending.is_closed = true;
        self.entries.store(0, Relaxed);
        self.bytes.store(0, Relaxed);
        let left = std::mem::take(&mut pending.entries);
        drop(pending);
        // As in `release`: either the waiters are seen, or they see the room.
        fence(SeqCst);
        left
    }

    /// Registers worker `waiter`, which found the mailbox full. True: stop reading, a wake-up will
    /// come. False: there is room again already, go on; a wake-up may come none the less.
    ///
    /// # Panics
    ///
    /// If `waiter` is not below [`WAITERS_MAX`].
    #[must_use = "false means that no wake-up may come"]
    pub fn wait(&self, waiter: usize) -> bool {
        assert!(waiter < WAITERS_MAX, "invariant: at most 64 workers");
        self.waiters.fetch_or(1 << waiter, Relaxed);
        fence(SeqCst);
        // The bit stays when there is room: it may belong to an earlier connection of this worker,
        // and a wake-up too many costs less than one too few.
        self.is_full()
    }

    /// The workers to be woken, bit `n` for worker `n`; they are no longer registered.
    #[must_use = "these workers wait to be woken"]
    pub fn take_waiters(&self) -> u64 {
        self.waiters.swap(0, Relaxed)
    }

    /// Entries for which there still is room, if they are small.
    #[must_use]
    pub fn left(&self) -> usize {
        self.capacity.saturating_sub(self.len())
    }

    /// Entries pushed and not yet released, for the ledger and the metrics.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.load(Relaxed)
    }

    /// Has everything that was pushed been released?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes pushed and not yet released.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }
}

#[cfg(all(test, queue_model))]
mod model;
#[cfg(all(test, not(queue_model)))]
mod tests;
