//! The state machine, driven with bytes and a clock.

mod slow;

use super::*;
use crate::config::Config;
use crate::transport::Opcode;
use proptest::prelude::*;
use std::collections::VecDeque;

const START: Millis = Millis(100_000);

fn at(millis: u64) -> Millis {
    Millis(START.0 + millis)
}

/// What a connection told the worker around it.
#[derive(Debug, Default)]
struct Around {
    /// Answers to `ready`, in order; true once they are used up.
    room: VecDeque<bool>,
    heard: Vec<String>,
    pongs: Vec<Bytes>,
    too_many: usize,
    violations: Vec<&'static str>,
}

impl Surroundings for Around {
    fn ready(&mut self) -> bool {
        self.room.pop_front().unwrap_or(true)
    }

    /// A message that begins with `?` is awaited, one with `!` ends the connection.
    fn message(&mut self, _kind: MessageKind, payload: &mut [u8]) -> Verdict {
        let text = String::from_utf8(payload.to_vec()).expect("text");
        let verdict = match text.chars().next() {
            Some('?') => Verdict::Await,
            Some('!') => Verdict::Close(CloseReason::Unsupported),
            _ => Verdict::Done,
        };
        self.heard.push(text);
        verdict
    }

    fn pong(&mut self, frame: Bytes) {
        self.pongs.push(frame);
    }

    fn may_say(&mut self, _bytes: usize) -> bool {
        true
    }

    fn too_many(&mut self) {
        self.too_many += 1;
    }

    fn violation(&mut self, label: &'static str) {
        self.violations.push(label);
    }
}

/// A connection with what is around it.
struct Desk {
    connection: Connection,
    rules: Rules,
    around: Around,
}

