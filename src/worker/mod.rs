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
//! portion; what is left of a fan-out waits for the next turn. Sockets whose clients
//! have not spoken yet come last, some in each turn: more of them the longer the others have taken.

mod affinity;
mod agenda;
mod arrivals;
mod client;
pub mod connection;
mod connections;
mod consumer;
mod containment;
mod context;
mod deliver;
mod drain;
mod fan_out;
mod gathering;
mod handle;
mod handoff;
mod lifecycle;
mod listener;
mod live;
mod member;
mod members;
pub(crate) mod memory;
pub mod outbound;
pub mod per_route;
pub mod port;
pub mod rate_limit;
mod report;
mod rooms;
mod settle;
mod shed;
pub mod slab;
mod slow_reader;
mod supplies;
pub mod timers;
mod turn;
mod workers;

pub use arrivals::PeerPlace;
pub use handle::{Instruction, Report, Whom, WorkerHandle, WorkerSlot};
pub use handoff::Handoff;
pub(crate) use listener::GRACE;
pub use listener::{Accepted, Gate, Listener};
pub use live::LiveSettings;
pub use supplies::Supplies;
pub use turn::Worker;
pub use workers::{NobodyListens, WorkerHandles, Workers};

#[cfg(test)]
mod tests;
