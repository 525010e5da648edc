//! What the site's next answer means for those whom it let in before.
//!
//! An identity is fixed for its connection: what the next answer says of role and rooms is compared, not taken. When the
//! identity ends may change.

use super::question::SiteQuestion;
use crate::auth::recheck::Rechecked;
use crate::broker::Identity;
use crate::protocol::CloseReason;

/// One question that let somebody in.
#[derive(Debug)]
pub(in crate::auth) struct OpenQuestion {
    pub(super) question: SiteQuestion,
    /// The site had not said who it was, as it could not be asked (`auth.forward.on_error`).
    pub(super) is_unsaid: bool,
}

impl OpenQuestion {
    /// `said` by the site of whom it, or nobody, had said `identity` before.
    pub(super) fn compare(&self, identity: &Identity, said: &Identity) -> Rechecked {
        let (business_id, session_id) = self.question.ids();
        // Whoever came in as one user does not stay as another. Who came in while nobody could be asked was nobody.
        let is_another = identity.user.is_some() && identity.user != said.user;
        if is_another || !said.rooms.admits(business_id, session_id) {
            Rechecked::Ends(CloseReason::NotAllowed)
        } else if !self.is_unsaid && identity.role != said.role {
            Rechecked::Ends(CloseReason::IdentityChanged)
        } else {
            Rechecked::Stays(said.expires_at)
        }
    }
}
