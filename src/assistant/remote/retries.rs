//! When a question is asked again, and how often in all.

use crate::clock::wall;
use crate::redis::Randomness;
use hyper::HeaderMap;
use hyper::header::RETRY_AFTER;
use parking_lot::Mutex;
use std::time::{Duration, UNIX_EPOCH};

/// The first pause; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest pause that nobody asked for.
const PAUSE_MAX: Duration = Duration::from_secs(8);
/// Answers that give one retry back.
const ANSWERS_PER_RETRY: usize = 10;

/// Retries that are left, over all questions: when a server is down, asking it more is what it needs least.
#[derive(Debug)]
pub(super) struct RetryBudget {
    /// In tenths of a retry.
    left: Mutex<usize>,
    most: usize,
}

impl RetryBudget {
    pub(super) fn new(retries: usize) -> Self {
        let most = retries * ANSWERS_PER_RETRY;
        Self {
            left: Mutex::new(most),
            most,
        }
    }

    /// Takes one, if there is one.
    pub(super) fn take(&self) -> bool {
        let mut left = self.left.lock();
        let rest = left.checked_sub(ANSWERS_PER_RETRY);
        *left = rest.unwrap_or(*left);
        rest.is_some()
    }

    /// A question was answered.
    pub(super) fn earn(&self) {
        let mut left = self.left.lock();
        *left = (*left + 1).min(self.most);
    }
}

/// The pause before the `retry`th retry (from 0): up to a quarter shorter at random, so that many do not come back at
/// once. A server that says when is believed.
pub(super) fn pause(retry: usize, after: Option<Duration>, randomness: &Randomness) -> Duration {
    let doubled = PAUSE.saturating_mul(1 << retry.min(10)).min(PAUSE_MAX);
    let least = after.unwrap_or(doubled * 3 / 4);
    // A quarter of the pause, in parts of a thousand.
    let part = u32::try_from(randomness.number() % 1_000).unwrap_or_default();
    least.saturating_add(doubled / 4 * part / 1_000)
}

/// How long the server wants to be left alone (RFC 9110 §10.2.3): seconds, or a date.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    after(headers.get(RETRY_AFTER)?.to_str().ok()?.trim(), wall().0)
}

fn after(text: &str, now: u64) -> Option<Duration> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More than can be counted is longer than anybody waits.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    let at = at.duration_since(UNIX_EPOCH).ok()?;
    Some(at.saturating_sub(Duration::from_secs(now)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_spent_and_earned_back_by_answers() {
        let budget = RetryBudget::new(2);
        assert!(budget.take() && budget.take() && !budget.take());
        for _ in 0..9 {
            budget.earn();
        }
        assert!(!budget.take());
        budget.earn();
        assert!(budget.take() && !budget.take());
        for _ in 0..1_000 {
            budget.earn();
        }
        assert!(budget.take() && budget.take() && !budget.take());
        assert!(!RetryBudget::new(0).take());
    }

    #[test]
    fn pauses_double_with_jitter_and_a_server_that_says_when_is_waited_for() {
        let randomness = Randomness::seeded(7);
        for (retry, most) in [(0, 500), (1, 1_000), (2, 2_000), (9, 8_000), (60, 8_000)] {
            let pauses: Vec<u128> = (0..50)
                .map(|_| pause(retry, None, &randomness).as_millis())
                .collect();
            let (shortest, longest) = (pauses.iter().min(), pauses.iter().max());
            assert!(shortest >= Some(&(most * 3 / 4)) && longest <= Some(&most));
            assert_ne!(shortest, longest);
        }
        let told = pause(0, Some(Duration::from_secs(3)), &randomness);
        assert!((3_000..=3_125).contains(&told.as_millis()), "{told:?}");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        for (text, expected) in [
            ("0", Some(0)),
            ("120", Some(120)),
            ("99999999999999999999", Some(u64::MAX)),
            (date, Some(37)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            let read = after(text, 784_111_740);
            assert_eq!(read, expected.map(Duration::from_secs), "{text:?}");
        }
        assert_eq!(after(date, u64::MAX), Some(Duration::ZERO), "long ago");
    }
}
