//! The other threads' end of a worker: what it is told, and how it is woken.

use super::handoff::Handoff;
use super::listener::Listener;
use super::live::LiveSettings;
use super::port::{Port, TcpPort, TlsPort, Waker as _};
use crate::broker::ConnectionKey;
use crate::broker::ledger::Ledger;
use crate::clock::{Clock, Millis};
use crate::name::RoomName;
use crate::protocol::CloseReason;
use crate::shedding::SheddingStep;
use crate::tls::TlsServer;
use parking_lot::Mutex;
use std::fmt;
use std::io;
use std::sync::Arc;

/// A worker's account at the end of a turn.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Deliveries of this worker, or of the one room asked for.
    pub ledger: Ledger,
    /// Open connections on this worker.
    pub connections: usize,
}

/// Whom a worker is to list.
#[derive(Clone, Debug)]
pub enum Whom {
    /// The members of a room.
    Room(RoomName),
    /// One connection.
    Connection(ConnectionKey),
}

/// Connections of a worker, as they were in the turn that asked for them.
#[derive(Clone, Debug, Default)]
pub struct ConnectionList {
    /// How many there are.
    pub count: usize,
    /// So many of them as were asked for.
    pub connections: Vec<ConnectionKey>,
}

/// Takes what a worker answers, on that worker's thread.
pub(super) type Reply<T> = Box<dyn FnOnce(T) + Send>;

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
    /// Go by these settings from now on.
    Settings(Arc<LiveSettings>),
    /// Memory is short: give up what these steps say, until told otherwise, unless the queues hold less than so many bytes.
    Shed(&'static [SheddingStep], u64),
    /// Report the account, of one room or of everything, once this turn is settled.
    Audit(Option<RoomName>, Reply<Report>),
    /// List connections that are open, at most so many.
    List(Whom, usize, Reply<ConnectionList>),
}

impl<P: Port> fmt::Debug for Instruction<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open(_) => "Open",
            Self::Listen(_) => "Listen",
            Self::Drain { .. } => "Drain",
            Self::Settings(_) => "Settings",
            Self::Shed(..) => "Shed",
            Self::Audit(..) => "Audit",
            Self::List(..) => "List",
        })
    }
}

/// The other threads' end of a worker. Instructions are bounded by who sends them: connections by
/// `limits.connections`, the rest by who may ask: the admin listener and `api.requests`.
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
    pub(super) fn take(&self) -> Vec<Instruction<P>> {
        self.instructions
            .lock()
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Takes the last instructions; later ones go back to who gives them.
    pub(super) fn end(&self) -> Vec<Instruction<P>> {
        self.instructions.lock().take().unwrap_or_default()
    }

    /// Ends the worker's sleep.
    pub fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "a worker cannot be woken");
        }
    }
}

/// What any worker can be told, whatever its port.
pub(super) trait AnyWorker: fmt::Debug + Send + Sync {
    /// [`Instruction::Drain`].
    fn drain(&self, reason: CloseReason, deadline: Millis);

    /// [`Instruction::Settings`].
    fn take_settings(&self, settings: Arc<LiveSettings>);

    /// [`Instruction::Shed`].
    fn shed(&self, steps: &'static [SheddingStep], least: u64);

    /// [`Instruction::Audit`]; `reply` is dropped if the worker has ended.
    fn audit(&self, room: Option<RoomName>, reply: Reply<Report>);

    /// [`Instruction::List`], likewise.
    fn list(&self, whom: Whom, most: usize, reply: Reply<ConnectionList>);
}

impl<P: Port> AnyWorker for WorkerHandle<P> {
    fn drain(&self, reason: CloseReason, deadline: Millis) {
        // A worker that has ended has nobody left to close.
        drop(self.send(Instruction::Drain { reason, deadline }));
    }

    fn take_settings(&self, settings: Arc<LiveSettings>) {
        // A worker that has ended has nobody left to serve.
        drop(self.send(Instruction::Settings(settings)));
    }

    fn shed(&self, steps: &'static [SheddingStep], least: u64) {
        // A worker that has ended holds nothing.
        drop(self.send(Instruction::Shed(steps, least)));
    }

    fn audit(&self, room: Option<RoomName>, reply: Reply<Report>) {
        drop(self.send(Instruction::Audit(room, reply)));
    }

    fn list(&self, whom: Whom, most: usize, reply: Reply<ConnectionList>) {
        drop(self.send(Instruction::List(whom, most, reply)));
    }
}

/// A worker before its thread runs: its poll exists, so others can be given its [`WorkerHandle`].
#[derive(Debug)]
pub struct WorkerSlot<P: Port = TcpPort> {
    pub(super) port: P,
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

impl WorkerSlot<TlsPort> {
    /// A worker over TLS.
    ///
    /// # Errors
    /// When the kernel gives no descriptor.
    pub fn over_tls(clock: Clock, server: Arc<TlsServer>) -> io::Result<Self> {
        let (port, waker) = TlsPort::new(clock, server)?;
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
