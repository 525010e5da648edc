//! Consumers that do not return, and tasks that take nothing for a while.

use super::{Running, text};
use crate::support::http::Response;
use crate::support::{Client, Frame, PATIENCE, frame};
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;
use supportal::{Consumer, Context, Message, Received, Session, Verdict};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Closed until a test opens it, for whoever waits in front of it with its whole thread.
#[derive(Default)]
pub(super) struct Barrier {
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Barrier {
    pub(super) fn set(&self, is_open: bool) {
        *self.is_open.lock().expect("no panic in here") = is_open;
        self.opened.notify_all();
    }

    pub(super) fn pass(&self) {
        let guard = self.is_open.lock().expect("no panic in here");
        let passed = self.opened.wait_while(guard, |is_open| !*is_open);
        drop(passed.expect("no panic in here"));
    }
}

/// Opens a barrier in the end, whatever becomes of the test: the worker in front of it would hold that up.
struct Opened(Arc<Barrier>);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

/// Stands in front of a barrier: in `open` or for every message.
#[derive(Clone)]
struct Slow(Arc<Barrier>);

impl Consumer for Slow {
    fn open(&mut self, cx: &mut Context<'_>) -> Verdict {
        if cx.parameter("where") == Some("open") {
            self.0.pass();
        }
        Verdict::Done
    }

    fn message(&mut self, cx: &mut Context<'_>, message: Message<'_>) -> Verdict {
        self.0.pass();
        cx.send(message.bytes());
        Verdict::Done
    }
}

#[test]
fn a_consumer_that_does_not_return_is_told_by_the_node_until_it_does() {
    let barrier = Arc::new(Barrier::default());
    let consumer = Slow(Arc::clone(&barrier));
    let node = Running::start_with(
        |config| config.consumers.timeout = Duration::from_millis(200),
        |builder| builder.route("/ws/slow/{where:slug}/", consumer),
    );
    let is_ready = |answer: &Response| answer.status == 200;
    let is_stuck = |answer: &Response| answer.status == 503 && answer.text().contains("consumer");
    node.wait_until("/ready", is_ready);
    let address = node.address;
    let opening = thread::spawn(move || Client::open(address, "/ws/slow/open/", &[]));
    node.wait_until("/ready", is_stuck);
    barrier.set(true);
    node.wait_until("/ready", is_ready);
    let opened = opening.join().expect("no panic");
    // Nobody can end the call; its connection is not kept.
    assert_eq!(opened.expect("101").expect_close().0, 1011);
    let mut client = node.connect("/ws/slow/message/");
    client.send_text("first");
    assert_eq!(client.receive(), Frame::Binary(b"first".to_vec()));
    barrier.set(false);
    client.send_text("second");
    node.wait_until("/ready", is_stuck);
    barrier.set(true);
    node.wait_until("/ready", is_ready);
    assert_eq!(client.receive(), Frame::Binary(b"second".to_vec()));
}

/// Stands in front of a barrier as the consumer of a connection is dropped.
#[derive(Clone)]
struct Lingering {
    barrier: Arc<Barrier>,
    has_begun: bool,
}

impl Consumer for Lingering {
    fn open(&mut self, _cx: &mut Context<'_>) -> Verdict {
        self.has_begun = true;
        Verdict::Done
    }

