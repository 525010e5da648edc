//! Why what stands on Redis cannot start.

use std::io;

/// Why the way over Redis cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(String),
    /// A file of certificates, or of a key, cannot be used.
    #[error("{key}: {path}: {what}")]
    Certificates {
        /// The setting, or the option of an address, that names it.
        key: &'static str,
        /// The file.
        path: Box<str>,
        /// What is wrong with it.
        what: Box<str>,
    },
    /// TLS cannot be set up.
    #[error("TLS to Redis: {0}")]
    Tls(String),
    /// The system gives no thread.
    #[error("cannot start the bridge's thread")]
    Thread(#[from] io::Error),
}
