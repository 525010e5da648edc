//! For all bytes: no split changes what they mean, and none stops us.

use super::super::{Opcode, encoder};
use super::tests::frames::{Event, FrameCase, cases, frame};
use super::tests::run;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use std::sync::LazyLock;

/// The cases short enough to be run some thousand times.
static SHORT: LazyLock<Vec<FrameCase>> = LazyLock::new(|| {
    let short = |case: &FrameCase| case.bytes.len() < 2000;
    cases().into_iter().filter(short).collect()
});

fn pieces<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut start = 0;
    let piece = |end| {
        let piece = &bytes[start..end];
        start = end;
        piece
    };
    ends.into_iter().map(piece).collect()
}

/// One message: its kind, its text, where it is cut into fragments, and pings between them.
type Written = (bool, String, Vec<Index>, bool);

fn encode(message: &Written) -> (Vec<u8>, Vec<Event>) {
    let (is_text, text, cuts, pings) = message;
    let fragments = pieces(text.as_bytes(), cuts);
    let (mut bytes, mut events) = (Vec::new(), Vec::new());
    for (place, fragment) in fragments.iter().enumerate() {
        let opcode = match (place, is_text) {
            (0, true) => Opcode::Text as u8,
            (0, false) => Opcode::Binary as u8,
            _ => Opcode::Continuation as u8,
        };
        let fin = if place + 1 == fragments.len() {
            0x80
        } else {
            0
        };
        if *pings {
            bytes.extend(frame(0x89, b"ping"));
            events.push(Event::Ping(b"ping".to_vec()));
        }
        bytes.extend(frame(fin | opcode, fragment));
    }
    let payload = text.clone().into_bytes();
    events.push(if *is_text {
        Event::Text(payload)
    } else {
        Event::Binary(payload)
    });
    (bytes, events)
}

proptest! {
    #[test]
    fn any_split_of_a_case_gives_the_same_events(
        case in any::<Index>(),
        cuts in vec(any::<Index>(), 0..12),
    ) {
        let case = case.get(&SHORT);
        prop_assert_eq!(run(pieces(&case.bytes, &cuts)), run([&case.bytes[..]]));
    }

    #[test]
    fn any_split_of_any_bytes_gives_the_same_events(
        bytes in vec(any::<u8>(), 0..200),
        cuts in vec(any::<Index>(), 0..12),
    ) {
        prop_assert_eq!(run(pieces(&bytes, &cuts)), run([&bytes[..]]));
    }

    #[test]
    fn any_split_of_a_damaged_case_gives_the_same_events(
        case in any::<Index>(),
        place in any::<Index>(),
        damage in any::<u8>(),
        cuts in vec(any::<Index>(), 0..12),
    ) {
        let mut bytes = case.get(&SHORT).bytes.clone();
        let place = place.index(bytes.len());
        bytes[place] ^= damage;
        prop_assert_eq!(run(pieces(&bytes, &cuts)), run([&bytes[..]]));
    }

    #[test]
    fn messages_round_trip_whatever_their_fragments_and_the_split(
        messages in vec((any::<bool>(), ".{0,80}", vec(any::<Index>(), 0..6), any::<bool>()), 0..6),
        cuts in vec(any::<Index>(), 0..20),
    ) {
        let (bytes, events): (Vec<_>, Vec<_>) = messages.iter().map(encode).unzip();
        let bytes = bytes.concat();
        let (received, result) = run(pieces(&bytes, &cuts));
        prop_assert_eq!(received, events.concat());
        prop_assert_eq!(result, Ok(false));
    }

    #[test]
    fn an_encoded_frame_says_its_own_length(payload in vec(any::<u8>(), 0..70_000)) {
        let frame = encoder::frame(Opcode::Binary, &payload);
        prop_assert_eq!(frame.len(), encoder::frame_len(payload.len()));
        prop_assert!(frame.ends_with(&payload));
    }
}
