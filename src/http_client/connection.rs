//! Connections that know whether one of them was used before, and whether anything of an answer has come.

use hyper::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tower_service::Service;

/// What has gone over one connection.
#[derive(Debug, Default)]
struct Exchanges {
    /// A head has come, and nothing was sent since.
    is_answered: AtomicBool,
    /// A request was sent behind an answer to another one.
    is_kept: AtomicBool,
    /// Something has come since the last request was begun.
    is_answering: AtomicBool,
}

/// What a connection was used for. Shared with its stream.
#[derive(Clone, Debug)]
pub(super) struct ConnectionUse(Arc<Exchanges>);

impl ConnectionUse {
    /// The head of an answer has come over the connection: what is sent next is another request.
    pub(super) fn answered(&self) {
        self.0.is_answered.store(true, Ordering::Release);
    }

    /// Was the connection's last request one behind another, and has nothing of its answer come?
    pub(super) fn is_kept_and_silent(&self) -> bool {
        self.0.is_kept.load(Ordering::Acquire) && !self.0.is_answering.load(Ordering::Acquire)
    }

    fn sends(&self) {
        if self.0.is_answered.swap(false, Ordering::AcqRel) {
            self.0.is_answering.store(false, Ordering::Release);
            self.0.is_kept.store(true, Ordering::Release);
        }
    }

    fn reads(&self) {
        self.0.is_answering.store(true, Ordering::Release);
    }
}

/// Opens connections whose use is known.
#[derive(Clone, Debug)]
pub(super) struct NotingConnector(pub(super) HttpsConnector<HttpConnector>);

impl Service<Uri> for NotingConnector {
    type Response = TokioIo<UsedStream>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let opened = self.0.call(uri);
        Box::pin(async move {
            Ok(TokioIo::new(UsedStream {
                stream: TokioIo::new(opened.await?),
                exchanges: ConnectionUse(Arc::default()),
            }))
        })
    }
}

/// A stream that notes what goes over it: inside TLS, whose own records are nobody's answer.
#[derive(Debug)]
pub(super) struct UsedStream {
    stream: TokioIo<MaybeHttpsStream<TokioIo<TcpStream>>>,
    exchanges: ConnectionUse,
}

impl Connection for UsedStream {
    fn connected(&self) -> Connected {
        let connected = self.stream.inner().connected();
        connected.extra(self.exchanges.clone())
    }
}

impl AsyncRead for UsedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.exchanges.reads();
        }
        read
    }
}

impl AsyncWrite for UsedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.exchanges.sends();
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.exchanges.sends();
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
