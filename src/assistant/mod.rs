//! Who answers: prompts in, one reply or one apology for each, or the silence that an assistant asks for.
//!
//! A worker (floor 5) builds a [`Prompt`] from a customer's message and calls
//! [`Dispatcher::ask`], which never waits. The [`Dispatcher`] runs the [`Assistant`] on the control
//! plane and hands the outcome to the prompt's [`ReplyTo`], which publishes it like any other
//! event. Not for transport, history or wording beyond the apology; those are the floors above.
//!
//! With `assistant.debounce` several prompts in a row become one question; the others of them end as merged.
//!
//! Limits: `assistant.prompts` in all, `assistant.prompts_per_room` waiting in a room,
//! `assistant.concurrency` at once, `assistant.timeout` for each, [`REPLY_BYTES_MAX`] of text.

mod conversations;
mod desk;
mod dispatcher;
mod faq;
mod memory;
mod meta;
mod openai;
mod passage;
pub(crate) mod probe;
mod prompts;
mod remote;
mod site_context;
#[cfg(test)]
mod tests;
mod webhook;

pub use conversations::PastLimits;
pub use dispatcher::{Asked, Dispatcher};
pub use faq::{Faq, KNOWLEDGE_BYTES_MAX};
pub use memory::{
    question_at_model_bytes, question_at_webhook_bytes, remembered_room_bytes, site_context_bytes,
};
pub use meta::{META_BYTES_MAX, ReplyMeta};
pub use openai::OpenAi;
pub use passage::{KnownPassage, Passages, Retrieve};
pub use webhook::Webhook;

use crate::broker::uplink::Author;
use crate::name::RoomName;
use crate::panics::caught;
use crate::protocol::{APOLOGY, Sender};
use std::fmt;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::sync::mpsc;

/// Longest reply in bytes, all pieces together. A chat line is read by a person; what is longer
/// than 32 KiB (the default of `chat.text_bytes_max`) is a backend gone wrong.
pub const REPLY_BYTES_MAX: usize = 32 * 1024;

/// Pieces a backend may be ahead of the reader before it must wait.
const PIECES_AHEAD: usize = 16;

/// What an assistant is asked.
#[derive(Clone, PartialEq, Eq)]
pub struct Question {
    /// The room it was asked in; names the business and the session.
    pub room: RoomName,
    /// The customer's name, as the handshake has found it out; `None` where nobody knows.
    pub user: Option<Arc<str>>,
    /// The customer's words.
    pub text: String,
    /// What was said in the room before, oldest first; of an assistant that asks for it ([`Assistant::past`]).
    pub past: Vec<ChatLine>,
}

/// What was said once, and by whom.
#[derive(Clone, PartialEq, Eq)]
pub struct ChatLine {
    /// Who.
    pub by: Sender,
    /// What.
    pub text: String,
}

/// Without the words.
impl fmt::Debug for ChatLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatLine")
            .field("by", &self.by)
            .finish_non_exhaustive()
    }
}

/// Without the words, and the room by its tag: a customer's business is none of a log's.
impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question")
            .field("room", &self.room)
            .finish_non_exhaustive()
    }
}

/// One backend that answers questions.
pub trait Assistant: Send + Sync + 'static {
    /// Starts to answer and returns at once; the text arrives in pieces. Called on the control
    /// plane's runtime, so a backend may spawn there, and must not block there. Dropping the
    /// [`Replies`] cancels: the backend's next send fails and it stops.
    fn answer(&self, question: Question) -> Replies;

    /// The backend's name in logs and metrics, as in `assistant.kind`.
    fn name(&self) -> &'static str;

    /// How much of what was said before goes along with a question; nothing unless this says so. Asked once.
    fn past(&self) -> Option<PastLimits> {
        None
    }

    /// Why questions are answered with apologies for now: a reason in `/ready` and `/health`, which calls this from any
    /// thread.
    fn degraded(&self) -> Option<String> {
        None
    }
}

/// What a backend sends, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// More of the reply's text.
    Text(String),
    /// What stands beside the reply; the last counts.
    Meta(ReplyMeta),
    /// The reply is whole. Without it, a backend that dies half-way would pass for one that is done.
    End,
    /// The reply comes later, by another way, such as `POST /api/publish`: nothing is said now. Only where no text came
    /// before.
    Later,
    /// No reply is wanted: nothing is said. Only where no text came before.
    Unwanted,
}

/// What a question was answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AssistantReply {
    /// A text, and what stands beside it.
    Text(String, Option<ReplyMeta>),
    /// Nothing now.
    Later,
    /// Nothing.
    Unwanted,
}

/// One reply as it is written: pieces, then [`Piece::End`], or one of the pieces that say that there is none. An end without
/// any text and a backend that goes away without an end are failures.
#[derive(Debug)]
pub struct Replies(mpsc::Receiver<Result<Piece, Failure>>);

impl Replies {
    /// The two ends of a bounded stream of pieces.
    #[must_use]
    pub fn channel() -> (mpsc::Sender<Result<Piece, Failure>>, Self) {
        let (pieces, replies) = mpsc::channel(PIECES_AHEAD);
        (pieces, Self(replies))
    }

