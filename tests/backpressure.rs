//! Slow readers: what they miss is counted by cause, and nobody else misses anything.

use crate::support::{Client, Frame, Gateway, PATIENCE, user, wait};
use std::collections::HashSet;
use std::time::Duration;

/// Small queues and small kernel buffers, so that a reader is slow after a few hundred kilobytes.
const SMALL: [&str; 6] = [
    "limits.messages_per_second=0",
    "limits.bytes_per_second=0",
    "limits.send_buffer_bytes=8192",
    "limits.unsent_bytes=4096",
    "queue.capacity=10",
    "chat.text_bytes_max=60000",
];

/// A text that carries its number and fills buffers.
fn bulky(number: usize) -> String {
    format!("{number} {}", "x".repeat(8_000))
}

fn number_of(event: &serde_json::Value) -> usize {
    let text = event["message"].as_str().expect("a message");
    text.split(' ')
        .next()
        .and_then(|text| text.parse().ok())
        .expect("a number")
}

/// Joins a member that does not read from now on.
fn join_slow(gateway: &Gateway, room: &str) -> Client {
    let client = gateway.join(room);
    client.shrink_receive_buffer(64 * 1024);
    client
}

/// Sends `count` bulky messages, reading each one's own copy before the next.
#[track_caller]
fn send_all(sender: &mut Client, fast: &mut Client, count: usize) {
    for number in 0..count {
        sender.send_text(&user(&bulky(number)));
        for member in [&mut *sender, &mut *fast] {
            assert_eq!(
                number_of(&member.receive_json()),
                number,
                "a fast member missed one"
            );
        }
    }
}

fn start(more: &[&str]) -> Gateway {
    let settings: Vec<&str> = SMALL.iter().chain(more).copied().collect();
    Gateway::start(&settings)
}

/// Reads everything that is left, up to three seconds of silence.
fn drain(client: &mut Client) -> Vec<usize> {
    let mut numbers = Vec::new();
    while let Some(frame) = client.receive_within(Duration::from_secs(3)) {
        if let Frame::Text(text) = frame {
            let event = serde_json::from_str(&text).expect("JSON");
            numbers.push(number_of(&event));
        }
    }
    numbers
}

#[test]
fn a_slow_reader_costs_the_others_nothing_and_its_drops_are_counted() {
    const COUNT: usize = 600;
    let gateway = start(&[]);
    let mut slow = join_slow(&gateway, "slow");
    let (mut sender, mut fast) = (gateway.join("slow"), gateway.join("slow"));
    send_all(&mut sender, &mut fast, COUNT);
    let dropped = gateway.metric("supportal_deliveries_dropped_total{cause=\"capacity\"}");
    assert!(
        dropped > 0.0,
        "nothing was dropped: the buffers are not bounded"
    );
    let got = drain(&mut slow);
    assert!(got.is_sorted(), "out of order: {got:?}");
    let distinct: HashSet<usize> = got.iter().copied().collect();
    assert_eq!(distinct.len(), got.len(), "delivered twice: {got:?}");
    let ledger = gateway.settled_ledger();
    let missed = ledger["dropped"]["capacity"]
        .as_u64()
        .expect("a count by cause");
    assert_eq!(got.len() as u64 + missed, COUNT as u64, "{ledger}");
}

#[test]
fn drop_newest_keeps_the_oldest_and_drop_oldest_the_newest() {
    const COUNT: usize = 600;
    for (overflow, last_arrives) in [("drop_newest", false), ("drop_oldest", true)] {
        let gateway = start(&[&format!("queue.overflow={overflow}")]);
        let mut slow = join_slow(&gateway, "overflow");
        let (mut sender, mut fast) = (gateway.join("overflow"), gateway.join("overflow"));
        send_all(&mut sender, &mut fast, COUNT);
        let got = drain(&mut slow);
        assert_eq!(got.first(), Some(&0), "{overflow}");
        assert_eq!(
            got.last() == Some(&(COUNT - 1)),
            last_arrives,
            "{overflow}: {got:?}"
        );
        assert!(got.len() < COUNT, "{overflow} dropped nothing");
    }
}

