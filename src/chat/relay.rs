//! The members of a room see each other's messages, as they came.

use super::echo::frame;
use crate::broker::{Consumer, Context, Message, Verdict};

/// A member whose every message goes to all members of its room, text and binary, untouched.
#[derive(Debug)]
pub(super) struct Relay;

impl Consumer for Relay {
    fn message(&mut self, cx: &mut Context<'_>, message: Message<'_>) -> Verdict {
        cx.publish_ready(&cx.framed(frame(&message)));
        Verdict::Done
    }
}
