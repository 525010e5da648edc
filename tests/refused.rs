//! What keeps a program's node from starting, told before anything runs.

use std::net::TcpListener;
use std::sync::Arc;
use supportal::config::Config;
use supportal::node::{Builder, Error, Server};
use supportal::{Assistant, Consumer, Context, Message, Question, Replies, Verdict};
use tokio::runtime::Runtime;

/// Counts who holds it.
struct Silent {
    _held: Arc<()>,
}

impl Assistant for Silent {
    fn answer(&self, _question: Question) -> Replies {
        Replies::channel().1
    }

    fn name(&self) -> &'static str {
        "silent"
    }
}

#[derive(Clone)]
struct Mute;

impl Consumer for Mute {
    fn message(&mut self, _cx: &mut Context<'_>, _message: Message<'_>) -> Verdict {
        Verdict::Done
    }
}

/// The defaults, on ports that the system chooses.
fn config(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::default();
    config.server.listen = ([127, 0, 0, 1], 0).into();
    config.admin.listen = ([127, 0, 0, 1], 0).into();
    config.server.workers = 1;
    change(&mut config);
    config
}

/// Why a node does not start, once nothing of it is left.
#[track_caller]
fn refusal(config: Config, describe: impl FnOnce(Builder) -> Builder) -> Error {
    let runtime = Runtime::new().expect("a runtime");
    let token = Arc::new(());
    let builder = Server::builder().config(config);
    let builder = describe(builder.assistant(Silent {
        _held: Arc::clone(&token),
    }));
    let refusal = runtime.block_on(builder.start()).expect_err("a refusal");
    // A worker's thread would hold the assistant.
    assert_eq!(Arc::strong_count(&token), 1, "{refusal}");
    refusal
}

/// Makes settings illegal.
type Change = fn(&mut Config);

#[test]
fn settings_of_a_program_obey_the_rules_of_those_that_are_loaded() {
    let cases: &[(Change, &str)] = &[
        (
            |config| config.admin.listen = ([0, 0, 0, 0], 0).into(),
            "admin.listen: 0.0.0.0:0 is reachable from outside, and there is no admin.token",
        ),
        (|config| config.queue.capacity = 0, "queue.capacity: "),
        (|config| config.queue.bytes_max = 0, "queue.bytes_max: "),
        (
            |config| config.limits.message_bytes = 0,
            "limits.message_bytes: ",
        ),
        (
            |config| config.broker.mailbox_capacity = 0,
            "broker.mailbox_capacity: ",
        ),
        (|config| config.server.workers = 1_000, "server.workers: "),
        (
            |config| config.assistant.concurrency = 0,
            "assistant.concurrency: ",
        ),
        (
            |config| config.assistant.knowledge = Some("/nowhere/faq.toml".into()),
            "assistant.knowledge: ",
        ),
    ];
    for (change, told) in cases {
        let refusal = refusal(config(change), |builder| builder);
        assert!(matches!(refusal, Error::Settings(_)), "{told}: {refusal}");
        assert!(refusal.to_string().contains(told), "{told}: {refusal}");
    }
    let all = config(|config| cases.iter().for_each(|(change, _)| change(config)));
    let refusal = refusal(all, |builder| builder).to_string();
    for (_, told) in cases {
        assert!(refusal.contains(told), "{told}: {refusal}");
    }
}

#[test]
fn an_operators_address_that_is_taken_leaves_no_thread_behind() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let refusal = refusal(config(|config| config.admin.listen = address), |it| it);
    assert!(matches!(refusal, Error::Admin(_)), "{refusal}");
}

#[test]
fn a_route_of_a_program_that_is_refused_leaves_no_thread_behind() {
    for (template, told) in [
        ("/ws/chat/{a:int}/{b:slug}/", "same paths"),
        ("/ws/{A:int}/", "not a placeholder"),
        ("/ws/a.b/", "name of a room"),
    ] {
        let refusal = refusal(config(|_| {}), |it| it.route(template, Mute));
        assert!(matches!(refusal, Error::Server(_)), "{refusal}");
        let text = refusal.to_string();
        assert!(text.contains(told) && text.contains(template), "{text}");
        assert!(text.starts_with("route"), "{text}");
        assert!(!text.starts_with("routes: "), "{text}");
    }
}
