//! Messages of Django's channel layers. First byte: layer and format; the rest: a message. Whatever is
//! read is written back and read again as the same, is no larger than its bounds, and becomes JSON
//! that another reader takes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use supportal::config::channels::{ChannelsSettings, LayerKind, SerializerFormat};
use supportal::config::{Dialect, Secret};
use supportal::internal::channels::{DEPTH_MAX, VALUES_MAX};
use supportal::internal::channels::{DjangoCodec, Map, Mapping, Outcome, To, Unwritable, Value};
use supportal::internal::protocol::Stamp;

const NOW: u64 = 1_700_000_000;

struct Case {
    codec: DjangoCodec,
    guide: Mapping,
}

thread_local! {
    static CASES: Vec<Case> = (0..8).map(case).collect();
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn case(bits: u8) -> Case {
    let either = |bit: u8| bits & bit != 0;
    let channels = ChannelsSettings {
        layer: if either(1) {
            LayerKind::Core
        } else {
            LayerKind::Pubsub
        },
        serializer_format: if either(2) {
            SerializerFormat::Msgpack
        } else {
            SerializerFormat::Json
        },
        symmetric_encryption_keys: vec![Secret::new("k"); usize::from(either(4))],
        deliver_types: vec!["a".to_owned()],
        ..ChannelsSettings::default()
    };
    Case {
        codec: DjangoCodec::new(&channels),
        guide: Mapping::new(&channels, Dialect::Guide, "n1"),
    }
}

/// Counts values and follows the nesting.
fn measure(value: &Value<'_>, depth: usize) -> usize {
    assert!(depth <= DEPTH_MAX + 1, "too deep");
    1 + match value {
        Value::List(items) => items.iter().map(|item| measure(item, depth + 1)).sum(),
        Value::Map(map) => map.iter().map(|(_, item)| measure(item, depth + 1)).sum(),
        _ => 0,
    }
}

/// NaN is no equal of itself.
fn shown(event: &Map<'_>) -> String {
    format!("{event:?}")
}

/// A frame is JSON, unless it is the event's own text.
fn check_frame(mapping: &Mapping, event: &Map<'_>) {
    let mut out = Vec::new();
    let outcome = mapping.read(event, &Stamp::new(NOW, 1), &mut out);
    if outcome != Outcome::Frame {
        assert!(out.is_empty());
        return;
    }
    let frame = std::str::from_utf8(&out).expect("UTF-8");
    let is_text = event.get("text").and_then(Value::as_str) == Some(frame);
    let json: Result<serde_json::Value, _> = serde_json::from_str(frame);
    let is_float = |error: &serde_json::Error| error.to_string().starts_with("number out of range");
    let read = json
        .as_ref()
        .map_or_else(is_float, serde_json::Value::is_object);
    assert!(is_text || read, "{frame}");
}

fuzz_target!(|input: &[u8]| {
    let Some((bits, message)) = input.split_first() else {
        return;
    };
    CASES.with(|cases| {
        let case = &cases[usize::from(*bits) % cases.len()];
        SCRATCH.with_borrow_mut(|scratch| {
            let Ok(arrival) = case.codec.decode(message, NOW, scratch) else {
                return;
            };
            let values: usize = arrival
                .event
                .iter()
                .map(|(_, value)| measure(value, 1))
                .sum();
            assert!(values < VALUES_MAX, "too many values");
            check_frame(&case.guide, &arrival.event);

            let names: Vec<String> = arrival.to.iter().map(|name| name.to_string()).collect();
            let to = if names.is_empty() {
                To::Nobody
            } else {
                To::Many(&names)
            };
            let mut fill = |bytes: &mut [u8]| bytes.fill(7);
            let written = match case.codec.encode(&arrival.event, to, NOW, &mut fill) {
                Ok(written) => written,
                // JSON is longer written than read: spaces, escapes.
                Err(error) => return assert_eq!(error, Unwritable::TooLong),
            };
            let mut again = Vec::new();
            let again = case.codec.decode(&written, NOW, &mut again).expect("ours");
            assert_eq!(again.to, arrival.to);
            assert_eq!(shown(&again.event), shown(&arrival.event));
        });
    });
});
