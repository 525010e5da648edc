//! The chat contract of `django_supportal` (dialect `django`): it also takes in those who cannot join, and tells
//! them so.

use super::codec::{Codec, Speech};
use crate::broker::{Consumer, Context, Message, Role, Verdict};
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

/// Serves connections of dialect `django`. `VETS`: what they say is vetted.
#[derive(Debug)]
pub(super) struct Django<'a, const VETS: bool> {
    pub(super) codec: &'a mut Codec,
    /// Who the connection is; without a [`DjangoPeer`] only if `chat::django` has not made it.
    pub(super) role: &'a mut Role,
}

impl<const VETS: bool> Consumer for Django<'_, VETS> {
    fn joined(&mut self, cx: &mut Context<'_>) -> Verdict {
        if let Some(peer) = self.role.state::<DjangoPeer>() {
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
        let peer = self.role.state::<DjangoPeer>();
        let answers = peer.is_none_or(|peer| peer.answers);
        let prompts = peer.map(|peer| &peer.prompts);
        let speech = Speech {
            by: self.role,
            answers,
            prompts,
        };
        self.codec.hear::<VETS>(cx, message, speech)
    }

    fn too_many(&mut self, cx: &mut Context<'_>) {
        self.codec.too_many(cx);
    }
}
