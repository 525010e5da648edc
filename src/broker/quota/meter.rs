//! A token bucket that several threads spend from: the generic cell rate algorithm (ITU-T I.371) in one atomic number.

use crate::clock::Millis;
use std::sync::atomic::{AtomicU64, Ordering};

/// The state of one bucket. A new one is full.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// When the bucket will be full again, in nanoseconds of the monotonic clock.
    full_at: AtomicU64,
}

const NANOS: u64 = 1_000_000_000;

impl Meter {
    /// Spends `tokens` if the bucket holds them. What is larger than the bucket passes while that is full.
    pub(super) fn take(&self, now: Millis, (per_second, burst): (u32, u32), tokens: u32) -> bool {
        if per_second == 0 {
            return true;
        }
        let nanos = |tokens: u32| u64::from(tokens) * NANOS / u64::from(per_second);
        let now = now.0.saturating_mul(1_000_000);
        let (cost, most) = (nanos(tokens), nanos(burst.max(tokens).max(1)));
        let spend = |full_at: u64| {
            let full_at = full_at.max(now).saturating_add(cost);
            (full_at - now <= most).then_some(full_at)
        };
        self.full_at
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend)
            .is_ok()
    }

    /// Puts one token back that [`Meter::take`] has spent for nothing.
    pub(super) fn give_back(&self, (per_second, _burst): (u32, u32)) {
        if per_second > 0 {
            let cost = NANOS / u64::from(per_second);
            let give = |full_at: u64| Some(full_at.saturating_sub(cost));
            let _before = self
                .full_at
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, give);
        }
    }

    /// Spends `tokens` that have been used already, held or not, and says for how many nanoseconds the next must wait
    /// for it: until the bucket owes nothing.
    pub(super) fn charge(&self, now: Millis, (per_second, burst): (u32, u32), tokens: u32) -> u64 {
        if per_second == 0 {
            return 0;
        }
        let nanos = |tokens: u32| u64::from(tokens) * NANOS / u64::from(per_second);
        let now = now.0.saturating_mul(1_000_000);
        let spent = |full_at: u64| full_at.max(now).saturating_add(nanos(tokens));
        let spend = |full_at| Some(spent(full_at));
        let before = self
            .full_at
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend);
        let full_at = spent(before.unwrap_or_default());
        (full_at - now).saturating_sub(nanos(burst))
    }

    /// Is the bucket full?
    pub(super) fn is_full(&self, now: Millis) -> bool {
        self.full_at.load(Ordering::Relaxed) <= now.0.saturating_mul(1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn what_is_larger_than_the_bucket_passes_while_that_is_full() {
        let meter = Meter::default();
        assert!(meter.take(Millis(0), (1_000, 100), 500));
        assert!(!meter.is_full(Millis(499)));
        assert!(!meter.take(Millis(400), (1_000, 100), 1));
        assert!(meter.take(Millis(401), (1_000, 100), 1));
        assert!(meter.is_full(Millis(501)));
        assert!(meter.take(Millis(0), (0, 1), u32::MAX), "no limit");
    }

    #[test]
    fn what_was_used_already_is_waited_for() {
        let (meter, rate) = (Meter::default(), (1_000, 100));
        assert_eq!(meter.charge(Millis(0), rate, 100), 0, "the burst");
        assert_eq!(meter.charge(Millis(0), rate, 50), 50_000_000);
        assert_eq!(meter.charge(Millis(20), rate, 0), 30_000_000);
        assert_eq!(meter.charge(Millis(20), (0, 1), 50), 0, "no limit");
        assert_eq!(meter.charge(Millis(50), rate, 0), 0);
        assert!(!meter.take(Millis(50), rate, 1) && meter.take(Millis(51), rate, 1));
    }

    #[test]
    fn a_token_that_is_given_back_may_be_spent_again() {
        let (meter, rate) = (Meter::default(), (1, 2));
        assert!(meter.take(Millis(9), rate, 1) && meter.take(Millis(9), rate, 1));
        meter.give_back(rate);
        assert!(meter.take(Millis(9), rate, 1) && !meter.take(Millis(9), rate, 1));
        meter.give_back((0, 1));
        assert!(!meter.take(Millis(9), rate, 1));
    }

    #[test]
    fn threads_together_get_no_more_than_the_burst() {
        let (meter, passed) = (Meter::default(), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _thread in 0..4 {
                scope.spawn(|| {
                    for _try in 0..1_000 {
                        if meter.take(Millis(7), (1, 100), 1) {
                            passed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(passed.load(Ordering::Relaxed), 100);
    }

    proptest! {
        #[test]
        fn no_window_lets_through_more_than_burst_plus_rate(
            per_second in 1u32..100, burst in 1u32..50,
            steps in proptest::collection::vec(0u64..300, 1..300),
        ) {
            let (meter, mut now, mut passed) = (Meter::default(), 0u64, 0u64);
            for step in steps {
                now += step;
                passed += u64::from(meter.take(Millis(now), (per_second, burst), 1));
                let most = u64::from(burst) + now * u64::from(per_second) / 1_000 + 1;
                prop_assert!(passed <= most, "{passed} in {now} ms");
            }
        }
    }
}
