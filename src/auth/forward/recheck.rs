//! Who is connected is asked about again, at `auth.forward.recheck`.
//!
//! One question stands for all connections that it let in: those of one browser in one room share an [`Identity`], and
//! the question is kept for as long as anybody holds that. Connections are found by the identity, not by what is in it.
//!
//! An identity is fixed for its connection: what the next answer says of role and rooms is compared, not taken. When the
//! identity ends may change.

use super::question::SiteQuestion;
use crate::broker::Identity;
use crate::clock::Millis;
use crate::protocol::CloseReason;
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
    /// The site had not said who it was, as it could not be asked (`auth.forward.on_error`).
    pub(super) is_unsaid: bool,
}

/// What the site's next answer means for those whom the first one let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rechecked {
    /// Nothing but when they end, in seconds since the Unix epoch.
    Stays(Option<u64>),
    /// That they are closed.
    Ends(CloseReason),
}

impl OpenQuestion {
    /// `said` by the site of whom it, or nobody, had said `identity` before.
    pub(super) fn compare(&self, identity: &Identity, said: &Identity) -> Rechecked {
        let (business_id, session_id) = self.question.ids();
        // Whoever came in as one user does not stay as another. Who came in while nobody could be asked was nobody.
        let is_another = identity.user.is_some() && identity.user != said.user;
        if is_another || !said.rooms.admits(business_id, session_id) {
            Rechecked::Ends(CloseReason::NotAllowed)
        } else if !self.is_unsaid && identity.role != said.role {
            Rechecked::Ends(CloseReason::IdentityChanged)
        } else {
            Rechecked::Stays(said.expires_at)
        }
    }
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
    pub(super) fn take_due(&self, now: Millis) -> Option<(Arc<Identity>, OpenQuestion)> {
        let mut state = self.state.lock();
        loop {
            let first = state.by_due.first_entry()?;
            if first.key().0 > now {
                return None;
            }
            let watched = first.remove();
            if let Some(identity) = watched.identity.upgrade() {
                return Some((identity, watched));
            }
        }
    }
}
