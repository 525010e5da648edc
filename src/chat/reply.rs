//! Where an assistant's reply goes: into the room, or to the one connection that asked.
//!
//! Called on the control plane's threads, at most `assistant.concurrency` at once; publishing never
//! waits.

use crate::assistant::{Asked, Dispatcher, Prompt, ReplyMeta, ReplyTo};
use crate::broker::uplink::Author;
use crate::broker::{Broker, Publication};
use crate::clock::Clock;
use crate::name::RoomName;
use crate::protocol::{Event, EventDetails, EventWriter, Moment, Sender, Stamp};
use crate::transport::{Opcode, encoder};
use std::sync::Arc;
use std::time::Duration;

/// Asks. True if there will be one reply or apology; false if nobody answers.
pub(super) fn ask(assistant: &Dispatcher, prompt: Prompt) -> bool {
    match assistant.ask(prompt) {
        Asked::Off => return false,
        Asked::Accepted => {}
        // The apology is on its way like any reply, so a waiting connection is resumed by it.
        Asked::Busy(prompt) => prompt.reply.apologise(),
    }
    true
}

/// The way of the reply to one question.
#[derive(Debug)]
pub(super) struct ChatReply {
    pub(super) broker: Arc<Broker>,
    /// The name of the room that is to hear it: members may have left and come meanwhile, here and on other
    /// nodes. `None`: the asker alone hears it.
    pub(super) room: Option<RoomName>,
    pub(super) asker: Author,
    /// Where the asker alone hears it: the asker's room, where it is kept all the same.
    pub(super) kept_in: Option<RoomName>,
    /// The connection waits for this reply before it takes its next message.
    pub(super) resume: bool,
    pub(super) writer: EventWriter,
    pub(super) expiry: Duration,
    pub(super) clock: Clock,
}

impl ChatReply {
    fn render(&self, text: &str, meta: Option<&ReplyMeta>) -> Publication {
        let event = Event::new(Sender::Assistant, text, Moment::from(self.clock.wall()));
        let mut payload = Vec::with_capacity(text.len() + 128);
        self.writer
            .event(&mut payload, &event, &mut Stamp::new(0, 0));
        if let Some(meta) = meta.filter(|meta| meta.is_shown()) {
            self.writer.meta(&mut payload, meta.as_json());
        }
        let event = self.broker.keeps_events().then(|| {
            let event = match meta {
                Some(meta) => event.with(EventDetails {
                    meta: Some(meta.as_json().into()),
                    ..EventDetails::default()
                }),
                None => event,
            };
            Arc::new(event.into_owned())
        });
        Publication {
            frame: encoder::frame(Opcode::Text, &payload),
            deadline: self.clock.now() + self.expiry,
            event,
        }
    }
}

impl ReplyTo for ChatReply {
    fn reply(self: Box<Self>, text: String, meta: Option<ReplyMeta>) {
        let publication = self.render(&text, meta.as_ref());
        let broker = &self.broker;
        let room = self.room.as_ref();
        if let (Some(name), Some(event)) = (&self.kept_in, &publication.event) {
            broker.keep_by_name(name, event);
        }
        // Where nobody is left the delivery is owed to the asker, whose worker drops and counts it.
        if !room.is_some_and(|room| broker.publish_by_name(room, &publication).is_anybody()) {
            let Author { worker, connection } = self.asker;
            broker.direct(worker, connection, publication, self.resume, None);
        }
        // Behind the reply, for an asker that stays for nothing else.
        broker.answered(self.asker);
    }

    fn merged(self: Box<Self>) {
        self.broker.answered(self.asker);
    }

    fn silent(self: Box<Self>) {
        if self.resume {
            self.broker.resume(self.asker);
        }
        self.broker.answered(self.asker);
    }
}
