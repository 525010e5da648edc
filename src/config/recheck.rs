//! How often is asked again about who is connected.

use super::problem::Findings;
use super::setting::seconds;
use std::time::Duration;

/// The shortest time between two questions about one connection.
const RECHECK_MIN: Duration = seconds(1);

/// Never, or not too often.
pub(super) fn check_recheck(key: &'static str, recheck: Duration, found: &mut Findings) {
    if !recheck.is_zero() && recheck < RECHECK_MIN {
        let fix = "write at least \"1s\", or \"0s\" for never";
        found.error(key, "is too short", fix);
    }
}
