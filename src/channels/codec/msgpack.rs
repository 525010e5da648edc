//! Messages as msgpack, in the profile of `msgpack.packb` and `msgpack.unpackb` (1.2, defaults).
//!
//! Markers and shortest forms are `rmp`'s; the tree is our own. `rmpv` does not allocate for an
//! announced length either and bounds the depth, but not the number of values (a byte of `nil`
//! becomes 40), and it accepts what would end a Python consumer: other keys than texts, text that is
//! not UTF-8, bytes after the end.

use std::borrow::Cow;

use rmp::Marker;
use rmp::encode::{self, ByteBuf};

use super::fault::{DEPTH_MAX, Poison, Unwritable, VALUES_MAX};
use super::value::{Map, To, Value};

/// Where a message says which channels it is for.
pub(in crate::channels) const RECIPIENTS: &str = "__asgi_channel__";

/// Reads one message, and nothing after it. No list grows by more than the bytes that are there.
pub(in crate::channels) fn read(bytes: &[u8]) -> Result<Map<'_>, Poison> {
    let mut reader = MsgpackReader {
        rest: bytes,
        values: 0,
    };
    let Value::Map(map) = reader.value(0)? else {
        return Err(Poison::NotAMap);
    };
    if reader.rest.is_empty() {
        Ok(map)
    } else {
        Err(Poison::Trailing)
    }
}

struct MsgpackReader<'a> {
    rest: &'a [u8],
    /// Values so far, [`VALUES_MAX`] at most.
    values: usize,
}

impl<'a> MsgpackReader<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], Poison> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(Poison::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Poison> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(Poison::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<usize, Poison> {
        Ok(usize::from(u8::from_be_bytes(self.array()?)))
    }

    fn u16(&mut self) -> Result<usize, Poison> {
        Ok(usize::from(u16::from_be_bytes(self.array()?)))
    }

    fn u32(&mut self) -> Result<usize, Poison> {
        let number = u32::from_be_bytes(self.array()?);
        usize::try_from(number).map_err(|_too_large| Poison::Truncated)
    }

    /// Recurses [`DEPTH_MAX`] times and once more at most.
    fn value(&mut self, depth: usize) -> Result<Value<'a>, Poison> {
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err(Poison::Values);
        }
        let [marker] = self.array()?;
        Ok(match Marker::from_u8(marker) {
            Marker::Null => Value::Null,
            Marker::True => Value::Bool(true),
            Marker::False => Value::Bool(false),
            Marker::FixPos(number) => Value::Integer(number.into()),
            Marker::FixNeg(number) => Value::Integer(number.into()),
            Marker::U8 => Value::Integer(u8::from_be_bytes(self.array()?).into()),
            Marker::U16 => Value::Integer(u16::from_be_bytes(self.array()?).into()),
            Marker::U32 => Value::Integer(u32::from_be_bytes(self.array()?).into()),
            Marker::U64 => unsigned(u64::from_be_bytes(self.array()?)),
            Marker::I8 => Value::Integer(i8::from_be_bytes(self.array()?).into()),
            Marker::I16 => Value::Integer(i16::from_be_bytes(self.array()?).into()),
            Marker::I32 => Value::Integer(i32::from_be_bytes(self.array()?).into()),
            Marker::I64 => Value::Integer(i64::from_be_bytes(self.array()?)),
            Marker::F32 => Value::Float(f32::from_be_bytes(self.array()?).into()),
            Marker::F64 => Value::Float(f64::from_be_bytes(self.array()?)),
            Marker::Bin8 => self.u8().and_then(|length| self.bytes(length))?,
            Marker::Bin16 => self.u16().and_then(|length| self.bytes(length))?,
            Marker::Bin32 => self.u32().and_then(|length| self.bytes(length))?,
            Marker::FixArray(length) => self.list(length.into(), depth)?,
            Marker::Array16 => self.u16().and_then(|length| self.list(length, depth))?,
            Marker::Array32 => self.u32().and_then(|length| self.list(length, depth))?,
            Marker::FixMap(length) => self.map(length.into(), depth)?,
            Marker::Map16 => self.u16().and_then(|length| self.map(length, depth))?,
            Marker::Map32 => self.u32().and_then(|length| self.map(length, depth))?,
            Marker::Reserved => return Err(Poison::Reserved),
            marker => match self.text_length(marker)? {
                Some(length) => Value::Text(Cow::Borrowed(self.text(length)?)),
                None => return Err(Poison::Extension),
            },
        })
    }

    /// The length of a text, or nothing if the marker is of another family.
    fn text_length(&mut self, marker: Marker) -> Result<Option<usize>, Poison> {
        Ok(Some(match marker {
            Marker::FixStr(length) => length.into(),
            Marker::Str8 => self.u8()?,
            Marker::Str16 => self.u16()?,
            Marker::Str32 => self.u32()?,
            _ => return Ok(None),
        }))
    }

    fn text(&mut self, length: usize) -> Result<&'a str, Poison> {
        std::str::from_utf8(self.take(length)?).map_err(|_not_shown| Poison::Utf8)
    }

    fn bytes(&mut self, length: usize) -> Result<Value<'a>, Poison> {
        Ok(Value::Bytes(Cow::Borrowed(self.take(length)?)))
    }

    /// Each value takes a byte at least, so a longer announcement is a lie.
    fn announced(&self, values: usize, bytes_each: usize, depth: usize) -> Result<(), Poison> {
        if depth > DEPTH_MAX {
            Err(Poison::Depth)
        } else if values > self.rest.len() / bytes_each {
            Err(Poison::Truncated)
        } else if values > VALUES_MAX {
            Err(Poison::Values)
        } else {
            Ok(())
        }
    }

    fn list(&mut self, length: usize, depth: usize) -> Result<Value<'a>, Poison> {
        self.announced(length, 1, depth)?;
        let mut items = Vec::new();
        for _ in 0..length {
            items.push(self.value(depth + 1)?);
        }
        Ok(Value::List(items))
    }

    fn map(&mut self, length: usize, depth: usize) -> Result<Value<'a>, Poison> {
        self.announced(length, 2, depth)?;
        let mut map = Map::new();
        for _ in 0..length {
            let [marker] = self.array()?;
            let length = self.text_length(Marker::from_u8(marker))?;
            let key = self.text(length.ok_or(Poison::Key)?)?;
            map.push(key, self.value(depth + 1)?);
        }
        Ok(Value::Map(map))
    }
}

