//! How long an arrival waits for a worker whose mailbox is full: up to a budget of time that refills
//! slowly, so that one stuck worker cannot hold up the rest.

use crate::clock::{Clock, Millis};
use std::time::Duration;

/// Longest wait in a row.
const MAX: Duration = Duration::from_millis(100);

/// Of each ten milliseconds one may be spent waiting.
const SHARE: u32 = 10;

/// How often a full mailbox is looked at again. By one reader of each Redis, and for a tenth of its time: the looks are what
/// the budget is counted in.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(1);

/// The budget of one reader.
#[derive(Debug)]
pub(crate) struct WaitBudget {
    clock: Clock,
    left: Duration,
    refilled: Millis,
}

impl WaitBudget {
    /// All of it.
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            left: MAX,
            refilled: clock.now(),
        }
    }

    /// Waits until nothing `is_full` any longer; false if the budget is used up.
    ///
    /// # Cancel safety
    /// What was waited is spent.
    pub(crate) async fn wait(&mut self, is_full: impl Fn() -> bool) -> bool {
        if !is_full() {
            return true;
        }
        let earned = self.clock.now().since(self.refilled) / SHARE;
        self.left = (self.left + earned).min(MAX);
        let mut has_room = false;
        while !has_room && self.left >= LOOK_EVERY {
            self.left -= LOOK_EVERY;
            tokio::time::sleep(LOOK_EVERY).await;
            has_room = !is_full();
        }
        self.refilled = self.clock.now();
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[tokio::test]
    async fn a_full_mailbox_is_waited_for_until_the_budget_is_used_up() {
        let mut budget = WaitBudget::new(Clock::start());
        let looks = Cell::new(0);
        let full_for = |most: i32| {
            looks.set(looks.get() + 1);
            looks.get() <= most
        };
        assert!(budget.wait(|| full_for(0)).await);
        assert_eq!((looks.replace(0), budget.left), (1, MAX), "nothing spent");
        assert!(budget.wait(|| full_for(3)).await);
        assert_eq!((looks.replace(0), budget.left), (4, MAX - 3 * LOOK_EVERY));
        assert!(!budget.wait(|| full_for(i32::MAX)).await);
        assert!(budget.left < LOOK_EVERY);
        // A stuck worker holds the others up for no more than what was earned since.
        looks.set(0);
        assert!(!budget.wait(|| full_for(i32::MAX)).await);
        assert!(looks.get() < 50, "{}", looks.get());
    }
}
