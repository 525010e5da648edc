//! Who asks for marks: this node, when it was away or enters rooms; others, whom it answers.
//!
//! Questions of others are gathered for [`GATHER`] and answered together: when many nodes return at once, each asks
//! once, and each answers about once. Who asked while a node was away has its question repeated in its digests, and is
//! answered then.
//!
//! Pure. Bounds: [`NODES_MAX`] nodes; names of rooms that this node holds, each once.

use super::letter::{Letter, LetterHead, LetterKind};
use crate::bridge::envelope::NodeId;
use crate::clock::Millis;
use crate::name::RoomName;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

/// How long questions are gathered before they are answered.
const GATHER: Duration = Duration::from_millis(200);

/// How long names of rooms are gathered before they are asked for.
const GATHER_NAMES: Duration = Duration::from_millis(50);

/// Arrivals that were thrown away are asked for at most so often.
const LAGGED: Duration = Duration::from_secs(1);

/// An absence begins so long before what was the last proof that everything arrives. A mark follows its message by as
/// much: the quiet time and the tick of its sender, and the grace in which it is held here.
pub(in crate::bridge) const MARGIN: Duration = Duration::from_secs(5);

/// A node that says who it is, and for so long nothing about marks, does not know the form.
const SILENCE: Duration = Duration::from_secs(2);

/// Nodes whose questions are kept in mind: as many as the roll holds.
const NODES_MAX: usize = 1024;

/// Nodes that were not heard for so long make room.
const GONE: Duration = Duration::from_secs(600);

/// Another node that speaks so.
#[derive(Clone, Copy, Debug)]
struct Asker {
    /// Number of its last question that is answered, or will be.
    asked: u64,
    heard: Millis,
}

/// What others are to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::bridge) struct MarksAnswer {
    /// What was said since then, if somebody was away.
    pub(in crate::bridge) since: Option<Millis>,
    /// Rooms of this node that somebody entered.
    pub(in crate::bridge) names: BTreeSet<RoomName>,
    /// Who asked is told that there is nothing, too: it learns that this node knows the form.
    pub(in crate::bridge) is_owed: bool,
    due: Millis,
}

/// What this node asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::bridge) struct OwnQuestion {
    pub(in crate::bridge) head: LetterHead,
    pub(in crate::bridge) names: Vec<RoomName>,
}

/// Questions of this node and of others, over one Redis.
#[derive(Debug)]
pub(in crate::bridge) struct Questions {
    head: LetterHead,
    /// How long a question is repeated.
    expiry: Duration,
    /// Since when this node may have missed something; none before its first session.
    absent_since: Option<Millis>,
    asked_at: Option<Millis>,
    /// A question is due then, about the absence too.
    due: Option<Millis>,
    names_due: Option<Millis>,
    names: BTreeSet<RoomName>,
    /// All rooms were subscribed once in this session.
    is_caught_up: bool,
    /// Those that were there at the return were told once in rooms, if they do not know the form.
    is_old_checked: bool,
    askers: HashMap<NodeId, Asker>,
    answer: Option<MarksAnswer>,
    /// Taken, and not yet said.
    answering: Option<MarksAnswer>,
    asking: BTreeSet<RoomName>,
}

impl Questions {
    pub(in crate::bridge) fn new(node: NodeId, epoch: u64, expiry: Duration) -> Self {
        Self {
            head: LetterHead {
                node,
                epoch,
                asked: 0,
                absence: 0,
            },
            expiry,
            absent_since: None,
            asked_at: None,
            due: None,
            names_due: None,
            names: BTreeSet::new(),
            is_caught_up: false,
            is_old_checked: true,
            askers: HashMap::new(),
            answer: None,
            answering: None,
            asking: BTreeSet::new(),
        }
    }

