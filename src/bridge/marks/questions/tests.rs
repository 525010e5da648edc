//! Questions without a Redis: who is asked, who is answered, and how often.

use super::*;
use crate::bridge::marks::letter::{LetterWriter, letters};
use bytes::Bytes;

const SECOND: Duration = Duration::from_secs(1);

fn node(id: u8) -> Questions {
    Questions::new(NodeId([id; 16]), 1, Duration::from_secs(600))
}

fn name(room: usize) -> RoomName {
    RoomName::chat("1", &room.to_string()).unwrap()
}

fn at(seconds: u64) -> Millis {
    Millis(seconds * 1_000)
}

/// The question as the others get it.
fn question(own: &OwnQuestion) -> Bytes {
    let kind = (LetterKind::Question, &own.head);
    let with_names = letters(kind, &own.names, LetterWriter::push_name);
    let bare = LetterWriter::new(LetterKind::Question, &own.head).finish();
    with_names.into_iter().next().unwrap_or(bare)
}

fn digest(of: &Questions, now: Millis) -> Bytes {
    LetterWriter::new(LetterKind::Digest, &of.head(now)).finish()
}

fn hear(own: &mut Questions, bytes: &Bytes, now: Millis) {
    let letter = Letter::read(bytes).unwrap().unwrap();
    own.hear(&letter, now, |name| *name != self::name(9));
}

/// Cut off; the last canary that came back had left at `proven`.
fn down(node: &mut Questions, proven: Millis) {
    node.absent(Some((proven, Duration::ZERO)));
}

/// Redis took the question.
fn taken(node: &mut Questions, now: Millis) {
    node.asked(now);
}

/// Away from `since` on, back at `now`.
fn back(node: &mut Questions, since: Millis, now: Millis) -> OwnQuestion {
    down(node, since);
    node.begin(now);
    assert!(node.caught_up(now) && !node.caught_up(now));
    node.ask(now).unwrap()
}

#[test]
fn many_nodes_that_return_at_once_are_answered_together_for_the_longest_absence() {
    let mut own = node(0);
    for id in 1..=19_u8 {
        let asked = back(&mut node(id), at(100 - u64::from(id)), at(200));
        hear(&mut own, &question(&asked), at(300));
    }
    assert_eq!(own.answer(at(300)), None, "gathered");
    let answer = own.answer(at(301)).unwrap();
    // The nineteenth was away for 119 s and the margin.
    assert_eq!(answer.since, Some(at(300 - 119) - MARGIN));
    own.answered();
    assert_eq!(own.answer(at(400)), None);
}

#[test]
fn who_was_away_when_a_node_asked_is_asked_by_its_next_digest_and_answers_once() {
    let mut returned = node(1);
    back(&mut returned, at(50), at(100));
    // Nobody was there. The other comes a minute later, and asks itself.
    let mut other = node(2);
    let asked = back(&mut other, at(60), at(160));
    hear(&mut returned, &question(&asked), at(160));
    assert!(returned.answer(at(161)).is_some());
    let said = digest(&returned, at(161));
    hear(&mut other, &said, at(161));
    assert_eq!(other.answer(at(162)).unwrap().since, Some(at(50) - MARGIN));
    other.answered();
    let said = digest(&returned, at(170));
    hear(&mut other, &said, at(170));
    assert_eq!(other.answer(at(200)), None, "asked before");
    let late = digest(&returned, at(100) + Duration::from_secs(600));
    assert_eq!(Letter::read(&late).unwrap().unwrap().head.asked, 0);
}

#[test]
fn a_question_of_which_nothing_is_to_be_said_is_answered_none_the_less() {
    let (mut own, mut first) = (node(0), node(1));
    first.begin(at(1));
    first.caught_up(at(1));
    let asked = first.ask(at(1)).unwrap();
    assert_eq!((asked.head.asked, asked.head.absence), (1, 0), "its first");
    assert!(own.are_old(&HashSet::from([NodeId([1; 16])])));
    hear(&mut own, &question(&asked), at(1));
    assert_eq!(own.answer(at(2)).unwrap().since, None);
    assert!(!own.are_old(&HashSet::from([NodeId([1; 16])])));
    assert!(own.are_old(&HashSet::from([NodeId([1; 16]), NodeId([2; 16])])));
}

