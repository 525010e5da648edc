//! Which prompts there are, and which of them may be answered next: state alone, no task, no time but as an argument.
//!
//! Rooms take turns, one prompt of each at a time. A business with as many prompts being answered as it may have is
//! passed over until one of them ends, so that its rooms keep nobody else waiting; and of those that wait it has a share,
//! so that it leaves places to others: of what is free, since customers may make up businesses, of which a few would have
//! all. With a debounce, a room's prompts wait until its customer has stopped for long enough, and those that one customer
//! sent in a row are asked as one.

use super::{AssistantReply, Failure, Prompt, ReplyTo};
use crate::name::RoomName;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Longest question in bytes that several prompts become; what does not fit is the next one.
pub(super) const QUESTION_BYTES_MAX: usize = 32 * 1024;

/// How long a customer may keep on talking, in debounces, until the question is asked all the same.
const DEBOUNCES_MAX: u32 = 5;

/// What happened so far. `accepted = replied + later + unwanted + timeouts + panics + failures + stopped + merged + open`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Prompts taken in.
    pub accepted: u64,
    /// Prompts turned away because a limit was reached; not part of `accepted`.
    pub busy: u64,
    /// Prompts turned away because their business had its share of those that wait; part of neither.
    pub over_share: u64,
    /// Prompts that ended in a reply.
    pub replied: u64,
    /// Prompts whose reply comes later, by another way.
    pub later: u64,
    /// Prompts that wanted no reply.
    pub unwanted: u64,
    /// Apologies because `assistant.timeout` had passed.
    pub timeouts: u64,
    /// Apologies because the backend panicked.
    pub panics: u64,
    /// Apologies because the backend failed, broke off, or sent nothing or too much.
    pub failures: u64,
    /// Apologies because the node was going down.
    pub stopped: u64,
    /// Prompts that were part of another one's question (`assistant.debounce`), and were answered with that.
    pub merged: u64,
    /// Prompts waiting or being answered.
    pub open: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct PromptLimits {
    pub(super) prompts: usize,
    pub(super) per_room: usize,
    pub(super) concurrency: usize,
    pub(super) per_business: usize,
    /// Of one business, those being answered not counted; `None`: a third of the places that are free.
    pub(super) waiting_per_business: Option<usize>,
    pub(super) debounce: Duration,
}

impl PromptLimits {
    /// How many of one business may wait if so many prompts are open.
    fn share(&self, open: usize) -> usize {
        // Alone that makes a quarter of all; and once what they had before is answered, many have less each, and leave some.
        let of_free = self.prompts.saturating_sub(open) / 3;
        self.waiting_per_business.unwrap_or(of_free).max(1)
    }

    /// When a room's prompts are asked, of which the first and the last came then.
    fn due(&self, first: Instant, last: Instant) -> Instant {
        (last + self.debounce).min(first + self.debounce * DEBOUNCES_MAX)
    }
}

/// What became of a prompt that was brought.
pub(super) enum TakenIn {
    /// There is no room for it.
    Refused(Prompt),
    /// Something may have become ready.
    Accepted,
    /// Somebody has to wait until the room's customer has stopped, and then call [`OpenPrompts::settled`].
    Settling(RoomName),
}

/// The question that is to be asked next, and who waits for the answer.
pub(super) struct NextQuestion {
    pub(super) room: RoomName,
    pub(super) user: Option<Arc<str>>,
    pub(super) text: String,
    pub(super) reply: Box<dyn ReplyTo>,
    /// Of the prompts that are part of this question.
    pub(super) merged: Vec<Box<dyn ReplyTo>>,
}

#[derive(Default)]
pub(super) struct OpenPrompts {
    /// Rooms with a prompt waiting or being answered.
    rooms: HashMap<RoomName, RoomPrompts>,
    /// Rooms whose first prompt may start as soon as there is a free place, in turn.
    ready: VecDeque<RoomName>,
    /// Businesses with a prompt that waits or is being answered.
    businesses: HashMap<Box<str>, BusinessPrompts>,
    pub(super) running: usize,
    /// Somebody is starting prompts.
    pub(super) is_starting: bool,
    closed: bool,
    pub(super) counts: Counts,
}

#[derive(Default)]
struct RoomPrompts {
    answering: bool,
    waiting: VecDeque<Prompt>,
    /// When the first and the last of those that wait came; `None` without a debounce.
    came: Option<(Instant, Instant)>,
}

#[derive(Default)]
struct BusinessPrompts {
    running: usize,
    waiting: usize,
    /// Rooms that were ready while the business had as many as it may have.
    held: VecDeque<RoomName>,
}

