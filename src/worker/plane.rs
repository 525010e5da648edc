//! What a worker's connections share: the contract's codec, the way into rooms, the counters; and
//! [`Speaker`], which gives one connection's messages their meaning.

use super::Supplies;
use super::connection::{Surroundings, Verdict};
use super::reply::{ConnectionReply, RoomReply};
use crate::assistant::{Asked, Dispatcher, Prompt, ReplyTo};
use crate::broker::ledger::Ledger;
use crate::broker::room::Room;
use crate::broker::uplink::Author;
use crate::broker::{Broker, ConnectionKey, Publication};
use crate::clock::{Clock, Millis};
use crate::config::{BridgeMode, Deliver, Dialect};
use crate::metrics::{Metrics, count};
use crate::name::RoomName;
use crate::protocol::{self, CloseReason, ErrorCode, Parser, Rejected, Stamp, Writer};
use crate::transport::{Kind, Opcode, encoder};

use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// What a connection is for.
#[derive(Debug)]
pub enum Role {
    /// The chat contract, as a member of a room.
    Chat,
    /// The chat contract in dialect `django`, which also takes in those who cannot join.
    Visit(Box<Visit>),
    /// Every message goes back as it came.
    Echo,
}

/// A connection of dialect `django`.
#[derive(Debug)]
pub struct Visit {
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

/// Plain counters of one turn, added to the shared metrics at its end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) users: u64,
    pub(super) systems: u64,
    pub(super) bytes_read: u64,
    pub(super) bytes_written: u64,
    pub(super) writes: u64,
    pub(super) accepted: u64,
}

/// Shared by the connections of one worker.
#[derive(Debug)]
pub(super) struct Plane {
    pub(super) worker: usize,
    pub(super) broker: Arc<Broker>,
    pub(super) assistant: Dispatcher,
    pub(super) metrics: Arc<Metrics>,
    pub(super) ledger: Ledger,
    pub(super) tally: Tally,
    pub(super) now: Millis,
    pub(super) clock: Clock,
    writer: Writer,
    deliver: Deliver,
    welcome: bool,
    text_bytes_max: usize,
    expiry: Duration,
    /// How long an own message may take to come back in the order of all nodes.
    order_timeout: Duration,
    assistant_timeout: Duration,
    parser: Parser,
    stamp: Stamp,
    scratch: Vec<u8>,
}

impl Plane {
    pub(super) fn new(worker: usize, now: Millis, supplies: &Supplies) -> Self {
        let config = &supplies.config;
        Self {
            worker,
            broker: Arc::clone(&supplies.broker),
            assistant: supplies.assistant.clone(),
            metrics: Arc::clone(&supplies.metrics),
            ledger: Ledger::default(),
            tally: Tally::default(),
            now,
            clock: supplies.clock,
            writer: Writer::new(config.chat.dialect),
            deliver: config.chat.deliver,
            welcome: config.chat.welcome,
            text_bytes_max: config.chat.text_bytes_max,
            expiry: config.queue.expiry,
            order_timeout: match config.bridge.mode {
                BridgeMode::Streams => config.bridge.order_timeout,
                BridgeMode::Off | BridgeMode::Pubsub => Duration::ZERO,
            },
            assistant_timeout: config.assistant.timeout,
            parser: Parser::new(),
            stamp: Stamp::new(0, 0),
            scratch: Vec::with_capacity(1024),
        }
    }

    /// Takes the turn's time.
    pub(super) fn begin_turn(&mut self, now: Millis, (second, micros): (u64, u32)) {
        self.now = now;
        self.stamp.set(second, micros);
    }

    fn publication(&mut self) -> Publication {
        let frame = encoder::frame(Opcode::Text, &self.scratch);
        // One long message must not keep its size for good.
        if self.scratch.capacity() > 64 * 1024 {
            self.scratch = Vec::with_capacity(1024);
        }
        Publication {
            frame,
            deadline: self.now + self.expiry,
            event: None,
        }
    }

    pub(super) fn direct(&mut self, connection: ConnectionKey, publication: Publication) {
        self.broker.direct(
            self.worker,
            connection,
            publication,
            false,
            Some(self.worker),
        );
    }

    /// How long a peer that has ended its side is still given what it waits for.
    pub(super) fn finishing(&self, has_asked: bool) -> Duration {
        if has_asked {
            self.order_timeout + self.assistant_timeout
        } else {
            self.order_timeout
        }
    }

    /// The greeting of a new connection, if it gets one.
    pub(super) fn greeting(&mut self, role: &Role, room: Option<&Room>) -> Option<Publication> {
        self.scratch.clear();
        let (business_id, session_id) = match role {
            Role::Echo => return None,
            Role::Chat => room.map(|room| (room.name().business_id(), room.name().session_id()))?,
            Role::Visit(visit) => (&*visit.business_id, &*visit.session_id),
        };
        let error = match role {
            Role::Visit(visit) => visit.error,
            _ => None,
        };
        let (writer, scratch) = (self.writer, &mut self.scratch);
        match error {
            Some(error) => writer.connection_error(scratch, error),
            None if !self.welcome => return None,
            None => writer.welcome(scratch, business_id, session_id, &self.stamp),
        }
        Some(self.publication())
    }
}

/// One connection's messages on their way into the system.
#[derive(Debug)]
pub(super) struct Speaker<'a> {
    pub(super) plane: &'a mut Plane,
    pub(super) connection: ConnectionKey,
    pub(super) role: &'a Role,
    pub(super) room: Option<&'a Arc<Room>>,
    /// Questions that it asked meanwhile.
    pub(super) asked: u16,
}

