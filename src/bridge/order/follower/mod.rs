//! Where a node is in one room's stream, and what an arrival means there.
//!
//! Redis numbers the entries of a stream from 1 without holes, so the next offset is delivered, a
//! known one dropped, and one that skips some says that the gap must be read first. While it is,
//! arrivals are only noted: what is read brings them too, in order. Nothing waits for what may never
//! come: after a read that began later than the last note, what was not in the stream is not there.
//!
//! A stream that begins anew (`FLUSHALL`, a failover, a Redis that came back without its newest entries)
//! has another epoch, and says how far the one before was seen by anybody: what lies between that and
//! the last entry delivered here is lost, and counted exactly. So it is of those before that, as many as Redis knows:
//! a slot that moves on and on has an epoch at each server. Who has seen more than Redis knows of
//! is to tell, see [`Follower::take_due`]. Was anything lost, it is a reset, as it is when nobody knows;
//! and so is a stream that went back (lower offsets at later times: a version wrote it that tells
//! nothing). All are followed from there.
//!
//! Pure. Bound: a few words and `own::OWN_MAX` ranges, whatever arrives.

mod own;

use own::OwnRanges;

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

/// What is known of an epoch before that of a stream's newest entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EpochBefore {
    /// The number of that epoch.
    pub epoch: u64,
    /// The highest offset of it that anybody has seen.
    pub offset: u64,
    /// The highest that was there as it ended.
    pub kept: u64,
}

/// An epoch, and an offset in it.
pub type SeenPlace = (u64, u64);

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
    /// The epoch before: up to there everything was delivered or counted.
    settled: Option<SeenPlace>,
    /// Appended by this node, and not heard so far.
    own: OwnRanges,
    /// SeenPlace here, and perhaps by nobody else: Redis does not know of it.
    due: Option<SeenPlace>,
    /// The last that was told so.
    told: Option<SeenPlace>,
    /// The room began here while its stream could not be read: where numbering stood then nobody knows.
    is_anywhere: bool,
}

