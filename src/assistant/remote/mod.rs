//! A server of HTTP that answers questions, whatever it is: a model ([`openai`](super::openai)), the site's own view
//! ([`webhook`](super::webhook)).
//!
//! Before the first word of its answer a question may be asked again ([`retries`]), and while the server fails nobody is
//! asked ([`breaker`]). The answer is passed on in pieces, as it comes ([`exchange`], [`events`]). Whatever a server does
//! ends in one answer, in silence that was asked for, or in one [`AnswerFault`], which is counted; nothing that a server
//! says reaches a log but a word of lower-case letters.
//!
//! Limits: [`RemoteLimits`]; `assistant.concurrency` connections. Redirects are not followed, and no coding is asked for or
//! taken.

mod breaker;
mod events;
mod exchange;
mod fault;
mod health;
mod opening;
mod pieces;
mod retries;

pub(super) use exchange::{AnswerExchange, AnswerForm, AnswerRefusal, ExchangeLimits, read_out};
pub(super) use fault::{AnswerFault, CANCELLED, LATER, OK, UNWANTED};
pub(super) use health::ServerKind;
pub(super) use pieces::{AnswerPieces, AnswerWords};

use super::{Failure, Piece};
use crate::http_client::{HEAD_BYTES_MAX, HttpClient};
use crate::metrics::{Metrics, count, declare};
use crate::name::RoomName;
use crate::redis::Randomness;
use breaker::{Breaker, BreakerChange};
use health::ServerHealth;
use retries::RetryBudget;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

/// Bytes of a question at a server beside its texts and the answer's: the answer's head, in a buffer that has grown, and its
/// fields; what a connection with TLS has written (64 KiB) and read (as much); the tasks that wait.
pub(super) const EXCHANGE_BYTES: usize = 16 * HEAD_BYTES_MAX;
/// Bytes that an event's reader and parser hold of each byte of a longest event: the line in a buffer that has grown (2), and
/// the event in one that grows (3); then that (2), and its words as they are read (3) and kept (1).
pub(super) const EVENT_FACTOR: usize = 6;
/// Bytes that are held of each byte of an answer: what waits for the reader, in a buffer that grows (3), what the reader is
/// given (2) and has taken (3), and what is remembered of that (1).
pub(super) const REPLY_FACTOR: usize = 9;
/// Bytes of JSON of one byte of text at most: a control character is written as six.
pub(super) const JSON_FACTOR: usize = 6;

/// How long a server is waited for, and how often it is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct RemoteLimits {
    /// Longest until the first word of an answer, all tries included.
    pub(super) first_token: Duration,
    /// How often a question is asked again.
    pub(super) retries: usize,
    /// Retries in a row, over all questions.
    pub(super) retry_budget: usize,
    /// Questions that failed in a row after which nobody is asked.
    pub(super) breaker_failures: usize,
    /// How long that is.
    pub(super) breaker_pause: Duration,
    /// Of one try.
    pub(super) exchange: ExchangeLimits,
}

/// The limits of a section that has them under these names: of `[assistant.openai]` and `[assistant.webhook]`, each a type of
/// its own.
macro_rules! limits_of {
    ($settings:expr) => {
        $crate::assistant::remote::RemoteLimits {
            first_token: $settings.first_token,
            retries: $settings.retries,
            retry_budget: $settings.retry_budget,
            breaker_failures: $settings.breaker_failures,
            breaker_pause: $settings.breaker_pause,
            exchange: $crate::assistant::remote::ExchangeLimits {
                between_tokens: $settings.between_tokens,
                event_bytes: $settings.event_bytes,
            },
        }
    };
}

/// As [`limits_of`], of what was said before: so many lines of it.
macro_rules! past_of {
    ($settings:expr, $lines:expr) => {
        $crate::assistant::PastLimits {
            lines: $lines,
            bytes: $settings.context_bytes,
            rooms: $settings.rooms,
            expiry: $settings.remember,
        }
    };
}

pub(super) use {limits_of, past_of};

/// How a question ended that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnswerEnding {
    /// With an answer, which has been passed on.
    Said,
    /// The answer comes later, by another way.
    Later,
    /// No answer is wanted.
    Unwanted,
}

impl AnswerEnding {
    const fn label(self) -> &'static str {
        match self {
            Self::Said => OK,
            Self::Later => LATER,
            Self::Unwanted => UNWANTED,
        }
    }

    /// What ends the pieces.
    const fn piece(self) -> Piece {
        match self {
            Self::Said => Piece::End,
            Self::Later => Piece::Later,
            Self::Unwanted => Piece::Unwanted,
        }
    }
}

/// One question in the words of a kind of server.
pub(super) trait RemoteQuestion: Sync {
    /// Asks once; the first word of the answer must be there by `deadline`.
    fn ask(
        &self,
        exchange: &AnswerExchange<'_>,
        deadline: Instant,
        pieces: &mut AnswerPieces<'_>,
    ) -> impl Future<Output = Result<AnswerEnding, AnswerRefusal>> + Send;
}

/// The server. See the module.
pub(super) struct RemoteServer {
    client: HttpClient,
    form: AnswerForm,
    limits: RemoteLimits,
    breaker: Breaker,
    budget: RetryBudget,
    randomness: Randomness,
    health: ServerHealth,
    metrics: Arc<Metrics>,
}

