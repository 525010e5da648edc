//! Prompts to backends: bounded, one at a time per room in the order asked, timed, never lost.
//!
//! There is no task while nothing is asked: `ask` decides under one short lock and spawns one task
//! per prompt that may run; each task ends by choosing the next. Rooms take turns, so a room that
//! asks much does not hold up the others.
//!
//! Lock order: the one lock here is never held while anything is spawned, called or dropped.

use super::{Assistant, Error, Failure, Faq, Piece, Prompt, Question, REPLY_BYTES_MAX, ReplyTo};
use crate::config::{self, AssistantKind};
use crate::metrics::Counter;
use crate::name::RoomName;
use crate::panics::caught;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

/// What became of a prompt at the door.
#[derive(Debug)]
#[must_use = "a busy prompt is answered with an apology or it is lost silently"]
pub enum Asked {
    /// The prompt will end in exactly one reply or apology.
    Accepted,
    /// A limit is reached or the node is going down; the caller apologises.
    Busy(Prompt),
    /// `assistant.kind = "none"`: nobody answers, and nobody apologises.
    Off,
}

/// What happened so far. `accepted = replied + timeouts + panics + failures + stopped + open`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Prompts taken in.
    pub accepted: u64,
    /// Prompts turned away because a limit was reached; not part of `accepted`.
    pub busy: u64,
    /// Prompts that ended in a reply.
    pub replied: u64,
    /// Apologies because `assistant.timeout` had passed.
    pub timeouts: u64,
    /// Apologies because the backend panicked.
    pub panics: u64,
    /// Apologies because the backend failed, broke off, or sent nothing or too much.
    pub failures: u64,
    /// Apologies because the node was going down.
    pub stopped: u64,
    /// Prompts waiting or being answered.
    pub open: u64,
}

/// The desk that prompts are brought to. Cheap to clone; all clones are one desk.
#[derive(Clone)]
pub struct Dispatcher(Option<Arc<Desk>>);

impl std::fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Dispatcher").field(&self.name()).finish()
    }
}

struct Desk {
    handle: Handle,
    assistant: Arc<dyn Assistant>,
    limits: DeskLimits,
    /// Panics of this node's code.
    panics: Counter,
    state: Mutex<DeskState>,
    /// True: what is being answered stops with an apology.
    stop: watch::Sender<bool>,
    idle: Notify,
}

#[derive(Clone, Copy)]
struct DeskLimits {
    timeout: Duration,
    prompts: usize,
    prompts_per_room: usize,
    concurrency: usize,
}

#[derive(Default)]
struct DeskState {
    /// Rooms with a prompt waiting or being answered.
    rooms: HashMap<RoomName, RoomPrompts>,
    /// Rooms whose first prompt may start as soon as there is a free place, in turn.
    ready: VecDeque<RoomName>,
    running: usize,
    /// Somebody is starting prompts.
    is_starting: bool,
    closed: bool,
    counts: Counts,
}

#[derive(Default)]
struct RoomPrompts {
    answering: bool,
    waiting: VecDeque<Prompt>,
}

impl Dispatcher {
    /// Loads what `config` names and is ready to be asked; answers run on `handle`, and what panics in them is counted
    /// in `panics`.
    ///
    /// # Errors
    ///
    /// If the knowledge file cannot be read or breaks a rule.
    pub fn start(
        handle: &Handle,
        config: &config::AssistantSettings,
        panics: &Counter,
    ) -> Result<Self, Error> {
        Ok(match config.kind {
            AssistantKind::None => Self(None),
            AssistantKind::Faq => {
                let faq = Faq::load(config.knowledge.as_deref())?;
                Self::with(handle, config, panics, Arc::new(faq))
            }
        })
    }

    /// A dispatcher for this backend.
    #[must_use]
    pub fn with(
        handle: &Handle,
        config: &config::AssistantSettings,
        panics: &Counter,
        assistant: Arc<dyn Assistant>,
    ) -> Self {
        Self(Some(Arc::new(Desk {
            handle: handle.clone(),
            assistant,
            limits: DeskLimits {
                timeout: config.timeout,
                prompts: config.prompts,
                prompts_per_room: config.prompts_per_room,
                concurrency: config.concurrency.max(1),
            },
            panics: panics.clone(),
            state: Mutex::default(),
            stop: watch::Sender::new(false),
            idle: Notify::new(),
        })))
    }

