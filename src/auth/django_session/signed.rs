//! Sessions in signed cookies (django/contrib/sessions/backends/signed_cookies.py): `DATA:TIME:SIGNATURE`.
//!
//! DATA is JSON in base64url without padding, or with a dot in front what zlib made of it; TIME is seconds in base 62
//! (django/core/signing.py, `TimestampSigner`); SIGNATURE is HMAC-SHA-256 over both by the SHA-256 of salt, `signer` and
//! SECRET_KEY (django/utils/crypto.py, `salted_hmac`). Nothing is decoded that is not signed.

use super::session::{FoundSession, SessionFlaw, read_json};
use crate::config::DjangoSessionSettings;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use miniz_oxide::inflate::{TINFLStatus, decompress_to_vec_zlib_with_limit};
use ring::digest::{Context, SHA256};
use ring::hmac;
use std::fmt;
use std::time::Duration;

/// What keeps a site's other signatures with the same key from being sessions.
const SALT: &str = "django.contrib.sessions.backends.signed_cookies";

/// Browsers keep no longer cookie: 4,096 bytes of name, value and attributes (RFC 6265 §6.1).
const COOKIE_BYTES_MAX: usize = 4096;

/// The digits of a time (django/core/signing.py, `BASE62_ALPHABET`).
const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The keys of a site, and what its cookies may be.
pub(super) struct SignedCookies {
    keys: Vec<hmac::Key>,
    age: Duration,
    bytes_max: usize,
}

impl fmt::Debug for SignedCookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedCookies")
            .field("keys", &self.keys.len())
            .finish_non_exhaustive()
    }
}

impl SignedCookies {
    pub(super) fn new(settings: &DjangoSessionSettings) -> Self {
        let secrets = settings.secret_key.iter();
        let secrets = secrets.chain(&settings.secret_key_fallbacks);
        Self {
            keys: secrets.map(|secret| key(secret.expose())).collect(),
            age: settings.cookie_age,
            bytes_max: settings.session_bytes,
        }
    }

    /// Bytes that are gone through to read a cookie, about: only what the site itself has signed is inflated, and JSON is
    /// a few times as long as what zlib makes of it.
    pub(super) fn work_bytes(&self, cookie: &str) -> usize {
        let times = if cookie.starts_with('.') { 4 } else { 0 };
        cookie.len().saturating_mul(self.keys.len() + times)
    }

    /// Whose session a cookie is, at `now` in Unix seconds, and when it ends.
    pub(super) fn read(&self, cookie: &str, now: u64) -> Result<FoundSession, SessionFlaw> {
        if cookie.len() > COOKIE_BYTES_MAX {
            return Err(SessionFlaw::TooLong);
        }
        let (signed, signature) = cookie.rsplit_once(':').ok_or(SessionFlaw::Form)?;
        let (data, time) = signed.rsplit_once(':').ok_or(SessionFlaw::Form)?;
        let signature = decode(signature)?;
        // ring compares in constant time.
        let is_by = |key: &hmac::Key| hmac::verify(key, signed.as_bytes(), &signature).is_ok();
        if !self.keys.iter().any(is_by) {
            return Err(SessionFlaw::Signature);
        }
        let end = number(time).ok_or(SessionFlaw::Form)?;
        let end = end.saturating_add(self.age.as_secs());
        // As Django: an age of exactly SESSION_COOKIE_AGE still counts.
        if end < now {
            return Err(SessionFlaw::Expired);
        }
        let session = match data.strip_prefix('.') {
            Some(compressed) => self.inflate(&decode(compressed)?)?,
            None => decode(data)?,
        };
        if session.len() > self.bytes_max {
            return Err(SessionFlaw::TooLong);
        }
        Ok((read_json(&session)?, Some(end)))
    }

    fn inflate(&self, compressed: &[u8]) -> Result<Vec<u8>, SessionFlaw> {
        let inflated = decompress_to_vec_zlib_with_limit(compressed, self.bytes_max);
        inflated.map_err(|error| match error.status {
            TINFLStatus::HasMoreOutput => SessionFlaw::TooLong,
            _ => SessionFlaw::Form,
        })
    }
}

fn decode(text: &str) -> Result<Vec<u8>, SessionFlaw> {
    let decoded = URL_SAFE_NO_PAD.decode(text);
    decoded.map_err(|_malformed| SessionFlaw::Form)
}

/// A number in base 62.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.bytes().try_fold(0_u64, |number, byte| {
        let digit = DIGITS.iter().position(|digit| *digit == byte)?;
        let digit = u64::try_from(digit).ok()?;
        number.checked_mul(62)?.checked_add(digit)
    })
}

/// The key that Django's signer makes of a SECRET_KEY.
pub(super) fn key(secret: &str) -> hmac::Key {
    let mut hash = Context::new(&SHA256);
    for part in [SALT, "signer", secret] {
        hash.update(part.as_bytes());
    }
    hmac::Key::new(hmac::HMAC_SHA256, hash.finish().as_ref())
}
