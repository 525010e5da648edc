//! Where an assistant's reply goes: into the room, or to the one connection that asked.
//!
//! Called on the control plane's threads, at most `assistant.concurrency` at once; publishing never
//! waits.

use crate::assistant::ReplyTo;
use crate::broker::uplink::Author;
use crate::broker::{Broker, Publication};
use crate::clock::Clock;
use crate::name::RoomName;
use crate::protocol::{APOLOGY, Event, EventWriter, Moment, Sender, Stamp};
use crate::transport::{Opcode, encoder};
use std::sync::Arc;
use std::time::Duration;

/// What turns a text into a publication.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReplyRenderer {
    pub(super) writer: EventWriter,
    pub(super) expiry: Duration,
    pub(super) clock: Clock,
}

impl ReplyRenderer {
    fn render(&self, text: &str) -> Publication {
        let event = Event::new(Sender::Assistant, text, Moment::from(self.clock.wall()));
        let mut payload = Vec::with_capacity(text.len() + 128);
        self.writer
            .event(&mut payload, &event, &mut Stamp::new(0, 0));
        Publication {
            frame: encoder::frame(Opcode::Text, &payload),
            deadline: self.clock.now() + self.expiry,
            // An assistant's answers are for members and other nodes, who are written the frame.
            event: None,
        }
    }
}

/// Replies into a room.
#[derive(Debug)]
pub(super) struct RoomReply {
    pub(super) broker: Arc<Broker>,
    /// The room's name: members may have left and come meanwhile, here and on other nodes.
    pub(super) room: RoomName,
    pub(super) asker: Author,
    pub(super) renderer: ReplyRenderer,
}

impl ReplyTo for RoomReply {
    fn reply(self: Box<Self>, text: String) {
        let publication = self.renderer.render(&text);
        if !self.broker.publish_by_name(&self.room, &publication) {
            // Nobody is left: the delivery is owed to the asker, whose worker drops and counts it.
            let Author { worker, connection } = self.asker;
            self.broker
                .direct(worker, connection, publication, false, None);
        }
        // Behind the reply, for an asker that stays for nothing else.
        self.broker.answered(self.asker);
    }

    fn apologise(self: Box<Self>) {
        self.reply(APOLOGY.to_owned());
    }
}

/// Replies to one connection.
#[derive(Debug)]
pub(super) struct ConnectionReply {
    pub(super) broker: Arc<Broker>,
    pub(super) asker: Author,
    /// The connection waits for this reply before it takes its next message.
    pub(super) resume: bool,
    pub(super) renderer: ReplyRenderer,
}

impl ReplyTo for ConnectionReply {
    fn reply(self: Box<Self>, text: String) {
        let publication = self.renderer.render(&text);
        let Author { worker, connection } = self.asker;
        self.broker
            .direct(worker, connection, publication, self.resume, None);
        self.broker.answered(self.asker);
    }

    fn apologise(self: Box<Self>) {
        self.reply(APOLOGY.to_owned());
    }
}
