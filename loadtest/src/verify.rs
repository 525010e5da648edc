//! Checks every delivery per receiver and publisher: nothing lost, nothing twice, nothing out of order, nothing late.
//! One `u32` per receiver and publisher; only a receiver with a hole in its sequence costs more.

use std::collections::{HashMap, HashSet};

/// Counts over the whole run, warm-up included: a message lost while warming up is lost all the same.
#[derive(Debug, Default, Clone, serde::Serialize)]
pub(crate) struct Counts {
    /// Deliveries verified.
    pub(crate) delivered: u64,
    /// Holes in the sequences of receivers that read all the time (those a refusal explains included).
    pub(crate) lost: u64,
    /// Holes in the sequences of slow readers, where a bounded queue is expected to drop.
    pub(crate) missed_by_slow_readers: u64,
    /// Delivered a second time.
    pub(crate) duplicated: u64,
    /// Delivered after a later one of the same publisher.
    pub(crate) out_of_order: u64,
    /// Older than the expiry when it came.
    pub(crate) late: u64,
    /// The text was not the one sent.
    pub(crate) corrupted: u64,
    /// Of a room the receiver is not in, or of a publisher that does not exist.
    pub(crate) misrouted: u64,
}

/// Where a receiver's counters lie.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Place {
    base: usize,
    slots: u16,
}

/// How a delivery fits into the sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// The next one.
    Next,
    /// Some before it are missing, for now: from the first, up to before the second.
    Gap(u32, u32),
    /// The delivery fills an earlier hole.
    Filled,
    /// Seen before.
    Again,
    /// Not of this room.
    Foreign,
}

/// All receivers' sequences.
#[derive(Debug, Default)]
pub(crate) struct Verify {
    pub(crate) counts: Counts,
    next: Vec<u32>,
    /// Holes as (first, past the last) by counter.
    holes: HashMap<usize, Vec<(u32, u32)>>,
    free: HashMap<u16, Vec<usize>>,
    /// Counters of receivers that joined a busy room and have seen nothing yet: the first delivery may be an earlier one.
    fresh: HashSet<usize>,
}

impl Verify {
    /// Room for a receiver of `sent.len()` publishers, who have sent this many messages before it joined.
    /// With `fresh`, those sent while it joins may come or not.
    pub(crate) fn join(&mut self, sent: &[u32], fresh: bool) -> Place {
        let place = self.place(sent);
        if fresh {
            self.fresh.extend(place.base..place.base + sent.len());
        }
        place
    }

    /// A fresh receiver has joined now: of what was sent before, nothing is owed.
    pub(crate) fn joined(&mut self, place: Place, sent: &[u32]) {
        for (counter, sent) in (place.base..).zip(sent) {
            if self.fresh.contains(&counter)
                && let Some(next) = self.next.get_mut(counter)
            {
                *next = *sent;
            }
        }
    }

    fn place(&mut self, sent: &[u32]) -> Place {
        let slots = u16::try_from(sent.len()).unwrap_or(u16::MAX);
        if let Some(base) = self.free.get_mut(&slots).and_then(Vec::pop) {
            if let Some(next) = self.next.get_mut(base..base + sent.len()) {
                next.copy_from_slice(sent);
            }
            return Place { base, slots };
        }
        let base = self.next.len();
        self.next.extend_from_slice(sent);
        Place { base, slots }
    }

    /// The receiver is gone.
    pub(crate) fn leave(&mut self, place: Place) {
        for counter in place.base..place.base + usize::from(place.slots) {
            self.holes.remove(&counter);
            self.fresh.remove(&counter);
        }
        self.free.entry(place.slots).or_default().push(place.base);
    }

    /// One delivery to the receiver at `place`.
    pub(crate) fn deliver(&mut self, place: Place, slot: u16, sequence: u32, slow: bool) -> Fit {
        self.counts.delivered += 1;
        let counter = place.base + usize::from(slot);
        let next = match self.next.get_mut(counter) {
            Some(next) if slot < place.slots => next,
            _ => {
                self.counts.misrouted += 1;
                return Fit::Foreign;
            }
        };
        if !self.fresh.is_empty() && self.fresh.remove(&counter) && sequence < *next {
            *next = sequence;
        }
        if *next == sequence {
            *next = sequence.wrapping_add(1);
            return Fit::Next;
        }
        if sequence > *next {
            let first = *next;
            self.holes
                .entry(counter)
                .or_default()
                .push((first, sequence));
            *self.missing(slow) += u64::from(sequence - first);
            if let Some(next) = self.next.get_mut(counter) {
                *next = sequence + 1;
            }
            return Fit::Gap(first, sequence);
        }
        if self.fill(counter, sequence) {
            self.counts.out_of_order += 1;
            *self.missing(slow) -= 1;
            return Fit::Filled;
        }
        self.counts.duplicated += 1;
        Fit::Again
    }

