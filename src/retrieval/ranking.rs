//! Chunks by the words that they share with a question: BM25 (crate `bm25`, k1 = 1.2, b = 0.75).

use super::excerpt::Chunk;
use crate::words::{Term, WORDS_MAX, Words};
use bm25::{EmbedderBuilder, Embedding, Scorer, TokenEmbedding, Tokenizer};
use std::collections::HashSet;
use std::fmt;

/// Bytes of a word in a chunk: what it weighs, and the chunk's place among those that have the word, with the spare of
/// its table.
const POSTING_BYTES: usize = 16 + 24;
/// Bytes of a word, in however many chunks: its place in the table, and the least table of its chunks.
const TERM_BYTES: usize = 192;

/// The words of a business's chunks.
pub(super) struct Ranking {
    scorer: Scorer<usize, u64>,
    bytes: usize,
}

impl fmt::Debug for Ranking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ranking")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl Ranking {
    /// Reads the chunks' texts and titles.
    ///
    /// # Errors
    /// How many bytes it has come to, if that is more than `most`.
    pub(super) fn new(chunks: &[Chunk], most: usize) -> Result<Self, usize> {
        let words = |chunk: &Chunk| Words.tokenize(&document(chunk)).len();
        let all: usize = chunks.iter().map(words).sum();
        let average = all as f32 / chunks.len().max(1) as f32;
        let embedder = EmbedderBuilder::<Term, Words>::with_avgdl(average).build();
        let mut ranking = Self {
            scorer: Scorer::new(),
            bytes: 0,
        };
        let mut terms = HashSet::new();
        for (row, chunk) in chunks.iter().enumerate() {
            let mut weights = embedder.embed(&document(chunk)).0;
            // A word that stands twice weighs what it weighs, twice in the list.
            weights.sort_unstable_by_key(|weight| weight.index);
            weights.dedup_by_key(|weight| weight.index);
            weights.shrink_to_fit();
            let new = weights.iter().filter(|weight| terms.insert(weight.index));
            ranking.bytes += new.count() * TERM_BYTES + weights.len() * POSTING_BYTES;
            if ranking.bytes > most {
                return Err(ranking.bytes);
            }
            ranking.scorer.upsert(&row, Embedding(weights));
        }
        Ok(ranking)
    }

    /// Bytes of it in memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The rows of the `most` chunks that share most with a question, the best first; none that shares nothing. Chunks of
    /// one worth stand in their order.
    pub(super) fn best(&self, question: &str, most: usize) -> Vec<usize> {
        // Each word once: who repeats a word does not mean it twice.
        let mut seen = HashSet::new();
        let query = Words.tokenize(question).into_iter();
        let query = query.map(|word| <Term as bm25::TokenEmbedder>::embed(&word));
        let query = query.filter(|term| seen.insert(*term)).take(WORDS_MAX);
        let query = query.map(|index| TokenEmbedding { index, value: 1.0 });
        let mut scored = self.scorer.matches(&Embedding(query.collect()));
        scored.sort_by(|one, other| {
            let by_score = other.score.total_cmp(&one.score);
            by_score.then(one.id.cmp(&other.id))
        });
        scored.truncate(most);
        scored.into_iter().map(|found| found.id).collect()
    }
}

/// What is compared of a chunk.
fn document(chunk: &Chunk) -> String {
    format!("{}\n{}", chunk.title, chunk.text)
}
