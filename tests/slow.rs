//! Slow is not dead, and who has ended its side may still read; who is gone is found all the same.

use crate::support::{Client, Frame, Gateway, PATIENCE, frame, user, wait};
use std::io::{Read, Write};
use std::time::Duration;

/// Pings that find a dead peer within two seconds.
const QUICK: [&str; 5] = [
    "server.ping_interval=1s",
    "server.ping_timeout=1s",
    "limits.messages_per_second=0",
    "limits.bytes_per_second=0",
    "limits.send_buffer_bytes=16384",
];

/// How often a slow reader reads, and a publisher speaks.
const TICK: Duration = Duration::from_millis(50);

fn start(more: &[&str]) -> Gateway {
    Gateway::start(&[&QUICK, more].concat())
}

/// One kind of reader.
struct Reader {
    name: &'static str,
    receive_buffer: usize,
    bytes_per_second: usize,
    answers: bool,
    /// Reads nothing in the time between these.
    pause: std::ops::Range<f64>,
}

/// Every reader takes some of what is said, for longer than a dead one is kept.
const READERS: [Reader; 6] = [
    Reader {
        name: "12 KB/s",
        receive_buffer: 128 * 1024,
        bytes_per_second: 12_000,
        answers: true,
        pause: 0.0..0.0,
    },
    Reader {
        name: "12 KB/s with a small buffer",
        receive_buffer: 16 * 1024,
        bytes_per_second: 12_000,
        answers: true,
        pause: 0.0..0.0,
    },
    Reader {
        name: "1 KB/s with 4,096 bytes",
        receive_buffer: 4096,
        bytes_per_second: 1_000,
        answers: true,
        pause: 0.0..0.0,
    },
    Reader {
        name: "a pause longer than interval and timeout",
        receive_buffer: 16 * 1024,
        bytes_per_second: 24_000,
        answers: true,
        pause: 0.5..5.5,
    },
    Reader {
        name: "reads, and answers no ping",
        receive_buffer: 16 * 1024,
        bytes_per_second: 12_000,
        answers: false,
        pause: 0.0..0.0,
    },
    Reader {
        name: "fast",
        receive_buffer: 128 * 1024,
        bytes_per_second: 2_000_000,
        answers: true,
        pause: 0.0..0.0,
    },
];

#[test]
fn a_reader_that_takes_what_is_said_is_not_dead_however_slow() {
    let gateway = start(&[]);
    std::thread::scope(|scope| {
        for (index, reader) in READERS.iter().enumerate() {
            let gateway = &gateway;
            scope.spawn(move || read_slowly(gateway, &format!("slow-{index}"), reader));
        }
    });
}

/// Reads for eight seconds while 60 KB/s are said, and a bit of it in the last of them.
fn read_slowly(gateway: &Gateway, room: &str, reader: &Reader) {
    let path = format!("/ws/chat/1/{room}/");
    let mut slow = Client::open_narrow(gateway.public(), &path, reader.receive_buffer);
    let mut speaker = gateway.join(room);
    let watch = wait::Watch::start();
    let each = reader.bytes_per_second * usize::try_from(TICK.as_millis()).expect("short") / 1_000;
    let mut late = 0;
    while watch.elapsed() < Duration::from_secs(8) {
        speaker.send_text(&user(&"x".repeat(3_000)));
        speaker.receive_json();
        let seconds = watch.elapsed().as_secs_f64();
        if !reader.pause.contains(&seconds) {
            let frames = slow.sip(each, reader.answers);
            let frames = frames.unwrap_or_else(|| panic!("{}: cut off", reader.name));
            let is_close = |frame: &Frame| matches!(frame, Frame::Close(_));
            assert!(!frames.iter().any(is_close), "{}: {frames:?}", reader.name);
            late += usize::from(seconds > 4.0) * frames.len();
        }
        wait::pass(TICK);
    }
    assert!(late > 0, "{}: nothing came any more", reader.name);
}

#[test]
fn who_takes_nothing_is_found() {
    let gateway = start(&["queue.expiry=2s"]);
    let closed = || gateway.metric("supportal_connections_closed_total{reason=\"no_pong\"}");
    let still = || gateway.metric("supportal_slow_readers_closed_total{cause=\"still\"}");
    // Its kernel acknowledges, nobody reads: in a quiet room after interval and timeout.
    let quiet = gateway.join("quiet");
    wait::until("the quiet one to be found", PATIENCE, || closed() == 1.0);
    assert_eq!(still(), 0.0, "nothing waited for it");
    // In a busy one, once nothing was taken for `queue.expiry`.
    let busy = Client::open_narrow(gateway.public(), "/ws/chat/1/busy/", 4096);
    let mut speaker = gateway.join("busy");
    wait::until("the busy one to be found", PATIENCE * 4, || {
        for _number in 0..10 {
            speaker.send_text(&user(&"x".repeat(3_000)));
            speaker.receive_json();
        }
        closed() == 2.0
    });
    wait::until("the slow one to be told from the silent", PATIENCE, || {
        still() == 1.0
    });
    drop((quiet, busy));
}

#[test]
fn who_reads_and_answers_no_ping_is_found_in_a_room_that_it_keeps_up_with() {
    let gateway = start(&[]);
    let (mut deaf, mut speaker) = (gateway.join("deaf"), gateway.join("deaf"));
    let mut closed = None;
    wait::until("4010", PATIENCE * 2, || {
        speaker.send_text(&user("a line"));
        speaker.receive_json();
        wait::pass(TICK);
        let frames = deaf.sip(4096, false).unwrap_or_default();
        closed = frames.into_iter().find_map(|frame| match frame {
            Frame::Close(close) => close,
            _ => None,
        });
        closed.is_some()
    });
    assert_eq!(closed.expect("just seen").0, 4010);
}

