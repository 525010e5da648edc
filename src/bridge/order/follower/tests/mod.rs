//! The follower beside a model of a stream: whatever is lost, repeated, trimmed or thrown away on the
//! way, nothing comes twice, nothing out of order, nothing is waited for in vain, and what is lost
//! without a reset is counted exactly.

mod epochs;

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::VecDeque;

/// Entries in a page of the model.
const PAGE: usize = 3;

fn place(offset: u64) -> Position {
    Position {
        epoch: 1,
        millis: offset.saturating_add(10),
        offset,
    }
}

/// Nothing is known of an epoch before.
const NO_EPOCH: &[EpochBefore] = &[];

/// A follower that stands at this offset.
fn at(offset: u64) -> Follower {
    let mut follower = Follower::default();
    assert_eq!(follower.request(), None);
    assert_eq!(
        follower.turn(Some(place(offset)), NO_EPOCH, &[]),
        Turned::Live
    );
    follower
}

#[test]
fn the_next_is_delivered_the_known_dropped_and_a_gap_read_first() {
    let mut follower = at(4);
    assert_eq!(follower.arrival(place(5), true), StreamStep::Next);
    assert_eq!(follower.arrival(place(5), true), StreamStep::Known);
    assert_eq!(follower.arrival(place(3), true), StreamStep::Known);
    assert_eq!(follower.arrival(place(8), true), StreamStep::Later);
    assert_eq!(follower.arrival(place(9), true), StreamStep::Later);
    assert_eq!(follower.request(), Some(place(5)));
    let page = [place(6), place(7), place(8)];
    assert_eq!(follower.turn(Some(place(9)), NO_EPOCH, &page), Turned::More);
    follower.request();
    assert_eq!(
        follower.turn(Some(place(9)), NO_EPOCH, &[place(9)]),
        Turned::Live
    );
    assert_eq!(follower.arrival(place(10), true), StreamStep::Next);
    assert_eq!(follower.take_account(), Account::default());
}

#[test]
fn what_arrives_while_a_page_is_under_way_is_read_by_the_next() {
    let mut follower = at(1);
    follower.doubt();
    follower.request();
    assert_eq!(follower.arrival(place(2), true), StreamStep::Later);
    assert_eq!(follower.turn(Some(place(1)), NO_EPOCH, &[]), Turned::More);
    follower.request();
    assert_eq!(
        follower.turn(Some(place(2)), NO_EPOCH, &[place(2)]),
        Turned::Live
    );
}

#[test]
fn what_is_doubted_while_a_page_is_under_way_is_read_by_the_next() {
    let mut follower = at(1);
    follower.doubt();
    follower.request();
    // The second one is said behind the page, and its arrival is thrown away.
    follower.doubt();
    assert_eq!(follower.turn(Some(place(1)), NO_EPOCH, &[]), Turned::More);
    follower.request();
    assert_eq!(
        follower.turn(Some(place(2)), NO_EPOCH, &[place(2)]),
        Turned::Live
    );
}

#[test]
fn the_highest_number_of_a_stream_is_no_harm() {
    let last = Position {
        millis: u64::MAX,
        ..place(u64::MAX)
    };
    let mut follower = at(1);
    follower.doubt();
    follower.request();
    let turned = follower.turn(Some(last), NO_EPOCH, &[place(u64::MAX), place(1), last]);
    assert_eq!(turned, Turned::Live);
    assert_eq!(follower.take_account().missed, u64::MAX);
    assert_eq!(follower.arrival(place(3), true), StreamStep::Known);
}

#[test]
fn what_a_stream_has_lost_is_counted_exactly() {
    let mut follower = at(1);
    follower.arrival(place(9), true);
    follower.request();
    assert_eq!(
        follower.turn(Some(place(9)), NO_EPOCH, &[place(8), place(9)]),
        Turned::Live
    );
    let account = Account {
        missed: 6,
        resets: 0,
    };
    assert_eq!(follower.take_account(), account);
}