#[test]
fn rooms_that_are_entered_are_asked_for_together_and_again_if_redis_did_not_take_it() {
    let mut own = node(0);
    own.begin(at(0));
    own.ask_for(vec![name(1), name(2)], at(1));
    own.ask_for(vec![name(2), name(9)], at(1));
    assert_eq!(own.ask(at(1)), None);
    let asked = own.ask(at(1) + GATHER_NAMES).unwrap();
    assert_eq!(asked.names, [name(1), name(2), name(9)]);
    own.begin(at(5));
    let again = own.ask(at(5)).unwrap();
    assert_eq!(again.names, asked.names);
    taken(&mut own, at(6));
    own.begin(at(9));
    assert_eq!(own.ask(at(9)), None);
    // Who hears it answers for what it holds, however often it is asked.
    let mut other = node(1);
    for now in [10, 20] {
        hear(&mut other, &question(&asked), at(now));
        let answer = other.answer(at(now + 1)).unwrap();
        assert!(answer.names.iter().eq([&name(1), &name(2)]));
        other.answered();
    }
}

#[test]
fn rooms_that_were_entered_while_a_node_was_away_are_named_again_when_it_is_back() {
    let mut own = node(0);
    for (room, seconds) in [(1, 80), (2, 97), (3, 150)] {
        own.entered(&[name(room)], at(seconds));
    }
    let asked = back(&mut node(1), at(100), at(200));
    hear(&mut own, &question(&asked), at(200));
    // However many return.
    let other = back(&mut node(2), at(160), at(201));
    hear(&mut own, &question(&other), at(201));
    assert_eq!(own.ask(at(204)), None);
    let again = own.ask(at(200) + AGAIN).unwrap();
    assert_eq!(again.names, [name(2), name(3)]);
    for room in 0..ENTERED_MAX * 2 {
        own.entered(&[name(room)], at(300));
    }
    assert_eq!(own.entered.len(), ENTERED_MAX);
    let asked = back(&mut node(3), at(2_000), at(2_001));
    hear(&mut own, &question(&asked), at(2_001));
    assert!(own.entered.is_empty(), "long ago");
}

#[test]
fn an_answer_that_redis_did_not_take_is_given_in_the_next_session() {
    let mut own = node(0);
    let asked = back(&mut node(1), at(50), at(100));
    hear(&mut own, &question(&asked), at(100));
    let answer = own.answer(at(101)).unwrap();
    own.begin(at(110));
    assert_eq!(own.answer(at(110)), Some(answer));
}

#[test]
fn an_absence_before_the_answers_can_have_come_is_a_part_of_the_next_one() {
    let mut own = node(0);
    assert_eq!(back(&mut own, at(100), at(200)).head.absence, 105_000);
    // Down again at once.
    assert_eq!(back(&mut own, at(201), at(203)).head.absence, 108_000);
    assert_eq!(back(&mut own, at(290), at(300)).head.absence, 15_000);
    // This one was never up.
    let mut own = node(0);
    own.absent(None);
    own.begin(at(5));
    own.caught_up(at(5));
    assert_eq!(own.ask(at(5)).unwrap().head.absence, 0);
}

#[test]
fn arrivals_that_were_thrown_away_are_asked_for_at_most_once_a_second() {
    let mut own = node(0);
    back(&mut own, at(100), at(200));
    let mut asked = 0;
    for millis in 0..3_000 {
        let now = at(300) + Duration::from_millis(millis);
        own.lagged(Some((at(299), Duration::ZERO)), now);
        if let Some(question) = own.ask(now) {
            asked += 1;
            assert!(question.head.absence < 12_000);
        }
    }
    assert_eq!(asked, 2);
}

