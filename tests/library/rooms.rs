//! What a program says to a room over several workers, and to one that its connection has left; and what it shows of
//! a room's path.

use super::waits::Barrier;
use super::{Running, text};
use crate::support::{Client, Frame, PATIENCE, wait};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use supportal::config::redis::RedisAddress;
use supportal::config::{BridgeMode, Config, Secret};
use supportal::node::Server;
use supportal::{
    Assistant, Consumer, Context, Message, Question, Received, Replies, Session, Verdict,
};
use tokio::runtime::Runtime;

/// Says which worker it is on; its worker stands before a barrier when its client says so, or as its client goes.
#[derive(Clone)]
struct Stander {
    barrier: Arc<Barrier>,
    standing: Arc<AtomicUsize>,
    stands_at_the_end: bool,
}

impl Stander {
    fn new() -> Self {
        Self {
            barrier: Arc::default(),
            standing: Arc::default(),
            stands_at_the_end: false,
        }
    }

    fn stand(&self) {
        self.standing.fetch_add(1, Ordering::Relaxed);
        self.barrier.pass();
    }

    fn wait_until_one_stands(&self) {
        wait::until("a worker to stand still", PATIENCE, || {
            self.standing.load(Ordering::Relaxed) == 1
        });
    }

    /// A client on the worker that does not listen.
    fn client_beside_the_listener(node: &Running) -> (Client, String) {
        for id in 0..64 {
            let path = format!("/ws/stand/{id}/");
            let mut client = node.connect(&path);
            if client.receive() == text("worker-1") {
                return (client, path);
            }
        }
        panic!("64 rooms on one of two workers");
    }
}

impl Consumer for Stander {
    fn open(&mut self, cx: &mut Context<'_>) -> Verdict {
        cx.send(thread::current().name().unwrap_or_default());
        Verdict::Done
    }

    fn message(&mut self, _cx: &mut Context<'_>, message: Message<'_>) -> Verdict {
        match message.text() {
            Some("stand") => self.stand(),
            _ => self.stands_at_the_end = true,
        }
        Verdict::Done
    }

    fn close(&mut self, cx: &mut Context<'_>) {
        if self.stands_at_the_end {
            self.stand();
            cx.publish("gone");
        }
    }
}

#[test]
fn the_last_word_of_a_room_reaches_who_came_meanwhile() {
    let stander = Stander::new();
    let node = Running::start_with(
        |config| {
            config.server.workers = 2;
            config.consumers.timeout = Duration::from_millis(100);
        },
        |builder| builder.route("/ws/stand/{id:int}/", stander.clone()),
    );
    let (mut first, path) = Stander::client_beside_the_listener(&node);
    first.send_text("at the end");
    first.ping(b"heard");
    assert_eq!(first.receive(), Frame::Pong(b"heard".to_vec()));
    drop(first);
    stander.wait_until_one_stands();
    // From here on nobody new is sent to that worker.
    node.wait_until("/ready", |answer| answer.status == 503);
    let mut second = node.connect(&path);
    assert_eq!(second.receive(), text("worker-0"));
    stander.barrier.set(true);
    assert_eq!(second.receive(), text("gone"));
}