    fn message(&mut self, _cx: &mut Context<'_>, _message: Message<'_>) -> Verdict {
        Verdict::Done
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        if self.has_begun {
            self.barrier.pass();
        }
    }
}

#[test]
fn a_consumer_that_does_not_return_as_it_is_dropped_is_told_too() {
    let barrier = Arc::new(Barrier::default());
    let opened = Opened(Arc::clone(&barrier));
    let consumer = Lingering {
        barrier,
        has_begun: false,
    };
    let node = Running::start_with(
        |config| config.consumers.timeout = Duration::from_millis(200),
        |builder| builder.route("/ws/own/{id:int}/", consumer),
    );
    drop(node.connect("/ws/own/1/"));
    node.wait_until("/ready", |answer| answer.status == 503);
    drop(opened);
    node.wait_until("/ready", |answer| answer.status == 200);
}

#[test]
fn a_drain_ends_although_a_consumer_does_not_return() {
    let barrier = Arc::new(Barrier::default());
    let consumer = Slow(Arc::clone(&barrier));
    let mut node = Running::start_with(
        |config| {
            config.consumers.timeout = Duration::from_millis(200);
            config.server.drain_grace = Duration::from_millis(200);
        },
        |builder| builder.route("/ws/slow/{where:slug}/", consumer),
    );
    let mut client = node.connect("/ws/slow/message/");
    client.send_text("hello");
    node.wait_until("/ready", |answer| answer.status == 503);
    drop(node.end.take());
    let run = node.run.take().expect("a node that runs");
    let ended = node
        .runtime
        .block_on(async { timeout(6 * PATIENCE, run).await });
    // Whatever came of it: the test's own runtime waits for the worker.
    barrier.set(true);
    let ended = ended.expect("an end").expect("no panic");
    assert!(ended.is_ok(), "{ended:?}");
}

/// A node with a task that takes nothing until it is permitted, one message for each permit.
fn permitted(inbox: usize) -> (Running, Arc<Semaphore>) {
    let permits = Arc::new(Semaphore::new(0));
    let given = Arc::clone(&permits);
    let serve = move |mut session: Session| {
        let permits = Arc::clone(&given);
        async move {
            session.send("hello").await;
            let mut next = 0;
            loop {
                permits.acquire().await.expect("open").forget();
                let Some(Received::Text(text)) = session.next().await else {
                    return;
                };
                permits.acquire().await.expect("open").forget();
                match text.trim_end_matches('.').parse::<usize>() {
                    Ok(number) if number == next => next += 1,
                    Ok(number) => drop(session.send(&format!("{number} for {next}")).await),
                    Err(_) => drop(session.send(&format!("{text} behind {next}")).await),
                }
            }
        }
    };
    let node = Running::start_with(
        |config| {
            config.consumers.inbox = inbox;
            (
                config.limits.messages_per_second,
                config.limits.bytes_per_second,
            ) = (0, 0);
        },
        |builder| builder.route_async("/ws/task/{id:int}/", serve),
    );
    (node, permits)
}

#[test]
fn a_task_that_takes_nothing_stops_the_reading_of_its_client_and_loses_nothing() {
    /// Far more than the kernels hold for one connection.
    const BYTES_MAX: usize = 64 * 1024 * 1024;
    let (node, permits) = permitted(4);
    let mut client = node.connect("/ws/task/1/");
    assert_eq!(client.receive(), text("hello"));
    let mut stream = client.stream();
    let stall = Some(Duration::from_millis(500));
    stream.set_write_timeout(stall).expect("a timeout");
    let (mut sent, mut bytes, mut rest) = (0, 0, Vec::new());
    while rest.is_empty() {
        assert!(
            bytes < BYTES_MAX,
            "everything is read though nobody takes it"
        );
        let message = frame(0x81, format!("{sent}{}", ".".repeat(4096)).as_bytes());
        sent += 1;
        bytes += message.len();
        let mut left = &message[..];
        while !left.is_empty() {
            match stream.write(left) {
                Ok(count) => left = &left[count..],
                Err(_full) => {
                    rest = left.to_vec();
                    break;
                }
            }
        }
    }
    permits.add_permits(2 * (sent + 1));
    stream.set_write_timeout(None).expect("no timeout");
    client.send_raw(&rest);
    client.send_text("end");
    let end = client.receive_within(6 * PATIENCE);
    assert_eq!(end, Some(text(&format!("end behind {sent}"))));
}

#[test]
fn a_client_that_has_ended_its_side_hears_what_its_task_still_answers() {
    let (node, permits) = permitted(16);
    let mut client = node.connect("/ws/task/1/");
    assert_eq!(client.receive(), text("hello"));
    for question in ["one", "two", "three"] {
        client.send_text(question);
    }
    client.half_close();
    // The task has taken the first, and none is answered.
    permits.add_permits(1);
    assert!(client.is_quiet_for(Duration::from_millis(200)));
    permits.add_permits(5);
    for question in ["one", "two", "three"] {
        assert_eq!(client.receive(), text(&format!("{question} behind 0")));
    }
    permits.add_permits(1);
    client.expect_eof();
}

#[test]
fn a_drain_waits_for_what_a_task_is_about_to_answer() {
    let (mut node, permits) = permitted(16);
    let mut client = node.connect("/ws/task/1/");
    assert_eq!(client.receive(), text("hello"));
    client.send_text("one");
    client.ping(b"heard");
    assert_eq!(client.receive(), Frame::Pong(b"heard".to_vec()));
    drop(node.end.take());
    // Its turn in the drain is at once.
    node.wait_until("/ready", |answer| answer.status == 503);
    assert!(client.is_quiet_for(Duration::from_millis(300)));
    permits.add_permits(3);
    assert_eq!(client.receive(), text("one behind 0"));
    assert_eq!(client.expect_close().0, 1012);
}
