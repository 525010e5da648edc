//! What the chats of one worker share: the reader of commands, the writer of events, and what both
//! dialects do with a message.

use super::held::HeldSpeech;
use super::reply::{self, ChatReply};
use crate::assistant::{Dispatcher, Prompt};
use crate::broker::{Context, Message, Publication, Role, UserRole, Verdict};
use crate::config::{Config, Deliver, Dialect};
use crate::metrics::{Metrics, count, count_all};
use crate::name::RoomName;
use crate::protocol::{CloseReason, Command, CommandKind, ErrorCode, Event, EventWriter, Parser};
use crate::protocol::{Rejected, Sender, Stamp};
use crate::transport::{Opcode, encoder};
use crate::vetting::{HeldMessage, Vetting};
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
    vetting: Vetting,
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
            vetting: Vetting::default(),
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

    /// What is said is vetted there.
    pub(super) fn set_vetting(&mut self, vetting: Vetting) {
        self.vetting = vetting;
    }

    /// Is what is said vetted?
    pub(super) fn is_vetting(&self) -> bool {
        self.vetting.is_on()
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

    /// Why a command is not taken of this speaker, or not now.
    #[inline]
    fn objection(
        &self,
        cx: &Context<'_>,
        command: &Command<'_>,
        speech: &Speech<'_>,
    ) -> Option<ErrorCode> {
        if command.kind != CommandKind::User && !self.hears_system_of(speech.by) {
            // For this member there is no such type; the package has an own word for what fails.
            return Some(match self.writer.dialect() {
                Dialect::Guide => ErrorCode::UnknownType,
                Dialect::Django => command.failure(),
            });
        }
        if !speech.answers {
            return Some(command.failure());
        }
        cx.broker.refuses().then_some(ErrorCode::Busy)
    }

    /// Takes a message: an event for the room or its author, and a prompt for the room of the speech if it is a user's.
    /// `VETS`: the site sees it first. A number of the type, so that a node without vetting does not even ask.
    pub(super) fn hear<const VETS: bool>(
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
        if let Some(code) = self.objection(cx, &command, &speech) {
            self.error(cx, code);
            return Verdict::Done;
        }
        let event = command.event(self.stamp.moment());
        if VETS {
            return self.hold(cx, event.into_owned(), speech);
        }
        self.scratch.clear();
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
        let is_user = command.kind == CommandKind::User;
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

    /// Has the site vet what is said. Nothing more of the connection is read until it is decided, so that its messages
    /// keep their order.
    fn hold(&self, cx: &mut Context<'_>, event: Event<'static>, speech: Speech<'_>) -> Verdict {
        let name = cx.room.map(|room| room.name());
        // A connection has one of the two.
        let Some(room) = name.or(speech.prompts).cloned() else {
            return Verdict::Close(CloseReason::Internal);
        };
        let is_question = event.sender == Sender::User && self.assistant.enabled();
        let prompts = speech.prompts.filter(|_| is_question);
        let held = HeldSpeech {
            broker: Arc::clone(cx.broker),
            author: cx.author,
            room: name.cloned(),
            deliver: self.deliver,
            writer: self.writer,
            clock: cx.clock,
            metrics: Arc::clone(&self.metrics),
            // The text is known once it is vetted.
            prompt: prompts.map(|room| self.prompt(cx, room, speech.by, String::new())),
            assistant: self.assistant.clone(),
            waits_for_reply: self.waits_for_reply(),
        };
        let author = speech.by.identity().and_then(|by| by.user.clone());
        // As a question to an assistant: who ends its side, or is to be closed in a drain, is waited for.
        cx.asked = cx.asked.saturating_add(1);
        self.vetting.vet(HeldMessage {
            room,
            event: Event { author, ..event },
            to: Box::new(held),
        });
        Verdict::Await
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

    /// Does a connection wait for the reply to its question before it says more?
    fn waits_for_reply(&self) -> bool {
        self.writer.dialect() == Dialect::Django && self.deliver == Deliver::Sender
    }

    fn prompt(&self, cx: &Context<'_>, name: &RoomName, by: &Role, text: String) -> Prompt {
        let (room, alone) = match self.deliver {
            Deliver::Room => (cx.room, None),
            Deliver::Sender => (None, cx.room),
        };
        let reply = Box::new(ChatReply {
            broker: Arc::clone(cx.broker),
            room: room.map(|room| room.name().clone()),
            kept_in: alone.map(|room| room.name().clone()),
            asker: cx.author,
            resume: self.waits_for_reply(),
            writer: self.writer,
            expiry: cx.expiry,
            clock: cx.clock,
        });
        Prompt {
            room: name.clone(),
            asker: cx.author,
            user: by.identity().and_then(|by| by.user.clone()),
            text,
            reply,
        }
    }

    fn ask(&self, cx: &mut Context<'_>, name: &RoomName, by: &Role, text: String) -> Verdict {
        if !reply::ask(&self.assistant, self.prompt(cx, name, by, text)) {
            return Verdict::Done;
        }
        cx.asked = cx.asked.saturating_add(1);
        if self.waits_for_reply() {
            Verdict::Await
        } else {
            Verdict::Done
        }
    }
}
