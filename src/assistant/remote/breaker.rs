//! Whether a server that has failed is asked again: after so many failures in a row nobody is, for a while; then one
//! question tries.

use parking_lot::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// Told of every change between open and closed.
type OnChange = Box<dyn Fn(bool) + Send + Sync>;

/// One server's.
pub(super) struct Breaker {
    failures_max: usize,
    pause: Duration,
    state: Mutex<BreakerState>,
    /// Called without the lock, with whether nobody is asked from here on.
    on_change: OnChange,
}

#[derive(Debug, Default)]
struct BreakerState {
    /// In a row.
    failures: usize,
    /// Nobody asks before this; whoever comes then tries.
    open_until: Option<Instant>,
    is_tried: bool,
}

/// Leave to ask once. Dropping it says nothing of the server.
pub(super) struct Pass<'b> {
    breaker: &'b Breaker,
    is_trial: bool,
}

impl Breaker {
    pub(super) fn new(failures_max: usize, pause: Duration, on_change: OnChange) -> Self {
        Self {
            failures_max,
            pause,
            state: Mutex::default(),
            on_change,
        }
    }

    /// May somebody ask now?
    pub(super) fn pass(&self, now: Instant) -> Option<Pass<'_>> {
        let mut state = self.state.lock();
        let is_trial = match state.open_until {
            None => false,
            Some(until) if now < until || state.is_tried => return None,
            Some(_) => true,
        };
        state.is_tried |= is_trial;
        Some(Pass {
            breaker: self,
            is_trial,
        })
    }

    /// Is nobody asked, or one question as a trial?
    pub(super) fn is_open(&self) -> bool {
        self.state.lock().open_until.is_some()
    }
}

impl Pass<'_> {
    /// The server works.
    pub(super) fn succeeded(self) {
        let was_open = {
            let mut state = self.breaker.state.lock();
            state.failures = 0;
            state.open_until.take().is_some()
        };
        if was_open {
            (self.breaker.on_change)(false);
        }
    }

    /// The server does not work.
    pub(super) fn failed(self, now: Instant) {
        let opens = {
            let mut state = self.breaker.state.lock();
            state.failures = state.failures.saturating_add(1);
            let is_open = state.open_until.is_some();
            let opens = !is_open && state.failures >= self.breaker.failures_max;
            // One that was under way when the breaker opened makes the pause no longer.
            if opens || self.is_trial {
                state.open_until = Some(now + self.breaker.pause);
            }
            opens
        };
        if opens {
            (self.breaker.on_change)(true);
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.is_trial {
            self.breaker.state.lock().is_tried = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const PAUSE: Duration = Duration::from_secs(10);

    fn breaker() -> (Breaker, Arc<Mutex<Vec<bool>>>) {
        let changes: Arc<Mutex<Vec<bool>>> = Arc::default();
        let noted = Arc::clone(&changes);
        let breaker = Breaker::new(2, PAUSE, Box::new(move |open| noted.lock().push(open)));
        (breaker, changes)
    }

    #[test]
    fn failures_in_a_row_open_it_for_the_pause_and_then_one_question_tries() {
        let ((breaker, changes), now) = (breaker(), Instant::now());
        breaker.pass(now).unwrap().failed(now);
        breaker.pass(now).unwrap().succeeded();
        breaker.pass(now).unwrap().failed(now);
        assert!(!breaker.is_open(), "not in a row");
        breaker.pass(now).unwrap().failed(now);
        assert!(breaker.is_open() && breaker.pass(now).is_none());
        let later = now + PAUSE;
        let trial = breaker.pass(later).unwrap();
        assert!(breaker.pass(later).is_none(), "one at a time");
        trial.failed(later);
        assert!(breaker.pass(later).is_none(), "the pause anew");
        let later = later + PAUSE;
        breaker.pass(later).unwrap().succeeded();
        assert!(!breaker.is_open() && breaker.pass(later).is_some());
        assert_eq!(*changes.lock(), [true, false]);
    }

    #[test]
    fn a_trial_that_says_nothing_leaves_the_next_one_to_try() {
        let ((breaker, _), now) = (breaker(), Instant::now());
        for _ in 0..2 {
            breaker.pass(now).unwrap().failed(now);
        }
        let later = now + PAUSE;
        drop(breaker.pass(later).unwrap());
        assert!(breaker.is_open());
        breaker.pass(later).unwrap().succeeded();
        assert!(!breaker.is_open());
    }

    #[test]
    fn those_under_way_when_it_opens_neither_prolong_the_pause_nor_close_it_by_failing() {
        let ((breaker, changes), now) = (breaker(), Instant::now());
        let late: Vec<_> = (0..4).map(|_| breaker.pass(now).unwrap()).collect();
        for (second, pass) in late.into_iter().enumerate() {
            pass.failed(now + Duration::from_secs(second as u64));
        }
        assert_eq!(*changes.lock(), [true]);
        assert!(breaker.pass(now + Duration::from_secs(11)).is_some());
    }
}
