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
//! form above is [`EnvelopeFault`]. Called by the link's sender and receiver.

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
pub struct EnvelopeHead {
    /// The node.
    pub node: NodeId,
    /// When it booted, in milliseconds since 1970.
    pub epoch: u64,
    /// Which of its rooms of that name.
    pub incarnation: u64,
}

/// One thing said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvelopeEntry<'a> {
    /// A publication.
    Message {
        /// The publication's number in the room of its node, from 1.
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
pub enum EnvelopeFault {
    /// Not our version.
    #[error("unknown version")]
    Version,
    /// The envelope ends within a field, or a length points past its end.
    #[error("cut off")]
    Cut,
    /// An entry of no known kind.
    #[error("unknown entry")]
    Entry,
    /// What should be a WebSocket frame is none that may be written to a member.
    #[error("not one whole frame of a message")]
    Frame,
    /// A name that is no room's.
    #[error("not the name of a room")]
    Name,
    /// A number that no room comes to.
    #[error("a number beyond all counting")]
    Number,
    /// Longer than anything that is written.
    #[error("too long")]
    Long,
}

/// Writes one envelope.
#[derive(Debug)]
pub struct EnvelopeWriter {
    bytes: Vec<u8>,
}

impl EnvelopeWriter {
    /// An envelope with room for `capacity` bytes of entries.
    #[must_use]
    pub fn new(head: &EnvelopeHead, capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + capacity);
        bytes.push(VERSION);
        bytes.extend_from_slice(&head.node.0);
        bytes.extend_from_slice(&head.epoch.to_be_bytes());
        bytes.extend_from_slice(&head.incarnation.to_be_bytes());
        Self { bytes }
    }

    /// Appends an entry. A frame of 4 GiB or more does not fit and is left out; the limits of a
    /// message are far below.
    pub fn push(&mut self, entry: EnvelopeEntry<'_>) {
        match entry {
            EnvelopeEntry::Message {
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
            EnvelopeEntry::Mark { number } => {
                self.bytes.push(MARK);
                self.bytes.extend_from_slice(&number.to_be_bytes());
            }
            EnvelopeEntry::Hello => self.bytes.push(HELLO),
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
    head: EnvelopeHead,
    entries: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Checks all of it, so that a bad end spoils what comes before it too: nothing is delivered
    /// from an envelope that is not whole.
    ///
    /// # Errors
    /// [`EnvelopeFault`].
    pub fn read(bytes: &'a [u8]) -> Result<Self, EnvelopeFault> {
        let mut reader = EnvelopeReader(bytes);
        if reader.byte()? != VERSION {
            return Err(EnvelopeFault::Version);
        }
        let head = EnvelopeHead {
            node: NodeId(reader.array()?),
            epoch: reader.number()?,
            incarnation: reader.number()?,
        };
        let envelope = Self {
            head,
            entries: reader.0,
        };
        while !reader.0.is_empty() {
            if let EnvelopeEntry::Message { frame, .. } = reader.entry()? {
                message(frame)?;
            }
        }
        Ok(envelope)
    }

    /// Who speaks.
    #[must_use]
    pub fn head(&self) -> &EnvelopeHead {
        &self.head
    }

    /// Is there no entry?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries, in order.
    pub fn entries(&self) -> impl Iterator<Item = EnvelopeEntry<'a>> + use<'a> {
        let mut reader = EnvelopeReader(self.entries);
        // `read` has been here: an error cannot come, and would only end it.
        std::iter::from_fn(move || reader.entry().ok())
    }
}

/// The text of a frame; `None` if the frame is binary, or none that may be written to a member.
#[must_use]
pub fn text(frame: &[u8]) -> Option<&str> {
    message(frame).ok().flatten()
}

/// The bytes not yet read.
struct EnvelopeReader<'a>(&'a [u8]);

impl<'a> EnvelopeReader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], EnvelopeFault> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(EnvelopeFault::Cut)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], EnvelopeFault> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(EnvelopeFault::Cut)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, EnvelopeFault> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn number(&mut self) -> Result<u64, EnvelopeFault> {
        self.array().map(u64::from_be_bytes)
    }

    fn entry(&mut self) -> Result<EnvelopeEntry<'a>, EnvelopeFault> {
        match self.byte()? {
            MESSAGE => {
                let (number, deadline, _reserved) = (self.number()?, self.number()?, self.byte()?);
                let length = u32::from_be_bytes(self.array()?);
                let length = usize::try_from(length).map_err(|_too_long| EnvelopeFault::Cut)?;
                Ok(EnvelopeEntry::Message {
                    number,
                    deadline,
                    frame: self.take(length)?,
                })
            }
            MARK => Ok(EnvelopeEntry::Mark {
                number: self.number()?,
            }),
            HELLO => Ok(EnvelopeEntry::Hello),
            _ => Err(EnvelopeFault::Entry),
        }
    }
}

/// One final, unmasked frame of a text or binary message of exactly this length, in the shortest form of its
/// header (RFC 6455 §5.2), a text in UTF-8 (§8.1): a member's browser would close on anything else. The
/// text, unless the message is binary.
fn message(bytes: &[u8]) -> Result<Option<&str>, EnvelopeFault> {
    const FINAL_TEXT: u8 = 0x81;
    const FINAL_BINARY: u8 = 0x82;
    let mut reader = EnvelopeReader(bytes);
    let is_text = match reader.byte()? {
        FINAL_TEXT => true,
        FINAL_BINARY => false,
        _ => return Err(EnvelopeFault::Frame),
    };
    let length = match reader.byte()? {
        short @ 0..126 => u64::from(short),
        126 => match u16::from_be_bytes(reader.array()?) {
            medium @ 126.. => u64::from(medium),
            _ => return Err(EnvelopeFault::Frame),
        },
        127 => match reader.number()? {
            long @ 65_536.. => long,
            _ => return Err(EnvelopeFault::Frame),
        },
        _masked => return Err(EnvelopeFault::Frame),
    };
    if length != reader.0.len() as u64 {
        return Err(EnvelopeFault::Frame);
    }
    if !is_text {
        return Ok(None);
    }
    let text = std::str::from_utf8(reader.0);
    text.map(Some).map_err(|_no_text| EnvelopeFault::Frame)
}

#[cfg(test)]
mod tests;
