//! Whatever can be written is read back; whatever is read was bounded; nothing panics.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{DjangoCodec, Map, To, Value};
use super::{NOW, channels, fill, owned};
use crate::config::Secret;
use crate::config::channels::{ChannelsSettings, LayerKind, SerializerFormat};

/// Values that both formats hold, but for the bytes.
fn values(bytes: bool) -> impl Strategy<Value = Value<'static>> {
    let digits =
        (i64::MAX as u64 + 1..).prop_map(|number| Value::Digits(number.to_string().into()));
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Integer),
        (-200..70_000_i64).prop_map(Value::Integer),
        digits,
        proptest::num::f64::NORMAL.prop_map(Value::Float),
        ".{0,40}".prop_map(Value::from),
        "[a-z]{250,260}".prop_map(Value::from),
        vec(any::<u8>(), 0..40).prop_map(move |value| if bytes {
            Value::Bytes(value.into())
        } else {
            Value::Null
        }),
    ];
    leaf.prop_recursive(5, 64, 20, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..20).prop_map(Value::List),
            maps(inner).prop_map(Value::Map),
        ]
    })
}

fn maps(values: impl Strategy<Value = Value<'static>>) -> impl Strategy<Value = Map<'static>> {
    let entries = proptest::collection::btree_map("[a-zé]{0,12}", values, 0..20);
    entries.prop_map(|entries| {
        let mut map = Map::new();
        for (key, value) in entries {
            map.push(key, value);
        }
        map
    })
}

fn encrypted(layer: LayerKind, format: SerializerFormat, keys: usize) -> DjangoCodec {
    let keys = (0..keys).map(|key| Secret::new(key.to_string()));
    DjangoCodec::new(&ChannelsSettings {
        symmetric_encryption_keys: keys.collect(),
        ..channels(layer, format)
    })
}

fn round_trip(codec: &DjangoCodec, event: &Map<'static>, to: &[String]) {
    let written = codec.encode(event, To::Many(to), NOW, &mut fill);
    let written = written.expect("writable");
    let mut scratch = Vec::new();
    let arrival = codec.decode(&written, NOW, &mut scratch).expect("readable");
    assert_eq!(arrival.event, *event);
    assert!(arrival.to.is_empty() || arrival.to == to);
}

const LAYERS: [LayerKind; 2] = [LayerKind::Core, LayerKind::Pubsub];
const FORMATS: [SerializerFormat; 2] = [SerializerFormat::Msgpack, SerializerFormat::Json];

proptest! {
    #[test]
    fn what_is_written_as_msgpack_is_read_back(event in maps(values(true)), keys in 0..3_usize) {
        for layer in LAYERS {
            let codec = encrypted(layer, SerializerFormat::Msgpack, keys);
            round_trip(&codec, &event, &["a!b".to_owned()]);
        }
    }

    #[test]
    fn what_is_written_as_json_is_read_back(event in maps(values(false)), keys in 0..3_usize) {
        for layer in LAYERS {
            let codec = encrypted(layer, SerializerFormat::Json, keys);
            round_trip(&codec, &event, &["a!b".to_owned(), "a!c".to_owned()]);
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_written_back(bytes in vec(any::<u8>(), 0..300)) {
        for (layer, format) in LAYERS.into_iter().flat_map(|layer| FORMATS.map(|format| (layer, format))) {
            let codec = encrypted(layer, format, 0);
            let mut scratch = Vec::new();
            if let Ok(arrival) = codec.decode(&bytes, NOW, &mut scratch) {
                let to: Vec<String> = arrival.to.iter().map(|name| name.to_string()).collect();
                round_trip(&codec, &owned(arrival.event), &to);
            }
        }
    }

    #[test]
    fn a_damaged_message_never_panics(
        event in maps(values(true)),
        cut in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let codec = encrypted(LayerKind::Pubsub, SerializerFormat::Msgpack, 0);
        let mut body = codec.encode(&event, To::Nobody, NOW, &mut fill).expect("writable");
        let cut = cut.index(body.len());
        let mut scratch = Vec::new();
        if cut < body.len() {
            prop_assert!(codec.decode(&body[..cut], NOW, &mut scratch).is_err());
            body[cut] = byte;
            drop(codec.decode(&body, NOW, &mut scratch));
        }
    }
}
