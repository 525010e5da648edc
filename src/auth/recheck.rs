//! Who is connected is asked about again, so that a logout ends what a login began.
//!
//! One question stands for all connections that it let in: those that share an [`Identity`] are found by that itself, not
//! by what is in it, and the question is kept for as long as anybody holds it.

use super::Attendance;
use crate::broker::{Broker, Identity};
use crate::clock::Millis;
use crate::protocol::CloseReason;
use crate::redis::Randomness;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// Below this many questions nobody looks whose connections have gone.
const SWEEP_MIN: usize = 1024;
/// How often is looked for questions that are due.
const PAUSE: Duration = Duration::from_millis(250);

/// What the next answer means for those whom the first one let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rechecked {
    /// Nothing but when they end, in seconds since the Unix epoch.
    Stays(Option<u64>),
    /// That they are closed.
    Ends(CloseReason),
}

/// Who asks again, and about whom.
pub(super) trait Recheck: Send + Sync + 'static {
    /// What is asked.
    type Question: Send + 'static;

    /// How many questions may be under way.
    fn together(&self) -> usize;

    /// A question that is due, of an identity that somebody holds: a connection, one that is being let in, or an answer
    /// that is remembered.
    fn take_due(&self) -> Option<(Arc<Identity>, Self::Question)>;

    /// Has a question that was due wait for the next time, unasked.
    fn put_off(&self, identity: &Arc<Identity>, question: Self::Question);

    /// Asks again; what that means for those who hold the identity, if there is an answer.
    fn ask_again(
        self: Arc<Self>,
        identity: Arc<Identity>,
        question: Self::Question,
    ) -> impl Future<Output = Option<(Arc<Identity>, Rechecked)>> + Send;
}

/// Asks whatever is due of those who are connected, and closes whom the answers close.
///
/// # Cancel safety
/// Dropping it ends that.
pub(super) async fn ask_due<R: Recheck>(
    recheck: Arc<R>,
    attendance: Arc<Attendance>,
    broker: Arc<Broker>,
) {
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut asked = JoinSet::new();
    loop {
        while asked.len() < recheck.together()
            && let Some((identity, question)) = recheck.take_due()
        {
            // Nobody is connected, but whoever comes by what is remembered may be.
            if attendance.holders(&identity).is_empty() {
                recheck.put_off(&identity, question);
            } else {
                asked.spawn(Arc::clone(&recheck).ask_again(identity, question));
            }
        }
        tokio::select! {
            Some(answered) = asked.join_next() => {
                let Some((identity, rechecked)) = answered.ok().flatten() else {
                    continue;
                };
                match rechecked {
                    Rechecked::Stays(until) => attendance.end_at(&identity, until),
                    Rechecked::Ends(reason) => {
                        for author in attendance.holders(&identity) {
                            broker.end(author, reason, None);
                        }
                    }
                }
            }
            _tick = ticks.tick() => {}
        }
    }
}

/// Questions by the time at which they are due.
#[derive(Debug)]
pub(super) struct Rechecks<Q> {
    randomness: Randomness,
    state: Mutex<DueQuestions<Q>>,
}

#[derive(Debug)]
struct DueQuestions<Q> {
    by_due: BTreeMap<(Millis, u64), DueQuestion<Q>>,
    number: u64,
    /// How many there may be before those whose connections have gone are looked for.
    sweep_at: usize,
}

#[derive(Debug)]
struct DueQuestion<Q> {
    identity: Weak<Identity>,
    question: Q,
}

impl<Q> Rechecks<Q> {
    /// None yet.
    pub(super) fn new(randomness: Randomness) -> Self {
        let state = DueQuestions {
            by_due: BTreeMap::new(),
            number: 0,
            sweep_at: SWEEP_MIN,
        };
        Self {
            randomness,
            state: Mutex::new(state),
        }
    }

    /// Has a question asked again that let `identity` in, `interval` from `now`, up to a tenth earlier or later: those of
    /// one moment spread.
    pub(super) fn add(
        &self,
        identity: Weak<Identity>,
        question: Q,
        interval: Duration,
        now: Millis,
    ) {
        let millis = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
        let fifth = (millis / 5).max(1);
        let due = millis - millis / 10 + self.randomness.number() % fifth;
        let mut state = self.state.lock();
        state.number += 1;
        let at = (now + Duration::from_millis(due), state.number);
        state.by_due.insert(at, DueQuestion { identity, question });
        if state.by_due.len() > state.sweep_at {
            state
                .by_due
                .retain(|_, due| due.identity.strong_count() > 0);
            state.sweep_at = state.by_due.len().saturating_mul(2).max(SWEEP_MIN);
        }
    }

    /// A question that is due, of an identity that somebody holds.
    pub(super) fn take_due(&self, now: Millis) -> Option<(Arc<Identity>, Q)> {
        let mut state = self.state.lock();
        loop {
            let first = state.by_due.first_entry()?;
            if first.key().0 > now {
                return None;
            }
            let due = first.remove();
            if let Some(identity) = due.identity.upgrade() {
                return Some((identity, due.question));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::ConnectionKey;
    use crate::broker::uplink::Author;
    use crate::config::BrokerSettings;
    use std::collections::VecDeque;

    /// Questions that are all due, and the numbers of those that were asked and put off.
    #[derive(Default)]
    struct Asked {
        due: Mutex<VecDeque<(Arc<Identity>, u32)>>,
        asked: Mutex<Vec<u32>>,
        put_off: Mutex<Vec<u32>>,
    }

    impl Recheck for Asked {
        type Question = u32;

        fn together(&self) -> usize {
            8
        }

        fn take_due(&self) -> Option<(Arc<Identity>, u32)> {
            self.due.lock().pop_front()
        }

        fn put_off(&self, _identity: &Arc<Identity>, question: u32) {
            self.put_off.lock().push(question);
        }

        async fn ask_again(
            self: Arc<Self>,
            _identity: Arc<Identity>,
            question: u32,
        ) -> Option<(Arc<Identity>, Rechecked)> {
            self.asked.lock().push(question);
            None
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_asks_again_about_an_identity_that_no_connection_holds() {
        let (recheck, attendance) = (Arc::new(Asked::default()), Arc::new(Attendance::default()));
        let identities = [(); 3].map(|()| Arc::new(Identity::default()));
        let author = |connection| Author {
            worker: 0,
            connection: ConnectionKey(connection),
        };
        attendance.enter(author(1), Arc::clone(&identities[1]));
        attendance.enter(author(2), Arc::clone(&identities[2]));
        attendance.leave(author(2));
        recheck.due.lock().extend(identities.into_iter().zip(0..));
        let broker = Broker::new(&BrokerSettings::default(), Vec::new(), None);
        let task = ask_due(Arc::clone(&recheck), attendance, Arc::new(broker));
        drop(tokio::time::timeout(PAUSE * 2, task).await);
        assert_eq!(*recheck.asked.lock(), [1]);
        assert_eq!(*recheck.put_off.lock(), [0, 2]);
    }
}
