//! The end of tasks: with their connections, with the node, and of connections whose tasks take nothing.

use super::{Running, text};
use crate::support::{Client, PATIENCE, wait};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use supportal::config::Config;
use supportal::node::Builder;
use supportal::{Received, Session};
use tokio::sync::Semaphore;

/// What the tasks of a route do, for each of its paths.
const WAITS: u64 = 1;
const TALKS_ON: u64 = 2;
const TALKS_UNTIL_TOLD: u64 = 3;
const ASKS_ON: u64 = 4;

/// Counts a task for as long as there is one.
struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn act(mut session: Session, alive: Alive) {
    let path = &session.caller().parameters;
    let what = path.first().and_then(|(_, id)| id.parse().ok());
    session.next().await;
    match what {
        Some(WAITS) => std::future::pending().await,
        Some(TALKS_ON) => loop {
            session.send("on and on").await;
        },
        Some(TALKS_UNTIL_TOLD) => while session.send("until told").await {},
        Some(ASKS_ON) => loop {
            session.next().await;
        },
        _ => {}
    }
    drop(alive);
}

/// A node with such tasks, and how many there are.
fn start(change: impl FnOnce(&mut Config)) -> (Running, Arc<AtomicUsize>) {
    let alive = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&alive);
    let serve = move |session| {
        count.fetch_add(1, Ordering::Relaxed);
        act(session, Alive(Arc::clone(&count)))
    };
    let describe = |builder: Builder| builder.route_async("/ws/task/{what:int}/", serve);
    (Running::start_with(change, describe), alive)
}

fn wait_for(alive: &AtomicUsize, tasks: usize) {
    wait::until("so many tasks", PATIENCE, || {
        alive.load(Ordering::Relaxed) == tasks
    });
}

#[test]
fn a_task_whose_client_is_gone_is_dropped_after_a_while() {
    let (node, alive) = start(|config| {
        config.consumers.timeout = Duration::from_millis(300);
        // So long a client that has ended its side may still read.
        config.assistant.timeout = Duration::from_millis(300);
    });
    for what in [WAITS, TALKS_ON, ASKS_ON] {
        let mut clients: Vec<_> = (0..20)
            .map(|_| node.connect(&format!("/ws/task/{what}/")))
            .collect();
        for client in &mut clients {
            client.send_text("go on");
        }
        wait_for(&alive, 20);
        drop(clients);
        wait_for(&alive, 0);
    }
}

#[test]
fn a_task_that_only_sends_learns_that_its_client_is_gone() {
    let (node, alive) = start(|config| config.consumers.timeout = 10 * PATIENCE);
    let mut client = node.connect(&format!("/ws/task/{TALKS_UNTIL_TOLD}/"));
    client.send_text("go on");
    assert_eq!(client.receive(), text("until told"));
    drop(client);
    wait_for(&alive, 0);
}

#[test]
fn tasks_end_with_the_node() {
    let (mut node, alive) = start(|config| {
        config.consumers.timeout = 10 * PATIENCE;
        config.server.drain_grace = Duration::from_millis(300);
    });
    let mut clients = Vec::new();
    for what in [WAITS, TALKS_ON, ASKS_ON] {
        let mut client = node.connect(&format!("/ws/task/{what}/"));
        client.send_text("go on");
        clients.push(client);
    }
    wait_for(&alive, 3);
    drop(node.end.take());
    wait_for(&alive, 0);
}

/// A client whose task takes nothing, and more of whose messages wait than fit.
fn held(node: &Running) -> Client {
    let mut client = node.connect("/ws/deaf/1/");
    assert_eq!(client.receive(), text("hello"));
    for _ in 0..8 {
        client.send_text("is anybody there?");
    }
    client
}

fn deaf(longest: Duration) -> Running {
    let serve = |mut session: Session| async move {
        session.send("hello").await;
        std::future::pending().await
    };
    Running::start_with(
        |config| {
            config.consumers.inbox = 4;
            config.consumers.held_timeout = longest;
        },
        |builder| builder.route_async("/ws/deaf/{id:int}/", serve),
    )
}

