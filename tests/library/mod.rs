//! A program of one's own around the library: consumers and an assistant that the server does not come with.

mod ends;
mod knows;
mod lifecycles;
mod panics;
mod rates;
mod rooms;
mod waits;

use crate::support::http::Response;
use crate::support::redis::Reply;
use crate::support::{Client, Frame, PATIENCE, Redis, http, user, wait};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use supportal::config::redis::RedisAddress;
use supportal::config::{BridgeMode, Config};
use supportal::node::{self, Builder, Ending, Server};
use supportal::{
    Assistant, Consumer, Context, Message, Question, Received, Replies, Session, Verdict,
};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

/// Greets, counts what its connection says, and tells the room when that is gone.
#[derive(Clone, Default)]
struct Counter {
    heard: u32,
}

impl Consumer for Counter {
    fn open(&mut self, cx: &mut Context<'_>) -> Verdict {
        match cx.parameter("name") {
            Some("nobody") => return Verdict::close(4404),
            Some("verbose") => return cx.close(4405, &"\u{e9}".repeat(100)),
            _ => {}
        }
        assert_ne!(cx.parameter("name"), Some("panic"), "asked for by a test");
        let greeting = format!("board {}", cx.parameter("id").unwrap_or_default());
        cx.send(&greeting);
        Verdict::Done
    }

    fn message(&mut self, cx: &mut Context<'_>, message: Message<'_>) -> Verdict {
        self.heard += 1;
        match message.text() {
            Some("panic") => panic!("asked for by a test"),
            Some("close") => return cx.close(4001, "enough"),
            Some("panic at the end") => self.heard = u32::MAX,
            Some(text) => cx.publish(&format!("{} {text}", self.heard)),
            None => cx.send(message.bytes()),
        }
        Verdict::Done
    }

    fn close(&mut self, cx: &mut Context<'_>) {
        assert_ne!(self.heard, u32::MAX, "asked for by a test");
        cx.publish("gone");
    }
}

/// Repeats what it hears, for as long as its client is there.
async fn repeat(mut session: Session) {
    match session.caller().parameters.first() {
        Some((_, id)) if id == "1" => session.send("hello").await,
        Some((_, id)) if id == "2" => panic!("asked for by a test"),
        _ => std::future::pending().await,
    };
    while let Some(received) = session.next().await {
        match received {
            Received::Text(text) if text == "close" => return session.close(4001, "enough"),
            Received::Text(text) if text == "panic" => panic!("asked for by a test"),
            Received::Text(text) => session.publish(&text).await,
            Received::Binary(bytes) => session.send(&bytes[..]).await,
        };
    }
}

struct Parrot;

impl Assistant for Parrot {
    fn answer(&self, question: Question) -> Replies {
        Replies::of(async move { Ok(format!("You said: {}", question.text)) })
    }

    fn name(&self) -> &'static str {
        "parrot"
    }
}

/// Thinks until it is told to speak.
struct Thinker(Arc<Notify>);

impl Assistant for Thinker {
    fn answer(&self, _question: Question) -> Replies {
        let speak = Arc::clone(&self.0);
        Replies::of(async move {
            speak.notified().await;
            Ok("at last".to_owned())
        })
    }

    fn name(&self) -> &'static str {
        "thinker"
    }
}

/// A node of this process, until the end of the test.
struct Running {
    address: SocketAddr,
    admin: SocketAddr,
    end: Option<oneshot::Sender<()>>,
    run: Option<JoinHandle<Result<(), node::Error>>>,
    /// Kept: its end is the node's.
    runtime: Runtime,
}

impl Running {
    fn start(describe: impl FnOnce(Builder) -> Builder) -> Self {
        Self::start_with(|_| {}, describe)
    }

    fn start_with(
        change: impl FnOnce(&mut Config),
        describe: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let mut config = Config::default();
        config.server.listen = ([127, 0, 0, 1], 0).into();
        config.admin.listen = ([127, 0, 0, 1], 0).into();
        config.server.workers = 1;
        change(&mut config);
        let builder = describe(Server::builder().config(config));
        let node = runtime.block_on(builder.start()).expect("a node");
        let (address, (end, ended)) = (node.address(), oneshot::channel());
        let admin = node.admin_address().expect("an address");
        let run = runtime.spawn(async {
            let drain = async {
                drop(ended.await);
                Ending::Unannounced
            };
            node.run(drain, std::future::pending()).await
        });
        Self {
            address,
            admin,
            end: Some(end),
            run: Some(run),
            runtime,
        }
    }

    /// Waits until the operator is answered this.
    fn wait_until(&self, path: &str, is_so: impl Fn(&Response) -> bool) {
        wait::until(path, PATIENCE, || is_so(&http::get(self.admin, path)));
    }

    fn connect(&self, path: &str) -> Client {
        Client::open(self.address, path, &[]).expect("101")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.end.take());
    }
}

fn boards() -> Running {
    Running::start(|builder| builder.route("/ws/board/{id:int}/{name:slug}/", Counter::default()))
}

fn text(text: &str) -> Frame {
    Frame::Text(text.to_owned())
}

