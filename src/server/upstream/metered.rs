//! The client's side of a WebSocket that is passed through: read no faster than its quotas of bytes allow for.

use crate::broker::QuotaHolds;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A wait is looked at anew this often: the quotas may have been changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A socket whose reading is held up while what was read is above a quota. What is not read stays with the kernel, and
/// in the end with the client.
pub(super) struct Metered<I> {
    io: I,
    holds: Option<QuotaHolds>,
    /// Bytes read that have not been charged.
    read: usize,
    held: Option<Pin<Box<Sleep>>>,
}

impl<I> Metered<I> {
    /// `read`: bytes of the client that are there already. Without `holds` nothing is limited.
    pub(super) fn new(io: I, holds: Option<QuotaHolds>, read: usize) -> Self {
        Self {
            io,
            holds,
            read,
            held: None,
        }
    }

    /// Ready once no quota is owed anything.
    fn poll_charged(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(holds) = &self.holds else {
            return Poll::Ready(());
        };
        loop {
            if let Some(held) = &mut self.held {
                ready!(held.as_mut().poll(context));
                self.held = None;
            }
            let wait = holds.charge(std::mem::take(&mut self.read));
            if wait.is_zero() {
                return Poll::Ready(());
            }
            self.held = Some(Box::pin(sleep(wait.min(LOOK_EVERY))));
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Metered<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_charged(context));
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        self.read += buffer.filled().len() - before;
        read
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Metered<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
