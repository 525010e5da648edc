//! Mode `streams`: Redis gives every message its place, and keeps it.
//!
//! A room is a stream. One Lua function appends what a node says and publishes it with its offset, so
//! there is one order, and every node delivers in it, the one that spoke too. Who missed something
//! reads it from the stream before anything newer is delivered. What is not answered is sent again,
//! and dropped by the function if it had been appended.
//!
//! A place is an epoch and an offset, and names one event for ever. Beside a room's stream its origins
//! tell where numbering stands, for longer than the stream lives. Another Redis (a failover, a restart)
//! may lack what was answered for: the first append there begins an epoch, and whoever appends or
//! reads says how far the one before was seen.
//!
//! ```text
//! worker ─ publish ─> room ─ forward ─> outbox ─ batch ─> append/  ─ XADD, PUBLISH ─┐
//!                       └ waits in own ──────────────┐                                v
//! worker <─ mailbox <─ room <─ deliver_taken <─── order: own, follower <─────── SUBSCRIBE
//!                                                    ^      └ a gap ─> reads ─> read.lua
//!                                                    └──────────────────────────────┘
//! ```
//!
//! Redis is optional while the node runs: what does not come back within `bridge.order_timeout` is
//! delivered at once, in the order in which it was said, and a room (or, when Redis does not answer,
//! all of them) goes on so until its way works again.
//!
//! What an arrival means and what waits is decided in [`order`](super::order).
//!
//! | Module | |
//! |---|---|
//! | `redis_streams` | what a link has in this mode |
//! | `scripts` | what is said to Redis |
//! | `appends` | what this node says, many rooms in one call |
//! | `canary` | the proof that this works |
//! | `archive` | what all rooms said, in one stream |
//! | `kept` | its key and bounds, and the record of an event |
//! | `reads` | gaps, and `/history` |
//! | `recall` | who waits, and for how long |
//! | `on_the_way` | what is appended and not answered |
//! | `refused` | rooms whose keys are somebody else's |
//! | `spoken` | what this node said in rooms without members |
//!
//! Limits: what waits by `bridge.outbox_capacity` and `bridge.outbox_bytes`; gaps being read by
//! `reads::READS` pages of 256 KiB and a message; a stream by `history.capacity`,
//! `history.bytes_max` and `history.expiry`.
//!
//! # Lock order
//! A room's state, then the link's rooms, then what is here; see [`broker`](crate::broker).

mod appends;
mod archive;
mod canary;
mod history;
mod kept;
mod on_the_way;
pub(super) mod reads;
mod recall;
mod redis_streams;
mod refused;
pub(super) mod scripts;
mod spoken;

pub(super) use appends::{RoomAppends, SentCommand};
pub use archive::{ShardPage, ShardPlace};
pub(super) use canary::{probe, probe_stream};
pub use kept::KeptEvent;
pub(super) use reads::READS;
pub(super) use redis_streams::{Hashes, States, Streams};
pub(super) use scripts::PAGE_BYTES;
