//! A Django site's channel layer, as `channels_redis` 4.3 keeps it in Redis.
//!
//! Only here do *group* and *channel* appear, Django's words for what the rest of the server calls a
//! room and a subscriber.
//!
//! The wire format is pure: bytes, names and commands in, bytes, names and commands out. Time and
//! randomness are arguments, connections are the caller's.
//!
//! | Module | Question |
//! |---|---|
//! | [`keys`] | What is it called, who holds it, and whose is it? |
//! | [`codec`] | What do the bytes of a message say? |
//! | [`codec::crypto`] | Who may read and write them? |
//! | [`scripts`] | Which commands make Redis do it? |
//! | [`event`] | What does a client see of it, and a worker of a client? |
//!
//! Around it, what keeps this node in the layer:
//!
//! | Module | |
//! |---|---|
//! | `layer` | what its parts share, and what the node sees of it |
//! | `host` `link` `session` | the way over one Redis of the site, down or up |
//! | `memberships` `unheard` | which groups it has us in, and what it may have done unheard |
//! | `pull` `receive` `inbound` | from Django to the browser |
//! | `outbound` `send` `under_way` `unsettled` | from the browser to Django |
//! | `wire` | what Redis' answers mean |
//! | `probe` | `supportal check --redis` |
//!
//! Two layers: `core` keeps memberships and messages in sorted sets, one key per process; `pubsub`
//! publishes and keeps nothing. Source: the installed packages (`tests/channels/record_vectors.py`
//! runs them and keeps what they said).

pub mod codec;
mod digests;
pub mod event;
mod host;
mod inbound;
pub mod keys;
mod layer;
mod link;
mod memberships;
pub(crate) mod memory;
mod outbound;
pub mod probe;
mod pull;
mod random;
mod receive;
pub mod scripts;
mod send;
mod session;
mod tasks;
mod under_way;
mod unheard;
mod unsettled;
mod uplink;
mod user_queue;
mod wire;

pub use codec::value::{Map, To, Value};
pub use codec::{DjangoCodec, Unwritable};
pub use event::{Mapping, Outcome};
pub use keys::Receivers;
pub use layer::Layer;
pub use scripts::Score;

#[cfg(test)]
mod tests;
