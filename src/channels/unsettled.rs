//! Users' messages that went together, and those of them that Redis has not answered for.
//!
//! Each leaves a mark in the step that sends them. A connection that breaks takes answers with it, not the marks: the next
//! session reads them, and what has none is sent again. The fence of the session before keeps back what might still
//! come from there. Where Redis has forgotten meanwhile, nobody knows, and what was not answered counts as lost.

use super::scripts::MarkKeys;
use std::collections::VecDeque;
use std::time::Duration;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Went {
    /// Redis has it.
    Sent,
    /// By a cause of [`CAUSES`](super::user_queue::CAUSES).
    Dropped(&'static str),
}

/// How long marks are kept beyond the time that a message may wait.
pub(super) const KEPT: Duration = Duration::from_secs(60);

/// Messages that are sent to Django together.
pub(super) struct CourierFlight {
    /// How often Redis had forgotten.
    pub(super) lapses: u64,
    /// Where it has its marks. Those of the flight before are heard, or given up.
    pub(super) marks: MarkKeys,
}

/// A message of a flight, in the order of those that wait.
#[derive(Clone, Copy, Debug)]
pub(super) enum Remnant {
    /// This is known.
    Settled(Went),
    /// By its number.
    Sent(usize),
}

/// What is left of a flight.
pub(super) struct Unsettled {
    pub(super) flight: CourierFlight,
    pub(super) places: VecDeque<Remnant>,
}