    /// A reply that is written in one piece, by a task of its own on the runtime that this is called on. The task
    /// ends early once nobody waits for its answer any more (`assistant.timeout`, shutdown). A panic in it is
    /// [`Failure::Panicked`].
    ///
    /// # Panics
    /// Outside of a tokio runtime; [`Assistant::answer`] is called on one.
    #[must_use]
    pub fn of(answer: impl Future<Output = Result<String, Failure>> + Send + 'static) -> Self {
        Self::written(async move |pieces| {
            // The channel has room for it; if nobody listens any more, nobody misses it.
            drop(pieces.send(Ok(Piece::Text(answer.await?))).await);
            Ok(Piece::End)
        })
    }

    /// As [`Replies::of`], for a reply that `write` sends in pieces but for the last, which it returns.
    fn written<W>(write: impl FnOnce(mpsc::Sender<Result<Piece, Failure>>) -> W) -> Self
    where
        W: Future<Output = Result<Piece, Failure>> + Send + 'static,
    {
        let (pieces, replies) = Self::channel();
        let written = write(pieces.clone());
        tokio::spawn(async move {
            let mut written = pin!(written);
            let contained = std::future::poll_fn(|cx| {
                let polled = caught(|| written.as_mut().poll(cx));
                polled.unwrap_or(Poll::Ready(Err(Failure::Panicked)))
            });
            let end = tokio::select! {
                written = contained => written,
                () = pieces.closed() => return,
            };
            drop(pieces.send(end).await);
        });
        replies
    }

    /// The next piece, a failure that ends the answer, or `None` if the backend has gone.
    ///
    /// # Cancel safety
    ///
    /// No piece is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<Result<Piece, Failure>> {
        self.0.recv().await
    }
}

/// Why a prompt ended in an apology.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Failure {
    /// The reply took longer than `assistant.timeout`.
    #[error("no reply within assistant.timeout")]
    Timeout,
    /// The backend panicked, in [`Assistant::answer`] or in what it gave [`Replies::of`].
    #[error("the backend panicked")]
    Panicked,
    /// The backend said that it cannot answer.
    #[error("the backend failed")]
    Failed,
    /// The backend went away in the middle, such as by a panic in a task of its own.
    #[error("the answer broke off")]
    BrokenOff,
    /// The answer ended without any text.
    #[error("the answer was empty")]
    Empty,
    /// The answer grew past [`REPLY_BYTES_MAX`].
    #[error("the answer was too long")]
    TooLong,
    /// The node is going down.
    #[error("the assistant was stopped")]
    Stopped,
}

/// Where the outcome of one prompt goes. Exactly one of `reply`, `apologise`, `merged` and `silent` is called for every
/// accepted prompt, on a thread of the control plane, or on the dropping thread at shutdown. The call must
/// not block. A panic in it is caught and counted.
pub trait ReplyTo: Send {
    /// The whole reply, and what stands beside it.
    fn reply(self: Box<Self>, text: String, meta: Option<ReplyMeta>);
    /// There will be no reply; say so with [`APOLOGY`].
    fn apologise(self: Box<Self>) {
        self.reply(APOLOGY.to_owned(), None);
    }
    /// The reply comes later by another way, or none is wanted: nothing is said.
    fn silent(self: Box<Self>) {}
    /// The prompt was asked together with an earlier one (`assistant.debounce`), whose reply answers both and has been
    /// said: nothing more is.
    fn merged(self: Box<Self>) {}
}

/// A question and where its answer goes.
pub struct Prompt {
    /// The room it was asked in.
    pub room: RoomName,
    /// The connection that asks.
    pub asker: Author,
    /// The name of the customer who asks, if that is known.
    pub user: Option<Arc<str>>,
    /// The customer's words.
    pub text: String,
    /// Takes the one reply or apology.
    pub reply: Box<dyn ReplyTo>,
}

impl fmt::Debug for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Message contents do not belong in logs.
        f.debug_struct("Prompt")
            .field("room", &self.room)
            .field("text_bytes", &self.text.len())
            .finish_non_exhaustive()
    }
}

/// Why the assistant cannot start. The caller exits with 64: the operator named a file that is not
/// usable.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The knowledge file cannot be read.
    #[error("assistant.knowledge: cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The knowledge file is not a regular file of at most [`KNOWLEDGE_BYTES_MAX`] bytes.
    #[error(
        "assistant.knowledge: {} is not a file of at most {} bytes",
        path.display(),
        KNOWLEDGE_BYTES_MAX
    )]
    Size {
        /// The file.
        path: PathBuf,
    },
    /// The server cannot be asked with these settings.
    #[error("{key}: {what}")]
    Server {
        /// The key at fault.
        key: &'static str,
        /// What is wrong with it.
        what: Box<str>,
    },
    /// The system gives no runtime to ask with.
    #[error("no runtime: {0}")]
    Runtime(#[source] std::io::Error),
    /// The knowledge file breaks a rule.
    #[error("{}:{line}: {problem}", path.display())]
    Knowledge {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u32,
        /// The rule and the fix.
        problem: Box<str>,
    },
}
