//! What secrets must be to be any.

use super::problem::Findings;
use super::secret::Secret;

/// Secrets of one key: each may be tried for one credential.
const SECRETS_MAX: usize = 8;

/// Secrets are there, long enough, and no text of an example or a key of another kind.
pub(super) fn check_secrets(key: &str, secrets: &[Secret], least: usize, found: &mut Findings) {
    if secrets.len() > SECRETS_MAX {
        let what = format!("holds {} secrets", secrets.len());
        found.error(key, what, format!("write at most {SECRETS_MAX}"));
    }
    for secret in secrets {
        let text = secret.expose();
        let fix =
            format!("use at least {least} random bytes, as of `openssl rand -base64 {least}`");
        if text.is_empty() {
            found.error(key, "is empty", fix);
        } else if text.trim() != text {
            let what = "begins or ends with white space";
            found.error(key, what, "cut it off, also where tokens are signed");
        } else if text.contains("-----BEGIN") {
            let what = "is a key in PEM, which anybody may know";
            found.error(key, what, "write public keys as files in auth.jwt.keys");
        } else if text.len() < least {
            let what = format!("has {} bytes, which is too short", text.len());
            found.error(key, what, fix);
        }
    }
}
