//! The data plane: one thread per core, each with a poll, a slab of connections and its members of
//! every room. No task, no buffer and no allocated timer for an idle connection.
//!
//! One worker listens ([`Listener`]): it accepts sockets, and the server's [`Gate`] says which handshakes are
//! good; all that takes longer than one read goes to the control plane. A worker is handed a socket and the
//! 101 it is owed ([`Handoff`]); from then on it reads, decodes, publishes, and writes what rooms and assistants
//! send. Called from `server`; calls down into `broker`, `assistant`, `protocol`, `transport`.
//!
//! A turn: read what is ready (messages go into mailboxes), run timers, then settle: take the
//! mailbox, gather each room's frames, one write per socket. What the large rooms get of it is a
//! portion; what is left of a fan-out waits for the next turn.

mod affinity;
mod agenda;
mod client;
pub mod connection;
mod consumer;
mod containment;
mod context;
mod deliver;
mod fan_out;
mod gathering;
mod lifecycle;
mod listener;
pub(crate) mod memory;
pub mod outbound;
pub mod port;
mod portions;
pub mod rate_limit;
mod report;
mod rooms;
pub mod slab;
pub mod timers;
mod turn;
mod workers;

pub use listener::{Accepted, Gate, Listener};
pub use port::{Port, TcpPort};
pub use turn::Worker;
pub use workers::{NobodyListens, Workers};

use crate::broker::ledger::Ledger;
use crate::broker::placement::Passage;
use crate::broker::{Broker, Consumers, Role};
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

/// A connection on its way to its worker.
pub struct Handoff<S = <TcpPort as Port>::Socket> {
    /// The socket, watched by nobody else.
    pub socket: S,
    /// The 101, still to be written: it goes out together with the first frame.
    pub answer: Vec<u8>,
    /// Bytes of the peer's first frames that came with its handshake.
    pub leftover: Bytes,
    /// What it is for.
    pub role: Role,
    /// The room it joins.
    pub room: Option<RoomName>,
    /// Its way to the worker that was chosen for it.
    pub passage: Passage,
    /// Given back through [`OnClose`] when the connection is gone.
    pub peer: u64,
}

impl<S> fmt::Debug for Handoff<S> {
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
pub enum Instruction<P: Port = TcpPort> {
    /// Take over a connection.
    Open(Box<Handoff<P::Socket>>),
    /// Accept connections, until the drain.
    Listen(Box<Listener<P>>),
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

impl<P: Port> fmt::Debug for Instruction<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open(_) => "Open",
            Self::Listen(_) => "Listen",
            Self::Drain { .. } => "Drain",
            Self::Audit(..) => "Audit",
        })
    }
}

/// The other threads' end of a worker. Instructions are bounded by who sends them: connections by
/// `limits.connections`, the rest by the admin listener.
#[derive(Debug)]
pub struct WorkerHandle<P: Port = TcpPort> {
    /// `None` once the worker has ended: nobody would take an instruction any more.
    instructions: Mutex<Option<Vec<Instruction<P>>>>,
    waker: P::Waker,
}

impl<P: Port> WorkerHandle<P> {
    /// Gives an instruction and wakes the worker, unless an instruction before it has not been taken yet: whoever gave that
    /// one wakes. Gives it back if the worker has ended.
    #[must_use = "a connection that nobody takes has to be given up"]
    pub fn send(&self, instruction: Instruction<P>) -> Option<Instruction<P>> {
        let mut instructions = self.instructions.lock();
        let Some(waiting) = instructions.as_mut() else {
            return Some(instruction);
        };
        let is_first = waiting.is_empty();
        waiting.push(instruction);
        // The guard goes first: the wake may hand the core to the worker, which wants the lock.
        drop(instructions);
        if is_first {
            self.wake();
        }
        None
    }

    /// Takes the instructions given so far.
    fn take(&self) -> Vec<Instruction<P>> {
        self.instructions
            .lock()
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Takes the last instructions; later ones go back to who gives them.
    fn end(&self) -> Vec<Instruction<P>> {
        self.instructions.lock().take().unwrap_or_default()
    }

    /// Ends the worker's sleep.
    pub fn wake(&self) {
        if let Err(error) = port::Waker::wake(&self.waker) {
            tracing::error!(%error, "a worker cannot be woken");
        }
    }
}

/// A worker before its thread runs: its poll exists, so others can be given its [`WorkerHandle`].
#[derive(Debug)]
pub struct WorkerSlot<P: Port = TcpPort> {
    port: P,
    /// The other threads' end.
    pub handle: Arc<WorkerHandle<P>>,
}

impl WorkerSlot {
    /// A worker over TCP.
    ///
    /// # Errors
    /// When the kernel gives no descriptor.
    pub fn over_tcp(clock: Clock) -> io::Result<Self> {
        let (port, waker) = TcpPort::new(clock)?;
        Ok(Self::new(port, waker))
    }
}

impl<P: Port> WorkerSlot<P> {
    /// A worker over this port; `waker` ends its wait.
    #[must_use]
    pub fn new(port: P, waker: P::Waker) -> Self {
        Self {
            port,
            handle: Arc::new(WorkerHandle {
                instructions: Mutex::new(Some(Vec::new())),
                waker,
            }),
        }
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

/// Starts worker number `id` on its own thread, which ends after [`Instruction::Drain`].
///
/// # Errors
/// When the system gives no thread.
pub fn spawn(
    id: usize,
    slot: WorkerSlot,
    supplies: Supplies,
    consumers: impl Consumers,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(format!("worker-{id}"))
        .stack_size(memory::STACK_BYTES)
        .spawn(move || {
            if supplies.config.server.pin_workers {
                affinity::pin(id);
            }
            Worker::new(id, slot, &supplies, consumers).run();
        })
}

#[cfg(test)]
mod tests;
