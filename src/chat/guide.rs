//! The chat contract of the guide: a member of a room says something, and all members hear it.

use super::codec::{Codec, Speech};
use crate::broker::{Consumer, Context, Message, Role, Verdict};

/// A member of a chat. `VETS`: what it says is vetted.
#[derive(Debug)]
pub(super) struct Guide<'a, const VETS: bool> {
    pub(super) codec: &'a mut Codec,
    /// Who the member is.
    pub(super) role: &'a mut Role,
}

impl<const VETS: bool> Consumer for Guide<'_, VETS> {
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
        let speech = Speech {
            by: self.role,
            answers: true,
            prompts,
        };
        self.codec.hear::<VETS>(cx, message, speech)
    }

    fn too_many(&mut self, cx: &mut Context<'_>) {
        self.codec.too_many(cx);
    }
}
