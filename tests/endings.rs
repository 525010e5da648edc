//! Every way in which this server ends a connection has a series of its own.

use crate::support::{Client, Frame, Gateway, PATIENCE, frame, user, wait};
use std::time::Duration;

/// What a client does to be closed upon, and what counts that: beside the reason, what tells it from others with that.
struct Ending {
    what: &'static str,
    rude: fn(&mut Client),
    reason: &'static str,
    beside: Option<&'static str>,
}

const fn ending(
    what: &'static str,
    reason: &'static str,
    beside: Option<&'static str>,
    rude: fn(&mut Client),
) -> Ending {
    Ending {
        what,
        rude,
        reason,
        beside,
    }
}

const STALL: &str = "supportal_violations_total{kind=\"stall\"}";
const PINGS: &str = "supportal_violations_total{kind=\"pings\"}";

#[rustfmt::skip]
const ENDINGS: [Ending; 10] = [
    ending("its own close frame", "normal", None, |client| client.send_close(1000, "")),
    ending("a reserved bit", "protocol", None, |client| client.send_raw(&frame(0xc1, b"x"))),
    ending("a binary message", "unsupported", None, |client| client.send_binary(b"x")),
    ending("text that is none", "invalid_text", None, |client| client.send_raw(&frame(0x81, b"\xff"))),
    ending("too long a message", "too_big", None, |client| client.send_raw(&frame(0x81, &[b'x'; 2_000]))),
    ending("half a message", "policy", Some(STALL), |client| client.send_raw(&frame(0x01, b"{"))),
    ending("a flood of pings", "policy", Some(PINGS), |client| for _ in 0..40 { client.try_send_raw(&frame(0x89, b"")); }),
    ending("a flood of messages", "too_many", None, |client| for _ in 0..40 { client.try_send_raw(&frame(0x81, user("x").as_bytes())); }),
    ending("silence", "no_pong", None, |_silent| {}),
    ending("the end of its stream", "gone", None, |client| client.half_close()),
];

#[test]
fn each_way_of_ending_a_connection_is_counted_by_its_own() {
    let gateway = Gateway::start(&[
        "limits.message_bytes=1024",
        "chat.text_bytes_max=512",
        "limits.message_timeout=500ms",
        "limits.messages_burst=10",
        "limits.messages_per_second=1",
        "limits.refusals=10",
        "server.ping_interval=2s",
        "server.ping_timeout=1s",
    ]);
    let closed = |reason: &str| {
        let series = format!("supportal_connections_closed_total{{reason=\"{reason}\"}}");
        gateway.metric(&series)
    };
    for Ending {
        what,
        rude,
        reason,
        beside,
    } in &ENDINGS
    {
        let all = || gateway.metric_sum("supportal_connections_closed_total");
        let beside = || beside.map(|series| gateway.metric(series));
        let before = (closed(reason), all(), beside());
        let mut client = Some(gateway.join("endings"));
        client.as_mut().into_iter().for_each(rude);
        wait::until(what, PATIENCE, || {
            // It reads: who does not is given up for another reason.
            if let Some(open) = &mut client
                && let Some(Frame::Close(_)) = open.receive_within(Duration::from_millis(20))
            {
                client = None;
            }
            closed(reason) == before.0 + 1.0
        });
        assert_eq!(all(), before.1 + 1.0, "{what}: by nothing else");
        assert_eq!(beside(), before.2.map(|count| count + 1.0), "{what}");
        drop(client);
    }
    let slow = gateway.metric_sum("supportal_slow_readers_closed_total");
    assert_eq!(slow, 0.0, "all of them have read");
}

#[test]
fn a_reader_whose_queue_overflows_is_counted_as_one_given_up() {
    let gateway = Gateway::start(&[
        "limits.messages_per_second=0",
        "limits.bytes_per_second=0",
        "limits.send_buffer_bytes=8192",
        "limits.unsent_bytes=4096",
        "queue.capacity=10",
        "queue.overflow=disconnect",
        "chat.text_bytes_max=60000",
    ]);
    let given_up = |cause: &str| {
        let series = format!("supportal_slow_readers_closed_total{{cause=\"{cause}\"}}");
        gateway.metric(&series)
    };
    assert_eq!(
        [given_up("still"), given_up("memory")],
        [0.0, 0.0],
        "declared"
    );
    let slow = Client::open_narrow(gateway.public(), "/ws/chat/1/full/", 4096);
    let mut speaker = gateway.join("full");
    wait::until("the slow reader to be given up", PATIENCE, || {
        speaker.send_text(&user(&"x".repeat(8_000)));
        speaker.receive_json();
        given_up("overflow") == 1.0
    });
    assert_eq!(
        gateway.metric_sum("supportal_slow_readers_closed_total"),
        1.0
    );
    drop(slow);
}
