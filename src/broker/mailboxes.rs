//! The mailboxes of all workers, and whom to wake.

use super::full_wait::{FullWait, WaitingTasks};
use super::mailbox::{Mailbox, WAITERS_MAX};
use super::parcel::Parcel;
use crate::config;
use std::fmt;

pub use crate::config::WORKERS_MAX;

const _: () = assert!(
    WORKERS_MAX <= WAITERS_MAX,
    "each worker waits in every mailbox"
);

/// Wakes a worker that sleeps in its poll.
pub type Wake = Box<dyn Fn() + Send + Sync>;

/// The mailboxes of all workers.
pub struct Mailboxes {
    boxes: Vec<(Mailbox<Parcel>, Wake)>,
    /// Of each mailbox, those who wait for it and are no worker.
    tasks: Vec<WaitingTasks>,
}

impl fmt::Debug for Mailboxes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailboxes")
            .field("workers", &self.boxes.len())
            .finish()
    }
}

impl Mailboxes {
    pub(super) fn new(settings: &config::BrokerSettings, wakes: Vec<Wake>) -> Self {
        let mailbox = || Mailbox::new(settings.mailbox_capacity, settings.mailbox_bytes);
        let wakes = wakes.into_iter().take(WORKERS_MAX);
        let boxes: Vec<_> = wakes.map(|wake| (mailbox(), wake)).collect();
        Self {
            tasks: boxes.iter().map(|_| WaitingTasks::default()).collect(),
            boxes,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.boxes.len()
    }

    /// Is this worker's mailbox full?
    #[must_use]
    pub fn is_full(&self, worker: usize) -> bool {
        self.boxes
            .get(worker)
            .is_some_and(|(mailbox, _)| mailbox.is_full())
    }

    /// Is this worker's mailbox so full that rooms that say much are to wait?
    #[must_use]
    pub fn is_crowded(&self, worker: usize) -> bool {
        self.boxes
            .get(worker)
            .is_some_and(|(mailbox, _)| mailbox.is_crowded())
    }

    /// Is there nothing in this worker's mailbox?
    #[must_use]
    pub fn is_empty(&self, worker: usize) -> bool {
        self.boxes
            .get(worker)
            .is_none_or(|(mailbox, _)| mailbox.is_empty())
    }

    /// Parcels put into this worker's mailbox and not released yet.
    #[must_use]
    pub fn len(&self, worker: usize) -> usize {
        self.boxes
            .get(worker)
            .map_or(0, |(mailbox, _)| mailbox.len())
    }

    /// Puts a parcel into a worker's mailbox and wakes it, unless `from` says that it is itself
    /// the sender (it empties its mailbox before it sleeps).
    pub fn push(&self, worker: usize, parcel: Parcel, from: Option<usize>) {
        let bytes = parcel.bytes();
        self.push_sized(worker, parcel, bytes, from);
    }

    /// As [`Mailboxes::push`], of a parcel that keeps so many bytes alive.
    pub(super) fn push_sized(
        &self,
        worker: usize,
        parcel: Parcel,
        bytes: usize,
        from: Option<usize>,
    ) {
        let Some((mailbox, wake)) = self.boxes.get(worker) else {
            return;
        };
        if mailbox.push(parcel, bytes) && from != Some(worker) {
            wake();
        }
    }

    /// Takes everything from a worker's mailbox, in order, into the empty `into`; the bytes taken.
    pub fn swap(&self, worker: usize, into: &mut Vec<Parcel>) -> usize {
        self.boxes
            .get(worker)
            .map_or(0, |(mailbox, _)| mailbox.swap(into))
    }

    /// The worker is gone: what is in its mailbox, which takes nothing from here on and stops nobody.
    /// Wakes whoever waits for it.
    pub fn close(&self, worker: usize) -> Vec<Parcel> {
        let Some((mailbox, _)) = self.boxes.get(worker) else {
            return Vec::new();
        };
        let parcels = mailbox.close();
        self.wake_waiters(worker, mailbox);
        parcels
    }

    /// Makes room again after parcels were dealt with, and wakes whoever waits for it.
    pub fn release(&self, worker: usize, parcels: usize, bytes: usize) {
        let Some((mailbox, _)) = self.boxes.get(worker) else {
            return;
        };
        if mailbox.release(parcels, bytes) {
            self.wake_waiters(worker, mailbox);
        }
    }

    fn wake_waiters(&self, worker: usize, mailbox: &Mailbox<Parcel>) {
        let mut waiters = mailbox.take_waiters();
        while waiters != 0 {
            let waiter = waiters.trailing_zeros() as usize;
            waiters &= waiters - 1;
            if waiter == worker {
                self.wake_tasks(worker, mailbox);
            } else if let Some((_, wake)) = self.boxes.get(waiter) {
                wake();
            }
        }
    }

    /// Wakes as many tasks as there is room for, so that thousands of them do not all look for the room of a few. Called
    /// where entries are released alone: if some are left, so is the release that wakes the other tasks.
    fn wake_tasks(&self, worker: usize, mailbox: &Mailbox<Parcel>) {
        let most = if mailbox.is_empty() {
            usize::MAX
        } else {
            mailbox.left()
        };
        if self.tasks(worker).is_some_and(|tasks| tasks.wake(most)) {
            let _is_full = mailbox.wait(worker);
        }
    }

    /// Registers `waiter`, another worker, for a wake when `worker`'s mailbox has room; false if it has room now. A worker's
    /// own number stands for the tasks that wait for it.
    pub fn wait(&self, worker: usize, waiter: usize) -> bool {
        self.boxes
            .get(worker)
            .is_some_and(|(mailbox, _)| mailbox.wait(waiter))
    }

    /// Waits while this worker's mailbox is full. For tasks; any number of them.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn wait_while_full(&self, worker: usize) {
        let Some(tasks) = self.tasks(worker) else {
            return;
        };
        while self.is_full(worker) {
            FullWait::new(tasks, || self.wait(worker, worker)).await;
        }
    }

    /// Those who wait for this worker's mailbox and are no worker.
    pub(super) fn tasks(&self, worker: usize) -> Option<&WaitingTasks> {
        self.tasks.get(worker)
    }
}
