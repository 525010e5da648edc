//! The wire format of `channels_redis` 4.3: what a Django site's channel layer reads and writes in
//! Redis.
//!
//! Pure: bytes, names and commands in, bytes, names and commands out. Time and randomness are
//! arguments, connections are the caller's. Only here do *group* and *channel* appear, Django's words
//! for what the rest of the server calls a room and a subscriber.
//!
//! | Module | Question |
//! |---|---|
//! | [`keys`] | What is it called, who holds it, and whose is it? |
//! | [`codec`] | What do the bytes of a message say? |
//! | [`encryption`] | Who may read and write them? |
//! | [`scripts`] | Which commands make Redis do it? |
//! | [`event`] | What does a client see of it, and a worker of a client? |
//!
//! Two layers: `core` keeps memberships and messages in sorted sets, one key per process; `pubsub`
//! publishes and keeps nothing. Source: the installed packages (`tests/channels/record_vectors.py`
//! runs them and keeps what they said).

pub mod codec;
pub mod encryption;
pub mod event;
pub mod keys;
mod msgpack;
pub mod scripts;
mod text;
pub mod value;

pub use codec::{Arrival, Codec, Poison, To, Unwritable};
pub use event::{Ignored, Mapping, Outcome};
pub use keys::{Keys, Receivers};
pub use scripts::{Command, Score, Scores};
pub use value::{Map, Value};

#[cfg(test)]
mod tests;
