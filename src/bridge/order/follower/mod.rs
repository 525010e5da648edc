//! Where a node is in one room's stream, and what an arrival means there.
//!
//! Redis numbers the entries of a stream from 1 without holes, so the next offset is delivered, a
//! known one dropped, and one that skips some says that the gap must be read first. While it is,
//! arrivals are only noted: what is read brings them too, in order. Nothing waits for what may never
//! come: after a read that began later than the last note, what was not in the stream is not there.
//!
//! A stream that begins anew (it expired, `FLUSHALL`, a failover to an empty replica) has another
//! epoch; one that went back (a failover to a replica that lagged) has lower offsets at later times.
//! Both are resets: counted, and followed from there.
//!
//! Pure. Bound: a few words, whatever arrives.

/// The place of an entry: which life of the stream, when, and its number there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Microseconds since 1970 at the stream's first entry; 0 before there is one.
    pub epoch: u64,
    /// Milliseconds since 1970, never less than those of the entry before.
    pub millis: u64,
    /// From 1; 0 before the first.
    pub offset: u64,
}

impl Position {
    /// Of a stream without entries.
    pub const START: Self = Self {
        epoch: 0,
        millis: 0,
        offset: 0,
    };

    /// Is it of the same life, and `other` or before it? What is neither before nor behind it is of
    /// a stream that went back.
    fn is_within(&self, other: &Self) -> bool {
        self.epoch == other.epoch && self.offset <= other.offset && self.millis <= other.millis
    }
}

/// What to do with an arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamStep {
    /// The arrival is the next one: deliver it.
    Next,
    /// The arrival has been delivered.
    Known,
    /// What is read will bring it.
    Later,
}

/// How a page ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// Arrivals are delivered from here on.
    Live,
    /// Read on.
    More,
}

/// What was found out on the way, for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Entries that are no longer there: counted exactly.
    pub missed: u64,
    /// The stream began anew or went back.
    pub resets: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FollowState {
    Live,
    /// The gap is to be read, or is being read.
    Reading,
}

/// One node's place in one room's stream.
#[derive(Clone, Debug)]
pub struct Follower {
    /// The last entry delivered; `None` until the first read says where the stream stands.
    at: Option<Position>,
    state: FollowState,
    /// The last arrival that was put off since the last request.
    noted: Option<Position>,
    /// Something may have been missed since then.
    is_doubted: bool,
    account: Account,
}

impl Default for Follower {
    fn default() -> Self {
        Self {
            at: None,
            state: FollowState::Reading,
            noted: None,
            is_doubted: false,
            account: Account::default(),
        }
    }
}

impl Follower {
    /// The last entry delivered.
    #[must_use]
    pub fn at(&self) -> Option<Position> {
        self.at
    }

    /// Are arrivals delivered, not put off?
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.state == FollowState::Live
    }

    /// What was found out since the last time.
    pub fn take_account(&mut self) -> Account {
        std::mem::take(&mut self.account)
    }

    /// Something may have been missed: read before anything newer is delivered. A page that is under way may have been
    /// read before that was said, so it is not the last.
    pub fn doubt(&mut self) {
        self.state = FollowState::Reading;
        self.is_doubted = true;
    }

    /// There is no stream for a room that begins here: what will be in it is for this node.
    pub fn begin_at_start(&mut self) {
        self.at.get_or_insert(Position::START);
    }

    /// An entry arrives. Without `may_deliver` it is put off.
    pub fn arrival(&mut self, entry: Position, may_deliver: bool) -> StreamStep {
        let Some(at) = self.at else {
            return self.put_off(entry);
        };
        if entry.is_within(&at) {
            return StreamStep::Known;
        }
        // One that is next by its number and earlier by its time was lost in a failover.
        let next = at.offset.checked_add(1);
        let is_next =
            entry.epoch == at.epoch && Some(entry.offset) == next && entry.millis >= at.millis;
        let is_first = entry.epoch > at.epoch && entry.offset == 1;
        if self.state == FollowState::Reading || !may_deliver || !(is_next || is_first) {
            return self.put_off(entry);
        }
        if is_first {
            self.begin_anew();
        }
        self.at = Some(entry);
        StreamStep::Next
    }

    fn put_off(&mut self, entry: Position) -> StreamStep {
        self.state = FollowState::Reading;
        self.noted = Some(entry);
        StreamStep::Later
    }

    /// The stream has another epoch: a reset, unless there was none before.
    fn begin_anew(&mut self) {
        let began = self.at.is_some_and(|at| at.epoch != 0);
        self.account.resets += u64::from(began);
    }

    /// After what to read; `None`: the tail alone, for a room that begins here. The page must be turned before
    /// the next request.
    pub fn request(&mut self) -> Option<Position> {
        // Whatever arrived before is in what will be read, or nowhere.
        self.noted = None;
        self.is_doubted = false;
        self.at
    }

    /// A page: where the stream stood, and the entries after the position asked for, of the same
    /// life as the tail. The caller delivers them all, in order.
    pub fn turn(&mut self, tail: Option<Position>, entries: &[Position]) -> Turned {
        match (self.at, tail) {
            // The room begins here: what is in the stream was for others.
            (None, tail) => self.at = Some(tail.unwrap_or(Position::START)),
            // The stream is gone: whatever comes next is of another life, and counted then.
            (Some(_), None) => {}
            (Some(at), Some(tail)) => self.take(at, tail, entries),
        }
        let is_at_tail = self.at.is_none_or(|at| tail.is_none_or(|tail| at == tail));
        let is_noted = self
            .noted
            .is_some_and(|noted| self.at.is_none_or(|at| !noted.is_within(&at)));
        if is_noted || self.is_doubted || !is_at_tail {
            self.state = FollowState::Reading;
            return Turned::More;
        }
        self.noted = None;
        self.state = FollowState::Live;
        Turned::Live
    }

    /// These are no longer there. Whoever writes to Redis may have numbered them as it pleased.
    fn miss(&mut self, entries: u64) {
        self.account.missed = self.account.missed.saturating_add(entries);
    }

    fn take(&mut self, at: Position, tail: Position, entries: &[Position]) {
        let mut last = at;
        if at.epoch != tail.epoch {
            self.begin_anew();
            last = Position {
                epoch: tail.epoch,
                offset: 0,
                ..at
            };
        }
        for entry in entries {
            if entry.offset <= last.offset {
                // The stream went back: these numbers were given out a second time.
                self.account.resets += 1;
            } else {
                self.miss(entry.offset - last.offset - 1);
            }
            last = *entry;
        }
        if entries.is_empty() && last != tail {
            // Nothing is newer than what was delivered, and yet it ends elsewhere: it went back.
            if last.epoch == at.epoch {
                self.account.resets += 1;
            } else {
                self.miss(tail.offset);
            }
            last = tail;
        }
        self.at = Some(last);
    }
}

#[cfg(test)]
mod tests;
