//! The chat contract of `django_supportal` (dialect `django`): it also takes in those who cannot join, and tells
//! them so.

use super::codec::Codec;
use crate::broker::{Consumer, Context, Message, Verdict};
use crate::name::RoomName;

/// A connection of dialect `django`.
#[derive(Debug)]
pub struct DjangoPeer {
    /// The business as the path names it.
    pub business_id: String,
    /// The session as the path names it.
    pub session_id: String,
    /// The text of the connection error that replaces the welcome.
    pub error: Option<&'static str>,
    /// Are its commands answered, or does each one fail?
    pub answers: bool,
    /// The room its prompts are asked in; of its own if it could not join one.
    pub prompts: RoomName,
}

/// Serves connections of dialect `django`.
#[derive(Debug)]
pub(super) struct Django<'a> {
    pub(super) codec: &'a mut Codec,
    /// `None` for a role without one, which `chat::django` does not make.
    pub(super) peer: Option<&'a DjangoPeer>,
}

impl Consumer for Django<'_> {
    fn joined(&mut self, cx: &mut Context<'_>) -> Verdict {
        if let Some(peer) = self.peer {
            match peer.error {
                Some(error) => self.codec.refuse(cx, error),
                None => {
                    let (business_id, session_id) = (&peer.business_id, &peer.session_id);
                    self.codec.welcome(cx, business_id, session_id);
                }
            }
        }
        Verdict::Done
    }

    fn message(&mut self, cx: &mut Context<'_>, message: Message<'_>) -> Verdict {
        let answers = self.peer.is_none_or(|peer| peer.answers);
        let prompts = self.peer.map(|peer| &peer.prompts);
        self.codec.hear(cx, message, answers, prompts)
    }

    fn too_many(&mut self, cx: &mut Context<'_>) {
        self.codec.too_many(cx);
    }
}
