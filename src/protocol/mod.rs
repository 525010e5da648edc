//! The chat contract as pure functions: bytes to commands, events to bytes.
//!
//! Not for frames (that is `transport`), rooms (`broker`) or sockets. Called by the workers, the
//! publish API and the bridge. Nothing here reads a clock, allocates per message on the guide's
//! path, or recurses on a peer's input. Limits: `chat.text_bytes_max`.
//! Source: the guide's "Message Format"; for dialect `django` the recorded answers of
//! `django_supportal` 1.0.2 in `tests/data/transcript.jsonl`.
//!
//! ```
//! use supportal::config::Dialect;
//! use supportal::internal::protocol::{EventWriter, Moment, Parser, Stamp};
//!
//! let mut payload = br#"{"message": "Hello", "type": "user"}"#.to_vec();
//! let mut parser = Parser::new();
//! let command = parser.parse(Dialect::Guide, 1024, &mut payload).unwrap();
//!
//! let mut out = Vec::new();
//! let event = command.event(Moment::from((1_704_110_400, 0)));
//! EventWriter::new(Dialect::Guide).event(&mut out, &event, &mut Stamp::new(0, 0));
//! assert_eq!(
//!     out,
//!     br#"{"message":"Hello","sender":"user","timestamp":"2024-01-01T12:00:00Z"}"#
//! );
//! ```

pub mod close;
pub mod command;
pub mod django;
pub mod error;
pub(crate) mod escape;
pub mod event;
mod json;
pub(crate) mod python;
pub mod render;
pub mod stamp;

pub use close::CloseReason;
pub use command::{Command, CommandKind, Parser, Rejected};
pub use error::ErrorCode;
pub use event::{Event, EventDetails, EventOrigin, Sender};
pub use render::{APOLOGY, EventWriter};
pub use stamp::{Moment, Stamp};

#[cfg(test)]
mod tests;
