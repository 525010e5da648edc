//! Cost of frames: decoding masked messages whole, in fragments and in pieces, by what their
//! text is, and encoding.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::Duration;
use supportal::transport::{Decoder, Input, Limits, Opcode, encoder};

const LIMITS: Limits = Limits {
    message_bytes: 65_536,
    fragments: 128,
};

/// Bytes of a message; 145 is a chat message of usual length with its JSON around it.
const SIZES: [usize; 6] = [1, 64, 145, 1024, 4096, 65_536];

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = encoder::frame(Opcode::Text, payload).to_vec();
    let head = frame.len() - payload.len();
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let masked: Vec<u8> = payload
        .iter()
        .zip(mask.iter().cycle())
        .map(|(b, m)| b ^ m)
        .collect();
    frame.truncate(head);
    if let [opcode, length, ..] = &mut frame[..] {
        *opcode = first;
        *length |= 0x80;
    }
    frame.extend(mask);
    frame.extend(masked);
    frame
}

/// Decodes `frames` from scratch, in pieces of `piece` bytes.
fn decode(frames: &mut [u8], piece: usize) {
    let mut decoder = Decoder::default();
    for piece in frames.chunks_mut(piece) {
        let mut input = Input::new(piece);
        while let Some(incoming) = decoder.next(&LIMITS, &mut input, || true) {
            black_box(incoming.is_ok());
        }
    }
}

fn decoding(criterion: &mut Criterion) {
    for (name, piece) in [
        ("decode/whole", usize::MAX),
        ("decode/pieces_of_1448", 1448),
    ] {
        let mut group = criterion.benchmark_group(name);
        for size in SIZES {
            let frame = masked(0x81, &vec![b'a'; size]);
            group.throughput(Throughput::Bytes(size as u64));
            group.bench_function(size.to_string(), |bencher| {
                let copy = || frame.clone();
                bencher.iter_batched_ref(copy, |bytes| decode(bytes, piece), BatchSize::SmallInput);
            });
        }
    }
    let mut group = criterion.benchmark_group("decode");
    let burst = masked(0x81, &[b'a'; 145]).repeat(100);
    group.throughput(Throughput::Elements(100));
    group.bench_function("burst_of_100", |bencher| {
        let copy = || burst.clone();
        bencher.iter_batched_ref(
            copy,
            |bytes| decode(bytes, usize::MAX),
            BatchSize::SmallInput,
        );
    });
    let fragmented = [
        masked(0x01, &[b'a'; 512]),
        masked(0x00, &[b'a'; 512]).repeat(126),
        masked(0x80, &[b'a'; 512]),
    ]
    .concat();
    group.throughput(Throughput::Bytes(65_536));
    for (name, piece) in [("128_fragments", usize::MAX), ("dribble", 1)] {
        group.bench_function(name, |bencher| {
            let copy = || fragmented.clone();
            bencher.iter_batched_ref(copy, |bytes| decode(bytes, piece), BatchSize::SmallInput);
        });
    }
}

/// The same bytes as binary and as text of ever longer characters: what UTF-8 checking adds, in
/// whole frames (checked at once) and in pieces (checked as they arrive).
fn utf8(criterion: &mut Criterion) {
    let kinds = [
        ("binary", 0x82, "a"),
        ("ascii", 0x81, "a"),
        ("umlauts", 0x81, "äöü"),
        ("chinese", 0x81, "订单在"),
        ("emoji", 0x81, "😀🚚"),
    ];
    for (name, piece) in [("utf8/whole", usize::MAX), ("utf8/pieces_of_100", 100)] {
        let mut group = criterion.benchmark_group(name);
        for (kind, first, character) in kinds {
            let frame = masked(first, character.repeat(1008 / character.len()).as_bytes());
            group.throughput(Throughput::Bytes(1008));
            group.bench_function(kind, |bencher| {
                let copy = || frame.clone();
                bencher.iter_batched_ref(copy, |bytes| decode(bytes, piece), BatchSize::SmallInput);
            });
        }
    }
}

fn encoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for size in SIZES {
        let payload = vec![b'a'; size];
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(size.to_string(), |bencher| {
            bencher.iter(|| encoder::frame(Opcode::Text, black_box(&payload)));
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = decoding, utf8, encoding
}
criterion_main!(benches);
