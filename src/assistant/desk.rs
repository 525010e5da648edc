//! The desk that prompts are brought to: each is answered in a task of its own, timed, and ends once.
//!
//! There is no task while nothing is asked: `ask` decides under one short lock and spawns one task
//! per prompt that may run; each task ends by choosing the next.
//!
//! Lock order: neither of the two locks here is ever held while the other one is, or while anything is spawned, called or
//! dropped.

use super::conversations::Conversations;
use super::prompts::{Counts, NextQuestion, OpenPrompts, PromptLimits, TakenIn};
use super::{
    Assistant, AssistantReply, Failure, Piece, Prompt, Question, REPLY_BYTES_MAX, ReplyTo,
};
use crate::metrics::Counter;
use crate::name::RoomName;
use crate::panics::caught;
use crate::protocol::{APOLOGY, Sender};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

pub(super) struct Desk {
    handle: Handle,
    pub(super) assistant: Arc<dyn Assistant>,
    limits: PromptLimits,
    /// Longest a reply may take.
    timeout: Duration,
    /// Panics of this node's code.
    panics: Counter,
    prompts: Mutex<OpenPrompts>,
    /// `None` where the assistant asks for nothing of it.
    past: Option<Mutex<Conversations>>,
    /// True: what is being answered stops with an apology.
    stop: watch::Sender<bool>,
    idle: Notify,
}

impl Desk {
    pub(super) fn new(
        handle: &Handle,
        limits: PromptLimits,
        timeout: Duration,
        panics: &Counter,
        assistant: Arc<dyn Assistant>,
    ) -> Self {
        let past = assistant.past();
        Self {
            handle: handle.clone(),
            assistant,
            limits,
            timeout,
            panics: panics.clone(),
            prompts: Mutex::default(),
            past: past.map(|limits| Mutex::new(Conversations::new(limits))),
            stop: watch::Sender::new(false),
            idle: Notify::new(),
        }
    }

    /// Takes a prompt, or gives it back.
    pub(super) fn ask(self: &Arc<Self>, prompt: Prompt) -> Option<Prompt> {
        let taken_in = self
            .prompts
            .lock()
            .take_in(prompt, &self.limits, Instant::now);
        match taken_in {
            TakenIn::Refused(prompt) => return Some(prompt),
            TakenIn::Accepted => self.start_ready(),
            TakenIn::Settling(room) => self.settle(room),
        }
        None
    }

    pub(super) fn has(&self, room: &RoomName) -> bool {
        self.prompts.lock().has(room)
    }

    pub(super) fn counts(&self) -> Counts {
        self.prompts.lock().counts
    }

    /// As [`Dispatcher::shutdown`](super::Dispatcher::shutdown).
    pub(super) async fn shutdown(&self, grace: Duration) {
        self.close();
        if timeout(grace, self.idle()).await.is_err() {
            self.stop.send_replace(true);
            self.idle().await;
        }
    }

    /// Waits until the room's customer has stopped, in a task of its own.
    fn settle(self: &Arc<Self>, room: RoomName) {
        let settling = Settling {
            room,
            desk: Arc::clone(self),
        };
        self.handle.spawn(settling.wait());
    }

    /// Starts what may start. Only one call at a time does: a runtime that is going away drops a
    /// turn within its `spawn`, and the end of that turn comes here again, for each prompt deeper.
    fn start_ready(self: &Arc<Self>) {
        let mut is_mine = false;
        loop {
            let next = {
                let mut prompts = self.prompts.lock();
                if prompts.is_starting && !is_mine {
                    return; // Whoever is at it looks again before it stops.
                }
                let next = prompts.next(&self.limits);
                prompts.is_starting = next.is_some();
                next
            };
            is_mine = true;
            let Some(question) = next else {
                return;
            };
            let NextQuestion {
                room,
                user,
                text,
                reply,
                merged,
            } = question;
            let turn = Turn {
                room,
                reply: Some(reply),
                merged,
                desk: Arc::clone(self),
            };
            self.handle.spawn(turn.take(user, text));
        }
    }

    fn close(&self) {
        let waiting = self.prompts.lock().close();
        for prompt in waiting {
            self.finish(prompt.reply, Vec::new(), Err(Failure::Stopped));
        }
    }

    /// Waits until nothing is being answered.
    async fn idle(&self) {
        loop {
            let mut notified = std::pin::pin!(self.idle.notified());
            notified.as_mut().enable();
            if self.prompts.lock().running == 0 {
                return;
            }
            notified.await;
        }
    }

    fn finish(
        &self,
        reply: Box<dyn ReplyTo>,
        merged: Vec<Box<dyn ReplyTo>>,
        outcome: Result<AssistantReply, Failure>,
    ) {
        // Counted first: whoever has seen the reply sees it counted.
        self.prompts.lock().count(&outcome, merged.len() as u64);
        if outcome == Err(Failure::Panicked) {
            self.panics.inc();
        }
        self.guarded(|| match outcome {
            Ok(AssistantReply::Text(text, meta)) => reply.reply(text, meta),
            Ok(AssistantReply::Later | AssistantReply::Unwanted) => reply.silent(),
            Err(failure) => {
                tracing::debug!(assistant = self.assistant.name(), %failure, "apology");
                reply.apologise();
            }
        });
        for reply in merged {
            self.guarded(|| reply.merged());
        }
    }

