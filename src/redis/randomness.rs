//! Where what is random about a way over Redis comes from: ids of nodes, pauses, the order of a table.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The system's randomness, or, for a simulation, numbers that follow from a seed. Clones of one share
/// its numbers.
#[derive(Clone, Debug, Default)]
pub struct Randomness(Option<Arc<AtomicU64>>);

impl Randomness {
    /// The numbers of a seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Some(Arc::new(AtomicU64::new(seed))))
    }

    /// 64 random bits.
    #[must_use]
    pub fn number(&self) -> u64 {
        /// The golden ratio: what SplitMix64 goes on by.
        const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;
        match &self.0 {
            // The standard library seeds its hashers from the system's randomness.
            None => std::hash::RandomState::new().build_hasher().finish(),
            Some(state) => super::shard::mix(state.fetch_add(STRIDE, Ordering::Relaxed)),
        }
    }
}
