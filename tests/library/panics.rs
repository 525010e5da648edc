//! Consumers that panic as they are made or dropped, and that are made for nobody who is refused.

use super::Running;
use crate::support::{Client, Frame, http};
use std::panic::panic_any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use supportal::{Consumer, Context, Message, Session, Verdict};

/// Counts its clones, and panics as it is cloned if it is told to.
#[derive(Default)]
struct Cloned {
    clones: Arc<AtomicUsize>,
    panics: Arc<AtomicBool>,
}

impl Clone for Cloned {
    fn clone(&self) -> Self {
        self.clones.fetch_add(1, Ordering::Relaxed);
        assert!(!self.panics.load(Ordering::Relaxed), "asked for by a test");
        Self {
            clones: Arc::clone(&self.clones),
            panics: Arc::clone(&self.panics),
        }
    }
}

impl Consumer for Cloned {
    fn message(&mut self, cx: &mut Context<'_>, message: Message<'_>) -> Verdict {
        cx.send(message.bytes());
        Verdict::Done
    }
}

#[test]
fn a_consumer_is_made_for_who_is_let_in_and_a_panic_in_that_ends_the_connection_with_1011() {
    const PATH: &str = "/ws/own/1/";
    let consumer = Cloned::default();
    let (clones, panics) = (Arc::clone(&consumer.clones), Arc::clone(&consumer.panics));
    let node = Running::start_with(
        |config| config.limits.connections = 2,
        |builder| builder.route("/ws/own/{id:int}/", consumer),
    );
    let made = || clones.load(Ordering::Relaxed);
    assert_eq!(http::get(node.address, PATH).status, 426);
    assert_eq!(made(), 0);
    let mut calm = node.connect(PATH);
    calm.ping(b"");
    assert_eq!(calm.receive(), Frame::Pong(Vec::new()));
    assert_eq!(made(), 1);
    let second = node.connect(PATH);
    let refusal = Client::open(node.address, PATH, &[]).expect_err("full");
    assert_eq!((refusal.status, made()), (503, 2));
    drop(second);
    node.wait_until("/metrics", |answer| {
        answer.text().contains("\nsupportal_connections 1\n")
    });
    panics.store(true, Ordering::Relaxed);
    assert_eq!(node.connect(PATH).expect_close().0, 1011);
    node.wait_until("/metrics", |answer| {
        answer.text().contains("\nsupportal_panics_total 1\n")
    });
    calm.send_text("still here");
    assert_eq!(calm.receive(), Frame::Binary(b"still here".to_vec()));
}

/// Panics as it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(thread::panicking(), "asked for by a test");
    }
}

/// Panics when its client says so.
#[derive(Clone, Default)]
struct Fragile {
    said: String,
}

impl Consumer for Fragile {
    fn message(&mut self, cx: &mut Context<'_>, message: Message<'_>) -> Verdict {
        self.said = message.text().unwrap_or_default().to_owned();
        if self.said == "at once" {
            panic_any(Bomb);
        }
        cx.send(&self.said);
        Verdict::Done
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        match self.said.as_str() {
            "dropped" => panic!("asked for by a test"),
            "dropped with a bomb" => panic_any(Bomb),
            _ => {}
        }
    }
}

#[test]
fn a_consumer_that_panics_as_it_is_dropped_costs_nobody_anything_else() {
    let task = |mut session: Session| async move {
        session.next().await;
        panic_any(Bomb)
    };
    let node = Running::start(|builder| {
        builder
            .route("/ws/own/{id:int}/", Fragile::default())
            .route_async("/ws/task/{id:int}/", task)
    });
    let mut calm = node.connect("/ws/own/1/");
    for last in ["dropped", "dropped with a bomb"] {
        let mut client = node.connect("/ws/own/1/");
        client.send_text(last);
        assert_eq!(client.receive(), Frame::Text(last.to_owned()));
    }
    for path in ["/ws/own/1/", "/ws/task/1/"] {
        let mut client = node.connect(path);
        client.send_text("at once");
        assert_eq!(client.expect_close().0, 1011, "{path}");
    }
    node.wait_until("/metrics", |answer| {
        let text = answer.text();
        text.contains("\nsupportal_panics_total 4\n")
            && text.contains("\nsupportal_connections 1\n")
    });
    calm.send_text("still here");
    assert_eq!(calm.receive(), Frame::Text("still here".to_owned()));
}