impl Desk {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.limits.messages_per_second = 0;
        change(&mut config);
        Self {
            connection: Connection::new(START, 0),
            rules: Rules::new(&config),
            around: Around::default(),
        }
    }

    fn receive(&mut self, millis: u64, input: &[u8]) -> Reading {
        let mut input = input.to_vec();
        self.connection
            .receive(at(millis), &self.rules, &mut input, &mut self.around)
    }

    fn resume(&mut self, millis: u64, replied: bool) -> Reading {
        self.connection
            .resume(at(millis), &self.rules, replied, &mut self.around)
    }

    /// Lets the timer fire; the next moment it must agree with what the worker would arm.
    fn on_timer(&mut self, millis: u64) -> Option<Millis> {
        let next = self.connection.on_timer(at(millis), &self.rules);
        if let Some(next) = next {
            assert_eq!(next, self.connection.next_timer(&self.rules));
            assert!(next > at(millis), "the timer would fire for nothing");
        }
        next
    }

    /// What a socket that takes everything gets.
    fn written(&mut self) -> Vec<u8> {
        let (mut socket, mut sent) = (Vec::new(), Default::default());
        let flushed = self
            .connection
            .outbound
            .flush(START, true, &mut socket, &mut sent);
        assert!(flushed.is_ok());
        socket
    }
}

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![first];
    match u8::try_from(payload.len()) {
        Ok(short @ 0..126) => frame.push(0x80 | short),
        _ => {
            frame.push(0x80 | 126);
            frame.extend((payload.len() as u16).to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
    frame
}

fn text(payload: &str) -> Vec<u8> {
    masked(0x80 | Opcode::Text as u8, payload.as_bytes())
}

fn ping(payload: &str) -> Vec<u8> {
    masked(0x80 | Opcode::Ping as u8, payload.as_bytes())
}

fn close_frame(reason: CloseReason) -> Vec<u8> {
    encoder::close(Some(reason.code()), reason.reason()).to_vec()
}

#[test]
fn a_stall_keeps_the_rest_and_a_resume_goes_on_exactly_there() {
    let mut desk = Desk::new(|_| {});
    desk.around.room = [true, false, false, true, true].into();
    let input = [text("a"), text("b"), ping("p"), text("c")].concat();
    assert_eq!(desk.receive(0, &input), Reading::Stalled);
    assert!(desk.connection.is_held());
    assert_eq!(desk.receive(1, &text("d")), Reading::Stalled);
    assert_eq!(desk.around.heard, ["a"], "nothing overtakes what is kept");
    assert_eq!(desk.resume(2, false), Reading::Stalled);
    assert_eq!(desk.resume(3, false), Reading::Open);
    assert_eq!(desk.around.heard, ["a", "b", "c", "d"]);
    assert_eq!(desk.around.pongs, [encoder::pong(b"p")]);
    assert!(!desk.connection.is_held());
    assert_eq!(desk.resume(4, false), Reading::Open);
    assert_eq!(desk.around.heard.len(), 4, "resuming twice repeats nothing");
}

#[test]
fn an_awaited_reply_holds_back_what_came_with_the_question_and_after_it() {
    let mut desk = Desk::new(|_| {});
    assert_eq!(
        desk.receive(0, &[text("?1"), text("2")].concat()),
        Reading::Awaiting
    );
    assert_eq!(desk.receive(1, &text("?3")), Reading::Awaiting);
    assert_eq!(desk.resume(2, false), Reading::Awaiting, "no reply yet");
    assert_eq!(desk.around.heard, ["?1"]);
    assert_eq!(desk.resume(3, true), Reading::Awaiting);
    assert_eq!(desk.around.heard, ["?1", "2", "?3"]);
    assert!(desk.connection.is_held(), "the third awaits its own reply");
    assert_eq!(desk.receive(4, &text("4")), Reading::Awaiting);
    assert_eq!(desk.resume(5, true), Reading::Open);
    assert_eq!(desk.around.heard, ["?1", "2", "?3", "4"]);
}

#[test]
fn messages_above_the_rate_are_told_and_after_so_many_the_connection_ends() {
    let mut desk = Desk::new(|config| {
        config.limits.messages_per_second = 1;
        config.limits.messages_burst = 2;
        config.limits.refusals = 3;
    });
    assert_eq!(desk.receive(0, &text("m").repeat(4)), Reading::Open);
    assert_eq!((desk.around.heard.len(), desk.around.too_many), (2, 2));
    assert_eq!(desk.receive(1_000, &text("m")), Reading::Open);
    assert_eq!(desk.around.heard.len(), 3, "an accepted one forgives");
    assert_eq!(desk.receive(1_001, &text("m").repeat(9)), Reading::Ending);
    assert_eq!((desk.around.heard.len(), desk.around.too_many), (3, 5));
    assert_eq!(desk.connection.ending(), Some(CloseReason::TooMany));
    assert_eq!(desk.written(), close_frame(CloseReason::TooMany));
}

#[test]
fn bytes_above_the_rate_are_taken_and_the_next_read_waits() {
    let mut desk = Desk::new(|config| {
        config.limits.bytes_per_second = 1_000;
        config.limits.message_bytes = 2_000;
    });
    let message = text(&"m".repeat(992));
    assert_eq!(message.len(), 1_000);
    assert_eq!(desk.receive(0, &message), Reading::Open);
    assert_eq!(desk.receive(0, &message), Reading::Open);
    assert_eq!(desk.receive(0, &message), Reading::Slowed(at(1_000)));
    assert_eq!(desk.around.heard.len(), 3, "what was read is not lost");
    assert_eq!(desk.receive(1_500, &message), Reading::Slowed(at(2_000)));
    assert_eq!(desk.receive(9_000, &message), Reading::Open);
    desk.connection.charge(at(20_000), &desk.rules, 2_500);
    assert_eq!(desk.receive(20_000, b""), Reading::Slowed(at(20_500)));
}

#[test]
fn a_peer_slowed_for_its_rate_is_not_blamed_for_silence() {
    let mut desk = Desk::new(|config| {
        config.limits.bytes_per_second = 100;
        config.limits.message_bytes = 1_000;
    });
    let slowed = desk.receive(0, &text(&"m".repeat(992)).repeat(8));
    assert_eq!(slowed, Reading::Slowed(at(70_000)));
    for second in [25, 33, 50, 66, 69] {
        assert!(desk.on_timer(second * 1_000).is_some());
        assert!(desk.connection.is_open(), "closed after {second} s");
    }
}

#[test]
fn a_flood_of_pings_ends_the_connection() {
    let mut desk = Desk::new(|config| config.limits.pings_per_second = 5);
    assert_eq!(desk.receive(0, &ping("").repeat(5)), Reading::Open);
    assert_eq!(desk.around.pongs.len(), 5);
    let input = [ping(""), ping(""), text("late")].concat();
    assert_eq!(desk.receive(1, &input), Reading::Ending);
    assert_eq!((desk.around.pongs.len(), desk.around.heard.len()), (5, 0));
    assert_eq!(desk.written(), close_frame(CloseReason::Policy));
}

#[test]
fn the_first_fault_is_the_one_that_is_told() {
    for pieces in [1, 1_000] {
        let mut desk = Desk::new(|config| config.limits.pings_per_second = 1);
        let input = [ping(""), ping(""), vec![0xff, 0xff]].concat();
        for piece in input.chunks(pieces) {
            desk.receive(0, piece);
        }
        assert_eq!(desk.connection.ending(), Some(CloseReason::Policy));
        assert_eq!(desk.around.violations, ["pings"]);
    }
}

#[test]
fn the_peers_close_is_echoed_with_its_code_and_reason() {
    let body = |code: u16, reason: &str| [&code.to_be_bytes(), reason.as_bytes()].concat();
    for payload in [vec![], body(1000, ""), body(4999, "bye"), body(3000, "x")] {
        let mut desk = Desk::new(|_| {});
        let input = [masked(0x88, &payload), text("late")].concat();
        assert_eq!(desk.receive(0, &input), Reading::Ending);
        assert_eq!(desk.connection.ending(), Some(CloseReason::Normal));
        let echo = encoder::frame(Opcode::Close, &payload);
        assert_eq!(desk.written(), echo);
        assert_eq!(desk.around.heard, Vec::<String>::new());
    }
}

#[test]
fn a_violation_is_counted_and_closes_with_its_code() {
    let mut desk = Desk::new(|_| {});
    let unmasked = encoder::frame(Opcode::Text, b"x");
    assert_eq!(
        desk.receive(0, &[&text("a")[..], &unmasked].concat()),
        Reading::Ending
    );
    assert_eq!(desk.around.heard, ["a"]);
    assert_eq!(desk.around.violations, ["mask"]);
    assert_eq!(desk.connection.ending(), Some(CloseReason::Protocol));
    assert!(desk.written().starts_with(&[0x88]));
}

#[test]
fn a_verdict_ends_the_connection_and_what_follows_is_ignored() {
    let mut desk = Desk::new(|_| {});
    let input = [text("!"), text("late")].concat();
    assert_eq!(desk.receive(0, &input), Reading::Ending);
    desk.connection.close(at(0), CloseReason::Internal);
    assert_eq!(desk.connection.ending(), Some(CloseReason::Unsupported));
    assert_eq!(desk.written(), close_frame(CloseReason::Unsupported));
    assert_eq!(desk.receive(1, &text("later")), Reading::Ending);
    assert_eq!(desk.resume(2, true), Reading::Open);
    assert_eq!(desk.around.heard, ["!"]);
    assert_eq!(desk.written(), b"", "nothing comes after the close");
}

#[test]
fn silence_is_answered_with_one_ping_and_then_the_end() {
    let mut desk = Desk::new(|_| {});
    assert_eq!(desk.on_timer(24_999), Some(at(25_000)));
    assert!(desk.connection.outbound.is_idle());
    assert_eq!(desk.on_timer(25_000), Some(at(85_000)), "it has not left");
    assert_eq!(desk.written(), encoder::ping(b""));
    assert_eq!(desk.on_timer(32_999), Some(at(33_000)));
    assert_eq!(desk.written(), b"", "one ping is enough");
    assert_eq!(desk.on_timer(33_000), Some(at(33_000) + CLOSE_STILL));
    assert_eq!(desk.connection.ending(), Some(CloseReason::NoPong));
    assert_eq!(desk.written(), close_frame(CloseReason::NoPong));
}

#[test]
fn any_byte_is_a_sign_of_life() {
    let mut desk = Desk::new(|_| {});
    desk.on_timer(25_000);
    desk.receive(32_000, &text("half")[..3]);
    assert_eq!(desk.on_timer(33_000), Some(at(57_000)));
    desk.receive(33_000, &text("half")[3..]);
    desk.on_timer(58_000);
    desk.written();
    assert_eq!(desk.on_timer(58_001), Some(at(66_000)));
    desk.receive(59_000, &masked(0x8a, b""));
    assert_eq!(desk.on_timer(66_000), Some(at(84_000)));
    assert_eq!(desk.around.heard, ["half"]);
}

#[test]
fn the_time_for_a_pong_runs_from_the_ping_however_late_the_timer_was() {
    let mut desk = Desk::new(|_| {});
    desk.on_timer(60_000);
    desk.written();
    assert_eq!(desk.on_timer(60_001), Some(at(68_000)));
    assert_eq!(desk.on_timer(67_999), Some(at(68_000)));
    assert!(desk.connection.is_open());
}

#[test]
fn a_message_must_be_complete_in_time() {
    let mut desk = Desk::new(|_| {});
    let message = text("slow");
    desk.receive(0, &message[..7]);
    desk.receive(20_000, &message[7..8]);
    assert_eq!(desk.on_timer(29_999), Some(at(30_000)));
    assert_eq!(desk.on_timer(30_000), Some(at(30_000) + CLOSE_STILL));
    assert_eq!(desk.connection.ending(), Some(CloseReason::Policy));

    let mut desk = Desk::new(|_| {});
    desk.receive(0, &message[..7]);
    desk.receive(29_000, &message[7..]);
    assert_eq!(desk.on_timer(30_000), Some(at(54_000)));
}

#[test]
fn a_held_peer_is_blamed_neither_for_silence_nor_for_half_a_message() {
    let mut desk = Desk::new(|_| {});
    desk.around.room = [true, false].into();
    let (first, second) = (masked(0x01, b"a"), masked(0x80, b"b"));
    assert_eq!(desk.receive(0, &[first, second].concat()), Reading::Stalled);
    for second in [25, 30, 33, 60, 90] {
        assert!(desk.on_timer(second * 1_000).is_some());
        assert!(desk.connection.is_open(), "closed after {second} s");
    }
    assert_eq!(desk.written(), b"", "no ping either");
    assert_eq!(desk.resume(91_000, false), Reading::Open);
    assert_eq!(desk.around.heard, ["ab"]);
}

#[test]
fn a_message_held_up_by_us_gets_its_time_anew() {
    let mut desk = Desk::new(|_| {});
    desk.around.room = [true, false].into();
    let (first, second) = (masked(0x01, b"a"), masked(0x00, b"b"));
    desk.receive(0, &[first, second].concat());
    assert_eq!(desk.resume(29_000, false), Reading::Open);
    assert!(desk.on_timer(30_000).is_some());
    assert!(desk.connection.is_open());
    desk.receive(31_000, &masked(0x80, b"c"));
    assert_eq!(desk.around.heard, ["abc"]);
}

#[test]
fn a_close_waits_long_for_a_slow_reader_and_briefly_for_an_answer() {
    let mut desk = Desk::new(|_| {});
    desk.connection.close(at(0), CloseReason::GoingAway);
    desk.connection.said_close(at(0));
    assert_eq!(desk.on_timer(0), Some(at(0) + LINGER));
    assert_eq!(desk.on_timer(999), Some(at(1_000)));
    assert_eq!(desk.on_timer(1_000), None);

    let mut desk = Desk::new(|_| {});
    desk.connection.close(at(0), CloseReason::GoingAway);
    assert_eq!(desk.on_timer(0), Some(at(0) + CLOSE_STILL));
    desk.connection.said_close(at(4_500));
    assert_eq!(desk.on_timer(4_500), Some(at(4_500) + LINGER_SLOW));
    assert_eq!(desk.on_timer(8_500), None);

    let mut desk = Desk::new(|_| {});
    desk.connection.close(at(0), CloseReason::GoingAway);
    assert_eq!(desk.on_timer(11_999), Some(at(12_000)));
    assert_eq!(desk.on_timer(12_000), None);

    // In a drain the end is the drain's, up to the close frame.
    let mut desk = Desk::new(|_| {});
    desk.connection.close(at(0), CloseReason::Restart);
    desk.connection.outlast();
    assert_eq!(desk.on_timer(600_000), Some(Millis::NEVER));
    desk.connection.said_close(at(600_000));
    assert_eq!(desk.on_timer(603_999), Some(at(600_000) + LINGER_SLOW));
    assert_eq!(desk.on_timer(604_000), None);
}

#[test]
fn an_ending_connection_pings_nobody() {
    let mut desk = Desk::new(|_| {});
    desk.receive(0, &[]);
    desk.connection.close(at(24_000), CloseReason::Removed);
    assert_eq!(desk.written(), close_frame(CloseReason::Removed));
    assert_eq!(desk.on_timer(26_000), Some(at(24_000) + CLOSE_STILL));
    assert_eq!(desk.written(), b"");
}

/// Frames of a stream and the messages they make.
fn stream() -> impl Strategy<Value = (Vec<u8>, Vec<String>)> {
    let message = ("[?a-z]{0,200}", 1..5usize, any::<bool>());
    proptest::collection::vec(message, 1..12).prop_map(|messages| {
        let (mut bytes, mut texts) = (Vec::new(), Vec::new());
        for (text, fragments, pinged) in messages {
            let size = text.len().div_ceil(fragments).max(1);
            let mut chunks = text.as_bytes().chunks(size).collect::<Vec<_>>();
            if chunks.is_empty() {
                chunks.push(b"");
            }
            for (index, chunk) in chunks.iter().enumerate() {
                let opcode = if index == 0 { 0x01 } else { 0x00 };
                let last = index + 1 == chunks.len();
                bytes.extend(masked(opcode | if last { 0x80 } else { 0 }, chunk));
                if pinged {
                    bytes.extend(ping(&texts.len().to_string()));
                }
            }
            texts.push(text);
        }
        (bytes, texts)
    })
}

proptest! {
    #[test]
    fn any_split_and_any_stalls_give_the_same_messages_once_and_in_order(
        (bytes, texts) in stream(),
        splits in proptest::collection::vec(1..300usize, 1..60),
        room in proptest::collection::vec(any::<bool>(), 0..60),
        patience in proptest::collection::vec(any::<bool>(), 1..60),
    ) {
        let mut desk = Desk::new(|config| config.limits.pings_per_second = 0);
        let mut whole = Desk::new(|config| config.limits.pings_per_second = 0);
        whole.receive(0, &bytes);
        while whole.connection.is_held() {
            whole.resume(0, true);
        }
        desk.around.room = room.into();
        let (mut rest, mut patience) = (&bytes[..], patience.into_iter().cycle());
        for size in splits.into_iter().cycle() {
            let (piece, tail) = rest.split_at(size.min(rest.len()));
            rest = tail;
            desk.receive(0, piece);
            prop_assert!(desk.connection.is_open());
            // A worker reads no more while input is held; one read more must do no harm.
            while desk.connection.is_held() && patience.next() == Some(true) {
                desk.resume(0, true);
            }
            if rest.is_empty() {
                break;
            }
        }
        while desk.connection.is_held() {
            desk.resume(0, true);
        }
        prop_assert_eq!(&desk.around.heard, &texts);
        prop_assert_eq!(&whole.around.heard, &texts);
        prop_assert_eq!(&desk.around.pongs, &whole.around.pongs);
        prop_assert!(!desk.connection.is_held());
    }
}
