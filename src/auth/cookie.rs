//! The one cookie that carries a credential.

use super::Credentials;
use super::query::{Carried, only};

/// The value of the cookie of this name, in whichever of the handshake's fields.
pub(super) fn value<'a>(credentials: &Credentials<'a>, name: &str) -> Carried<'a> {
    let fields = credentials.head.values("cookie");
    let pairs = fields.flat_map(|field| field.split(|byte| *byte == b';'));
    only(pairs.filter_map(|pair| {
        let pair = pair.trim_ascii();
        let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        // RFC 6265 §4.1.1 lets a value stand in quotes.
        let quoted = value
            .strip_prefix(b"\"")
            .and_then(|value| value.strip_suffix(b"\""));
        Some(quoted.unwrap_or(value))
    }))
}
