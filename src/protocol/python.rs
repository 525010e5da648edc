//! JSON as Python reads and writes it, for the `django` dialect where a strict reader cannot answer.
//!
//! Not the fast path: it runs only for a `message` that is not a string, for what strict JSON
//! refuses but Python accepts (NaN, `1e400`, long integers, lone surrogates), and for channel layers
//! configured to speak JSON.
//! Neither reading nor writing recurses. Source: CPython 3.11 `Modules/_json.c`,
//! `Objects/unicodeobject.c` (`repr`), recorded in `tests/data/transcript.jsonl`.

use std::collections::HashMap;
use std::slice::Iter;

use super::escape::{hex_digit, push_ascii_char};

/// Most digits of an integer; CPython's `sys.int_info.default_max_str_digits`.
pub(super) const INTEGER_DIGITS_MAX: usize = 4300;

/// Deepest nesting. The consumer's own limit lies near 990 and depends on its stack.
pub(super) const DEPTH_MAX: usize = 990;

/// Why Python does not read a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PythonFailure {
    /// `JSONDecodeError`.
    Syntax,
    /// `RecursionError`, or the `ValueError` of a long integer.
    Unprocessable,
    /// More values than the caller allows.
    TooMany,
}

/// Code points, because a Python string may hold lone surrogates.
pub(crate) type Text = Box<[u32]>;

/// A JSON value as Python holds it.
#[derive(Debug)]
pub(crate) enum PythonValue {
    /// `None`
    Null,
    /// `True`, `False`
    Bool(bool),
    /// An integer's canonical decimal digits.
    Integer(Box<str>),
    /// A finite or infinite number, or NaN.
    Float(f64),
    /// `str`
    Text(Text),
    /// `list`
    List(Vec<Self>),
    /// `dict`
    Dict(Dict),
}

/// A dictionary in order of first insertion; a later value of a key replaces the earlier one.
#[derive(Debug, Default)]
pub(crate) struct Dict {
    entries: Vec<(Text, PythonValue)>,
    index: HashMap<Text, usize>,
}

impl Dict {
    fn insert(&mut self, key: Text, value: PythonValue) {
        if let Some(entry) = self
            .index
            .get(&key)
            .and_then(|&position| self.entries.get_mut(position))
        {
            entry.1 = value;
        } else {
            self.index.insert(key.clone(), self.entries.len());
            self.entries.push((key, value));
        }
    }

    /// The dict's entries, in order.
    pub(crate) fn into_entries(self) -> Vec<(Text, PythonValue)> {
        self.entries
    }

    /// Removes and returns the value of an ASCII key.
    pub(super) fn take(&mut self, key: &str) -> Option<PythonValue> {
        let key: Text = key.chars().map(u32::from).collect();
        let position = self.index.remove(&key)?;
        let entry = self.entries.get_mut(position)?;
        Some(std::mem::replace(&mut entry.1, PythonValue::Null))
    }
}

/// A list or dictionary whose end has not been read.
enum Unfinished {
    List(Vec<PythonValue>),
    Dict(Dict, Text),
}

/// Reads one JSON text like `json.loads`.
pub(super) fn read(text: &str) -> Result<PythonValue, PythonFailure> {
    read_at_most(text, usize::MAX)
}

