//! What no reader should be given, and why it is refused.

use super::super::codec::{DEPTH_MAX, DjangoMessage, Poison, VALUES_MAX};
use super::super::{DjangoCodec, To, Unwritable, Value};
use super::{NOW, channels, fill, hex, read};
use crate::config::Secret;
use crate::config::channels::{ChannelsSettings, LayerKind, SerializerFormat};
use std::collections::HashSet;

fn msgpack(body: &[u8]) -> Result<usize, Poison> {
    read(SerializerFormat::Msgpack, body).map(|event| event.len())
}

fn json(body: &str) -> Result<usize, Poison> {
    read(SerializerFormat::Json, body.as_bytes()).map(|event| event.len())
}

#[test]
fn each_kind_of_broken_msgpack_has_its_reason() {
    for (body, reason) in [
        ("", Poison::Truncated),
        ("81", Poison::Truncated),
        ("81a161", Poison::Truncated),
        ("81a161cd01", Poison::Truncated),
        ("81a161a5616161", Poison::Truncated),
        ("81a161ddffffffff", Poison::Truncated),
        ("81a161dfffffffff", Poison::Truncated),
        ("81a161dbffffffff", Poison::Truncated),
        ("81a161c606400000", Poison::Truncated),
        ("dfffffffff", Poison::Truncated),
        ("80c0", Poison::Trailing),
        ("c0", Poison::NotAMap),
        ("90", Poison::NotAMap),
        ("a161", Poison::NotAMap),
        ("81a161c1", Poison::Reserved),
        ("81a161d4ff00", Poison::Extension),
        ("81a161d6ff00000000", Poison::Extension),
        ("81a161c70c0500", Poison::Extension),
        ("810101", Poison::Key),
        ("81c40161c0", Poison::Key),
        ("8180c0", Poison::Key),
        ("81a161a2c328", Poison::Utf8),
        ("81a1ffc0", Poison::Utf8),
        ("81a161a3eda080", Poison::Utf8),
    ] {
        assert_eq!(msgpack(&hex(body)), Err(reason), "{body}");
    }
    assert_eq!(msgpack(&hex("81a161c4020102")), Ok(1));
    assert_eq!(msgpack(&hex("82a16101a16102")), Ok(2));
}

