//! Settings read again while a node runs: what changes in place, and what waits for the next start.

use super::problem::Error;
use super::{Changes, Config, load};

/// What a node runs with from now on that ran with `current` and has read `next`.
///
/// # Errors
/// Values that hold together in `next` do not hold beside those that wait for the next start; each mistake is named.
pub fn merge(current: &Config, next: &Config) -> Result<(Config, Changes), Error> {
    let (merged, changes) = current.with_live(next);
    load::check(&merged)?;
    Ok((merged, changes))
}
