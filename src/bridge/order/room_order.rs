//! One room of this node in mode `streams`: where it is in the stream, and what of its own is still
//! on the way. Decides what the members are given, under the locks of the room and of the link's rooms.

use super::follower::{Account, Follower, Position, SeenPlace, StreamStep, Turned};
use super::page::{Announcement, Page};
use super::unconfirmed::{Back, Placed, Unconfirmed, UnconfirmedLoad};
use crate::bridge::envelope::{Envelope, EnvelopeEntry, EnvelopeHead, NodeId};
use crate::bridge::origins::{Novelty, Origins};
use crate::broker::Publication;
use crate::clock::Millis;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// What a order must know to take something in.
#[derive(Clone, Copy, Debug)]
pub(in crate::bridge) struct HearContext {
    pub(in crate::bridge) node: NodeId,
    pub(in crate::bridge) now: Millis,
    /// Milliseconds since 1970.
    pub(in crate::bridge) wall: u64,
    /// `queue.expiry`.
    pub(in crate::bridge) expiry: Duration,
    /// `bridge.order_timeout`.
    pub(in crate::bridge) order_timeout: Duration,
}

/// What came of it, for the metrics.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::bridge) struct HearTally {
    /// Messages that arrived.
    pub(in crate::bridge) received: u64,
    /// Of these, those that had been delivered before.
    pub(in crate::bridge) known: u64,
    /// Messages of other nodes for the members.
    pub(in crate::bridge) delivered: u64,
    /// Unconfirmed ones that had been delivered at once.
    pub(in crate::bridge) echoes: u64,
    /// Past their deadline.
    pub(in crate::bridge) late: u64,
    /// Entries that are no message of ours.
    pub(in crate::bridge) poison: u64,
    /// Messages read from the stream.
    pub(in crate::bridge) read: u64,
    pub(in crate::bridge) account: Account,
}

/// One read of one room's stream, by its number on this link.
pub(in crate::bridge) type ReadTicket = u64;

/// One room.
#[derive(Debug)]
pub(in crate::bridge) struct RoomOrder {
    follower: Follower,
    unconfirmed: Unconfirmed,
    /// What other nodes have said, by their own numbers: a failover may lose an entry that was heard, and its node, whose
    /// answer was lost with it, appends it again. What is missing in the stream its offsets tell, what never came to
    /// it these numbers.
    origins: Origins,
    /// Subscribed in this session and caught up once: what is said here comes back.
    is_open: bool,
    /// Redis has refused to append or to read: once it can be read, the room is ordered again.
    is_refused: bool,
    /// A read is under way or in the queue.
    pub(in crate::bridge) is_queued: bool,
    /// The read that is under way: a page that this room of the name did not ask for is not taken in.
    asked: Option<ReadTicket>,
    /// Somebody looks at how long its own publications wait.
    pub(in crate::bridge) is_watched: bool,
}

impl RoomOrder {
    /// A room that nothing is known of.
    pub(in crate::bridge) fn new(load: Arc<UnconfirmedLoad>) -> Self {
        Self {
            follower: Follower::default(),
            unconfirmed: Unconfirmed::new(load),
            origins: Origins::default(),
            is_open: false,
            is_refused: false,
            is_queued: false,
            asked: None,
            is_watched: false,
        }
    }

    /// A session begins or has ended: what is said here does not come back.
    pub(in crate::bridge) fn close(&mut self) {
        self.is_open = false;
        self.is_queued = false;
        self.asked = None;
        self.follower.close();
    }

    /// The newest entry that is known to have been there.
    pub(in crate::bridge) fn seen(&self) -> Option<SeenPlace> {
        self.follower.seen()
    }

    /// So many of this node's were appended, the last one there.
    pub(in crate::bridge) fn appended(&mut self, (epoch, last): SeenPlace, count: u64) {
        self.follower.appended(epoch, last, count);
    }

    /// What Redis is to be told that was seen here.
    pub(in crate::bridge) fn take_due(&mut self) -> Option<SeenPlace> {
        self.follower.take_due()
    }

    /// The room is not subscribed any more: what arrives once it is comes behind a read.
    pub(in crate::bridge) fn lose(&mut self) {
        self.follower.doubt();
    }

    /// Something may have been missed; true if a read is to be queued.
    pub(in crate::bridge) fn doubt(&mut self) -> bool {
        self.follower.doubt();
        !std::mem::replace(&mut self.is_queued, true)
    }

    /// Redis has refused something; as [`RoomOrder::doubt`].
    pub(in crate::bridge) fn ask_again(&mut self) -> bool {
        self.is_refused = true;
        self.doubt()
    }

    /// Does this node's own order wait for that of all nodes?
    pub(in crate::bridge) fn is_ordered(&self) -> bool {
        self.is_open && !self.unconfirmed.has_fallen()
    }

    pub(in crate::bridge) fn is_live(&self) -> bool {
        self.follower.is_live()
    }

    /// The `number`th publication of a life of the room; those that are not waited for any longer go
    /// into `earlier`.
    pub(in crate::bridge) fn say(
        &mut self,
        number: (u64, u64),
        publication: &Publication,
        now: Millis,
        may_wait: bool,
        earlier: &mut Vec<Publication>,
    ) -> Placed {
        let may_wait = may_wait && self.is_open;
        self.unconfirmed
            .say(number, publication, now, may_wait, earlier)
    }

    /// Since when the oldest own publication waits.
    pub(in crate::bridge) fn oldest(&self) -> Option<Millis> {
        self.unconfirmed.oldest()
    }

    /// Nothing waits any longer. How many did.
    pub(in crate::bridge) fn fall(&mut self, into: &mut Vec<Publication>) -> u64 {
        self.unconfirmed.fall(into)
    }

