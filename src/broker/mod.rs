//! Rooms, their members and what waits for them.

pub mod mailbox;
pub mod queue;
