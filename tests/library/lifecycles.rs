//! Lifecycles of consumers and tasks: each that began ends once, and in order, whatever its client does.

use super::Running;
use crate::support::{Client, PATIENCE, frame, http, wait};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use supportal::{Consumer, Context, Message, Received, Session, Verdict};

/// Clients of one route, each of which goes in one of [`WAYS`] ways.
const CLIENTS: usize = 150;

/// How many ways to go a client has.
const WAYS: usize = 9;

/// How often something happened.
type Count = Arc<AtomicUsize>;

fn add(count: &Count) {
    count.fetch_add(1, Ordering::Relaxed);
}

fn get(count: &Count) -> usize {
    count.load(Ordering::Relaxed)
}

/// What the consumers of a node were told.
#[derive(Clone, Default)]
struct Told {
    opened: Count,
    joined: Count,
    closed: Count,
    out_of_order: Count,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Unopened,
    Open,
    Ending,
    Closed,
}

/// Checks the order of its calls.
#[derive(Clone)]
struct Strict {
    told: Told,
    stage: Stage,
}

impl Strict {
    fn expect(&self, is_in_order: bool) {
        if !is_in_order {
            add(&self.told.out_of_order);
        }
    }
}

impl Consumer for Strict {
    fn open(&mut self, cx: &mut Context<'_>) -> Verdict {
        self.expect(self.stage == Stage::Unopened);
        self.stage = Stage::Open;
        add(&self.told.opened);
        cx.publish("in");
        Verdict::Done
    }

    fn joined(&mut self, _cx: &mut Context<'_>) -> Verdict {
        self.expect(self.stage == Stage::Open);
        add(&self.told.joined);
        Verdict::Done
    }

    fn message(&mut self, cx: &mut Context<'_>, message: Message<'_>) -> Verdict {
        self.expect(self.stage == Stage::Open);
        match message.text() {
            Some("close") => {
                self.stage = Stage::Ending;
                return Verdict::close(4001);
            }
            Some("panic") => {
                self.stage = Stage::Ending;
                panic!("asked for by a test");
            }
            Some(text) => cx.publish(text),
            None => {}
        }
        Verdict::Done
    }

    fn close(&mut self, cx: &mut Context<'_>) {
        self.expect(matches!(self.stage, Stage::Open | Stage::Ending));
        self.stage = Stage::Closed;
        add(&self.told.closed);
        cx.publish("out");
    }
}

/// Counts a task that ends.
struct Ended(Count);

impl Drop for Ended {
    fn drop(&mut self) {
        add(&self.0);
    }
}

async fn serve(mut session: Session, ended: Ended) {
    while let Some(received) = session.next().await {
        match received {
            Received::Text(text) if text == "close" => return session.close(4001, ""),
            Received::Text(text) if text == "panic" => panic!("asked for by a test"),
            Received::Text(text) => session.publish(&text).await,
            Received::Binary(_) => true,
        };
    }
    drop(ended);
}

/// One client, which goes.
fn come_and_go(address: SocketAddr, path: &str, way: usize) {
    let mut client = Client::open(address, path, &[]).expect("101");
    let many = frame(0x81, b"on and on").repeat(50);
    let panic_between = [&b"before"[..], b"panic", b"after"].map(|text| frame(0x81, text));
    match way {
        0 => client.reset(),
        1 => client.half_close(),
        2 => drop(client.try_send_raw(&frame(0x81, b"close").repeat(3))),
        3 => drop(client.try_send_raw(&panic_between.concat())),
        4 => client.send_close(1000, ""),
        // Not masked.
        5 => drop(client.try_send_raw(&[0x81, 0x05, 1, 2])),
        6 => {
            client.try_send_raw(&many);
            client.reset();
        }
        7 => {
            client.try_send_raw(&many);
            client.half_close();
        }
        _ => {
            client.try_send_raw(&frame(0x81, b"close"));
            client.reset();
        }
    }
}

#[test]
fn every_consumer_and_every_task_that_began_ends_once_however_its_client_goes() {
    let told = Told::default();
    let strict = Strict {
        told: told.clone(),
        stage: Stage::Unopened,
    };
    let ended = Count::default();
    let count = Arc::clone(&ended);
    let task = move |session| serve(session, Ended(Arc::clone(&count)));
    let node = Running::start_with(
        |config| config.server.workers = 2,
        |builder| {
            builder
                .route("/ws/own/{id:int}/", strict)
                .route_async("/ws/task/{id:int}/", task)
        },
    );
    let address = node.address;
    let go = |route: &'static str| {
        move || {
            for number in 0..CLIENTS {
                let path = format!("/ws/{route}/{}/", number % 5);
                come_and_go(address, &path, number % WAYS);
            }
        }
    };
    thread::scope(|scope| {
        for route in ["own", "task"] {
            scope.spawn(go(route));
        }
    });
    node.wait_until("/metrics", |answer| {
        answer.text().contains("\nsupportal_connections 0\n")
    });
    wait::until("the end of every task", PATIENCE, || get(&ended) == CLIENTS);
    for count in [&told.opened, &told.joined, &told.closed] {
        assert_eq!(get(count), CLIENTS);
    }
    assert_eq!(get(&told.out_of_order), 0);
    wait::until("a residue of 0", PATIENCE, || {
        let ledger = http::get(node.admin, "/ledger").json();
        ledger["queued"] == 0 && ledger["unexplained"] == 0
    });
}
