//! Answers that are remembered: bounded in number and in time, and found by the hash of their question alone.

use super::{AuthRefusal, Judgement};
use crate::broker::Identity;
use crate::clock::Millis;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Which question it is: a hash of all that is said in it.
pub(super) type AnswerKey = [u8; 16];

/// What a question came to.
#[derive(Clone, Debug)]
pub(super) enum Judged {
    /// In, as this.
    In(Arc<Identity>),
    /// Nobody: the next mode is asked.
    Nobody,
    /// Not in.
    Out(AuthRefusal),
}

impl From<Judged> for Judgement {
    fn from(judged: Judged) -> Self {
        match judged {
            Judged::In(identity) => Self::Known(identity),
            Judged::Nobody => Self::Absent,
            Judged::Out(refusal) => Self::Refused(refusal),
        }
    }
}

#[derive(Debug)]
struct Remembered {
    judged: Judged,
    until: Millis,
    /// Which entry of the order stands for this one.
    number: u64,
}

/// The answers of the last moments.
#[derive(Debug)]
pub(super) struct Answers {
    by_question: HashMap<AnswerKey, Remembered>,
    /// The oldest first. An entry whose number is not that of its answer stands for nothing any more, but counts.
    order: VecDeque<(AnswerKey, u64)>,
    capacity: usize,
    number: u64,
}

impl Answers {
    /// Remembers at most so many.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            by_question: HashMap::new(),
            order: VecDeque::new(),
            capacity,
            number: 0,
        }
    }

    /// The answer to a question, if it is remembered at `now`.
    pub(super) fn get(&self, key: &AnswerKey, now: Millis) -> Option<Judged> {
        let remembered = self.by_question.get(key)?;
        (now < remembered.until).then(|| remembered.judged.clone())
    }

    /// Forgets what a question came to: another answer to it is known.
    pub(super) fn forget(&mut self, key: &AnswerKey) {
        self.by_question.remove(key);
    }

    /// Remembers an answer until then, in the place of the oldest if there is no room.
    pub(super) fn insert(&mut self, key: AnswerKey, judged: Judged, now: Millis, until: Millis) {
        while let Some(&(oldest, number)) = self.order.front() {
            let stands_for = self.by_question.get(&oldest);
            let stands_for = stands_for.filter(|remembered| remembered.number == number);
            let is_needed = stands_for.is_some_and(|remembered| now < remembered.until);
            if is_needed && self.order.len() < self.capacity {
                break;
            }
            if stands_for.is_some() {
                self.by_question.remove(&oldest);
            }
            self.order.pop_front();
        }
        if until <= now || self.capacity == 0 {
            self.by_question.remove(&key);
            return;
        }
        self.number += 1;
        let number = self.number;
        self.order.push_back((key, number));
        let remembered = Remembered {
            judged,
            until,
            number,
        };
        self.by_question.insert(key, remembered);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::RefusalAnswer;
    use proptest::prelude::*;

    fn refused(cause: &'static str) -> Judged {
        let answer = RefusalAnswer::Forbidden;
        Judged::Out(AuthRefusal { answer, cause })
    }

    fn cause(judged: Option<Judged>) -> Option<&'static str> {
        match judged {
            Some(Judged::Out(refusal)) => Some(refusal.cause),
            _ => None,
        }
    }

    #[test]
    fn an_answer_is_remembered_until_its_time_and_replaced_by_a_later_one() {
        let mut answers = Answers::new(10);
        answers.insert([1; 16], refused("a"), Millis(0), Millis(5));
        assert_eq!(cause(answers.get(&[1; 16], Millis(4))), Some("a"));
        assert_eq!(cause(answers.get(&[1; 16], Millis(5))), None);
        assert_eq!(cause(answers.get(&[2; 16], Millis(0))), None);
        answers.insert([1; 16], refused("b"), Millis(2), Millis(9));
        assert_eq!(cause(answers.get(&[1; 16], Millis(8))), Some("b"));
        // What is not to be remembered makes what was remembered wrong.
        answers.insert([1; 16], refused("c"), Millis(3), Millis(3));
        assert_eq!(cause(answers.get(&[1; 16], Millis(4))), None);
        answers.insert([1; 16], refused("d"), Millis(4), Millis(9));
        answers.forget(&[1; 16]);
        assert_eq!(cause(answers.get(&[1; 16], Millis(5))), None);
    }

    proptest! {
        #[test]
        fn there_are_never_more_than_may_be_and_the_newest_are_there(
            capacity in 0_usize..6,
            asked in proptest::collection::vec((0_u8..8, 0_u64..3, 0_u64..6), 0..60),
        ) {
            let (mut answers, mut now) = (Answers::new(capacity), Millis(0));
            for (key, pause, time) in asked {
                now = Millis(now.0 + pause);
                answers.insert([key; 16], refused("x"), now, Millis(now.0 + time));
                prop_assert!(answers.order.len() <= capacity);
                prop_assert!(answers.by_question.len() <= answers.order.len());
                let is_there = answers.get(&[key; 16], now).is_some();
                prop_assert_eq!(is_there, time > 0 && capacity > 0);
            }
        }
    }
}
