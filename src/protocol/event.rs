//! What was said in a room, as a value.
//!
//! An event is what is published, and what channel layers read. A frame is a rendering of an event
//! ([`EventWriter`](super::EventWriter)), and nobody reads a frame to learn what it says.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::stamp::Moment;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sender {
    /// A member of the room.
    User,
    /// The assistant.
    Assistant,
    /// The server, or a system message of a member.
    System,
}

impl Sender {
    /// The value of the field `sender`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::System => "system",
        }
    }
}

/// Where an event comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EventOrigin {
    /// This server: a member of the room, or an assistant.
    #[default]
    Gateway,
    /// The HTTP API: a program of the site.
    Api,
    /// The Django site's channel layer.
    Django,
}

impl EventOrigin {
    /// Every origin.
    pub const ALL: [Self; 3] = [Self::Gateway, Self::Api, Self::Django];

    /// The word for it where events are read.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Api => "api",
            Self::Django => "django",
        }
    }
}

/// What is known of an event beside what it says: for those who keep it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct EventDetails {
    /// What its publisher calls it.
    pub id: Option<Box<str>>,
    /// The JSON that a publisher of the site added.
    pub meta: Option<Box<str>>,
    /// Where it comes from.
    pub origin: EventOrigin,
}

/// Who said what, and when. Borrowed while a message is on its way through a worker; its owner's own
/// ([`Event::into_owned`]) for those who keep it.
#[derive(Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// Who.
    pub sender: Sender,
    /// What: at most `chat.text_bytes_max` of a member, or a whole reply.
    pub text: Cow<'a, str>,
    /// Dialect `django`, when a member's `message` was not a string: the JSON that says it.
    pub json: Option<Cow<'a, str>>,
    /// When it was accepted.
    pub moment: Moment,
    /// The user's name, as the handshake has found it out; `None` where nobody knows. No frame of the plain dialects says it.
    pub author: Option<Arc<str>>,
    /// `None`: nothing more is known, and it comes from this server. In a box of its own, which most events do
    /// without.
    pub details: Option<Box<EventDetails>>,
}

impl<'a> Event<'a> {
    /// `text` as said by `sender` at `moment`.
    #[must_use]
    pub const fn new(sender: Sender, text: &'a str, moment: Moment) -> Self {
        Self {
            sender,
            text: Cow::Borrowed(text),
            json: None,
            moment,
            author: None,
            details: None,
        }
    }

    /// The same, with these details.
    #[must_use]
    pub fn with(self, details: EventDetails) -> Self {
        let has_any = details != EventDetails::default();
        Self {
            details: has_any.then(|| Box::new(details)),
            ..self
        }
    }

    /// The same, with a text of its own.
    #[must_use]
    pub fn into_owned(self) -> Event<'static> {
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Event {
            sender: self.sender,
            text: own(self.text),
            json: self.json.map(own),
            moment: self.moment,
            author: self.author,
            details: self.details,
        }
    }

    /// Bytes of what was said: what keeping an event costs beside the event itself.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let json = self.json.as_ref().map_or(0, |json| json.len());
        let author = self.author.as_ref().map_or(0, |author| author.len());
        let details = self.details.as_ref().map_or(0, |details| details.bytes());
        self.text.len() + json + author + details
    }
}

impl EventDetails {
    fn bytes(&self) -> usize {
        let texts = [&self.id, &self.meta];
        let bytes = texts.into_iter().flatten().map(|text| text.len());
        size_of::<Self>() + bytes.sum::<usize>()
    }
}

impl fmt::Debug for EventDetails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What the site says of it does not belong in logs.
        f.debug_struct("EventDetails")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What people say, and who they are, does not belong in logs.
        f.debug_struct("Event")
            .field("sender", &self.sender)
            .field("bytes", &self.bytes())
            .field("moment", &self.moment)
            .finish()
    }
}
