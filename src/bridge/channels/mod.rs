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
//! | [`encryption`] | Who may read and write them? |
//! | [`scripts`] | Which commands make Redis do it? |
//! | [`event`] | What does a client see of it, and a worker of a client? |
//!
//! Around it, what keeps this node in the layer:
//!
//! | Module | |
//! |---|---|
//! | `layer` | what its parts share, and what the bridge sees of it |
//! | `host` `session` | the way over one Redis of the site, down or up; memberships |
//! | `receive` `inbound` | from Django to the browser |
//! | `courier` | from the browser to Django |
//! | `wire` | to the client library |
//! | `probe` | `supportal check --redis` |
//!
//! Two layers: `core` keeps memberships and messages in sorted sets, one key per process; `pubsub`
//! publishes and keeps nothing. Source: the installed packages (`tests/channels/record_vectors.py`
//! runs them and keeps what they said).

pub mod codec;
mod courier;
mod digests;
pub mod encryption;
pub mod event;
mod host;
mod inbound;
pub mod keys;
pub(super) mod layer;
mod msgpack;
pub(super) mod probe;
mod receive;
pub mod scripts;
mod session;
mod text;
pub mod value;
mod wire;

pub use codec::{Arrival, Codec, Poison, To, Unwritable};
pub use event::{Ignored, Mapping, Outcome};
pub use keys::{Keys, Receivers};
pub use scripts::{Command, Score, Scores};
pub use value::{Map, Value};

#[cfg(test)]
mod tests;
