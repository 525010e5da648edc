//! One JSON object, of which two members are read and all others are only judged.
//!
//! Two readers: [`SimdReader`] is the hot path, every message comes by there. What it refuses is read by
//! [`read`]: strict by RFC 8259, in one pass, without allocation or recursion. What nobody reads is never
//! converted there, so a number may have any size and a string any escape; hostile input costs what any
//! other of its length does. What the first one accepts says the same to both.
//! Limits: [`DEPTH_MAX`] levels of nesting (§9 allows one). Of equal names the last one counts (§4).

mod simd;
mod string;

use std::ops::Range;

use super::python;
pub(super) use simd::SimdReader;
use string::{UNIT_BYTES, is_surrogate, low_surrogate, repeat, run_of_plain, unescape, unit};

/// Deepest nesting, the outermost object counted: what the Python consumer reads.
pub(super) const DEPTH_MAX: usize = python::DEPTH_MAX;

/// Bytes of the longest word that is looked for, `message`.
const WORD_BYTES_MAX: usize = 7;

/// A string as it is in the payload, without its quotes.
#[derive(Clone, Debug, Default)]
pub(super) struct TextPlace {
    range: Range<usize>,
    /// Holds at least one escape.
    is_escaped: bool,
    /// Holds half a surrogate pair: no Unicode text (RFC 8259 §8.2).
    pub(super) is_broken: bool,
}

impl TextPlace {
    /// The text itself, its escapes undone in place; half a surrogate pair becomes U+FFFD. `None` if
    /// the payload is not UTF-8.
    pub(super) fn read<'a>(&self, payload: &'a mut [u8]) -> Option<&'a str> {
        let mut text = payload.get_mut(self.range.clone())?;
        if self.is_escaped {
            let bytes = unescape(text);
            text = text.get_mut(..bytes)?;
        }
        simdutf8::basic::from_utf8(text).ok()
    }

    /// Does it say `word`, however that is written?
    #[inline]
    fn is(&self, payload: &[u8], word: &[u8]) -> bool {
        let written = payload.get(self.range.clone()).unwrap_or_default();
        if self.is_escaped {
            is_escaped_word(written, word)
        } else {
            written == word
        }
    }
}

#[cold]
fn is_escaped_word(written: &[u8], word: &[u8]) -> bool {
    let mut copy = [0; UNIT_BYTES * WORD_BYTES_MAX];
    copy.get_mut(..written.len()).is_some_and(|copy| {
        copy.copy_from_slice(written);
        let bytes = unescape(copy);
        copy.get(..bytes) == Some(word)
    })
}

/// A member's value.
#[derive(Clone, Debug)]
enum MemberValue {
    Text(TextPlace),
    Other,
}

/// The member `message`.
#[derive(Clone, Debug, Default)]
pub(super) enum MessageField {
    /// The object has none.
    #[default]
    Missing,
    /// A string.
    Text(TextPlace),
    /// Any other value.
    Other,
}

/// The member `type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Type {
    /// The object has none.
    #[default]
    Missing,
    /// `"user"`
    User,
    /// `"system"`
    System,
    /// Any other value.
    Unknown,
}

/// What an object says.
#[derive(Clone, Debug, Default)]
pub(super) struct Members {
    pub(super) message: MessageField,
    pub(super) kind: Type,
    /// Holds an integer of more digits than Python reads.
    pub(super) is_beyond_python: bool,
}

/// Reads a payload that is one JSON object; `None` for any other.
pub(super) fn read(payload: &[u8]) -> Option<Members> {
    let mut scanner = Scanner {
        bytes: payload,
        at: 0,
        longest_integer: 0,
    };
    let mut members = Members::default();
    scanner.skip_space();
    scanner.expect(b'{')?;
    scanner.skip_space();
    if scanner.first() == Some(b'}') {
        scanner.at += 1;
    } else {
        loop {
            let name = scanner.name()?;
            let value = scanner.value()?;
            if name.is(payload, b"message") {
                members.message = match value {
                    MemberValue::Text(text) => MessageField::Text(text),
                    MemberValue::Other => MessageField::Other,
                };
            } else if name.is(payload, b"type") {
                members.kind = match value {
                    MemberValue::Text(text) if text.is(payload, b"user") => Type::User,
                    MemberValue::Text(text) if text.is(payload, b"system") => Type::System,
                    MemberValue::Text(_) | MemberValue::Other => Type::Unknown,
                };
            }
            scanner.skip_space();
            match scanner.next()? {
                b',' => scanner.skip_space(),
                b'}' => break,
                _ => return None,
            }
        }
    }
    scanner.skip_space();
    members.is_beyond_python = scanner.longest_integer > python::INTEGER_DIGITS_MAX;
    (scanner.at == payload.len()).then_some(members)
}

/// The rest of a payload.
struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    longest_integer: usize,
}

impl<'a> Scanner<'a> {
    fn first(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.first()?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.first() {
            self.at += 1;
        }
    }

    /// A member's name and the colon, and the white space behind it.
    fn name(&mut self) -> Option<TextPlace> {
        let name = self.string()?;
        self.skip_space();
        self.expect(b':')?;
        self.skip_space();
        Some(name)
    }

    fn value(&mut self) -> Option<MemberValue> {
        match self.first()? {
            b'"' => return self.string().map(MemberValue::Text),
            b'{' | b'[' => self.nested()?,
            _ => self.scalar()?,
        }
        Some(MemberValue::Other)
    }