/// Reads one JSON text of at most `values_max` values.
pub(crate) fn read_at_most(text: &str, values_max: usize) -> Result<PythonValue, PythonFailure> {
    let mut reader = PythonReader { rest: text };
    let mut open: Vec<Unfinished> = Vec::new();
    let mut values = 0;
    loop {
        values += 1;
        if values > values_max {
            return Err(PythonFailure::TooMany);
        }
        reader.skip_space();
        let start = reader.first();
        let mut value = if matches!(start, Some(b'[' | b'{')) {
            if open.len() >= DEPTH_MAX {
                return Err(PythonFailure::Unprocessable);
            }
            reader.advance(1);
            reader.skip_space();
            match (start, reader.first()) {
                (Some(b'['), Some(b']')) => {
                    reader.advance(1);
                    PythonValue::List(Vec::new())
                }
                (Some(b'{'), Some(b'}')) => {
                    reader.advance(1);
                    PythonValue::Dict(Dict::default())
                }
                (Some(b'['), _) => {
                    open.push(Unfinished::List(Vec::new()));
                    continue;
                }
                _ => {
                    let key = reader.key()?;
                    open.push(Unfinished::Dict(Dict::default(), key));
                    continue;
                }
            }
        } else {
            reader.scalar()?
        };
        // The value is whole: it ends as many lists and dictionaries as brackets follow it.
        loop {
            reader.skip_space();
            let next = reader.first();
            reader.advance(1);
            value = match (open.pop(), next) {
                (None, None) => return Ok(value),
                (Some(Unfinished::List(mut items)), Some(b',')) => {
                    items.push(value);
                    open.push(Unfinished::List(items));
                    break;
                }
                (Some(Unfinished::List(mut items)), Some(b']')) => {
                    items.push(value);
                    PythonValue::List(items)
                }
                (Some(Unfinished::Dict(mut dict, key)), Some(b',')) => {
                    dict.insert(key, value);
                    reader.skip_space();
                    open.push(Unfinished::Dict(dict, reader.key()?));
                    break;
                }
                (Some(Unfinished::Dict(mut dict, key)), Some(b'}')) => {
                    dict.insert(key, value);
                    PythonValue::Dict(dict)
                }
                _ => return Err(PythonFailure::Syntax),
            };
        }
    }
}

struct PythonReader<'a> {
    rest: &'a str,
}

impl<'a> PythonReader<'a> {
    fn first(&self) -> Option<u8> {
        self.rest.as_bytes().first().copied()
    }

    /// Skips ASCII bytes.
    fn advance(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
    }

    fn accept(&mut self, token: &str) -> bool {
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// A dictionary's key and the colon.
    fn key(&mut self) -> Result<Text, PythonFailure> {
        if self.first() != Some(b'"') {
            return Err(PythonFailure::Syntax);
        }
        let key = self.string()?;
        self.skip_space();
        if self.accept(":") {
            Ok(key)
        } else {
            Err(PythonFailure::Syntax)
        }
    }

    fn scalar(&mut self) -> Result<PythonValue, PythonFailure> {
        let constants = [
            ("null", PythonValue::Null),
            ("true", PythonValue::Bool(true)),
            ("false", PythonValue::Bool(false)),
            ("NaN", PythonValue::Float(f64::NAN)),
            ("Infinity", PythonValue::Float(f64::INFINITY)),
            ("-Infinity", PythonValue::Float(f64::NEG_INFINITY)),
        ];
        if self.first() == Some(b'"') {
            return self.string().map(PythonValue::Text);
        }
        for (token, value) in constants {
            if self.accept(token) {
                return Ok(value);
            }
        }
        self.number()
    }

    fn string(&mut self) -> Result<Text, PythonFailure> {
        self.advance(1);
        let mut text = Vec::new();
        loop {
            let mut chars = self.rest.chars();
            let character = chars.next().ok_or(PythonFailure::Syntax)?;
            self.rest = chars.as_str();
            match character {
                '"' => return Ok(text.into_boxed_slice()),
                '\\' => text.push(self.escape()?),
                '\0'..='\u{1f}' => return Err(PythonFailure::Syntax),
                _ => text.push(u32::from(character)),
            }
        }
    }

    fn escape(&mut self) -> Result<u32, PythonFailure> {
        let letter = self.first().ok_or(PythonFailure::Syntax)?;
        let character = match letter {
            b'"' | b'\\' | b'/' => letter,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                self.advance(1);
                return self.code_point();
            }
            _ => return Err(PythonFailure::Syntax),
        };
        self.advance(1);
        Ok(u32::from(character))
    }

