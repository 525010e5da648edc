//! The table of frames in pieces of every kind, backpressure and memory.

use super::super::{Limits, MessageKind, Violation};
use super::{Decoder, Incoming, Input};

#[path = "../../../tests/cases/frames/mod.rs"]
pub(super) mod frames;
use frames::{End, Event, cases, frame};

#[path = "../../../tests/cases/received.rs"]
mod received;

pub(super) const LIMITS: Limits = Limits {
    message_bytes: frames::MESSAGE_BYTES,
    fragments: frames::FRAGMENTS,
};

/// Writes down what it receives; takes `messages` data frames before it takes no more.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) events: Vec<Event>,
    messages: usize,
    /// Stops after each message.
    stops: bool,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            events: Vec::new(),
            messages: usize::MAX,
            stops: false,
        }
    }
}

impl Recorder {
    /// Takes what is in `bytes`; how many of them were used.
    fn decode(&mut self, decoder: &mut Decoder, bytes: &mut [u8]) -> Result<usize, Violation> {
        let messages = &mut self.messages;
        let takes_data = || {
            let takes = *messages > 0;
            *messages = messages.saturating_sub(1);
            takes
        };
        let stops = || self.stops;
        received::decode(
            (decoder, &LIMITS),
            bytes,
            &mut self.events,
            takes_data,
            stops,
        )
    }
}

/// Feeds `bytes` in the given pieces; everything must be consumed.
pub(super) fn run<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Event>, Result<bool, Violation>) {
    let (mut decoder, mut recorder) = (Decoder::default(), Recorder::default());
    for piece in pieces {
        let mut piece = piece.to_vec();
        match recorder.decode(&mut decoder, &mut piece) {
            Ok(consumed) => assert_eq!(consumed, piece.len()),
            Err(violation) => return (recorder.events, Err(violation)),
        }
        let most = LIMITS.message_bytes + 512;
        assert!(decoder.held_bytes() <= most, "{}", decoder.held_bytes());
    }
    (recorder.events, Ok(decoder.in_message()))
}

#[test]
fn the_table_holds_in_pieces_of_any_size() {
    let cases = cases();
    assert!(cases.len() >= 200, "{} cases", cases.len());
    for case in &cases {
        for size in [usize::MAX, 1, 2, 3, 7] {
            let (events, result) = run(case.bytes.chunks(size));
            let context = format!("{} in pieces of {size}", case.name);
            assert_eq!(events, case.events, "{context}");
            match (result, case.end) {
                (Ok(false), End::Open | End::Closed) | (Ok(true), End::Waiting) => {}
                (Err(violation), End::Violation(code, kind)) => {
                    assert_eq!(
                        (violation.code, violation.kind.label()),
                        (code, kind),
                        "{context}"
                    );
                    assert!(violation.reason.len() <= 123);
                }
                (result, end) => panic!("{context}: {result:?}, expected {end:?}"),
            }
        }
    }
}

#[test]
fn case_names_are_unique() {
    let mut names: Vec<_> = cases().into_iter().map(|case| case.name).collect();
    names.sort_unstable();
    for pair in names.windows(2) {
        assert_ne!(pair[0], pair[1]);
    }
}

#[test]
fn an_idle_decoder_holds_eight_bytes_and_nothing_else() {
    assert_eq!(size_of::<Decoder>(), 8);
    for case in cases().iter().filter(|case| case.end == End::Open) {
        let (mut decoder, mut recorder) = (Decoder::default(), Recorder::default());
        for piece in case.bytes.chunks(3) {
            let consumed = recorder.decode(&mut decoder, &mut piece.to_vec());
            consumed.expect("legal");
        }
        assert_eq!(decoder.held_bytes(), 0, "{}", case.name);
        assert!(!decoder.in_message());
    }
}

#[test]
fn an_announced_length_reserves_nothing() {
    let bytes = frame(0x82, &[0; 60_000]);
    let mut decoder = Decoder::default();
    let mut begun = bytes[..20].to_vec();
    let consumed = Recorder::default().decode(&mut decoder, &mut begun);
    assert_eq!(consumed, Ok(20));
    assert!(decoder.in_message());
    assert!(decoder.held_bytes() < 256, "{}", decoder.held_bytes());
}

