//! What nodes say to each other about marks, many rooms in one message, where all nodes say who they are.
//!
//! ```text
//! digest    "supportal-marks 1" LF head, then for each room: name, incarnation u64, number u64
//! question  "supportal-ask 1" LF head, then for each room: name
//! head      node 16 bytes, epoch u64, asked u64, absence u64
//! name      length u8, the room's name
//! ```
//!
//! The highest bit of a number says that the node entered the room within the time that it was asked about: who was
//! away then cannot know it in that room, and has missed all from the first.
//!
//! A digest says the last numbers that its node has given out in these rooms. A question asks for those of all rooms in
//! which the others have spoken in the last `absence` milliseconds, by their own clocks, and in any case for those of
//! the rooms that it names. `asked` is the question's number on its node; a digest repeats its node's last one, for
//! those who were not there (0: none). Nodes that do not know the form hear nothing in it.
//!
//! Pure, and for hostile input: nothing is allocated for an announced length, and nothing of a letter is used that is
//! not right to its end.

use crate::bridge::envelope::{EnvelopeFault, NodeId};
use crate::name::RoomName;
use bytes::Bytes;

const DIGEST: &[u8] = b"supportal-marks 1\n";
const QUESTION: &[u8] = b"supportal-ask 1\n";

/// Longest letter, in bytes: Redis copies it for every node, and one of so many is written in well under a millisecond.
pub(in crate::bridge) const LETTER_BYTES_MAX: usize = 64 * 1024;

/// This bit of a number: the room was entered in the time asked about.
const BEGAN: u64 = 1 << 63;

/// No room of a node ever comes so far: a number beyond is none.
const NUMBER_MAX: u64 = 1 << 53;

/// Who speaks, and what it wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bridge) struct LetterHead {
    pub(in crate::bridge) node: NodeId,
    pub(in crate::bridge) epoch: u64,
    /// Number of its last question, 0 before the first.
    pub(in crate::bridge) asked: u64,
    /// What it wants to hear of, in milliseconds before now.
    pub(in crate::bridge) absence: u64,
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bridge) enum LetterKind {
    Digest,
    Question,
}

/// The last number that a node has given out in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::bridge) struct RoomMark {
    pub(in crate::bridge) name: RoomName,
    pub(in crate::bridge) incarnation: u64,
    pub(in crate::bridge) number: u64,
    /// The node entered the room in the time that it was asked about.
    pub(in crate::bridge) has_begun: bool,
}

/// Writes one letter.
#[derive(Debug)]
pub(in crate::bridge) struct LetterWriter(Vec<u8>);

impl LetterWriter {
    pub(in crate::bridge) fn new(kind: LetterKind, head: &LetterHead) -> Self {
        let magic = match kind {
            LetterKind::Digest => DIGEST,
            LetterKind::Question => QUESTION,
        };
        let mut bytes = magic.to_vec();
        bytes.extend_from_slice(&head.node.0);
        for number in [head.epoch, head.asked, head.absence] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        Self(bytes)
    }

    /// False if it does not fit in this one any more.
    pub(in crate::bridge) fn push_name(&mut self, name: &RoomName) -> bool {
        self.push(name, &[])
    }

    /// False if it does not fit in this one any more.
    pub(in crate::bridge) fn push_mark(&mut self, mark: &RoomMark) -> bool {
        let began = if mark.has_begun { BEGAN } else { 0 };
        self.push(&mark.name, &[mark.incarnation, mark.number | began])
    }

    fn push(&mut self, name: &RoomName, numbers: &[u64]) -> bool {
        let text = name.as_str().as_bytes();
        let bytes = 1 + text.len() + numbers.len() * 8;
        let Ok(length) = u8::try_from(text.len()) else {
            return true; // No name is so long.
        };
        if self.0.len() + bytes > LETTER_BYTES_MAX {
            return false;
        }
        self.0.push(length);
        self.0.extend_from_slice(text);
        for number in numbers {
            self.0.extend_from_slice(&number.to_be_bytes());
        }
        true
    }

    pub(in crate::bridge) fn finish(self) -> Bytes {
        self.0.into()
    }
}