    /// Runs a [`ReplyTo`]: its panic must not cost the other prompts their turn.
    fn guarded(&self, call: impl FnOnce()) {
        if caught(call).is_none() {
            self.panics.inc();
        }
    }

    /// Asks the assistant, with what was said before if it wants that; the question is remembered too.
    fn question(&self, room: &RoomName, user: Option<Arc<str>>, text: String) -> Question {
        let past = self.past.as_ref().map(|past| {
            let (mut past, now) = (past.lock(), Instant::now());
            let lines = past.of(room, now);
            past.note(room, Sender::User, &text, now);
            lines
        });
        Question {
            room: room.clone(),
            user,
            text,
            past: past.unwrap_or_default(),
        }
    }

    /// Remembers what a question was answered with: an apology too, as the customer has read it.
    fn note_answer(&self, room: &RoomName, outcome: &Result<AssistantReply, Failure>) {
        let text = match outcome {
            Ok(AssistantReply::Text(text, _)) => text.as_str(),
            Ok(AssistantReply::Later | AssistantReply::Unwanted) => return,
            Err(_) => APOLOGY,
        };
        if let Some(past) = &self.past {
            past.lock()
                .note(room, Sender::Assistant, text, Instant::now());
        }
    }
}

/// A room whose customer may go on talking. However the wait ends, dropped in the middle included, its prompts are ready
/// then.
struct Settling {
    room: RoomName,
    desk: Arc<Desk>,
}

impl Settling {
    async fn wait(self) {
        let due = || self.desk.prompts.lock().due(&self.room, &self.desk.limits);
        while let Some(due) = due()
            && due > Instant::now()
        {
            sleep_until(due).await;
        }
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        self.desk.prompts.lock().settled(self.room.clone());
        self.desk.start_ready();
    }
}

/// One prompt being answered. However it ends, dropped in the middle included, its prompt is
/// finished once, and then the next ones start.
struct Turn {
    room: RoomName,
    reply: Option<Box<dyn ReplyTo>>,
    merged: Vec<Box<dyn ReplyTo>>,
    desk: Arc<Desk>,
}

impl Turn {
    async fn take(mut self, user: Option<Arc<str>>, text: String) {
        let mut stop = self.desk.stop.subscribe();
        let longest = self.desk.timeout;
        let outcome = tokio::select! {
            outcome = timeout(longest, self.collect(user, text)) => {
                outcome.unwrap_or(Err(Failure::Timeout))
            }
            _ = stop.wait_for(|stop| *stop) => Err(Failure::Stopped),
        };
        self.finish(outcome);
    }

    async fn collect(
        &mut self,
        user: Option<Arc<str>>,
        text: String,
    ) -> Result<AssistantReply, Failure> {
        let question = self.desk.question(&self.room, user, text);
        let assistant = Arc::clone(&self.desk.assistant);
        let replies = caught(|| assistant.answer(question));
        let mut replies = replies.ok_or(Failure::Panicked)?;
        let (mut whole, mut beside) = (String::new(), None);
        loop {
            let piece = match replies.next().await.ok_or(Failure::BrokenOff)?? {
                Piece::Text(piece) => piece,
                Piece::Meta(meta) => {
                    beside = Some(meta);
                    continue;
                }
                Piece::End if whole.is_empty() => return Err(Failure::Empty),
                Piece::End => return Ok(AssistantReply::Text(whole, beside)),
                Piece::Later | Piece::Unwanted if !whole.is_empty() => return Err(Failure::Failed),
                Piece::Later => return Ok(AssistantReply::Later),
                Piece::Unwanted => return Ok(AssistantReply::Unwanted),
            };
            if whole.len() + piece.len() > REPLY_BYTES_MAX {
                return Err(Failure::TooLong);
            }
            whole.push_str(&piece);
        }
    }

    fn finish(&mut self, outcome: Result<AssistantReply, Failure>) {
        if let Some(reply) = self.reply.take() {
            self.desk.note_answer(&self.room, &outcome);
            let merged = std::mem::take(&mut self.merged);
            self.desk.finish(reply, merged, outcome);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Only if the runtime dropped the task: a turn that was taken has finished.
        self.finish(Err(Failure::Stopped));
        let (settling, idle) = {
            let mut prompts = self.desk.prompts.lock();
            let settling = prompts.end(&self.room, &self.desk.limits, Instant::now);
            (settling, prompts.running == 0)
        };
        if let Some(room) = settling {
            self.desk.settle(room);
        }
        self.desk.start_ready();
        if idle {
            self.desk.idle.notify_waiters();
        }
    }
}
