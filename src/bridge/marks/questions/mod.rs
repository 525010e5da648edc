//! Who asks for marks: this node, when it was away or enters rooms; others, whom it answers.
//!
//! Questions of others are gathered for [`GATHER`] and answered together: when many nodes return at once, each asks
//! once, and each answers about once. Who asked while a node was away has its question repeated in its digests, and is
//! answered then; rooms that it entered meanwhile are named again.
//!
//! Pure. Bounds: [`NODES_MAX`] nodes; names of rooms that this node holds, each once; [`ENTERED_MAX`] of them with the
//! time when they were entered.

use super::letter::{Letter, LetterHead, LetterKind};
use crate::bridge::envelope::NodeId;
use crate::clock::Millis;
use crate::name::RoomName;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

/// How long questions are gathered before they are answered.
const GATHER: Duration = Duration::from_millis(200);

/// How long names of rooms are gathered before they are asked for.
const GATHER_NAMES: Duration = Duration::from_millis(50);

/// Arrivals that were thrown away are asked for at most so often.
const LAGGED: Duration = Duration::from_secs(1);

/// While arrivals are thrown away again and again, answers may be among them, and each question reaches further back:
/// the next one waits for this part of the time that it asks about, so that answers cost a few times what was said.
const LAGGED_PART: u32 = 4;

/// Who can answer a question has done so after that time, if this node was there to hear it.
const ANSWERED: Duration = Duration::from_secs(30);

/// Absences about which was asked lately; beyond that two become one.
const ABSENCES_MAX: usize = 16;

/// An absence begins so long before what was the last proof that everything arrives. A mark follows its message by as
/// much: the quiet time and the tick of its sender, and the grace in which it is held here.
pub(in crate::bridge) const MARGIN: Duration = Duration::from_secs(5);

/// A node that says who it is, and for so long nothing about marks, does not know the form.
const SILENCE: Duration = Duration::from_secs(2);

/// Rooms that were entered while a node was away are asked for once more when it is back, at most so often.
const AGAIN: Duration = Duration::from_secs(5);

