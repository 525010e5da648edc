//! Settings that nobody can be asked with.

/// Why nothing can be vetted: the operator named what is not usable.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {what}")]
pub struct Error {
    /// The key at fault.
    pub key: &'static str,
    /// What is wrong with it.
    pub what: Box<str>,
}