#[test]
fn a_room_without_a_stream_to_read_misses_nothing_of_the_one_that_begins_then() {
    let mut follower = Follower::default();
    follower.request();
    follower.begin_at_start();
    // Two entries before anybody asks.
    assert_eq!(follower.arrival(place(2), true), StreamStep::Later);
    assert_eq!(follower.request(), Some(Position::START));
    let page = [place(1), place(2)];
    assert_eq!(follower.turn(Some(place(2)), NO_EPOCH, &page), Turned::Live);
    assert_eq!(follower.take_account(), Account::default());
    // Where a room stands already, it stays.
    follower.begin_at_start();
    assert_eq!(follower.at(), Some(place(2)));
}

#[test]
fn a_stream_that_begins_anew_is_followed_from_its_first_entry() {
    let mut follower = at(7);
    let first = Position {
        epoch: 2,
        millis: 90,
        offset: 1,
    };
    // Such an entry says nothing of what was before.
    assert_eq!(follower.arrival(first, true), StreamStep::Later);
    follower.request();
    assert_eq!(follower.turn(Some(first), NO_EPOCH, &[first]), Turned::Live);
    assert_eq!(follower.take_account().resets, 1);
    // One that was there before the room had any entry is no reset.
    let mut empty = Follower::default();
    empty.request();
    assert_eq!(empty.turn(None, NO_EPOCH, &[]), Turned::Live);
    assert_eq!(empty.arrival(first, true), StreamStep::Next);
    assert_eq!(empty.take_account(), Account::default());
}

#[test]
fn a_stream_that_went_back_is_followed_from_what_is_later_by_time() {
    let mut follower = at(7);
    let after = |millis, offset| Position {
        epoch: 1,
        millis,
        offset,
    };
    // The new master had 1 to 5; number 6 was given out again.
    assert_eq!(follower.arrival(after(50, 6), true), StreamStep::Later);
    assert_eq!(follower.request(), Some(place(7)));
    assert_eq!(
        follower.turn(Some(after(50, 6)), NO_EPOCH, &[after(50, 6)]),
        Turned::Live
    );
    assert_eq!(follower.take_account().resets, 1);
    assert_eq!(follower.arrival(after(51, 7), true), StreamStep::Next);
    // And one that shows nothing new, whatever it was told.
    follower.doubt();
    follower.request();
    let tail = Some(after(50, 6));
    assert_eq!(follower.turn(tail, NO_EPOCH, &[]), Turned::More);
    assert_eq!(follower.take_due(), Some((1, 7)));
    follower.request();
    assert_eq!(follower.turn(tail, NO_EPOCH, &[]), Turned::Live);
    assert_eq!(follower.take_due(), None);
    assert_eq!(follower.take_account().resets, 1);
}

#[test]
fn a_worker_that_is_behind_puts_arrivals_off() {
    let mut follower = at(1);
    assert_eq!(follower.arrival(place(2), false), StreamStep::Later);
    assert!(!follower.is_live());
    assert_eq!(follower.arrival(place(3), true), StreamStep::Later);
    follower.request();
    let page = [place(2), place(3)];
    assert_eq!(follower.turn(Some(place(3)), NO_EPOCH, &page), Turned::Live);
}

/// Where the stream stood when it was read, and what was read.
type Page = (Option<Position>, Vec<EpochBefore>, Vec<(Position, u64)>);

/// A stream, its subscription, and one follower. An entry's serial number tells what was appended when.
#[derive(Debug, Default)]
struct Model {
    clock: u64,
    serial: u64,
    epoch: u64,
    /// Each epoch has another number.
    epochs: u64,
    /// With their serials, in order.
    entries: VecDeque<(Position, u64)>,
    last: u64,
    channel: VecDeque<(Position, u64)>,
    follower: Follower,
    wants_read: bool,
    page: Option<Page>,
    delivered: Vec<u64>,
    account: Account,
    /// Appended since the follower knew where it was.
    appended: u64,
    /// The newest first.
    before: Vec<EpochBefore>,
}

