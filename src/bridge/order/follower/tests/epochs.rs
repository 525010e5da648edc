//! A follower where a stream has another epoch than it had: what was lost with the one before.

use super::*;

/// An entry of the epoch behind that of [`place`].
fn behind(offset: u64) -> Position {
    Position {
        epoch: 2,
        millis: offset.saturating_add(100),
        offset,
    }
}

fn before(offset: u64, kept: u64) -> EpochBefore {
    EpochBefore {
        epoch: 1,
        offset,
        kept,
    }
}

/// Reads, with a tail of the second epoch.
fn read(follower: &mut Follower, tail: u64, before: EpochBefore, page: &[Position]) -> Account {
    follower.doubt();
    follower.request();
    let turned = follower.turn(Some(behind(tail)), &[before], page);
    assert_eq!(turned, Turned::Live);
    follower.take_account()
}

#[test]
fn what_anybody_has_seen_of_the_epoch_before_is_a_gap_for_who_has_not() {
    for (own, missed) in [(3, 4), (5, 2), (7, 0)] {
        let mut follower = at(own);
        // Redis had 1 to 5 left.
        let left: Vec<Position> = (own + 1..=5).map(place).collect();
        let page = [&left[..], &[behind(1)]].concat();
        let account = read(&mut follower, 1, before(7, 5), &page);
        let missed = missed - left.len() as u64;
        assert_eq!(account, Account { missed, resets: 1 }, "{own}");
        assert_eq!(follower.take_due(), None);
    }
}

#[test]
fn a_failover_that_lost_nothing_is_no_reset() {
    let mut follower = at(7);
    let account = read(&mut follower, 1, before(7, 7), &[behind(1)]);
    assert_eq!(account, Account::default());
    assert_eq!(follower.arrival(behind(2), true), StreamStep::Next);
}

#[test]
fn who_has_seen_more_than_redis_knows_of_tells_it_once_and_who_has_not_counts_it_once() {
    let (mut ahead, mut late) = (at(9), at(6));
    read(&mut ahead, 1, before(7, 5), &[behind(1)]);
    assert_eq!(ahead.take_due(), Some((1, 9)));
    let first = read(&mut late, 1, before(7, 5), &[behind(1)]);
    assert_eq!(first.missed, 1);
    for missed in [2, 0] {
        let raised = read(&mut late, 1, before(9, 5), &[]);
        assert_eq!(raised, Account { missed, resets: 0 });
        assert_eq!(read(&mut ahead, 1, before(9, 5), &[]), Account::default());
    }
    assert_eq!((ahead.take_due(), late.take_due()), (None, None));
}

#[test]
fn a_tail_that_is_behind_is_told_and_then_read_again() {
    let mut follower = at(9);
    follower.close();
    assert_eq!(follower.request(), Some(place(9)));
    assert_eq!(follower.turn(Some(place(5)), NO_EPOCH, &[]), Turned::More);
    assert_eq!(follower.take_due(), Some((1, 9)));
    // The epoch began with that, and has no entry.
    let account = read(&mut follower, 0, before(9, 5), &[]);
    assert_eq!(
        account,
        Account {
            missed: 0,
            resets: 1
        }
    );
    assert_eq!(follower.arrival(behind(1), true), StreamStep::Next);
}

#[test]
fn an_epoch_without_entries_of_which_others_tell_later_is_no_reset_again() {
    let mut follower = at(9);
    let first = read(&mut follower, 0, before(9, 5), &[]);
    assert_eq!(first.resets, 1);
    // Somebody has seen a tenth, and Redis has written down where numbering goes on once more.
    let later = Position {
        millis: 150,
        ..behind(0)
    };
    follower.doubt();
    follower.request();
    let turned = follower.turn(Some(later), &[before(10, 5)], &[]);
    assert_eq!(turned, Turned::Live);
    let account = follower.take_account();
    let (missed, resets) = (1, 0);
    assert_eq!(account, Account { missed, resets });
}