#[test]
fn a_connection_whose_task_takes_nothing_ends_with_1011() {
    let node = deaf(Duration::from_millis(300));
    assert_eq!(held(&node).expect_close().0, 1011);
    node.wait_until("/metrics", |answer| {
        let closed = r#"supportal_connections_closed_total{reason="internal"} 1"#;
        answer.text().contains(closed)
    });
}

#[test]
fn a_client_that_is_gone_is_found_although_its_task_takes_nothing() {
    let node = deaf(Duration::from_millis(300));
    let (mut polite, rude) = (held(&node), held(&node));
    polite.send_close(1000, "");
    polite.half_close();
    drop((polite, rude));
    node.wait_until("/metrics", |answer| {
        answer.text().contains("\nsupportal_connections 0\n")
    });
}

#[test]
fn a_task_that_takes_a_message_now_and_then_keeps_its_connection() {
    const LONGEST: Duration = Duration::from_millis(1000);
    let serve = |mut session: Session| async move {
        while let Some(Received::Text(message)) = session.next().await {
            tokio::time::sleep(LONGEST / 4).await;
            session.send(&message).await;
        }
    };
    let node = Running::start_with(
        |config| {
            config.consumers.inbox = 12;
            config.consumers.held_timeout = LONGEST;
        },
        |builder| builder.route_async("/ws/slow/{id:int}/", serve),
    );
    let mut client = node.connect("/ws/slow/1/");
    for number in 0..16 {
        client.send_text(&number.to_string());
    }
    for number in 0..16 {
        assert_eq!(client.receive(), text(&number.to_string()));
    }
}

/// A route whose tasks greet and give their sessions away, each to a task that takes nothing.
fn given_away(builder: Builder) -> Builder {
    builder.route_async("/ws/given/{id:int}/", |mut session: Session| async move {
        session.send("hello").await;
        tokio::spawn(async move {
            let session = session;
            std::future::pending::<()>().await;
            drop(session);
        });
    })
}

#[test]
fn a_session_that_was_given_away_keeps_its_connection_no_longer_than_a_task_would() {
    let node = Running::start_with(
        |config| {
            config.consumers.inbox = 4;
            config.consumers.held_timeout = Duration::from_millis(300);
        },
        given_away,
    );
    let mut client = node.connect("/ws/given/1/");
    assert_eq!(client.receive(), text("hello"));
    for _ in 0..8 {
        client.send_text("is anybody there?");
    }
    assert_eq!(client.expect_close().0, 1011);
    node.wait_until("/metrics", |answer| {
        answer.text().contains("\nsupportal_connections 0\n")
    });
}

#[test]
fn tasks_whose_connections_are_gone_count_and_who_comes_while_there_are_too_many_is_closed_with_1013()
 {
    const CONNECTIONS: usize = 2;
    const TASKS: usize = 2 * CONNECTIONS;
    let (permits, alive) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (given, count) = (Arc::clone(&permits), Arc::clone(&alive));
    let serve = move |mut session: Session| {
        count.fetch_add(1, Ordering::Relaxed);
        let (permits, alive) = (Arc::clone(&given), Alive(Arc::clone(&count)));
        async move {
            session.send("hello").await;
            drop(permits.acquire().await);
            drop(alive);
        }
    };
    let node = Running::start_with(
        |config| {
            config.limits.connections = CONNECTIONS;
            config.consumers.timeout = 10 * PATIENCE;
        },
        |builder| builder.route_async("/ws/task/{id:int}/", serve),
    );
    for _ in 0..TASKS {
        let mut client = node.connect("/ws/task/1/");
        assert_eq!(client.receive(), text("hello"));
        client.reset();
        node.wait_until("/metrics", |answer| {
            answer.text().contains("\nsupportal_connections 0\n")
        });
    }
    assert_eq!(node.connect("/ws/task/1/").expect_close().0, 1013);
    assert_eq!(alive.load(Ordering::Relaxed), TASKS);
    // Those that end make room.
    permits.add_permits(1);
    wait_for(&alive, 0);
    wait::until("a place", PATIENCE, || {
        node.connect("/ws/task/1/").receive() == text("hello")
    });
}