impl Model {
    fn tail(&self) -> Option<Position> {
        let newest = self.entries.back().map(|(at, _)| *at);
        let is_begun = self.last == 0 && !self.before.is_empty();
        let begun = Position {
            epoch: self.epoch,
            millis: self.clock,
            offset: 0,
        };
        newest.map(|newest| if is_begun { begun } else { newest })
    }

    /// Who has seen more than there is says so: another epoch begins, or it is known of the one before.
    fn tell(&mut self, (epoch, offset): SeenPlace) {
        if epoch == self.epoch && offset > self.last {
            self.begin_epoch(offset);
        } else if let Some(before) = self.before.first_mut().filter(|was| was.epoch == epoch) {
            before.offset = before.offset.max(offset);
        }
        // That is published, and heard.
        self.doubt();
    }

    /// Another epoch; of this one somebody has seen so much.
    fn begin_epoch(&mut self, offset: u64) {
        let was = EpochBefore {
            epoch: self.epoch,
            offset,
            kept: self.last,
        };
        self.before.insert(0, was);
        self.epochs += 1;
        (self.epoch, self.last) = (self.epochs, 0);
        self.clock += 1;
    }

    /// The follower is told, or knows that it is not subscribed any more.
    fn move_on(&mut self, is_heard: bool) {
        if self.entries.is_empty() {
            return;
        }
        self.begin_epoch(self.last);
        self.follower.doubt();
        self.wants_read |= is_heard;
    }

    fn append(&mut self, ticks: bool, is_heard: bool) {
        self.clock += u64::from(ticks);
        if self.entries.is_empty() {
            self.epochs += 1;
            self.epoch = self.epochs;
            self.last = 0;
            self.before.clear();
        }
        self.last += 1;
        self.serial += 1;
        let entry = Position {
            epoch: self.epoch,
            millis: self.clock,
            offset: self.last,
        };
        self.entries.push_back((entry, self.serial));
        self.appended += u64::from(self.follower.at().is_some());
        if is_heard {
            self.channel.push_back((entry, self.serial));
        }
    }

    fn hear(&mut self, may_deliver: bool, again: bool) {
        let Some((entry, serial)) = self.channel.pop_front() else {
            return;
        };
        for _ in 0..=usize::from(again) {
            match self.follower.arrival(entry, may_deliver) {
                StreamStep::Next => self.delivered.push(serial),
                StreamStep::Known => {}
                StreamStep::Later => self.wants_read = true,
            }
        }
        self.collect();
    }

    fn ask(&mut self) {
        if !self.wants_read || self.page.is_some() {
            return;
        }
        let after = self.follower.request();
        let tail = self.tail();
        let is_after = |(entry, _): &&(Position, u64)| match after {
            None => false,
            Some(after)
                if after.epoch == entry.epoch && tail.is_some_and(|t| t.epoch != after.epoch) =>
            {
                entry.offset > after.offset
            }
            Some(after) if after.epoch == entry.epoch => {
                (entry.millis, entry.offset) > (after.millis, after.offset)
            }
            Some(after) => entry.millis >= after.millis && entry.epoch > after.epoch,
        };
        let found = self.entries.iter().filter(is_after).take(PAGE);
        self.page = Some((tail, self.before.clone(), found.copied().collect()));
    }

    fn answer(&mut self) {
        let Some((tail, before, page)) = self.page.take() else {
            return;
        };
        let places: Vec<Position> = page.iter().map(|(at, _)| *at).collect();
        self.wants_read = self.follower.turn(tail, &before, &places) == Turned::More;
        self.delivered.extend(page.iter().map(|(_, serial)| serial));
        self.collect();
        if let Some(seen) = self.follower.take_due() {
            self.tell(seen);
        }
    }

    fn collect(&mut self) {
        let Account { missed, resets } = self.follower.take_account();
        self.account.missed += missed;
        self.account.resets += resets;
    }

