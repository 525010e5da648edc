//! Cost of a publication inside the node: numbered under its room's lock, into the mailbox of every
//! worker with members, and out again with one swap.
//!
//! `cargo bench --bench broker`. In `publish` members cost nothing on purpose: a worker gets one
//! parcel for all its members. `publish_and_offer` adds what each of them costs up to the socket,
//! which takes everything at once; the system call itself is in the load test.

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use supportal::RoomName;
use supportal::config;
use supportal::internal::broker::Bounds;
use supportal::internal::broker::{Broker, Parcel, Publication, Wake};
use supportal::internal::broker::{Room, RoomSlot};
use supportal::internal::clock::Millis;
use supportal::internal::worker::{FrameBatch, Outbound, Sent};

const MEMBERS: [usize; 5] = [1, 10, 100, 1_000, 10_000];

/// Publications between two swaps in the benches of bursts.
const BURST: usize = 100;

fn broker(workers: usize) -> Broker {
    let wake = || Box::new(|| {}) as Wake;
    Broker::new(
        &config::BrokerSettings::default(),
        (0..workers).map(|_| wake()).collect(),
        None,
    )
}

fn room(broker: &Broker, members: usize, workers: usize) -> Arc<Room> {
    let name = RoomName::chat("1", "bench").expect("a legal name");
    for member in 1..members {
        broker.join(&name, member % workers, RoomSlot::default);
    }
    broker.join(&name, 0, RoomSlot::default).room
}

fn publication() -> Publication {
    Publication {
        frame: Bytes::from(vec![b'x'; 145]),
        deadline: Millis(60_000),
        event: None,
    }
}

/// What a worker does with its mailbox, but for the members.
fn empty(broker: &Broker, worker: usize, parcels: &mut Vec<Parcel>) {
    let bytes = broker.mailboxes().swap(worker, parcels);
    let count = parcels.len();
    for parcel in parcels.drain(..) {
        black_box(parcel);
    }
    broker.mailboxes().release(worker, count, bytes);
}

fn publishing(criterion: &mut Criterion) {
    for (name, burst) in [("publish", 1), ("publish_burst_of_100", BURST)] {
        for workers in [1, 2] {
            let mut group = criterion.benchmark_group(format!("{name}/workers_{workers}"));
            group.throughput(Throughput::Elements(burst as u64));
            for members in MEMBERS {
                let broker = broker(workers);
                let room = room(&broker, members, workers);
                let publication = publication();
                let mut parcels = Vec::new();
                group.bench_function(BenchmarkId::new("members", members), |bencher| {
                    bencher.iter(|| {
                        for _ in 0..burst {
                            black_box(broker.full_mailbox(&room));
                            black_box(broker.publish(&room, &publication, Some(0)));
                        }
                        for worker in 0..workers {
                            empty(&broker, worker, &mut parcels);
                        }
                    });
                });
            }
        }
    }
}

/// A publication from the room's lock to the last member's socket, on one worker and on two in turn.
fn offering(criterion: &mut Criterion) {
    let readers = Bounds::from(&config::QueueSettings::default()).into();
    for workers in [1, 2] {
        let mut group = criterion.benchmark_group(format!("publish_and_offer/workers_{workers}"));
        for members in MEMBERS {
            let broker = broker(workers);
            let room = room(&broker, members, workers);
            let publication = publication();
            let (mut parcels, mut sent) = (Vec::new(), Sent::default());
            let mut outbounds: Vec<Outbound> = Vec::new();
            outbounds.resize_with(members, Outbound::default);
            group.throughput(Throughput::Elements(members as u64));
            group.bench_function(BenchmarkId::new("members", members), |bencher| {
                bencher.iter(|| {
                    black_box(broker.publish(&room, &publication, Some(0)));
                    for (worker, outbounds) in
                        outbounds.chunks_mut(members.div_ceil(workers)).enumerate()
                    {
                        let bytes = broker.mailboxes().swap(worker, &mut parcels);
                        let count = parcels.len();
                        for parcel in parcels.drain(..) {
                            let Parcel::Room { delivery, .. } = parcel else {
                                continue;
                            };
                            let batch = FrameBatch {
                                frames: std::slice::from_ref(&delivery),
                                bytes: &delivery.frame,
                            };
                            for outbound in outbounds.iter_mut() {
                                let socket = &mut io::sink();
                                let offered = outbound.offer(
                                    Millis(0),
                                    &readers,
                                    batch,
                                    0,
                                    socket,
                                    &mut sent,
                                );
                                black_box(offered.is_ok());
                            }
                        }
                        broker.mailboxes().release(worker, count, bytes);
                    }
                });
            });
            black_box(sent);
        }
    }
}

fn joining(criterion: &mut Criterion) {
    let broker = broker(2);
    let kept: Vec<_> = (0..10_000)
        .map(|number| {
            let name = RoomName::chat("1", &format!("kept-{number}")).expect("a legal name");
            broker.join(&name, number % 2, RoomSlot::default)
        })
        .collect();
    let name = RoomName::chat("1", "bench").expect("a legal name");
    let mut group = criterion.benchmark_group("join_and_leave");
    group.bench_function("new_room_among_10000", |bencher| {
        bencher.iter(|| {
            let passage = broker.place(Some(&name), Millis(0));
            let worker = passage.worker();
            let joined = broker.join(&name, worker, RoomSlot::default);
            drop(passage);
            broker.leave(&joined.room, worker)
        });
    });
    let first = broker.join(&name, 0, RoomSlot::default);
    group.bench_function("second_member", |bencher| {
        bencher.iter(|| {
            let passage = broker.place(Some(&name), Millis(0));
            let worker = passage.worker();
            let joined = broker.join(&name, worker, RoomSlot::default);
            drop(passage);
            broker.leave(&joined.room, worker)
        });
    });
    group.finish();
    black_box((first, kept));
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = publishing, offering, joining
}
criterion_main!(benches);
