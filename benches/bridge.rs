//! What the bridge costs beside Redis: the envelope both ways, the receiver's account of numbers (in
//! mode `streams` its place in the stream), and the data plane's one push.
//!
//! `cargo bench --bench bridge`.

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use supportal::RoomName;
use supportal::config::redis::RedisAddress;
use supportal::config::{BridgeMode, Config};
use supportal::internal::bridge::Bridge;
use supportal::internal::bridge::Origins;
use supportal::internal::bridge::envelope::{
    Envelope, EnvelopeEntry, EnvelopeHead, EnvelopeWriter, MESSAGE_BYTES, NodeId,
};
use supportal::internal::bridge::order::Announcement;
use supportal::internal::bridge::order::{Back, Unconfirmed, UnconfirmedLoad};
use supportal::internal::bridge::order::{Follower, Position, StreamStep};
use supportal::internal::broker::{Broker, Publication, Wake};
use supportal::internal::broker::{Room, RoomSlot};
use supportal::internal::clock::{Clock, Millis};
use supportal::internal::metrics::Metrics;
use supportal::internal::redis::link_of;
use supportal::internal::transport::{Opcode, encoder};

const HEAD: EnvelopeHead = EnvelopeHead {
    node: NodeId([7; 16]),
    epoch: 1,
    incarnation: 1,
};

/// Messages of one room in one tick.
const TICKS: [u64; 3] = [1, 10, 100];

fn frame() -> Bytes {
    encoder::frame(Opcode::Text, &[b'x'; 143])
}

fn written(messages: u64, frame: &[u8]) -> Bytes {
    let bytes = usize::try_from(messages).unwrap_or(1) * (MESSAGE_BYTES + frame.len());
    let mut writer = EnvelopeWriter::new(&HEAD, bytes);
    for number in 1..=messages {
        writer.push(EnvelopeEntry::Message {
            number,
            deadline: 1,
            frame,
        });
    }
    writer.finish()
}

fn envelope(criterion: &mut Criterion) {
    let frame = frame();
    for messages in TICKS {
        let bytes = written(messages, &frame);
        let mut group = criterion.benchmark_group("envelope");
        group.throughput(Throughput::Elements(messages));
        group.bench_function(BenchmarkId::new("write", messages), |bencher| {
            bencher.iter(|| written(black_box(messages), &frame));
        });
        group.bench_function(BenchmarkId::new("read", messages), |bencher| {
            bencher.iter(|| {
                let envelope = Envelope::read(black_box(&bytes)).expect("an envelope");
                envelope.entries().count()
            });
        });
    }
}

fn origins(criterion: &mut Criterion) {
    for nodes in [1_u8, 4, 16] {
        let mut origins = Origins::default();
        let heads: Vec<EnvelopeHead> = (0..nodes)
            .map(|node| EnvelopeHead {
                node: NodeId([node; 16]),
                ..HEAD
            })
            .collect();
        let mut number = 0;
        criterion.bench_function(&format!("origins/message/nodes_{nodes}"), |bencher| {
            bencher.iter(|| {
                number += 1;
                for head in &heads {
                    black_box(origins.message(head, number, Millis(number)));
                }
            });
        });
    }
    criterion.bench_function("place/link_of_4", |bencher| {
        bencher.iter(|| link_of(black_box("chat_1_2f6c9a10-5a0e-4e4b-9d0e"), 4));
    });
}

/// As `append/rooms.lua` publishes: where the first message is, then the envelope.
fn announced(first: u64, envelope: &[u8]) -> Vec<u8> {
    let place = [1, first, first].map(u64::to_be_bytes).concat();
    [&place[..], envelope].concat()
}

/// What arrives over a stream: one that is another node's is read, found to be the next, and copied
/// for the members; one of our own is found among what waits to come back.
fn streams(criterion: &mut Criterion) {
    let frame = frame();
    for messages in TICKS {
        let mut bytes = announced(1, &written(messages, &frame));
        let mut follower = Follower::default();
        follower.request();
        follower.begin_at_start();
        follower.turn(None, &[], &[]);
        let mut first = 1_u64;
        let mut group = criterion.benchmark_group("streams");
        group.throughput(Throughput::Elements(messages));
        group.bench_function(BenchmarkId::new("arrive", messages), |bencher| {
            bencher.iter(|| {
                for place in [8, 16] {
                    let bytes = bytes.get_mut(place..place + 8).expect("a place");
                    bytes.copy_from_slice(&first.to_be_bytes());
                }
                first += messages;
                let announcement = Announcement::read(black_box(&bytes)).expect("one of ours");
                for (offset, entry) in
                    (announcement.first.offset..).zip(announcement.envelope.entries())
                {
                    let at = Position {
                        offset,
                        ..announcement.first
                    };
                    assert_eq!(follower.arrival(at, true), StreamStep::Next);
                    if let EnvelopeEntry::Message { frame, .. } = entry {
                        black_box(Bytes::copy_from_slice(frame));
                    }
                }
            });
        });
    }
    let mut own = Unconfirmed::new(Arc::new(UnconfirmedLoad::new(1_000, 1 << 20)));
    let publication = Publication {
        frame,
        deadline: Millis(60_000),
        event: None,
    };
    let (mut number, mut earlier, mut ready) = (0, Vec::new(), Vec::new());
    criterion.bench_function("streams/say_and_come_back", |bencher| {
        bencher.iter(|| {
            number += 1;
            let (key, now) = ((1, number), Millis(number));
            own.say(key, black_box(&publication), now, true, &mut earlier);
            let back = own.back(key, now, Duration::from_millis(250), &mut ready);
            assert_eq!(back, Back::Waited);
            ready.clear();
        });
    });
}

/// A broker with or without a bridge whose Redis is not there: a full outbox, so that what is
/// measured is the push and the refusal, not the queue's growth.
fn broker(is_bridged: bool) -> (Arc<Broker>, Arc<Room>) {
    let mut config = Config::default();
    if is_bridged {
        config.bridge.mode = BridgeMode::Pubsub;
        config.bridge.urls = vec![RedisAddress::parse("redis://127.0.0.1:1").expect("an address")];
    }
    let metrics = Arc::new(Metrics::new());
    let bridge = Bridge::new(&config, &metrics, Clock::start()).expect("a bridge");
    let wakes = vec![Box::new(|| {}) as Wake];
    let uplinks = bridge.iter().map(Bridge::uplink);
    let broker = Arc::new(Broker::new(&config.broker, wakes, uplinks));
    let name = RoomName::chat("1", "bench").expect("a legal name");
    let room = broker.join(&name, 0, RoomSlot::default).room;
    (broker, room)
}

fn push(criterion: &mut Criterion) {
    for (name, is_bridged) in [("alone", false), ("bridged_full", true)] {
        let (broker, room) = broker(is_bridged);
        let publication = Publication {
            frame: frame(),
            deadline: Millis(60_000),
            event: None,
        };
        let mut parcels = Vec::new();
        criterion.bench_function(&format!("publish/{name}"), |bencher| {
            bencher.iter(|| {
                broker.publish(&room, black_box(&publication), Some(0));
                let bytes = broker.mailboxes().swap(0, &mut parcels);
                let count = parcels.len();
                parcels.clear();
                broker.mailboxes().release(0, count, bytes);
            });
        });
    }
}

criterion_group!(benches, envelope, origins, streams, push);
criterion_main!(benches);