    /// The way is as good as new.
    pub(in crate::bridge) fn rise(&mut self) {
        self.unconfirmed.rise();
    }

    /// Takes an announcement in; what the members get goes into `ready`. True if a read is to be
    /// queued.
    pub(in crate::bridge) fn hear(
        &mut self,
        announcement: &Announcement<'_>,
        may_deliver: bool,
        context: &HearContext,
        ready: &mut Vec<Publication>,
        tally: &mut HearTally,
    ) -> bool {
        let envelope = &announcement.envelope;
        if envelope.is_empty() {
            self.follower.doubt();
        }
        for (index, entry) in (0..).zip(envelope.entries()) {
            let at = Position {
                offset: announcement.first.offset.saturating_add(index),
                ..announcement.first
            };
            tally.received += 1;
            match self.follower.arrival(at, may_deliver) {
                StreamStep::Next => self.take(envelope.head(), entry, context, ready, tally),
                StreamStep::Known => tally.known += 1,
                StreamStep::Later => {}
            }
        }
        !self.follower.is_live() && !std::mem::replace(&mut self.is_queued, true)
    }

    /// What to read next, by a read with a ticket of its own; `None` if nothing is to be read, or is being read.
    pub(in crate::bridge) fn request(&mut self, ticket: ReadTicket) -> Option<Option<Position>> {
        if !self.is_queued || self.asked.is_some() {
            return None;
        }
        self.asked = Some(ticket);
        Some(self.follower.request())
    }

    /// The read has ended; false if it was not this room's, which may have been left and entered again meanwhile.
    pub(in crate::bridge) fn answered(&mut self, ticket: ReadTicket) -> bool {
        let is_own = self.asked == Some(ticket);
        if is_own {
            self.asked = None;
        }
        is_own
    }

    /// Takes a page in that was [`answered`](RoomOrder::answered); as [`RoomOrder::hear`].
    pub(in crate::bridge) fn turn(
        &mut self,
        page: &Page,
        context: &HearContext,
        ready: &mut Vec<Publication>,
        tally: &mut HearTally,
    ) -> Turned {
        let places: Vec<Position> = page.entries.iter().map(|entry| entry.at).collect();
        let turned = self.follower.turn(page.tail, &page.before, &places);
        // A page alone tells of losses. Counted before what it brings is taken in: whose number is missing may be among them.
        let found = self.follower.take_account();
        if found != Account::default() {
            tally.account.missed = self.origins.lose(found.missed);
            tally.account.resets = found.resets;
        }
        for entry in &page.entries {
            tally.read += 1;
            let Ok(envelope) = Envelope::read(&entry.envelope) else {
                tally.poison += 1;
                self.origins.lose(1);
                continue;
            };
            for message in envelope.entries() {
                self.take(envelope.head(), message, context, ready, tally);
            }
        }
        if turned == Turned::Live {
            self.origins.settle();
            self.is_open = true;
            self.is_queued = false;
            if std::mem::take(&mut self.is_refused) {
                self.unconfirmed.rise();
            }
        }
        turned
    }

    /// The stream cannot be read: the room goes on alone until it can be, and then with the first
    /// entry that it did not have.
    pub(in crate::bridge) fn give_up(&mut self) {
        self.follower.begin_at_start();
        self.is_open = false;
        self.is_refused = true;
        self.is_queued = false;
    }

    fn take(
        &mut self,
        head: &EnvelopeHead,
        entry: EnvelopeEntry<'_>,
        context: &HearContext,
        ready: &mut Vec<Publication>,
        tally: &mut HearTally,
    ) {
        let EnvelopeEntry::Message {
            number,
            deadline,
            frame,
        } = entry
        else {
            return;
        };
        if head.node == context.node {
            let key = (head.incarnation, number);
            match self
                .unconfirmed
                .back(key, context.now, context.order_timeout, ready)
            {
                Back::Waited => return,
                Back::Known => {
                    tally.echoes += 1;
                    return;
                }
                Back::Stranger => {}
            }
        }
        if head.node != context.node {
            match self.origins.message(head, number, context.now) {
                Novelty::Duplicate => {
                    tally.known += 1;
                    return;
                }
                Novelty::Fresh { missed } => {
                    tally.account.missed = tally.account.missed.saturating_add(missed);
                }
            }
        }
        let left = Duration::from_millis(deadline.saturating_sub(context.wall));
        if left.is_zero() {
            tally.late += 1;
            return;
        }
        tally.delivered += 1;
        ready.push(Publication {
            // A copy: a slice would keep the library's whole read buffer alive.
            frame: Bytes::copy_from_slice(frame),
            // Another node's clock or settings must not keep it here for longer than ours do.
            deadline: context.now + left.min(context.expiry),
            event: None,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> RoomOrder {
        RoomOrder::new(Arc::new(UnconfirmedLoad::new(8, 1 << 10)))
    }

    #[test]
    fn a_page_is_taken_in_by_the_room_that_asked_and_one_read_is_under_way() {
        let mut order = order();
        assert_eq!(order.request(1), None, "nothing is to be read");
        assert!(order.doubt());
        assert_eq!(order.request(2), Some(None));
        assert_eq!(order.request(3), None, "one is under way");
        // The room is left and entered again, while its first life's read is under way and stands in the queue.
        let mut next = self::order();
        assert!(next.doubt());
        assert!(!next.answered(2), "of the life before");
        assert_eq!(next.request(4), Some(None));
        assert!(!next.answered(2));
        assert!(next.answered(4) && !next.answered(4));
        assert_eq!(next.request(5), Some(None), "and on");
        next.close();
        assert!(!next.answered(5), "of the session before");
    }
}
