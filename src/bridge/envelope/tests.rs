//! The envelope: round trips, poison, and its exact bytes.

use super::*;
use crate::transport::{Opcode, encoder};
use proptest::collection::vec;
use proptest::prelude::*;

const HEAD: EnvelopeHead = EnvelopeHead {
    node: NodeId(*b"0123456789abcdef"),
    epoch: 0x0102_0304_0506_0708,
    incarnation: 9,
};

#[derive(Clone, Debug)]
enum Said {
    Message(u64, u64, Bytes),
    Mark(u64),
    Hello,
}

impl Said {
    fn entry(&self) -> EnvelopeEntry<'_> {
        match self {
            Self::Message(number, deadline, frame) => EnvelopeEntry::Message {
                number: *number,
                deadline: *deadline,
                frame,
            },
            Self::Mark(number) => EnvelopeEntry::Mark { number: *number },
            Self::Hello => EnvelopeEntry::Hello,
        }
    }
}

fn written(said: &[Said]) -> Bytes {
    let mut writer = EnvelopeWriter::new(&HEAD, 0);
    for one in said {
        writer.push(one.entry());
    }
    writer.finish()
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        (any::<u64>(), any::<u64>(), "\\PC{0,300}").prop_map(|(number, deadline, text)| {
            let frame = encoder::frame(Opcode::Text, text.as_bytes());
            Said::Message(number, deadline, frame)
        }),
        any::<u64>().prop_map(Said::Mark),
        Just(Said::Hello),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(all in vec(said(), 0..8)) {
        let bytes = written(&all);
        let envelope = Envelope::read(&bytes).unwrap();
        prop_assert_eq!(envelope.head(), &HEAD);
        let read: Vec<EnvelopeEntry<'_>> = envelope.entries().collect();
        let expected: Vec<EnvelopeEntry<'_>> = all.iter().map(Said::entry).collect();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn an_envelope_cut_anywhere_is_poison_or_ends_between_two_entries(all in vec(said(), 0..5), cut in any::<prop::sample::Index>()) {
        let bytes = written(&all);
        let cut = cut.index(bytes.len());
        if let Ok(envelope) = Envelope::read(&bytes[..cut]) {
            let whole: Vec<EnvelopeEntry<'_>> = all.iter().map(Said::entry).collect();
            let read: Vec<EnvelopeEntry<'_>> = envelope.entries().collect();
            prop_assert_eq!(&whole[..read.len()], &read[..]);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused_without_a_panic(bytes in vec(any::<u8>(), 0..400)) {
        if let Ok(envelope) = Envelope::read(&bytes) {
            let entries = envelope.entries().count();
            prop_assert!(entries <= bytes.len());
        }
    }
}

#[test]
fn the_bytes_are_those_of_the_description() {
    let frame = encoder::frame(Opcode::Text, b"hi");
    let bytes = written(&[Said::Message(1, 2, frame), Said::Mark(3), Said::Hello]);
    let mut expected = vec![1];
    expected.extend_from_slice(b"0123456789abcdef");
    expected.extend_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 9]);
    expected.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0]);
    expected.extend_from_slice(&[0, 0, 0, 4, 0x81, 2, b'h', b'i']);
    expected.extend_from_slice(&[2, 0, 0, 0, 0, 0, 0, 0, 3, 3]);
    assert_eq!(bytes, expected);
    assert_eq!(bytes.len(), HEAD_BYTES + MESSAGE_BYTES + 4 + 9 + 1);
}

#[test]
fn the_reserved_byte_of_a_message_is_read_whatever_it_is() {
    let said = [Said::Message(1, 2, encoder::frame(Opcode::Text, b"hi"))];
    let mut bytes = written(&said).to_vec();
    bytes[HEAD_BYTES + 17] = 7;
    let envelope = Envelope::read(&bytes).unwrap();
    assert_eq!(envelope.entries().next(), Some(said[0].entry()));
}

#[test]
fn an_announced_length_is_believed_only_if_it_is_there() {
    let mut bytes = written(&[]).to_vec();
    bytes.push(MESSAGE);
    bytes.extend_from_slice(&[0; 17]);
    bytes.extend_from_slice(&u32::MAX.to_be_bytes());
    bytes.extend_from_slice(b"short");
    assert_eq!(Envelope::read(&bytes).unwrap_err(), EnvelopeFault::Cut);
}

#[test]
fn only_one_whole_frame_of_a_message_may_reach_a_member() {
    let long = [&[0x81, 127][..], &65_535_u64.to_be_bytes(), &[b'x'; 65_535]].concat();
    let frames: [&[u8]; 11] = [
        b"",
        b"\x81",
        b"\x01\x01x",
        b"\x02\x01x",
        b"\x82\x02x",
        b"\x88\x00",
        b"\x81\x81\0\0\0\0x",
        b"\x81\x02x",
        b"\x81\x01xy",
        b"\x81\x01\xff",
        b"\x81\x7e\x00\x01x",
    ];
    for frame in frames.into_iter().chain([&long[..]]) {
        let bytes = written(&[Said::Message(1, 1, Bytes::copy_from_slice(frame))]);
        let start = &frame[..frame.len().min(8)];
        assert!(Envelope::read(&bytes).is_err(), "{start:02x?}");
    }
    for frame in [
        &b"\x81\x00"[..],
        b"\x81\x02\xc3\xa9",
        b"\x82\x00",
        b"\x82\x01\xff",
    ] {
        let bytes = written(&[Said::Message(1, 1, Bytes::copy_from_slice(frame))]);
        assert!(Envelope::read(&bytes).is_ok(), "{frame:02x?}");
    }
}

#[test]
fn unknown_versions_and_entries_are_poison() {
    let mut bytes = written(&[Said::Hello]).to_vec();
    *bytes.last_mut().unwrap() = 9;
    assert_eq!(Envelope::read(&bytes).unwrap_err(), EnvelopeFault::Entry);
    bytes[0] = 2;
    assert_eq!(Envelope::read(&bytes).unwrap_err(), EnvelopeFault::Version);
    assert_eq!(Envelope::read(b"").unwrap_err(), EnvelopeFault::Cut);
}