#[test]
fn what_this_node_said_and_redis_lost_is_not_missed_here() {
    let mut follower = at(5);
    follower.appended(1, 7, 2);
    follower.appended(1, 9, 1);
    assert_eq!(follower.seen(), Some((1, 9)));
    // 6, 7 and 9 are its own; 8 is another node's.
    let account = read(&mut follower, 0, before(8, 5), &[]);
    assert_eq!(account.missed, 1);
    assert_eq!(follower.take_due(), Some((1, 9)));
    let raised = read(&mut follower, 0, before(10, 5), &[]);
    assert_eq!(raised.missed, 1, "the tenth");
}

#[test]
fn an_idle_room_whose_stream_is_gone_goes_on_where_it_was() {
    let mut follower = at(9);
    follower.doubt();
    follower.request();
    assert_eq!(follower.turn(Some(place(9)), NO_EPOCH, &[]), Turned::Live);
    assert_eq!(follower.arrival(place(10), true), StreamStep::Next);
    // And what went with it while this node was away is counted.
    follower.doubt();
    follower.request();
    assert_eq!(follower.turn(Some(place(14)), NO_EPOCH, &[]), Turned::Live);
    assert_eq!(
        follower.take_account(),
        Account {
            missed: 4,
            resets: 0
        }
    );
}

#[test]
fn a_room_that_could_not_be_read_misses_nothing_of_what_was_before() {
    let mut follower = Follower::default();
    follower.request();
    follower.begin_at_start();
    follower.request();
    let page = [place(21), place(22)];
    assert_eq!(
        follower.turn(Some(place(22)), NO_EPOCH, &page),
        Turned::Live
    );
    assert_eq!(follower.take_account(), Account::default());
}

/// What Redis knows of some epochs: the number, what was seen and what was kept.
fn known<const N: usize>(before: [(u64, u64, u64); N]) -> [EpochBefore; N] {
    before.map(|(epoch, offset, kept)| EpochBefore {
        epoch,
        offset,
        kept,
    })
}

/// The first entries of an epoch.
fn entries(epoch: u64, count: u64) -> Vec<Position> {
    let entry = |offset| Position {
        epoch,
        millis: 100 * epoch + offset,
        offset,
    };
    (1..=count).map(entry).collect()
}

#[test]
fn who_stood_while_several_epochs_went_by_reads_them_all_and_misses_nothing() {
    let before = known([(3, 3, 3), (2, 4, 4), (1, 7, 7)]);
    let tail = entries(4, 2)[1];
    let mut follower = at(5);
    let pages = [
        vec![place(6), place(7), entries(2, 1)[0]],
        entries(2, 4)[1..].to_vec(),
        [entries(3, 3), entries(4, 2)].concat(),
    ];
    follower.doubt();
    for page in pages {
        follower.request();
        follower.turn(Some(tail), &before, &page);
    }
    assert!(follower.is_live());
    assert_eq!(follower.take_account(), Account::default());
    assert_eq!(follower.take_due(), None);
}

#[test]
fn of_epochs_that_went_by_what_is_gone_is_counted_exactly() {
    // One lost two that somebody had seen, the next is all trimmed, and of the last one the first entry.
    let before = known([(3, 3, 3), (2, 4, 4), (1, 9, 7)]);
    let last = entries(4, 2);
    let mut follower = at(5);
    follower.doubt();
    follower.request();
    let page = [place(6), place(7), last[1]];
    let turned = follower.turn(Some(last[1]), &before, &page);
    assert_eq!(turned, Turned::Live);
    let missed = 2 + 4 + 3 + 1;
    assert_eq!(follower.take_account(), Account { missed, resets: 1 });
}

#[test]
fn an_epoch_that_is_still_to_be_read_is_no_gap_although_nobody_knows_the_one_before_it() {
    // Of the first epoch nobody knows any more; the third is the one before the last.
    let mut follower = at(5);
    follower.doubt();
    let (before, tail) = (known([(3, 3, 3)]), entries(4, 1)[0]);
    for page in [entries(2, 2), [entries(3, 3), entries(4, 1)].concat()] {
        follower.request();
        follower.turn(Some(tail), &before, &page);
    }
    let account = follower.take_account();
    assert_eq!((account.missed, account.resets), (0, 2));
}
