//! One frame header (RFC 6455 section 5.2), checked byte by byte in the order of arrival.
//!
//! Each rule is decided at the first byte that can decide it, so any split of the same bytes ends
//! with the same violation, and an oversized message is refused before its payload.

use super::super::{Limits, Opcode, Violation, ViolationKind};

/// Longest header in bytes: 2, a 64-bit length and the mask.
pub(super) const HEAD_BYTES_MAX: usize = 14;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;
/// Value of the 7-bit length that says: 16 bits follow.
const LENGTH_16: u8 = 126;
/// Value of the 7-bit length that says: 64 bits follow.
const LENGTH_64: u8 = 127;

/// A whole, legal header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) opcode: Opcode,
    pub(super) fin: bool,
    /// Payload in bytes; a data frame's fits the message limit.
    pub(super) payload_bytes: usize,
    pub(super) mask: [u8; 4],
    /// Length of the header itself.
    pub(super) bytes: usize,
}

/// How far the message in progress has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    pub(super) bytes: usize,
    pub(super) fragments: usize,
}

/// The header at the start of `bytes`, or `None` if more bytes are needed.
pub(super) fn parse(
    bytes: &[u8],
    limits: &Limits,
    begun: Option<Begun>,
) -> Result<Option<FrameHead>, Violation> {
    let Some((&first, after)) = bytes.split_first() else {
        return Ok(None);
    };
    let opcode = check_first(first, limits, begun)?;
    let Some((&second, after)) = after.split_first() else {
        return Ok(None);
    };
    if second & MASKED == 0 {
        return Err(broken(ViolationKind::Mask, "frame without a mask"));
    }
    let short = second & LENGTH;
    if opcode.is_control() && short >= LENGTH_16 {
        let reason = "control frame longer than 125 bytes";
        return Err(broken(ViolationKind::Control, reason));
    }
    let Some((length, after)) = payload_length(short, after)? else {
        return Ok(None);
    };
    let payload_bytes = usize::try_from(length).unwrap_or(usize::MAX);
    let held = begun.map_or(0, |begun| begun.bytes);
    if !opcode.is_control() && payload_bytes > limits.message_bytes.saturating_sub(held) {
        return Err(broken(ViolationKind::Size, "message too big"));
    }
    let Some((mask, after)) = after.split_first_chunk::<4>() else {
        return Ok(None);
    };
    Ok(Some(FrameHead {
        opcode,
        fin: first & FIN != 0,
        payload_bytes,
        mask: *mask,
        bytes: bytes.len() - after.len(),
    }))
}

/// What the first byte alone decides.
fn check_first(first: u8, limits: &Limits, begun: Option<Begun>) -> Result<Opcode, Violation> {
    if first & RESERVED != 0 {
        return Err(broken(ViolationKind::Reserved, "reserved bit set"));
    }
    let Some(opcode) = Opcode::from_bits(first & OPCODE) else {
        return Err(broken(ViolationKind::Opcode, "unknown opcode"));
    };
    if opcode.is_control() {
        if first & FIN == 0 {
            return Err(broken(ViolationKind::Control, "fragmented control frame"));
        }
        return Ok(opcode);
    }
    match (opcode, begun) {
        (Opcode::Continuation, None) => {
            let reason = "continuation without a message";
            Err(broken(ViolationKind::Sequence, reason))
        }
        (Opcode::Continuation, Some(begun)) if begun.fragments >= limits.fragments => {
            Err(broken(ViolationKind::Fragments, "too many fragments"))
        }
        (Opcode::Text | Opcode::Binary, Some(_)) => Err(broken(
            ViolationKind::Sequence,
            "message begun inside another",
        )),
        _ => Ok(opcode),
    }
}

/// The payload's length and the bytes behind it; `None` if more bytes are needed.
fn payload_length(short: u8, after: &[u8]) -> Result<Option<(u64, &[u8])>, Violation> {
    let (length, minimum, after) = match short {
        LENGTH_16 => {
            let Some((bytes, after)) = after.split_first_chunk::<2>() else {
                return Ok(None);
            };
            (u64::from(u16::from_be_bytes(*bytes)), 126, after)
        }
        LENGTH_64 => {
            let Some((bytes, after)) = after.split_first_chunk::<8>() else {
                return Ok(None);
            };
            (u64::from_be_bytes(*bytes), 65_536, after)
        }
        short => (u64::from(short), 0, after),
    };
    if length >> 63 != 0 {
        let reason = "length with its highest bit set";
        return Err(broken(ViolationKind::Length, reason));
    }
    if length < minimum {
        let reason = "length not in its shortest form";
        return Err(broken(ViolationKind::Length, reason));
    }
    Ok(Some((length, after)))
}

const fn broken(kind: ViolationKind, reason: &'static str) -> Violation {
    Violation::new(kind, reason)
}