#[test]
fn nodes_that_do_not_know_the_form_are_looked_for_once_a_question() {
    let mut own = node(0);
    back(&mut own, at(100), at(200));
    assert_eq!(own.check_old(at(201)), None);
    assert_eq!(own.check_old(at(200) + SILENCE), Some(at(200)));
    assert_eq!(own.check_old(at(209)), None);
    back(&mut own, at(300), at(301));
    assert_eq!(own.check_old(at(304)), Some(at(301)));
}

#[test]
fn strangers_and_endless_absences_cost_a_bounded_memory_and_no_panic() {
    let mut own = node(0);
    for id in 0..5_000_u64 {
        let mut stranger = [0; 16];
        stranger[..8].copy_from_slice(&id.to_be_bytes());
        let head = LetterHead {
            node: NodeId(stranger),
            epoch: u64::MAX,
            asked: u64::MAX,
            absence: u64::MAX,
        };
        let bytes = LetterWriter::new(LetterKind::Question, &head).finish();
        hear(&mut own, &bytes, at(100));
    }
    assert!(own.askers.len() <= NODES_MAX);
    assert_eq!(own.answer(at(101)).unwrap().since, Some(Millis(0)));
    // The strangers are gone: a node of ours has room.
    let asked = back(&mut node(1), at(5), at(10));
    hear(&mut own, &question(&asked), at(100) + GONE + SECOND);
    assert!(own.askers.contains_key(&NodeId([1; 16])));
}

#[test]
fn an_absence_about_which_was_not_asked_yet_is_a_part_of_the_next_one_however_long_that_takes() {
    let mut own = node(0);
    back(&mut own, at(10), at(20));
    down(&mut own, at(100));
    // Up again, and down before all rooms were subscribed: a canary proves nothing about rooms.
    own.begin(at(150));
    for _try in 0..9 {
        down(&mut own, at(151));
    }
    own.begin(at(200));
    assert!(own.caught_up(at(200)));
    assert_eq!(own.ask(at(200)).unwrap().head.absence, 105_000);
}

#[test]
fn an_absence_whose_answers_may_have_been_missed_is_a_part_of_the_next_one_however_long_that_takes()
{
    let mut own = node(0);
    back(&mut own, at(100), at(200));
    // A moment after the question, and for so long that the tries to return are many.
    for _try in 202..260 {
        down(&mut own, at(201));
    }
    own.begin(at(260));
    assert!(own.caught_up(at(260)));
    assert_eq!(own.ask(at(260)).unwrap().head.absence, 165_000);
    // Canaries came back for long after that one.
    assert_eq!(back(&mut own, at(300), at(310)).head.absence, 15_000);
}

#[test]
fn arrivals_that_are_thrown_away_for_minutes_are_asked_for_less_and_less_often() {
    let mut own = node(0);
    back(&mut own, at(100), at(200));
    let (mut asked, mut told) = (0, Duration::ZERO);
    for millis in 0..300_000 {
        let now = at(300) + Duration::from_millis(millis);
        own.lagged(Some((now - SECOND, Duration::ZERO)), now);
        if let Some(question) = own.ask(now) {
            asked += 1;
            told += Duration::from_millis(question.head.absence);
        }
    }
    // However the answers are lost: what is told again is a few times what was said.
    assert!((10..60).contains(&asked), "{asked}");
    assert!(told < Duration::from_secs(300) * 8, "{told:?}");
}

#[test]
fn who_missed_a_question_is_told_of_its_absence_after_a_shorter_one_too() {
    let mut own = node(0);
    back(&mut own, at(100), at(200));
    back(&mut own, at(300), at(310));
    let mut other = node(1);
    hear(&mut other, &digest(&own, at(320)), at(320));
    let since = other.answer(at(321)).unwrap().since;
    assert_eq!(since, Some(at(100) - MARGIN));
    for round in 1..100 {
        back(&mut own, at(400 + round), at(401 + round));
    }
    assert!(own.absences.len() <= ABSENCES_MAX);
}

