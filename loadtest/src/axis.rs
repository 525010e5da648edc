//! Where an axis ends and what is written on it: multiples of 1, 2 or 5 times a power of ten.

/// An axis has at most about this many intervals.
const INTERVALS: f64 = 5.0;

/// One axis.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// Ascending: value and text; the first is `low`, the last `high`.
    pub(crate) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// The axis that shows zero and all of `values`; what is no number is not shown.
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Self {
        let finite = values.filter(|value| value.is_finite());
        let (low, high) = finite.fold((0.0_f64, 0.0_f64), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        let high = if high > low { high } else { low + 1.0 };
        let (digit, exponent) = step((high - low) / INTERVALS);
        let unit = digit * 10f64.powi(exponent);
        // Rounding must not add an interval to 0.3, which is 3 times 0.1 but for its last bit.
        let first = (low / unit + 1e-9).floor();
        let last = (high / unit - 1e-9).ceil().max(first + 1.0);
        let value = |number: f64| {
            // Divided, not multiplied by 0.1: 3 / 10 is 0.3.
            match exponent {
                0.. => number * digit * 10f64.powi(exponent),
                _ => number * digit / 10f64.powi(-exponent),
            }
        };
        let (scale, suffix) = match value(last).max(-value(first)) {
            most if most >= 1e9 => (9, "G"),
            most if most >= 1e6 => (6, "M"),
            most if most >= 1e4 => (3, "k"),
            _ => (0, ""),
        };
        let digits = usize::try_from(scale - exponent).unwrap_or(0);
        let mut ticks = Vec::new();
        let mut number = first;
        while number <= last {
            let scaled = value(number) / 10f64.powi(scale);
            let text = if number == 0.0 {
                "0".to_owned()
            } else {
                format!("{scaled:.digits$}{suffix}")
            };
            ticks.push((value(number), text));
            number += 1.0;
        }
        Self {
            low: value(first),
            high: value(last),
            ticks,
        }
    }

    /// Where a value stands: 0 at the low end, 1 at the high one.
    pub(crate) fn share(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }
}

/// The smallest of 1, 2 and 5 times a power of ten that is no smaller than `least`: the digit and the exponent.
fn step(least: f64) -> (f64, i32) {
    let exponent = least.log10().floor() as i32;
    let rest = least / 10f64.powi(exponent);
    match rest {
        r if r <= 1.0 + 1e-9 => (1.0, exponent),
        r if r <= 2.0 + 1e-9 => (2.0, exponent),
        r if r <= 5.0 + 1e-9 => (5.0, exponent),
        _ => (1.0, exponent + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_for_every_range() {
        let table: &[(&[f64], &[&str])] = &[
            (&[0.0, 0.0013], &["0", "0.0005", "0.0010", "0.0015"]),
            (&[0.0, 1.0], &["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
            (&[0.3], &["0", "0.1", "0.2", "0.3"]),
            (&[3.0, 97.0], &["0", "20", "40", "60", "80", "100"]),
            (&[10.0], &["0", "2", "4", "6", "8", "10"]),
            (&[7.3], &["0", "2", "4", "6", "8"]),
            (&[29_900.0], &["0", "10k", "20k", "30k"]),
            (&[12_345.0], &["0", "5k", "10k", "15k"]),
            (&[1e6], &["0", "0.2M", "0.4M", "0.6M", "0.8M", "1.0M"]),
            (&[1_234_567.0], &["0", "0.5M", "1.0M", "1.5M"]),
            (&[3.1e9], &["0", "1G", "2G", "3G", "4G"]),
            (&[5.0, 5.0], &["0", "1", "2", "3", "4", "5"]),
            (&[-3.0, 8.0], &["-5", "0", "5", "10"]),
            (
                &[-0.5, -0.5],
                &["-0.5", "-0.4", "-0.3", "-0.2", "-0.1", "0"],
            ),
            (&[], &["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
            (&[0.0, 0.0], &["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
            (
                &[f64::NAN, f64::INFINITY],
                &["0", "0.2", "0.4", "0.6", "0.8", "1.0"],
            ),
            (&[f64::NAN, 40.0], &["0", "10", "20", "30", "40"]),
        ];
        for (values, wanted) in table {
            let axis = Axis::of(values.iter().copied());
            let texts: Vec<&str> = axis.ticks.iter().map(|(_, text)| text.as_str()).collect();
            assert_eq!(texts, *wanted, "{values:?}");
            for value in values.iter().filter(|value| value.is_finite()) {
                assert!(
                    (-1e-9..=1.0 + 1e-9).contains(&axis.share(*value)),
                    "{value}"
                );
            }
        }
    }

    #[test]
    fn no_range_has_too_many_ticks_or_two_of_one_text() {
        let mut most = 1e-12;
        while most < 1e15 {
            let axis = Axis::of([most].into_iter());
            assert!((2..=7).contains(&axis.ticks.len()), "{most}: {axis:?}");
            let texts: std::collections::BTreeSet<_> =
                axis.ticks.iter().map(|(_, text)| text).collect();
            assert_eq!(texts.len(), axis.ticks.len(), "{most}: {axis:?}");
            most *= 1.37;
        }
    }
}
