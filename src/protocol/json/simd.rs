//! The first reader: simd-json. What it refuses, [`read`](super::read) may still take.

use std::fmt;

use simd_json::{Buffers, Node, Tape};

use super::{Members, MessageField, TextPlace, Type};

/// Deepest nesting that this reader takes. Half of simd-json's default: the stack it keeps per level is
/// the worker's for good. Deeper payloads go to the second reader.
const DEPTH_MAX: usize = 512;

/// Reads with buffers that it keeps, as long as the longest payload so far.
pub(in crate::protocol) struct SimdReader {
    buffers: Buffers,
    tape: Tape<'static>,
}

impl fmt::Debug for SimdReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimdReader").finish_non_exhaustive()
    }
}

impl SimdReader {
    /// A reader with small buffers.
    pub(in crate::protocol) fn new() -> Self {
        Self {
            buffers: Buffers::with_max_depth(1024, DEPTH_MAX),
            tape: Tape(Vec::with_capacity(16)),
        }
    }

    /// Reads a payload that is one JSON object, and undoes its escapes in place. `None` for any other,
    /// and for numbers beyond 64 bits, halves of surrogate pairs and more than 512 levels of nesting.
    ///
    /// A payload without a backslash is never modified, refused or not: simd-json reads from a padded
    /// copy of its own, and every one of its `parse_str` (AVX2, SSE 4.2, NEON, native) returns at the
    /// closing quote before the first write, unless a backslash comes earlier.
    pub(in crate::protocol) fn read(&mut self, payload: &mut [u8]) -> Option<Members> {
        let start = payload.as_ptr().addr();
        let mut tape = std::mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let members = simd_json::fill_tape(payload, &mut self.buffers, &mut tape)
            .ok()
            .and_then(|()| find_members(&tape.0, start));
        self.tape = tape.reset();
        members
    }
}

/// Walks the names of the outermost object; the last of equal names wins. Texts are in a payload that
/// begins at the address `start`.
fn find_members(nodes: &[Node<'_>], start: usize) -> Option<Members> {
    let (Node::Object { len, .. }, mut rest) = nodes.split_first()? else {
        return None;
    };
    let mut members = Members::default();
    for _ in 0..*len {
        let [Node::String(name), value, tail @ ..] = rest else {
            return None;
        };
        match *name {
            "message" => {
                members.message = match value {
                    Node::String(text) => MessageField::Text(place(text, start)),
                    _ => MessageField::Other,
                }
            }
            "type" => {
                members.kind = match value {
                    Node::String("user") => Type::User,
                    Node::String("system") => Type::System,
                    _ => Type::Unknown,
                }
            }
            _ => {}
        }
        let nested = match value {
            Node::Object { count, .. } | Node::Array { count, .. } => *count,
            Node::String(_) | Node::Static(_) => 0,
        };
        rest = tail.get(nested..)?;
    }
    Some(members)
}

/// Where a text is. By its place, not as a reference: that would keep the payload borrowed for the
/// second reader too.
fn place(text: &str, start: usize) -> TextPlace {
    let at = text.as_ptr().addr().wrapping_sub(start);
    TextPlace {
        range: at..at.wrapping_add(text.len()),
        ..TextPlace::default()
    }
}
