//! What routes that are no chat's say to a client above its rate.

use super::{Running, text};
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
