//! What one node says to the others: a versioned binary envelope.
//!
//! ```text
//! 0   version, 1
//! 1   node: 16 bytes, random at each boot
//! 17  epoch: milliseconds since 1970 at that boot
//! 25  incarnation of the room on that node
//! 33  entries, to the end
//!       message  1, number u64, deadline u64 (milliseconds since 1970), reserved u8, length u32, frame
//!       mark     2, number u64: the last one given out in this room so far
//!       hello    3: who else is in this room may say its mark
//! ```
//!
//! Numbers are big-endian. The frame is a whole WebSocket frame, header included, so that the bytes
//! one node encoded are the bytes every other node writes. One envelope holds what one node says to
//! one room in one tick.
//!
//! Pure, and for hostile input: nothing is allocated for an announced length, and anything but the
//! form above is [`Poison`]. Called by the link's sender and receiver.

use bytes::Bytes;

/// The version written and understood.
pub const VERSION: u8 = 1;

/// Bytes before the entries.
pub const HEAD_BYTES: usize = 33;

/// Bytes of a message beside its frame.
pub const MESSAGE_BYTES: usize = 22;

const MESSAGE: u8 = 1;
const MARK: u8 = 2;
const HELLO: u8 = 3;

/// A byte of every message that says nothing yet: written as zero, read whatever it is.
const RESERVED: u8 = 0;

/// A node between its boot and its end: random, so that no two nodes and no two boots share one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub [u8; 16]);

impl std::fmt::Debug for NodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Who speaks, of which room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The node.
    pub node: NodeId,
    /// When it booted, in milliseconds since 1970.
    pub epoch: u64,
    /// Which of its rooms of that name.
    pub incarnation: u64,
}

/// One thing said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A publication.
    Message {
        /// Its number in the room of its node, from 1.
        number: u64,
        /// When it stops being worth delivering, in milliseconds since 1970.
        deadline: u64,
        /// The frame for the members: one final, unmasked text frame.
        frame: &'a [u8],
    },
    /// The last number given out so far: whoever has seen less has missed something.
    Mark {
        /// That number; 0 before the first.
        number: u64,
    },
    /// Asks for the marks of the room's other nodes.
    Hello,
}

/// Why bytes are no envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Poison {
    /// Not our version.
    #[error("unknown version")]
    Version,
    /// It ends within a field, or a length points past its end.
    #[error("cut off")]
    Cut,
    /// An entry of no known kind.
    #[error("unknown entry")]
    Entry,
    /// What should be a WebSocket frame is none that may be written to a member.
    #[error("not one text frame")]
    Frame,
}

/// Writes one envelope.
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An envelope with room for `capacity` bytes of entries.
    #[must_use]
    pub fn new(head: &Head, capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + capacity);
        bytes.push(VERSION);
        bytes.extend_from_slice(&head.node.0);
        bytes.extend_from_slice(&head.epoch.to_be_bytes());
        bytes.extend_from_slice(&head.incarnation.to_be_bytes());
        Self { bytes }
    }

    /// Appends an entry. A frame of 4 GiB or more does not fit and is left out; the limits of a
    /// message are far below.
    pub fn push(&mut self, entry: Entry<'_>) {
        match entry {
            Entry::Message {
                number,
                deadline,
                frame,
            } => {
                let Ok(length) = u32::try_from(frame.len()) else {
                    return;
                };
                self.bytes.push(MESSAGE);
                self.bytes.extend_from_slice(&number.to_be_bytes());
                self.bytes.extend_from_slice(&deadline.to_be_bytes());
                self.bytes.push(RESERVED);
                self.bytes.extend_from_slice(&length.to_be_bytes());
                self.bytes.extend_from_slice(frame);
            }
            Entry::Mark { number } => {
                self.bytes.push(MARK);
                self.bytes.extend_from_slice(&number.to_be_bytes());
            }
            Entry::Hello => self.bytes.push(HELLO),
        }
    }

    /// Bytes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Holds it no entry yet?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.len() == HEAD_BYTES
    }

    /// The envelope.
    #[must_use]
    pub fn finish(self) -> Bytes {
        Bytes::from(self.bytes)
    }
}

/// An envelope whose every entry has been checked.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    head: Head,
    entries: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Checks all of it, so that a bad end spoils what comes before it too: nothing is delivered
    /// from an envelope that is not whole.
    ///
    /// # Errors
    /// [`Poison`].
    pub fn read(bytes: &'a [u8]) -> Result<Self, Poison> {
        let mut reader = Reader(bytes);
        if reader.byte()? != VERSION {
            return Err(Poison::Version);
        }
        let head = Head {
            node: NodeId(reader.array()?),
            epoch: reader.number()?,
            incarnation: reader.number()?,
        };
        let envelope = Self {
            head,
            entries: reader.0,
        };
        while !reader.0.is_empty() {
            if let Entry::Message { frame, .. } = reader.entry()? {
                text_frame(frame)?;
            }
        }
        Ok(envelope)
    }

    /// Who speaks.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The entries, in order.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let mut reader = Reader(self.entries);
        // `read` has been here: an error cannot come, and would only end it.
        std::iter::from_fn(move || reader.entry().ok())
    }
}

/// The text of a frame; `None` if it is none that may be written to a member.
#[must_use]
pub fn text(frame: &[u8]) -> Option<&str> {
    text_frame(frame).ok()
}

/// The bytes not yet read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Poison> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Poison::Cut)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Poison> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Poison::Cut)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, Poison> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn number(&mut self) -> Result<u64, Poison> {
        self.array().map(u64::from_be_bytes)
    }

    fn entry(&mut self) -> Result<Entry<'a>, Poison> {
        match self.byte()? {
            MESSAGE => {
                let (number, deadline, _reserved) = (self.number()?, self.number()?, self.byte()?);
                let length = u32::from_be_bytes(self.array()?);
                let length = usize::try_from(length).map_err(|_too_long| Poison::Cut)?;
                Ok(Entry::Message {
                    number,
                    deadline,
                    frame: self.take(length)?,
                })
            }
            MARK => Ok(Entry::Mark {
                number: self.number()?,
            }),
            HELLO => Ok(Entry::Hello),
            _ => Err(Poison::Entry),
        }
    }
}

/// One final, unmasked text frame of exactly this length, in the shortest form of its header, with
/// text in UTF-8 (RFC 6455 §5.2, §8.1): a member's browser would close on anything else.
fn text_frame(bytes: &[u8]) -> Result<&str, Poison> {
    const FINAL_TEXT: u8 = 0x81;
    let mut reader = Reader(bytes);
    if reader.byte()? != FINAL_TEXT {
        return Err(Poison::Frame);
    }
    let length = match reader.byte()? {
        short @ 0..126 => u64::from(short),
        126 => match u16::from_be_bytes(reader.array()?) {
            medium @ 126.. => u64::from(medium),
            _ => return Err(Poison::Frame),
        },
        127 => match reader.number()? {
            long @ 65_536.. => long,
            _ => return Err(Poison::Frame),
        },
        _masked => return Err(Poison::Frame),
    };
    let is_whole = length == reader.0.len() as u64;
    match std::str::from_utf8(reader.0) {
        Ok(text) if is_whole => Ok(text),
        _ => Err(Poison::Frame),
    }
}

#[cfg(test)]
mod tests;
