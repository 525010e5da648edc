//! Histograms of nanoseconds, and the percentiles a report shows of them.

use hdrhistogram::Histogram;
use serde::Serialize;

/// Longest latency told apart: a minute and a half, beyond the longest expiry in use.
const LATENCY_MAX: u64 = 90_000_000_000;

/// A histogram of nanoseconds, three significant digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, LATENCY_MAX, 3)
        .expect("invariant: the bounds are constants that fit three digits")
}

/// What was recorded so far; recording goes on in an empty one.
pub(crate) fn take(of: &mut Histogram<u64>) -> Histogram<u64> {
    std::mem::replace(of, histogram())
}

/// A quantile in milliseconds.
pub(crate) fn millis(of: &Histogram<u64>, quantile: f64) -> f64 {
    of.value_at_quantile(quantile) as f64 / 1e6
}

/// Percentiles in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
}

impl Latency {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            count: histogram.len(),
            p50_ms: millis(histogram, 0.5),
            p90_ms: millis(histogram, 0.9),
            p99_ms: millis(histogram, 0.99),
            p999_ms: millis(histogram, 0.999),
            max_ms: histogram.max() as f64 / 1e6,
        }
    }
}

/// (percentile, milliseconds) pairs for a plot.
pub(crate) fn percentile_curve(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    const POINTS: [f64; 13] = [
        0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99, 100.0,
    ];
    POINTS.map(|p| (p, millis(histogram, p / 100.0))).to_vec()
}

/// A histogram as the pairs of value and count that were recorded: exact, and as short as it is sparse.
pub(crate) mod recorded {
    use crate::latency::histogram;
    use hdrhistogram::Histogram;
    use serde::{Deserialize, Deserializer, Serializer};

    /// For `#[serde(with)]`.
    pub(crate) fn serialize<S: Serializer>(
        histogram: &Histogram<u64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let values = histogram.iter_recorded();
        serializer
            .collect_seq(values.map(|value| (value.value_iterated_to(), value.count_at_value())))
    }

    /// For `#[serde(with)]`.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Histogram<u64>, D::Error> {
        let mut histogram = histogram();
        for (value, count) in Vec::<(u64, u64)>::deserialize(deserializer)? {
            histogram.saturating_record_n(value, count);
        }
        Ok(histogram)
    }

    /// Adds what the other one recorded.
    pub(crate) fn add(sum: &mut Histogram<u64>, other: &Histogram<u64>) {
        sum.add(other)
            .expect("invariant: all histograms of a run have the same bounds");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut histogram = histogram();
        for i in 1..=1000 {
            histogram.saturating_record(i * 1_000_000);
        }
        let latency = Latency::of(&histogram);
        assert!((latency.p50_ms - 500.0).abs() < 1.0, "{latency:?}");
        assert!((latency.p99_ms - 990.0).abs() < 1.0, "{latency:?}");
        assert!((latency.max_ms - 1000.0).abs() < 1.0, "{latency:?}");
    }
}
