//! Who is connected is asked about again, at `auth.forward.recheck`.
//!
//! One question stands for all connections that it let in: those of one browser in one room share an [`Identity`], and
//! the question is kept for as long as anybody holds that. Connections are found by the identity, not by what is in it.

use super::question::SiteQuestion;
use crate::broker::Identity;
use crate::clock::Millis;
use crate::redis::Randomness;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Below this many questions nobody looks whose connections have gone.
const SWEEP_MIN: usize = 1024;

/// One question that let somebody in.
#[derive(Debug)]
pub(super) struct OpenQuestion {
    pub(super) identity: Weak<Identity>,
    pub(super) question: SiteQuestion,
}

/// Questions by the time at which they are due.
#[derive(Debug)]
pub(super) struct Rechecks {
    interval: Duration,
    randomness: Randomness,
    state: Mutex<DueQuestions>,
}

#[derive(Debug, Default)]
struct DueQuestions {
    by_due: BTreeMap<(Millis, u64), OpenQuestion>,
    number: u64,
    /// How many there may be before those whose connections have gone are looked for.
    sweep_at: usize,
}

impl Rechecks {
    /// Asks at this interval.
    pub(super) fn new(interval: Duration, randomness: Randomness) -> Self {
        let state = DueQuestions {
            sweep_at: SWEEP_MIN,
            ..DueQuestions::default()
        };
        Self {
            interval,
            randomness,
            state: Mutex::new(state),
        }
    }

    /// Has a question asked again, an interval from `now`, up to a tenth earlier or later: those of one moment spread.
    pub(super) fn add(&self, watched: OpenQuestion, now: Millis) {
        let millis = u64::try_from(self.interval.as_millis()).unwrap_or(u64::MAX);
        let fifth = (millis / 5).max(1);
        let due = millis - millis / 10 + self.randomness.number() % fifth;
        let mut state = self.state.lock();
        state.number += 1;
        let at = (now + Duration::from_millis(due), state.number);
        state.by_due.insert(at, watched);
        if state.by_due.len() > state.sweep_at {
            state
                .by_due
                .retain(|_, watched| watched.identity.strong_count() > 0);
            state.sweep_at = state.by_due.len().saturating_mul(2).max(SWEEP_MIN);
        }
    }

    /// A question that is due, of whose connections one is there.
    pub(super) fn take_due(&self, now: Millis) -> Option<(Arc<Identity>, SiteQuestion)> {
        let mut state = self.state.lock();
        loop {
            let first = state.by_due.first_entry()?;
            if first.key().0 > now {
                return None;
            }
            let watched = first.remove();
            if let Some(identity) = watched.identity.upgrade() {
                return Some((identity, watched.question));
            }
        }
    }
}
