//! Whether a server that has failed is asked again: after so many questions in a row that failed nobody asks, for a while;
//! then one question tries.
//!
//! What a server fails over may be one customer's own doing. Questions of one room never open the breaker, and those of one
//! business open it for that business alone. Customers may make up businesses, of which nobody asks anything again: what was
//! opened for one lapses then, or it would say for ever that the server fails, and with the next business that fails open for
//! all.

use crate::name::RoomName;
use parking_lot::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// Whose questions are not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unasked {
    /// Those of one business.
    Business,
    /// All.
    All,
}

/// Pauses after the first in which a business must have asked nothing until what was opened for it lapses.
const LAPSE_PAUSES: u32 = 4;

/// Whose questions are asked has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BreakerChange {
    /// These are not asked.
    Opened(Unasked),
    /// All are asked: the server has answered.
    Closed,
    /// All are asked: nobody is left whose questions were not.
    Lapsed,
}

/// Told of every change.
type OnChange = Box<dyn Fn(BreakerChange) + Send + Sync>;

/// One server's.
pub(super) struct Breaker {
    failures_max: usize,
    pause: Duration,
    state: Mutex<BreakerState>,
    /// Called without the lock.
    on_change: OnChange,
}

#[derive(Debug, Default)]
struct BreakerState {
    /// Questions that failed in a row.
    failures: usize,
    /// Whose these were; `None` if there are none.
    failing: Option<Extent>,
    open: Option<OpenBreaker>,
}

#[derive(Debug)]
struct OpenBreaker {
    extent: Extent,
    /// Nobody asks before this; whoever comes then tries.
    until: Instant,
    is_tried: bool,
}

/// Whose questions.
#[derive(Clone, Debug)]
enum Extent {
    /// Those of this room.
    Room(RoomName),
    /// Those of this room's business.
    Business(RoomName),
    /// Those of several businesses, or of all.
    All,
}

impl Extent {
    /// The same with those of this room.
    fn with(self, room: &RoomName) -> Self {
        match self {
            Self::Room(known) if known == *room => Self::Room(known),
            Self::Room(known) | Self::Business(known) if is_one_business(&known, room) => {
                Self::Business(known)
            }
            _ => Self::All,
        }
    }

    fn has(&self, room: &RoomName) -> bool {
        match self {
            Self::Room(known) => known == room,
            Self::Business(known) => is_one_business(known, room),
            Self::All => true,
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match other {
            Self::Room(room) | Self::Business(room) => self.has(room),
            Self::All => matches!(self, Self::All),
        }
    }

    const fn unasked(&self) -> Unasked {
        match self {
            Self::Room(_) | Self::Business(_) => Unasked::Business,
            Self::All => Unasked::All,
        }
    }
}

fn is_one_business(one: &RoomName, other: &RoomName) -> bool {
    one.business_id() == other.business_id()
}

/// Leave to ask one question, as often as it takes. Dropping it says nothing of the server.
pub(super) struct Pass<'b> {
    breaker: &'b Breaker,
    room: &'b RoomName,
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

    /// May a question of this room be asked now?
    pub(super) fn pass<'b>(&'b self, room: &'b RoomName, now: Instant) -> Option<Pass<'b>> {
        self.lapse(now);
        let mut state = self.state.lock();
        let open = state.open.as_mut().filter(|open| open.extent.has(room));
        let is_trial = match open {
            None => false,
            Some(open) if now < open.until || open.is_tried => return None,
            Some(open) => {
                open.is_tried = true;
                true
            }
        };
        Some(Pass {
            breaker: self,
            room,
            is_trial,
        })
    }

    /// Whose questions are not asked, but for one as a trial; `None`: all are asked.
    pub(super) fn unasked(&self, now: Instant) -> Option<Unasked> {
        self.lapse(now);
        let state = self.state.lock();
        state.open.as_ref().map(|open| open.extent.unasked())
    }

    /// Are questions of this room not asked, but for one as a trial?
    pub(super) fn is_open_to(&self, room: &RoomName) -> bool {
        let state = self.state.lock();
        state
            .open
            .as_ref()
            .is_some_and(|open| open.extent.has(room))
    }

    fn lapse(&self, now: Instant) {
        let wait = self.pause.saturating_mul(LAPSE_PAUSES);
        if self.state.lock().lapse(now, wait) {
            (self.on_change)(BreakerChange::Lapsed);
        }
    }
}

impl BreakerState {
    /// Forgets a business that could have tried for so long, and has not; was there one?
    fn lapse(&mut self, now: Instant, wait: Duration) -> bool {
        let lapsed = self.open.take_if(|open| {
            open.extent.unasked() == Unasked::Business
                && !open.is_tried
                && now.saturating_duration_since(open.until) >= wait
        });
        if lapsed.is_some() {
            // Nor is it the beginning of what fails next.
            (self.failures, self.failing) = (0, None);
        }
        lapsed.is_some()
    }