#[test]
fn a_blocked_message_stays_untouched_and_comes_later() {
    let blocked = frame(0x81, b"later");
    for size in 1..=blocked.len() {
        let bytes = [frame(0x81, b"now"), frame(0x89, b"p"), blocked.clone()].concat();
        let (mut decoder, mut recorder) = (Decoder::default(), Recorder::default());
        recorder.messages = 1;
        let mut kept: Vec<u8> = Vec::new();
        for piece in bytes.chunks(size) {
            kept.extend(piece);
            let before = kept.clone();
            let consumed = recorder.decode(&mut decoder, &mut kept).expect("legal");
            assert_eq!(kept[consumed..], before[consumed..]);
            kept.drain(..consumed);
        }
        let now = [Event::Text(b"now".to_vec()), Event::Ping(b"p".to_vec())];
        assert_eq!(recorder.events, now);
        assert!(kept.len() >= b"later".len() && blocked.ends_with(&kept));
        recorder.messages = 1;
        let consumed = recorder.decode(&mut decoder, &mut kept);
        assert_eq!(consumed, Ok(kept.len()));
        assert_eq!(
            recorder.events.last(),
            Some(&Event::Text(b"later".to_vec()))
        );
    }
}

#[test]
fn fragments_wait_too_but_controls_before_them_do_not() {
    let last = frame(0x80, b"end");
    let mut bytes = [frame(0x01, b"begin "), frame(0x8a, b""), last.clone()].concat();
    let (mut decoder, mut recorder) = (Decoder::default(), Recorder::default());
    recorder.messages = 1;
    let consumed = recorder.decode(&mut decoder, &mut bytes);
    assert_eq!(consumed, Ok(bytes.len() - last.len()));
    assert_eq!(recorder.events, [Event::Pong(vec![])]);
    assert!(decoder.in_message());
    recorder.messages = 1;
    recorder
        .decode(&mut decoder, &mut last.clone())
        .expect("legal");
    assert_eq!(
        recorder.events.last(),
        Some(&Event::Text(b"begin end".to_vec()))
    );
}

#[test]
fn stop_leaves_the_bytes_behind_the_message() {
    for first in [
        vec![frame(0x81, b"one")],
        vec![frame(0x01, b"o"), frame(0x80, b"ne")],
    ] {
        let first = first.concat();
        let mut bytes = [first.clone(), frame(0x89, b"p")].concat();
        let before = bytes.clone();
        let mut recorder = Recorder {
            stops: true,
            ..Recorder::default()
        };
        let consumed = recorder.decode(&mut Decoder::default(), &mut bytes);
        assert_eq!(consumed, Ok(first.len()));
        assert_eq!(bytes[first.len()..], before[first.len()..]);
        assert_eq!(recorder.events, [Event::Text(b"one".to_vec())]);
    }
}

#[test]
fn nothing_is_received_after_a_close_or_a_violation() {
    for (bytes, violates) in [(frame(0x88, b""), false), (frame(0xc1, b""), true)] {
        let (mut decoder, mut recorder) = (Decoder::default(), Recorder::default());
        let result = recorder.decode(&mut decoder, &mut bytes.clone());
        assert_eq!(result.is_err(), violates);
        let received = recorder.events.len();
        let mut late = frame(0x81, b"late");
        let consumed = recorder.decode(&mut decoder, &mut late);
        assert_eq!(consumed, Ok(late.len()));
        assert_eq!(recorder.events.len(), received);
        assert!(!decoder.in_message());
    }
}

#[test]
fn a_dribble_grows_the_buffer_a_few_times_only() {
    let bytes = frame(0x82, &[7; 60_000]);
    let (mut decoder, mut recorder) = (Decoder::default(), Recorder::default());
    let (mut grown, mut held) = (0, 0);
    for byte in &bytes {
        recorder.decode(&mut decoder, &mut [*byte]).expect("legal");
        if decoder.held_bytes() > held {
            grown += 1;
            held = decoder.held_bytes();
        }
    }
    assert!(grown <= 20, "{grown}");
    assert_eq!(recorder.events, [Event::Binary(vec![7; 60_000])]);
}
