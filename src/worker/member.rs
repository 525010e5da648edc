//! One member of a room on this worker, and the order of what its room was told.

/// One member: a place in the worker's slab.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) index: u32,
    /// Low half of the room's sequence when it joined: later publications are for it. Members and
    /// publications in flight are never 2^31 publications apart, so the half tells the order.
    pub(super) joined: u32,
}

/// The half of a publication's number that tells the order.
pub(super) fn low_half(sequence: u64) -> u32 {
    (sequence & u64::from(u32::MAX)) as u32
}

/// Does publication `one` come before publication `other`?
pub(super) fn is_before(one: u32, other: u32) -> bool {
    other.wrapping_sub(one).cast_signed() > 0
}

impl Member {
    /// The first of these publications, oldest first, that came after this member joined.
    pub(super) fn first_of(self, sequences: &[u32]) -> usize {
        let earlier = |sequence: &&u32| !self.joined_before(**sequence);
        sequences.iter().take_while(earlier).count()
    }

    /// Is this publication for it?
    pub(super) fn joined_before(self, sequence: u32) -> bool {
        is_before(self.joined, sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_gets_what_was_published_after_it_joined() {
        let first = |joined| Member { index: 0, joined }.first_of(&[5, 6, 7]);
        assert_eq!((first(4), first(5), first(6), first(7)), (0, 1, 2, 3));
        assert_eq!(
            Member {
                index: 0,
                joined: u32::MAX
            }
            .first_of(&[u32::MAX, 0]),
            1
        );
    }
}
