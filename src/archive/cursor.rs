//! Where a reader of the archive is: text that means nothing to the reader.

use std::fmt;

/// A place in one journal: behind the event at `position`; 0 is the beginning.
///
/// Written as 32 hexadecimal digits: the journal's, which no other journal has, and the position's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Which journal.
    pub journal: u64,
    /// The last event that has been read.
    pub position: u64,
}

/// Why a text is no place in this journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorFault {
    /// No journal writes such a text.
    #[error(
        "is no cursor: give back the text of the last line that was read, or none to begin at the oldest"
    )]
    Malformed,
    /// Another node's, or of a journal that was here before.
    #[error("is of another node, or of a journal that is gone: begin without a cursor")]
    Foreign,
    /// This journal has not come that far: it was brought back to an earlier state.
    #[error("is ahead of this journal, which was brought back from a copy: begin without a cursor")]
    Future,
    /// A Redis has not come that far, or has forgotten that it had: it lost its newest messages, in a failover as a rule.
    #[error(
        "is ahead of redis {shard}, which has lost its newest messages, as after a failover: begin without a cursor"
    )]
    Lost {
        /// The place of that Redis in `bridge.urls`.
        shard: usize,
    },
}

/// Digits of half a cursor.
const DIGITS: usize = 16;

impl Cursor {
    /// Length of the text.
    pub const BYTES: usize = 2 * DIGITS;

    /// The reverse of the text.
    ///
    /// # Errors
    /// [`CursorFault::Malformed`].
    pub fn parse(text: &str) -> Result<Self, CursorFault> {
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != Self::BYTES || !text.as_bytes().iter().all(is_digit) {
            return Err(CursorFault::Malformed);
        }
        let (journal, position) = text.split_at(DIGITS);
        let read =
            |digits| u64::from_str_radix(digits, 16).map_err(|_no_digits| CursorFault::Malformed);
        Ok(Self {
            journal: read(journal)?,
            position: read(position)?,
        })
    }

    /// The position, if this is a place in the journal `journal`, whose last event is at `last`.
    ///
    /// # Errors
    /// [`CursorFault::Foreign`] or [`CursorFault::Future`].
    pub const fn position_in(self, journal: u64, last: u64) -> Result<u64, CursorFault> {
        if self.journal != journal {
            Err(CursorFault::Foreign)
        } else if self.position > last {
            Err(CursorFault::Future)
        } else {
            Ok(self.position)
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.journal, self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_cursor_is_read_back(journal: u64, position: u64) {
            let cursor = Cursor { journal, position };
            prop_assert_eq!(Cursor::parse(&cursor.to_string()), Ok(cursor));
        }

        #[test]
        fn no_other_text_is_a_cursor(text in "\\PC{0,40}") {
            if let Ok(cursor) = Cursor::parse(&text) {
                prop_assert_eq!(cursor.to_string(), text);
            }
        }

        #[test]
        fn only_a_place_in_the_journal_has_a_position(journal: u64, position: u64, other: u64, last: u64) {
            let placed = Cursor { journal, position }.position_in(other, last);
            let expected = if journal != other {
                Err(CursorFault::Foreign)
            } else if position > last {
                Err(CursorFault::Future)
            } else {
                Ok(position)
            };
            prop_assert_eq!(placed, expected);
            prop_assert_eq!(Cursor { journal, position }.position_in(journal, u64::MAX), Ok(position));
        }
    }
}
