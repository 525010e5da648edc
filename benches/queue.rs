//! Cost of one subscriber's queue: push and write out, a full queue, an expired queue.
//!
//! `cargo bench --bench queue`. Each figure is for the number of deliveries in its name.

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::io::IoSlice;
use std::time::Duration;
use supportal::config::Overflow;
use supportal::internal::broker::{Bounds, Delivery, Pushed, Queue, SLICES_MAX};
use supportal::internal::clock::Millis;

const CAPACITY: u32 = 100;
const NOW: Millis = Millis(1_000);

fn bounds(overflow: Overflow) -> Bounds {
    Bounds {
        capacity: CAPACITY,
        bytes_max: 256 * 1024,
        overflow,
    }
}

fn delivery(deadline: u64) -> Delivery {
    Delivery {
        frame: Bytes::from_static(&[b'x'; 128]),
        deadline: Millis(deadline),
    }
}

fn full() -> Queue {
    let mut queue = Queue::new();
    for _ in 0..CAPACITY {
        let report = queue.push(NOW, &bounds(Overflow::DropNewest), delivery(61_000));
        assert_eq!(black_box(report).outcome, Pushed::Queued);
    }
    queue
}

fn push_and_write(c: &mut Criterion) {
    let mut group = c.benchmark_group("queue");
    group.throughput(Throughput::Elements(u64::from(CAPACITY)));
    group.bench_function("push_100_write_100", |b| {
        b.iter(|| {
            let mut queue = full();
            let mut delivered = 0;
            while !queue.is_empty() {
                delivered += queue.expire(NOW);
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let filled = queue.slices(&mut slices);
                let bytes = slices.iter().take(filled).map(|slice| slice.len()).sum();
                delivered += queue.advance(bytes);
            }
            delivered
        });
    });
    group.finish();
}

fn overflow(c: &mut Criterion) {
    let mut group = c.benchmark_group("queue_full");
    group.throughput(Throughput::Elements(1));
    for (name, overflow) in [
        ("drop_newest", Overflow::DropNewest),
        ("drop_oldest", Overflow::DropOldest),
    ] {
        let (mut queue, bounds) = (full(), bounds(overflow));
        group.bench_function(name, |b| {
            b.iter(|| queue.push(NOW, &bounds, delivery(61_000)));
        });
    }
    group.finish();
}

fn expired(c: &mut Criterion) {
    let mut group = c.benchmark_group("queue_expired");
    group.throughput(Throughput::Elements(u64::from(CAPACITY)));
    group.bench_function("expire_100", |b| {
        b.iter_batched_ref(
            full,
            |queue| queue.expire(Millis(61_000)),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = push_and_write, overflow, expired
}
criterion_main!(benches);
