//! The chat contract of the guide: a member of a room says something, and all members hear it.

use super::codec::Codec;
use crate::broker::{Consumer, Context, Message, Verdict};

/// A member of a chat.
#[derive(Debug)]
pub(super) struct Guide<'a>(pub(super) &'a mut Codec);

impl Consumer for Guide<'_> {
    fn joined(&mut self, cx: &mut Context<'_>) -> Verdict {
        if let Some(room) = cx.room {
            let name = room.name();
            self.0.welcome(cx, name.business_id(), name.session_id());
        }
        Verdict::Done
    }

    fn message(&mut self, cx: &mut Context<'_>, message: Message<'_>) -> Verdict {
        let prompts = cx.room.map(|room| room.name());
        self.0.hear(cx, message, true, prompts)
    }

    fn too_many(&mut self, cx: &mut Context<'_>) {
        self.0.too_many(cx);
    }
}
