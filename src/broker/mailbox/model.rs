//! The mailbox's races: one property each. Two threads in every interleaving, three in every one
//! with at most [`PREEMPTIONS`] switches away from a thread that could go on.
//!
//! `tests/run model`

use super::*;
use crate::sync::atomic::AtomicBool;
use crate::sync::atomic::Ordering::{AcqRel, Acquire};
use loom::sync::Arc;
use loom::thread;

/// loom's documentation: 2 or 3 catch most bugs in practice. Without a bound the models of three
/// threads run for more than a minute each.
const PREEMPTIONS: usize = 2;

fn three_threads(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(model);
}

#[test]
fn nothing_is_lost_or_doubled_and_each_producers_order_is_kept() {
    three_threads(|| {
        let mailbox = Arc::new(Mailbox::new(8, 99));
        let producers: Vec<_> = [10, 20]
            .into_iter()
            .map(|name| {
                let mailbox = Arc::clone(&mailbox);
                thread::spawn(move || {
                    for entry in [name, name + 1] {
                        std::hint::black_box(mailbox.push(entry, 1));
                    }
                })
            })
            .collect();
        let (mut seen, mut batch) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let bytes = mailbox.swap(&mut batch);
            assert_eq!(bytes, batch.len());
            assert!(!mailbox.release(batch.len(), bytes));
            seen.append(&mut batch);
        }
        for producer in producers {
            producer.join().expect("no panic");
        }
        mailbox.swap(&mut batch);
        assert_eq!(mailbox.len(), batch.len());
        seen.append(&mut batch);
        for name in [10, 20] {
            let own: Vec<_> = seen
                .iter()
                .filter(|entry| **entry / 10 == name / 10)
                .collect();
            assert_eq!(own, [&name, &(name + 1)]);
        }
        assert_eq!(seen.len(), 4);
    });
}

#[test]
fn what_waits_in_a_mailbox_has_a_wake_up_on_its_way() {
    three_threads(|| {
        let mailbox = Arc::new(Mailbox::new(8, 99));
        let woken = Arc::new(AtomicBool::new(false));
        let producers: Vec<_> = [1, 2]
            .into_iter()
            .map(|name| {
                let (mailbox, woken) = (Arc::clone(&mailbox), Arc::clone(&woken));
                thread::spawn(move || {
                    if mailbox.push(name, 1) {
                        // A swap, as loom orders no plain store against the consumer's swap.
                        std::hint::black_box(woken.swap(true, AcqRel));
                    }
                })
            })
            .collect();
        let (mut seen, mut batch) = (0, Vec::new());
        for _ in 0..2 {
            if woken.swap(false, AcqRel) {
                mailbox.swap(&mut batch);
                seen += batch.drain(..).count();
            }
        }
        for producer in producers {
            producer.join().expect("no panic");
        }
        assert!(seen == 2 || woken.load(Acquire), "{seen} seen and asleep");
    });
}

/// A publisher that finds the mailbox full, against the consumer that empties it: after both, the
/// publisher has been told to go on or has been woken.
fn waiter_against_release(releases: &'static [(usize, usize)]) {
    loom::model(move || {
        let mailbox = Arc::new(Mailbox::new(2, 2));
        for entry in 0..2 {
            std::hint::black_box(mailbox.push(entry, 1));
        }
        let consumer = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                mailbox.swap(&mut Vec::new());
                let mut woken = 0;
                for (entries, bytes) in releases {
                    if mailbox.release(*entries, *bytes) {
                        woken |= mailbox.take_waiters();
                    }
                }
                woken
            })
        };
        let stopped = mailbox.is_full() && mailbox.wait(3);
        let woken = consumer.join().expect("no panic");
        assert!(!stopped || woken == 1 << 3, "asleep for ever");
    });
}

#[test]
fn a_waiter_is_woken_or_told_that_there_is_room() {
    waiter_against_release(&[(2, 2)]);
}

#[test]
fn a_release_in_two_steps_wakes_too() {
    waiter_against_release(&[(1, 1), (1, 1)]);
}

#[test]
fn a_push_that_fills_the_room_again_does_not_leave_the_waiter_asleep() {
    three_threads(|| {
        let mailbox = Arc::new(Mailbox::new(1, 9));
        std::hint::black_box(mailbox.push(0, 1));
        let publisher = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || std::hint::black_box(mailbox.push(1, 1)))
        };
        let waiter = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || mailbox.is_full() && mailbox.wait(3))
        };
        let (mut woken, mut batch) = (0, Vec::new());
        let mut turn = || {
            let bytes = mailbox.swap(&mut batch);
            if !batch.is_empty() && mailbox.release(batch.drain(..).count(), bytes) {
                woken |= mailbox.take_waiters();
            }
        };
        turn();
        std::hint::black_box(publisher.join().expect("no panic"));
        // The push above woke the consumer: it takes its turn.
        turn();
        let stopped = waiter.join().expect("no panic");
        assert!(!stopped || woken == 1 << 3, "asleep for ever");
    });
}