    /// A session begins: what was taken and not said is to be said in this one.
    pub(in crate::bridge) fn begin(&mut self, now: Millis) {
        self.is_caught_up = false;
        self.due = None;
        self.names.append(&mut self.asking);
        self.names_due = (!self.names.is_empty()).then_some(now);
        if let Some(answer) = self.answering.take() {
            self.add(answer);
        }
    }

    /// Something may have been missed since what arrived last for sure.
    pub(in crate::bridge) fn absent(&mut self, proven: Option<Millis>, now: Millis) {
        let Some(proven) = proven else {
            return;
        };
        let since = proven - MARGIN;
        // Answers to a question of a moment ago may be among what was missed.
        let is_answered = self.asked_at.is_some_and(|at| now.since(at) >= MARGIN * 2);
        self.absent_since = match self.absent_since {
            Some(before) if !is_answered => Some(before.min(since)),
            _ => Some(since),
        };
    }

    /// Arrivals were thrown away, of whichever rooms.
    pub(in crate::bridge) fn lagged(&mut self, proven: Option<Millis>, now: Millis) {
        if self.due.is_none() {
            self.absent(proven, now);
            self.due = self.is_caught_up.then_some(now + LAGGED);
        }
    }

    /// All rooms that are known are subscribed; true the first time in a session.
    pub(in crate::bridge) fn caught_up(&mut self, now: Millis) -> bool {
        let is_first = !std::mem::replace(&mut self.is_caught_up, true);
        if is_first {
            self.due = Some(now);
        }
        is_first
    }

    /// These rooms were entered: who holds them may say where they are.
    pub(in crate::bridge) fn entered(
        &mut self,
        names: impl IntoIterator<Item = RoomName>,
        now: Millis,
    ) {
        self.names.extend(names);
        self.names_due = self.names_due.or(Some(now + GATHER_NAMES));
    }

    /// When this node asks next.
    pub(in crate::bridge) fn ask_due(&self) -> Option<Millis> {
        let mut due: Vec<Millis> = self.due.into_iter().chain(self.names_due).collect();
        due.sort();
        due.first().copied()
    }

    /// What this node asks now; it is to be said by [`Questions::asked`].
    pub(in crate::bridge) fn ask(&mut self, now: Millis) -> Option<OwnQuestion> {
        if self.ask_due()? > now {
            return None;
        }
        if self.due.is_some_and(|due| due <= now) {
            self.due = None;
            self.head.asked += 1;
            self.asked_at = Some(now);
            self.is_old_checked = false;
        }
        self.names_due = None;
        self.asking.append(&mut self.names);
        Some(OwnQuestion {
            head: self.head(now),
            names: self.asking.iter().cloned().collect(),
        })
    }

    /// Redis took it.
    pub(in crate::bridge) fn asked(&mut self) {
        self.asking.clear();
    }

    /// The head of a letter of this node: with its last question, for those who were not there.
    pub(in crate::bridge) fn head(&self, now: Millis) -> LetterHead {
        let is_recent = self.asked_at.is_some_and(|at| now.since(at) < self.expiry);
        let absence = self.absent_since.map(|since| now.since(since).as_millis());
        match absence {
            _ if !is_recent => LetterHead {
                asked: 0,
                ..self.head
            },
            absence => LetterHead {
                absence: absence.map_or(0, |absence| u64::try_from(absence).unwrap_or(u64::MAX)),
                ..self.head
            },
        }
    }

    /// A letter of another node came. Of the rooms that it names count those that this node `holds`.
    pub(in crate::bridge) fn hear(
        &mut self,
        letter: &Letter<'_>,
        now: Millis,
        holds: impl Fn(&RoomName) -> bool,
    ) {
        let LetterHead {
            node,
            asked,
            absence,
            ..
        } = letter.head;
        let is_new = self.note(node, asked, now);
        let since = (is_new && absence > 0).then(|| now - Duration::from_millis(absence));
        let names: BTreeSet<RoomName> = letter.names().filter(holds).collect();
        let is_asked = is_new && letter.kind == LetterKind::Question;
        if since.is_some() || is_asked || !names.is_empty() {
            self.add(MarksAnswer {
                since,
                names,
                is_owed: is_asked,
                due: now + GATHER,
            });
        }
    }

