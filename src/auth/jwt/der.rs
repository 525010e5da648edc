//! As much of DER (X.690) as the three kinds of public keys need: read once at start, from files of the operator's.

/// The next element: its tag, what is in it, and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => {
            let (&[length], rest) = rest.split_first_chunk()?;
            (usize::from(length), rest)
        }
        0x82 => {
            let (&length, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(length)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// What is in an element of this tag, and what follows.
fn expect(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(bytes)?;
    (found == tag).then_some((content, rest))
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;

/// The algorithm's identifier and the key of a SubjectPublicKeyInfo (RFC 5280 §4.1.2.7).
pub(super) fn public_key_info(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (info, rest) = expect(SEQUENCE, der)?;
    let (algorithm, key) = expect(SEQUENCE, info)?;
    let (key, after) = expect(BIT_STRING, key)?;
    let (unused_bits, key) = key.split_first()?;
    (rest.is_empty() && after.is_empty() && *unused_bits == 0).then_some((algorithm, key))
}

/// Modulus and exponent of an RSAPublicKey (RFC 8017 §A.1.1), without leading zeros.
pub(super) fn rsa_parts(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (parts, rest) = expect(SEQUENCE, der)?;
    let (modulus, after) = expect(INTEGER, parts)?;
    let (exponent, end) = expect(INTEGER, after)?;
    (rest.is_empty() && end.is_empty()).then_some((unsigned(modulus), unsigned(exponent)))
}

/// A positive number without the zero that keeps it positive.
fn unsigned(integer: &[u8]) -> &[u8] {
    match integer {
        [0, rest @ ..] if !rest.is_empty() => rest,
        _ => integer,
    }
}
