//! What a login leaves behind in a session, as it stands there.

use serde::Deserialize;
use std::borrow::Cow;

/// What a login leaves behind. A name twice is an error: two truths.
#[derive(Deserialize, Default)]
pub(super) struct SessionLogin<'a> {
    #[serde(borrow, default, rename = "_auth_user_id")]
    pub(super) user: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "_auth_user_backend")]
    pub(super) backend: Option<Cow<'a, str>>,
}
