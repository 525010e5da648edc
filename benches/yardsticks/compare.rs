//! The contract's own parser and writer beside `serde_json` and `sonic-rs` on the same texts.
//!
//! Yardsticks, not goals: both of them build what is asked by derive, ours knows the one shape.
//! Every row parses (or writes) the same bytes; ours includes the copy that it parses in place.

use std::borrow::Cow;
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde::{Deserialize, Serialize};
use supportal::config::Dialect;
use supportal::protocol::{Parser, Sender, Stamp, Writer};

#[derive(Deserialize)]
struct Command<'a> {
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
}

impl Command<'_> {
    fn bytes(&self) -> usize {
        self.message.len() + self.kind.as_ref().map_or(0, |kind| kind.len())
    }
}

#[derive(Serialize)]
struct Event<'a> {
    message: &'a str,
    sender: &'a str,
    timestamp: &'a str,
}

/// Texts of a chat: plain, with escapes, and of two-byte letters.
fn texts() -> [(&'static str, String); 4] {
    [
        (
            "64B",
            "Where is my order, please? The parcel should be here by now, no?".into(),
        ),
        (
            "460B",
            "Where is my order, please? Tha".repeat(16).split_off(20),
        ),
        ("460B escapes", "Where is \"it\", please?\n ".repeat(20)),
        ("460B umlauts", "Wo bleibt bloß mein Päckchen? ".repeat(15)),
    ]
}

fn parse(criterion: &mut Criterion) {
    for (case, text) in texts() {
        let value = serde_json::json!({ "message": text, "type": "user" });
        let payload = value.to_string().into_bytes();
        let mut group = criterion.benchmark_group(format!("yardstick/parse/{case}"));
        group.throughput(Throughput::Bytes(payload.len() as u64));
        let mut parser = Parser::new();
        let mut buffer = payload.clone();
        group.bench_function("ours", |bencher| {
            bencher.iter(|| {
                buffer.copy_from_slice(black_box(&payload));
                let command = parser.parse(Dialect::Guide, 32 * 1024, &mut buffer);
                black_box(command.expect("valid").text.len())
            });
        });
        group.bench_function("serde_json", |bencher| {
            bencher.iter(|| {
                let command: Command<'_> =
                    serde_json::from_slice(black_box(&payload)).expect("valid");
                black_box(command.bytes())
            });
        });
        group.bench_function("sonic-rs", |bencher| {
            bencher.iter(|| {
                let command: Command<'_> =
                    sonic_rs::from_slice(black_box(&payload)).expect("valid");
                black_box(command.bytes())
            });
        });
        group.finish();
    }
}

fn write(criterion: &mut Criterion) {
    let stamp = Stamp::new(1_704_110_400, 0);
    let writer = Writer::new(Dialect::Guide);
    for (case, text) in texts() {
        let event = Event {
            message: &text,
            sender: "user",
            timestamp: "2024-01-01T12:00:00Z",
        };
        let mut group = criterion.benchmark_group(format!("yardstick/write/{case}"));
        group.throughput(Throughput::Bytes(text.len() as u64));
        let mut out = Vec::with_capacity(4096);
        group.bench_function("ours", |bencher| {
            bencher.iter(|| {
                out.clear();
                writer.message(&mut out, Sender::User, black_box(&text), &stamp);
                black_box(out.len())
            });
        });
        group.bench_function("serde_json", |bencher| {
            bencher.iter(|| {
                out.clear();
                serde_json::to_writer(&mut out, black_box(&event)).expect("a Vec takes all");
                black_box(out.len())
            });
        });
        group.bench_function("sonic-rs", |bencher| {
            bencher.iter(|| {
                out.clear();
                sonic_rs::to_writer(&mut out, black_box(&event)).expect("a Vec takes all");
                black_box(out.len())
            });
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = parse, write
}
criterion_main!(benches);
