//! The hot paths for counting instructions: no clock, no threads, the same inputs in each run.
//!
//! `benches/instructions` runs `counted CASE TURNS` under callgrind twice with different `TURNS`;
//! the difference is what the turns alone cost, in the steady state, without start and set-up.
//! Inputs that a turn changes are copied afresh in it, which is in the count.
//! `--list` prints the cases; anything else (`cargo bench`, `cargo test`) takes one turn of each.

use std::hint::black_box;
use std::io::{self, IoSlice, Write};
use std::process::ExitCode;

use bytes::Bytes;
use supportal::RoomName;
use supportal::config::{self, Config, Dialect, Overflow};
use supportal::internal::broker::RoomSlot;
use supportal::internal::broker::{Bounds, Delivery, Queue, SLICES_MAX};
use supportal::internal::broker::{Broker, Publication};
use supportal::internal::broker::{Cause, Ledger};
use supportal::internal::clock::Millis;
use supportal::internal::protocol::{EventWriter, Parser, Sender, Stamp};
use supportal::internal::server::Router;
use supportal::internal::transport::handshake::{self, RequestHead};
use supportal::internal::transport::{Decoder, Input, Limits, Opcode, encoder};
use supportal::internal::worker::Timers;
use supportal::internal::worker::{Flushed, FrameBatch, Outbound, Sent};
use supportal::internal::worker::{Rate, TokenBucket};