impl OpenPrompts {
    /// Takes a prompt that comes `now`.
    pub(super) fn take_in(
        &mut self,
        prompt: Prompt,
        limits: &PromptLimits,
        now: impl FnOnce() -> Instant,
    ) -> TakenIn {
        let open = usize::try_from(self.counts.open).unwrap_or(usize::MAX);
        let in_room = self
            .rooms
            .get(&prompt.room)
            .map_or(0, |room| room.waiting.len() + usize::from(room.answering));
        // The first one does not count as waiting, even if no place is free for it yet.
        if self.closed || open >= limits.prompts || in_room > limits.per_room {
            self.counts.busy += 1;
            return TakenIn::Refused(prompt);
        }
        let business = self.businesses.entry(prompt.room.business_id().into());
        let business = business.or_default();
        if business.waiting >= limits.share(open) {
            self.counts.over_share += 1;
            return TakenIn::Refused(prompt);
        }
        business.waiting += 1;
        self.counts.accepted += 1;
        self.counts.open += 1;
        let name = prompt.room.clone();
        let room = self.rooms.entry(name.clone()).or_default();
        if !limits.debounce.is_zero() {
            let now = now();
            let first = room.came.filter(|_| !room.waiting.is_empty());
            room.came = Some((first.map_or(now, |(first, _)| first), now));
        }
        room.waiting.push_back(prompt);
        match in_room {
            0 if limits.debounce.is_zero() => {
                self.ready.push_back(name);
                TakenIn::Accepted
            }
            0 => TakenIn::Settling(name),
            _ => TakenIn::Accepted,
        }
    }

    /// Until when a room's customer is waited for that is [`TakenIn::Settling`].
    pub(super) fn due(&self, name: &RoomName, limits: &PromptLimits) -> Option<Instant> {
        let (first, last) = self.rooms.get(name)?.came?;
        Some(limits.due(first, last))
    }

    /// A room's customer is waited for no longer.
    pub(super) fn settled(&mut self, name: RoomName) {
        if self.rooms.contains_key(&name) {
            self.ready.push_back(name);
        }
    }

    /// The next question, if there is one and a place for it, which is taken.
    pub(super) fn next(&mut self, limits: &PromptLimits) -> Option<NextQuestion> {
        while self.running < limits.concurrency {
            let name = self.ready.pop_front()?;
            let room = self.rooms.get_mut(&name)?;
            let business = self.businesses.get_mut(name.business_id())?;
            if business.running >= limits.per_business {
                business.held.push_back(name);
                continue;
            }
            let first = room.waiting.pop_front()?;
            room.answering = true;
            business.running += 1;
            self.running += 1;
            let mut question = NextQuestion {
                room: name,
                user: first.user,
                text: first.text,
                reply: first.reply,
                merged: Vec::new(),
            };
            if !limits.debounce.is_zero() {
                let fits = |text: &str, more: &Prompt| {
                    more.asker == first.asker && text.len() + more.text.len() < QUESTION_BYTES_MAX
                };
                while let Some(more) = room.waiting.pop_front_if(|more| fits(&question.text, more))
                {
                    question.text.push('\n');
                    question.text.push_str(&more.text);
                    question.merged.push(more.reply);
                }
            }
            business.waiting -= 1 + question.merged.len();
            return Some(question);
        }
        None
    }

    /// An answer has ended `now`. The room again if its customer has to be waited for, as in [`TakenIn::Settling`].
    pub(super) fn end(
        &mut self,
        name: &RoomName,
        limits: &PromptLimits,
        now: impl FnOnce() -> Instant,
    ) -> Option<RoomName> {
        self.running -= 1;
        self.end_in_business(name.business_id());
        let room = self.rooms.get_mut(name)?;
        room.answering = false;
        if room.waiting.is_empty() {
            self.rooms.remove(name);
            return None;
        }
        if let Some((first, last)) = room.came
            && limits.due(first, last) > now()
        {
            return Some(name.clone());
        }
        self.ready.push_back(name.clone());
        None
    }

    fn end_in_business(&mut self, business_id: &str) {
        let Some(business) = self.businesses.get_mut(business_id) else {
            return;
        };
        business.running -= 1;
        match business.held.pop_front() {
            // Before those that came later.
            Some(room) => self.ready.push_front(room),
            None if business.running + business.waiting == 0 => {
                drop(self.businesses.remove(business_id))
            }
            None => {}
        }
    }

    /// Takes nothing any more, and gives away what waits.
    pub(super) fn close(&mut self) -> Vec<Prompt> {
        self.closed = true;
        self.ready.clear();
        for business in self.businesses.values_mut() {
            business.held.clear();
            business.waiting = 0;
        }
        let rooms = self.rooms.values_mut();
        let waiting = rooms.flat_map(|room| room.waiting.drain(..)).collect();
        self.rooms.retain(|_, room| room.answering);
        self.businesses.retain(|_, business| business.running > 0);
        waiting
    }

    /// Is a prompt of this room waiting or being answered?
    pub(super) fn has(&self, room: &RoomName) -> bool {
        self.rooms.contains_key(room)
    }

    /// Counts the end of a question that so many other prompts were part of.
    pub(super) fn count(&mut self, outcome: &Result<AssistantReply, Failure>, merged: u64) {
        let counts = &mut self.counts;
        counts.open -= 1 + merged;
        counts.merged += merged;
        *match outcome {
            Ok(AssistantReply::Text(..)) => &mut counts.replied,
            Ok(AssistantReply::Later) => &mut counts.later,
            Ok(AssistantReply::Unwanted) => &mut counts.unwanted,
            Err(Failure::Timeout) => &mut counts.timeouts,
            Err(Failure::Panicked) => &mut counts.panics,
            Err(Failure::Stopped) => &mut counts.stopped,
            Err(_) => &mut counts.failures,
        } += 1;
    }
}
