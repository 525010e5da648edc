//! Every message goes back to who sent it, as it came: for conformance suites and probes.

use crate::broker::{Consumer, Context, Message, Verdict};
use crate::transport::{Opcode, encoder};

/// Somebody who hears itself.
#[derive(Debug)]
pub(super) struct Echo;

impl Consumer for Echo {
    fn message(&mut self, cx: &mut Context<'_>, message: Message<'_>) -> Verdict {
        let publication = cx.framed(frame(&message));
        cx.send_ready(publication);
        Verdict::Done
    }
}

/// A message as it goes out: the bytes untouched.
pub(super) fn frame(message: &Message<'_>) -> bytes::Bytes {
    let opcode = if message.is_text() {
        Opcode::Text
    } else {
        Opcode::Binary
    };
    encoder::frame(opcode, message.bytes())
}
