//! What other nodes have said in one room: which of their publications came, came twice, or never.
//!
//! Every node numbers what it forwards into a room, from 1 in each incarnation of the room. Numbers
//! arrive in order, since one connection carries them; so a number at or below the last one is a
//! duplicate, and one that skips some says exactly how many are missing. A mark says the last number
//! given out, so that a loss at the end is counted too. A node heard for the first time has a
//! baseline and no gap: what it said before was for others.
//!
//! A room of a node that has died leaves its last number to one mark that is late: the room of that
//! name that came after it may have spoken first.
//!
//! In mode `streams` the stream's own offsets say what is missing as well, of whoever it was ([`Origins::lose`]):
//! it is counted by one of both. What never came to the stream has a number of its node alone.
//!
//! Pure. Bound: [`ORIGINS_MAX`] nodes a room, as many as the roll holds. From [`ORIGINS_KEPT`] on, those not
//! heard for [`SILENT`] make room whenever the list grows (each boot of a node is a node of its own, so rolling
//! restarts add some); at the bound the one not heard for longest does.

use super::envelope::{EnvelopeHead, NodeId};
use crate::clock::Millis;
use std::time::Duration;

/// Nodes remembered in one room.
pub const ORIGINS_MAX: usize = 1024;

/// So many are remembered however long they say nothing.
pub const ORIGINS_KEPT: usize = 64;

/// A node that has said nothing for so long is the first to be forgotten.
pub const SILENT: Duration = Duration::from_secs(600);

/// What an arriving publication is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Novelty {
    /// To be delivered; `missed` publications before it never came.
    Fresh {
        /// How many.
        missed: u64,
    },
    /// The publication has been here, or is of an incarnation that has ended.
    Duplicate,
}

#[derive(Clone, Copy, Debug)]
struct Origin {
    node: NodeId,
    epoch: u64,
    incarnation: u64,
    last: u64,
    /// The incarnation before, 0 if none is known, and its last number: a late mark may say more.
    before: (u64, u64),
    heard: Millis,
    /// What is missing of it by its next number may have been counted by [`Origins::lose`], or will be.
    is_doubted: bool,
}

/// The other nodes of one room.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    /// By node.
    known: Vec<Origin>,
    /// Lost, of whoever, and not missing by anybody's numbers so far.
    lost: u64,
    /// Missing by the numbers of nodes that are doubted, and not said to be lost so far.
    missed: u64,
}

impl Origins {
    /// Takes in a publication.
    pub fn message(&mut self, head: &EnvelopeHead, number: u64, now: Millis) -> Novelty {
        let Some(origin) = self.find(head, number, now) else {
            return Novelty::Fresh { missed: 0 };
        };
        match origin.advance(head, number) {
            Some(1..) if number > 0 => {
                let missed = origin.missed(head, number).saturating_sub(1);
                let is_doubted = std::mem::take(&mut origin.is_doubted);
                origin.take(head, number);
                if !is_doubted {
                    return Novelty::Fresh { missed };
                }
                let counted = missed.min(self.lost);
                let missed = missed - counted;
                self.lost -= counted;
                self.missed = self.missed.saturating_add(missed);
                Novelty::Fresh { missed }
            }
            _ => Novelty::Duplicate,
        }
    }

    /// So many publications are known to be lost, of whoever: how many of them are not counted. 0 where only that
    /// something may be lost is known.
    pub fn lose(&mut self, number: u64) -> u64 {
        let counted = number.min(self.missed);
        self.missed -= counted;
        self.lost = self.lost.saturating_add(number - counted);
        for origin in &mut self.known {
            origin.is_doubted = true;
        }
        number - counted
    }

    /// What is missing by the numbers so far is not said to be lost any more.
    pub fn settle(&mut self) {
        self.missed = 0;
    }

    /// Takes in a mark; how many publications up to it never came.
    pub fn mark(&mut self, head: &EnvelopeHead, number: u64, now: Millis) -> u64 {
        let Some(origin) = self.find(head, number, now) else {
            return 0;
        };
        if origin.advance(head, number).is_none() {
            return origin.mark_before(head, number);
        }
        let missed = origin.missed(head, number);
        origin.take(head, number);
        missed
    }

    /// Has the node been heard in this room?
    #[must_use]
    pub fn knows(&self, node: NodeId) -> bool {
        self.place(node).is_ok()
    }

