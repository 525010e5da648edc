//! A client's socket while hyper serves its handshake: what was read before hyper came is read again, and what
//! hyper writes after an upgrade has been accepted is kept, to leave in one segment with the connection's first frame.

use bytes::{Buf, Bytes};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};

/// The socket. What it keeps is bounded by what hyper says to one accepted upgrade: a head of some
/// 160 bytes.
#[derive(Debug)]
pub(super) struct HandshakeIo<'a, S> {
    stream: TokioIo<S>,
    /// What hyper has still to be given before it reads from the socket.
    read: Bytes,
    /// An upgrade has been accepted: what is written now is its answer.
    accepted: &'a AtomicBool,
    answer: Vec<u8>,
}

impl<'a, S> HandshakeIo<'a, S> {
    pub(super) fn new(stream: S, read: Bytes, accepted: &'a AtomicBool) -> Self {
        Self {
            stream: TokioIo::new(stream),
            read,
            accepted,
            answer: Vec::new(),
        }
    }

    /// The socket, and the answer that it is still owed.
    pub(super) fn into_parts(self) -> (S, Vec<u8>) {
        (self.stream.into_inner(), self.answer)
    }

    /// The socket of a client that is owed nothing.
    pub(super) fn into_stream(self) -> S {
        self.stream.into_inner()
    }
}

impl<S: AsyncRead + Unpin> Read for HandshakeIo<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.has_remaining() {
            let count = self.read.len().min(cursor.remaining());
            cursor.put_slice(&self.read.split_to(count));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(context, cursor)
    }
}

impl<S: AsyncWrite + Unpin> Write for HandshakeIo<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.accepted.load(Ordering::Relaxed) {
            self.answer.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
