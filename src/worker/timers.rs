//! A wheel of deadlines: a slot holds the keys whose deadline falls into it.
//!
//! Arming is a push of eight bytes; nothing is allocated per timer and nothing is unlinked. A key
//! may fire early or twice, so whoever is called looks at its own state and arms again. Pure: the
//! time is an argument.

use crate::clock::Millis;
use std::time::Duration;

/// Width of a slot in milliseconds: how late a deadline may fire.
const SLOT_MILLIS: u64 = 100;

/// Slots of the wheel: deadlines further away than 51.2 s are kept in the last slot and look again.
const SLOTS: usize = 512;

/// The farthest a timer is set: within the wheel's 51.2 s, so that it never fires early.
pub(super) const TIMER_MAX: Duration = Duration::from_secs(50);

/// The wheel.
#[derive(Debug)]
pub struct Timers {
    slots: Vec<Vec<u64>>,
    /// The slot number (time divided by the width) that was emptied last.
    done: u64,
    armed: usize,
}

impl Timers {
    /// An empty wheel that starts at `now`.
    #[must_use]
    pub fn new(now: Millis) -> Self {
        Self {
            slots: vec![Vec::new(); SLOTS],
            done: now.0 / SLOT_MILLIS,
            armed: 0,
        }
    }

    /// Lets `key` fire at or up to one slot after `deadline`, earlier if it is beyond the wheel, which
    /// reaches 51.1 s from the last [`Timers::expire`].
    pub fn arm(&mut self, deadline: Millis, key: u64) {
        let horizon = self.done + SLOTS as u64 - 1;
        let slot = (deadline.0.div_ceil(SLOT_MILLIS)).clamp(self.done + 1, horizon);
        if let Some(keys) = self.slots.get_mut((slot % SLOTS as u64) as usize) {
            keys.push(key);
            self.armed += 1;
        }
    }

    /// Moves every key whose slot has passed at `now` into `fired`.
    pub fn expire(&mut self, now: Millis, fired: &mut Vec<u64>) {
        let current = now.0 / SLOT_MILLIS;
        if self.armed == 0 {
            self.done = self.done.max(current);
            return;
        }
        // After a pause longer than the wheel every slot is due once.
        let from = self.done.max(current.saturating_sub(SLOTS as u64));
        for slot in from + 1..=current {
            if let Some(keys) = self.slots.get_mut((slot % SLOTS as u64) as usize) {
                self.armed -= keys.len();
                fired.append(keys);
                if keys.capacity() > 1024 {
                    keys.shrink_to(0);
                }
            }
        }
        self.done = self.done.max(current);
    }

    /// How long a poll may sleep before something is due; `None` if nothing is armed.
    #[must_use]
    pub fn next(&self, now: Millis) -> Option<Duration> {
        if self.armed == 0 {
            return None;
        }
        let first = (1..=SLOTS as u64).find(|ahead| {
            self.slots
                .get(((self.done + ahead) % SLOTS as u64) as usize)
                .is_some_and(|keys| !keys.is_empty())
        })?;
        let due = Millis((self.done + first) * SLOT_MILLIS);
        Some(due.since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fired(timers: &mut Timers, now: u64) -> Vec<u64> {
        let mut keys = Vec::new();
        timers.expire(Millis(now), &mut keys);
        keys
    }

    #[test]
    fn a_key_fires_at_its_deadline_and_not_before() {
        let mut timers = Timers::new(Millis(1_000));
        timers.arm(Millis(1_250), 7);
        assert_eq!(timers.next(Millis(1_000)), Some(Duration::from_millis(300)));
        assert!(fired(&mut timers, 1_249).is_empty());
        assert_eq!(fired(&mut timers, 1_300), [7]);
        assert_eq!(timers.next(Millis(1_300)), None);
    }

    #[test]
    fn a_deadline_in_the_past_fires_in_the_next_slot() {
        let mut timers = Timers::new(Millis(5_000));
        timers.arm(Millis(1), 1);
        assert_eq!(fired(&mut timers, 5_100), [1]);
    }

    #[test]
    fn a_deadline_beyond_the_wheel_fires_early_to_look_again() {
        let mut timers = Timers::new(Millis(0));
        timers.arm(Millis(3_600_000), 1);
        assert!(fired(&mut timers, 51_000).is_empty());
        assert_eq!(fired(&mut timers, 51_200), [1]);
    }

    #[test]
    fn a_pause_longer_than_the_wheel_fires_everything_once() {
        let mut timers = Timers::new(Millis(0));
        for key in 0..100 {
            timers.arm(Millis(key * 500), key);
        }
        let mut keys = fired(&mut timers, 10_000_000);
        keys.sort_unstable();
        assert_eq!(keys, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_pause_longer_than_the_wheel_passes_over_no_slot() {
        for now in (51_200..53_000).step_by(100) {
            let mut timers = Timers::new(Millis(0));
            for deadline in 1..SLOTS as u64 {
                timers.arm(Millis(deadline * SLOT_MILLIS), deadline);
            }
            assert_eq!(fired(&mut timers, now).len(), SLOTS - 1, "at {now}");
        }
    }

    proptest! {
        #[test]
        fn every_key_fires_exactly_once_and_never_before_its_deadline(
            start in 0u64..100_000,
            deadlines in proptest::collection::vec(0u64..50_000, 1..50),
            steps in proptest::collection::vec(0u64..20_000, 1..50),
        ) {
            let mut timers = Timers::new(Millis(start));
            for (key, deadline) in deadlines.iter().enumerate() {
                timers.arm(Millis(start + deadline), key as u64);
            }
            let mut seen = vec![0; deadlines.len()];
            let mut now = start;
            for step in steps.into_iter().chain([100_000]) {
                now += step;
                for key in fired(&mut timers, now) {
                    seen[key as usize] += 1;
                    prop_assert!(now >= start + deadlines[key as usize]);
                }
            }
            prop_assert!(seen.iter().all(|&count| count == 1));
        }
    }
}
