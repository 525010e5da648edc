//! What routes that are no chat's say to a client above its rate.

use super::{Running, text};
use crate::support::{http, user};
use supportal::config::Config;
use supportal::{Consumer, Context, Message, Verdict};

/// Repeats what it hears, and says in its own words that it was too much.
#[derive(Clone)]
struct Polite;

impl Consumer for Polite {
    fn message(&mut self, cx: &mut Context<'_>, message: Message<'_>) -> Verdict {
        cx.send(message.text().unwrap_or_default());
        Verdict::Done
    }

    fn too_many(&mut self, cx: &mut Context<'_>) {
        cx.send("slowly, please");
    }
}

#[test]
fn a_consumer_says_in_its_own_words_that_a_client_is_too_fast() {
    let node = Running::start_with(
        |config| {
            config.limits.messages_per_second = 1;
            config.limits.messages_burst = 1;
            config.limits.refusals = 2;
        },
        |builder| builder.route("/ws/own/{id:int}/", Polite),
    );
    let mut client = node.connect("/ws/own/1/");
    client.send_raw(&crate::support::frame(0x81, b"hello").repeat(3));
    assert_eq!(client.receive(), text("hello"));
    assert_eq!(client.receive(), text("slowly, please"));
    assert_eq!(client.receive(), text("slowly, please"));
    assert_eq!(client.expect_close().0, 4429);
    node.wait_until("/metrics", |answer| {
        let refused = r#"supportal_commands_refused_total{reason="too_many"} 2"#;
        answer.text().contains(refused)
    });
}

#[test]
fn settings_that_are_read_again_hold_on_every_route() {
    let node = Running::start(|builder| {
        builder
            .route("/ws/own/{id:int}/", Polite)
            .route("/ws/other/{id:int}/", Polite)
            .route_settings("/ws/other/{id:int}/", |_, limits| limits.refusals = 1)
            .reload(|| {
                let mut config = Config::default();
                config.limits.messages_per_second = 1;
                config.limits.messages_burst = 1;
                config.limits.refusals = 2;
                Ok(config)
            })
    });
    let two = |path: &str, message: &str| {
        let mut client = node.connect(path);
        client.send_raw(&crate::support::frame(0x81, message.as_bytes()).repeat(2));
        let heard = [client.receive(), client.receive()];
        (client, heard)
    };
    let (_client, heard) = two("/ws/other/1/", "hello");
    assert_eq!(heard, [text("hello"), text("hello")]);
    let request = b"POST /reload HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let answer = http::exchange(node.admin, request).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let (_client, heard) = two("/ws/own/1/", "hello");
    assert_eq!(heard, [text("hello"), text("slowly, please")]);
    // What the program has given this route stays.
    let (mut client, heard) = two("/ws/other/1/", "hello");
    assert_eq!(heard, [text("hello"), text("slowly, please")]);
    assert_eq!(client.expect_close().0, 4429);
    // The welcome, the message and its answer reach the chat by other ways than the error does.
    let (mut client, [first, second]) = two("/ws/chat/1/again/", &user("hello"));
    let mut heard = format!("{first:?} {second:?}");
    while !heard.contains("Too many messages") {
        heard = format!("{:?}", client.receive());
    }
}
