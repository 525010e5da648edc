//! What is found.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Which document it is from: the site's number of it, or the name of its file. In JSON as it is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum DocumentId {
    /// The primary key of a Django site.
    Number(u64),
    /// A file's name, or a primary key that is a text.
    Name(Box<str>),
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// A piece of a document, as long as it is found at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) text: Arc<str>,
    pub(super) document_id: DocumentId,
    pub(super) title: Arc<str>,
    /// The piece's place in the document, from 0.
    pub(super) chunk_index: u64,
}

/// A piece of a document that an answer may stand on.
#[derive(Clone, Debug, PartialEq)]
pub struct Excerpt {
    /// The piece itself.
    pub text: Arc<str>,
    /// Of which document.
    pub document_id: DocumentId,
    /// What the document is called.
    pub title: Arc<str>,
    /// The piece's place in the document, from 0.
    pub chunk_index: u64,
    /// Squared Euclidean distance of its vector from the question's, as FAISS has it; `None` where words are compared.
    pub distance: Option<f32>,
}

impl Chunk {
    /// Bytes of a chunk in memory, its texts counted as its own.
    pub(super) fn bytes(&self) -> usize {
        let name_bytes = match &self.document_id {
            DocumentId::Number(_) => 0,
            DocumentId::Name(name) => name.len(),
        };
        // An allocation of an `Arc` has two counters beside the text.
        size_of::<Self>() + self.text.len() + self.title.len() + name_bytes + 2 * 16
    }

    pub(super) fn excerpt(&self, distance: Option<f32>) -> Excerpt {
        let Self {
            text,
            document_id,
            title,
            chunk_index,
        } = self.clone();
        Excerpt {
            text,
            document_id,
            title,
            chunk_index,
            distance,
        }
    }
}
