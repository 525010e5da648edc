//! The path as `django_supportal` 1.0.2 takes it (dialect `django`).
//!
//! The route of dialect `django` is matched in full against the percent-decoded path without its leading slashes:
//! `ws/chat/(digits)/([^/]+)/`, so no newline may follow. The digits are Python's `\d`: any
//! Unicode decimal digit. Source: a run of the package on uvicorn.

use super::hex_digit;

/// The two ids as the package sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DjangoTarget {
    /// One or more Unicode decimal digits, as they were sent: `01` and `1` are two texts.
    pub business_id: String,
    /// Any text without a slash; newlines and NUL are legal.
    pub session_id: String,
}

impl DjangoTarget {
    /// The number that the business id's digits write, or `None` above 2^128 - 1.
    #[must_use]
    pub fn business_number(&self) -> Option<u128> {
        let mut digits = self.business_id.chars();
        digits.try_fold(0_u128, |number, digit| {
            let digit = u128::from(decimal_value(digit)?);
            number.checked_mul(10)?.checked_add(digit)
        })
    }
}

/// The ids in a request's path, as it was sent and without its query; `None` is a 404 (the
/// package's servers answer 500).
#[must_use]
pub fn match_django(raw_path: &str) -> Option<DjangoTarget> {
    let path = decode(raw_path);
    let ids = path.trim_start_matches('/').strip_prefix("ws/chat/")?;
    let (business_id, session_id) = ids.strip_suffix('/')?.split_once('/')?;
    let digits = !business_id.is_empty() && business_id.chars().all(|c| decimal_value(c).is_some());
    (digits && !session_id.is_empty() && !session_id.contains('/')).then(|| DjangoTarget {
        business_id: business_id.to_owned(),
        session_id: session_id.to_owned(),
    })
}

/// Python's `urllib.parse.unquote`: an escape that is not one stays as it is, bytes that are not
/// UTF-8 become U+FFFD.
fn decode(raw_path: &str) -> String {
    let mut decoded = Vec::with_capacity(raw_path.len());
    let mut rest = raw_path.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        let escape = match (byte, after) {
            (b'%', [high, low, after @ ..]) => hex_digit(*high)
                .zip(hex_digit(*low))
                .map(|(high, low)| (high << 4 | low, after)),
            _ => None,
        };
        if let Some((escaped, after)) = escape {
            decoded.push(escaped);
            rest = after;
        } else {
            decoded.push(*byte);
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// The value of a Unicode decimal digit (category Nd).
fn decimal_value(digit: char) -> Option<u32> {
    let next = ZEROS.partition_point(|zero| *zero <= digit);
    let zero = *ZEROS.get(next.checked_sub(1)?)?;
    let value = u32::from(digit) - u32::from(zero);
    (value < 10).then_some(value)
}

/// The zero of each row of ten decimal digits in Unicode 15.1, which Python 3.13 uses; ascending.
const ZEROS: [char; 68] = [
    '\u{30}',
    '\u{660}',
    '\u{6f0}',
    '\u{7c0}',
    '\u{966}',
    '\u{9e6}',
    '\u{a66}',
    '\u{ae6}',
    '\u{b66}',
    '\u{be6}',
    '\u{c66}',
    '\u{ce6}',
    '\u{d66}',
    '\u{de6}',
    '\u{e50}',
    '\u{ed0}',
    '\u{f20}',
    '\u{1040}',
    '\u{1090}',
    '\u{17e0}',
    '\u{1810}',
    '\u{1946}',
    '\u{19d0}',
    '\u{1a80}',
    '\u{1a90}',
    '\u{1b50}',
    '\u{1bb0}',
    '\u{1c40}',
    '\u{1c50}',
    '\u{a620}',
    '\u{a8d0}',
    '\u{a900}',
    '\u{a9d0}',
    '\u{a9f0}',
    '\u{aa50}',
    '\u{abf0}',
    '\u{ff10}',
    '\u{104a0}',
    '\u{10d30}',
    '\u{11066}',
    '\u{110f0}',
    '\u{11136}',
    '\u{111d0}',
    '\u{112f0}',
    '\u{11450}',
    '\u{114d0}',
    '\u{11650}',
    '\u{116c0}',
    '\u{11730}',
    '\u{118e0}',
    '\u{11950}',
    '\u{11c50}',
    '\u{11d50}',
    '\u{11da0}',
    '\u{11f50}',
    '\u{16a60}',
    '\u{16ac0}',
    '\u{16b50}',
    '\u{1d7ce}',
    '\u{1d7d8}',
    '\u{1d7e2}',
    '\u{1d7ec}',
    '\u{1d7f6}',
    '\u{1e140}',
    '\u{1e2f0}',
    '\u{1e4f0}',
    '\u{1e950}',
    '\u{1fbf0}',
];
