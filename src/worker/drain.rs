//! How a drain goes: who is closed when, and when what waits is given up.

use crate::clock::Millis;
use crate::protocol::CloseReason;
use std::time::Duration;

/// A drain under way.
#[derive(Debug)]
pub(super) struct Drain {
    pub(super) reason: CloseReason,
    pub(super) started: Millis,
    pub(super) deadline: Millis,
    pub(super) connections: u64,
    pub(super) closed: u64,
    pub(super) cursor: u32,
    /// Due, but somebody is still being answered in their rooms.
    pub(super) awaiting: Vec<u64>,
    /// What waited for the sockets is given up.
    pub(super) is_cut: bool,
}

/// Shortly before the deadline the close frame takes the place of what a slow reader still has to
/// get, so that it can learn why it ends: this long before, at most a tenth of the drain.
const LAST_WORD: Duration = Duration::from_secs(1);

impl Drain {
    pub(super) fn new(
        reason: CloseReason,
        started: Millis,
        deadline: Millis,
        connections: u64,
    ) -> Self {
        Self {
            reason,
            started,
            deadline,
            connections,
            closed: 0,
            cursor: 0,
            awaiting: Vec::new(),
            is_cut: false,
        }
    }

    /// Closes are spread over this; the rest of the time is for slow readers and the closing
    /// handshakes.
    fn window(&self) -> Duration {
        self.deadline.since(self.started) * 2 / 3
    }

    /// How many connections are to be closed by now. Never less than one, so that a drain of a few
    /// connections starts at once; all at the end of the window, whoever came late.
    pub(super) fn due(&self, now: Millis) -> u64 {
        let (window, elapsed) = (
            self.window().as_millis(),
            now.since(self.started).as_millis(),
        );
        if elapsed >= window {
            return u64::MAX;
        }
        let due = u128::from(self.connections) * elapsed / window;
        u64::try_from(due).unwrap_or(u64::MAX).max(1)
    }

    pub(super) fn is_last_word(&self, now: Millis) -> bool {
        let before = LAST_WORD.min(self.deadline.since(self.started) / 10);
        now + before >= self.deadline
    }
}
