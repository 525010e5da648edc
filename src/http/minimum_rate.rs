//! The least rate at which a peer must send, or take, what it is waited for.

use std::time::Duration;

/// A peer's credit of time: `longest` to begin with, and never more. Waiting for the peer spends it, and each byte that
/// has come, or gone, brings back what it may take at the least rate. So whoever keeps the rate is waited for without
/// end, and nobody else longer than `longest` in all.
#[derive(Clone, Debug)]
pub struct MinimumRate {
    longest: Duration,
    /// Bytes; 0 = no limit.
    per_second: u32,
    left: Duration,
}

impl MinimumRate {
    /// At least so many bytes a second, on average over `longest`; 0 = no limit.
    #[must_use]
    pub fn new(longest: Duration, per_second: u32) -> Self {
        Self {
            longest,
            per_second,
            left: longest,
        }
    }

    /// How long the peer is waited for from here, if nothing comes; `None`: without end.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        (self.per_second > 0).then_some(self.left)
    }

    /// The peer has been waited for.
    pub fn waited(&mut self, time: Duration) {
        self.left = self.left.saturating_sub(time);
    }

    /// So many bytes have come of the peer, or gone to it.
    pub fn moved(&mut self, bytes: usize) {
        let nanos =
            (bytes as u64).saturating_mul(1_000_000_000) / u64::from(self.per_second.max(1));
        self.left = self
            .left
            .saturating_add(Duration::from_nanos(nanos))
            .min(self.longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Seconds until a peer that moves `bytes` after each wait of a second is given up.
    fn lasts(bytes: usize, per_second: u32) -> Option<u32> {
        let mut rate = MinimumRate::new(10 * SECOND, per_second);
        (1..1_000).find(|_second| {
            let is_over = rate.left().is_some_and(|left| left <= SECOND);
            rate.waited(SECOND);
            rate.moved(bytes);
            is_over
        })
    }

    #[test]
    fn whoever_is_slower_than_the_rate_is_given_up() {
        for (bytes, per_second, expected) in [
            (0, 100, Some(10)),
            (1, 100, Some(11)),
            (50, 100, Some(19)),
            (100, 100, None),
            (usize::MAX, 100, None),
            (0, 0, None),
            (0, u32::MAX, Some(10)),
        ] {
            assert_eq!(
                lasts(bytes, per_second),
                expected,
                "{bytes} of {per_second}"
            );
        }
    }

    #[test]
    fn haste_saves_nothing_up() {
        let mut rate = MinimumRate::new(10 * SECOND, 100);
        rate.moved(1_000_000);
        assert_eq!(rate.left(), Some(10 * SECOND));
        rate.waited(9 * SECOND);
        rate.moved(250);
        assert_eq!(rate.left(), Some(SECOND + SECOND * 5 / 2));
        rate.waited(60 * SECOND);
        assert_eq!(rate.left(), Some(Duration::ZERO));
    }
}