#[test]
fn a_task_waits_for_every_worker_of_its_room() {
    const CAPACITY: usize = 8;
    let stander = Stander::new();
    let said = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&said);
    let serve = move |mut session: Session| {
        let count = Arc::clone(&count);
        async move {
            while let Some(Received::Text(_)) = session.next().await {
                while session.publish("on and on").await {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    };
    let node = Running::start_with(
        |config| {
            config.server.workers = 2;
            config.broker.spread_above = 1;
            config.broker.mailbox_capacity = CAPACITY;
        },
        |builder| {
            builder
                .route("/ws/stand/{id:int}/", stander.clone())
                .route_async("/ws/task/{id:int}/", serve)
        },
    );
    // One on each worker.
    let mut members = [node.connect("/ws/task/1/"), node.connect("/ws/task/1/")];
    let (mut standing, _) = Stander::client_beside_the_listener(&node);
    standing.send_text("stand");
    stander.wait_until_one_stands();
    for member in &mut members {
        member.send_text("go on");
    }
    let said = || said.load(Ordering::Relaxed);
    wait::until("a full mailbox", PATIENCE, || said() >= CAPACITY / 2);
    wait::pass(Duration::from_millis(300));
    assert!(said() <= CAPACITY + 1, "{} messages wait", said());
    stander.barrier.set(true);
    wait::until("the task to go on", PATIENCE, || said() > 2 * CAPACITY);
}

/// Says what it looks like.
#[derive(Clone)]
struct Mirror;

impl Consumer for Mirror {
    fn message(&mut self, cx: &mut Context<'_>, _message: Message<'_>) -> Verdict {
        let shown = format!("{cx:?}");
        cx.send(&shown);
        Verdict::Done
    }
}

impl Assistant for Mirror {
    fn answer(&self, question: Question) -> Replies {
        Replies::of(async move { Ok(format!("{question:?}")) })
    }

    fn name(&self) -> &'static str {
        "mirror"
    }
}

#[test]
fn what_identifies_a_session_is_never_shown() {
    const SECRET: &str = "quite-secret";
    let task = |mut session: Session| async move {
        session.next().await;
        let shown = format!("{session:?} {:?}", session.caller());
        session.send(&shown).await;
    };
    let node = Running::start(|builder| {
        builder
            .route("/ws/own/{business_id}/{session_id}/", Mirror)
            .route_async("/ws/task/{name:slug}/", task)
            .assistant(Mirror)
    });
    for (path, kind) in [
        (format!("/ws/own/1/{SECRET}/"), "Context"),
        (format!("/ws/task/{SECRET}/"), "Session"),
        (format!("/ws/chat/1/{SECRET}/"), "Question"),
    ] {
        let mut client = node.connect(&path);
        client.send_text(r#"{"message":"confidential"}"#);
        let shown = loop {
            let Frame::Text(shown) = client.receive() else {
                panic!("a text");
            };
            if shown.contains(kind) {
                break shown;
            }
        };
        let (_, shown) = shown.split_once(kind).expect("found");
        assert!(!shown.contains(SECRET), "{shown}");
        assert!(!shown.contains("confidential"), "{shown}");
    }
}

#[test]
fn a_node_shows_no_secret() {
    const SECRET: &str = "hunter2hunter2hunter2";
    let mut config = Config::default();
    config.server.listen = ([127, 0, 0, 1], 0).into();
    config.admin.listen = ([127, 0, 0, 1], 0).into();
    config.admin.token = Some(Secret::new(SECRET));
    config.bridge.mode = BridgeMode::Pubsub;
    let url = format!("redis://somebody:{SECRET}@127.0.0.1:1/0");
    config.bridge.urls = vec![RedisAddress::parse(&url).expect("an address")];
    let runtime = Runtime::new().expect("a runtime");
    let builder = Server::builder().config(config);
    let described = format!("{builder:?}");
    let node = runtime.block_on(builder.start()).expect("a node");
    for shown in [described, format!("{node:?}")] {
        assert!(!shown.contains(SECRET), "{shown}");
    }
    runtime.shutdown_timeout(Duration::ZERO);
}

/// Speaks to its room and to its connection in turn, as it opens and for each message.
#[derive(Clone)]
struct Alternating;

impl Alternating {
    fn speak(cx: &mut Context<'_>) -> Verdict {
        cx.publish("one");
        cx.send("two");
        cx.publish("three");
        cx.send("four");
        Verdict::Done
    }
}

impl Consumer for Alternating {
    fn open(&mut self, cx: &mut Context<'_>) -> Verdict {
        Self::speak(cx)
    }

    fn message(&mut self, cx: &mut Context<'_>, _message: Message<'_>) -> Verdict {
        Self::speak(cx)
    }
}

#[test]
fn what_a_consumer_says_to_its_room_and_to_its_connection_comes_in_that_order() {
    let node = Running::start(|builder| builder.route("/ws/own/{id:int}/", Alternating));
    let mut client = node.connect("/ws/own/1/");
    for when in ["as it opens", "for a message"] {
        let heard = [0; 4].map(|_| client.receive());
        assert_eq!(heard, ["one", "two", "three", "four"].map(text), "{when}");
        client.send_text("again");
    }
}
