//! What keeps a node from starting.

use std::io;
use std::path::PathBuf;

/// Why nothing can be found at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `base_url` is no address.
    #[error("retrieval.embeddings.base_url: is no address")]
    Address,
    /// Nobody can be trusted to be the endpoint.
    #[error("retrieval.embeddings.ca_file: {0}")]
    Trust(Box<str>),
    /// The file of the key cannot be read.
    #[error("retrieval.embeddings.api_key_file: cannot read {}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file of the key holds something else.
    #[error("retrieval.embeddings.api_key_file: holds no key of printable ASCII")]
    Key,
}
