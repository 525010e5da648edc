//! What the log calls a user.

use crate::broker::Identity;
use ring::digest::{Context, SHA256};

/// Stands before the name, so that no table of hashes of other programs' names is one of these.
const DOMAIN: &str = "supportal.user:";
/// Bytes of the hash that are shown: 48 bits tell a million users apart.
const SHOWN_BYTES: usize = 6;

/// A short hash of the user's name, the same on every node and after every start: the first twelve hexadecimal digits
/// of the SHA-256 of `supportal.user:` and the name. `None` for somebody without a name. The hash keeps names out of the log's
/// lines, and not from who knows the names: whoever can list them finds the one that is meant.
#[must_use]
pub fn user_hash(identity: &Identity) -> Option<String> {
    let user = identity.user.as_deref()?;
    let mut hash = Context::new(&SHA256);
    for part in [DOMAIN, user] {
        hash.update(part.as_bytes());
    }
    let hash = hash.finish();
    let shown = hash.as_ref().iter().take(SHOWN_BYTES);
    Some(shown.map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_one_hash_and_nobody_none() {
        let named = |user: &str| Identity {
            user: Some(user.into()),
            ..Identity::default()
        };
        // printf 'supportal.user:ann' | sha256sum | cut -c1-12
        assert_eq!(user_hash(&named("ann")).as_deref(), Some("ef93c1f374aa"));
        assert_ne!(user_hash(&named("ann")), user_hash(&named("bob")));
        assert_eq!(user_hash(&Identity::default()), None);
    }
}
