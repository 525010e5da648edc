//! Deadlines as other machines read them.

use crate::clock::{Clock, Millis};

/// Milliseconds since 1970, for deadlines that other machines read.
pub(super) fn wall_millis(clock: Clock) -> u64 {
    let (seconds, micros) = clock.wall();
    seconds * 1_000 + u64::from(micros / 1_000)
}

/// A deadline of this process as the other machines read it.
pub(super) fn to_wall(deadline: Millis, now: Millis, wall: u64) -> u64 {
    let left = deadline.since(now).as_millis();
    wall.saturating_add(u64::try_from(left).unwrap_or(u64::MAX))
}
