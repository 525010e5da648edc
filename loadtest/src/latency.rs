//! Histograms of nanoseconds, and the percentiles a report shows of them.

use hdrhistogram::Histogram;
use serde::Serialize;
use std::ops::{AddAssign, Deref, DerefMut};

/// Longest latency told apart: a minute and a half, beyond the longest expiry in use.
const LATENCY_MAX: u64 = 90_000_000_000;

/// Recorded times in nanoseconds, three significant digits.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1_000, LATENCY_MAX, 3);
        Self(histogram.expect("invariant: the bounds are constants that fit three digits"))
    }
}

impl Deref for Times {
    type Target = Histogram<u64>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Times {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl AddAssign<&Self> for Times {
    fn add_assign(&mut self, other: &Self) {
        let added = self.0.add(&other.0);
        added.expect("invariant: all histograms of a run have the same bounds");
    }
}

impl Times {
    /// A quantile in milliseconds.
    pub(crate) fn millis(&self, quantile: f64) -> f64 {
        self.value_at_quantile(quantile) as f64 / 1e6
    }

    /// (percentile, milliseconds) pairs for a plot.
    pub(crate) fn percentiles(&self) -> Vec<(f64, f64)> {
        const POINTS: [f64; 13] = [
            0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99, 100.0,
        ];
        POINTS.map(|p| (p, self.millis(p / 100.0))).to_vec()
    }
}

/// Percentiles in milliseconds.
#[derive(Debug, Default, Clone, Serialize)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
}

impl Latency {
    pub(crate) fn of(times: &Times) -> Self {
        Self {
            count: times.len(),
            p50_ms: times.millis(0.5),
            p90_ms: times.millis(0.9),
            p99_ms: times.millis(0.99),
            p999_ms: times.millis(0.999),
            max_ms: times.max() as f64 / 1e6,
        }
    }
}
