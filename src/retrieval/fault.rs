//! What is wrong with a file.

use crate::config::DIMENSION_MAX;
use std::io;
use std::path::PathBuf;

/// Why a file is not taken. Each text goes on behind the file's path.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileFaultKind {
    #[error("cannot be read: {0}")]
    Unreadable(io::ErrorKind),
    #[error("is not there, and the other file of this business is")]
    Missing,
    #[error("is shorter or longer than it says: {length} bytes of {announced}")]
    Torn { length: u64, announced: u64 },
    #[error("is no flat index of FAISS by L2 distance: {0}")]
    Kind(Box<str>),
    #[error("has vectors of {0} numbers, and 1 to {most} can be", most = DIMENSION_MAX)]
    Dimension(i32),
    #[error("holds a number that is none")]
    NotFinite,
    #[error("is no metadata of the package: {0}")]
    Metadata(Box<str>),
    #[error("describes {chunks} pieces, and the index has {vectors}")]
    Mismatch { chunks: usize, vectors: usize },
    #[error("is no text in UTF-8")]
    NotText,
    #[error("makes {bytes} bytes of one business, over half of retrieval.bytes_max: {most}")]
    TooLarge { bytes: u64, most: usize },
    #[error("is one of more than {0} documents of one business")]
    TooMany(usize),
    #[error("changed while it was read")]
    Changing,
}

impl FileFaultKind {
    /// The fault's name, as a label of metrics.
    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "unreadable",
            Self::Missing => "missing",
            Self::Torn { .. } => "torn",
            Self::Kind(_) => "kind",
            Self::Dimension(_) => "dimension",
            Self::NotFinite => "not_finite",
            Self::Metadata(_) => "metadata",
            Self::Mismatch { .. } => "mismatch",
            Self::NotText => "not_text",
            Self::TooLarge { .. } => "too_large",
            Self::TooMany(_) => "too_many",
            Self::Changing => "changing",
        }
    }
}

/// What reading the files of a business came to: all labels.
pub(super) const READ_LABELS: [&str; 14] = [
    "taken",
    "absent",
    "unreadable",
    "missing",
    "torn",
    "kind",
    "dimension",
    "not_finite",
    "metadata",
    "mismatch",
    "not_text",
    "too_large",
    "too_many",
    "changing",
];

/// A file, and what is wrong with it.
#[derive(Debug, thiserror::Error)]
#[error("{} {kind}", path.display())]
pub(super) struct FileFault {
    pub(super) path: PathBuf,
    pub(super) kind: FileFaultKind,
}

impl From<io::Error> for FileFaultKind {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error.kind())
    }
}