#[test]
fn a_consumer_of_ones_own_serves_its_route() {
    let node = boards();
    let mut one = node.connect("/ws/board/7/a/");
    assert_eq!(one.receive(), text("board 7"));
    let mut two = node.connect("/ws/board/7/a/");
    assert_eq!(two.receive(), text("board 7"));
    one.send_text("hello");
    one.send_text("again");
    two.send_text("hi");
    for member in [&mut one, &mut two] {
        let mut heard = [member.receive(), member.receive(), member.receive()];
        heard.sort_by_key(|frame| format!("{frame:?}"));
        assert_eq!(heard, [text("1 hello"), text("1 hi"), text("2 again")]);
    }
    one.send_binary(b"bytes");
    assert_eq!(one.receive(), Frame::Binary(b"bytes".to_vec()));
    drop(one);
    assert_eq!(two.receive(), text("gone"));
}

#[test]
fn a_panic_of_a_consumer_costs_its_connection_alone() {
    let node = boards();
    let mut calm = node.connect("/ws/board/1/a/");
    assert_eq!(calm.receive(), text("board 1"));
    let mut tripped = node.connect("/ws/board/2/a/");
    assert_eq!(tripped.receive(), text("board 2"));
    tripped.send_text("panic");
    assert_eq!(tripped.expect_close().0, 1011);
    assert_eq!(node.connect("/ws/board/3/panic/").expect_close().0, 1011);
    let mut tripped = node.connect("/ws/board/4/a/");
    assert_eq!(tripped.receive(), text("board 4"));
    tripped.send_text("panic at the end");
    tripped.ping(b"heard");
    assert_eq!(tripped.receive(), Frame::Pong(b"heard".to_vec()));
    drop(tripped);
    node.wait_until("/metrics", |answer| {
        answer.text().contains("\nsupportal_panics_total 3\n")
    });
    calm.send_text("still here");
    assert_eq!(calm.receive(), text("1 still here"));
}

#[test]
fn a_consumer_closes_with_its_own_code() {
    let node = boards();
    assert_eq!(node.connect("/ws/board/1/nobody/").expect_close().0, 4404);
    let mut client = node.connect("/ws/board/1/a/");
    assert_eq!(client.receive(), text("board 1"));
    client.send_text("close");
    assert_eq!(client.expect_close(), (4001, "enough".to_owned()));
    // As much as fits into a close frame.
    let (code, reason) = node.connect("/ws/board/1/verbose/").expect_close();
    assert_eq!((code, reason), (4405, "\u{e9}".repeat(61)));
}

#[test]
fn a_task_serves_a_route_and_slows_down_who_is_faster() {
    let node = Running::start(|builder| builder.route_async("/ws/task/{id:int}/", repeat));
    let mut client = node.connect("/ws/task/1/");
    assert_eq!(client.receive(), text("hello"));
    // More than its task is given at once, within the burst of a client.
    for number in 0..80 {
        client.send_text(&number.to_string());
    }
    for number in 0..80 {
        assert_eq!(client.receive(), text(&number.to_string()));
    }
    client.send_binary(b"bytes");
    assert_eq!(client.receive(), Frame::Binary(b"bytes".to_vec()));
    client.send_text("close");
    assert_eq!(client.expect_close(), (4001, "enough".to_owned()));
    let mut tripped = node.connect("/ws/task/1/");
    tripped.send_text("panic");
    assert_eq!(tripped.expect_close().0, 1011);
}

#[test]
fn a_task_that_panics_or_never_begins_ends_its_connection_with_1011() {
    let node = Running::start_with(
        |config| config.consumers.timeout = Duration::from_millis(500),
        |builder| builder.route_async("/ws/task/{id:int}/", repeat),
    );
    assert_eq!(node.connect("/ws/task/2/").expect_close().0, 1011);
    assert_eq!(node.connect("/ws/task/3/").expect_close().0, 1011);
    assert_eq!(node.connect("/ws/task/1/").receive(), text("hello"));
}

