//! Parsing and writing of chat messages: what every message costs before it reaches a room.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use supportal::config::Dialect;
use supportal::internal::protocol::{EventWriter, Parser, Sender, Stamp};

const DIALECTS: [(&str, Dialect); 2] = [("guide", Dialect::Guide), ("django", Dialect::Django)];

/// A command of `bytes` in all; `escape` puts one in at every 30th byte.
fn command(bytes: usize, escape: bool) -> Vec<u8> {
    let overhead = r#"{"message": "", "type": "user"}"#.len();
    format!(
        r#"{{"message": "{}", "type": "user"}}"#,
        text(bytes - overhead, escape)
    )
    .into_bytes()
}

fn text(bytes: usize, escape: bool) -> String {
    let sentence = if escape {
        r"Where is my order, please?\n  "
    } else {
        "Where is my order, please? Tha"
    };
    let mut text: String = sentence.chars().cycle().take(bytes).collect();
    if text.ends_with('\\') {
        text.pop();
        text.push('.');
    }
    text
}

fn parse(criterion: &mut Criterion) {
    for (name, dialect) in DIALECTS {
        let mut group = criterion.benchmark_group(format!("parse/{name}"));
        for (case, payload) in [
            ("95B", command(95, false)),
            ("491B", command(491, false)),
            ("491B escapes", command(491, true)),
        ] {
            group.throughput(Throughput::Bytes(payload.len() as u64));
            let mut parser = Parser::new();
            group.bench_function(case, |bencher| {
                bencher.iter_batched_ref(
                    || payload.clone(),
                    |payload| {
                        let command = parser.parse(dialect, 32 * 1024, payload);
                        black_box(command.expect("valid").text.len())
                    },
                    BatchSize::SmallInput,
                );
            });
        }
        group.finish();
    }
}

fn encode(criterion: &mut Criterion) {
    let stamp = Stamp::new(1_704_110_400, 97_401);
    for (name, dialect) in DIALECTS {
        let writer = EventWriter::new(dialect);
        let mut group = criterion.benchmark_group(format!("encode/{name}"));
        for (case, text) in [
            ("60B", text(60, false)),
            ("500B", text(500, false)),
            ("500B escapes", "Where is \"it\", please?\n  ".repeat(20)),
            ("500B umlauts", "Wo bleibt bloß mein Päckchen? ".repeat(16)),
        ] {
            group.throughput(Throughput::Bytes(text.len() as u64));
            let mut out = Vec::with_capacity(4096);
            group.bench_function(case, |bencher| {
                bencher.iter(|| {
                    out.clear();
                    writer.message(&mut out, Sender::User, black_box(&text), &stamp);
                    black_box(out.len())
                });
            });
        }
        group.finish();
    }
}

fn stamp(criterion: &mut Criterion) {
    let mut stamp = Stamp::new(1_704_110_400, 0);
    let mut micros = 0;
    criterion.bench_function("stamp/same second", |bencher| {
        bencher.iter(|| {
            micros = (micros + 997) % 1_000_000;
            stamp.set(1_704_110_400, black_box(micros));
        });
    });
    let mut second = 1_704_110_400;
    criterion.bench_function("stamp/next second", |bencher| {
        bencher.iter(|| {
            second += 1;
            stamp.set(black_box(second), 1);
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = parse, encode, stamp
}
criterion_main!(benches);
