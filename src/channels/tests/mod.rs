//! The codec, the names and the commands against what the real packages said
//! (`tests/channels/vectors.json`), against poison, and against arbitrary bytes.

mod event;
pub(super) mod names;
mod poison;
mod properties;
mod vectors;

use super::DjangoCodec;
use super::codec::value::{Map, Value};
use super::codec::{DjangoMessage, Poison};
use crate::config::channels::{ChannelsSettings, LayerKind, SerializerFormat};

/// What the recorder's random numbers are made of.
const RANDOM: u8 = 0xab;
const NOW: u64 = 1_700_000_000;

fn channels(layer: LayerKind, format: SerializerFormat) -> ChannelsSettings {
    ChannelsSettings {
        layer,
        serializer_format: format,
        ..ChannelsSettings::default()
    }
}

fn fill(bytes: &mut [u8]) {
    bytes.fill(RANDOM);
}

fn hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16);
    digits.map(|pair| byte(pair).expect("digits")).collect()
}

/// Reads a body of layer `pubsub`, which is nothing but the body.
fn read(format: SerializerFormat, body: &[u8]) -> Result<Map<'static>, Poison> {
    let codec = DjangoCodec::new(&channels(LayerKind::Pubsub, format));
    let mut scratch = Vec::new();
    let DjangoMessage { to, event } = codec.decode(body, NOW, &mut scratch)?;
    assert!(to.is_empty());
    Ok(owned(event))
}

fn owned(map: Map<'_>) -> Map<'static> {
    let mut copy = Map::new();
    for (key, value) in map.iter() {
        copy.push(key.to_owned(), owned_value(value));
    }
    copy
}

fn owned_value(value: &Value<'_>) -> Value<'static> {
    match value {
        Value::Null => Value::Null,
        Value::Bool(truth) => Value::Bool(*truth),
        Value::Integer(number) => Value::Integer(*number),
        Value::Digits(digits) => Value::Digits(digits.clone().into_owned().into()),
        Value::Float(number) => Value::Float(*number),
        Value::Text(text) => Value::Text(text.clone().into_owned().into()),
        Value::Bytes(bytes) => Value::Bytes(bytes.clone().into_owned().into()),
        Value::List(items) => Value::List(items.iter().map(owned_value).collect()),
        Value::Map(map) => Value::Map(owned(map.clone())),
    }
}
