//! What the API may occupy, for the budget.

use super::archive::ANSWER_BYTES;
use super::local_node::LISTED_BYTES;
use crate::config::ApiSettings;

pub(crate) use super::listener::CONNECTIONS_EACH;
pub(crate) use super::window::ID_BYTES;

/// A command of a batch beside its body: its problem document, or its result.
const RESULT_BYTES: usize = 1024;

/// A reader of the archive that is answered.
pub(crate) const ARCHIVE_READER_BYTES: usize = ANSWER_BYTES;

/// A request that is answered: its body, the tree that is read of it, the commands of that, and the answer.
pub(crate) fn request_bytes(api: &ApiSettings) -> usize {
    let body = api.body_bytes.saturating_mul(4);
    let results = api.batch.saturating_mul(RESULT_BYTES);
    let listed = api.members.saturating_mul(LISTED_BYTES);
    body.saturating_add(results).saturating_add(listed)
}