#[test]
fn each_kind_of_broken_json_has_its_reason() {
    for (body, reason) in [
        ("", Poison::Json),
        ("{", Poison::Json),
        ("{\"a\":1}x", Poison::Json),
        ("\u{feff}{}", Poison::Json),
        ("[]", Poison::NotAMap),
        ("null", Poison::NotAMap),
        (r#"{"a": "\ud800"}"#, Poison::Utf8),
        (r#"{"\udfff": 1}"#, Poison::Utf8),
    ] {
        assert_eq!(json(body), Err(reason), "{body}");
    }
    let digits = format!("{{\"a\": {}}}", "9".repeat(4301));
    assert_eq!(json(&digits), Err(Poison::Depth));
    assert_eq!(
        read(SerializerFormat::Json, b"{\"a\": \"\xff\"}"),
        Err(Poison::Utf8)
    );
}

/// `{"a": [[…]]}`, `depth` deep.
fn nested(depth: usize) -> (Vec<u8>, String) {
    let mut body = hex("81a161");
    body.extend(std::iter::repeat_n(0x91, depth - 1));
    body.push(0x90);
    let (open, close) = ("[".repeat(depth), "]".repeat(depth));
    (body, format!("{{\"a\": {open}{close}}}"))
}

#[test]
fn a_million_levels_are_refused_and_the_deepest_legal_ones_read() {
    let (body, text) = nested(DEPTH_MAX);
    assert_eq!((msgpack(&body), json(&text)), (Ok(1), Ok(1)));
    let (body, text) = nested(DEPTH_MAX + 1);
    assert_eq!(
        (msgpack(&body), json(&text)),
        (Err(Poison::Depth), Err(Poison::Depth))
    );
    let (mut body, mut text) = nested(1_000_000);
    body.truncate(ChannelsSettings::default().message_bytes);
    text.truncate(ChannelsSettings::default().message_bytes);
    assert_eq!(
        (msgpack(&body), json(&text)),
        (Err(Poison::Depth), Err(Poison::Depth))
    );
}

#[test]
fn the_number_of_values_is_bounded_in_every_shape() {
    let flat = |count: u32| {
        let mut body = hex("81a161dd");
        body.extend_from_slice(&count.to_be_bytes());
        body.extend(std::iter::repeat_n(0xc0, count as usize));
        body
    };
    let most = u32::try_from(VALUES_MAX).expect("fits") - 2;
    assert_eq!(msgpack(&flat(most)), Ok(1));
    assert_eq!(msgpack(&flat(most + 1)), Err(Poison::Values));
    assert_eq!(msgpack(&flat(most + 3)), Err(Poison::Values));
    // Small lists within lists: no single announcement is too large.
    let mut lists = hex("81a161dd00010000");
    lists.extend(std::iter::repeat_n([0x91, 0xc0], 0x10000).flatten());
    assert_eq!(msgpack(&lists), Err(Poison::Values));
    let text = format!("{{\"a\": [{}0]}}", "0,".repeat(VALUES_MAX));
    assert_eq!(json(&text), Err(Poison::Values));
}

#[test]
fn a_message_above_the_limit_is_not_looked_at() {
    let limit = ChannelsSettings::default().message_bytes;
    assert_eq!(msgpack(&vec![0xc0; limit]), Err(Poison::NotAMap));
    assert_eq!(msgpack(&vec![0xc0; limit + 1]), Err(Poison::TooLong));
    assert_eq!(msgpack(&vec![0xc0; 100_000_000]), Err(Poison::TooLong));
    let mut event = super::Map::new();
    event.push("a", "x".repeat(limit));
    let codec = DjangoCodec::new(&ChannelsSettings::default());
    let written = codec.encode(&event, To::Nobody, NOW, &mut fill);
    assert_eq!(written, Err(Unwritable::TooLong));
}

/// Reads a body of layer `core` and returns whom it is for.
fn recipients(format: SerializerFormat, body: &[u8]) -> Result<Vec<String>, Poison> {
    let mut message = vec![0xab; 12];
    message.extend_from_slice(body);
    let mut scratch = Vec::new();
    let codec = DjangoCodec::new(&channels(LayerKind::Core, format));
    let DjangoMessage { to, event } = codec.decode(&message, NOW, &mut scratch)?;
    assert_eq!(event.get("__asgi_channel__"), None);
    Ok(to.into_iter().map(|name| name.into_owned()).collect())
}

#[test]
fn recipients_are_a_name_a_list_of_names_or_nobody() {
    let case = |value: &str| {
        let json = format!(r#"{{"type": "x", "__asgi_channel__": {value}}}"#);
        recipients(SerializerFormat::Json, json.as_bytes())
    };
    assert_eq!(case(r#""a!b""#), Ok(vec!["a!b".to_owned()]));
    assert_eq!(
        case(r#"["a!b", "a!c"]"#),
        Ok(vec!["a!b".to_owned(), "a!c".to_owned()])
    );
    assert_eq!(case("[]"), Ok(Vec::new()));
    for value in ["null", "5", "{}", r#"["a", 5]"#, r#"[["a"]]"#] {
        assert_eq!(case(value), Err(Poison::Recipients), "{value}");
    }
    assert_eq!(recipients(SerializerFormat::Json, b"{}"), Ok(Vec::new()));
    assert_eq!(
        recipients(SerializerFormat::Msgpack, b"\x80"),
        Ok(Vec::new())
    );
}

#[test]
fn what_is_shorter_than_its_random_prefix_is_truncated() {
    let codec = DjangoCodec::new(&channels(LayerKind::Core, SerializerFormat::Msgpack));
    for length in 0..=12 {
        let mut scratch = Vec::new();
        let read = codec.decode(&[0x80; 12][..length], NOW, &mut scratch);
        assert_eq!(read, Err(Poison::Truncated), "{length}");
    }
}

#[test]
fn with_keys_only_tokens_are_read_and_only_in_time() {
    let settings = |layer| ChannelsSettings {
        symmetric_encryption_keys: vec![Secret::new("k")],
        ..channels(layer, SerializerFormat::Msgpack)
    };
    let mut event = super::Map::new();
    event.push("type", "x");
    let plain = DjangoCodec::new(&channels(LayerKind::Core, SerializerFormat::Msgpack));
    let plain = plain
        .encode(&event, To::Nobody, NOW, &mut fill)
        .expect("writable");
    for (layer, late, early) in [
        (LayerKind::Core, Err(Poison::Stale), Err(Poison::Stale)),
        (LayerKind::Pubsub, Ok(1), Ok(1)),
    ] {
        let codec = DjangoCodec::new(&settings(layer));
        let message = codec
            .encode(&event, To::Nobody, NOW, &mut fill)
            .expect("writable");
        let read = |message: &[u8], now| {
            let mut scratch = Vec::new();
            codec
                .decode(message, now, &mut scratch)
                .map(|arrival| arrival.event.len())
        };
        assert_eq!(read(&message, NOW), Ok(1));
        assert_eq!(read(&message, NOW + 70), Ok(1));
        assert_eq!(read(&message, NOW + 71), late);
        assert_eq!(read(&message, NOW - 61), early);
        assert_eq!(read(&plain, NOW), Err(Poison::Token));
        assert_eq!(read(&message[..message.len() - 1], NOW), Err(Poison::Token));
    }
}

#[test]
fn what_python_could_not_read_is_not_written() {
    let write = |layer, format, key: &'static str, value: Value<'static>| {
        let mut event = super::Map::new();
        event.push(key, value);
        let codec = DjangoCodec::new(&channels(layer, format));
        codec.encode(&event, To::Nobody, NOW, &mut fill).map(drop)
    };
    let bytes = || Value::Bytes(b"b".into());
    let digits = || Value::Digits("18446744073709551616".into());
    let (core, pubsub) = (LayerKind::Core, LayerKind::Pubsub);
    assert_eq!(
        write(core, SerializerFormat::Json, "a", bytes()),
        Err(Unwritable::Bytes)
    );
    assert_eq!(write(core, SerializerFormat::Msgpack, "a", bytes()), Ok(()));
    assert_eq!(
        write(core, SerializerFormat::Msgpack, "a", digits()),
        Err(Unwritable::Integer)
    );
    assert_eq!(write(core, SerializerFormat::Json, "a", digits()), Ok(()));
    let reserved = |layer| {
        write(
            layer,
            SerializerFormat::Msgpack,
            "__asgi_channel__",
            "a".into(),
        )
    };
    assert_eq!(
        (reserved(core), reserved(pubsub)),
        (Err(Unwritable::Recipients), Ok(()))
    );
}

#[test]
fn labels_are_distinct() {
    let labels: HashSet<_> = Poison::ALL.iter().map(|poison| poison.label()).collect();
    assert_eq!(labels.len(), Poison::ALL.len());
}
