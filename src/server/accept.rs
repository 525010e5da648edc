//! From the listener to the 101. The worker that listens asks here what to do with a new client
//! ([`Gate`]): accepted at once, or served by hyper on the control plane, at its own pace.
//!
//! Bounded by `limits.handshakes` and `limits.handshakes_per_ip` in number, by `server.handshake_timeout` for a head and by
//! `server.http_timeout` for the rest of a connection that is no WebSocket.

use super::admission::{Admission, Permit, peer_of};
use super::doorstep::Doorstep;
use super::service::{Front, Upgrade};
use crate::config::Config;
use crate::metrics::count;
use crate::worker::{Accepted, Gate, Handoff};
use bytes::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use mio::net::TcpListener;
use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};
use std::convert::Infallible;
use std::future::{poll_fn, ready};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// What a peer still sends after its last answer is read for this long, so that closing the socket
/// does not reset it and take the answer away.
const LINGER: Duration = Duration::from_secs(1);

/// And up to this many bytes.
const LINGER_BYTES: usize = 64 * 1024;

/// The answer when `limits.handshakes` is reached, or a worker has ended: written without reading the request.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n";

/// Opens the public listener. Accepted sockets inherit its options (Linux `sk_clone`), which saves
/// four system calls a connection.
///
/// # Errors
/// When the address cannot be had.
pub(super) fn listen(config: &Config) -> io::Result<TcpListener> {
    let address = config.server.listen;
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_send_buffer_size(config.limits.send_buffer_bytes)?;
    // Before `listen`: the window of a new connection obeys it from the first segment on.
    socket.set_recv_buffer_size(config.limits.receive_buffer_bytes)?;
    // No TCP_USER_TIMEOUT: it counts from when the peer's window last had room for the next segment, however
    // well the peer acknowledges. With one of 3 s the kernel (6.18) cut off a reader of 12 KB/s after
    // 3.5 s, and one of 1 KB/s with 4,096 bytes of buffer after 3.3 s. The workers' own timers end who is gone.
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(config.limits.unsent_bytes)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(config.server.backlog).unwrap_or(i32::MAX))?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Lets clients in.
#[derive(Clone, Debug)]
pub(super) struct Acceptor {
    front: Arc<Front>,
    http: http1::Builder,
    handshakes: Arc<Admission>,
    http_timeout: Duration,
    runtime: Handle,
    /// Held, so that the node's end waits for those who are served here.
    _visit: mpsc::Sender<Infallible>,
}

impl Acceptor {
    /// Must be called on the control plane's runtime.
    pub(super) fn new(front: Arc<Front>, visit: mpsc::Sender<Infallible>) -> Self {
        let config = &front.crew.config;
        let mut http = http1::Builder::new();
        // Without a timer hyper ignores the timeout.
        http.timer(TokioTimer::new())
            .max_headers(config.limits.headers)
            .max_header_size(config.limits.header_bytes)
            .max_buf_size((config.limits.header_bytes + config.limits.uri_bytes).max(8 * 1024));
        let limits = &config.limits;
        let handshakes = Arc::new(Admission::new(limits.handshakes, limits.handshakes_per_ip));
        Self {
            handshakes,
            http,
            http_timeout: config.server.http_timeout,
            runtime: Handle::current(),
            front,
            _visit: visit,
        }
    }