    /// Four digits and, after a high surrogate, the escaped low one if it follows.
    fn code_point(&mut self) -> Result<u32, PythonFailure> {
        let unit = self.four_digits()?;
        let mut ahead = PythonReader { rest: self.rest };
        if (0xd800..0xdc00).contains(&unit) && ahead.accept("\\u") {
            let low = ahead.four_digits()?;
            if (0xdc00..0xe000).contains(&low) {
                self.rest = ahead.rest;
                return Ok(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
            }
        }
        Ok(unit)
    }

    fn four_digits(&mut self) -> Result<u32, PythonFailure> {
        let digits = self
            .rest
            .get(..4)
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or(PythonFailure::Syntax)?;
        self.advance(4);
        Ok(digits)
    }

    fn number(&mut self) -> Result<PythonValue, PythonFailure> {
        let bytes = self.rest.as_bytes();
        let at = |position: usize| bytes.get(position).copied().unwrap_or_default();
        let digits = |start: usize| {
            let tail = bytes.get(start..).unwrap_or_default();
            tail.iter().take_while(|byte| byte.is_ascii_digit()).count()
        };
        let sign = usize::from(at(0) == b'-');
        let whole = match at(sign) {
            b'0' => 1,
            b'1'..=b'9' => digits(sign),
            _ => return Err(PythonFailure::Syntax),
        };
        let mut end = sign + whole;
        if at(end) == b'.' && digits(end + 1) > 0 {
            end += 1 + digits(end + 1);
        }
        if matches!(at(end), b'e' | b'E') {
            let start = end + 1 + usize::from(matches!(at(end + 1), b'+' | b'-'));
            if digits(start) > 0 {
                end = start + digits(start);
            }
        }
        let text = self.rest.get(..end).unwrap_or_default();
        let value = if end > sign + whole {
            PythonValue::Float(text.parse().unwrap_or(f64::NAN))
        } else if whole > INTEGER_DIGITS_MAX {
            return Err(PythonFailure::Unprocessable);
        } else {
            PythonValue::Integer(if text == "-0" { "0" } else { text }.into())
        };
        self.advance(end);
        Ok(value)
    }
}

/// How a value is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// `json.dumps`
    Json,
    /// `repr`
    Repr,
}

/// `json.dumps(value)`
pub(super) fn to_json(value: &PythonValue) -> String {
    into_string(write(value, Style::Json))
}

/// `str(value)`, or nothing if it holds a lone surrogate, which no database takes.
pub(super) fn to_str(value: &PythonValue) -> Option<String> {
    match value {
        PythonValue::Text(text) => text.iter().map(|&code| char::from_u32(code)).collect(),
        _ => Some(into_string(write(value, Style::Repr))),
    }
}

fn into_string(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("invariant: both styles escape lone surrogates")
}