    /// Anything but an object or an array.
    fn scalar(&mut self) -> Option<()> {
        match self.first()? {
            b'"' => self.string().map(drop),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => self.number(),
        }
    }

    fn literal(&mut self, word: &[u8]) -> Option<()> {
        let is_there = self.rest().starts_with(word);
        self.at += word.len();
        is_there.then_some(())
    }

    /// §6: no sign but minus, no leading zero, digits on both sides of the point.
    fn number(&mut self) -> Option<()> {
        if self.first() == Some(b'-') {
            self.at += 1;
        }
        let whole = if self.first() == Some(b'0') {
            self.at += 1;
            1
        } else {
            self.digits()?
        };
        let mut is_integer = true;
        if self.first() == Some(b'.') {
            self.at += 1;
            self.digits()?;
            is_integer = false;
        }
        if let Some(b'e' | b'E') = self.first() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.first() {
                self.at += 1;
            }
            self.digits()?;
            is_integer = false;
        }
        if is_integer {
            self.longest_integer = self.longest_integer.max(whole);
        }
        Some(())
    }

    /// One or more digits; how many.
    fn digits(&mut self) -> Option<usize> {
        let (eights, _) = self.rest().as_chunks::<8>();
        let all_digits = |eight: &&[u8; 8]| is_digits(u64::from_le_bytes(**eight));
        let start = self.at;
        self.at += 8 * eights.iter().take_while(all_digits).count();
        while let Some(b'0'..=b'9') = self.first() {
            self.at += 1;
        }
        (self.at > start).then_some(self.at - start)
    }

    /// An object or an array, whose members nobody reads.
    fn nested(&mut self) -> Option<()> {
        let mut open = OpenContainers::default();
        loop {
            match self.first()? {
                bracket @ (b'{' | b'[') => {
                    let is_object = bracket == b'{';
                    open.push(is_object)?;
                    self.at += 1;
                    self.skip_space();
                    // An empty one is whole: its end is read below.
                    if self.first()? != if is_object { b'}' } else { b']' } {
                        if is_object {
                            self.name()?;
                        }
                        continue;
                    }
                }
                _ => self.scalar()?,
            }
            // The value is whole: it ends as many levels as brackets follow it.
            loop {
                self.skip_space();
                match (self.next()?, open.is_object()) {
                    (b',', is_object) => {
                        self.skip_space();
                        if is_object {
                            self.name()?;
                        }
                        break;
                    }
                    (b'}', true) | (b']', false) => open.levels -= 1,
                    _ => return None,
                }
                if open.levels == 0 {
                    return Some(());
                }
            }
        }
    }

    fn string(&mut self) -> Option<TextPlace> {
        self.expect(b'"')?;
        let mut text = TextPlace::default();
        let start = self.at;
        let mut is_ascii = true;
        loop {
            let run = run_of_plain(self.rest());
            self.at += run.bytes;
            is_ascii &= run.is_ascii;
            match self.next()? {
                b'"' => break,
                b'\\' => {
                    text.is_escaped = true;
                    text.is_broken |= self.escape()?;
                    while self.first() == Some(b'\\') {
                        self.at += 1;
                        text.is_broken |= self.escape()?;
                    }
                }
                _ => return None,
            }
        }
        text.range = start..self.at - 1;
        let written = self.bytes.get(text.range.clone())?;
        let is_text = is_ascii || simdutf8::basic::from_utf8(written).is_ok();
        is_text.then_some(text)
    }

    /// What follows a backslash; is it half a surrogate pair?
    fn escape(&mut self) -> Option<bool> {
        match self.next()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(false),
            b'u' => {
                let unit = unit(self.rest())?;
                self.at += 4;
                let low = low_surrogate(unit, self.rest());
                if low.is_some() {
                    self.at += UNIT_BYTES;
                }
                Some(low.is_none() && is_surrogate(unit))
            }
            _ => None,
        }
    }
}

/// Which brackets are open, one bit each.
struct OpenContainers {
    objects: [u64; DEPTH_MAX.div_ceil(64)],
    levels: usize,
}

impl Default for OpenContainers {
    fn default() -> Self {
        Self {
            objects: [0; DEPTH_MAX.div_ceil(64)],
            levels: 0,
        }
    }
}

impl OpenContainers {
    fn push(&mut self, is_object: bool) -> Option<()> {
        // One level is the outermost object's.
        if self.levels + 1 >= DEPTH_MAX {
            return None;
        }
        let word = self.objects.get_mut(self.levels / 64)?;
        let bit = 1 << (self.levels % 64);
        *word = if is_object { *word | bit } else { *word & !bit };
        self.levels += 1;
        Some(())
    }

    /// Is the innermost one an object? Asked only while one is open.
    fn is_object(&self) -> bool {
        let level = self.levels - 1;
        let word = self.objects.get(level / 64);
        word.is_some_and(|word| word >> (level % 64) & 1 == 1)
    }
}

const fn is_digits(word: u64) -> bool {
    // Both 0x30–0x3f and, six higher, not carried beyond: 0x30–0x39.
    let nibbles = repeat(0xf0);
    word & nibbles == repeat(0x30) && word.wrapping_add(repeat(6)) & nibbles == repeat(0x30)
}