    /// A node that is not known has said nothing yet.
    pub fn begin(&mut self, head: &EnvelopeHead, now: Millis) {
        if !self.knows(head.node) {
            let _baseline = self.find(head, 0, now);
        }
    }

    /// The nodes heard in this room.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Has no other node been heard?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The node, or `None` after it has been taken in with `number` as its baseline.
    fn find(&mut self, head: &EnvelopeHead, number: u64, now: Millis) -> Option<&mut Origin> {
        let place = self.place(head.node);
        if let Ok(place) = place {
            let origin = self.known.get_mut(place)?;
            origin.heard = now;
            return Some(origin);
        }
        self.make_room(now);
        let origin = Origin {
            node: head.node,
            epoch: head.epoch,
            incarnation: head.incarnation,
            last: number,
            before: (0, 0),
            heard: now,
            is_doubted: false,
        };
        if let Err(place) = self.place(head.node) {
            self.known.insert(place, origin);
        }
        None
    }

    fn place(&self, node: NodeId) -> Result<usize, usize> {
        self.known.binary_search_by_key(&node, |origin| origin.node)
    }

    /// Before one more is taken in.
    fn make_room(&mut self, now: Millis) {
        let grows = self.known.len() == self.known.capacity();
        if grows && self.known.len() >= ORIGINS_KEPT || self.known.len() >= ORIGINS_MAX {
            self.known.retain(|origin| now.since(origin.heard) < SILENT);
        }
        if self.known.len() < ORIGINS_MAX {
            return;
        }
        let places = self.known.iter().enumerate();
        let oldest = places.min_by_key(|(_, origin)| origin.heard);
        if let Some((oldest, _)) = oldest {
            self.known.remove(oldest);
        }
    }
}

impl Origin {
    /// How far `number` is ahead of the last one; `None` if the speaker is of the past.
    fn advance(&self, head: &EnvelopeHead, number: u64) -> Option<u64> {
        let (said, known) = (
            (head.epoch, head.incarnation),
            (self.epoch, self.incarnation),
        );
        match said.cmp(&known) {
            std::cmp::Ordering::Less => None,
            std::cmp::Ordering::Equal => number.checked_sub(self.last),
            std::cmp::Ordering::Greater => Some(number),
        }
    }

    /// Numbers after the last one up to `number`. A room that has died and come back begins with 1;
    /// so does everything after a boot, of which nothing is known.
    fn missed(&self, head: &EnvelopeHead, number: u64) -> u64 {
        if head.epoch > self.epoch {
            0
        } else if head.incarnation > self.incarnation {
            number
        } else {
            number.saturating_sub(self.last)
        }
    }

    /// A mark of the past: what it counts of an incarnation that has ended, and that nobody counted.
    /// Marks of one node come in the order of its incarnations.
    fn mark_before(&mut self, head: &EnvelopeHead, number: u64) -> u64 {
        let (incarnation, last) = self.before;
        if head.epoch != self.epoch
            || incarnation == 0
            || head.incarnation < incarnation
            || head.incarnation >= self.incarnation
        {
            return 0;
        }
        let known = if head.incarnation == incarnation {
            last
        } else {
            0
        };
        self.before = (head.incarnation, number.max(known));
        number.saturating_sub(known)
    }

