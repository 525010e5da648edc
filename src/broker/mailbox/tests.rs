//! One test per rule of the mailbox; its races are in `model.rs`.

use super::*;
use std::sync::Arc;

#[test]
fn only_the_first_push_wakes_the_consumer() {
    let mailbox = Mailbox::new(8, 99);
    assert!(mailbox.push('a', 1));
    assert!(!mailbox.push('b', 2));
    let mut batch = Vec::new();
    assert_eq!(mailbox.swap(&mut batch), 3);
    assert_eq!(batch, ['a', 'b']);
    assert!(mailbox.push('c', 1));
}

#[test]
fn entries_count_until_they_are_released() {
    let mailbox = Mailbox::new(2, 99);
    assert!(mailbox.push('a', 1) && !mailbox.is_full());
    assert!(!mailbox.push('b', 1) && mailbox.is_full());
    let mut batch = Vec::new();
    let bytes = mailbox.swap(&mut batch);
    assert!(mailbox.is_full(), "being worked on is inside the bound");
    assert!(!mailbox.release(batch.len(), bytes), "nobody waits");
    assert!(!mailbox.is_full() && mailbox.is_empty() && mailbox.bytes() == 0);
}

#[test]
fn bytes_fill_a_mailbox_too() {
    let mailbox = Mailbox::new(99, 10);
    assert!(mailbox.push('a', 10) && mailbox.is_full());
}

#[test]
fn a_full_mailbox_still_stores() {
    let mailbox = Mailbox::new(1, 1);
    assert!(mailbox.push('a', 1));
    assert!(!mailbox.push('b', 1));
    let mut batch = Vec::new();
    mailbox.swap(&mut batch);
    assert_eq!(batch, ['a', 'b']);
}

#[test]
fn a_waiter_is_announced_once_there_is_room() {
    let mailbox = Mailbox::new(2, 99);
    for name in 0..3 {
        assert_eq!(mailbox.push(name, 1), name == 0);
    }
    assert!(mailbox.wait(5) && mailbox.wait(63));
    mailbox.swap(&mut Vec::new());
    assert!(!mailbox.release(1, 1), "still full");
    assert!(mailbox.release(1, 1));
    assert_eq!(mailbox.take_waiters(), 1 << 5 | 1 << 63);
    assert!(!mailbox.release(1, 1), "everyone has been taken");
}

#[test]
fn whoever_asks_after_the_release_is_told_to_go_on() {
    let mailbox = Mailbox::new(1, 99);
    assert!(mailbox.push('a', 1) && mailbox.is_full());
    mailbox.swap(&mut Vec::new());
    assert!(!mailbox.release(1, 1));
    assert!(!mailbox.wait(0));
}

#[test]
fn room_for_one_connection_does_not_cancel_another_of_the_same_worker() {
    let mailbox = Mailbox::new(1, 99);
    assert!(mailbox.push('a', 1) && mailbox.wait(0), "the first stops");
    mailbox.swap(&mut Vec::new());
    assert!(mailbox.release(1, 1));
    assert!(!mailbox.wait(0), "the second may go on");
    assert_eq!(mailbox.take_waiters(), 1, "the first is still woken");
}

#[test]
fn a_burst_does_not_keep_its_memory() {
    let mailbox = Mailbox::<u8>::new(4, 99);
    let mut batch = Vec::with_capacity(1_000);
    mailbox.swap(&mut batch);
    mailbox.swap(&mut batch);
    assert!(batch.capacity() <= 16, "{}", batch.capacity());
}

#[test]
fn real_threads_lose_nothing_and_keep_each_producers_order() {
    const EACH: usize = 10_000;
    let mailbox = Arc::new(Mailbox::new(64, usize::MAX));
    let producers: Vec<_> = (0..3)
        .map(|producer| {
            let mailbox = Arc::clone(&mailbox);
            std::thread::spawn(move || {
                for entry in 0..EACH {
                    while mailbox.is_full() {
                        std::thread::yield_now();
                    }
                    std::hint::black_box(mailbox.push((producer, entry), 1));
                }
            })
        })
        .collect();
    let (mut next, mut batch) = ([0; 3], Vec::new());
    loop {
        let last = producers.iter().all(std::thread::JoinHandle::is_finished);
        let bytes = mailbox.swap(&mut batch);
        let entries = batch.len();
        assert!(entries <= 64 + 3, "capacity and one per publisher");
        for (producer, entry) in batch.drain(..) {
            assert_eq!(next[producer], entry);
            next[producer] += 1;
        }
        assert!(!mailbox.release(entries, bytes));
        if last {
            break;
        }
        std::thread::yield_now();
    }
    assert_eq!(next, [EACH; 3]);
    for producer in producers {
        producer.join().expect("no panic");
    }
    assert!(mailbox.is_empty());
}

#[test]
fn a_mailbox_without_a_consumer_gives_out_what_it_holds_and_is_never_full_again() {
    let mailbox = Mailbox::new(2, 99);
    for entry in 0..3 {
        let _wakes = mailbox.push(entry, 10);
    }
    assert!(mailbox.wait(7), "full");
    assert_eq!(mailbox.close(), [0, 1, 2]);
    assert_eq!(mailbox.take_waiters(), 1 << 7);
    assert!(!mailbox.push(3, 10), "nobody is to be woken");
    assert!(mailbox.is_empty() && !mailbox.is_full() && !mailbox.wait(7));
}