/// Rooms of which is known when they were entered.
const ENTERED_MAX: usize = 16 * 1024;

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
    /// Since when this node may have missed something about which it has not asked yet.
    absent_since: Option<Since>,
    /// Absences about which it has, when, and since when they were.
    absences: VecDeque<(Millis, Since)>,
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
    /// Rooms that this node has entered, and when.
    entered: VecDeque<(Millis, RoomName)>,
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
            absences: VecDeque::new(),
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
            entered: VecDeque::new(),
        }
    }

    /// A session begins: what was taken and not said is to be said in this one.
    pub(in crate::bridge) fn begin(&mut self, now: Millis) {
        self.is_caught_up = false;
        self.is_old_checked = true;
        self.due = None;
        self.names.append(&mut self.asking);
        self.names_due = (!self.names.is_empty()).then_some(now);
        if let Some(answer) = self.answering.take() {
            self.add(answer);
        }
    }

    /// Something may have been missed since what arrived last for sure.
    pub(in crate::bridge) fn absent(&mut self, proven: Option<(Millis, Duration)>) {
        let Some((proven, slept)) = proven else {
            return;
        };
        self.miss(Since::new(proven, MARGIN.saturating_add(slept)));
        // Answers to a question that was asked so late may be among what was missed, and all that it asked about.
        while let Some((_, since)) = self.absences.pop_back_if(|(at, _)| *at + ANSWERED > proven) {
            self.miss(since);
        }
    }

    fn miss(&mut self, since: Since) {
        let before = self.absent_since.unwrap_or(since);
        self.absent_since = Some(before.min(since));
    }

    /// Arrivals were thrown away, of whichever rooms.
    pub(in crate::bridge) fn lagged(&mut self, proven: Option<(Millis, Duration)>, now: Millis) {
        if self.due.is_some() {
            return;
        }
        self.absent(proven);
        let absence = Duration::from_millis(absence(self.absent_since, now));
        let beyond = absence.saturating_sub(MARGIN);
        let pause = LAGGED.max(beyond / LAGGED_PART);
        self.due = self.is_caught_up.then_some(now + pause);
    }

    /// All rooms are subscribed that were known before the session; true the first time in a session.
    pub(in crate::bridge) fn caught_up(&mut self, now: Millis) -> bool {
        let is_first = !std::mem::replace(&mut self.is_caught_up, true);
        if is_first {
            self.due = Some(now);
            self.is_old_checked = false;
        }
        is_first
    }

    /// These rooms were entered: who holds them may say where they are.
    pub(in crate::bridge) fn ask_for(&mut self, names: Vec<RoomName>, now: Millis) {
        self.names.extend(names);
        self.names_due = self.names_due.or(Some(now + GATHER_NAMES));
    }

    /// These rooms were entered: who is away may not have heard of it.
    pub(in crate::bridge) fn entered(&mut self, names: &[RoomName], now: Millis) {
        let entered = names.iter().map(|name| (now, name.clone()));
        self.entered.extend(entered);
        let more = self.entered.len().saturating_sub(ENTERED_MAX);
        drop(self.entered.drain(..more));
    }

    /// The rooms that this node has entered since then, so far as that is known.
    pub(in crate::bridge) fn entered_since(&self, since: Millis) -> HashSet<RoomName> {
        let entered = self.entered.iter().rev();
        let entered = entered.take_while(|(at, _)| *at >= since);
        entered.map(|(_, name)| name.clone()).collect()
    }

    /// Rooms that this node had entered before then were its rooms during an absence about which it has just asked: who
    /// began to speak there meanwhile has not been heard from the first.
    pub(in crate::bridge) fn missed_since(&self, now: Millis) -> Option<Millis> {
        let asked = self.absences.back()?;
        let is_answered = now.since(asked.0) >= ANSWERED;
        let since = u64::try_from(asked.1.0).ok().filter(|_| !is_answered)?;
        Some(Millis(since))
    }

    /// A node is back that was away since then.
    fn ask_again(&mut self, since: Millis, now: Millis) {
        let before = now - self.expiry;
        while self.entered.front().is_some_and(|(at, _)| *at < before) {
            self.entered.pop_front();
        }
        if self.names_due.is_some() || self.entered.is_empty() {
            return;
        }
        let meanwhile = self.entered.iter().rev();
        let meanwhile = meanwhile.take_while(|(at, _)| *at >= since);
        self.names.extend(meanwhile.map(|(_, name)| name.clone()));
        if !self.names.is_empty() {
            self.names_due = Some(now + AGAIN);
        }
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
        let mut absent_since = None;
        let is_about_absence = self.due.is_some_and(|due| due <= now);
        if is_about_absence {
            self.due = None;
            self.head.asked += 1;
            self.asked_at = Some(now);
            absent_since = self.absent_since.take();
            self.remember(absent_since, now);
        }
        self.names_due = None;
        self.asking.append(&mut self.names);
        let mut head = self.head(now);
        if is_about_absence {
            head.absence = absence(absent_since, now);
        }
        Some(OwnQuestion {
            head,
            names: self.asking.iter().cloned().collect(),
        })
    }

    /// Keeps in mind what is asked about, for those who are not there.
    fn remember(&mut self, absent_since: Option<Since>, now: Millis) {
        let Some(since) = absent_since else {
            return;
        };
        self.absences.push_back((now, since));
        if self.absences.len() > ABSENCES_MAX
            && let Some((_, oldest)) = self.absences.pop_front()
            && let Some((_, since)) = self.absences.front_mut()
        {
            *since = oldest.min(*since);
        }
    }

    /// Redis took it. Who holds the rooms that it named is to know this node in them, before it says anything there.
    pub(in crate::bridge) fn asked(&mut self, now: Millis) {
        let names = std::mem::take(&mut self.asking);
        if !names.is_empty() {
            self.add(MarksAnswer {
                since: None,
                names,
                is_owed: false,
                due: now + GATHER,
            });
        }
    }

    /// The head of a letter of this node: with its last question, for those who were not there, and about the longest
    /// absence, since whoever missed that question may have missed earlier ones.
    pub(in crate::bridge) fn head(&self, now: Millis) -> LetterHead {
        let is_recent = |at: &Millis| now.since(*at) < self.expiry;
        if !self.asked_at.as_ref().is_some_and(is_recent) {
            return LetterHead {
                asked: 0,
                ..self.head
            };
        }
        let recent = self.absences.iter().filter(|(at, _)| is_recent(at));
        LetterHead {
            absence: absence(recent.map(|(_, since)| *since).min(), now),
            ..self.head
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
        let is_new = self.note((node, asked), letter.kind, now);
        let since = (is_new && absence > 0).then(|| now - Duration::from_millis(absence));
        let names: BTreeSet<RoomName> = letter.names().filter(holds).collect();
        let is_asked = is_new && letter.kind == LetterKind::Question;
        if let Some(since) = since.filter(|_| is_asked) {
            self.ask_again(since, now);
        }
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
    fn note(&mut self, (node, asked): (NodeId, u64), kind: LetterKind, now: Millis) -> bool {
        let is_question = kind == LetterKind::Question;
        if self.askers.len() >= NODES_MAX && !self.askers.contains_key(&node) {
            let is_there = |asker: &Asker| now.since(asker.heard) < GONE;
            self.askers.retain(|_, asker| is_there(asker));
            if self.askers.len() >= NODES_MAX {
                // A digest of one that is not kept in mind may be the answer to a digest of this node.
                return is_question && asked > 0;
            }
        }
        let begin = Asker {
            asked: 0,
            heard: now,
        };
        let asker = self.askers.entry(node).or_insert(begin);
        asker.heard = now;
        // Questions come in order, digests with an older number behind them: another number in a question is a new one,
        // whatever somebody has said in the node's name.
        let is_new = asked > asker.asked || is_question && asked != asker.asked;
        let is_new = is_new && asked > 0;
        if is_new {
            asker.asked = asked;
        }
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

    /// Once for each return, when those that know the form have said so: since when the others are to have said who they
    /// are. Not after arrivals were thrown away: the next message of an older node tells of those.
    pub(in crate::bridge) fn check_old(&mut self, now: Millis) -> Option<Millis> {
        let asked_at = self.asked_at.filter(|_| self.due.is_none())?;
        let is_due = !self.is_old_checked && now.since(asked_at) >= SILENCE;
        self.is_old_checked |= is_due;
        is_due.then_some(asked_at)
    }
}

/// When an absence began, in milliseconds of this process's clock: before its start too, if the machine has slept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Since(i128);

impl Since {
    fn new(proven: Millis, before: Duration) -> Self {
        let before = i128::try_from(before.as_millis()).unwrap_or(i128::from(u64::MAX));
        Self(i128::from(proven.0) - before)
    }
}

/// An absence as a letter says it; 0 for none.
fn absence(since: Option<Since>, now: Millis) -> u64 {
    let millis = since.map(|since| (i128::from(now.0) - since.0).max(0));
    millis.map_or(0, |millis| u64::try_from(millis).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
