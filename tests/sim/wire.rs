//! What a server wrote to one client, read as RFC 6455 has it, by whoever looks at the wire.

/// A frame of the server's, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub opcode: u8,
    pub payload: Vec<u8>,
    /// When its first byte was written.
    pub begun: u64,
}

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

impl Frame {
    /// Is it an event? The rest is control.
    pub fn is_event(&self) -> bool {
        self.opcode == TEXT || self.opcode == BINARY
    }

    /// The number of the message that it shows, if it shows one.
    pub fn number(&self) -> Option<u64> {
        number(&self.payload)
    }

    /// The code of a close frame.
    pub fn code(&self) -> u16 {
        match *self.payload {
            [high, low, ..] => u16::from_be_bytes([high, low]),
            _ => 1005,
        }
    }
}

/// The number between two tildes: the mark of a message, in whatever stands around it. (A frame's header may
/// hold a tilde too.)
pub fn number(bytes: &[u8]) -> Option<u64> {
    let mut rest = bytes;
    loop {
        rest = &rest[memchr::memchr(b'~', rest)? + 1..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits > 0 && rest.get(digits) == Some(&b'~') {
            return std::str::from_utf8(&rest[..digits]).ok()?.parse().ok();
        }
    }
}

/// Reads one direction of a socket: the head of the 101, then frames.
#[derive(Clone, Debug, Default)]
pub struct Wire {
    pending: Vec<u8>,
    /// When the first of these bytes was written.
    begun: u64,
    pub is_open: bool,
    pub frames: Vec<Frame>,
    /// The close frame has been written.
    pub closed: Option<u16>,
    /// What no server may send.
    pub fault: Option<String>,
}

impl Wire {
    /// Takes the next bytes; how many events are whole by them.
    pub fn take(&mut self, bytes: &[u8], now: u64) -> u64 {
        if bytes.is_empty() {
            return 0;
        }
        let before = self.frames.len();
        if self.pending.is_empty() {
            self.begun = now;
        }
        self.pending.extend_from_slice(bytes);
        let mut from = 0;
        while let Some(length) = self.next(from) {
            from += length;
            self.begun = now;
        }
        self.pending.drain(..from);
        let new = self.frames.get(before..).unwrap_or_default();
        new.iter().filter(|frame| frame.is_event()).count() as u64
    }

    fn next(&mut self, from: usize) -> Option<usize> {
        let bytes = self.pending.get(from..)?;
        if !self.is_open {
            let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
            if !bytes.starts_with(b"HTTP/1.1 101 ") {
                self.fault = Some("no 101".to_owned());
            }
            self.is_open = true;
            return Some(end);
        }
        let (&first, &second) = (bytes.first()?, bytes.get(1)?);
        let (head, length) = match second {
            126 => {
                let length = bytes.get(2..4)?;
                (4, usize::from(u16::from_be_bytes([length[0], length[1]])))
            }
            127 => {
                let length = bytes.get(2..10)?.try_into().expect("eight bytes");
                (10, u64::from_be_bytes(length) as usize)
            }
            length => (2, usize::from(length)),
        };
        let opcode = first & 0x0f;
        if first & 0xf0 != 0x80 || !matches!(opcode, TEXT | BINARY | CLOSE | PING | PONG) {
            self.fault = Some(format!("a frame begins with {first:#x}"));
        }
        if second & 0x80 != 0 {
            self.fault = Some("a masked frame of the server's".to_owned());
        }
        let payload = bytes.get(head..head + length)?.to_vec();
        if self.closed.is_some() {
            self.fault = Some("a frame behind a close frame".to_owned());
        }
        let frame = Frame {
            opcode,
            payload,
            begun: self.begun,
        };
        if opcode == CLOSE {
            self.closed = Some(frame.code());
        }
        self.frames.push(frame);
        Some(head + length)
    }
}
