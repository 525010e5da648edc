//! From the listener to the 101. The worker that listens asks here what to do with a new client
//! ([`Gate`]): accepted at once, or served by hyper on the control plane, at its own pace.
//!
//! Bounded in number by `limits.handshakes` and `limits.handshakes_per_ip` until a connection has been answered, by
//! `limits.kept_alive` after that, and in time by [`Timeouts`].

use super::admission::{Admission, Full, ListenerKind, Permit};
use super::handshake_io::HandshakeIo;
use super::meeting::BUSY;
use super::service::{HandshakeService, Switched, Upgrade};
use super::unfinished::{Counted, HandshakePlace, UnfinishedHead, UnfinishedHeads};
use super::unix::PlainEntrance;
use super::visit::{PublicPort, StreamOf, VisitSocket};
use crate::config::Config;
use crate::config::proxy::UNIX_PEER;
use crate::http::{self, Pace, Phase, Served, ServiceEnd, Timeouts};
use crate::metrics::count;
use crate::worker::port::{Port, Socket as _};
use crate::worker::{Accepted, Gate, Handoff, PeerPlace, WorkerHandles};
use bytes::Bytes;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use parking_lot::Mutex;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

/// Opens a listener for clients. Accepted sockets inherit its options (Linux `sk_clone`), which saves
/// four system calls a connection.
///
/// # Errors
/// When the address cannot be had.
pub(super) fn listen(config: &Config, address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    set_options(config, &socket)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(config.server.backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// Takes a listener that somebody has opened for us, and waits in it.
pub(super) fn inherit(
    config: &Config,
    listener: std::net::TcpListener,
) -> io::Result<std::net::TcpListener> {
    set_options(config, &SockRef::from(&listener))?;
    Ok(listener)
}

fn set_options(config: &Config, socket: &Socket) -> io::Result<()> {
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
    Ok(())
}

/// Lets clients in, over sockets of this port.
#[derive(Debug)]
pub(super) struct Acceptor<P: Port> {
    service: Arc<HandshakeService>,
    workers: Arc<WorkerHandles<P>>,
    http: http1::Builder,
    handshakes: Arc<Admission>,
    heads: Arc<UnfinishedHeads>,
    kept_alive: Arc<Semaphore>,
    at_site: Arc<Semaphore>,
    timeouts: Timeouts,
    uri_bytes: usize,
    runtime: Handle,
    /// Held, so that the node's end waits for those who are served here.
    _visit: mpsc::Sender<Infallible>,
}

impl<P: Port> Clone for Acceptor<P> {
    fn clone(&self) -> Self {
        Self {
            service: Arc::clone(&self.service),
            workers: Arc::clone(&self.workers),
            http: self.http.clone(),
            handshakes: Arc::clone(&self.handshakes),
            heads: Arc::clone(&self.heads),
            kept_alive: Arc::clone(&self.kept_alive),
            at_site: Arc::clone(&self.at_site),
            timeouts: self.timeouts,
            uri_bytes: self.uri_bytes,
            runtime: self.runtime.clone(),
            _visit: self._visit.clone(),
        }
    }
}

/// What a connection is counted as while hyper serves it.
#[derive(Debug)]
enum CountedAs {
    /// Nothing is asked yet: one of `limits.handshakes`, for as long as there are others.
    Unfinished(UnfinishedHead),
    /// Not answered yet: one of `limits.handshakes`.
    Handshake { place: HandshakePlace },
    /// Answered, and open for another request: one of `limits.kept_alive`.
    KeptAlive {
        _permit: OwnedSemaphorePermit,
        _gauge: Counted,
    },
    /// A request of it is, or was, at the site: one of twice `http.upstream_requests`, until the client has taken the
    /// answer.
    AtSite { _permit: OwnedSemaphorePermit },
}

impl CountedAs {
    /// A place among the handshakes is this peer's from now on.
    fn move_to(&mut self, peer: u64) -> Result<(), Full> {
        match self {
            Self::Unfinished(head) => head.move_to(peer),
            Self::Handshake { place } => place.move_to(peer),
            Self::KeptAlive { .. } | Self::AtSite { .. } => Ok(()),
        }
    }
}

impl<P: PublicPort> Acceptor<P> {
    /// Must be called on the control plane's runtime.
    pub(super) fn new(
        service: Arc<HandshakeService>,
        workers: WorkerHandles<P>,
        heads: Arc<UnfinishedHeads>,
        visit: mpsc::Sender<Infallible>,
    ) -> Self {
        let config = &service.entrance.config;
        let limits = &config.limits;
        Self {
            handshakes: Arc::clone(&service.entrance.handshakes),
            heads,
            http: http::builder(limits),
            kept_alive: Arc::new(Semaphore::new(limits.kept_alive)),
            at_site: Arc::new(Semaphore::new(
                config.http.upstream_requests.saturating_mul(2),
            )),
            timeouts: Timeouts::new(config),
            uri_bytes: limits.uri_bytes,
            runtime: Handle::current(),
            service,
            workers: Arc::new(workers),
            _visit: visit,
        }
    }

    /// The way in for clients who speak no TLS whatever the public listener speaks: those of the Unix socket.
    pub(super) fn plain_entrance(self: &Arc<Self>) -> PlainEntrance {
        let acceptor = Arc::clone(self);
        Box::new(move |stream| {
            let (peer, left) = (SocketAddr::new(UNIX_PEER, 0), acceptor.timeouts.head);
            acceptor.heads.make_place(&acceptor.handshakes);
            let socket = P::Socket::plain(stream);
            if let Some((socket, place)) = acceptor.admit_by(ListenerKind::Beside, socket, peer) {
                Gate::serve(&*acceptor, socket, Bytes::new(), place, left);
            }
        })
    }

    /// Has a place taken for who comes by this listener, or refuses him.
    fn admit_by(
        &self,
        listener: ListenerKind,
        socket: P::Socket,
        peer: SocketAddr,
    ) -> Option<(P::Socket, PeerPlace)> {
        let metrics = &self.service.entrance.metrics;
        let proxies = &self.service.entrance.policy.proxies;
        // One address must not keep the others out by handshakes that never end.
        let Ok(permit) = self
            .handshakes
            .enter_by(listener, proxies.counts_as(peer.ip()))
        else {
            self.count_busy();
            refuse(socket);
            return None;
        };
        metrics.handshakes_in_progress.inc();
        let counted = permit.hand_over();
        let socket = socket.behind(proxies, peer.ip());
        Some((socket, PeerPlace { peer, counted }))
    }

    /// Where connections go.
    pub(super) fn workers(&self) -> Arc<WorkerHandles<P>> {
        Arc::clone(&self.workers)
    }

    /// Serves a connection until it ends, or its place is somebody else's: `read` is what it has said already, `left` its
    /// time for the rest of a head.
    async fn serve(
        &self,
        socket: P::Socket,
        read: Bytes,
        peer: SocketAddr,
        permit: Permit,
        left: Duration,
    ) {
        let counted = Counted(self.service.entrance.metrics.handshakes_in_progress.clone());
        let now = Instant::now();
        let waited = self.timeouts.head.saturating_sub(left);
        let (head, pushed_out) = self.heads.begin(
            HandshakePlace::new(permit, Some(counted)),
            now.checked_sub(waited).unwrap_or(now),
        );
        tokio::select! {
            biased;
            Ok(()) = pushed_out => self.count_refusal("slow"),
            () = self.serve_counted(socket, read, peer, head, left) => {}
        }
    }

    /// The same with hyper, at its own pace.
    async fn serve_counted(
        &self,
        socket: P::Socket,
        read: Bytes,
        peer: SocketAddr,
        head: UnfinishedHead,
        left: Duration,
    ) {
        let place = Mutex::new(CountedAs::Unfinished(head));
        let watched = socket.into_stream();
        let stream = async {
            let stream = watched?;
            // hyper does not wait to write what is wrong with a head, and the head may be here already.
            P::Socket::tcp(&stream).writable().await?;
            io::Result::Ok(stream)
        };
        let mut stream = match stream.await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be watched and is dropped");
                return;
            }
        };
        let switched: Mutex<Option<Switched>> = Mutex::new(None);
        let accepted = AtomicBool::new(false);
        let (held, taken, is_accepted, service) = (&place, &switched, &accepted, &self.service);
        let begun = Instant::now();
        let proxies = &self.service.entrance.policy.proxies;
        let address = peer.ip();
        let socket = (address, P::Socket::is_tls(&stream));
        let move_to = |client| {
            let counted = proxies.counts_as(client);
            held.lock().move_to(counted)
        };
        let met = proxies.meet_at(&mut stream, read, socket, left, move_to);
        let (peer, read) = match met.await {
            Ok(met) => met,
            Err(unmet) => return unmet.end(stream, &self.service.entrance.metrics).await,
        };
        self.service.note_line(address, &read);
        let left = left.saturating_sub(begun.elapsed());
        let answer = |request, pace| async move {
            Self::finish_head(held).await;
            let on_forward = || self.leave_handshakes(&mut held.lock());
            // In a box: each call on its way to the site would move it, twice.
            let request = Box::new(request);
            let answered = service.answer(request, peer, pace, move_to, on_forward);
            let (mut response, switched) = answered.await;
            is_accepted.store(switched.is_some(), Ordering::Relaxed);
            if switched.is_none() && !self.keep_alive(&mut held.lock()) {
                let close = HeaderValue::from_static("close");
                response.headers_mut().append(CONNECTION, close);
            }
            *taken.lock() = switched;
            response
        };
        let pace = Pace::new(self.timeouts, left, self.uri_bytes);
        let handshake_io = HandshakeIo::new(stream, read, &accepted);
        let mut closing = self.service.entrance.closing.clone();
        // The node ends with whoever could say so.
        let closing = async move { drop(closing.wait_for(|is_closing| *is_closing).await) };
        let served = http::serve(&self.http, handshake_io, pace, closing, answer).await;
        self.count_failure(&served.end);
        let switched = switched.lock().take();
        self.go_on(served, switched).await;
    }

    /// What becomes of a connection that hyper serves no more.
    async fn go_on(
        &self,
        served: Served<HandshakeIo<'_, StreamOf<P>>>,
        switched: Option<Switched>,
    ) {
        let Served { io, read, end } = served;
        match (switched, end) {
            (Some(Switched::Site(passage, share)), ServiceEnd::Done) => {
                let (stream, answer) = io.into_parts();
                passage.join(stream, &answer, &read, share.holds).await;
                drop(share.permit);
            }
            (Some(Switched::Worker(upgrade)), ServiceEnd::Done) => {
                let (stream, answer) = io.into_parts();
                self.hand_over(stream, answer, read, upgrade);
            }
            // Closed by the peer in the middle of the answer, or never finished reading it.
            (Some(_), _) | (None, ServiceEnd::Overdue(_)) => {}
            (None, end) => {
                let is_too_long = matches!(end, ServiceEnd::TooLong);
                http::linger(io.into_stream(), is_too_long).await;
            }
        }
    }

    /// A head has come to its end: the place is kept from now on. Waits if another has it, which ends the connection.
    async fn finish_head(place: &Mutex<CountedAs>) {
        let finish = |place: &mut CountedAs| {
            if let CountedAs::Unfinished(head) = place {
                let finished = head.finish()?;
                *place = CountedAs::Handshake { place: finished };
            }
            Some(())
        };
        if finish(&mut place.lock()).is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Gives a place among the handshakes back for one among those at the site. Without one it keeps its own: no
    /// connection is counted nowhere.
    fn leave_handshakes(&self, place: &mut CountedAs) {
        if let CountedAs::Handshake { .. } = place
            && let Ok(permit) = Arc::clone(&self.at_site).try_acquire_owned()
        {
            *place = CountedAs::AtSite { _permit: permit };
        }
    }

    /// Gives a place among the handshakes back for one among the connections kept alive; false if there is none.
    fn keep_alive(&self, place: &mut CountedAs) -> bool {
        if !matches!(place, CountedAs::KeptAlive { .. }) {
            let Ok(permit) = Arc::clone(&self.kept_alive).try_acquire_owned() else {
                return false;
            };
            let gauge = self.service.entrance.metrics.connections_kept_alive.clone();
            gauge.inc();
            *place = CountedAs::KeptAlive {
                _permit: permit,
                _gauge: Counted(gauge),
            };
        }
        true
    }

    fn count_busy(&self) {
        let refused = &self.service.entrance.metrics.handshakes_refused;
        count(refused, "reason", "handshakes");
        tracing::debug!(status = 503, reason = "handshakes", "request refused");
    }

    fn count_refusal(&self, reason: &'static str) {
        let refused = &self.service.entrance.metrics.handshakes_refused;
        count(refused, "reason", reason);
        tracing::debug!(reason, "request refused");
    }

    fn count_failure(&self, end: &ServiceEnd) {
        let reason = match end {
            ServiceEnd::Overdue(Phase::Head) => "timeout",
            ServiceEnd::TooLong => "uri",
            ServiceEnd::Failed(error) if error.is_parse_too_large() => "headers",
            ServiceEnd::Failed(error) if error.is_parse() => "malformed",
            // Nothing was asked, or the peer went away: nothing was refused.
            _ => return,
        };
        self.count_refusal(reason);
    }

    fn hand_over(&self, stream: StreamOf<P>, answer: Vec<u8>, leftover: Bytes, upgrade: Upgrade) {
        let socket = match P::Socket::from_stream(stream) {
            Ok(socket) => socket,
            Err(error) => return tracing::warn!(%error, "a socket cannot be handed over"),
        };
        let Upgrade { role, room, permit } = upgrade;
        Gate::hand_over(
            self,
            Handoff {
                socket,
                answer,
                leftover,
                role,
                passage: self.service.entrance.workers.place(room.as_ref()),
                room,
                counted: permit.hand_over(),
            },
        );
    }
}

impl<P: PublicPort> Gate<P::Socket> for Acceptor<P> {
    fn has_place(&self) -> bool {
        !self.handshakes.is_full_for(ListenerKind::Public)
    }

    fn heaviest(&self) -> Vec<u64> {
        self.handshakes.heaviest()
    }

    fn push_out(&self, of: Option<u64>, waited: Duration) -> bool {
        self.heads.push_out(of, waited)
    }

    fn admit(&self, socket: P::Socket, peer: SocketAddr) -> Option<(P::Socket, PeerPlace)> {
        self.admit_by(ListenerKind::Public, socket, peer)
    }

    fn meet(&self, socket: &P::Socket, place: PeerPlace) -> Option<PeerPlace> {
        let proxies = &self.service.entrance.policy.proxies;
        let address = place.peer.ip();
        let client = socket
            .preamble()
            .and_then(|said| proxies.meet(address, true, said).ok()?);
        let Some((client, _length)) = client else {
            return Some(place);
        };
        let counted = proxies.counts_as(client.address);
        if self.handshakes.move_place(place.counted, counted).is_err() {
            self.count_busy();
            return None;
        }
        Some(PeerPlace { counted, ..place })
    }

    fn accept(&self, bytes: &[u8], peer: SocketAddr) -> Option<Accepted> {
        self.service.accept_at_once(bytes, peer)
    }

    fn leave(&self, place: PeerPlace) {
        self.service.entrance.metrics.handshakes_in_progress.dec();
        self.handshakes.leave(place.counted);
    }

    fn serve(&self, socket: P::Socket, read: Bytes, place: PeerPlace, left: Duration) {
        let acceptor = self.clone();
        let permit = self.handshakes.take_back(place.counted);
        self.runtime.spawn(async move {
            acceptor.serve(socket, read, place.peer, permit, left).await;
        });
    }

    fn hand_over(&self, handoff: Handoff<P::Socket>) {
        // The connection's worker has ended, in a drain or by a fault: the client comes back, to another node.
        if let Some(socket) = self.workers.hand_over(handoff) {
            refuse(socket);
        }
    }
}

/// Answers [`BUSY`]. The socket is new, so its buffer takes this; if not, the peer is closed upon
/// anyway. One whose TLS handshake is not over is not told: that would cost what the limit is there to save.
fn refuse(mut socket: impl VisitSocket) {
    if !socket.is_established() {
        return;
    }
    // What has come already, so that the close does not reset the connection before its answer.
    let mut scratch = [0; 4096];
    drop(socket.read(&mut scratch));
    drop(socket.write(BUSY));
}
