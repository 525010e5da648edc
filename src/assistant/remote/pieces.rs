//! Where the pieces of an answer go.

use super::super::{Failure, Piece, REPLY_BYTES_MAX, ReplyMeta};
use super::breaker::Pass;
use super::fault::AnswerFault;
use super::opening::AnswerOpening;
use crate::metrics::Metrics;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// What was said once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::assistant) struct AnswerWords {
    /// More of the answer; may be empty.
    pub(in crate::assistant) text: String,
    /// What stands beside the answer.
    pub(in crate::assistant) meta: Option<ReplyMeta>,
    /// The server thinks: what it says to itself is for nobody.
    pub(in crate::assistant) is_thinking: bool,
    /// The server has said all that it will.
    pub(in crate::assistant) is_last: bool,
}

impl AnswerWords {
    /// Does the server work at the answer?
    pub(super) fn is_life(&self) -> bool {
        self.is_thinking || !self.text.is_empty()
    }
}

/// Where the pieces of an answer go. What the reader has not taken yet becomes one piece with what comes after it.
pub(in crate::assistant) struct AnswerPieces<'p> {
    pass: Pass<'p>,
    pieces: mpsc::Sender<Result<Piece, Failure>>,
    opening: AnswerOpening,
    pending: String,
    /// Bytes so far, from the first word on.
    bytes: usize,
    /// What stands beside the text; the last that was said.
    meta: Option<ReplyMeta>,
    asked: Instant,
    metrics: Arc<Metrics>,
}

impl<'p> AnswerPieces<'p> {
    /// For the answer to what was `asked` then, by this leave.
    pub(super) fn new(
        pass: Pass<'p>,
        pieces: mpsc::Sender<Result<Piece, Failure>>,
        asked: Instant,
        metrics: &Arc<Metrics>,
    ) -> Self {
        Self {
            pass,
            pieces,
            opening: AnswerOpening::new(false),
            pending: String::new(),
            bytes: 0,
            meta: None,
            asked,
            metrics: Arc::clone(metrics),
        }
    }

    /// The question is asked, perhaps again: what was thought before is no part of the answer that comes.
    pub(super) fn begin(&mut self, may_think_aloud: bool) {
        self.opening = AnswerOpening::new(may_think_aloud);
    }

    /// Has anything been said?
    pub(super) fn is_begun(&self) -> bool {
        self.bytes > 0
    }

    pub(super) fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// More of the answer, or a sign that there will be some.
    pub(super) fn say(&mut self, words: AnswerWords) -> Result<(), AnswerFault> {
        if words.is_life() {
            self.pass.works();
        }
        let text = self.opening.take(&words.text)?;
        self.show(&text)?;
        self.meta = words.meta.or(self.meta.take());
        Ok(())
    }

    fn show(&mut self, text: &str) -> Result<(), AnswerFault> {
        if self.bytes == 0 && !text.is_empty() {
            let waited = self.asked.elapsed().as_secs_f64();
            self.metrics.assistant_first_token.observe(waited);
        }
        self.bytes += text.len();
        // White space without end is too long, too.
        if self.bytes + self.opening.held_bytes() > REPLY_BYTES_MAX {
            return Err(AnswerFault::TooLong);
        }
        self.pending.push_str(text);
        Ok(())
    }

    /// Sends what is pending once the reader has room for it.
    pub(super) async fn flush(&mut self) {
        match self.pieces.reserve().await {
            Ok(room) => room.send(Ok(Piece::Text(std::mem::take(&mut self.pending)))),
            // Whoever writes the answer is told so, and dropped.
            Err(_nobody_reads) => std::future::pending().await,
        }
    }

    /// Sends all there is: the answer is whole.
    pub(super) async fn finish(&mut self) -> Result<(), AnswerFault> {
        let rest = self.opening.end();
        self.show(&rest)?;
        if !self.is_begun() {
            return Err(AnswerFault::Empty);
        }
        if self.is_pending() {
            self.flush().await;
        }
        if let Some(meta) = self.meta.take() {
            // If nobody reads any more, nobody misses it.
            drop(self.pieces.send(Ok(Piece::Meta(meta))).await);
        }
        Ok(())
    }

    /// The leave to ask, once nothing more is said.
    pub(super) fn into_pass(self) -> Pass<'p> {
        self.pass
    }
}