impl Default for Follower {
    fn default() -> Self {
        Self {
            at: None,
            state: FollowState::Reading,
            noted: None,
            is_doubted: false,
            account: Account::default(),
            settled: None,
            own: OwnRanges::default(),
            due: None,
            told: None,
            is_anywhere: false,
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

    /// The newest entry that is known to have been there; `None` before there is one.
    #[must_use]
    pub fn seen(&self) -> Option<SeenPlace> {
        let at = self.at.map(|at| (at.epoch, at.offset));
        at.max(self.own.newest()).filter(|(epoch, _)| *epoch > 0)
    }

    /// This node's own entries of an epoch, up to this one, were appended: its members have them whatever becomes of
    /// the stream.
    pub fn appended(&mut self, epoch: u64, last: u64, count: u64) {
        let is_ahead = |at: Position| (epoch, last) > (at.epoch, at.offset);
        if count > 0 && self.at.is_some_and(is_ahead) {
            self.own.add(epoch, last.saturating_sub(count - 1), last);
        }
    }

    /// What Redis is to be told, once: it has lost this, or others did not see as much.
    pub fn take_due(&mut self) -> Option<SeenPlace> {
        self.due.take()
    }

    fn tell(&mut self, seen: SeenPlace) -> bool {
        if self.told == Some(seen) {
            return false;
        }
        self.told = Some(seen);
        self.due = Some(seen);
        true
    }

    /// Something may have been missed: read before anything newer is delivered. A page that is under way may have been
    /// read before that was said, so it is not the last.
    pub fn doubt(&mut self) {
        self.state = FollowState::Reading;
        self.is_doubted = true;
    }

    /// There is no stream for a room that begins here: what will be in it is for this node.
    pub fn begin_at_start(&mut self) {
        self.is_anywhere |= self.at.is_none();
        self.at.get_or_insert(Position::START);
    }

    /// Another Redis may be asked from here on.
    pub fn close(&mut self) {
        self.told = None;
        self.doubt();
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
        // The first of another epoch says nothing of the one before.
        let is_first = at.epoch == 0 && entry.epoch > 0 && entry.offset == 1;
        if self.state == FollowState::Reading || !may_deliver || !(is_next || is_first) {
            return self.put_off(entry);
        }
        self.at = Some(entry);
        self.own.pass(entry.epoch, entry.offset);
        StreamStep::Next
    }

    fn put_off(&mut self, entry: Position) -> StreamStep {
        self.state = FollowState::Reading;
        self.noted = Some(entry);
        StreamStep::Later
    }

    /// After what to read; `None`: the tail alone, for a room that begins here. The page must be turned before
    /// the next request.
    pub fn request(&mut self) -> Option<Position> {
        // Whatever arrived before is in what will be read, or nowhere.
        self.noted = None;
        self.is_doubted = false;
        self.at
    }

    /// A page: where the stream stood, the epochs before that, the newest first and each followed by the one in front
    /// of it, and the entries after the position asked for. The caller delivers them all, in order.
    pub fn turn(
        &mut self,
        tail: Option<Position>,
        before: &[EpochBefore],
        entries: &[Position],
    ) -> Turned {
        match (self.at, tail) {
            // The room begins here: what is in the stream was for others.
            (None, tail) => {
                self.at = Some(tail.unwrap_or(Position::START));
            }
            // The stream is gone: whatever comes next is of another life, and counted then.
            (Some(_), None) => {}
            (Some(at), Some(tail)) => self.take(at, tail, before, entries),
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

    /// These are no longer there, of which this node's own were delivered. Whoever writes to Redis may have numbered
    /// them as it pleased.
    fn miss(&mut self, epoch: u64, after: u64, up_to: u64) {
        let own = self.own.within(epoch, after, up_to);
        let missed = up_to.saturating_sub(after).saturating_sub(own);
        self.account.missed = self.account.missed.saturating_add(missed);
    }

    fn take(&mut self, at: Position, tail: Position, before: &[EpochBefore], entries: &[Position]) {
        let mut last = at;
        if let Some(first) = entries.first()
            && std::mem::take(&mut self.is_anywhere)
            && last.epoch == 0
        {
            last.epoch = first.epoch;
            last.offset = first.offset.saturating_sub(1);
        }
        for entry in entries {
            if entry.epoch != last.epoch {
                last = self.pass_over(last, entry.epoch, before);
            }
            if entry.offset <= last.offset {
                // The stream went back: these numbers were given out a second time.
                self.account.resets += 1;
            } else {
                self.miss(entry.epoch, last.offset, entry.offset - 1);
            }
            last = *entry;
        }
        if entries.is_empty() && last != tail {
            last = self.end(last, tail, before);
        }
        if last.epoch == tail.epoch {
            self.settle(before);
        }
        self.at = Some(last);
        self.own.pass(last.epoch, last.offset);
    }

    /// Nothing is newer than what was delivered, and yet it ends elsewhere.
    fn end(&mut self, last: Position, tail: Position, before: &[EpochBefore]) -> Position {
        let (here, there) = ((last.epoch, last.offset), (tail.epoch, tail.offset));
        if there < here && self.tell(here) {
            // Redis has lost it. Once it knows, it has an epoch of its own behind this one.
            return last;
        }
        if last.epoch == 0 {
            // Of what was there before, the stream has nothing left.
            self.is_anywhere = false;
        } else if tail.epoch != last.epoch {
            self.pass_over(last, tail.epoch, before);
            self.miss(tail.epoch, 0, tail.offset);
        } else if there > here {
            self.miss(tail.epoch, last.offset, tail.offset);
        } else if there < here || tail.millis < last.millis {
            // The stream went back, whatever Redis was told.
            self.account.resets += 1;
        }
        tail
    }

    /// From the last entry of an epoch to before the first one of another.
    fn pass_over(&mut self, last: Position, epoch: u64, before: &[EpochBefore]) -> Position {
        self.settled = Some((last.epoch, last.offset));
        let is_known = before.iter().any(|was| was.epoch == last.epoch);
        self.account.resets += u64::from(last.epoch != 0 && !is_known);
        let passed = |was: &&EpochBefore| (last.epoch..epoch).contains(&was.epoch);
        for was in before.iter().rev().filter(passed) {
            self.account.resets += u64::from(is_known && was.offset > was.kept);
            if was.epoch != last.epoch {
                // All of an epoch that was not seen here.
                self.miss(was.epoch, 0, was.offset);
                self.settled = Some((was.epoch, was.offset));
                continue;
            }
            self.miss(last.epoch, last.offset, was.offset);
            self.settled = Some((last.epoch, was.offset.max(last.offset)));
            let own = self.own.newest().filter(|(epoch, _)| *epoch == last.epoch);
            let seen = own.map_or(last.offset, |(_, offset)| offset.max(last.offset));
            if seen > was.offset {
                self.tell((last.epoch, seen));
            }
        }
        Position {
            epoch,
            offset: 0,
            ..last
        }
    }

    /// Somebody has seen more of the epoch before than was known as this one began, perhaps this node.
    fn settle(&mut self, before: &[EpochBefore]) {
        let Some((epoch, offset)) = self.settled else {
            return;
        };
        let was = before.iter().find(|was| was.epoch == epoch);
        if let Some(was) = was.filter(|was| was.offset > offset) {
            self.miss(epoch, offset, was.offset);
            self.settled = Some((epoch, was.offset));
        }
    }
}

#[cfg(test)]
mod tests;