    /// Does anybody answer?
    #[must_use]
    pub fn enabled(&self) -> bool {
        self.0.is_some()
    }

    /// Who answers, as in `assistant.kind` or by its own word; `none` if nobody does.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.0.as_ref().map_or("none", |desk| desk.assistant.name())
    }

    /// Hands in a prompt. Never waits; for any thread.
    pub fn ask(&self, prompt: Prompt) -> Asked {
        let Some(desk) = &self.0 else {
            return Asked::Off;
        };
        let refused = desk.state.lock().take_in(prompt, desk.limits);
        if let Some(prompt) = refused {
            return Asked::Busy(prompt);
        }
        desk.start_ready();
        Asked::Accepted
    }

    /// Is a prompt of this room waiting or being answered?
    #[must_use]
    pub fn is_answering(&self, room: &RoomName) -> bool {
        let desk = self.0.as_ref();
        desk.is_some_and(|desk| desk.state.lock().rooms.contains_key(room))
    }

    /// What happened so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0
            .as_ref()
            .map_or_else(Counts::default, |desk| desk.state.lock().counts)
    }

    /// From here on prompts are turned away; those waiting are apologised for at once, those being
    /// answered have `grace` to finish, then they are apologised for too.
    ///
    /// # Cancel safety
    ///
    /// Calling it again goes on where it was; what was being answered goes on until then.
    pub async fn shutdown(&self, grace: Duration) {
        let Some(desk) = &self.0 else {
            return;
        };
        desk.close();
        if tokio::time::timeout(grace, desk.idle()).await.is_err() {
            desk.stop.send_replace(true);
            desk.idle().await;
        }
    }
}

impl DeskState {
    /// The prompt itself, if there is no room for it.
    fn take_in(&mut self, prompt: Prompt, limits: DeskLimits) -> Option<Prompt> {
        let open = usize::try_from(self.counts.open).unwrap_or(usize::MAX);
        let in_room = self
            .rooms
            .get(&prompt.room)
            .map_or(0, |room| room.waiting.len() + usize::from(room.answering));
        // The first one does not count as waiting, even if no place is free for it yet.
        if self.closed || open >= limits.prompts || in_room > limits.prompts_per_room {
            self.counts.busy += 1;
            return Some(prompt);
        }
        self.counts.accepted += 1;
        self.counts.open += 1;
        if in_room == 0 {
            self.ready.push_back(prompt.room.clone());
        }
        let room = self.rooms.entry(prompt.room.clone()).or_default();
        room.waiting.push_back(prompt);
        None
    }

    fn next(&mut self, concurrency: usize) -> Option<Prompt> {
        if self.running >= concurrency {
            return None;
        }
        let room = self.rooms.get_mut(&self.ready.pop_front()?)?;
        let prompt = room.waiting.pop_front()?;
        room.answering = true;
        self.running += 1;
        Some(prompt)
    }

    fn end(&mut self, name: &RoomName) {
        self.running -= 1;
        if let Some(room) = self.rooms.get_mut(name) {
            room.answering = false;
            if room.waiting.is_empty() {
                self.rooms.remove(name);
            } else {
                self.ready.push_back(name.clone());
            }
        }
    }

    fn count(&mut self, outcome: Result<(), Failure>) {
        let counts = &mut self.counts;
        counts.open -= 1;
        *match outcome {
            Ok(()) => &mut counts.replied,
            Err(Failure::Timeout) => &mut counts.timeouts,
            Err(Failure::Panicked) => &mut counts.panics,
            Err(Failure::Stopped) => &mut counts.stopped,
            Err(_) => &mut counts.failures,
        } += 1;
    }
}