/// Letters with as many entries as fit in each, in order; `push` writes one entry. None without entries.
pub(in crate::bridge) fn letters<T>(
    (kind, head): (LetterKind, &LetterHead),
    entries: &[T],
    push: impl Fn(&mut LetterWriter, &T) -> bool,
) -> Vec<Bytes> {
    let mut written = Vec::new();
    let mut rest = entries;
    while !rest.is_empty() {
        let mut writer = LetterWriter::new(kind, head);
        let fit = rest.iter().position(|entry| !push(&mut writer, entry));
        // An entry that fits in no letter there is not; none may be tried for ever.
        let fit = fit.unwrap_or(rest.len()).max(1);
        rest = rest.get(fit..).unwrap_or_default();
        written.push(writer.finish());
    }
    written
}

/// A letter whose every entry has been checked.
#[derive(Clone, Copy, Debug)]
pub(in crate::bridge) struct Letter<'a> {
    pub(in crate::bridge) kind: LetterKind,
    pub(in crate::bridge) head: LetterHead,
    entries: LetterReader<'a>,
}

/// The bytes not yet read.
#[derive(Clone, Copy, Debug)]
struct LetterReader<'a>(&'a [u8]);

impl<'a> LetterReader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], EnvelopeFault> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(EnvelopeFault::Cut)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn number(&mut self) -> Result<u64, EnvelopeFault> {
        self.array().map(u64::from_be_bytes)
    }

    fn name(&mut self) -> Result<RoomName, EnvelopeFault> {
        let [length] = self.array::<1>()?;
        let (name, rest) = (self.0)
            .split_at_checked(length.into())
            .ok_or(EnvelopeFault::Cut)?;
        self.0 = rest;
        let name = std::str::from_utf8(name).ok().and_then(RoomName::parse);
        name.ok_or(EnvelopeFault::Name)
    }

    fn mark(&mut self) -> Result<RoomMark, EnvelopeFault> {
        let (name, incarnation, number) = (self.name()?, self.number()?, self.number()?);
        let mark = RoomMark {
            name,
            incarnation,
            number: number & !BEGAN,
            has_begun: number & BEGAN != 0,
        };
        match mark.number.max(mark.incarnation) {
            ..NUMBER_MAX => Ok(mark),
            _ => Err(EnvelopeFault::Number),
        }
    }
}

impl<'a> Letter<'a> {
    /// `None` if it is something else.
    pub(in crate::bridge) fn read(bytes: &'a [u8]) -> Option<Result<Self, EnvelopeFault>> {
        let digest = bytes.strip_prefix(DIGEST);
        let digest = digest.map(|rest| (LetterKind::Digest, rest));
        let question = || Some((LetterKind::Question, bytes.strip_prefix(QUESTION)?));
        let (kind, rest) = digest.or_else(question)?;
        if bytes.len() > LETTER_BYTES_MAX {
            return Some(Err(EnvelopeFault::Long));
        }
        Some(Self::checked(kind, LetterReader(rest)))
    }

    fn checked(kind: LetterKind, mut reader: LetterReader<'a>) -> Result<Self, EnvelopeFault> {
        let head = LetterHead {
            node: NodeId(reader.array()?),
            epoch: reader.number()?,
            asked: reader.number()?,
            absence: reader.number()?,
        };
        let letter = Self {
            kind,
            head,
            entries: reader,
        };
        while !reader.0.is_empty() {
            match kind {
                LetterKind::Digest => drop(reader.mark()?),
                LetterKind::Question => drop(reader.name()?),
            }
        }
        Ok(letter)
    }