#[test]
fn a_close_frame_behind_a_hundred_kilobytes_reaches_a_slow_reader() {
    let gateway = start(&["queue.capacity=1000"]);
    // A reserved opcode, and the client's own close, which it may leave at that: both are answered
    // behind what waits.
    let rows = [
        (frame(0x83, b""), false, 1002),
        (frame(0x88, &[0x03, 0xe8]), false, 1000),
        (frame(0x88, &[0x03, 0xe8]), true, 1000),
    ];
    std::thread::scope(|scope| {
        for (row, (said, half_closes, code)) in rows.into_iter().enumerate() {
            let gateway = &gateway;
            scope.spawn(move || close_slowly(gateway, row, &said, half_closes, code));
        }
    });
}

fn close_slowly(gateway: &Gateway, row: usize, said: &[u8], half_closes: bool, code: u16) {
    let path = format!("/ws/chat/1/close-{row}/");
    let mut slow = Client::open_narrow(gateway.public(), &path, 16 * 1024);
    let mut speaker = gateway.join(&format!("close-{row}"));
    for _number in 0..60 {
        speaker.send_text(&user(&"x".repeat(3_000)));
        speaker.receive_json();
    }
    slow.send_raw(said);
    if half_closes {
        slow.half_close();
    }
    let (watch, mut close) = (wait::Watch::start(), None);
    while close.is_none() {
        let frames = slow.sip(1_000, !half_closes);
        let frames = frames.unwrap_or_else(|| panic!("row {row}: cut off before its close frame"));
        close = frames.into_iter().find_map(|frame| match frame {
            Frame::Close(close) => close,
            _ => None,
        });
        wait::pass(TICK);
    }
    assert_eq!(close.expect("just seen").0, code, "row {row}");
    assert!(watch.elapsed() > Duration::from_secs(5), "it was not slow");
}

/// Everything up to the end of the stream, as text.
#[track_caller]
fn read_to_end(client: &mut Client) -> Vec<serde_json::Value> {
    let mut events = Vec::new();
    while let Some(frame) = client.receive_within(PATIENCE) {
        if let Frame::Text(text) = frame {
            events.push(serde_json::from_str(&text).expect("JSON"));
        }
    }
    client.expect_eof();
    events
}

#[test]
fn a_question_and_a_half_close_get_the_echo_and_the_reply() {
    for settings in [
        &["assistant.kind=faq"][..],
        &["assistant.kind=faq", "chat.deliver=sender"],
        &["assistant.kind=faq", "server.workers=1"],
    ] {
        let gateway = Gateway::start(settings);
        for round in 0..20 {
            let mut client = gateway.join(&format!("ask-{round}"));
            client.send_text(&user("What are your opening hours?"));
            client.half_close();
            let events = read_to_end(&mut client);
            let senders: Vec<_> = events.iter().map(|event| &event["sender"]).collect();
            assert_eq!(senders, ["user", "assistant"], "{settings:?}");
        }
        let gone = || gateway.metric("supportal_connections") == 0.0;
        wait::until("all of them to be gone", PATIENCE, gone);
    }
}

#[test]
fn everything_said_before_a_half_close_is_heard_and_answered() {
    let gateway = Gateway::start(&["assistant.kind=none"]);
    let mut witness = gateway.join("said");
    // Whole messages, the last one in pieces, and half a message behind them.
    let mut client = gateway.join("said");
    for number in 0..50 {
        client.send_text(&user(&number.to_string()));
    }
    client.send_raw(&frame(0x81, b"half a message")[..5]);
    client.half_close();
    let texts = |events: &[serde_json::Value]| -> Vec<String> {
        let texts = events.iter().map(|event| event["message"].as_str());
        texts.map(|text| text.expect("a text").to_owned()).collect()
    };
    let all: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    assert_eq!(texts(&read_to_end(&mut client)), all);
    let heard: Vec<_> = (0..50).map(|_index| witness.receive_json()).collect();
    assert_eq!(texts(&heard), all);
    // A handshake, a message and the end in one segment.
    let mut stream = std::net::TcpStream::connect(gateway.public()).expect("a connection");
    let head = format!(
        "GET /ws/chat/1/said/ HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {}\r\nSec-WebSocket-Version: 13\r\n\r\n",
        crate::support::client::KEY
    );
    let message = frame(0x81, user("at once").as_bytes());
    stream
        .write_all(&[head.as_bytes(), &message].concat())
        .expect("send");
    stream
        .shutdown(std::net::Shutdown::Write)
        .expect("half close");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .expect("an answer and the end");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    assert!(answer.contains("at once"), "{answer}");
}

#[test]
fn who_half_closes_and_never_reads_is_gone_in_bounded_time() {
    let gateway = start(&[
        "assistant.kind=faq",
        "assistant.timeout=1s",
        "queue.expiry=2s",
    ]);
    let mut idle = gateway.join("gone");
    let mut asker = Client::open_narrow(gateway.public(), "/ws/chat/1/gone/", 4096);
    let mut speaker = gateway.join("gone");
    idle.half_close();
    for _number in 0..20 {
        speaker.send_text(&user(&"x".repeat(3_000)));
        speaker.receive_json();
    }
    asker.send_text(&user("Is anybody there?"));
    asker.half_close();
    wait::until("both to be gone", PATIENCE * 4, || {
        speaker.try_send_raw(&frame(0x8a, b""));
        speaker.sip(1 << 20, true).expect("the speaker stays");
        gateway.metric("supportal_connections") == 1.0
    });
    idle.expect_eof();
}
