//! What a connection is called outside: opaque, of one node between its boot and its end.
//!
//! ```text
//! 16 digits the node's boot, 4 the worker, 16 the connection's generation and place there, all hexadecimal
//! ```

use crate::broker::ConnectionKey;
use crate::broker::uplink::Author;
use std::fmt;

/// Characters of one.
pub(super) const CHARACTERS: usize = 36;

/// The name of a connection: never given twice by one node, and of no meaning to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnectionId {
    /// Random at each boot of a node.
    pub(super) boot: u64,
    worker: u16,
    key: u64,
}

impl ConnectionId {
    pub(super) fn new(boot: u64, worker: usize, key: ConnectionKey) -> Self {
        let worker = u16::try_from(worker).unwrap_or(u16::MAX);
        let ConnectionKey(key) = key;
        Self { boot, worker, key }
    }

    /// Reads one; `None` for any other text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != CHARACTERS || !text.bytes().all(is_digit) {
            return None;
        }
        let (boot, rest) = text.split_at_checked(16)?;
        let (worker, key) = rest.split_at_checked(4)?;
        Some(Self {
            boot: u64::from_str_radix(boot, 16).ok()?,
            worker: u16::from_str_radix(worker, 16).ok()?,
            key: u64::from_str_radix(key, 16).ok()?,
        })
    }

    /// The connection's place on the node that gave the name.
    pub(super) fn place(self) -> Author {
        Author {
            worker: usize::from(self.worker),
            connection: ConnectionKey(self.key),
        }
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { boot, worker, key } = self;
        write!(f, "{boot:016x}{worker:04x}{key:016x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_name_is_read_as_it_was_written(boot: u64, worker in 0..64_usize, key: u64) {
            let id = ConnectionId::new(boot, worker, ConnectionKey(key));
            prop_assert_eq!(id.to_string().len(), CHARACTERS);
            prop_assert_eq!(ConnectionId::parse(&id.to_string()), Some(id));
            let place = Author { worker, connection: ConnectionKey(key) };
            prop_assert_eq!(id.place(), place);
        }

        #[test]
        fn any_other_text_is_none(text in "\\PC{0,40}") {
            if let Some(id) = ConnectionId::parse(&text) {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
