//! What is to do in this turn or the next: which rooms are written and how much of each, and which
//! connections want something.
//!
//! Rooms of a few members are small: they are written whole, in the order in
//! which they were told something, up to a budget in all. Of the others there is one portion in a turn, to
//! one room after the other; between portions the worker polls, reads, accepts and writes small rooms, so
//! nobody waits for a large fan-out to end. What a room is told meanwhile is gathered, and leaves in
//! one write.
//!
//! The lists keep their memory, so a turn allocates nothing. A key may be of a connection that is gone by
//! the time its turn comes.

use super::client::Ended;
use std::collections::VecDeque;

/// Events taken per poll. A turn reads from all of them before it writes to any, so few enough that
/// their sockets are still in the core's cache when it writes (`compare --only echo-2000`, in `floor`:
/// 1,024 events 1.22, 256 1.12, 64 1.05, 16 1.09), and enough that a poll's own cost is spread.
pub(super) const EVENTS: usize = 64;

/// The work lists of a worker, by key.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    /// Rooms that were told something, and have not been found to be large. A room is in one of the two
    /// lists once, as long as it has something to be written.
    small: VecDeque<u64>,
    large: VecDeque<u64>,
    /// Connections with something to write besides publications.
    touched: Vec<u64>,
    /// Connections to read from although no event says so.
    unread: Vec<u64>,
    /// Connections whose input waits for a mailbox.
    stalled: Vec<u64>,
    /// Connections that end, in the order in which they leave their rooms.
    ending: VecDeque<u64>,
    /// How many of those may leave: all they have said has been taken from the mailbox.
    may_leave: usize,
    /// Connections to be removed at the end of the turn.
    gone: Vec<(u64, Ended)>,
    /// Events that the worker has seen.
    seen: u64,
    /// The last poll had as many as it can have: others may be waiting.
    is_busy: bool,
}

impl Agenda {
    /// Notes how many events a poll had.
    pub(super) fn polled(&mut self, events: usize) {
        self.seen += events as u64;
        self.is_busy = events >= EVENTS;
    }

    /// How many events the worker has seen.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// Others may be waiting to be read.
    pub(super) fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// Is there something that cannot wait for an event?
    pub(super) fn is_urgent(&self) -> bool {
        !(self.unread.is_empty()
            && self.touched.is_empty()
            && self.ending.is_empty()
            && self.gone.is_empty())
    }

    /// Puts a room that was idle into line.
    pub(super) fn add_room(&mut self, room: u64) {
        self.small.push_back(room);
    }

    /// The next room that is not known to be large.
    pub(super) fn next_room(&mut self) -> Option<u64> {
        self.small.pop_front()
    }

    /// Lets a room go first that has not been written whole.
    pub(super) fn put_first(&mut self, room: u64) {
        self.small.push_front(room);
    }

    /// Puts a room into line that takes more than a few writes.
    pub(super) fn add_large(&mut self, room: u64) {
        self.large.push_back(room);
    }

    /// The large room whose portion is due.
    pub(super) fn next_large(&mut self) -> Option<u64> {
        self.large.pop_front()
    }

    /// Large rooms in line.
    pub(super) fn large_rooms(&self) -> usize {
        self.large.len()
    }

    /// Something waits to be written to this connection.
    pub(super) fn touch(&mut self, connection: u64) {
        self.touched.push(connection);
    }

    pub(super) fn next_touched(&mut self) -> Option<u64> {
        self.touched.pop()
    }

    /// This connection's socket may hold bytes that no event will announce.
    pub(super) fn read_again(&mut self, connection: u64) {
        self.unread.push(connection);
    }

    pub(super) fn take_unread(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.unread)
    }

    /// This connection goes on when a mailbox has room.
    pub(super) fn stall(&mut self, connection: u64) {
        self.stalled.push(connection);
    }

    pub(super) fn take_stalled(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.stalled)
    }

    /// This connection leaves its room once what it has said is out.
    pub(super) fn end(&mut self, connection: u64) {
        self.ending.push_back(connection);
    }

    /// The mailbox is about to be taken: all who end by now may leave after that.
    pub(super) fn let_leave(&mut self) {
        self.may_leave = self.ending.len();
    }

    /// The next connection that may leave its room.
    pub(super) fn next_leaver(&mut self) -> Option<u64> {
        self.may_leave = self.may_leave.checked_sub(1)?;
        self.ending.pop_front()
    }

    /// Does anybody end who may not leave yet?
    fn has_talkers(&self) -> bool {
        self.ending.len() > self.may_leave
    }

    /// Has everybody who ends left?
    pub(super) fn have_all_left(&self) -> bool {
        self.ending.is_empty()
    }

    /// Is nobody left with something to write besides publications, and does nobody end who may not leave yet?
    pub(super) fn is_written(&self) -> bool {
        self.touched.is_empty() && !self.has_talkers()
    }

    /// This connection is to be removed at the end of the turn.
    pub(super) fn mark_gone(&mut self, connection: u64, ended: Ended) {
        self.gone.push((connection, ended));
    }

    pub(super) fn take_gone(&mut self) -> Vec<(u64, Ended)> {
        std::mem::take(&mut self.gone)
    }
}