    fn take(&mut self, head: &EnvelopeHead, number: u64) {
        if head.epoch > self.epoch {
            self.before = (0, 0);
        } else if head.incarnation > self.incarnation {
            self.before = (self.incarnation, self.last);
        }
        self.epoch = head.epoch;
        self.incarnation = head.incarnation;
        self.last = number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FRESH: Novelty = Novelty::Fresh { missed: 0 };

    fn head(node: u8, epoch: u64, incarnation: u64) -> EnvelopeHead {
        EnvelopeHead {
            node: NodeId([node; 16]),
            epoch,
            incarnation,
        }
    }

    fn hear(origins: &mut Origins, head: EnvelopeHead, numbers: &[u64]) -> Vec<Novelty> {
        let hear = |&number: &u64| origins.message(&head, number, Millis(0));
        numbers.iter().map(hear).collect()
    }

    #[test]
    fn a_hole_is_counted_exactly_and_a_repetition_is_dropped() {
        let mut origins = Origins::default();
        let heard = hear(&mut origins, head(1, 1, 1), &[5, 6, 6, 5, 9, 10, 7]);
        let two = Novelty::Fresh { missed: 2 };
        let dup = Novelty::Duplicate;
        assert_eq!(heard, [FRESH, FRESH, dup, dup, two, FRESH, dup]);
    }

    #[test]
    fn a_mark_counts_what_is_missing_at_the_end_once() {
        let mut origins = Origins::default();
        let head = head(1, 1, 1);
        assert_eq!(origins.mark(&head, 3, Millis(0)), 0, "the baseline");
        assert_eq!(hear(&mut origins, head, &[4]), [FRESH]);
        assert_eq!(origins.mark(&head, 6, Millis(0)), 2);
        assert_eq!(origins.mark(&head, 6, Millis(0)), 0);
        assert_eq!(
            hear(&mut origins, head, &[6, 7]),
            [Novelty::Duplicate, FRESH]
        );
    }

    #[test]
    fn a_room_that_dies_and_comes_back_begins_anew_and_misses_nothing_by_that() {
        let mut origins = Origins::default();
        hear(&mut origins, head(1, 1, 4), &[1, 2, 3]);
        assert_eq!(hear(&mut origins, head(1, 1, 9), &[1, 2]), [FRESH, FRESH]);
        let late = hear(&mut origins, head(1, 1, 4), &[4]);
        assert_eq!(
            late,
            [Novelty::Duplicate],
            "of an incarnation that has ended"
        );
        let missed = hear(&mut origins, head(1, 1, 12), &[3]);
        assert_eq!(missed, [Novelty::Fresh { missed: 2 }]);
        assert_eq!(origins.mark(&head(1, 1, 13), 2, Millis(0)), 2);
    }

    #[test]
    fn a_node_that_booted_again_makes_no_false_gap_and_its_past_is_over() {
        let mut origins = Origins::default();
        hear(&mut origins, head(1, 1, 1), &[7]);
        assert_eq!(hear(&mut origins, head(1, 2, 1), &[5, 6]), [FRESH, FRESH]);
        assert_eq!(
            hear(&mut origins, head(1, 1, 1), &[8]),
            [Novelty::Duplicate]
        );
        assert_eq!(origins.mark(&head(1, 1, 1), 99, Millis(0)), 0);
    }

    fn many(node: usize) -> EnvelopeHead {
        let mut id = [0; 16];
        // Not in order.
        id[..8].copy_from_slice(
            &(node as u64)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .to_be_bytes(),
        );
        EnvelopeHead {
            node: NodeId(id),
            epoch: 1,
            incarnation: 1,
        }
    }

    #[test]
    fn many_nodes_that_speak_in_turn_are_all_remembered_and_every_hole_is_counted() {
        let mut origins = Origins::default();
        for round in 1..=10_u64 {
            for node in 0..500 {
                // One of each three messages is lost.
                let heard = origins.message(&many(node), round * 3, Millis(round * 1_000));
                let missed = if round == 1 { 0 } else { 2 };
                assert_eq!(heard, Novelty::Fresh { missed }, "{node} in round {round}");
            }
        }
        assert_eq!(origins.len(), 500);
    }

    #[test]
    fn at_the_bound_those_that_say_nothing_for_minutes_make_room_before_the_others() {
        let mut origins = Origins::default();
        let later = Millis(0) + SILENT;
        for node in 0..ORIGINS_MAX {
            let now = if node < 10 { Millis(0) } else { later };
            origins.message(&many(node), 5, now);
        }
        origins.message(&many(ORIGINS_MAX), 1, later);
        assert_eq!(origins.len(), ORIGINS_MAX - 10 + 1);
        for node in 10..ORIGINS_MAX {
            let heard = origins.message(&many(node), 7, later);
            assert_eq!(heard, Novelty::Fresh { missed: 1 }, "{node}");
        }
        for node in 0..9 {
            assert_eq!(origins.message(&many(node), 9, later), FRESH, "forgotten");
        }
        // Full again, and everybody speaks: the one not heard for longest goes.
        assert_eq!(origins.len(), ORIGINS_MAX);
        origins.message(&many(ORIGINS_MAX + 1), 1, later + Duration::from_secs(1));
        assert_eq!(origins.len(), ORIGINS_MAX);
    }

    #[test]
    fn restarts_of_nodes_leave_a_short_list() {
        let mut origins = Origins::default();
        for boot in 0..5_000 {
            origins.message(&many(boot), 1, Millis(0) + SILENT * boot as u32);
        }
        assert!(origins.len() <= 2 * ORIGINS_KEPT, "{}", origins.len());
    }

    #[test]
    fn a_late_mark_counts_the_end_of_a_room_that_has_died_and_come_back() {
        let mut origins = Origins::default();
        hear(&mut origins, head(1, 1, 4), &[1, 2, 3]);
        assert_eq!(hear(&mut origins, head(1, 1, 9), &[1]), [FRESH]);
        assert_eq!(origins.mark(&head(1, 1, 4), 5, Millis(0)), 2);
        assert_eq!(origins.mark(&head(1, 1, 4), 5, Millis(0)), 0, "once");
        // A life between, of which nothing came.
        assert_eq!(origins.mark(&head(1, 1, 6), 3, Millis(0)), 3);
        assert_eq!(origins.mark(&head(1, 1, 6), 3, Millis(0)), 0, "once");
        assert_eq!(origins.mark(&head(1, 1, 4), 7, Millis(0)), 0, "of the past");
        // Where the first word was of this life, what was before it was for others.
        let mut origins = Origins::default();
        hear(&mut origins, head(1, 1, 9), &[1]);
        assert_eq!(origins.mark(&head(1, 1, 4), 5, Millis(0)), 0);
    }

    #[test]
    fn what_a_stream_has_lost_and_what_never_came_to_it_are_counted_once_each() {
        let mut origins = Origins::default();
        let [one, other] = [head(1, 1, 1), head(2, 1, 1)];
        let missed = |missed| vec![Novelty::Fresh { missed }];
        hear(&mut origins, one, &[1]);
        hear(&mut origins, other, &[1]);
        assert_eq!(hear(&mut origins, one, &[4]), missed(2), "never came");
        // Of the stream three are gone: one of these, and two of the other; and one more never came.
        assert_eq!(origins.lose(3), 3);
        assert_eq!(hear(&mut origins, one, &[6]), missed(0));
        assert_eq!(hear(&mut origins, other, &[5]), missed(1));
        assert_eq!(hear(&mut origins, other, &[7]), missed(1));
        origins.settle();
        // The stream begins anew, and how much is gone is said later.
        assert_eq!(origins.lose(0), 0);
        assert_eq!(hear(&mut origins, one, &[9]), missed(2));
        assert_eq!(origins.lose(5), 3);
        origins.settle();
        assert_eq!(hear(&mut origins, other, &[11]), missed(0));
        assert_eq!(origins.lose(2), 2);
    }

    proptest! {
        /// Of a room's stream some entries are gone, some never came, and somebody tells how many are gone.
        #[test]
        fn who_speaks_after_each_loss_has_all_of_his_counted_once(
            rounds in proptest::collection::vec(proptest::collection::vec((0_u64..4, 0_u64..4), 3), 1..20),
        ) {
            let mut origins = Origins::default();
            let mut last = [1_u64; 3];
            for node in 0..3 {
                hear(&mut origins, head(node, 1, 1), &[1]);
            }
            let (mut counted, mut lost) = (0, 0);
            for round in rounds {
                let gone: u64 = round.iter().map(|(gone, _)| gone).sum();
                counted += origins.lose(gone);
                for (node, (gone, never)) in (0..).zip(&round) {
                    let number = last[node as usize] + gone + never + 1;
                    last[node as usize] = number;
                    lost += gone + never;
                    let Novelty::Fresh { missed } = origins.message(&head(node, 1, 1), number, Millis(0)) else {
                        panic!("{node} {number}")
                    };
                    counted += missed;
                }
                prop_assert_eq!(counted, lost);
                origins.settle();
            }
        }

        /// Whatever is lost or repeated on the way: delivered + missed = sent, once the mark is in.
        #[test]
        fn delivered_and_missed_are_all_that_was_sent(
            fates in proptest::collection::vec(0_u8..3, 1..200),
        ) {
            let mut origins = Origins::default();
            let head = head(1, 1, 1);
            origins.mark(&head, 0, Millis(0));
            let (mut delivered, mut missed) = (0, 0);
            let mut numbers: Vec<u64> = Vec::new();
            for (index, fate) in fates.iter().enumerate() {
                let number = index as u64 + 1;
                numbers.extend(std::iter::repeat_n(number, usize::from(*fate)));
            }
            for number in numbers {
                if let Novelty::Fresh { missed: before } = origins.message(&head, number, Millis(0)) {
                    delivered += 1;
                    missed += before;
                }
            }
            missed += origins.mark(&head, fates.len() as u64, Millis(0));
            prop_assert_eq!(delivered, fates.iter().filter(|&&fate| fate > 0).count() as u64);
            prop_assert_eq!(delivered + missed, fates.len() as u64);
        }
    }
}
