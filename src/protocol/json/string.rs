//! The inside of a JSON string: where it ends, and what its escapes stand for.

/// Bytes of the escape of a UTF-16 unit: the longest way to write an ASCII character.
pub(super) const UNIT_BYTES: usize = 6;

pub(super) const fn repeat(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The high bit of every byte.
const HIGHS: u64 = repeat(0x80);

/// Marks quotes, backslashes and control characters in their high bits. Right up to the first one that
/// is marked, which is all that is looked at: beyond it a borrow may mark others.
const fn specials(word: u64) -> u64 {
    let control = word.wrapping_sub(repeat(0x20));
    let quote = (word ^ repeat(b'"')).wrapping_sub(repeat(1));
    let backslash = (word ^ repeat(b'\\')).wrapping_sub(repeat(1));
    (control | quote | backslash) & !word & HIGHS
}

/// The start of a text up to the first quote, backslash or control character.
#[derive(Clone, Copy)]
pub(super) struct Run {
    pub(super) bytes: usize,
    /// False may be said of one that only has something else behind it.
    pub(super) is_ascii: bool,
}

#[inline]
pub(super) fn run_of_plain(text: &[u8]) -> Run {
    let (mut rest, mut all) = (text, 0);
    while let Some((eight, behind)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*eight);
        all |= word;
        let special = specials(word);
        if special != 0 {
            return Run {
                bytes: text.len() - rest.len() + special.trailing_zeros() as usize / 8,
                is_ascii: all & HIGHS == 0,
            };
        }
        rest = behind;
    }
    let is_plain = |byte: &&u8| **byte >= 0x20 && !matches!(byte, b'"' | b'\\');
    Run {
        bytes: text.len() - rest.len() + rest.iter().take_while(is_plain).count(),
        is_ascii: all & HIGHS == 0 && rest.is_ascii(),
    }
}

/// Undoes the escapes of a string that was judged, in place; how many bytes are left.
pub(super) fn unescape(text: &mut [u8]) -> usize {
    // What is before the first one stays where it is.
    let mut from = run_of_plain(text).bytes;
    let mut to = from;
    while let Some(escape) = text.get(from + 1..) {
        let (character, bytes) = character(escape);
        from += 1 + bytes;
        // There is room: what a character is written as is never longer than its escape.
        let room = text.get_mut(to..).unwrap_or_default();
        to += character.encode_utf8(room).len();
        if text.get(from) == Some(&b'\\') {
            continue;
        }
        let run = run_of_plain(text.get(from..).unwrap_or_default()).bytes;
        text.copy_within(from..from + run, to);
        from += run;
        to += run;
    }
    to
}

/// The character of an escape without its backslash, and the bytes that it takes.
fn character(escape: &[u8]) -> (char, usize) {
    let letter = match escape.first() {
        Some(b'u') => {
            let rest = escape.get(1..).unwrap_or_default();
            let unit = unit(rest).unwrap_or_default();
            let behind = rest.get(4..).unwrap_or_default();
            let low = low_surrogate(unit, behind);
            let code = low.map_or(unit, |low| {
                0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
            });
            let bytes = if low.is_some() { 5 + UNIT_BYTES } else { 5 };
            let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
            return (character, bytes);
        }
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(&letter) => char::from(letter),
        // No string that was judged ends in half an escape.
        None => return ('\\', 0),
    };
    (letter, 1)
}

/// The UTF-16 unit of four hexadecimal digits.
pub(super) fn unit(digits: &[u8]) -> Option<u32> {
    let digits: &[u8; 4] = digits.first_chunk()?;
    let [a, b, c, d] =
        digits.map(|digit| DIGITS.get(usize::from(digit)).copied().unwrap_or(NOT_HEX));
    let unit = a << 12 | b << 8 | c << 4 | d;
    (unit < NOT_HEX).then_some(unit)
}

/// No value of four digits reaches it, wherever among them it stands.
const NOT_HEX: u32 = 1 << 16;

/// [`value_of_digit`] of every byte: one look, where the digits of an escape would mislead every branch.
static DIGITS: [u32; 256] = {
    let mut values = [NOT_HEX; 256];
    let (mut rest, mut byte) = (values.as_mut_slice(), 0);
    while let [value, behind @ ..] = rest {
        *value = value_of_digit(byte);
        byte = byte.wrapping_add(1);
        rest = behind;
    }
    values
};

/// The value of a hexadecimal digit; [`NOT_HEX`] of any other byte.
const fn value_of_digit(byte: u8) -> u32 {
    match byte {
        b'0'..=b'9' => (byte - b'0') as u32,
        b'a'..=b'f' => (byte - b'a' + 10) as u32,
        b'A'..=b'F' => (byte - b'A' + 10) as u32,
        _ => NOT_HEX,
    }
}

/// The low surrogate that is written behind `unit`, if that is a high one.
pub(super) fn low_surrogate(unit: u32, behind: &[u8]) -> Option<u32> {
    if !matches!(unit, 0xd800..0xdc00) {
        return None;
    }
    let low = self::unit(behind.strip_prefix(b"\\u")?)?;
    (0xdc00..0xe000).contains(&low).then_some(low)
}

pub(super) const fn is_surrogate(unit: u32) -> bool {
    matches!(unit, 0xd800..0xe000)
}
