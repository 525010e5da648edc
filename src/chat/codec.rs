//! What the chats of one worker share: the reader of commands, the writer of events, and what both
//! dialects do with a message.

use super::reply::ChatReply;
use crate::assistant::{Asked, Dispatcher, Prompt};
use crate::broker::{Context, Message, Publication, Role, UserRole, Verdict};
use crate::config::{Config, Deliver, Dialect};
use crate::metrics::{Metrics, count, count_all};
use crate::name::RoomName;
use crate::protocol::{self, CloseReason, ErrorCode, Event, EventWriter, Parser, Rejected, Stamp};
use crate::transport::{Opcode, encoder};
use std::sync::Arc;

/// Bytes that the room for an event keeps from one event to the next.
const SCRATCH_BYTES: usize = 1024;

/// Above this it is given back: one long message must not keep its size for good.
const SCRATCH_BYTES_MAX: usize = 64 * 1024;

/// Commands of one turn, added to the shared metrics at its end.
#[derive(Clone, Copy, Debug, Default)]
struct CommandTally {
    users: u64,
    systems: u64,
}

/// Who says something, and what becomes of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Speech<'a> {
    /// Who says it.
    pub(super) by: &'a Role,
    /// Is it answered? Otherwise the session does not exist: the package fails to store the message.
    pub(super) answers: bool,
    /// The room in which the assistant is asked, if it is.
    pub(super) prompts: Option<&'a RoomName>,
}

/// The chat contract on one worker.
#[derive(Debug)]
pub(super) struct Codec {
    assistant: Dispatcher,
    metrics: Arc<Metrics>,
    tally: CommandTally,
    writer: EventWriter,
    deliver: Deliver,
    welcome: bool,
    text_bytes_max: usize,
    /// Who may send system messages, in the order of [`UserRole::ALL`].
    system_from: [bool; UserRole::ALL.len()],
    parser: Parser,
    stamp: Stamp,
    scratch: Vec<u8>,
}

impl Codec {
    pub(super) fn new(config: &Config, metrics: &Arc<Metrics>, assistant: &Dispatcher) -> Self {
        Self {
            assistant: assistant.clone(),
            metrics: Arc::clone(metrics),
            tally: CommandTally::default(),
            writer: EventWriter::new(config.chat.dialect),
            deliver: config.chat.deliver,
            welcome: config.chat.welcome,
            text_bytes_max: config.chat.text_bytes_max,
            system_from: UserRole::ALL.map(|role| {
                let mut listed = config.chat.system_from.iter();
                listed.any(|name| name.word() == role.as_str())
            }),
            parser: Parser::new(),
            stamp: Stamp::new(0, 0),
            scratch: Vec::with_capacity(SCRATCH_BYTES),
        }
    }

    /// Takes the turn's time.
    pub(super) fn begin_turn(&mut self, second: u64, micros: u32) {
        self.stamp.set(second, micros);
    }

    /// Adds the turn's counts to the shared metrics.
    pub(super) fn end_turn(&mut self) {
        let CommandTally { users, systems } = std::mem::take(&mut self.tally);
        for (kind, number) in [("user", users), ("system", systems)] {
            count_all(&self.metrics.commands, "kind", kind, number);
        }
    }

    /// Is somebody being answered in this room?
    pub(super) fn is_answering(&self, room: &RoomName) -> bool {
        self.assistant.is_answering(room)
    }

    /// What is in the scratch as a publication.
    fn publication(&mut self, cx: &Context<'_>) -> Publication {
        let frame = encoder::frame(Opcode::Text, &self.scratch);
        if self.scratch.capacity() > SCRATCH_BYTES_MAX {
            self.scratch = Vec::with_capacity(SCRATCH_BYTES);
        }
        cx.framed(frame)
    }

    /// Says what was joined, if clients are told.
    pub(super) fn welcome(&mut self, cx: &mut Context<'_>, business_id: &str, session_id: &str) {
        if self.welcome {
            self.scratch.clear();
            self.writer
                .welcome(&mut self.scratch, business_id, session_id, &self.stamp);
            let publication = self.publication(cx);
            cx.send_ready(publication);
        }
    }

    /// Says why nothing was joined.
    pub(super) fn refuse(&mut self, cx: &mut Context<'_>, error: &str) {
        self.scratch.clear();
        self.writer.connection_error(&mut self.scratch, error);
        let publication = self.publication(cx);
        cx.send_ready(publication);
    }

    /// Counts a message that was refused.
    pub(super) fn count_refused(&self, code: ErrorCode) {
        count(&self.metrics.commands_refused, "reason", code.label());
    }

    /// Says that a message was refused for its rate, which has been counted.
    pub(super) fn too_many(&mut self, cx: &mut Context<'_>) {
        self.say(cx, ErrorCode::TooMany);
    }

