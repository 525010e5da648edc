//! A socket whose bytes are passed through: when something was heard of it is noted, and a client's is read no faster
//! than its quotas of bytes allow for.

use crate::broker::QuotaHolds;
use parking_lot::Mutex;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// A wait is looked at anew this often: the quotas may have been changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// One of two sockets that are joined.
pub(super) struct PassedSocket<'h, I> {
    io: I,
    /// When something was heard of either.
    heard: &'h Mutex<Instant>,
    meter: Option<ReadMeter>,
}

/// Holds reading up while what was read is above a quota. What is not read stays with the kernel, and in the end with
/// the client.
struct ReadMeter {
    holds: QuotaHolds,
    /// Bytes read that have not been charged.
    read: usize,
    held: Option<Pin<Box<Sleep>>>,
}

impl<'h, I> PassedSocket<'h, I> {
    /// A socket of which as much may be read as there is.
    pub(super) fn new(io: I, heard: &'h Mutex<Instant>) -> Self {
        Self {
            io,
            heard,
            meter: None,
        }
    }

    /// The same socket, read no faster than `holds` allow for; `read` bytes of it are there already.
    pub(super) fn metered(self, holds: Option<QuotaHolds>, read: usize) -> Self {
        let meter = holds.map(|holds| ReadMeter {
            holds,
            read,
            held: None,
        });
        Self { meter, ..self }
    }
}

impl ReadMeter {
    /// Ready once no quota is owed anything.
    fn poll_charged(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(held) = &mut self.held {
                ready!(held.as_mut().poll(context));
                self.held = None;
            }
            let wait = self.holds.charge(std::mem::take(&mut self.read));
            if wait.is_zero() {
                return Poll::Ready(());
            }
            self.held = Some(Box::pin(sleep(wait.min(LOOK_EVERY))));
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for PassedSocket<'_, I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(meter) = &mut self.meter {
            ready!(meter.poll_charged(context));
        }
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.io).poll_read(context, buffer));
        if let Some(meter) = &mut self.meter {
            meter.read += buffer.filled().len() - before;
        }
        *self.heard.lock() = Instant::now();
        Poll::Ready(read)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for PassedSocket<'_, I> {
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