fn unsigned(number: u64) -> Value<'static> {
    match i64::try_from(number) {
        Ok(number) => Value::Integer(number),
        Err(_too_large) => Value::Digits(Cow::Owned(number.to_string())),
    }
}

/// Writes a message and, last, whom it is for.
pub(in crate::channels) fn write(map: &Map<'_>, to: To<'_>) -> Result<Vec<u8>, Unwritable> {
    let mut out = ByteBuf::with_capacity(256);
    let extra = usize::from(!matches!(to, To::Nobody));
    push_map_length(&mut out, map.len() + extra)?;
    push_entries(&mut out, map)?;
    match to {
        To::Nobody => {}
        To::One(channel) => {
            push_text(&mut out, RECIPIENTS)?;
            push_text(&mut out, channel)?;
        }
        To::Many(channels) => {
            push_text(&mut out, RECIPIENTS)?;
            let count = length(channels.len())?;
            ok(encode::write_array_len(&mut out, count))?;
            for channel in channels {
                push_text(&mut out, channel)?;
            }
        }
    }
    Ok(out.into_vec())
}

fn push_entries(out: &mut ByteBuf, map: &Map<'_>) -> Result<(), Unwritable> {
    for (key, value) in map.iter() {
        push_text(out, key)?;
        push_value(out, value)?;
    }
    Ok(())
}

fn push_value(out: &mut ByteBuf, value: &Value<'_>) -> Result<(), Unwritable> {
    match value {
        Value::Null => ok(encode::write_nil(out)),
        Value::Bool(truth) => ok(encode::write_bool(out, *truth)),
        Value::Integer(number) => ok(encode::write_sint(out, *number)),
        Value::Digits(digits) => {
            let number = digits.parse().map_err(|_too_long| Unwritable::Integer)?;
            ok(encode::write_uint(out, number))
        }
        Value::Float(number) => ok(encode::write_f64(out, *number)),
        Value::Text(text) => push_text(out, text),
        Value::Bytes(bytes) => {
            length(bytes.len())?;
            ok(encode::write_bin(out, bytes))
        }
        Value::List(items) => {
            ok(encode::write_array_len(out, length(items.len())?))?;
            items.iter().try_for_each(|item| push_value(out, item))
        }
        Value::Map(map) => {
            push_map_length(out, map.len())?;
            push_entries(out, map)
        }
    }
}

fn push_map_length(out: &mut ByteBuf, entries: usize) -> Result<(), Unwritable> {
    ok(encode::write_map_len(out, length(entries)?))
}

fn push_text(out: &mut ByteBuf, text: &str) -> Result<(), Unwritable> {
    length(text.len())?;
    ok(encode::write_str(out, text))
}

/// Lengths have 32 bits.
fn length(length: usize) -> Result<u32, Unwritable> {
    u32::try_from(length).map_err(|_too_long| Unwritable::TooLong)
}

/// Memory takes everything; `rmp` only has one error for all its writers.
fn ok<T, E>(written: Result<T, E>) -> Result<(), Unwritable> {
    match written {
        Ok(_marker) => Ok(()),
        Err(_impossible) => Err(Unwritable::TooLong),
    }
}
