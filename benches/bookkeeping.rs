//! What a turn of a worker pays beside bytes: mailboxes, accounts, timers and token buckets.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use supportal::broker::ledger::{Cause, Ledger};
use supportal::broker::mailbox::Mailbox;
use supportal::clock::Millis;
use supportal::worker::rate_limit::{Rate, TokenBucket};
use supportal::worker::timers::Timers;

/// As large as a parcel for a room.
type Entry = [u64; 8];

fn mailbox(criterion: &mut Criterion) {
    let mailbox: Mailbox<Entry> = Mailbox::new(8192, 16 * 1024 * 1024);
    let mut group = criterion.benchmark_group("mailbox");
    for entries in [1_usize, 100, 1000] {
        let mut taken = Vec::new();
        group.throughput(Throughput::Elements(entries as u64));
        group.bench_function(format!("push_swap_release/{entries}"), |bencher| {
            bencher.iter(|| {
                for entry in 0..entries {
                    black_box(mailbox.push(black_box([entry as u64; 8]), 128));
                }
                let bytes = mailbox.swap(&mut taken);
                black_box(&taken);
                taken.clear();
                black_box(mailbox.release(entries, bytes))
            });
        });
    }
    group.throughput(Throughput::Elements(1));
    group.bench_function("is_full", |bencher| {
        bencher.iter(|| black_box(black_box(&mailbox).is_full()));
    });
    group.finish();
}

/// Pushes into a mailbox that another thread pushes into and empties all the time.
fn contended(criterion: &mut Criterion) {
    use std::sync::atomic::{AtomicBool, Ordering};
    let mailbox: Mailbox<Entry> = Mailbox::new(8192, 16 * 1024 * 1024);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut taken = Vec::new();
            while !done.load(Ordering::Relaxed) {
                black_box(mailbox.push([1; 8], 128));
                let bytes = mailbox.swap(&mut taken);
                black_box(mailbox.release(taken.len(), bytes));
                taken.clear();
            }
        });
        criterion.bench_function("mailbox/push beside a busy thread", |bencher| {
            bencher.iter(|| black_box(mailbox.push(black_box([2; 8]), 128)));
        });
        done.store(true, Ordering::Relaxed);
    });
}

fn ledger(criterion: &mut Criterion) {
    let mut turn = Ledger {
        expected: 10,
        delivered: 8,
        queued: 1,
        ..Ledger::default()
    };
    turn.drop(Cause::Expired, 1);
    let mut sum = Ledger::default();
    criterion.bench_function("ledger/add and check", |bencher| {
        bencher.iter(|| {
            sum += black_box(turn);
            black_box(sum.unexplained())
        });
    });
}

fn timers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("timers");
    for armed in [1_u64, 100, 10_000] {
        group.throughput(Throughput::Elements(armed));
        group.bench_function(format!("arm_expire/{armed}"), |bencher| {
            let (mut wheel, mut fired) = (Timers::new(Millis(0)), Vec::new());
            let mut now = Millis(0);
            bencher.iter(|| {
                for key in 0..armed {
                    wheel.arm(now + Duration::from_millis(1 + key * 7 % 30_000), key);
                }
                now = now + Duration::from_secs(31);
                fired.clear();
                wheel.expire(now, &mut fired);
                assert_eq!(fired.len() as u64, armed);
            });
        });
    }
    group.throughput(Throughput::Elements(1));
    for (case, ahead) in [("next/near", 200), ("next/far", 50_000)] {
        let mut wheel = Timers::new(Millis(0));
        wheel.arm(Millis(ahead), 1);
        group.bench_function(case, |bencher| {
            bencher.iter(|| black_box(wheel.next(black_box(Millis(0)))));
        });
    }
    group.finish();
}

fn bucket(criterion: &mut Criterion) {
    let rate = Rate {
        per_second: 100,
        burst: 20,
    };
    let (mut bucket, mut now) = (TokenBucket::default(), 0);
    criterion.bench_function("token bucket/take", |bencher| {
        bencher.iter(|| {
            now += 7;
            black_box(bucket.take(Millis(now), black_box(rate), 1))
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = mailbox, contended, ledger, timers, bucket
}
criterion_main!(benches);
