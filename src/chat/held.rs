//! What a member has said while the site vets it, and what becomes of it then: it is published as it would have been without
//! vetting, by its room's name, or its author is told why not.
//!
//! Called on the control plane's threads, or on the author's worker where the site is not asked; publishing never waits.
//! The author may be gone by then: what was taken from it is published all the same.

use super::reply;
use crate::assistant::{Dispatcher, Prompt};
use crate::broker::uplink::Author;
use crate::broker::{Broker, Publication};
use crate::clock::Clock;
use crate::config::Deliver;
use crate::metrics::{Metrics, count};
use crate::name::RoomName;
use crate::protocol::{ErrorCode, Event, EventWriter, Moment, Sender, Stamp};
use crate::transport::{Opcode, encoder};
use crate::vetting::{LackOfRoom, VetTo};
use std::sync::Arc;

/// One message on its way through the vetting.
pub(super) struct HeldSpeech {
    pub(super) broker: Arc<Broker>,
    pub(super) author: Author,
    /// The author's room, if it is a member of one.
    pub(super) room: Option<RoomName>,
    pub(super) deliver: Deliver,
    pub(super) writer: EventWriter,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    /// The question that a user's message is, but for its text.
    pub(super) prompt: Option<Prompt>,
    pub(super) assistant: Dispatcher,
    /// The author says nothing more until its question is answered, whose reply ends that wait.
    pub(super) waits_for_reply: bool,
}

impl HeldSpeech {
    fn publication(&self, payload: &[u8]) -> Publication {
        Publication {
            frame: encoder::frame(Opcode::Text, payload),
            deadline: self.broker.deadline(self.clock.now()),
            event: None,
        }
    }

    /// Sends an event to whom it is for.
    fn deliver(&self, publication: Publication) {
        let (broker, author) = (&self.broker, self.author);
        match &self.room {
            Some(room) if self.deliver == Deliver::Room => {
                broker.say_by_name(room, &publication, author);
            }
            room => {
                if let Some(room) = room {
                    broker.say_alone_by_name(room, &publication, author);
                }
                self.tell(publication);
            }
        }
    }

    /// Says something to the author alone.
    fn tell(&self, publication: Publication) {
        let Author { worker, connection } = self.author;
        self.broker
            .direct(worker, connection, publication, false, None);
    }

    /// The author goes on, and nothing more is owed to it.
    fn release(&self) {
        self.broker.resume(self.author);
        self.broker.answered(self.author);
    }

    fn refuse_with(&self, reason: &'static str, payload: &[u8]) {
        count(&self.metrics.commands_refused, "reason", reason);
        self.tell(self.publication(payload));
        self.release();
    }

    fn refuse_for(&self, code: ErrorCode) {
        let mut payload = Vec::new();
        self.writer.error(&mut payload, code);
        self.refuse_with(code.label(), &payload);
    }
}

impl VetTo for HeldSpeech {
    fn lack(&self) -> Option<LackOfRoom> {
        let (broker, worker) = (&self.broker, self.author.worker);
        let room = self.room.as_ref().filter(|_| self.deliver == Deliver::Room);
        let is_full = match room {
            Some(room) => broker.is_full(room),
            None => broker.mailboxes().is_full(worker),
        };
        if !is_full {
            return None;
        }
        let (broker, room) = (Arc::clone(broker), room.cloned());
        Some(Box::pin(async move {
            match room {
                Some(room) => broker.wait_while_full(&room).await,
                None => broker.mailboxes().wait_while_full(worker).await,
            }
        }))
    }

    fn publish(mut self: Box<Self>, event: Event<'static>) {
        // What keeps events may have filled up meanwhile.
        if self.broker.refuses() {
            return self.refuse_for(ErrorCode::Busy);
        }
        let prompt = self.prompt.take().map(|prompt| Prompt {
            text: event.text.to_string(),
            ..prompt
        });
        // The moment is that of its place in the room.
        let moment = Moment::from(self.clock.wall());
        let event = Event { moment, ..event };
        let mut payload = Vec::with_capacity(event.bytes() + 128);
        self.writer
            .event(&mut payload, &event, &mut Stamp::new(0, 0));
        let is_user = event.sender == Sender::User;
        let kind = if is_user { "user" } else { "system" };
        count(&self.metrics.commands, "kind", kind);
        let wants_events = self.broker.wants_events();
        let publication = Publication {
            event: wants_events.then(|| Arc::new(event)),
            ..self.publication(&payload)
        };
        self.deliver(publication);
        let is_asked = prompt.is_some_and(|prompt| reply::ask(&self.assistant, prompt));
        match (is_asked, self.waits_for_reply) {
            (false, _) => self.release(),
            // What is owed to the author is the reply now.
            (true, false) => self.broker.resume(self.author),
            (true, true) => {}
        }
    }

    fn refuse(self: Box<Self>, why: &str) {
        let mut payload = Vec::new();
        self.writer.refusal(&mut payload, why);
        self.refuse_with("vetted", &payload);
    }

    fn turn_away(self: Box<Self>) {
        self.refuse_for(ErrorCode::Busy);
    }
}