    /// Serves a connection with hyper: `read` is what it has said already, `left` its time for the rest of a head.
    async fn serve(
        &self,
        socket: mio::net::TcpStream,
        read: Bytes,
        permit: Permit,
        left: Duration,
    ) {
        let metrics = &self.front.crew.metrics;
        let watched = TcpStream::from_std(socket.into());
        let stream = async {
            let stream = watched?;
            // hyper does not wait to write what is wrong with a head, and the head may be here already.
            stream.writable().await?;
            io::Result::Ok(stream)
        };
        let stream = match stream.await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be watched and is dropped");
                metrics.handshakes_in_progress.dec();
                return;
            }
        };
        let upgrade: Mutex<Option<Upgrade>> = Mutex::new(None);
        let (answered, accepted) = (AtomicBool::new(false), AtomicBool::new(false));
        let service = service_fn(|request| {
            let mut upgrade = upgrade.lock();
            let response = self.front.answer(request, permit.peer(), &mut upgrade);
            answered.store(true, Ordering::Relaxed);
            accepted.store(upgrade.is_some(), Ordering::Relaxed);
            ready(Ok::<_, Infallible>(response))
        });
        let doorstep = Doorstep::new(stream, read, &accepted);
        let mut http = self.http.clone();
        http.header_read_timeout(left);
        let mut connection = http.serve_connection(doorstep, service);
        let mut closing = pin!(self.front.crew.closing());
        let mut is_closing = false;
        let served = poll_fn(|context| {
            is_closing = is_closing || closing.as_mut().poll(context).is_ready();
            // Not before the first answer: hyper would take a client that is about to ask for an idle one.
            if is_closing && answered.load(Ordering::Relaxed) {
                Pin::new(&mut connection).graceful_shutdown();
            }
            connection.poll_without_shutdown(context)
        });
        let outcome = tokio::time::timeout(self.http_timeout, served).await;
        metrics.handshakes_in_progress.dec();
        if let Ok(Err(error)) = &outcome {
            // One that was answered and then fell silent has not been refused anything.
            let is_idle = error.is_timeout() && answered.load(Ordering::Relaxed);
            if !is_idle {
                self.count_failure(error);
            }
        }
        let parts = connection.into_parts();
        let upgrade = upgrade.lock().take();
        match (upgrade, outcome) {
            (Some(upgrade), Ok(Ok(()))) => {
                let (stream, answer) = parts.io.into_parts();
                match stream.into_std() {
                    Ok(socket) => {
                        let socket = mio::net::TcpStream::from_std(socket);
                        self.hand_over(socket, answer, parts.read_buf, upgrade);
                    }
                    Err(error) => tracing::warn!(%error, "a socket cannot be handed over"),
                }
            }
            // Closed by the peer in the middle of the answer, or never finished reading it.
            (Some(_), _) | (None, Err(_)) => {}
            (None, Ok(_)) => linger(parts.io.into_stream()).await,
        }
    }

    fn count_failure(&self, error: &hyper::Error) {
        let reason = if error.is_timeout() {
            "timeout"
        } else if error.is_parse_too_large() {
            "headers"
        } else if error.is_parse() {
            "malformed"
        } else {
            return; // The peer went away; nothing was refused.
        };
        count(
            &self.front.crew.metrics.handshakes_refused,
            "reason",
            reason,
        );
        tracing::debug!(reason, "request refused");
    }

    fn hand_over(
        &self,
        socket: mio::net::TcpStream,
        answer: Vec<u8>,
        leftover: Bytes,
        upgrade: Upgrade,
    ) {
        let Upgrade { role, room, permit } = upgrade;
        Gate::hand_over(
            self,
            Handoff {
                socket,
                answer,
                leftover,
                role,
                room,
                passage: None,
                peer: permit.hand_over(),
            },
        );
    }
}

impl Gate for Acceptor {
    fn admit(
        &self,
        socket: mio::net::TcpStream,
        address: SocketAddr,
    ) -> Option<(mio::net::TcpStream, u64)> {
        let metrics = &self.front.crew.metrics;
        // One address must not keep the others out by handshakes that never end.
        let Ok(permit) = self.handshakes.enter(peer_of(address)) else {
            count(&metrics.handshakes_refused, "reason", "handshakes");
            tracing::debug!(status = 503, reason = "handshakes", "request refused");
            refuse(socket);
            return None;
        };
        metrics.handshakes_in_progress.inc();
        Some((socket, permit.hand_over()))
    }

    fn accept(&self, bytes: &[u8], peer: u64) -> Option<Accepted> {
        self.front.accept_at_once(bytes, peer)
    }

    fn leave(&self, peer: u64) {
        self.front.crew.metrics.handshakes_in_progress.dec();
        self.handshakes.leave(peer);
    }

    fn serve(&self, socket: mio::net::TcpStream, read: Bytes, peer: u64, left: Duration) {
        let acceptor = self.clone();
        let permit = self.handshakes.take_back(peer);
        self.runtime
            .spawn(async move { acceptor.serve(socket, read, permit, left).await });
    }

    fn hand_over(&self, handoff: Handoff) {
        // Its worker has ended, in a drain or by a fault: the client comes back, to another node.
        if let Some(socket) = self.front.crew.hand_over(handoff) {
            refuse(socket);
        }
    }
}

/// Answers [`BUSY`]. The socket is new, so its buffer takes this; if not, the peer is closed upon
/// anyway.
fn refuse(mut socket: mio::net::TcpStream) {
    // What has come already, so that the close does not reset the connection before its answer.
    let mut scratch = [0; 4096];
    drop(socket.read(&mut scratch));
    drop(socket.write(BUSY));
}

/// Reads what the peer still sends, for a moment.
async fn linger(mut stream: TcpStream) {
    let drained = async {
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