/// As many strangers as are kept in mind.
fn crowd(own: &mut Questions, now: Millis) {
    for id in 0..NODES_MAX as u64 {
        let mut stranger = [9; 16];
        stranger[..8].copy_from_slice(&id.to_be_bytes());
        let head = LetterHead {
            node: NodeId(stranger),
            epoch: 1,
            asked: 0,
            absence: 0,
        };
        let bytes = LetterWriter::new(LetterKind::Digest, &head).finish();
        hear(own, &bytes, now);
    }
}

#[test]
fn nodes_that_know_too_many_others_do_not_answer_each_others_answers() {
    let (mut left, mut right) = (node(1), node(2));
    for (own, since) in [(&mut left, 50), (&mut right, 60)] {
        crowd(own, at(90));
        back(own, at(since), at(100));
    }
    let mut letters = 0;
    for now in 100..200 {
        if left.answer(at(now)).is_some() || now == 100 {
            hear(&mut right, &digest(&left, at(now)), at(now));
            letters += 1;
        }
        if right.answer(at(now)).is_some() {
            hear(&mut left, &digest(&right, at(now)), at(now));
            letters += 1;
        }
    }
    assert!(letters <= 2, "{letters}");
    // A question is answered none the less.
    let asked = back(&mut left, at(210), at(220));
    hear(&mut right, &question(&asked), at(220));
    assert!(right.answer(at(221)).is_some());
}

#[test]
fn a_number_that_a_stranger_says_in_a_nodes_name_silences_none_of_its_questions() {
    let (mut own, mut other) = (node(0), node(1));
    let asked = back(&mut other, at(50), at(100));
    for kind in [LetterKind::Digest, LetterKind::Question] {
        let head = LetterHead {
            asked: u64::MAX,
            ..asked.head
        };
        hear(&mut own, &LetterWriter::new(kind, &head).finish(), at(100));
    }
    own.answer(at(101));
    own.answered();
    for round in 1..3 {
        let asked = back(&mut other, at(200 * round), at(200 * round + 9));
        hear(&mut own, &question(&asked), at(300));
        assert!(own.answer(at(301)).is_some(), "round {round}");
        own.answered();
        // What was said with an older number arrives behind it.
        let mut head = asked.head;
        head.asked -= 1;
        let late = LetterWriter::new(LetterKind::Digest, &head).finish();
        hear(&mut own, &late, at(301));
        assert_eq!(own.answer(at(302)), None);
    }
}

#[test]
fn rooms_that_are_entered_are_told_of_too_so_that_a_first_word_there_can_be_missed() {
    let mut own = node(0);
    own.begin(at(0));
    own.ask_for(vec![name(1), name(2)], at(1));
    assert!(own.ask(at(2)).is_some());
    assert_eq!(own.answer(at(3)), None, "Redis has not taken it");
    taken(&mut own, at(3));
    let answer = own.answer(at(4)).unwrap();
    assert!(answer.names.iter().eq([&name(1), &name(2)]));
    assert_eq!((answer.since, answer.is_owed), (None, false));
}

#[test]
fn what_the_machine_has_slept_is_asked_about_also_if_it_is_longer_than_the_node_runs() {
    for (slept, absence) in [(0, 9_000), (60, 69_000), (u64::MAX / 1_000, u64::MAX)] {
        let mut own = node(0);
        own.absent(Some((at(10), Duration::from_secs(slept))));
        own.begin(at(14));
        own.caught_up(at(14));
        let asked = own.ask(at(14)).unwrap();
        assert!(asked.head.absence.abs_diff(absence) < 15_000, "{asked:?}");
        let mut other = node(1);
        hear(&mut other, &question(&asked), at(1_000));
        assert!(other.answer(at(1_001)).unwrap().since <= Some(at(991 - slept.min(991))));
    }
}