    /// Keeps in mind that the node speaks so; true if it asks something that it has not asked before.
    fn note(&mut self, node: NodeId, asked: u64, now: Millis) -> bool {
        if self.askers.len() >= NODES_MAX && !self.askers.contains_key(&node) {
            let is_there = |asker: &Asker| now.since(asker.heard) < GONE;
            self.askers.retain(|_, asker| is_there(asker));
            if self.askers.len() >= NODES_MAX {
                return asked > 0;
            }
        }
        let begin = Asker {
            asked: 0,
            heard: now,
        };
        let asker = self.askers.entry(node).or_insert(begin);
        asker.heard = now;
        let is_new = asked > asker.asked;
        asker.asked = asked.max(asker.asked);
        is_new
    }

    fn add(&mut self, more: MarksAnswer) {
        let Some(answer) = &mut self.answer else {
            self.answer = Some(more);
            return;
        };
        let both = [answer.since, more.since].into_iter().flatten();
        answer.since = both.min();
        answer.names.extend(more.names);
        answer.is_owed |= more.is_owed;
        answer.due = answer.due.min(more.due);
    }

    /// When this node answers next.
    pub(in crate::bridge) fn answer_due(&self) -> Option<Millis> {
        self.answer.as_ref().map(|answer| answer.due)
    }

    /// What others are to be told now; it is to be said by [`Questions::answered`].
    pub(in crate::bridge) fn answer(&mut self, now: Millis) -> Option<MarksAnswer> {
        let answer = self.answer.take_if(|answer| answer.due <= now)?;
        self.answering = Some(answer.clone());
        Some(answer)
    }

    /// Redis took it.
    pub(in crate::bridge) fn answered(&mut self) {
        self.answering = None;
    }

    /// Do any of these not know the form?
    pub(in crate::bridge) fn are_old(&self, heard: &HashSet<NodeId>) -> bool {
        heard.iter().any(|node| !self.askers.contains_key(node))
    }

    /// Once for each question about an absence, when those that know the form have said so: since when the others are to
    /// have said who they are.
    pub(in crate::bridge) fn check_old(&mut self, now: Millis) -> Option<Millis> {
        let asked_at = self.asked_at?;
        let is_due = !self.is_old_checked && now.since(asked_at) >= SILENCE;
        self.is_old_checked |= is_due;
        is_due.then_some(asked_at)
    }
}

#[cfg(test)]
mod tests {
    use super::super::letter::{LetterWriter, letters};
    use super::*;
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

    /// Away from `since` on, back at `now`.
    fn back(node: &mut Questions, since: Millis, now: Millis) -> OwnQuestion {
        node.absent(Some(since), now);
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
        own.entered([name(1), name(2)], at(1));
        own.entered([name(2), name(9)], at(1));
        assert_eq!(own.ask(at(1)), None);
        let asked = own.ask(at(1) + GATHER_NAMES).unwrap();
        assert_eq!(asked.names, [name(1), name(2), name(9)]);
        own.begin(at(5));
        let again = own.ask(at(5)).unwrap();
        assert_eq!(again.names, asked.names);
        own.asked();
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
        // It was never up.
        let mut own = node(0);
        own.absent(None, at(5));
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
            own.lagged(Some(at(299)), now);
            asked += usize::from(own.ask(now).is_some());
        }
        assert_eq!(asked, 2);
        assert!(own.head(at(303)).absence < 12_000);
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
        // They are gone: a node of ours has room.
        let asked = back(&mut node(1), at(5), at(10));
        hear(&mut own, &question(&asked), at(100) + GONE + SECOND);
        assert!(own.askers.contains_key(&NodeId([1; 16])));
    }
}
