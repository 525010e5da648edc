//! Server frames: header and payload in one exact allocation, unmasked (RFC 6455 section 5.1).
//!
//! Not for choosing what to say. Called by the worker and the broker's publishers through it: a
//! frame is encoded once and shared by every member.

use super::Opcode;
use bytes::Bytes;

/// Longest payload of a control frame in bytes (RFC 6455 section 5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

/// Longest reason of a close frame in bytes: the code takes two.
pub const REASON_BYTES_MAX: usize = CONTROL_BYTES_MAX - 2;

/// Length of a whole server frame with such a payload, in bytes.
#[must_use]
pub const fn frame_len(payload_len: usize) -> usize {
    payload_len
        + match payload_len {
            0..126 => 2,
            126..65_536 => 4,
            _ => 10,
        }
}

/// Appends the header of a final frame.
pub fn put_header(out: &mut Vec<u8>, opcode: Opcode, payload_len: usize) {
    out.push(0x80 | opcode as u8);
    if let Ok(short @ 0..126) = u8::try_from(payload_len) {
        out.push(short);
    } else if let Ok(medium) = u16::try_from(payload_len) {
        out.push(126);
        out.extend_from_slice(&medium.to_be_bytes());
    } else {
        out.push(127);
        // usize has at most 64 bits on every target there is.
        out.extend_from_slice(&(payload_len as u64).to_be_bytes());
    }
}

/// One final frame.
#[must_use]
pub fn frame(opcode: Opcode, payload: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(frame_len(payload.len()));
    put_header(&mut out, opcode, payload.len());
    out.extend_from_slice(payload);
    Bytes::from(out)
}

/// A ping; the payload is cut at 125 bytes.
#[must_use]
pub fn ping(payload: &[u8]) -> Bytes {
    frame(Opcode::Ping, cut(payload))
}

/// The answer to a ping; the payload, a ping's, is at most 125 bytes and cut there.
#[must_use]
pub fn pong(payload: &[u8]) -> Bytes {
    frame(Opcode::Pong, cut(payload))
}

/// A close frame. The reason is cut at 123 bytes on a character boundary and needs a code.
#[must_use]
pub fn close(code: Option<u16>, reason: &str) -> Bytes {
    let Some(code) = code else {
        return frame(Opcode::Close, b"");
    };
    let end = reason.floor_char_boundary(REASON_BYTES_MAX);
    let reason = reason.as_bytes().get(..end).unwrap_or_default();
    let mut out = Vec::with_capacity(frame_len(2 + reason.len()));
    put_header(&mut out, Opcode::Close, 2 + reason.len());
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason);
    Bytes::from(out)
}

fn cut(payload: &[u8]) -> &[u8] {
    payload.get(..CONTROL_BYTES_MAX).unwrap_or(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_length_form_starts_at_its_boundary() {
        for (payload, head) in [
            (0, vec![0x82, 0]),
            (1, vec![0x82, 1]),
            (125, vec![0x82, 125]),
            (126, vec![0x82, 126, 0, 126]),
            (127, vec![0x82, 126, 0, 127]),
            (255, vec![0x82, 126, 0, 255]),
            (256, vec![0x82, 126, 1, 0]),
            (65_535, vec![0x82, 126, 255, 255]),
            (65_536, vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
            (70_000, vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]),
        ] {
            let frame = frame(Opcode::Binary, &vec![7; payload]);
            assert_eq!(frame.get(..head.len()), Some(&head[..]), "{payload}");
            assert_eq!(frame.len(), head.len() + payload);
            assert_eq!(frame.len(), frame_len(payload));
            assert!(frame[head.len()..].iter().all(|byte| *byte == 7));
        }
    }

    #[test]
    fn each_opcode_has_its_bits() {
        for (opcode, first) in [
            (Opcode::Continuation, 0x80),
            (Opcode::Text, 0x81),
            (Opcode::Binary, 0x82),
            (Opcode::Close, 0x88),
            (Opcode::Ping, 0x89),
            (Opcode::Pong, 0x8a),
        ] {
            assert_eq!(&frame(opcode, b"x")[..], &[first, 1, b'x']);
            assert_eq!(Opcode::from_bits(opcode as u8), Some(opcode));
        }
    }

    #[test]
    fn control_payloads_are_cut_at_125_bytes() {
        assert_eq!(&pong(b"hi")[..], b"\x8a\x02hi");
        assert_eq!(&ping(b"")[..], b"\x89\x00");
        assert_eq!(pong(&[1; 125]).len(), 127);
        assert_eq!(pong(&[1; 126]).len(), 127);
    }

    #[test]
    fn a_close_frame_holds_code_and_reason() {
        assert_eq!(&close(None, "ignored")[..], b"\x88\x00");
        assert_eq!(&close(Some(1000), "")[..], b"\x88\x02\x03\xe8");
        assert_eq!(&close(Some(4008), "slow")[..], b"\x88\x06\x0f\xa8slow");
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(close(Some(1000), &"r".repeat(123)).len(), 127);
        assert_eq!(close(Some(1000), &"r".repeat(500)).len(), 127);
        let frame = close(Some(1000), &"\u{20ac}".repeat(60));
        assert_eq!(frame.len(), 2 + 2 + 123);
        let frame = close(Some(1000), &format!("r{}", "\u{20ac}".repeat(60)));
        assert_eq!(frame.len(), 2 + 2 + 121);
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
    }
}
