//! What is offered to a write, cut into records.

use super::scratch::FRAGMENT_BYTES;
use std::io::IoSlice;

/// What is offered to a write, in pieces that fit in a record.
pub(super) struct Fragments<'a> {
    slices: &'a [IoSlice<'a>],
    /// Bytes of the first slice that are dealt with.
    at: usize,
}

impl<'a> Fragments<'a> {
    pub(super) fn new(slices: &'a [IoSlice<'a>]) -> Self {
        Self { slices, at: 0 }
    }

    /// What is left of the first slice that is not empty.
    fn head(&mut self) -> Option<&'a [u8]> {
        while let [first, rest @ ..] = self.slices {
            match first.get(self.at..) {
                Some(head) if !head.is_empty() => return Some(head),
                _ => (self.slices, self.at) = (rest, 0),
            }
        }
        None
    }

    /// Passes over a byte, if there is one; how many it were.
    pub(super) fn skip(&mut self, count: usize) -> usize {
        let count = self.head().map_or(0, |head| head.len().min(count));
        self.at += count;
        count
    }

    /// The next piece: a part of a slice, or several slices gathered in `plain`.
    #[inline]
    pub(super) fn next<'p>(&mut self, plain: &'p mut Vec<u8>) -> Option<&'p [u8]>
    where
        'a: 'p,
    {
        let head = self.head()?;
        if head.len() < FRAGMENT_BYTES && self.slices.len() > 1 {
            return Some(self.gather(plain));
        }
        let piece = head.get(..FRAGMENT_BYTES).unwrap_or(head);
        self.at += piece.len();
        Some(piece)
    }

    fn gather<'p>(&mut self, plain: &'p mut Vec<u8>) -> &'p [u8] {
        plain.clear();
        while let Some(head) = self.head()
            && plain.len() < FRAGMENT_BYTES
        {
            let room = FRAGMENT_BYTES - plain.len();
            let piece = head.get(..room).unwrap_or(head);
            plain.extend_from_slice(piece);
            self.at += piece.len();
        }
        plain
    }
}
