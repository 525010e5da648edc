//! Token buckets in eight bytes: the generic cell rate algorithm (ITU-T I.371), which stores the
//! moment at which the bucket will be full again instead of a level. The time is an argument.

use crate::clock::Millis;
use std::time::Duration;

/// A rate and the burst above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens per second; 0 = no limit.
    pub per_second: u32,
    /// Most tokens saved up; at least one.
    pub burst: u32,
}

impl Rate {
    fn nanos(self, tokens: u32) -> u64 {
        u64::from(tokens) * 1_000_000_000 / u64::from(self.per_second.max(1))
    }
}

/// The state of one bucket. A new one is full.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokenBucket {
    /// When the bucket will be full again, in nanoseconds of the monotonic clock.
    full_at: u64,
}

impl TokenBucket {
    /// Spends `tokens` if the bucket holds them.
    pub fn take(&mut self, now: Millis, rate: Rate, tokens: u32) -> bool {
        if rate.per_second == 0 {
            return true;
        }
        let now = now.0.saturating_mul(1_000_000);
        let full_at = self.full_at.max(now) + rate.nanos(tokens);
        let fits = full_at - now <= rate.nanos(rate.burst.max(1));
        if fits {
            self.full_at = full_at;
        }
        fits
    }

    /// Spends `tokens` whether or not the bucket holds them, and says how long until it is out of
    /// debt: what has been read cannot be unread, but the next read can wait.
    pub fn charge(&mut self, now: Millis, rate: Rate, tokens: u32) -> Option<Duration> {
        if rate.per_second == 0 {
            return None;
        }
        let now = now.0.saturating_mul(1_000_000);
        self.full_at = self.full_at.max(now) + rate.nanos(tokens);
        let debt = (self.full_at - now).saturating_sub(rate.nanos(rate.burst.max(1)));
        (debt > 0).then(|| Duration::from_nanos(debt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_passes_then_the_rate_applies() {
        let rate = Rate {
            per_second: 10,
            burst: 5,
        };
        let mut bucket = TokenBucket::default();
        let passed = (0..20)
            .filter(|_| bucket.take(Millis(1_000), rate, 1))
            .count();
        assert_eq!(passed, 5);
        assert!(!bucket.take(Millis(1_099), rate, 1));
        assert!(bucket.take(Millis(1_100), rate, 1));
        let passed = (0..20)
            .filter(|_| bucket.take(Millis(9_000), rate, 1))
            .count();
        assert_eq!(passed, 5, "saving up stops at the burst");
    }

    #[test]
    fn a_debt_is_paid_off_at_the_rate() {
        let rate = Rate {
            per_second: 1_000,
            burst: 100,
        };
        let mut bucket = TokenBucket::default();
        assert_eq!(bucket.charge(Millis(0), rate, 100), None);
        assert_eq!(
            bucket.charge(Millis(0), rate, 500),
            Some(Duration::from_millis(500))
        );
        assert_eq!(
            bucket.charge(Millis(499), rate, 0),
            Some(Duration::from_millis(1))
        );
        assert_eq!(bucket.charge(Millis(500), rate, 0), None);
    }

    #[test]
    fn zero_is_no_limit() {
        let rate = Rate {
            per_second: 0,
            burst: 0,
        };
        let mut bucket = TokenBucket::default();
        assert!((0..1_000).all(|_| bucket.take(Millis(0), rate, 1)));
        assert_eq!(bucket.charge(Millis(0), rate, u32::MAX), None);
    }

    proptest! {
        #[test]
        fn no_window_lets_through_more_than_burst_plus_rate(
            per_second in 1u32..100, burst in 1u32..50,
            steps in proptest::collection::vec(0u64..300, 1..300),
        ) {
            let rate = Rate { per_second, burst };
            let (mut bucket, mut now, mut passed) = (TokenBucket::default(), 0u64, 0u64);
            for step in steps {
                now += step;
                passed += u64::from(bucket.take(Millis(now), rate, 1));
                let most = u64::from(burst) + now * u64::from(per_second) / 1_000 + 1;
                prop_assert!(passed <= most, "{passed} in {now} ms");
            }
        }
    }
}