    fn error(&mut self, cx: &mut Context<'_>, code: ErrorCode) {
        self.count_refused(code);
        self.say(cx, code);
    }

    fn say(&mut self, cx: &mut Context<'_>, code: ErrorCode) {
        self.scratch.clear();
        self.writer.error(&mut self.scratch, code);
        let publication = self.publication(cx);
        cx.send_ready(publication);
    }

    /// May somebody of this role send system messages?
    fn hears_system_of(&self, by: &Role) -> bool {
        let role = by.identity().map_or(UserRole::default(), |by| by.role);
        let mut allowed = UserRole::ALL.into_iter().zip(self.system_from);
        allowed.any(|(one, is_allowed)| one == role && is_allowed)
    }

    /// Takes a message: an event for the room or its author, and a prompt for the room of the speech if it is a user's.
    pub(super) fn hear(
        &mut self,
        cx: &mut Context<'_>,
        mut message: Message<'_>,
        speech: Speech<'_>,
    ) -> Verdict {
        if !message.is_text() {
            return Verdict::Close(CloseReason::Unsupported);
        }
        let (dialect, bytes_max) = (self.writer.dialect(), self.text_bytes_max);
        let payload = message.bytes_mut();
        let command = match self.parser.parse(dialect, bytes_max, payload) {
            Ok(command) => command,
            Err(Rejected::Error(code)) => {
                self.error(cx, code);
                return Verdict::Done;
            }
            Err(Rejected::Ignored) => {
                count(&self.metrics.commands_refused, "reason", "ignored");
                return Verdict::Done;
            }
        };
        let is_user = command.kind == protocol::CommandKind::User;
        if !is_user && !self.hears_system_of(speech.by) {
            // For this member there is no such type; the package has an own word for what fails.
            let code = match dialect {
                Dialect::Guide => ErrorCode::UnknownType,
                Dialect::Django => command.failure(),
            };
            self.error(cx, code);
            return Verdict::Done;
        }
        if !speech.answers {
            let failure = command.failure();
            self.error(cx, failure);
            return Verdict::Done;
        }
        if cx.broker.refuses() {
            self.error(cx, ErrorCode::Busy);
            return Verdict::Done;
        }
        self.scratch.clear();
        let event = command.event(self.stamp.moment());
        self.writer
            .event(&mut self.scratch, &event, &mut self.stamp);
        let kept = cx.broker.wants_events();
        let kept = kept.then(|| {
            let author = speech.by.identity().and_then(|by| by.user.clone());
            Arc::new(Event {
                author,
                ..event.into_owned()
            })
        });
        let question = (is_user && self.assistant.enabled()).then(|| command.text.to_string());
        if is_user {
            self.tally.users += 1;
        } else {
            self.tally.systems += 1;
        }
        let publication = Publication {
            event: kept,
            ..self.publication(cx)
        };
        self.deliver(cx, publication);
        match (question, speech.prompts) {
            (Some(text), Some(room)) => self.ask(cx, room, speech.by, text),
            _ => Verdict::Done,
        }
    }

    /// Sends an event to whom it is for.
    fn deliver(&self, cx: &mut Context<'_>, publication: Publication) {
        match cx.room {
            Some(room) if self.deliver == Deliver::Room => {
                cx.broker.say(room, &publication, cx.author);
            }
            room => {
                if let Some(room) = room {
                    cx.broker.say_alone(room, &publication, cx.author);
                }
                cx.send_ready(publication);
            }
        }
    }

    fn ask(&self, cx: &mut Context<'_>, name: &RoomName, by: &Role, text: String) -> Verdict {
        let sequential = self.writer.dialect() == Dialect::Django;
        let (room, alone) = match self.deliver {
            Deliver::Room => (cx.room, None),
            Deliver::Sender => (None, cx.room),
        };
        let reply = Box::new(ChatReply {
            broker: Arc::clone(cx.broker),
            room: room.map(|room| room.name().clone()),
            kept_in: alone.map(|room| room.name().clone()),
            asker: cx.author,
            resume: sequential && room.is_none(),
            writer: self.writer,
            expiry: cx.expiry,
            clock: cx.clock,
        });
        match self.assistant.ask(Prompt {
            room: name.clone(),
            asker: cx.author,
            user: by.identity().and_then(|by| by.user.clone()),
            text,
            reply,
        }) {
            Asked::Off => return Verdict::Done,
            Asked::Accepted => {}
            // The apology is on its way like any reply, so a waiting connection is resumed by it.
            Asked::Busy(prompt) => prompt.reply.apologise(),
        }
        cx.asked = cx.asked.saturating_add(1);
        if sequential && self.deliver == Deliver::Sender {
            Verdict::Await
        } else {
            Verdict::Done
        }
    }
}
