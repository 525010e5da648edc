//! Syntax of the header fields that a handshake reads (RFC 9110 section 5.6, RFC 6455 section 9.1).

/// The elements of a comma-separated list, without the spaces around them; empty ones are skipped
/// (RFC 9110 section 5.6.1.2).
pub(super) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(trim)
        .filter(|element| !element.is_empty())
}

/// Is this one token (RFC 9110 section 5.6.2)?
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().copied().all(is_token_byte)
}

const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_'
        )
        || matches!(byte, b'`' | b'|' | b'~')
}

/// Is this one extension with its parameters: `name; key; key=value; key="value"`?
///
/// A quoted value must be a token once unquoted (RFC 6455 section 9.1), so neither `,` nor `;` can
/// be inside quotes and splitting at them is exact.
pub(super) fn is_extension(offer: &[u8]) -> bool {
    let mut parts = offer.split(|byte| *byte == b';').map(trim);
    parts.next().is_some_and(is_token) && parts.all(is_parameter)
}

fn is_parameter(parameter: &[u8]) -> bool {
    let mut halves = parameter.splitn(2, |byte| *byte == b'=');
    let name = trim(halves.next().unwrap_or_default());
    is_token(name) && halves.next().is_none_or(|value| is_value(trim(value)))
}

fn is_value(value: &[u8]) -> bool {
    let [b'"', quoted @ .., b'"'] = value else {
        return is_token(value);
    };
    let mut bytes = quoted.iter();
    let mut count = 0_usize;
    while let Some(&byte) = bytes.next() {
        let byte = if byte == b'\\' {
            bytes.next().copied()
        } else {
            Some(byte)
        };
        if !byte.is_some_and(is_token_byte) {
            return false;
        }
        count += 1;
    }
    count > 0
}

/// Are these 16 bytes in base64? The 22nd digit carries two bits; its other four may be any, as in RFC 6455's own
/// example of section 4.1 (RFC 4648 section 3.5 leaves it to the decoder): the answer hashes the text.
pub(super) fn is_key(key: &[u8]) -> bool {
    let [digits @ .., b'=', b'='] = key else {
        return false;
    };
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    digits.len() == 22 && digits.iter().all(is_digit)
}

/// Is this a body's length of zero (RFC 9110 section 8.6)?
pub(super) fn is_zero(length: &[u8]) -> bool {
    !length.is_empty() && length.iter().all(|digit| *digit == b'0')
}

/// Without spaces and tabs at both ends.
const fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}
