//! What users said and Django has not got yet: a bounded queue for each destination
//! (`bridge.outbox_capacity`, `bridge.outbox_bytes`). Workers push, and go on.

use crate::broker::mailbox::Mailbox;
use crate::broker::room::Room;
use crate::broker::uplink::Author;
use crate::clock::Millis;
use crate::config::Config;
use crate::metrics::{Counter, Metrics, count};
use crate::protocol::Event;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tokio::sync::Notify;

/// Most users that are told at once that the queue is full; each drop is counted anyway.
const TURNED_AWAY_MAX: usize = 1024;

/// What users' messages end as, but for `sent`: the labels of `channels_dropped`.
pub(super) const CAUSES: [&str; 7] = [
    "outbox",
    "expired",
    "full",
    "nobody",
    "refused",
    "lost",
    "unwritable",
];

/// Where users' messages go.
#[derive(Clone, Debug)]
pub(super) enum Destination {
    /// A general channel, for `runworker`.
    Worker(String),
    /// A group.
    Group(String),
}

/// What a user said.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) room: Arc<Room>,
    pub(super) author: Author,
    pub(super) event: Arc<Event<'static>>,
    pub(super) deadline: Millis,
}

/// What users said, on the way to one destination.
#[derive(Debug)]
pub(super) struct UserQueue {
    pub(super) to: Destination,
    pub(super) mailbox: Mailbox<Said>,
    pub(super) filled: Notify,
    /// Held, since looking a series up is more than a drop may cost under a room's lock.
    full: Counter,
    /// Whose messages found no room and who are to be told so, at most [`TURNED_AWAY_MAX`].
    pub(super) turned_away: Option<Mutex<Vec<Author>>>,
    /// The host that the next general message goes to, if it is there.
    pub(super) turn: AtomicUsize,
    /// Flights so far: each leaves its marks under a name of its own.
    pub(super) flights: AtomicU64,
}

/// What was taken from the queue and is not dealt with. However that ends, it makes room again.
pub(super) struct Taken<'c> {
    pub(super) queue: &'c UserQueue,
    pub(super) metrics: &'c Metrics,
    pub(super) said: VecDeque<Said>,
}

impl Taken<'_> {
    /// The first one is dealt with.
    pub(super) fn acknowledge(&mut self) -> bool {
        let Some(said) = self.said.pop_front() else {
            return false;
        };
        let bytes = said.event.bytes();
        // Nobody waits for room here: a full queue drops.
        let _nobody = self.queue.mailbox.release(1, bytes);
        true
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        while self.acknowledge() {
            count(&self.metrics.channels_dropped, "cause", "lost");
        }
    }
}

impl UserQueue {
    pub(super) fn new(to: Destination, config: &Config, metrics: &Metrics) -> Self {
        let label = [("cause", "outbox")];
        Self {
            to,
            mailbox: Mailbox::new(config.bridge.outbox_capacity, config.bridge.outbox_bytes),
            filled: Notify::new(),
            full: metrics.channels_dropped.get_or_create(&label).clone(),
            turned_away: config.channels.tell_full.then(Mutex::default),
            turn: AtomicUsize::new(0),
            flights: AtomicU64::new(0),
        }
    }

    /// Takes a message if there is room, and counts it if not.
    pub(super) fn take(
        &self,
        room: &Arc<Room>,
        author: Author,
        event: &Arc<Event<'static>>,
        deadline: Millis,
    ) {
        if self.mailbox.is_full() {
            self.full.inc();
            if let Some(authors) = &self.turned_away {
                let mut authors = authors.lock();
                if authors.len() < TURNED_AWAY_MAX {
                    authors.push(author);
                }
            }
            return;
        }
        let said = Said {
            room: Arc::clone(room),
            author,
            event: Arc::clone(event),
            deadline,
        };
        if self.mailbox.push(said, event.bytes()) {
            self.filled.notify_one();
        }
    }

    /// Messages that have not been dealt with.
    pub(super) fn waiting(&self) -> usize {
        self.mailbox.len()
    }

    /// The name of the marks of a flight.
    pub(super) fn marks(&self, flight: u64) -> String {
        format!("sent.{}.{flight}", self.label())
    }

    /// Those that are left when nothing more is sent.
    pub(super) fn last_marks(&self) -> String {
        self.marks(self.flights.load(Ordering::Relaxed))
    }

    pub(super) fn label(&self) -> &'static str {
        match self.to {
            Destination::Worker(_) => "worker",
            Destination::Group(_) => "group",
        }
    }
}
