//! The one token of a listener.

use crate::config::Secret;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

/// Is the one bearer token given (RFC 9110 section 11.4)? Compared in a time that depends on the lengths only.
#[must_use]
pub fn is_bearer(headers: &HeaderMap, token: &Secret) -> bool {
    const SCHEME: &[u8] = b"bearer ";
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else {
        return false;
    };
    let Some((scheme, given)) = field.as_bytes().split_at_checked(SCHEME.len()) else {
        return false;
    };
    let given = given.trim_ascii_start();
    let expected = token.expose().as_bytes();
    let differences = given
        .iter()
        .zip(expected)
        .fold(0, |sum, (a, b)| sum | (a ^ b));
    scheme.eq_ignore_ascii_case(SCHEME) && given.len() == expected.len() && differences == 0
}