#[test]
fn overflow_disconnect_closes_the_slow_reader_with_4008() {
    let gateway = start(&["queue.overflow=disconnect"]);
    let mut slow = join_slow(&gateway, "disconnect");
    let (mut sender, mut fast) = (gateway.join("disconnect"), gateway.join("disconnect"));
    let connections = || gateway.metric("supportal_connections") == 2.0;
    let overflowed = || gateway.metric_sum("supportal_deliveries_dropped_total") > 0.0;
    for _round in 0..60 {
        send_all(&mut sender, &mut fast, 10);
        if overflowed() {
            break;
        }
    }
    // It reads again: what was on its way, then the reason.
    assert_eq!(slow.expect_close().0, 4008);
    slow.expect_eof();
    wait::until("the slow reader to be gone", PATIENCE, connections);
    gateway.settled_ledger();
}

#[test]
fn a_delivery_older_than_expiry_is_dropped_not_delivered_late() {
    const COUNT: usize = 600;
    let gateway = start(&[
        "queue.expiry=1s",
        "queue.capacity=1000",
        "queue.bytes_max=16777216",
    ]);
    let mut slow = join_slow(&gateway, "expiry");
    let (mut sender, mut fast) = (gateway.join("expiry"), gateway.join("expiry"));
    send_all(&mut sender, &mut fast, COUNT);
    wait::pass(Duration::from_millis(1_500));
    sender.send_text(&user(&bulky(COUNT)));
    let got = drain(&mut slow);
    assert_eq!(
        got.last(),
        Some(&COUNT),
        "the fresh one must arrive: {got:?}"
    );
    assert!(got.len() < COUNT, "expired deliveries arrived");
    let ledger = gateway.settled_ledger();
    let expired = ledger["dropped"]["expired"]
        .as_u64()
        .expect("a count by cause");
    assert_eq!(got.len() as u64 + expired, COUNT as u64 + 1, "{ledger}");
}

#[test]
fn a_queue_is_bounded_in_bytes_too() {
    let gateway = start(&["queue.capacity=100000", "queue.bytes_max=70000"]);
    let mut slow = join_slow(&gateway, "bytes");
    let (mut sender, mut fast) = (gateway.join("bytes"), gateway.join("bytes"));
    send_all(&mut sender, &mut fast, 600);
    let dropped = gateway.metric("supportal_deliveries_dropped_total{cause=\"capacity\"}");
    assert!(dropped > 0.0);
    assert!(drain(&mut slow).len() < 600);
}

#[test]
fn a_slow_reader_that_leaves_takes_its_queue_along_in_the_ledger() {
    let gateway = start(&["queue.capacity=1000", "queue.bytes_max=16777216"]);
    let slow = join_slow(&gateway, "leaves");
    let (mut sender, mut fast) = (gateway.join("leaves"), gateway.join("leaves"));
    send_all(&mut sender, &mut fast, 300);
    slow.reset();
    let ledger = gateway.settled_ledger();
    let closed = ledger["dropped"]["closed"]
        .as_u64()
        .expect("a count by cause");
    assert!(closed > 0, "{ledger}");
}

#[test]
fn a_publisher_faster_than_the_server_is_slowed_down_not_dropped() {
    const COUNT: usize = 5_000;
    let gateway = Gateway::start(&[
        "limits.messages_per_second=0",
        "limits.bytes_per_second=0",
        "broker.mailbox_capacity=16",
        "queue.capacity=100000",
        "queue.bytes_max=67108864",
    ]);
    let mut member = gateway.join("mailbox");
    let mut sender = gateway.join("mailbox");
    let writer = std::thread::spawn(move || {
        for number in 0..COUNT {
            sender.send_text(&user(&number.to_string()));
            // Its own copies are read along the way, or it would be the slow reader here.
            if number % 50 == 49 {
                for _copy in 0..50 {
                    sender.receive_json();
                }
            }
        }
    });
    for number in 0..COUNT {
        assert_eq!(
            member.receive_json()["message"],
            number.to_string().as_str()
        );
    }
    writer.join().expect("the publisher");
}
