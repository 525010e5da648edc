//! Rooms, their members and what waits for them.

pub mod queue;
