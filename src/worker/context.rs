//! What a worker's connections share: the way into rooms, the consumers, the counters; and
//! [`Speaker`], which hands one connection's messages to its consumer.

use super::connection::Surroundings;
use super::rooms::LocalRoom;
use super::supplies::Supplies;
use crate::broker::room::Room;
use crate::broker::uplink::Author;
use crate::broker::{
    Broker, ConnectionKey, Consumers, Context, Message, Publication, Role, Verdict,
};
use crate::clock::{Clock, Millis};
use crate::metrics::{Metrics, count};
use crate::name::RoomName;
use crate::protocol::CloseReason;
use crate::transport::{MessageKind, Opcode, encoder};

use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// Publications of a room that may wait while a mailbox is crowded: more than people say at once.
const LITTLE: u32 = 16;

/// Plain counters of one turn, added to the shared metrics at its end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TurnTally {
    pub(super) bytes_read: u64,
    pub(super) accepted: u64,
}

/// Shared by the connections of one worker.
#[derive(Debug)]
pub(super) struct WorkerContext<C> {
    pub(super) worker: usize,
    pub(super) broker: Arc<Broker>,
    pub(super) consumers: C,
    pub(super) metrics: Arc<Metrics>,
    pub(super) tally: TurnTally,
    pub(super) now: Millis,
    pub(super) clock: Clock,
    expiry: Duration,
}

/// A connection that its consumer ends: why, and what the close frame says in the place of the reason's own text.
#[derive(Debug)]
pub(super) struct Close {
    pub(super) reason: CloseReason,
    pub(super) farewell: Option<Box<str>>,
}

impl Close {
    fn of(verdict: Verdict, cx: &mut Context<'_>) -> Option<Self> {
        match verdict {
            Verdict::Close(reason) => Some(Self {
                reason,
                farewell: cx.take_farewell(reason),
            }),
            Verdict::Done | Verdict::Await => None,
        }
    }
}

impl From<CloseReason> for Close {
    fn from(reason: CloseReason) -> Self {
        Self {
            reason,
            farewell: None,
        }
    }
}

/// A payload as a frame, for those who do not know frames.
fn encode(is_text: bool, payload: &[u8]) -> Bytes {
    let opcode = if is_text {
        Opcode::Text
    } else {
        Opcode::Binary
    };
    encoder::frame(opcode, payload)
}

impl<C: Consumers> WorkerContext<C> {
    pub(super) fn new(worker: usize, now: Millis, supplies: &Supplies, consumers: C) -> Self {
        let config = &supplies.config;
        Self {
            worker,
            broker: Arc::clone(&supplies.broker),
            consumers,
            metrics: Arc::clone(&supplies.metrics),
            tally: TurnTally::default(),
            now,
            clock: supplies.clock,
            expiry: config.queue.expiry,
        }
    }

    /// What is said from now on is worth delivering for so long.
    pub(super) fn set_expiry(&mut self, expiry: Duration) {
        self.expiry = expiry;
    }

    /// Takes the turn's time.
    pub(super) fn begin_turn(&mut self, now: Millis, (second, micros): (u64, u32)) {
        self.now = now;
        self.consumers.begin_turn(second, micros);
    }

