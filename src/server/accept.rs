//! From the listener to the 101: accept, let hyper read one head, hand the socket over.
//!
//! Bounded by `limits.handshakes` and `limits.handshakes_per_ip` in number, by `server.handshake_timeout` for a head and by
//! `server.http_timeout` for the rest of a connection that is no WebSocket.

use super::admission::{Admission, Permit, peer_of};
use super::doorstep::Doorstep;
use super::service::{Front, Upgrade};
use crate::config::Config;
use crate::metrics::count;
use crate::worker::Handoff;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};
use std::convert::Infallible;
use std::future::{poll_fn, ready};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What a peer still sends after its last answer is read for this long, so that closing the socket
/// does not reset it and take the answer away.
const LINGER: Duration = Duration::from_secs(1);

/// And up to this many bytes.
const LINGER_BYTES: usize = 64 * 1024;

/// The answer when `limits.handshakes` is reached: written without reading the request.
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
    #[cfg(target_os = "linux")]
    {
        socket.set_tcp_notsent_lowat(config.limits.unsent_bytes)?;
        // A backstop behind the pings: unacknowledged data may be this old.
        let patience = config.server.ping_interval + config.server.ping_timeout;
        socket.set_tcp_user_timeout(Some(patience))?;
    }
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(config.server.backlog).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}

/// Accepts connections.
#[derive(Debug)]
pub(super) struct Acceptor {
    front: Arc<Front>,
    http: http1::Builder,
    handshakes: Arc<Admission>,
    http_timeout: Duration,
    /// Connections wait for a worker to wake.
    bell: Notify,
}

impl Acceptor {
    pub(super) fn new(front: Arc<Front>) -> Self {
        let config = &front.crew.config;
        let mut http = http1::Builder::new();
        // Without a timer hyper ignores the timeout.
        http.timer(TokioTimer::new())
            .header_read_timeout(config.server.handshake_timeout)
            .max_headers(config.limits.headers)
            .max_header_size(config.limits.header_bytes)
            .max_buf_size((config.limits.header_bytes + config.limits.uri_bytes).max(8 * 1024));
        let limits = &config.limits;
        let handshakes = Arc::new(Admission::new(limits.handshakes, limits.handshakes_per_ip));
        Self {
            handshakes,
            http,
            http_timeout: config.server.http_timeout,
            bell: Notify::new(),
            front,
        }
    }

    /// Accepts until dropped. Errors back off (10 ms to 1 s) instead of spinning: without a free
    /// descriptor, accept fails at once and the listener stays readable.
    ///
    /// # Cancel safety
    /// A connection just accepted may be dropped; handshakes under way go on.
    pub(super) async fn run(self: Arc<Self>, listener: &TcpListener) {
        const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
        let mut wait = BACK_OFF.0;
        let mut failing = false;
        tokio::spawn(Arc::clone(&self).ring());
        loop {
            match listener.accept().await {
                Ok((stream, address)) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!("accepting connections again");
                    }
                    wait = BACK_OFF.0;
                    self.admit(stream, address);
                }
                Err(error) => {
                    let kind = kind_of(&error);
                    count(&self.front.crew.metrics.accept_errors, "kind", kind);
                    if kind == "aborted" {
                        continue;
                    }
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "cannot accept connections; trying again (raise the descriptor limit if it says too many open files)");
                    }
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(BACK_OFF.1);
                }
            }
        }
    }

    /// Wakes workers. A task of its own comes behind the handshakes that are ready now, so their
    /// connections reach a worker together. Outlives [`Acceptor::run`], as handshakes do.
    async fn ring(self: Arc<Self>) {
        loop {
            self.bell.notified().await;
            self.front.crew.nudge();
        }
    }

    fn admit(self: &Arc<Self>, stream: TcpStream, address: SocketAddr) {
        // One address must not keep the others out by handshakes that never end.
        let Ok(permit) = self.handshakes.enter(peer_of(address)) else {
            count(
                &self.front.crew.metrics.handshakes_refused,
                "reason",
                "handshakes",
            );
            tracing::debug!(status = 503, reason = "handshakes", "request refused");
            refuse(stream);
            return;
        };
        let acceptor = Arc::clone(self);
        tokio::spawn(async move { acceptor.serve(stream, address, permit).await });
    }

    async fn serve(&self, stream: TcpStream, address: SocketAddr, _permit: Permit) {
        let metrics = &self.front.crew.metrics;
        metrics.handshakes_in_progress.inc();
        let upgrade: Mutex<Option<Upgrade>> = Mutex::new(None);
        let peer = peer_of(address);
        let (answered, accepted) = (AtomicBool::new(false), AtomicBool::new(false));
        let service = service_fn(|request| {
            let mut upgrade = upgrade.lock();
            let response = self.front.answer(request, peer, &mut upgrade);
            answered.store(true, Ordering::Relaxed);
            accepted.store(upgrade.is_some(), Ordering::Relaxed);
            ready(Ok::<_, Infallible>(response))
        });
        let doorstep = Doorstep::new(stream, &accepted);
        let mut connection = self.http.serve_connection(doorstep, service);
        let served = poll_fn(|context| connection.poll_without_shutdown(context));
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
            (Some(upgrade), Ok(Ok(()))) => self.hand_over(parts.io, parts.read_buf, upgrade),
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

    fn hand_over(&self, doorstep: Doorstep<'_>, leftover: bytes::Bytes, upgrade: Upgrade) {
        let Upgrade { role, room, permit } = upgrade;
        let (stream, answer) = doorstep.into_parts();
        match stream.into_std() {
            Ok(socket) => {
                let peer = permit.hand_over();
                let is_first = self.front.crew.hand_over(Handoff {
                    socket,
                    answer,
                    leftover,
                    role,
                    room,
                    peer,
                });
                if is_first {
                    self.bell.notify_one();
                }
            }
            Err(error) => tracing::warn!(%error, "a socket cannot be handed over"),
        }
    }
}

/// Answers [`BUSY`]. The socket is new, so its buffer takes this; if not, the peer is closed upon
/// anyway. Not through tokio, which may not have heard yet that the socket can be written to.
fn refuse(stream: TcpStream) {
    let Ok(mut socket) = stream.into_std() else {
        return;
    };
    // What has come already, so that the close does not reset the connection before its answer.
    let mut scratch = [0; 4096];
    drop(io::Read::read(&mut socket, &mut scratch));
    drop(io::Write::write(&mut socket, BUSY));
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

fn kind_of(error: &io::Error) -> &'static str {
    // Linux and the BSDs agree on these two.
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    match error.raw_os_error() {
        Some(EMFILE | ENFILE) => "descriptors",
        _ if error.kind() == io::ErrorKind::ConnectionAborted => "aborted",
        _ if error.kind() == io::ErrorKind::OutOfMemory => "memory",
        _ => "other",
    }
}