/// What remains of a list or dictionary that is being written.
enum Rest<'a> {
    List(Iter<'a, PythonValue>),
    Dict(Iter<'a, (Text, PythonValue)>),
}

fn write(value: &PythonValue, style: Style) -> Vec<u8> {
    let mut out = Vec::new();
    let mut open: Vec<Rest<'_>> = Vec::new();
    let mut value = Some(value);
    let mut first = true;
    loop {
        match value.take() {
            Some(PythonValue::List(items)) => {
                out.push(b'[');
                open.push(Rest::List(items.iter()));
                first = true;
            }
            Some(PythonValue::Dict(dict)) => {
                out.push(b'{');
                open.push(Rest::Dict(dict.entries.iter()));
                first = true;
            }
            Some(scalar) => push_scalar(&mut out, scalar, style),
            None => {}
        }
        let (next, end) = match open.last_mut() {
            None => return out,
            Some(Rest::List(items)) => (items.next().map(|item| (None, item)), b']'),
            Some(Rest::Dict(entries)) => {
                (entries.next().map(|(key, item)| (Some(key), item)), b'}')
            }
        };
        let Some((key, item)) = next else {
            out.push(end);
            open.pop();
            first = false;
            continue;
        };
        if !std::mem::take(&mut first) {
            out.extend_from_slice(b", ");
        }
        if let Some(key) = key {
            push_text(&mut out, key, style);
            out.extend_from_slice(b": ");
        }
        value = Some(item);
    }
}

fn push_scalar(out: &mut Vec<u8>, value: &PythonValue, style: Style) {
    let json = style == Style::Json;
    let word = match value {
        PythonValue::Null => ["None", "null"],
        PythonValue::Bool(true) => ["True", "true"],
        PythonValue::Bool(false) => ["False", "false"],
        PythonValue::Float(number) if number.is_nan() => ["nan", "NaN"],
        PythonValue::Float(f64::INFINITY) => ["inf", "Infinity"],
        PythonValue::Float(f64::NEG_INFINITY) => ["-inf", "-Infinity"],
        PythonValue::Float(number) => {
            out.extend_from_slice(float(*number).as_bytes());
            return;
        }
        PythonValue::Integer(digits) => [&**digits, &**digits],
        PythonValue::Text(text) => return push_text(out, text, style),
        PythonValue::List(_) | PythonValue::Dict(_) => return,
    };
    let [repr, word_of_json] = word;
    out.extend_from_slice(if json { word_of_json } else { repr }.as_bytes());
}

/// `repr` of a finite float: the fewest digits that read back, with an exponent from 1e16 and
/// below 1e-4.
pub(crate) fn float(number: f64) -> String {
    let mut text = format!("{number:e}");
    // Where two shortest texts are equally close Python takes the even one, the standard library
    // the upper one; writing to that many digits rounds to even.
    let digits = text.bytes().take_while(|&byte| byte != b'e');
    let fraction = digits.skip_while(|&byte| byte != b'.').skip(1).count();
    let even = format!("{number:.fraction$e}");
    if even.parse() == Ok(number) {
        text = even;
    }
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.unsigned_abs());
    }
    let places = i32::try_from(fraction).unwrap_or_default() - exponent;
    format!("{number:.*}", usize::try_from(places).unwrap_or(0).max(1))
}

fn push_text(out: &mut Vec<u8>, text: &[u32], style: Style) {
    if style == Style::Json {
        out.push(b'"');
        for &code in text {
            push_ascii_char(out, code);
        }
        out.push(b'"');
        return;
    }
    let holds = |quote: char| text.contains(&u32::from(quote));
    let quote = if holds('\'') && !holds('"') {
        b'"'
    } else {
        b'\''
    };
    out.push(quote);
    for &code in text {
        push_repr_char(out, code, quote);
    }
    out.push(quote);
}

fn push_repr_char(out: &mut Vec<u8>, code: u32, quote: u8) {
    match char::from_u32(code) {
        Some('\n') => out.extend_from_slice(b"\\n"),
        Some('\r') => out.extend_from_slice(b"\\r"),
        Some('\t') => out.extend_from_slice(b"\\t"),
        Some(character) if character == '\\' || code == u32::from(quote) => {
            out.push(b'\\');
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        Some(character) if is_printable(character) => {
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        _ => {
            let (letter, digits) = match code {
                0..=0xff => (b'x', 2),
                0x100..=0xffff => (b'u', 4),
                _ => (b'U', 8),
            };
            out.extend_from_slice(&[b'\\', letter]);
            for position in (0..digits).rev() {
                out.push(hex_digit(((code >> (4 * position)) & 0xf) as u16));
            }
        }
    }
}

/// `str.isprintable`. The standard library keeps the same table for `escape_debug`, where a
/// combining mark prints unless it comes first; hence the letter before it.
fn is_printable(character: char) -> bool {
    let mut pair = String::from("a");
    pair.push(character);
    matches!(character, '"' | '\'') || pair.escape_debug().skip(1).eq([character])
}
