//! What was said in the rooms whose questions are answered: the context of the next question.
//!
//! Known here is what passed through this node's assistant, its questions and what they were answered with, and what the
//! site says of a room before that ([`SiteContext`](super::site_context::SiteContext)).
//! Limits: [`PastLimits`].

use super::ChatLine;
use crate::name::RoomName;
use crate::protocol::Sender;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// What a room costs beside the texts of its lines: its names and places in both tables.
pub(super) const CONVERSATION_BYTES: usize = 512;
/// What a line costs beside its text.
pub(super) const LINE_BYTES: usize = 2 * size_of::<ChatLine>();

/// How much is remembered of what was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastLimits {
    /// Most lines of a room; the oldest go first.
    pub lines: usize,
    /// Most bytes of a room's lines.
    pub bytes: usize,
    /// Most rooms; the one that was silent longest goes first.
    pub rooms: usize,
    /// How long a room is remembered after its last line.
    pub expiry: Duration,
}

/// The lines of all rooms.
#[derive(Debug)]
pub(super) struct Conversations {
    limits: PastLimits,
    rooms: HashMap<RoomName, Conversation>,
    /// Rooms by the number of their last line: the one that was silent longest first.
    by_silence: BTreeMap<u64, RoomName>,
    /// Lines so far.
    count: u64,
}

#[derive(Debug)]
struct Conversation {
    lines: VecDeque<ChatLine>,
    bytes: usize,
    /// The number of the last line.
    number: u64,
    last: Instant,
}

impl Conversations {
    pub(super) fn new(limits: PastLimits) -> Self {
        Self {
            limits,
            rooms: HashMap::new(),
            by_silence: BTreeMap::new(),
            count: 0,
        }
    }

    /// Is anything remembered of this room?
    pub(super) fn knows(&mut self, room: &RoomName, now: Instant) -> bool {
        self.forget(now);
        self.rooms.contains_key(room)
    }

    /// What was said in a room, oldest first.
    pub(super) fn of(&mut self, room: &RoomName, now: Instant) -> Vec<ChatLine> {
        self.forget(now);
        let conversation = self.rooms.get(room);
        conversation.map_or_else(Vec::new, |known| known.lines.iter().cloned().collect())
    }

    /// Remembers a line.
    pub(super) fn note(&mut self, room: &RoomName, by: Sender, text: &str, now: Instant) {
        self.count += 1;
        let number = self.count;
        let new = || Conversation {
            lines: VecDeque::new(),
            bytes: 0,
            number,
            last: now,
        };
        let conversation = self.rooms.entry(room.clone()).or_insert_with(new);
        self.by_silence.remove(&conversation.number);
        self.by_silence.insert(number, room.clone());
        (conversation.number, conversation.last) = (number, now);
        conversation.bytes += text.len();
        conversation.lines.push_back(ChatLine {
            by,
            text: text.to_owned(),
        });
        while conversation.lines.len() > self.limits.lines || conversation.bytes > self.limits.bytes
        {
            let Some(oldest) = conversation.lines.pop_front() else {
                break;
            };
            conversation.bytes -= oldest.text.len();
        }
        self.forget(now);
    }

    /// Forgets rooms that have been silent for too long, or are too many.
    fn forget(&mut self, now: Instant) {
        while let Some((&number, room)) = self.by_silence.first_key_value() {
            let last = self.rooms.get(room).map(|known| known.last);
            let is_silent = last.is_none_or(|last| now - last >= self.limits.expiry);
            if !is_silent && self.rooms.len() <= self.limits.rooms {
                return;
            }
            self.rooms.remove(room);
            self.by_silence.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: PastLimits = PastLimits {
        lines: 3,
        bytes: 10,
        rooms: 2,
        expiry: Duration::from_secs(60),
    };

    fn room(session: &str) -> RoomName {
        RoomName::chat("1", session).unwrap()
    }

    fn texts(of: &mut Conversations, session: &str, now: Instant) -> String {
        let lines = of.of(&room(session), now).into_iter();
        lines.map(|line| line.text).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn a_room_keeps_its_newest_lines_within_lines_and_bytes() {
        let (mut all, now) = (Conversations::new(LIMITS), Instant::now());
        for text in ["a", "b", "c", "d"] {
            all.note(&room("x"), Sender::User, text, now);
        }
        assert_eq!(texts(&mut all, "x", now), "b|c|d");
        all.note(&room("x"), Sender::Assistant, "12345678", now);
        assert_eq!(texts(&mut all, "x", now), "c|d|12345678");
        all.note(&room("x"), Sender::User, "longer than ten", now);
        assert_eq!(texts(&mut all, "x", now), "");
    }

    #[test]
    fn the_room_that_was_silent_longest_is_forgotten_first_and_every_one_in_the_end() {
        let (mut all, now) = (Conversations::new(LIMITS), Instant::now());
        for session in ["x", "y", "x", "z"] {
            all.note(&room(session), Sender::User, session, now);
        }
        assert_eq!(texts(&mut all, "y", now), "");
        assert_eq!(texts(&mut all, "x", now), "x|x");
        let later = now + Duration::from_secs(59);
        all.note(&room("z"), Sender::User, "again", later);
        let end = now + Duration::from_secs(60);
        assert_eq!(texts(&mut all, "x", end), "");
        assert!(!all.knows(&room("x"), end) && all.knows(&room("z"), end));
        assert_eq!(texts(&mut all, "z", end), "z|again");
        assert_eq!((all.rooms.len(), all.by_silence.len()), (1, 1));
    }
}
