//! Tokens by a public key that were verified, so that whoever comes back is let in at once.
//!
//! By the token's SHA-256, never the token; at most `auth.jwt.cache` of them, each until it expires. Two halves take turns:
//! when one is full the other is thrown away, with whatever nobody has asked for since. Locked for a lookup in a map, from
//! the workers' threads and the control plane.

use crate::broker::Identity;
use parking_lot::Mutex;
use ring::digest::{SHA256, digest};
use std::collections::HashMap;
use std::fmt;
use std::mem;
use std::sync::Arc;

/// SHA-256 of a token.
pub(super) type TokenHash = [u8; 32];

/// Bytes of an entry, without the names in its identity: hash, pointer, a share of the map, counts and identity.
pub(crate) const ENTRY_BYTES: usize = 256;

/// The hash by which a token is known.
pub(super) fn hash_of(token: &str) -> TokenHash {
    let hash = digest(&SHA256, token.as_bytes());
    hash.as_ref().try_into().unwrap_or_default()
}

/// The tokens that were verified.
pub(super) struct Seen {
    capacity: usize,
    halves: Mutex<Halves>,
}

#[derive(Default)]
struct Halves {
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

    /// Is nothing remembered, so that there is nothing to hash?
    pub(super) fn is_off(&self) -> bool {
        self.capacity == 0
    }

    /// Who brought this token before, if it is still good at `now` in Unix seconds.
    pub(super) fn find(&self, hash: &TokenHash, now: u64) -> Option<Arc<Identity>> {
        let mut halves = self.halves.lock();
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

    pub(super) fn remember(&self, hash: TokenHash, identity: &Arc<Identity>) {
        if !self.is_off() {
            self.put(&mut self.halves.lock(), hash, identity);
        }
    }

    /// Forgets all: a key has gone.
    pub(super) fn clear(&self) {
        *self.halves.lock() = Halves::default();
    }

    fn put(&self, halves: &mut Halves, hash: TokenHash, identity: &Arc<Identity>) {
        if halves.young.len() >= self.capacity.div_ceil(2) {
            halves.old = mem::take(&mut halves.young);
        }
        halves.young.insert(hash, Arc::clone(identity));
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
            seen.remember([number; 32], &until(50));
            let halves = seen.halves.lock();
            assert!(halves.young.len() + halves.old.len() <= 8);
        }
        let known = |number: u8| seen.find(&[number; 32], 49).is_some();
        assert!(known(99) && known(97) && !known(0) && !known(90));
        assert_eq!(seen.find(&[99; 32], 50), None);
        assert_eq!(seen.find(&[99; 32], 49), None);
        seen.clear();
        assert!(!known(98));
    }

    #[test]
    fn what_is_asked_for_stays() {
        let seen = Seen::new(4);
        seen.remember([0; 32], &until(50));
        for number in 1..100 {
            seen.remember([number; 32], &until(50));
            assert!(seen.find(&[0; 32], 1).is_some(), "after {number}");
        }
    }

    #[test]
    fn a_cache_of_no_entries_keeps_none() {
        let seen = Seen::new(0);
        seen.remember([1; 32], &until(50));
        assert_eq!(seen.find(&[1; 32], 1), None);
    }
}