impl Desk {
    /// Starts what may start. Only one call at a time does: a runtime that is going away drops a
    /// turn within its `spawn`, and the end of that turn comes here again, for each prompt deeper.
    fn start_ready(self: &Arc<Self>) {
        let mut is_mine = false;
        loop {
            let next = {
                let mut state = self.state.lock();
                if state.is_starting && !is_mine {
                    return; // Whoever is at it looks again before it stops.
                }
                let next = state.next(self.limits.concurrency);
                state.is_starting = next.is_some();
                next
            };
            is_mine = true;
            let Some(prompt) = next else {
                return;
            };
            let turn = Turn {
                room: prompt.room.clone(),
                reply: Some(prompt.reply),
                desk: Arc::clone(self),
            };
            self.handle.spawn(turn.take(prompt.text));
        }
    }

    fn close(&self) {
        let waiting: Vec<Prompt> = {
            let mut state = self.state.lock();
            state.closed = true;
            state.ready.clear();
            let waiting = state
                .rooms
                .values_mut()
                .flat_map(|room| room.waiting.drain(..))
                .collect();
            state.rooms.retain(|_, room| room.answering);
            waiting
        };
        for prompt in waiting {
            self.finish(prompt.reply, Err(Failure::Stopped));
        }
    }

    /// Waits until nothing is being answered.
    async fn idle(&self) {
        loop {
            let mut notified = std::pin::pin!(self.idle.notified());
            notified.as_mut().enable();
            if self.state.lock().running == 0 {
                return;
            }
            notified.await;
        }
    }

    fn finish(&self, reply: Box<dyn ReplyTo>, outcome: Result<String, Failure>) {
        // Counted first: whoever has seen the reply sees it counted.
        let counted = outcome.as_ref().map(|_| ()).map_err(|failure| *failure);
        self.state.lock().count(counted);
        if counted == Err(Failure::Panicked) {
            self.panics.inc();
        }
        self.guarded(|| match outcome {
            Ok(text) => reply.reply(text),
            Err(failure) => {
                tracing::debug!(assistant = self.assistant.name(), %failure, "apology");
                reply.apologise();
            }
        });
    }

    /// Runs a [`ReplyTo`]: its panic must not cost the other prompts their turn.
    fn guarded(&self, call: impl FnOnce()) {
        if caught(call).is_none() {
            self.panics.inc();
        }
    }
}

/// One prompt being answered. However it ends, dropped in the middle included, its prompt is
/// finished once, and then the next ones start.
struct Turn {
    room: RoomName,
    reply: Option<Box<dyn ReplyTo>>,
    desk: Arc<Desk>,
}

impl Turn {
    async fn take(mut self, text: String) {
        let mut stop = self.desk.stop.subscribe();
        let timeout = self.desk.limits.timeout;
        let outcome = tokio::select! {
            outcome = tokio::time::timeout(timeout, self.collect(text)) => {
                outcome.unwrap_or(Err(Failure::Timeout))
            }
            _ = stop.wait_for(|stop| *stop) => Err(Failure::Stopped),
        };
        self.finish(outcome);
    }

    async fn collect(&mut self, text: String) -> Result<String, Failure> {
        let question = Question {
            room: self.room.clone(),
            text,
        };
        let assistant = Arc::clone(&self.desk.assistant);
        let replies = caught(|| assistant.answer(question));
        let mut replies = replies.ok_or(Failure::Panicked)?;
        let mut whole = String::new();
        loop {
            let piece = match replies.next().await.ok_or(Failure::BrokenOff)?? {
                Piece::Text(piece) => piece,
                Piece::End if whole.is_empty() => return Err(Failure::Empty),
                Piece::End => return Ok(whole),
            };
            if whole.len() + piece.len() > REPLY_BYTES_MAX {
                return Err(Failure::TooLong);
            }
            whole.push_str(&piece);
        }
    }

    fn finish(&mut self, outcome: Result<String, Failure>) {
        if let Some(reply) = self.reply.take() {
            self.desk.finish(reply, outcome);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Only if the runtime dropped the task: a turn that was taken has finished.
        self.finish(Err(Failure::Stopped));
        let idle = {
            let mut state = self.desk.state.lock();
            state.end(&self.room);
            state.running == 0
        };
        self.desk.start_ready();
        if idle {
            self.desk.idle.notify_waiters();
        }
    }
}