    /// The end: what a receiver that is still there has not seen of what was sent. Returns the number.
    pub(crate) fn finish(&mut self, place: Place, sent: &[u32], slow: bool) -> u64 {
        let tail = self.owed(place, sent);
        *self.missing(slow) += tail;
        tail
    }

    /// What the receiver has not seen of what was sent, holes apart.
    pub(crate) fn owed(&self, place: Place, sent: &[u32]) -> u64 {
        self.tails(place, sent)
            .map(|(_, first, end)| u64::from(end - first))
            .sum()
    }

    /// The same as (slot, first, past the last).
    pub(crate) fn tails<'a>(
        &'a self,
        place: Place,
        sent: &'a [u32],
    ) -> impl Iterator<Item = (u16, u32, u32)> + 'a {
        let range = place.base..place.base + usize::from(place.slots);
        let next = self.next.get(range).unwrap_or_default();
        (0..)
            .zip(next.iter().zip(sent))
            .filter(|(_, (next, sent))| sent > next)
            .map(|(slot, (next, sent))| (slot, *next, *sent))
    }

    /// How many messages the receiver has not seen of what was sent, holes and all.
    pub(crate) fn missing_of(&self, place: Place, sent: &[u32]) -> u64 {
        let counters = place.base..place.base + usize::from(place.slots);
        let holes = counters.filter_map(|counter| self.holes.get(&counter));
        let holes: u64 = holes.flatten().map(|(a, b)| u64::from(b - a)).sum();
        holes + self.owed(place, sent)
    }

    fn missing(&mut self, slow: bool) -> &mut u64 {
        if slow {
            &mut self.counts.missed_by_slow_readers
        } else {
            &mut self.counts.lost
        }
    }

    fn fill(&mut self, counter: usize, sequence: u32) -> bool {
        let Some(holes) = self.holes.get_mut(&counter) else {
            return false;
        };
        let Some(at) = holes.iter().position(|&(a, b)| (a..b).contains(&sequence)) else {
            return false;
        };
        let (first, end) = holes.swap_remove(at);
        holes.extend(
            [(first, sequence), (sequence + 1, end)]
                .iter()
                .filter(|(a, b)| a < b),
        );
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(sequences: &[u32]) -> (Verify, Place) {
        let mut verify = Verify::default();
        let place = verify.join(&[0, 0], false);
        for &sequence in sequences {
            verify.deliver(place, 1, sequence, false);
        }
        (verify, place)
    }

    #[test]
    fn each_way_a_sequence_can_go_wrong_is_counted_apart() {
        for (sequences, lost, out_of_order, duplicated) in [
            (&[0, 1, 2, 3][..], 0, 0, 0),
            (&[0, 3, 4], 2, 0, 0),
            (&[0, 4, 2, 1, 3, 5], 0, 3, 0),
            // The same again is a duplicate even in a hole.
            (&[0, 0, 4, 2, 2, 4], 2, 1, 3),
        ] {
            let c = feed(sequences).0.counts;
            assert_eq!(c.delivered, sequences.len() as u64);
            let found = (c.lost, c.out_of_order, c.duplicated);
            assert_eq!(found, (lost, out_of_order, duplicated), "{sequences:?}");
        }
    }

    #[test]
    fn a_tail_is_lost_too() {
        let (mut verify, place) = feed(&[0, 3, 4]);
        assert_eq!(verify.missing_of(place, &[1, 7]), 2 + 3);
        assert_eq!(verify.finish(place, &[1, 7], false), 3);
        assert_eq!(verify.counts.lost, 5);
    }

    #[test]
    fn slow_readers_and_strangers_are_counted_apart() {
        let mut verify = Verify::default();
        let place = verify.join(&[5], false);
        assert_eq!(verify.deliver(place, 0, 9, true), Fit::Gap(5, 9));
        assert_eq!(verify.deliver(place, 3, 0, true), Fit::Foreign);
        let c = &verify.counts;
        assert_eq!((c.missed_by_slow_readers, c.lost, c.misrouted), (4, 0, 1));
    }

    #[test]
    fn who_joins_a_busy_room_is_owed_what_is_sent_after_that() {
        let mut verify = Verify::default();
        let place = verify.join(&[5], true);
        verify.joined(place, &[7]);
        // 6 was sent while it joined, and came all the same; 8 did not.
        for sequence in [6, 7, 9] {
            verify.deliver(place, 0, sequence, false);
        }
        assert_eq!((verify.counts.lost, verify.counts.duplicated), (1, 0));
        verify.leave(place);
        let place = verify.join(&[5], true);
        verify.joined(place, &[7]);
        assert_eq!(verify.deliver(place, 0, 8, false), Fit::Gap(7, 8));
    }

    #[test]
    fn places_are_used_again() {
        let mut verify = Verify::default();
        let first = verify.join(&[0], false);
        verify.deliver(first, 0, 7, false);
        verify.leave(first);
        let second = verify.join(&[8], false);
        assert_eq!(verify.deliver(second, 0, 8, false), Fit::Next);
        assert_eq!(verify.next.len(), 1);
    }
}
