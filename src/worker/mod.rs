//! The data plane: one thread per core, each with a poll, a slab of connections and its members of
//! every room. No task, no buffer and no allocated timer for an idle connection.
//!
//! The control plane hands over a socket and the 101 it is owed ([`Handoff`]); from then on the
//! worker reads, decodes, publishes, and writes what rooms and assistants send. Called from
//! `server`; calls down into `broker`, `assistant`, `protocol`, `transport`.
//!
//! A turn: read what is ready (messages go into mailboxes), run timers, then settle: take the
//! mailbox, coalesce each room's frames, one write per socket.

mod affinity;
mod client;
pub mod connection;
mod crew;
mod lifecycle;
pub mod outbound;
mod parting;
mod plane;
pub mod rate_limit;
#[cfg(test)]
mod regressions;
mod reply;
mod report;
mod rooms;
mod settle;
pub mod slab;
pub mod timers;
mod turn;

pub use crew::{Crew, Error};
pub use plane::{Role, Visit};

use crate::assistant::Dispatcher;
use crate::broker::Broker;
use crate::broker::ledger::Ledger;
use crate::clock::{Clock, Millis};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::name::RoomName;
use crate::protocol::CloseReason;
use bytes::Bytes;
use parking_lot::Mutex;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

/// A connection on its way from the control plane to a worker.
pub struct Handoff {
    /// The socket, watched by nobody.
    pub socket: std::net::TcpStream,
    /// The 101, still to be written: it goes out together with the first frame.
    pub answer: Vec<u8>,
    /// Bytes of the peer's first frames that came with its handshake.
    pub leftover: Bytes,
    /// What it is for.
    pub role: Role,
    /// The room it joins.
    pub room: Option<RoomName>,
    /// Given back through [`OnClose`] when the connection is gone.
    pub peer: u64,
}

impl fmt::Debug for Handoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handoff")
            .field("role", &self.role)
            .field("room", &self.room)
            .finish_non_exhaustive()
    }
}

/// A worker's account at the end of a turn.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Deliveries of this worker, or of the one room asked for.
    pub ledger: Ledger,
    /// Open connections on this worker.
    pub connections: usize,
}

/// What a worker is told from outside its thread.
pub enum Order {
    /// Take over a connection.
    Open(Box<Handoff>),
    /// Close every connection, spread evenly until shortly before the deadline, then end.
    Drain {
        /// What the clients are told.
        reason: CloseReason,
        /// When the thread ends whatever is left.
        deadline: Millis,
    },
    /// Report the account, of one room or of everything, once this turn is settled.
    Audit(Option<RoomName>, Box<dyn FnOnce(Report) + Send>),
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open(_) => "Open",
            Self::Drain { .. } => "Drain",
            Self::Audit(..) => "Audit",
        })
    }
}

/// The other threads' end of a worker. Orders are bounded by who sends them: connections by
/// `limits.connections`, the rest by the admin listener.
#[derive(Debug)]
pub struct Link {
    /// `None` once the worker has ended: nobody would take an order any more.
    orders: Mutex<Option<Vec<Order>>>,
    waker: mio::Waker,
}

impl Link {
    /// Gives an order and wakes the worker; gives it back if the worker has ended.
    #[must_use = "a connection that nobody takes has to be given up"]
    pub fn send(&self, order: Order) -> Option<Order> {
        match self.leave(order) {
            Ok(_) => {
                self.wake();
                None
            }
            Err(order) => Some(order),
        }
    }

    /// Leaves an order for when the worker is awake. True: it is the first one, so somebody has to
    /// wake the worker; all that wait then are taken at once.
    fn leave(&self, order: Order) -> Result<bool, Order> {
        let mut orders = self.orders.lock();
        let Some(waiting) = orders.as_mut() else {
            return Err(order);
        };
        let is_first = waiting.is_empty();
        waiting.push(order);
        Ok(is_first)
    }

    /// Wakes the worker if orders wait.
    fn nudge(&self) {
        let waits = |orders: &Vec<Order>| !orders.is_empty();
        // The guard goes first: the wake may hand the core to the worker, which wants the lock.
        let waits = self.orders.lock().as_ref().is_some_and(waits);
        if waits {
            self.wake();
        }
    }

    /// Takes the orders given so far.
    fn take(&self) -> Vec<Order> {
        self.orders
            .lock()
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Takes the last orders; later ones go back to who gives them.
    fn end(&self) -> Vec<Order> {
        self.orders.lock().take().unwrap_or_default()
    }

    /// Ends the worker's sleep.
    pub fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "a worker cannot be woken");
        }
    }
}

/// A worker before its thread runs: its poll exists, so others can be given its [`Link`].
#[derive(Debug)]
pub struct Post {
    poll: mio::Poll,
    /// The other threads' end.
    pub link: Arc<Link>,
}

/// The token of the waker: no slab reaches this key.
pub(crate) const WAKE: mio::Token = mio::Token(usize::MAX);

impl Post {
    /// A poll and its waker.
    ///
    /// # Errors
    /// When the kernel gives no descriptor.
    pub fn new() -> io::Result<Self> {
        let poll = mio::Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), WAKE)?;
        Ok(Self {
            poll,
            link: Arc::new(Link {
                orders: Mutex::new(Some(Vec::new())),
                waker,
            }),
        })
    }
}

/// Called with [`Handoff::peer`] when a connection is gone.
pub type OnClose = Arc<dyn Fn(u64) + Send + Sync>;

/// What every worker is given.
#[derive(Clone)]
pub struct Supplies {
    /// Settings.
    pub config: Arc<Config>,
    /// The time.
    pub clock: Clock,
    /// Rooms.
    pub broker: Arc<Broker>,
    /// Who answers, if anybody.
    pub assistant: Dispatcher,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Gives back what a connection held.
    pub on_close: OnClose,
}

impl fmt::Debug for Supplies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supplies").finish_non_exhaustive()
    }
}

/// Starts worker number `id` on its own thread, which ends after [`Order::Drain`].
///
/// # Errors
/// When the system gives no thread.
pub fn spawn(id: usize, post: Post, supplies: Supplies) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(format!("worker-{id}"))
        .spawn(move || {
            if supplies.config.server.pin_workers {
                affinity::pin(id);
            }
            turn::Worker::new(id, post, &supplies).run();
        })
}

#[cfg(test)]
mod tests;
