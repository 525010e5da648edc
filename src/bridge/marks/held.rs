//! Digests that came, held for a grace: in a Cluster they come over another connection than the messages that they
//! tell of, and a mark in front of its messages would make them repetitions.
//!
//! Pure. Bound: [`HELD_BYTES_MAX`]; beyond it the oldest are due at once.

use crate::clock::Millis;
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;

/// How long a digest is held. What a node has published, Redis has answered for; the rest of the way is the subscriber's.
pub(in crate::bridge) const HELD_FOR: Duration = Duration::from_secs(1);

/// Bytes of digests that are held, of all nodes.
pub(in crate::bridge) const HELD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What each costs beside its bytes.
const HELD_ENTRY_BYTES: usize = 64;

/// Digests, each until it is due.
#[derive(Debug, Default)]
pub(in crate::bridge) struct HeldDigests {
    held: VecDeque<(Millis, Bytes)>,
    bytes: usize,
}

impl HeldDigests {
    pub(in crate::bridge) fn push(&mut self, digest: Bytes, now: Millis) {
        self.bytes += digest.len() + HELD_ENTRY_BYTES;
        self.held.push_back((now + HELD_FOR, digest));
    }

    /// When the next one is due, if there is one.
    pub(in crate::bridge) fn next(&self) -> Option<Millis> {
        self.held.front().map(|(due, _)| *due)
    }

    /// The oldest, and when it came, if it is due, or there are too many.
    pub(in crate::bridge) fn pop(&mut self, now: Millis) -> Option<(Millis, Bytes)> {
        if self.next()? > now && self.bytes <= HELD_BYTES_MAX {
            return None;
        }
        let (due, digest) = self.held.pop_front()?;
        self.bytes -= digest.len() + HELD_ENTRY_BYTES;
        Some((due - HELD_FOR, digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_held_for_the_grace_and_comes_in_order() {
        let mut held = HeldDigests::default();
        let later = Millis(10) + HELD_FOR;
        held.push(Bytes::from_static(b"one"), Millis(0));
        held.push(Bytes::from_static(b"two"), Millis(10));
        assert_eq!(held.next(), Some(Millis(0) + HELD_FOR));
        assert_eq!(held.pop(later - Duration::from_millis(11)), None);
        let digest = |at, text| Some((Millis(at), Bytes::from_static(text)));
        assert_eq!(held.pop(later), digest(0, b"one"));
        assert_eq!(held.pop(later), digest(10, b"two"));
        assert_eq!((held.pop(later), held.next()), (None, None));
    }

    #[test]
    fn a_flood_is_applied_at_once_beyond_the_bound() {
        let mut held = HeldDigests::default();
        let letter = Bytes::from(vec![0; 64 * 1024]);
        let mut popped = 0;
        for _ in 0..1_000 {
            held.push(letter.clone(), Millis(0));
            while held.pop(Millis(0)).is_some() {
                popped += 1;
            }
            assert!(held.bytes <= HELD_BYTES_MAX);
        }
        assert!(popped > 900, "{popped}");
        // Empty ones are bounded too.
        for _ in 0..200_000 {
            held.push(Bytes::new(), Millis(0));
            drop(held.pop(Millis(0)));
        }
        assert!(held.held.len() * HELD_ENTRY_BYTES <= HELD_BYTES_MAX);
    }
}
