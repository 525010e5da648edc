//! Where a worker keeps its connections: fixed places in chunks, found by index, told apart by a
//! generation so that a late event cannot reach the next tenant of a place.
//!
//! Chunks instead of one vector: growing never copies live connections, and never doubles memory.

/// Places per chunk: a chunk of connections is a few dozen KiB.
const CHUNK: usize = 256;

#[derive(Debug)]
struct SlabPlace<T> {
    generation: u32,
    /// The next free place while this one is empty.
    next_free: u32,
    tenant: Option<T>,
}

const NONE: u32 = u32::MAX;

/// The slab.
#[derive(Debug)]
pub struct Slab<T> {
    chunks: Vec<Vec<SlabPlace<T>>>,
    free: u32,
    len: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            free: NONE,
            len: 0,
        }
    }
}

/// Splits a key into place and generation.
#[must_use]
pub fn index_of(key: u64) -> u32 {
    (key & u64::from(u32::MAX)) as u32
}

impl<T> Slab<T> {
    /// Bytes of one place.
    pub(crate) const PLACE_BYTES: usize = size_of::<SlabPlace<T>>();

    /// Tenants.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// No tenants?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Places ever made, empty ones included: the range of indices.
    #[must_use]
    pub fn places(&self) -> u32 {
        let full = self.chunks.len().saturating_sub(1) * CHUNK;
        (full + self.chunks.last().map_or(0, Vec::len)) as u32
    }

    /// The key that [`Slab::reserve`] will return next.
    #[must_use]
    pub fn next_key(&self) -> u64 {
        match self.place(self.free) {
            Some(place) => u64::from(place.generation) << 32 | u64::from(self.free),
            None => u64::from(self.places()),
        }
    }

    /// Takes a place for a tenant to come: [`Slab::fill`] or [`Slab::release`] has to follow, and until then
    /// its key finds nobody. A key is a generation (high half) and an index (low half).
    pub fn reserve(&mut self) -> u64 {
        let key = self.next_key();
        if let Some(place) = self.place(self.free) {
            self.free = place.next_free;
            return key;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(SlabPlace {
                generation: 0,
                next_free: NONE,
                tenant: None,
            });
        }
        key
    }

    /// Moves a tenant into a reserved place.
    pub fn fill(&mut self, key: u64, tenant: T) {
        if let Some(place) = self.place_mut(index_of(key)) {
            place.tenant = Some(tenant);
            self.len += 1;
        }
    }

    /// Gives a reserved place back.
    pub fn release(&mut self, key: u64) {
        let free = self.free;
        if let Some(place) = self.place_mut(index_of(key)) {
            place.generation = place.generation.wrapping_add(1);
            place.next_free = free;
            self.free = index_of(key);
        }
    }

    /// Moves a tenant in; its key.
    pub fn insert(&mut self, tenant: T) -> u64 {
        let key = self.reserve();
        self.fill(key, tenant);
        key
    }

    /// The tenant of a key, unless it has moved out.
    #[must_use]
    pub fn get_mut(&mut self, key: u64) -> Option<&mut T> {
        let place = self.place_mut(index_of(key))?;
        (u64::from(place.generation) == key >> 32)
            .then_some(place.tenant.as_mut())
            .flatten()
    }

    /// The tenant of a place, whoever that is.
    #[must_use]
    pub fn at_mut(&mut self, index: u32) -> Option<&mut T> {
        self.place_mut(index)?.tenant.as_mut()
    }

    /// The key of a place's tenant.
    #[must_use]
    pub fn key_at(&self, index: u32) -> Option<u64> {
        let place = self.place(index)?;
        place
            .tenant
            .is_some()
            .then(|| u64::from(place.generation) << 32 | u64::from(index))
    }

    /// Moves a tenant out.
    pub fn remove(&mut self, key: u64) -> Option<T> {
        let place = self.place_mut(index_of(key))?;
        if u64::from(place.generation) != key >> 32 {
            return None;
        }
        let tenant = place.tenant.take()?;
        self.len -= 1;
        self.release(key);
        Some(tenant)
    }

    fn place(&self, index: u32) -> Option<&SlabPlace<T>> {
        self.chunks
            .get(index as usize / CHUNK)?
            .get(index as usize % CHUNK)
    }

    fn place_mut(&mut self, index: u32) -> Option<&mut SlabPlace<T>> {
        self.chunks
            .get_mut(index as usize / CHUNK)?
            .get_mut(index as usize % CHUNK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn a_stale_key_finds_nobody() {
        let mut slab = Slab::default();
        let first = slab.insert("a");
        assert_eq!(slab.remove(first), Some("a"));
        let second = slab.insert("b");
        assert_eq!(index_of(first), index_of(second), "the place is reused");
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get_mut(second), Some(&mut "b"));
    }

    #[test]
    fn a_reserved_place_is_nobodys_until_it_is_filled() {
        let mut slab = Slab::default();
        let [first, second] = [slab.reserve(), slab.reserve()];
        assert_ne!(first, second);
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.remove(first), None);
        slab.fill(second, "b");
        assert_eq!(slab.get_mut(second), Some(&mut "b"));
        assert_eq!(slab.len(), 1);
        slab.release(first);
        let third = slab.insert("c");
        assert_eq!(index_of(first), index_of(third), "the place is reused");
        assert_ne!(first, third, "under another key");
    }

    proptest! {
        #[test]
        fn it_behaves_as_a_map_of_keys(steps in proptest::collection::vec((any::<bool>(), any::<u16>()), 0..1200)) {
            let mut slab = Slab::default();
            let mut model = HashMap::new();
            let mut keys = Vec::new();
            for (insert, value) in steps {
                if insert || keys.is_empty() {
                    let expected = slab.next_key();
                    let key = slab.insert(value);
                    prop_assert_eq!(key, expected);
                    prop_assert!(model.insert(key, value).is_none(), "a key was given twice");
                    keys.push(key);
                } else {
                    let key = keys[usize::from(value) % keys.len()];
                    prop_assert_eq!(slab.remove(key), model.remove(&key));
                }
                prop_assert_eq!(slab.len(), model.len());
            }
            for key in keys {
                prop_assert_eq!(slab.get_mut(key).copied(), model.get(&key).copied());
            }
        }
    }
}
