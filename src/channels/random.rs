//! Random bytes, which names and encryption rely on.

use crate::redis::Error;

/// Random bytes of the operating system.
///
/// # Panics
/// If it has none: it had some when the layer was made, so this does not happen.
pub(super) fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("invariant: the system gave random bytes at the start");
}

/// Names and encryption need random bytes: a system without them is refused at the start.
///
/// # Errors
/// What the system says.
pub(super) fn check_random() -> Result<(), Error> {
    getrandom::fill(&mut [0; 16]).map_err(|error| Error::Random(error.to_string()))
}