/// A case and what takes so many turns of it.
type Case = (&'static str, fn(u32));

const CASES: [Case; 17] = [
    ("decode_64", decode_64),
    ("decode_utf8_1008", decode_utf8_1008),
    ("parse_guide_95", parse_guide_95),
    ("parse_escapes_95", parse_escapes_95),
    ("encode_event_60", encode_event_60),
    ("frame_128", frame_128),
    ("route_match", route_match),
    ("handshake_check", handshake_check),
    ("publish_1", publish_1),
    ("publish_10", publish_10),
    ("offer_1", offer_1),
    ("offer_10", offer_10),
    ("backlog_64", backlog_64),
    ("queue_push_pop", queue_push_pop),
    ("token_bucket", token_bucket),
    ("timer_arm_expire", timer_arm_expire),
    ("ledger_add", ledger_add),
];

const TEXT: &str = "Where is my order, please? That parcel should be here by now.";

/// A masked text frame, whole in one read.
fn decode(payload: &[u8], turns: u32) {
    let limits = Limits {
        message_bytes: 65_536,
        fragments: 128,
    };
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = encoder::frame(Opcode::Text, payload).to_vec();
    if let Some(length) = frame.get_mut(1) {
        *length |= 0x80;
    }
    frame.truncate(frame.len() - payload.len());
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
    let mut buffer = frame.clone();
    let mut decoder = Decoder::default();
    for _ in 0..turns {
        buffer.copy_from_slice(black_box(&frame));
        let mut input = Input::new(&mut buffer);
        while let Some(incoming) = decoder.next(&limits, &mut input, || true) {
            assert!(black_box(incoming).is_ok());
        }
        assert!(black_box(input.rest()).is_empty());
    }
}

fn decode_64(turns: u32) {
    decode(&[b'a'; 64], turns);
}

/// Characters of three bytes, so that checking them is all there is.
fn decode_utf8_1008(turns: u32) {
    decode("订单在".repeat(112).as_bytes(), turns);
}

/// A command with a text that takes 64 bytes.
fn parse(text: &str, characters: usize, turns: u32) {
    let payload = format!(r#"{{"message": "{text}", "type": "user"}}"#).into_bytes();
    assert_eq!(payload.len(), 95);
    let mut buffer = payload.clone();
    let mut parser = Parser::new();
    for _ in 0..turns {
        buffer.copy_from_slice(black_box(&payload));
        let command = parser.parse(Dialect::Guide, 32 * 1024, &mut buffer);
        let length = black_box(command).map(|command| command.text.len());
        assert_eq!(length, Ok(characters));
    }
}

fn parse_guide_95(turns: u32) {
    let text = TEXT.repeat(2);
    parse(text.get(..64).unwrap_or_default(), 64, turns);
}

/// Four escapes in the text.
fn parse_escapes_95(turns: u32) {
    parse(&r"Where is it\n...".repeat(4), 60, turns);
}

/// An event with a text of 60 bytes into a buffer that is there.
fn encode_event_60(turns: u32) {
    let stamp = Stamp::new(1_704_110_400, 97_401);
    let writer = EventWriter::new(Dialect::Guide);
    let text = TEXT.get(..60).unwrap_or_default();
    let mut out = Vec::with_capacity(4096);
    for _ in 0..turns {
        out.clear();
        writer.message(&mut out, Sender::User, black_box(text), &stamp);
        black_box(out.len());
    }
}

/// A frame of 128 bytes, made and freed.
fn frame_128(turns: u32) {
    let payload = [b'x'; 128];
    for _ in 0..turns {
        black_box(encoder::frame(Opcode::Text, black_box(&payload)));
    }
}

/// The path of a chat through the default routes, to its room.
fn route_match(turns: u32) {
    let router = Router::new(&Config::default().routes_or_default()).expect("the default route");
    for _ in 0..turns {
        let found = router.match_path(black_box("/ws/chat/42/session-0123456789abcdef/"));
        assert!(black_box(found).is_some());
    }
}

/// The checks of a browser's handshake, and its 101.
fn handshake_check(turns: u32) {
    let head = RequestHead {
        method: "GET",
        is_http_11: true,
        fields: vec![
            ("Host", b"chat.example.com"),
            ("Origin", b"https://www.example.com"),
            ("User-Agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0)"),
            ("Accept-Language", b"en-US,en;q=0.5"),
            ("Connection", b"keep-alive, Upgrade"),
            ("Upgrade", b"websocket"),
            ("Sec-WebSocket-Version", b"13"),
            ("Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Extensions", b"permessage-deflate"),
        ],
    };
    for _ in 0..turns {
        let offer = handshake::check(black_box(&head)).expect("legal");
        assert!(!black_box(handshake::answer(&offer)).is_empty());
    }
}

fn publication() -> Publication {
    Publication {
        frame: encoder::frame(Opcode::Text, &[b'x'; 128]),
        deadline: Millis(60_000),
        event: None,
    }
}

/// A publication to a room of so many members on one worker: numbered, into the mailbox, swapped
/// out and released.
fn publish(members: u32, turns: u32) {
    let broker = Broker::new(
        &config::BrokerSettings::default(),
        vec![Box::new(|| {})],
        None,
    );
    let name = RoomName::chat("1", "session").expect("legal");
    let room = broker.join(&name, 0, RoomSlot::default).room;
    for _ in 1..members {
        broker.join(&name, 0, RoomSlot::default);
    }
    let publication = publication();
    let mut parcels = Vec::new();
    for _ in 0..turns {
        let (_, owed) = broker.publish(&room, black_box(&publication), Some(0));
        assert_eq!(owed, u64::from(members));
        let bytes = broker.mailboxes().swap(0, &mut parcels);
        let count = parcels.len();
        black_box(&parcels);
        parcels.clear();
        broker.mailboxes().release(0, count, bytes);
    }
}

fn publish_1(turns: u32) {
    publish(1, turns);
}

fn publish_10(turns: u32) {
    publish(10, turns);
}

/// A socket that takes everything, or nothing at all.
struct Socket {
    takes: bool,
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.takes {
            Ok(black_box(bytes).len())
        } else {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(black_box(slices).iter().map(|slice| slice.len()).sum())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One publication to so many members whose sockets take it at once.
fn offer(members: usize, turns: u32) {
    let readers = Bounds::from(&config::QueueSettings::default()).into();
    let delivery = publication().delivery();
    let mut outbounds: Vec<Outbound> = Vec::new();
    outbounds.resize_with(members, Outbound::default);
    let mut socket = Socket { takes: true };
    let mut sent = Sent::default();
    for _ in 0..turns {
        let batch = black_box(FrameBatch {
            frames: std::slice::from_ref(&delivery),
            bytes: &delivery.frame,
        });
        for outbound in &mut outbounds {
            let offered = outbound.offer(Millis(0), &readers, batch, 0, &mut socket, &mut sent);
            assert!(offered.is_ok());
        }
    }
    assert_eq!(sent.delivered, u64::from(turns) * members as u64);
}

fn offer_1(turns: u32) {
    offer(1, turns);
}

fn offer_10(turns: u32) {
    offer(10, turns);
}

/// 64 publications for a member whose socket takes nothing, then everything in one write.
fn backlog_64(turns: u32) {
    let readers = Bounds::from(&config::QueueSettings::default()).into();
    let delivery = publication().delivery();
    let mut outbound = Outbound::default();
    let mut sent = Sent::default();
    for _ in 0..turns {
        let mut socket = Socket { takes: false };
        for _ in 0..64 {
            let batch = black_box(FrameBatch {
                frames: std::slice::from_ref(&delivery),
                bytes: &delivery.frame,
            });
            let offered = outbound.offer(Millis(0), &readers, batch, 0, &mut socket, &mut sent);
            assert!(offered.is_ok());
        }
        socket.takes = true;
        let flushed = outbound.flush(Millis(1), false, &mut socket, &mut sent);
        assert!(matches!(flushed, Ok(Flushed::Idle)));
    }
    assert_eq!(sent.delivered, u64::from(turns) * 64);
}

/// One delivery into the queue of a slow reader and out of it.
fn queue_push_pop(turns: u32) {
    let bounds = Bounds {
        capacity: 100,
        bytes_max: 256 * 1024,
        overflow: Overflow::DropNewest,
    };
    let frame = Bytes::from_static(&[b'x'; 128]);
    let mut queue = Queue::new();
    for _ in 0..turns {
        let delivery = Delivery {
            frame: frame.clone(),
            deadline: Millis(61_000),
        };
        let report = queue.push(Millis(1_000), &bounds, black_box(delivery));
        assert_eq!(black_box(report).expired, 0);
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let filled = queue.slices(&mut slices);
        let bytes = slices.iter().take(filled).map(|slice| slice.len()).sum();
        assert_eq!(queue.advance(bytes), 1);
    }
}

/// A token every 7 ms from a bucket of 100 a second: mostly passed, sometimes not.
fn token_bucket(turns: u32) {
    let rate = Rate {
        per_second: 100,
        burst: 20,
    };
    let mut bucket = TokenBucket::default();
    for turn in 0..u64::from(turns) {
        black_box(bucket.take(Millis(turn * 7), black_box(rate), 1));
    }
}

/// One timer armed 30 s ahead and one fired, each 100 ms.
fn timer_arm_expire(turns: u32) {
    let mut timers = Timers::new(Millis(0));
    let mut fired = Vec::new();
    for turn in 0..u64::from(turns) {
        let now = Millis(turn * 100);
        timers.arm(Millis(now.0 + 30_000), black_box(turn));
        fired.clear();
        timers.expire(now, &mut fired);
        black_box(&fired);
    }
}

/// A settled publication added to an account, and the account checked.
fn ledger_add(turns: u32) {
    let mut sum = Ledger::default();
    for _ in 0..turns {
        let mut turn = Ledger {
            expected: black_box(10),
            delivered: 8,
            queued: 1,
            ..Ledger::default()
        };
        turn.drop(black_box(Cause::Expired), 1);
        sum += black_box(turn);
        assert_eq!(black_box(&sum).unexplained(), 0);
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        let names = CASES.map(|(name, _)| name).join("\n");
        let printed = writeln!(io::stdout(), "{names}");
        return printed.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    if let [name, turns] = &arguments[..]
        && let Some((_, case)) = CASES.iter().find(|(known, _)| known == name)
        && let Ok(turns) = turns.parse()
    {
        case(turns);
        return ExitCode::SUCCESS;
    }
    for (_, case) in CASES {
        case(1);
    }
    ExitCode::SUCCESS
}