#[test]
fn an_assistant_of_ones_own_answers_the_chat() {
    let node = Running::start(|builder| builder.assistant(Parrot));
    let mut client = node.connect("/ws/chat/1/abc/");
    client.send_text(r#"{"message":"Hello"}"#);
    let mut heard = String::new();
    while !heard.contains("You said: Hello") {
        heard = format!("{:?}", client.receive());
    }
}

#[test]
fn routes_that_match_the_same_path_are_refused_with_both_templates() {
    let runtime = Runtime::new().expect("a runtime");
    let mut config = Config::default();
    config.server.listen = ([127, 0, 0, 1], 0).into();
    config.admin.listen = ([127, 0, 0, 1], 0).into();
    let builder = Server::builder()
        .config(config)
        .route("/ws/{id:int}/", Counter::default())
        .route("/ws/{name:slug}/", Counter::default());
    let refusal = runtime.block_on(builder.start()).expect_err("an overlap");
    let told = refusal.to_string();
    assert!(
        told.contains("/ws/{id:int}/") && told.contains("/ws/{name:slug}/"),
        "{told}"
    );
    runtime.shutdown_timeout(Duration::ZERO);
}

#[test]
fn a_route_of_ones_own_has_settings_of_its_own() {
    let node = Running::start(|builder| {
        builder
            .route("/ws/board/{id:int}/{name:slug}/", Counter::default())
            .route("/ws/wide/{id:int}/", Counter::default())
            .route_settings("/ws/board/{id:int}/{name:slug}/", |_, limits| {
                limits.message_bytes = 5;
            })
    });
    let mut narrow = node.connect("/ws/board/1/a/");
    assert_eq!(narrow.receive(), text("board 1"));
    narrow.send_text("12345");
    assert_eq!(narrow.receive(), text("1 12345"));
    narrow.send_text("123456");
    assert_eq!(narrow.expect_close().0, 1009);
    let mut wide = node.connect("/ws/wide/1/");
    assert_eq!(wide.receive(), text("board 1"));
    wide.send_text("123456");
    assert_eq!(wide.receive(), text("1 123456"));
}

#[test]
fn settings_of_a_route_that_are_given_in_two_calls_hold_together() {
    const PATH: &str = "/ws/board/{id:int}/{name:slug}/";
    let node = Running::start(|builder| {
        builder
            .route(PATH, Counter::default())
            .route_settings(PATH, |_, limits| limits.message_bytes = 5)
            .route_settings(PATH, |_, limits| limits.fragments = 2)
    });
    for excess in [&["123456"][..], &["1", "2", "3"]] {
        let mut client = node.connect("/ws/board/1/a/");
        assert_eq!(client.receive(), text("board 1"));
        client.send_fragments(&["1", "2"]);
        assert_eq!(client.receive(), text("1 12"));
        client.send_fragments(excess);
        let code = client.expect_close().0;
        assert!([1008, 1009].contains(&code), "{excess:?}: {code}");
    }
}

/// Asks for an end and then for another, or for none.
#[derive(Clone)]
struct Undecided;

impl Consumer for Undecided {
    fn message(&mut self, cx: &mut Context<'_>, message: Message<'_>) -> Verdict {
        let enough = cx.close(4001, "enough");
        match message.text() {
            Some("on") => Verdict::Done,
            Some("otherwise") => Verdict::close(4002),
            _ => enough,
        }
    }
}

#[test]
fn a_close_frame_gives_no_reason_that_its_code_was_not_given() {
    let node = Running::start(|builder| builder.route("/ws/own/{id:int}/", Undecided));
    for (last, end) in [("otherwise", (4002, "")), ("enough", (4001, "enough"))] {
        let mut client = node.connect("/ws/own/1/");
        client.send_text("on");
        client.send_text(last);
        assert_eq!(client.expect_close(), (end.0, end.1.to_owned()));
    }
}

#[test]
fn settings_that_no_route_may_have_are_refused_with_their_key() {
    let runtime = Runtime::new().expect("a runtime");
    for (template, told) in [("/a", "limits.connections"), ("/b", "/b")] {
        let mut config = Config::default();
        config.server.listen = ([127, 0, 0, 1], 0).into();
        config.admin.listen = ([127, 0, 0, 1], 0).into();
        let builder = Server::builder()
            .config(config)
            .route("/a", Counter::default())
            .route_settings(template, |_, limits| limits.connections = 7);
        let refusal = runtime.block_on(builder.start()).expect_err(told);
        assert!(refusal.to_string().contains(told), "{refusal}");
    }
    runtime.shutdown_timeout(Duration::ZERO);
}

#[test]
fn an_answer_reaches_another_node_though_nobody_is_left_on_the_one_that_drains() {
    let redis = Redis::start(&[]);
    let speak = Arc::new(Notify::new());
    let at_redis = |config: &mut Config| {
        config.bridge.mode = BridgeMode::Pubsub;
        config.bridge.urls = vec![RedisAddress::parse(&redis.url()).expect("an address")];
    };
    let mut asked = Running::start_with(at_redis, |builder| {
        builder.assistant(Thinker(Arc::clone(&speak)))
    });
    let other = Running::start_with(at_redis, |builder| builder);
    let path = "/ws/chat/1/abc/";
    let (mut asker, mut tab) = (asked.connect(path), other.connect(path));
    asker.skip_welcome();
    tab.skip_welcome();
    wait::until("both nodes to hear the room", PATIENCE, || {
        let heard = redis.command(&["PUBSUB", "NUMSUB", "supportal:room:chat_1_abc"]);
        matches!(heard, Reply::Array(said) if matches!(said.last(), Some(Reply::Number(2))))
    });
    asker.send_text(&user("a question"));
    for client in [&mut asker, &mut tab] {
        assert_eq!(client.receive_json()["message"], "a question");
    }
    asker.send_close(1001, "");
    asker.expect_close();
    drop(asked.end.take());
    wait::until("the node to take nobody more", PATIENCE, || {
        TcpStream::connect(asked.address).is_err()
    });
    // Long enough for a node that does not wait for answers to be gone.
    wait::pass(Duration::from_millis(2000));
    speak.notify_one();
    assert_eq!(tab.receive_json()["message"], "at last");
}
