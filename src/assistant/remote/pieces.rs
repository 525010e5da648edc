//! Where the pieces of an answer go.

use super::super::{Failure, Piece, REPLY_BYTES_MAX, ReplyMeta};
use super::fault::AnswerFault;
use crate::metrics::Metrics;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Where the pieces of an answer go. What the reader has not taken yet becomes one piece with what comes after it.
#[derive(Debug)]
pub(in crate::assistant) struct AnswerPieces {
    pieces: mpsc::Sender<Result<Piece, Failure>>,
    pending: String,
    /// Bytes so far.
    bytes: usize,
    /// What stands beside the text; the last that was said.
    meta: Option<ReplyMeta>,
    asked: Instant,
    metrics: Arc<Metrics>,
}

impl AnswerPieces {
    /// For the answer to what was `asked` then.
    pub(super) fn new(
        pieces: mpsc::Sender<Result<Piece, Failure>>,
        asked: Instant,
        metrics: &Arc<Metrics>,
    ) -> Self {
        Self {
            pieces,
            pending: String::new(),
            bytes: 0,
            meta: None,
            asked,
            metrics: Arc::clone(metrics),
        }
    }

    /// Has anything been said?
    pub(super) fn is_begun(&self) -> bool {
        self.bytes > 0
    }

    pub(super) fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(super) fn say(&mut self, text: &str, meta: Option<ReplyMeta>) -> Result<(), AnswerFault> {
        if self.bytes == 0 && !text.is_empty() {
            let waited = self.asked.elapsed().as_secs_f64();
            self.metrics.assistant_first_token.observe(waited);
        }
        self.bytes += text.len();
        if self.bytes > REPLY_BYTES_MAX {
            return Err(AnswerFault::TooLong);
        }
        self.pending.push_str(text);
        self.meta = meta.or(self.meta.take());
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
}