impl Speaker<'_> {
    fn error(&mut self, code: ErrorCode) {
        count(&self.plane.metrics.commands_refused, "reason", code.label());
        self.plane.scratch.clear();
        self.plane.writer.error(&mut self.plane.scratch, code);
        let publication = self.plane.publication();
        self.plane.direct(self.connection, publication);
    }

    fn chat(&mut self, payload: &mut [u8]) -> Verdict {
        let plane = &mut *self.plane;
        let dialect = plane.writer.dialect();
        let command = match plane.parser.parse(dialect, plane.text_bytes_max, payload) {
            Ok(command) => command,
            Err(Rejected::Error(code)) => {
                self.error(code);
                return Verdict::Done;
            }
            Err(Rejected::Ignored) => {
                count(&plane.metrics.commands_refused, "reason", "ignored");
                return Verdict::Done;
            }
        };
        let is_user = command.kind == protocol::Kind::User;
        // A session that does not exist: the package fails to store the message.
        if let Role::Visit(visit) = self.role
            && !visit.answers
        {
            let failure = command.failure();
            self.error(failure);
            return Verdict::Done;
        }
        plane.scratch.clear();
        let event = command.event(plane.stamp.moment());
        plane
            .writer
            .event(&mut plane.scratch, &event, &mut plane.stamp);
        let kept = plane.broker.wants_events();
        let kept = kept.then(|| Arc::new(event.into_owned()));
        let question = (is_user && plane.assistant.enabled()).then(|| command.text.to_string());
        *(if is_user {
            &mut plane.tally.users
        } else {
            &mut plane.tally.systems
        }) += 1;
        let publication = Publication {
            event: kept,
            ..plane.publication()
        };
        let author = Author {
            worker: plane.worker,
            connection: self.connection,
        };
        match self.room {
            Some(room) if plane.deliver == Deliver::Room => {
                if is_user {
                    plane.broker.say(room, &publication, author);
                } else {
                    plane.broker.publish(room, &publication, Some(plane.worker));
                }
            }
            room => {
                if let Some(room) = room.filter(|_| is_user) {
                    plane.broker.say_alone(room, &publication, author);
                }
                plane.direct(self.connection, publication);
            }
        }
        question.map_or(Verdict::Done, |text| self.ask(text))
    }

    fn ask(&mut self, text: String) -> Verdict {
        let plane = &*self.plane;
        let Some(name) = self.name() else {
            return Verdict::Done;
        };
        let sequential = plane.writer.dialect() == Dialect::Django;
        let envelope = super::reply::Envelope {
            writer: plane.writer,
            expiry: plane.expiry,
            clock: plane.clock,
        };
        let asker = Author {
            worker: plane.worker,
            connection: self.connection,
        };
        let reply: Box<dyn ReplyTo> = match self.room.filter(|_| plane.deliver == Deliver::Room) {
            Some(room) => Box::new(RoomReply {
                broker: Arc::clone(&plane.broker),
                room: room.name().clone(),
                asker,
                envelope,
            }),
            None => Box::new(ConnectionReply {
                broker: Arc::clone(&plane.broker),
                asker,
                resume: sequential,
                envelope,
            }),
        };
        let waits = sequential && plane.deliver == Deliver::Sender;
        match plane.assistant.ask(Prompt {
            room: name.clone(),
            text,
            reply,
        }) {
            Asked::Off => return Verdict::Done,
            Asked::Accepted => {}
            // The apology is on its way like any reply, so a waiting connection is resumed by it.
            Asked::Busy(prompt) => prompt.reply.apologise(),
        }
        self.asked = self.asked.saturating_add(1);
        if waits { Verdict::Await } else { Verdict::Done }
    }

    fn name(&self) -> Option<&RoomName> {
        match self.role {
            Role::Chat => self.room.map(|room| room.name()),
            Role::Visit(visit) => Some(&visit.prompts),
            Role::Echo => None,
        }
    }
}

impl Surroundings for Speaker<'_> {
    fn ready(&mut self) -> bool {
        let plane = &*self.plane;
        let mailboxes = plane.broker.mailboxes();
        // Asked again after registering: the mailbox may have been emptied in between.
        loop {
            let full = match self.room {
                Some(room) => plane.broker.full_mailbox(room),
                None => mailboxes.is_full(plane.worker).then_some(plane.worker),
            };
            match full {
                None => return true,
                Some(worker) if worker == plane.worker => return false,
                Some(worker) if mailboxes.wait(worker, plane.worker) => return false,
                Some(_) => {}
            }
        }
    }

    fn message(&mut self, kind: Kind, payload: &mut [u8]) -> Verdict {
        match (self.role, kind) {
            (Role::Echo, kind) => {
                #[cfg(test)]
                super::tests::trip(payload);
                let opcode = if kind == Kind::Text {
                    Opcode::Text
                } else {
                    Opcode::Binary
                };
                let frame = encoder::frame(opcode, payload);
                let deadline = self.plane.now + self.plane.expiry;
                self.plane.direct(
                    self.connection,
                    Publication {
                        frame,
                        deadline,
                        event: None,
                    },
                );
                Verdict::Done
            }
            (_, Kind::Binary) => Verdict::Close(CloseReason::Unsupported),
            (_, Kind::Text) => self.chat(payload),
        }
    }

    fn pong(&mut self, frame: Bytes) {
        self.plane
            .broker
            .control(self.plane.worker, self.connection, frame);
    }

    fn too_many(&mut self) {
        self.error(ErrorCode::TooMany);
    }

    fn violation(&mut self, label: &'static str) {
        count(&self.plane.metrics.violations, "kind", label);
    }
}