    /// The marks of a digest, in order.
    pub(in crate::bridge) fn marks(&self) -> impl Iterator<Item = RoomMark> + use<'a> {
        let is_digest = self.kind == LetterKind::Digest;
        let mut reader = self.entries;
        // All were read before: an error cannot come, and would only end it.
        std::iter::from_fn(move || reader.mark().ok().filter(|_| is_digest))
    }

    /// The rooms that a question names, in order.
    pub(in crate::bridge) fn names(&self) -> impl Iterator<Item = RoomName> + use<'a> {
        let is_question = self.kind == LetterKind::Question;
        let mut reader = self.entries;
        std::iter::from_fn(move || reader.name().ok().filter(|_| is_question))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: LetterHead = LetterHead {
        node: NodeId([7; 16]),
        epoch: 9,
        asked: 3,
        absence: 12_000,
    };

    fn mark(room: usize, number: u64) -> RoomMark {
        RoomMark {
            name: RoomName::chat("1", &format!("room{room}")).unwrap(),
            incarnation: room as u64 + 1,
            number,
            has_begun: room.is_multiple_of(3),
        }
    }

    fn digest(marks: &[RoomMark]) -> Vec<Bytes> {
        letters((LetterKind::Digest, &HEAD), marks, LetterWriter::push_mark)
    }

    fn fault(bytes: &[u8]) -> EnvelopeFault {
        Letter::read(bytes).unwrap().unwrap_err()
    }

    #[test]
    fn marks_of_many_rooms_go_in_as_few_digests_as_they_fit_in() {
        let marks: Vec<RoomMark> = (0..5_000).map(|room| mark(room, room as u64)).collect();
        let written = digest(&marks);
        let bytes: usize = written.iter().map(Bytes::len).sum();
        assert_eq!(written.len(), bytes.div_ceil(LETTER_BYTES_MAX));
        let mut read = Vec::new();
        for bytes in &written {
            let letter = Letter::read(bytes).unwrap().unwrap();
            assert_eq!((letter.kind, letter.head), (LetterKind::Digest, HEAD));
            assert_eq!(letter.names().count(), 0);
            read.extend(letter.marks());
        }
        assert_eq!(read, marks);
        assert!(digest(&[]).is_empty());
    }

    #[test]
    fn a_question_names_rooms_or_none() {
        let names = vec![mark(1, 0).name, mark(2, 0).name];
        let kind = (LetterKind::Question, &HEAD);
        let written = letters(kind, &names, LetterWriter::push_name);
        let letter = Letter::read(&written[0]).unwrap().unwrap();
        assert_eq!((letter.kind, letter.head), (LetterKind::Question, HEAD));
        assert_eq!(letter.names().collect::<Vec<_>>(), names);
        assert_eq!(letter.marks().count(), 0);
        let bare = LetterWriter::new(LetterKind::Question, &HEAD).finish();
        let letter = Letter::read(&bare).unwrap().unwrap();
        assert_eq!(letter.names().count(), 0);
    }

    #[test]
    fn what_is_not_right_to_its_end_is_named_for_what_is_wrong() {
        let good = digest(&[mark(1, 5)]).remove(0);
        assert!(Letter::read(b"supportal-node 1 x").is_none());
        assert!(Letter::read(b"supportal-marks 2\n").is_none());
        assert_eq!(fault(DIGEST), EnvelopeFault::Cut);
        assert_eq!(fault(&good[..good.len() - 1]), EnvelopeFault::Cut);
        let mut named = good.to_vec();
        named[DIGEST.len() + 41] = b'/';
        assert_eq!(fault(&named), EnvelopeFault::Name);
        let mut long = good.to_vec();
        long[DIGEST.len() + 40] = 255;
        assert_eq!(fault(&long), EnvelopeFault::Cut);
        for wrong in [u64::MAX, NUMBER_MAX] {
            assert_eq!(fault(&digest(&[mark(1, wrong)])[0]), EnvelopeFault::Number);
        }
        let huge = [&good[..], &[0; LETTER_BYTES_MAX]].concat();
        assert_eq!(fault(&huge), EnvelopeFault::Long);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(
            is_digest in any::<bool>(),
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let magic = if is_digest { DIGEST } else { QUESTION };
            if let Some(Ok(letter)) = Letter::read(&[magic, &bytes].concat()) {
                prop_assert!(letter.marks().count() + letter.names().count() < 300);
            }
        }

        #[test]
        fn a_letter_cut_anywhere_in_an_entry_is_none(cut in 1_usize..20) {
            let written = digest(&[mark(1, 5), mark(2, 7)]).remove(0);
            let cut = fault(&written[..written.len() - cut]);
            prop_assert_eq!(cut, EnvelopeFault::Cut);
        }
    }
}
