//! Messages of Django's channel layers: what an event costs between Redis and the room.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use supportal::RoomName;
use supportal::config::channels::{ChannelsSettings, SerializerFormat};
use supportal::config::{Dialect, Secret};
use supportal::internal::channels::Commands;
use supportal::internal::channels::{DjangoCodec, Map, Mapping, Receivers, Score, To, Value};
use supportal::internal::protocol::{Sender, Stamp};

const NOW: u64 = 1_700_000_000;

fn fill(bytes: &mut [u8]) {
    bytes.fill(0xab);
}

/// What Django would send: the map of a chat message with a text of `bytes`.
fn event(bytes: usize) -> Map<'static> {
    let text: String = "Where is my order, please? "
        .chars()
        .cycle()
        .take(bytes)
        .collect();
    let mut event = Map::new();
    event.push("type", "chat.message");
    event.push("message", text);
    event.push("sender", "assistant");
    event.push("timestamp", "2024-01-01T12:00:00Z");
    event
}

fn cases() -> [(&'static str, ChannelsSettings); 3] {
    let settings = |format, keys: &[Secret]| ChannelsSettings {
        serializer_format: format,
        symmetric_encryption_keys: keys.to_vec(),
        ..ChannelsSettings::default()
    };
    [
        ("msgpack", settings(SerializerFormat::Msgpack, &[])),
        ("json", settings(SerializerFormat::Json, &[])),
        (
            "msgpack encrypted",
            settings(SerializerFormat::Msgpack, &[Secret::new("key")]),
        ),
    ]
}

fn codec(criterion: &mut Criterion) {
    let member = ["specific.0123456789abcdef0123456789abcdef!chat_1_session-123".to_owned()];
    for (name, settings) in cases() {
        let codec = DjangoCodec::new(&settings);
        for bytes in [100, 4000] {
            let event = event(bytes);
            let message = codec.encode(&event, To::Many(&member), NOW, &mut fill);
            let message = message.expect("writable");
            let mut group = criterion.benchmark_group(format!("{name}/{bytes}B"));
            group.throughput(Throughput::Bytes(message.len() as u64));
            group.bench_function("encode", |bencher| {
                bencher.iter(|| {
                    let to = To::Many(&member);
                    codec.encode(black_box(&event), to, NOW, &mut fill)
                });
            });
            let mut scratch = Vec::new();
            group.bench_function("decode", |bencher| {
                bencher.iter(|| {
                    let arrival = codec.decode(black_box(&message), NOW, &mut scratch);
                    arrival.expect("readable").event.len()
                });
            });
            group.finish();
        }
    }
}

/// The densest message that is accepted, and one that is refused at once.
fn hostile(criterion: &mut Criterion) {
    let codec = DjangoCodec::new(&ChannelsSettings::default());
    let mut message = vec![0; 12];
    message.extend_from_slice(&[0x81, 0xa1, b'a', 0xdd, 0, 0, 0xff, 0xfe]);
    message.extend(std::iter::repeat_n(0xc0, 0xfffe));
    let mut scratch = Vec::new();
    criterion.bench_function("hostile/65,534 nils", |bencher| {
        bencher.iter(|| codec.decode(black_box(&message), NOW, &mut scratch).is_ok());
    });
    let mut deep = vec![0; 12];
    deep.extend_from_slice(&[0x81, 0xa1, b'a']);
    deep.resize(1_000_000, 0x91);
    criterion.bench_function("hostile/a million lists", |bencher| {
        bencher.iter(|| codec.decode(black_box(&deep), NOW, &mut scratch).is_ok());
    });
}

fn mapping(criterion: &mut Criterion) {
    let stamp = Stamp::new(1_704_110_400, 97_401);
    let event = event(100);
    for (name, dialect) in [("guide", Dialect::Guide), ("django", Dialect::Django)] {
        let mapping = Mapping::new(&ChannelsSettings::default(), dialect, "n1");
        let mut out = Vec::with_capacity(1024);
        criterion.bench_function(&format!("frame/{name}"), |bencher| {
            bencher.iter(|| {
                out.clear();
                mapping.read(black_box(&event), &stamp, &mut out)
            });
        });
    }
}

/// One message to a group of 40 connections in 4 processes: grouping, encoding, arguments.
fn group_send(criterion: &mut Criterion) {
    let commands = Commands::new(&ChannelsSettings::default());
    let own = Receivers::new(8, &mut fill);
    let member = |index: usize| format!("specific.{:032x}!{index:032x}", index % 4);
    let members: Vec<String> = (0..40).map(member).collect();
    let room = RoomName::chat("1", "session-123").expect("legal");
    let mapping = Mapping::new(&ChannelsSettings::default(), Dialect::Guide, "n1");
    let event = mapping.write(
        &room,
        (Sender::User, Value::from("Where is my order, please?")),
        "2023-11-14T22:13:20Z",
        None,
    );
    criterion.bench_function("group_send/40 members of 4", |bencher| {
        bencher.iter(|| {
            let members = members.iter().map(String::as_str);
            let now = Score::new(NOW, 1);
            commands.send_to_group(black_box(members), &own, &event, now, &mut fill)
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = codec, hostile, mapping, group_send
}
criterion_main!(benches);
