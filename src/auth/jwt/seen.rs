//! Tokens by a public key that were verified, so that whoever comes back is let in at once.
//!
//! By the token's SHA-256, never the token; at most `auth.jwt.cache` of them, each until it expires. Two halves take turns:
//! when one is full the other is thrown away, with whatever nobody has asked for since. Locked for a lookup in a map, from
//! the workers' threads and the control plane.
//!
//! Keys come in generations: a new one begins when a key is withdrawn. What keys of an older one have verified is neither
//! found nor remembered, also where a verification was under way meanwhile.

use super::claims::ROOMS_MAX;
use crate::broker::Identity;
use parking_lot::Mutex;
use ring::digest::{SHA256, digest};
use std::collections::HashMap;
use std::fmt;
use std::mem;
use std::sync::Arc;

/// SHA-256 of a token.
pub(super) type TokenHash = [u8; 32];

/// Bytes of an entry at most: its share of the map, and an identity with the longest name and as many rooms as a token
/// may name, with the longest ids.
pub(crate) const SEEN_BYTES: usize = 512 + ROOMS_MAX * 128;

/// The tokens that were verified.
pub(super) struct Seen {
    capacity: usize,
    halves: Mutex<Halves>,
}

#[derive(Default)]
struct Halves {
    /// Of the keys that have verified what is here.
    generation: u64,
    young: HashMap<TokenHash, Arc<Identity>>,
    old: HashMap<TokenHash, Arc<Identity>>,
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen")
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

impl Seen {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            halves: Mutex::default(),
        }
    }

    /// How many tokens are remembered at most.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// The hash by which a token is known; `None` if nothing is remembered, so that there is nothing to hash.
    pub(super) fn hash_of(&self, token: &str) -> Option<TokenHash> {
        if self.capacity == 0 {
            return None;
        }
        let hash = digest(&SHA256, token.as_bytes());
        hash.as_ref().try_into().ok()
    }

    /// Who brought this token before, if it is still good at `now` in Unix seconds, with keys of this generation.
    pub(super) fn find(
        &self,
        hash: &TokenHash,
        now: u64,
        generation: u64,
    ) -> Option<Arc<Identity>> {
        let mut halves = self.halves.lock();
        halves.reach(generation);
        let identity = match halves.young.get(hash) {
            Some(identity) => Arc::clone(identity),
            None => {
                let identity = halves.old.remove(hash)?;
                self.put(&mut halves, *hash, &identity);
                identity
            }
        };
        if identity.expires_at.is_none_or(|end| end > now) {
            return Some(identity);
        }
        halves.young.remove(hash);
        None
    }

    /// Remembers a token that a key of this generation has verified, unless a key was withdrawn since.
    pub(super) fn remember(&self, hash: TokenHash, identity: &Arc<Identity>, generation: u64) {
        let mut halves = self.halves.lock();
        halves.reach(generation);
        if generation == halves.generation && self.capacity > 0 {
            self.put(&mut halves, hash, identity);
        }
    }

    fn put(&self, halves: &mut Halves, hash: TokenHash, identity: &Arc<Identity>) {
        if halves.young.len() >= self.capacity.div_ceil(2) {
            halves.old = mem::take(&mut halves.young);
        }
        halves.young.insert(hash, Arc::clone(identity));
    }
}

impl Halves {
    /// Forgets what keys of an older generation have verified.
    fn reach(&mut self, generation: u64) {
        if generation > self.generation {
            *self = Self {
                generation,
                ..Self::default()
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn until(expires_at: u64) -> Arc<Identity> {
        Arc::new(Identity {
            expires_at: Some(expires_at),
            ..Identity::default()
        })
    }

    #[test]
    fn a_token_is_known_until_it_expires_and_as_long_as_there_is_room() {
        let seen = Seen::new(8);
        for number in 0..100 {
            seen.remember([number; 32], &until(50), 0);
            let halves = seen.halves.lock();
            assert!(halves.young.len() + halves.old.len() <= 8);
        }
        let known = |number: u8| seen.find(&[number; 32], 49, 0).is_some();
        assert!(known(99) && known(97) && !known(0) && !known(90));
        assert_eq!(seen.find(&[99; 32], 50, 0), None);
        assert_eq!(seen.find(&[99; 32], 49, 0), None);
        assert!(known(98));
    }

    #[test]
    fn what_a_withdrawn_key_has_verified_is_forgotten_and_not_remembered_late() {
        let seen = Seen::new(8);
        let known = |number: u8, generation| seen.find(&[number; 32], 1, generation).is_some();
        seen.remember([1; 32], &until(50), 0);
        assert!(known(1, 0));
        // A key goes while a token is being verified by it.
        assert!(!known(1, 1));
        seen.remember([2; 32], &until(50), 0);
        assert!(!known(2, 0) && !known(2, 1));
        seen.remember([3; 32], &until(50), 1);
        assert!(known(3, 1));
        // One that was remembered as the key went is forgotten with the next look.
        seen.remember([4; 32], &until(50), 2);
        assert!(known(4, 2) && !known(3, 2));
    }

    #[test]
    fn what_is_asked_for_stays() {
        let seen = Seen::new(4);
        seen.remember([0; 32], &until(50), 0);
        for number in 1..100 {
            seen.remember([number; 32], &until(50), 0);
            assert!(seen.find(&[0; 32], 1, 0).is_some(), "after {number}");
        }
    }

    #[test]
    fn a_cache_of_no_entries_keeps_none() {
        let seen = Seen::new(0);
        seen.remember([1; 32], &until(50), 0);
        assert_eq!(seen.find(&[1; 32], 1, 0), None);
        assert_eq!(seen.hash_of("a token"), None);
    }
}
