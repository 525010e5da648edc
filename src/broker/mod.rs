//! Rooms, their order, and the mailboxes between workers.
//!
//! A publication takes its room's lock for a moment: it gets the next number and goes into the
//! mailbox of every worker that holds members, so every member on the node sees one order. The
//! worker does the rest (queues, sockets) alone, without locks.
//!
//! Not for: sockets, frames' meaning, time (it is an argument).
//!
//! # Lock order
//! 1. the book of placements
//! 2. a shard of the registry (dashmap guard)
//! 3. a room's state
//! 4. an uplink's rooms, in a mode that gives them an order of their own
//! 5. a mailbox; an uplink's outbox
//!
//! Each may be taken while one before it is held, never the other way round. None is held across a
//! wait, a system call or a callback, but for the wake of a sleeping worker under a room's lock.
//!
//! Limits: `broker.mailbox_capacity` publications and `broker.mailbox_bytes` per worker. Publishers
//! ask [`Broker::full_mailbox`] before they read more from their sockets; each can be past the check
//! at the same time as the others, so the hard bound is the capacity plus the number of publishers.

mod caller;
mod consumer;
mod context;
mod full_wait;
pub mod history;
pub mod ledger;
pub mod mailbox;
mod mailboxes;
mod message;
mod parcel;
pub mod placement;
mod publication;
mod publish;
pub mod queue;
pub(crate) mod quota;
mod registry;
pub mod room;
pub mod uplink;

pub(crate) use caller::names;
pub use caller::{Caller, Identity, RoomPattern, RoomScope, UserRole};
pub use consumer::{Consumer, Consumers, Role};
pub use context::Context;
pub(crate) use context::Encode;
pub use mailboxes::{Mailboxes, WORKERS_MAX, Wake};
pub use message::{Message, Payload, Verdict};
pub use parcel::{ConnectionKey, Parcel, RoomSlot};
pub use publication::Publication;
pub use publish::Reach;
pub use quota::{QuotaHolder, QuotaHolds, QuotaScope, Quotas};
pub use registry::Broker;

#[cfg(test)]
mod tests;
