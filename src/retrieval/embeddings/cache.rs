//! Embeddings that are remembered, and those that are being asked for.

use super::answer::NoEmbedding;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// A question, by the hash of its text.
pub(super) type TextHash = [u8; 32];

/// What a question comes to, for all who ask it.
pub(super) type EmbeddingCell = Arc<OnceCell<Result<Arc<[f32]>, NoEmbedding>>>;

/// Bounded in number; of those that nobody waits for, the least recently used goes first.
#[derive(Debug)]
pub(super) struct EmbeddingCache {
    by_text: HashMap<TextHash, CachedEmbedding>,
    capacity: usize,
    uses: u64,
}

#[derive(Debug)]
struct CachedEmbedding {
    cell: EmbeddingCell,
    used: u64,
}

impl EmbeddingCache {
    /// Remembers at most so many.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            by_text: HashMap::new(),
            capacity,
            uses: 0,
        }
    }

    /// The cell of a question, and whether somebody has asked it before.
    pub(super) fn cell(&mut self, text: &TextHash) -> (EmbeddingCell, bool) {
        self.uses += 1;
        if let Some(cached) = self.by_text.get_mut(text) {
            cached.used = self.uses;
            return (Arc::clone(&cached.cell), true);
        }
        if self.by_text.len() >= self.capacity {
            self.forget_least();
        }
        let cell = EmbeddingCell::default();
        let cached = CachedEmbedding {
            cell: Arc::clone(&cell),
            used: self.uses,
        };
        self.by_text.insert(*text, cached);
        (cell, false)
    }

    /// Forgets a question that came to nothing, unless it is asked anew.
    pub(super) fn forget(&mut self, text: &TextHash, cell: &EmbeddingCell) {
        let cached = self.by_text.get(text);
        if cached.is_some_and(|cached| Arc::ptr_eq(&cached.cell, cell)) {
            self.by_text.remove(text);
        }
    }

    fn forget_least(&mut self) {
        let idle = self.by_text.iter();
        let idle = idle.filter(|(_, cached)| Arc::strong_count(&cached.cell) == 1);
        let least = idle.min_by_key(|(_, cached)| cached.used);
        if let Some(text) = least.map(|(text, _)| *text) {
            self.by_text.remove(&text);
        }
    }

    /// How many are there.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_text.len()
    }
}