    /// Opens if too much has failed, and not over one room alone; whose questions are not asked now, if those are more than
    /// before.
    fn trip(&mut self, failures_max: usize, until: Instant) -> Option<Unasked> {
        let failing = match &self.failing {
            None | Some(Extent::Room(_)) => return None,
            Some(_) if self.failures < failures_max => return None,
            Some(failing) => failing,
        };
        let extent = match &self.open {
            None => failing.clone(),
            // Those under way when the breaker opened make the pause no longer.
            Some(open) if open.extent.covers(failing) => return None,
            Some(_) => Extent::All,
        };
        let unasked = extent.unasked();
        self.open = Some(OpenBreaker {
            extent,
            until,
            is_tried: false,
        });
        Some(unasked)
    }
}

impl Pass<'_> {
    /// The server works at the answer: a trial has succeeded, and the others need not wait for the answer's end.
    pub(super) fn works(&mut self) {
        if std::mem::take(&mut self.is_trial) {
            self.note_success();
        }
    }

    /// The question was answered.
    pub(super) fn succeeded(self) {
        self.note_success();
    }

    fn note_success(&self) {
        let closes = {
            let mut state = self.breaker.state.lock();
            (state.failures, state.failing) = (0, None);
            state.open.take_if(|open| open.extent.has(self.room))
        };
        if closes.is_some() {
            (self.breaker.on_change)(BreakerChange::Closed);
        }
    }

    /// The question was not answered, and the server is at fault.
    pub(super) fn failed(self, now: Instant) {
        self.breaker.lapse(now);
        let until = now + self.breaker.pause;
        let change = {
            let mut state = self.breaker.state.lock();
            state.failures = state.failures.saturating_add(1);
            state.failing = Some(match state.failing.take() {
                Some(failing) => failing.with(self.room),
                None => Extent::Room(self.room.clone()),
            });
            if self.is_trial
                && let Some(open) = &mut state.open
            {
                open.until = until;
            }
            state.trip(self.breaker.failures_max, until)
        };
        if let Some(unasked) = change {
            (self.breaker.on_change)(BreakerChange::Opened(unasked));
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.is_trial
            && let Some(open) = &mut self.breaker.state.lock().open
        {
            open.is_tried = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::BreakerChange::{Closed, Lapsed, Opened};
    use super::*;
    use std::sync::Arc;

    const PAUSE: Duration = Duration::from_secs(10);

    type Changes = Arc<Mutex<Vec<BreakerChange>>>;

    fn breaker() -> (Breaker, Changes) {
        let changes = Changes::default();
        let noted = Arc::clone(&changes);
        let note = move |change| noted.lock().push(change);
        (Breaker::new(2, PAUSE, Box::new(note)), changes)
    }

    fn room(business: &str, session: &str) -> RoomName {
        RoomName::chat(business, session).unwrap()
    }

    /// The first room of each of two businesses.
    fn two() -> [RoomName; 2] {
        [room("1", "a"), room("2", "a")]
    }

    fn fail(breaker: &Breaker, room: &RoomName, now: Instant) {
        breaker.pass(room, now).unwrap().failed(now);
    }

    fn is_asked(breaker: &Breaker, room: &RoomName, now: Instant) -> bool {
        breaker.pass(room, now).is_some()
    }

    #[test]
    fn failures_in_a_row_open_it_for_the_pause_and_then_one_question_tries() {
        let ((breaker, changes), now, [one, other]) = (breaker(), Instant::now(), two());
        fail(&breaker, &one, now);
        breaker.pass(&one, now).unwrap().succeeded();
        fail(&breaker, &other, now);
        assert_eq!(breaker.unasked(now), None, "not in a row");
        fail(&breaker, &one, now);
        assert_eq!(breaker.unasked(now), Some(Unasked::All));
        assert!(!is_asked(&breaker, &room("3", "a"), now) && breaker.is_open_to(&one));
        let later = now + PAUSE;
        let trial = breaker.pass(&one, later).unwrap();
        assert!(!is_asked(&breaker, &other, later), "one at a time");
        trial.failed(later);
        assert!(!is_asked(&breaker, &one, later), "the pause anew");
        let later = later + PAUSE;
        breaker.pass(&one, later).unwrap().succeeded();
        assert!(breaker.unasked(now).is_none() && is_asked(&breaker, &other, later));
        assert_eq!(*changes.lock(), [Opened(Unasked::All), Closed]);
    }

    #[test]
    fn one_room_never_opens_it_and_one_business_opens_it_for_itself_alone() {
        let ((breaker, changes), now, [one, other]) = (breaker(), Instant::now(), two());
        for _ in 0..99 {
            fail(&breaker, &one, now);
        }
        assert!(breaker.unasked(now).is_none() && is_asked(&breaker, &one, now));
        fail(&breaker, &room("1", "b"), now);
        assert_eq!(breaker.unasked(now), Some(Unasked::Business));
        assert!(!is_asked(&breaker, &one, now) && !is_asked(&breaker, &room("1", "c"), now));
        breaker.pass(&other, now).unwrap().succeeded();
        assert!(
            breaker.is_open_to(&one),
            "another business says nothing of this one"
        );
        assert!(!breaker.is_open_to(&other));
        breaker.pass(&one, now + PAUSE).unwrap().succeeded();
        assert!(is_asked(&breaker, &one, now));
        assert_eq!(*changes.lock(), [Opened(Unasked::Business), Closed]);
    }

    #[test]
    fn a_second_business_that_fails_opens_it_for_all() {
        let ((breaker, changes), now, [one, other]) = (breaker(), Instant::now(), two());
        for room in [&one, &room("1", "b"), &other] {
            fail(&breaker, room, now);
        }
        assert!(!is_asked(&breaker, &room("3", "a"), now));
        breaker.pass(&other, now + PAUSE).unwrap().succeeded();
        assert_eq!(breaker.unasked(now), None);
        let expected = [Opened(Unasked::Business), Opened(Unasked::All), Closed];
        assert_eq!(*changes.lock(), expected);
    }

    #[test]
    fn a_trial_has_succeeded_at_its_first_word_and_what_breaks_off_then_counts_anew() {
        let ((breaker, _), now, [one, other]) = (breaker(), Instant::now(), two());
        fail(&breaker, &one, now);
        fail(&breaker, &other, now);
        let later = now + PAUSE;
        let mut trial = breaker.pass(&one, later).unwrap();
        assert!(!is_asked(&breaker, &other, later));
        trial.works();
        assert!(
            is_asked(&breaker, &other, later),
            "while the answer goes on"
        );
        trial.failed(later);
        assert!(is_asked(&breaker, &other, later));
        let mut plain = breaker.pass(&other, later).unwrap();
        plain.works();
        plain.failed(later);
        assert!(
            !is_asked(&breaker, &one, later),
            "a word alone is no success"
        );
    }

    #[test]
    fn a_business_that_asks_no_more_is_forgotten_and_is_nothing_of_what_others_fail_over() {
        let ((breaker, changes), now, [made_up, one]) = (breaker(), Instant::now(), two());
        fail(&breaker, &made_up, now);
        fail(&breaker, &room("1", "b"), now);
        let tried = now + PAUSE * LAPSE_PAUSES;
        assert_eq!(breaker.unasked(tried), Some(Unasked::Business));
        let (other, later) = (room("2", "b"), now + PAUSE * (LAPSE_PAUSES + 1));
        assert_eq!(breaker.unasked(later), None);
        for room in [&one, &other] {
            fail(&breaker, room, later);
        }
        assert_eq!(breaker.unasked(later), Some(Unasked::Business));
        assert!(is_asked(&breaker, &made_up, later) && is_asked(&breaker, &room("3", "a"), later));
        let business = Opened(Unasked::Business);
        assert_eq!(*changes.lock(), [business, Lapsed, business]);
    }

    #[test]
    fn what_is_open_for_all_lapses_never() {
        let ((breaker, _), now, [one, other]) = (breaker(), Instant::now(), two());
        fail(&breaker, &one, now);
        fail(&breaker, &other, now);
        assert_eq!(breaker.unasked(now + PAUSE * 99), Some(Unasked::All));
    }

    #[test]
    fn a_trial_that_says_nothing_leaves_the_next_one_to_try() {
        let ((breaker, _), now, [one, other]) = (breaker(), Instant::now(), two());
        fail(&breaker, &one, now);
        fail(&breaker, &other, now);
        let later = now + PAUSE;
        drop(breaker.pass(&one, later).unwrap());
        assert!(breaker.is_open_to(&one));
        breaker.pass(&other, later).unwrap().succeeded();
        assert!(!breaker.is_open_to(&one));
    }

    #[test]
    fn those_under_way_when_it_opens_neither_prolong_the_pause_nor_close_it_by_failing() {
        let ((breaker, changes), now, rooms) = (breaker(), Instant::now(), two());
        let rooms = [&rooms[0], &rooms[1], &rooms[0], &rooms[1]];
        let late = rooms.map(|room| breaker.pass(room, now).unwrap());
        for (second, pass) in late.into_iter().enumerate() {
            pass.failed(now + Duration::from_secs(second as u64));
        }
        assert_eq!(*changes.lock(), [Opened(Unasked::All)]);
        assert!(is_asked(&breaker, rooms[0], now + Duration::from_secs(11)));
    }
}
