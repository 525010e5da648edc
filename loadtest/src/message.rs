//! The text of a chat message of ours: `lt:RRRR:rrrrrrrr:ssss:qqqqqqqq:tttttttttttt ` and filler, where R is the run,
//! r the room, s the publisher's slot in the room, q its sequence and t the (intended) send time in nanoseconds, all in
//! hexadecimal of fixed width, so that writing and reading one costs tens of nanoseconds and no allocation.

use memchr::memmem;

/// Bytes of the marker, the space after it included.
pub(crate) const MARKER_BYTES: usize = 44;
/// Smallest `--size`: the marker alone.
pub(crate) const TEXT_BYTES_MIN: usize = MARKER_BYTES;
/// What a frame of the chat contract starts with when it carries a message.
const FRAME_START: &[u8] = b"{\"message\":\"";
const FILLER: &[u8; 64] = b"the quick brown fox jumps over the lazy dog, and then once more ";
const HEX: &[u8; 16] = b"0123456789abcdef";

/// What a marker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marker {
    /// Room, as this run numbers them.
    pub(crate) room: u32,
    /// Publisher's place in the room.
    pub(crate) slot: u16,
    /// Publisher's sequence, from 0.
    pub(crate) sequence: u32,
    /// Intended send time in nanoseconds of the run's clock (48 bits: three days).
    pub(crate) sent: u64,
}

/// Writes commands of one run and finds its messages again.
#[derive(Debug)]
pub(crate) struct Message {
    start: [u8; 9],
    command: Vec<u8>,
    text_bytes: usize,
}

fn put(out: &mut [u8], mut value: u64) {
    for byte in out.iter_mut().rev() {
        *byte = HEX.get((value & 15) as usize).copied().unwrap_or(b'0');
        value >>= 4;
    }
}

fn get(bytes: &[u8]) -> Option<u64> {
    let mut value = 0u64;
    let mut bad = false;
    for &byte in bytes {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => {
                bad = true;
                0
            }
        };
        value = value << 4 | u64::from(digit);
    }
    (!bad).then_some(value)
}

impl Message {
    /// Messages of `text_bytes` characters for the run numbered `run`.
    pub(crate) fn new(run: u16, text_bytes: usize) -> Self {
        let text_bytes = text_bytes.max(TEXT_BYTES_MIN);
        let mut start = *b"\"lt:0000:";
        if let Some(digits) = start.get_mut(4..8) {
            put(digits, u64::from(run));
        }
        let mut command = FRAME_START.to_vec();
        command.extend_from_slice(start.get(1..).unwrap_or_default());
        command.extend_from_slice(b"00000000:0000:00000000:000000000000 ");
        command.extend(FILLER.iter().cycle().take(text_bytes - MARKER_BYTES + 2));
        command.truncate(FRAME_START.len() + text_bytes);
        command.extend_from_slice(b"\",\"type\":\"user\"}");
        Self {
            start,
            command,
            text_bytes,
        }
    }

    /// The JSON of one command, valid until the next call.
    pub(crate) fn command(&mut self, marker: &Marker) -> &[u8] {
        let at = FRAME_START.len() + 8;
        if let Some(fields) = self.command.get_mut(at..at + 35) {
            for (range, value) in [
                (0..8, u64::from(marker.room)),
                (9..13, u64::from(marker.slot)),
                (14..22, u64::from(marker.sequence)),
                (23..35, marker.sent),
            ] {
                if let Some(field) = fields.get_mut(range) {
                    put(field, value);
                }
            }
        }
        &self.command
    }

    /// The marker in a frame's payload, if this run published it; `Err` if the text after the marker is not what was sent.
    pub(crate) fn find(&self, payload: &[u8]) -> Option<Result<Marker, Marker>> {
        let quote = FRAME_START.len() - 1;
        let at = match payload.get(quote..quote + self.start.len()) {
            Some(start) if start == self.start => quote,
            _ => {
                let at = memmem::find(payload, &self.start)?;
                // An assistant that quotes us escapes the quotation mark before our text.
                if at > 0 && payload.get(at - 1) == Some(&b'\\') {
                    return None;
                }
                at
            }
        };
        let fields = payload.get(at + self.start.len()..)?;
        let marker = Marker {
            room: u32::try_from(get(fields.get(0..8)?)?).ok()?,
            slot: u16::try_from(get(fields.get(9..13)?)?).ok()?,
            sequence: u32::try_from(get(fields.get(14..22)?)?).ok()?,
            sent: get(fields.get(23..35)?)?,
        };
        let filler = at + 1 + MARKER_BYTES;
        let ours = FRAME_START.len() + MARKER_BYTES;
        let length = self.text_bytes + 1 - MARKER_BYTES;
        let same = payload.get(filler..filler + length) == self.command.get(ours..ours + length);
        Some(if same { Ok(marker) } else { Err(marker) })
    }

    /// Bytes of one command's JSON.
    pub(crate) fn command_bytes(&self) -> usize {
        self.command.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKER: Marker = Marker {
        room: 0xABCDE,
        slot: 513,
        sequence: 77,
        sent: 0x1234_5678_9ABC,
    };

    #[test]
    fn a_command_is_found_again_in_any_dress() {
        for size in [0, TEXT_BYTES_MIN, 64, 4096] {
            let mut message = Message::new(0xBEEF, size);
            let command = message.command(&MARKER).to_vec();
            let json: serde_json::Value = serde_json::from_slice(&command).unwrap();
            let text = json["message"].as_str().unwrap();
            assert_eq!(text.len(), size.max(TEXT_BYTES_MIN));
            assert_eq!(message.find(&command), Some(Ok(MARKER)));
            let dressed = format!("{{\"id\": 4, \"message\": \"{text}\", \"sender\": \"user\"}}");
            assert_eq!(message.find(dressed.as_bytes()), Some(Ok(MARKER)));
        }
    }

    #[test]
    fn quotes_other_runs_and_changed_text_are_told_apart() {
        let mut message = Message::new(1, 80);
        let command = String::from_utf8(message.command(&MARKER).to_vec()).unwrap();
        let quoted = format!(
            "{{\"message\":\"You said {}\"}}",
            command.replace('"', "\\\"")
        );
        assert_eq!(message.find(quoted.as_bytes()), None);
        assert_eq!(Message::new(2, 80).find(command.as_bytes()), None);
        assert_eq!(
            message.find(b"{\"message\":\"Welcome\",\"sender\":\"system\"}"),
            None
        );
        assert_eq!(
            message.find(command.replace("brown", "green").as_bytes()),
            Some(Err(MARKER))
        );
        let cut = command.replace("the quick brown", "the quick");
        assert_eq!(message.find(cut.as_bytes()), Some(Err(MARKER)));
    }
}