impl RemoteServer {
    /// A server that this client asks; `outcomes` are the labels of what may become of its questions.
    pub(super) fn new(
        kind: ServerKind,
        client: HttpClient,
        form: AnswerForm,
        limits: RemoteLimits,
        metrics: &Arc<Metrics>,
        outcomes: impl Iterator<Item = &'static str>,
    ) -> Self {
        declare(&metrics.assistant_answers, "outcome", outcomes);
        let open = metrics.assistant_breaker_open.clone();
        let on_change = move |change: BreakerChange| {
            open.set(i64::from(matches!(change, BreakerChange::Opened(_))));
            kind.say_change(change);
        };
        Self {
            client,
            form,
            limits,
            breaker: Breaker::new(
                limits.breaker_failures,
                limits.breaker_pause,
                Box::new(on_change),
            ),
            budget: RetryBudget::new(limits.retry_budget),
            randomness: Randomness::default(),
            health: ServerHealth::new(kind, limits.breaker_failures),
            metrics: Arc::clone(metrics),
        }
    }

    /// Why questions are answered with apologies for now.
    pub(super) fn degraded(&self) -> Option<String> {
        let unasked = self.breaker.unasked(Instant::now());
        let unasked = unasked.map(|unasked| self.health.degraded(unasked));
        unasked.or_else(|| self.health.refusing())
    }

    /// Why the last question that was not answered was not.
    pub(super) fn last_fault(&self) -> Option<String> {
        self.health.last()
    }

    /// 64 random bits.
    pub(super) fn random(&self) -> u64 {
        self.randomness.number()
    }

    /// Asks once.
    async fn ask(
        &self,
        question: &impl RemoteQuestion,
        deadline: Instant,
        pieces: &mut AnswerPieces<'_>,
    ) -> Result<AnswerEnding, AnswerFault> {
        let exchange = AnswerExchange {
            client: &self.client,
            limits: self.limits.exchange,
            form: self.form,
        };
        let asked = question.ask(&exchange, deadline, pieces).await;
        self.health.note(asked.as_ref().err());
        asked.map_err(|(fault, _)| fault)
    }
}

/// A question at the server: counted once, however it ends.
pub(super) struct RemoteAnswer<'s> {
    server: &'s RemoteServer,
    /// Where it was asked.
    room: &'s RoomName,
    began: Instant,
    outcome: &'static str,
}

impl<'s> RemoteAnswer<'s> {
    /// A question of this room is there.
    pub(super) fn new(server: &'s RemoteServer, room: &'s RoomName) -> Self {
        server.metrics.assistant_answers_open.inc();
        Self {
            server,
            room,
            began: Instant::now(),
            outcome: CANCELLED,
        }
    }

    /// When the first word of the answer must be there.
    pub(super) fn deadline(&self) -> Instant {
        self.began + self.server.limits.first_token
    }

    /// Asks until there is an answer, or no use in asking again; the piece that ends what is passed on.
    pub(super) async fn ask(
        mut self,
        question: &impl RemoteQuestion,
        pieces: mpsc::Sender<Result<Piece, Failure>>,
    ) -> Result<Piece, Failure> {
        let asked = self.ask_with_leave(question, pieces).await;
        self.outcome = asked.map_or_else(AnswerFault::label, AnswerEnding::label);
        Ok(asked?.piece())
    }

    /// Asks, unless nobody does now. However often that takes, it is one failure or one success of the server.
    async fn ask_with_leave(
        &self,
        question: &impl RemoteQuestion,
        pieces: mpsc::Sender<Result<Piece, Failure>>,
    ) -> Result<AnswerEnding, AnswerFault> {
        let server = self.server;
        let pass = server.breaker.pass(self.room, Instant::now());
        let pass = pass.ok_or(AnswerFault::BreakerOpen)?;
        let mut pieces = AnswerPieces::new(pass, pieces, self.began, &server.metrics);
        let asked = self.ask_again(question, &mut pieces).await;
        let pass = pieces.into_pass();
        match asked {
            Err(fault) if fault.is_of_server() => pass.failed(Instant::now()),
            // A server that says no is there.
            _ => pass.succeeded(),
        }
        asked
    }

    async fn ask_again(
        &self,
        question: &impl RemoteQuestion,
        pieces: &mut AnswerPieces<'_>,
    ) -> Result<AnswerEnding, AnswerFault> {
        let (server, deadline) = (self.server, self.deadline());
        let mut retry = 0;
        loop {
            pieces.begin(server.form.may_think_aloud);
            let fault = match server.ask(question, deadline, pieces).await {
                Ok(ending) => {
                    server.budget.earn();
                    return Ok(ending);
                }
                Err(fault) => fault,
            };
            let is_last = retry >= server.limits.retries
                || pieces.is_begun()
                || !fault.may_pass()
                || server.breaker.is_open_to(self.room);
            let pause = retries::pause(retry, fault.retry_after(), &server.randomness);
            let left = deadline.saturating_duration_since(Instant::now());
            if is_last || pause >= left || !server.budget.take() {
                return Err(fault);
            }
            server.metrics.assistant_retries.inc();
            retry += 1;
            sleep(pause).await;
        }
    }
}

impl Drop for RemoteAnswer<'_> {
    fn drop(&mut self) {
        let metrics = &self.server.metrics;
        metrics.assistant_answers_open.dec();
        count(&metrics.assistant_answers, "outcome", self.outcome);
        if self.outcome == OK {
            let took = self.began.elapsed().as_secs_f64();
            metrics.assistant_answer.observe(took);
        }
    }
}
