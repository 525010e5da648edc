//! What is read of one business.

use super::excerpt::{Chunk, Excerpt};
use super::flat_index::FlatIndex;
use super::ranking::Ranking;

/// The chunks of a business, and how they are found.
#[derive(Debug)]
pub(super) struct Collection {
    chunks: Vec<Chunk>,
    order: ChunkOrder,
}

#[derive(Debug)]
enum ChunkOrder {
    Vectors(FlatIndex),
    Words(Ranking),
}

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Query<'q> {
    /// The chunks that are nearest to this vector.
    Vector(&'q [f32]),
    /// Those that share most with this text.
    Text(&'q str),
}

/// The question's vector has another number of numbers than those of the chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WrongDimension {
    /// Of the chunks.
    pub(super) of_chunks: usize,
    /// Of the question.
    pub(super) of_question: usize,
}

impl Collection {
    /// Chunks, each with the vector of its row.
    pub(super) fn of_vectors(chunks: Vec<Chunk>, vectors: FlatIndex) -> Self {
        Self {
            chunks,
            order: ChunkOrder::Vectors(vectors),
        }
    }

    /// Chunks whose words are compared.
    pub(super) fn of_words(chunks: Vec<Chunk>, ranking: Ranking) -> Self {
        Self {
            chunks,
            order: ChunkOrder::Words(ranking),
        }
    }

    /// How many chunks there are.
    pub(super) fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// Bytes of it in memory.
    pub(super) fn bytes(&self) -> usize {
        let chunks: usize = self.chunks.iter().map(Chunk::bytes).sum();
        chunks
            + match &self.order {
                ChunkOrder::Vectors(vectors) => vectors.bytes(),
                ChunkOrder::Words(ranking) => ranking.bytes(),
            }
    }

    /// The `most` chunks that fit best, the best first. Takes milliseconds: not for a thread that others wait for.
    ///
    /// # Errors
    /// Of a vector that cannot be compared with those of the chunks.
    pub(super) fn find(
        &self,
        query: Query<'_>,
        most: usize,
    ) -> Result<Vec<Excerpt>, WrongDimension> {
        let excerpt = |row: usize, distance| {
            let chunk = self.chunks.get(row)?;
            Some(chunk.excerpt(distance))
        };
        match (&self.order, query) {
            (ChunkOrder::Vectors(vectors), Query::Vector(vector)) => {
                let (of_chunks, of_question) = (vectors.dimension(), vector.len());
                if of_chunks != of_question {
                    return Err(WrongDimension {
                        of_chunks,
                        of_question,
                    });
                }
                let nearest = vectors.nearest(vector, most).into_iter();
                Ok(nearest
                    .filter_map(|found| excerpt(found.row, Some(found.distance)))
                    .collect())
            }
            (ChunkOrder::Words(ranking), Query::Text(text)) => {
                let best = ranking.best(text, most).into_iter();
                Ok(best.filter_map(|row| excerpt(row, None)).collect())
            }
            // All collections of a node are of one kind, and so are its queries.
            (ChunkOrder::Vectors(_), Query::Text(_)) | (ChunkOrder::Words(_), Query::Vector(_)) => {
                Ok(Vec::new())
            }
        }
    }
}
