//! The chat contract of the guide: a member of a room says something, and all members hear it.

use super::codec::Codec;
use crate::broker::{Consumer, Context, Message, Verdict};

/// A member of a chat.
#[derive(Debug)]
pub(super) struct Guide<'a> {
    codec: &'a mut Codec,
}

impl<'a> Guide<'a> {
    pub(super) fn new(codec: &'a mut Codec) -> Self {
        Self { codec }
    }
}

impl Consumer for Guide<'_> {
    fn joined(&mut self, cx: &mut Context<'_>) -> Verdict {
        if let Some(room) = cx.room {
            let name = room.name();
            self.codec
                .welcome(cx, name.business_id(), name.session_id());
        }
        Verdict::Done
    }

    fn message(&mut self, cx: &mut Context<'_>, message: Message<'_>) -> Verdict {
        let prompts = cx.room.map(|room| room.name());
        self.codec.hear(cx, message, true, prompts)
    }

    fn too_many(&mut self, cx: &mut Context<'_>) {
        self.codec.too_many(cx);
    }
}
