//! hyper on one connection, with the deadlines of [`Pace`].

use super::pace::{Pace, PaceHandle, Phase, READ_BYTES};
use crate::config::LimitSettings;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use parking_lot::Mutex;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::sleep_until;

/// What a peer still sends after its last answer is read for this long, so that closing the socket
/// does not reset it and take the answer away.
const LINGER: Duration = Duration::from_secs(1);

/// And up to this many bytes.
const LINGER_BYTES: usize = 64 * 1024;

/// A request beside its head and the kernel's buffers: hyper's state machine, the task, and the response.
pub(crate) const REQUEST_BYTES: usize = 16 * 1024;

/// The answer to a request line whose end is not waited for.
const TOO_LONG: &[u8] =
    b"HTTP/1.1 414 URI Too Long\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// How a connection ended.
#[derive(Debug)]
pub enum ServiceEnd {
    /// By HTTP's rules: closed by either side, or upgraded.
    Done,
    /// By what hyper says; the peer has been answered if it could be.
    Failed(hyper::Error),
    /// A request line too long for `limits.uri_bytes`; the peer is to be sent 414 ([`linger`]).
    TooLong,
    /// By the deadline of this phase.
    Overdue(Phase),
}

/// What is left of a connection that has been served.
#[derive(Debug)]
pub struct Served<I> {
    /// What it was served over.
    pub io: I,
    /// Bytes read of its peer that belong to no request.
    pub read: Bytes,
    /// Why no more is served.
    pub end: ServiceEnd,
}

/// hyper for both listeners: heads within `limits`, and a peer that has ended its side after a request is still
/// answered (RFC 9112 section 9.6). Deadlines are [`serve`]'s.
#[must_use]
pub fn builder(limits: &LimitSettings) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.half_close(true)
        .header_read_timeout(None)
        .max_headers(limits.headers)
        .max_header_size(limits.header_bytes)
        .max_buf_size((limits.header_bytes + limits.uri_bytes).max(READ_BYTES));
    http
}

/// Answers the requests of one connection, within the deadlines of `pace`, of which `answer` gets a [`PaceHandle`] with
/// each request. After a request with a body the connection ends: few are read, and nobody can hide a request
/// in one. Once `closing` is done, so does one
/// that has been answered.
///
/// # Cancel safety
/// Dropping it closes the connection.
pub async fn serve<I, A, F, B>(
    http: &http1::Builder,
    io: I,
    pace: Pace,
    closing: impl Future<Output = ()>,
    answer: A,
) -> Served<I>
where
    I: Read + Write + Unpin,
    A: Fn(Request<Incoming>, PaceHandle) -> F,
    F: Future<Output = Response<B>>,
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let handle = PaceHandle(Arc::new(Mutex::new(pace)));
    let pace = &*handle.0;
    let service = service_fn(|request: Request<Incoming>| {
        let has_body = !request.body().is_end_stream();
        pace.lock().asked(has_body);
        let handle = handle.clone();
        let answer = answer(request, handle.clone());
        // hyper asks for a future that may be moved.
        Box::pin(async move {
            let mut response = answer.await;
            if has_body {
                let close = HeaderValue::from_static("close");
                response.headers_mut().append(CONNECTION, close);
            }
            Ok::<_, Infallible>(response.map(|body| AnswerBody { body, handle }))
        })
    });
    let io = Paced { inner: io, pace };
    let mut connection = http.serve_connection(io, service);
    let mut alarm = pin!(sleep_until(pace.lock().deadline()));
    let mut closing = pin!(closing);
    let mut is_closing = false;
    let end = poll_fn(|context| {
        is_closing = is_closing || closing.as_mut().poll(context).is_ready();
        // Not before the first answer: hyper would take a client that is about to ask for an idle one.
        if is_closing && pace.lock().is_answered() {
            Pin::new(&mut connection).graceful_shutdown();
        }
        if let Poll::Ready(result) = connection.poll_without_shutdown(context) {
            return Poll::Ready(match result {
                _ if pace.lock().is_too_long() => ServiceEnd::TooLong,
                Ok(()) => ServiceEnd::Done,
                Err(error) => ServiceEnd::Failed(error),
            });
        }
        let (deadline, phase) = {
            let pace = pace.lock();
            (pace.deadline(), pace.phase())
        };
        // Each request moves the deadline, mostly away: the alarm is set anew when it has gone off too early.
        if deadline < alarm.deadline() {
            alarm.as_mut().reset(deadline);
        }
        loop {
            ready!(alarm.as_mut().poll(context));
            if alarm.deadline() >= deadline {
                return Poll::Ready(ServiceEnd::Overdue(phase));
            }
            alarm.as_mut().reset(deadline);
        }
    });
    let end = end.await;
    let parts = connection.into_parts();
    Served {
        io: parts.io.inner,
        read: parts.read_buf,
        end,
    }
}

/// Ends a connection whose peer has been answered: reads what it still sends, for a moment. With `is_too_long` the
/// answer is 414, which hyper does not give where a line has no end.
pub async fn linger(stream: impl AsyncRead + AsyncWrite + Unpin, is_too_long: bool) {
    linger_after(stream, if is_too_long { TOO_LONG } else { b"" }).await;
}

/// [`linger`], with these last words.
///
/// # Cancel safety
/// Dropping it closes the connection.
pub async fn linger_after(mut stream: impl AsyncRead + AsyncWrite + Unpin, last_words: &[u8]) {
    let drained = async {
        stream.write_all(last_words).await?;
        stream.shutdown().await?;
        let mut scratch = [0; 1024];
        let mut left = LINGER_BYTES;
        while left > 0 {
            match stream.read(&mut scratch).await? {
                0 => break,
                count => left = left.saturating_sub(count),
            }
        }
        io::Result::Ok(())
    };
    // Whatever comes of it, the connection is over.
    drop(tokio::time::timeout(LINGER, drained).await);
}

/// An answer's body, whose end is told to the connection's [`Pace`]: hyper drops a body once it has taken all of it, which
/// for a small one that is there as a whole is at once.
struct AnswerBody<B> {
    body: B,
    handle: PaceHandle,
}

impl<B: Body + Unpin> Body for AnswerBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for AnswerBody<B> {
    fn drop(&mut self) {
        self.handle.0.lock().answered();
    }
}

/// What hyper reads and writes, told to the connection's [`Pace`].
struct Paced<'p, I> {
    inner: I,
    pace: &'p Mutex<Pace>,
}

impl<I: Read + Unpin> Read for Paced<'_, I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // Not zeroed: that would be 8 KiB for each look at the socket, of which a request needs two.
        let mut scratch = [MaybeUninit::uninit(); READ_BYTES];
        let most = cursor.remaining().min(READ_BYTES);
        let mut buffer = ReadBuf::uninit(scratch.get_mut(..most).unwrap_or_default());
        let read = Pin::new(&mut self.inner).poll_read(context, buffer.unfilled());
        if let Poll::Ready(Ok(())) = read {
            if !self.pace.lock().heard(buffer.filled()) {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
            cursor.put_slice(buffer.filled());
        }
        read
    }
}

// Without vectored writes hyper puts head and body in one buffer: most bodies are small.
impl<I: Write + Unpin> Write for Paced<'_, I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        let taken = match &written {
            Poll::Ready(taken) => Some(taken.as_ref().map_or(0, |bytes| *bytes)),
            Poll::Pending => None,
        };
        self.pace.lock().written(taken);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(context);
        if let Poll::Ready(Ok(())) = flushed {
            self.pace.lock().flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
