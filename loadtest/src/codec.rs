//! WebSocket frames as this program needs them: masked or plain frames out, an incremental reader in.
//! Independent of the server's codec on purpose (RFC 6455 section 5.2). Fragments are passed on as they come:
//! the servers measured here send chat frames whole, and a fragmented one is counted as not ours.

use std::ops::Range;

/// Largest frame accepted, in bytes; a longer announced length is a broken peer, not a chat frame.
pub(crate) const FRAME_BYTES_MAX: u64 = 16 << 20;

/// Operation codes.
pub(crate) mod opcode {
    /// UTF-8 text.
    pub(crate) const TEXT: u8 = 0x1;
    /// Close.
    pub(crate) const CLOSE: u8 = 0x8;
    /// Ping.
    pub(crate) const PING: u8 = 0x9;
    /// Pong.
    pub(crate) const PONG: u8 = 0xA;
}

/// Where one frame lies in the bytes it was parsed from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Operation code, lower four bits of the first byte.
    pub(crate) opcode: u8,
    pub(crate) last: bool,
    /// Masking key, if the frame is masked.
    pub(crate) mask: Option<[u8; 4]>,
    /// Payload, still masked.
    pub(crate) payload: Range<usize>,
}

/// What the bytes at the front hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// A whole frame.
    Frame(Frame),
    /// More bytes are needed.
    Partial,
    /// No WebSocket peer sends this.
    Broken(&'static str),
}

/// Looks at the bytes from `at` on.
pub(crate) fn parse(bytes: &[u8], at: usize) -> Parsed {
    let Some(&[first, second]) = bytes.get(at..at + 2) else {
        return Parsed::Partial;
    };
    if first & 0x70 != 0 {
        return Parsed::Broken("reserved bits without an extension");
    }
    let (length, mut next) = match second & 0x7F {
        126 => match bytes.get(at + 2..at + 4) {
            Some(&[a, b]) => (u64::from(u16::from_be_bytes([a, b])), at + 4),
            _ => return Parsed::Partial,
        },
        127 => match bytes
            .get(at + 2..at + 10)
            .and_then(|b| <[u8; 8]>::try_from(b).ok())
        {
            Some(eight) => (u64::from_be_bytes(eight), at + 10),
            None => return Parsed::Partial,
        },
        short => (u64::from(short), at + 2),
    };
    if length > FRAME_BYTES_MAX {
        return Parsed::Broken("frame longer than 16 MiB");
    }
    let mut mask = None;
    if second & 0x80 != 0 {
        match bytes
            .get(next..next + 4)
            .and_then(|b| <[u8; 4]>::try_from(b).ok())
        {
            Some(key) => mask = Some(key),
            None => return Parsed::Partial,
        }
        next += 4;
    }
    let Ok(length) = usize::try_from(length) else {
        return Parsed::Broken("length");
    };
    if bytes.len() - next.min(bytes.len()) < length {
        return Parsed::Partial;
    }
    let (opcode, last) = (first & 0x0F, first & 0x80 != 0);
    Parsed::Frame(Frame {
        opcode,
        last,
        mask,
        payload: next..next + length,
    })
}

/// Appends the header of a final frame.
fn header(out: &mut Vec<u8>, opcode: u8, length: usize, mask_bit: u8) {
    out.push(0x80 | opcode);
    if length < 126 {
        out.push(mask_bit | length as u8);
    } else if let Ok(length) = u16::try_from(length) {
        out.push(mask_bit | 126);
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.push(mask_bit | 127);
        out.extend_from_slice(&(length as u64).to_be_bytes());
    }
}

/// Appends a server's frame: final, not masked.
pub(crate) fn write_plain(out: &mut Vec<u8>, opcode: u8, parts: &[&[u8]]) {
    header(out, opcode, parts.iter().map(|part| part.len()).sum(), 0);
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Appends a client's frame: final, masked with `key`.
pub(crate) fn write_masked(out: &mut Vec<u8>, opcode: u8, key: [u8; 4], parts: &[&[u8]]) {
    header(out, opcode, parts.iter().map(|part| part.len()).sum(), 0x80);
    out.extend_from_slice(&key);
    let start = out.len();
    for part in parts {
        out.extend_from_slice(part);
    }
    if let Some(payload) = out.get_mut(start..) {
        apply_mask(payload, key);
    }
}

/// Masks or unmasks in place, eight bytes at a time.
pub(crate) fn apply_mask(payload: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = payload.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_length_form_round_trips() {
        for length in [0, 1, 7, 8, 9, 125, 126, 127, 65_535, 65_536, 70_000] {
            let payload: Vec<u8> = (0..length).map(|i| i as u8).collect();
            let mut out = Vec::new();
            write_masked(&mut out, opcode::TEXT, [1, 2, 3, 4], &[&payload]);
            let Parsed::Frame(frame) = parse(&out, 0) else {
                panic!("whole frame")
            };
            assert_eq!(frame.payload.end, out.len());
            let range = frame.payload.clone();
            apply_mask(&mut out[range.clone()], frame.mask.unwrap());
            assert_eq!(out[range], payload[..]);
        }
    }

    #[test]
    fn every_prefix_is_partial() {
        for length in [0, 5, 200, 70_000] {
            let mut out = Vec::new();
            write_plain(&mut out, opcode::TEXT, &[&vec![b'x'; length]]);
            for end in (0..out.len()).take(300) {
                assert_eq!(parse(&out[..end], 0), Parsed::Partial);
            }
        }
    }

    #[test]
    fn absurd_lengths_and_reserved_bits_are_broken() {
        assert!(matches!(
            parse(&[0x81, 127, 0xFF, 0, 0, 0, 0, 0, 0, 0], 0),
            Parsed::Broken(_)
        ));
        assert!(matches!(parse(&[0xC1, 0], 0), Parsed::Broken(_)));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_frames(
            lengths in prop::collection::vec(0usize..400, 1..12),
            cuts in prop::collection::vec(1usize..64, 1..64),
        ) {
            let mut wire = Vec::new();
            for (i, length) in lengths.iter().enumerate() {
                write_plain(&mut wire, opcode::TEXT, &[&vec![i as u8; *length]]);
            }
            let (mut seen, mut buffer, mut at) = (Vec::new(), Vec::new(), 0);
            let mut cuts = cuts.iter().cycle();
            let mut rest = &wire[..];
            while !rest.is_empty() {
                let (piece, after) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                buffer.extend_from_slice(piece);
                rest = after;
                while let Parsed::Frame(frame) = parse(&buffer, at) {
                    seen.push(frame.payload.len());
                    at = frame.payload.end;
                }
            }
            prop_assert_eq!(seen, lengths);
            prop_assert_eq!(at, wire.len());
        }
    }
}