    /// The consumers, one connection as they see it, and the counters.
    fn present<'a>(
        &'a mut self,
        key: u64,
        room: Option<&'a Arc<Room>>,
    ) -> (&'a mut C, Context<'a>, &'a Metrics) {
        let cx = Context {
            broker: &self.broker,
            author: Author {
                worker: self.worker,
                connection: ConnectionKey(key),
            },
            room,
            left: None,
            clock: self.clock,
            now: self.now,
            expiry: self.expiry,
            encode,
            caller: None,
            is_opening: false,
            greeting: None,
            asked: 0,
            farewell: None,
        };
        (&mut self.consumers, cx, &self.metrics)
    }

    /// Begins a connection whose 101 is not written yet: what leaves with it, and whether the connection stays.
    /// `is_confirmed`: other nodes are heard in its room already.
    pub(super) fn open(
        &mut self,
        key: u64,
        role: &mut Role,
        room: Option<&Arc<Room>>,
        is_confirmed: bool,
    ) -> (Option<Publication>, Option<Close>) {
        let (consumers, mut cx, _) = self.present(key, room);
        cx.is_opening = true;
        let mut verdict = consumers.open(role, &mut cx);
        if is_confirmed && verdict == Verdict::Done {
            verdict = consumers.joined(role, &mut cx);
        }
        let close = Close::of(verdict, &mut cx);
        (cx.greeting, close)
    }

    /// Other nodes are heard in the room from here on.
    pub(super) fn joined(&mut self, key: u64, role: &mut Role, room: &Arc<Room>) -> Option<Close> {
        let (consumers, mut cx, _) = self.present(key, Some(room));
        let verdict = consumers.joined(role, &mut cx);
        Close::of(verdict, &mut cx)
    }

    /// Lets a consumer know that its connection is gone.
    pub(super) fn closed(&mut self, key: u64, role: &mut Role, left: Option<&RoomName>) {
        let (consumers, mut cx, _) = self.present(key, None);
        cx.left = left;
        consumers.close(role, &mut cx);
    }
}

/// One connection's messages on their way to its consumer.
#[derive(Debug)]
pub(super) struct Speaker<'a, C> {
    consumers: &'a mut C,
    role: &'a mut Role,
    local: Option<&'a LocalRoom>,
    cx: Context<'a>,
    metrics: &'a Metrics,
}

impl<'a, C: Consumers> Speaker<'a, C> {
    pub(super) fn new(
        context: &'a mut WorkerContext<C>,
        key: u64,
        role: &'a mut Role,
        local: Option<&'a LocalRoom>,
    ) -> Self {
        let room = local.map(|local| &local.room);
        let (consumers, cx, metrics) = context.present(key, room);
        Self {
            local,
            consumers,
            role,
            cx,
            metrics,
        }
    }

    /// May the connection go on although a mailbox is crowded? Not if its room says much: what room there is left is for
    /// the others.
    #[cold]
    fn is_ready_in_crowd(&self) -> bool {
        let (broker, own) = (self.cx.broker, self.cx.author.worker);
        let mailboxes = broker.mailboxes();
        let waiting = self.local.map_or(0, LocalRoom::waiting);
        if waiting > LITTLE && mailboxes.is_crowded(own) {
            return false;
        }
        // Asked again after registering: the mailbox may have been emptied in between.
        loop {
            let full = match self.cx.room {
                Some(room) => broker.full_mailbox(room),
                None => mailboxes.is_full(own).then_some(own),
            };
            match full {
                None => return true,
                Some(worker) if worker == own => return false,
                Some(worker) if mailboxes.wait(worker, own) => return false,
                Some(_) => {}
            }
        }
    }

    /// Questions that the connection asked meanwhile.
    pub(super) fn asked(&self) -> u16 {
        self.cx.asked
    }
}

impl<C: Consumers> Surroundings for Speaker<'_, C> {
    fn ready(&mut self) -> bool {
        let mailboxes = self.cx.broker.mailboxes();
        let is_crowded = match self.cx.room {
            Some(room) => self.cx.broker.is_crowded(room),
            None => mailboxes.is_crowded(self.cx.author.worker),
        };
        !is_crowded || self.is_ready_in_crowd()
    }

    fn message(&mut self, kind: MessageKind, payload: &mut [u8]) -> Verdict {
        #[cfg(test)]
        super::tests::trip(payload);
        let message = Message::new(kind == MessageKind::Text, payload);
        self.consumers.message(self.role, &mut self.cx, message)
    }

    fn farewell(&mut self, reason: CloseReason) -> Option<Box<str>> {
        self.cx.take_farewell(reason)
    }

    fn pong(&mut self, frame: Bytes) {
        let Author { worker, connection } = self.cx.author;
        self.cx.broker.control(worker, connection, frame);
    }

    fn may_say(&mut self, bytes: usize) -> bool {
        self.role.spend(self.cx.now, bytes)
    }

    fn too_many(&mut self) {
        self.consumers.too_many(self.role, &mut self.cx);
    }

    fn violation(&mut self, label: &'static str) {
        count(&self.metrics.violations, "kind", label);
    }
}