    fn doubt(&mut self) {
        self.follower.doubt();
        self.wants_read = true;
    }

    /// Everything arrives, and all that is wanted is read.
    fn settle(&mut self) {
        self.answer();
        while !self.channel.is_empty() {
            self.hear(true, false);
        }
        self.doubt();
        let mut rounds = 0;
        while self.wants_read {
            self.ask();
            self.answer();
            rounds += 1;
            assert!(rounds < 1_000, "reads without an end");
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Append {
        ticks: bool,
        is_heard: bool,
    },
    Hear {
        may_deliver: bool,
        again: bool,
    },
    Ask,
    Answer,
    Doubt,
    Trim(usize),
    /// The slot has another server.
    Move {
        is_heard: bool,
    },
    Flush,
    Back(usize),
}

fn step(with_resets: bool) -> impl Strategy<Value = Step> {
    let appends = (any::<bool>(), prop::bool::weighted(0.8))
        .prop_map(|(ticks, is_heard)| Step::Append { ticks, is_heard });
    let hears = (prop::bool::weighted(0.9), prop::bool::weighted(0.2))
        .prop_map(|(may_deliver, again)| Step::Hear { may_deliver, again });
    let rare = u32::from(with_resets);
    prop_oneof![
        12 => appends,
        12 => hears,
        6 => Just(Step::Ask),
        6 => Just(Step::Answer),
        1 => Just(Step::Doubt),
        1 => (1_usize..4).prop_map(Step::Trim),
        1 => any::<bool>().prop_map(|is_heard| Step::Move { is_heard }),
        rare => Just(Step::Flush),
        rare => (1_usize..4).prop_map(Step::Back),
    ]
}

fn run(steps: &[Step]) -> Model {
    let mut model = Model::default();
    model.doubt();
    for step in steps {
        match *step {
            Step::Append { ticks, is_heard } => model.append(ticks, is_heard),
            Step::Hear { may_deliver, again } => model.hear(may_deliver, again),
            Step::Ask => model.ask(),
            Step::Answer => model.answer(),
            Step::Doubt => model.doubt(),
            Step::Trim(count) => {
                // A stream keeps its last entry as long as it lives.
                let count = count.min(model.entries.len().saturating_sub(1));
                model.entries.drain(..count);
            }
            Step::Move { is_heard } => model.move_on(is_heard),
            Step::Flush => {
                model.entries.clear();
                model.before.clear();
                model.clock += 1;
            }
            Step::Back(count) => {
                let left = model.entries.len().saturating_sub(count).max(1);
                model.entries.truncate(left);
                let newest = model.entries.back().map(|(at, _)| *at);
                (model.epoch, model.last) =
                    newest.map_or((model.epoch, 0), |at| (at.epoch, at.offset));
                model.before.clear();
                model.clock += 1;
                // A failover ends the session: what was on its way is gone, and everything is read.
                model.channel.clear();
                model.page = None;
                model.doubt();
            }
        }
    }
    model.settle();
    model
}

proptest! {
    #[test]
    fn whatever_happens_nothing_comes_twice_or_out_of_order_and_it_ends_at_the_tail(
        steps in vec(step(true), 0..300),
    ) {
        let model = run(&steps);
        prop_assert!(model.delivered.is_sorted_by(|one, next| one < next), "{:?}", model.delivered);
        if let Some(tail) = model.tail() {
            prop_assert_eq!(model.follower.at(), Some(tail));
        }
        prop_assert!(model.follower.is_live());
    }

    #[test]
    fn without_a_reset_delivered_and_missed_are_all_that_was_appended(
        steps in vec(step(false), 0..300),
    ) {
        let mut started = vec![Step::Ask, Step::Answer];
        started.extend(steps);
        let model = run(&started);
        prop_assert_eq!(model.account.resets, 0);
        prop_assert_eq!(model.delivered.len() as u64 + model.account.missed, model.appended);
    }
}
