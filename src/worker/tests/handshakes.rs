//! Handshakes come after those who are connected, and what one turn has no time for waits for the next; by a clock that the test moves.

use crate::clock::Clock;
use crate::config::{Config, TlsSettings};
use crate::metrics::Metrics;
use crate::tls::TlsServer;
use crate::worker::connections::Connections;
use crate::worker::live::LiveSettings;
use crate::worker::port::{LISTEN, Port, Ready, TlsPort, TlsSocket};
use crate::worker::{Accepted, GRACE, Gate, Handoff, Listener, PeerPlace};
use bytes::Bytes;
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

thread_local! {
    static ELAPSED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Lets everybody begin, and nobody in.
#[derive(Default)]
struct CountingGate {
    left: AtomicU64,
    is_full: AtomicBool,
}

impl Gate<TlsSocket> for CountingGate {
    fn has_place(&self) -> bool {
        !self.is_full.load(Ordering::Relaxed)
    }

    fn admit(&self, socket: TlsSocket, peer: SocketAddr) -> Option<(TlsSocket, PeerPlace)> {
        Some((socket, PeerPlace { peer, counted: 0 }))
    }

    fn accept(&self, _bytes: &[u8], _peer: SocketAddr) -> Option<Accepted> {
        None
    }

    fn leave(&self, _place: PeerPlace) {
        self.left.fetch_add(1, Ordering::Relaxed);
    }

    fn serve(&self, _socket: TlsSocket, _read: Bytes, _place: PeerPlace, _left: Duration) {
        panic!("nobody has finished a handshake");
    }

    fn hand_over(&self, _handoff: Handoff<TlsSocket>) {
        panic!("nobody has come in");
    }
}

/// A listener for TLS without a worker.
struct Listening {
    listener: Listener<TlsPort>,
    connections: Connections<TlsPort>,
    gate: Arc<CountingGate>,
    metrics: Arc<Metrics>,
    address: SocketAddr,
    events: mio::Events,
}

impl Listening {
    fn start() -> Self {
        let metrics = Arc::new(Metrics::new());
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls");
        let settings = TlsSettings {
            certificate: Some(folder.join("main.pem")),
            key: Some(folder.join("main.key")),
            ..TlsSettings::default()
        };
        let server = Arc::new(TlsServer::new(&settings, &metrics).unwrap());
        let (port, _waker) = TlsPort::new(Clock::simulated(|| ELAPSED.get()), server).unwrap();
        let config = Config::default();
        let of_routes = config.of_routes().expect("legal");
        let rules = LiveSettings::new(&config, &of_routes).rules;
        let connections = Connections::new(port, &config, rules);
        let listening = TcpListener::bind("127.0.0.1:0").unwrap();
        listening.set_nonblocking(true).unwrap();
        let address = listening.local_addr().unwrap();
        let gate = Arc::new(CountingGate::default());
        let listening = mio::net::TcpListener::from_std(listening);
        let timeout = Duration::from_secs(5);
        let mut listener = Listener::new(listening, Arc::clone(&gate) as Arc<_>, timeout);
        listener.start(&connections.port);
        Self {
            listener,
            connections,
            gate,
            metrics,
            address,
            events: TlsPort::events(64),
        }
    }

    /// New clients, accepted in order.
    fn come<const N: usize>(&mut self) -> [TcpStream; N] {
        std::array::from_fn(|_| {
            let client = TcpStream::connect(self.address).unwrap();
            self.listener.set_ready();
            let (connections, metrics) = (&mut self.connections, &self.metrics);
            let now = connections.port.now();
            assert_eq!(self.listener.accept(connections, now, metrics), 1);
            client
        })
    }

    /// A client speaks, and what its socket says of that.
    fn say(&mut self, client: &mut TcpStream) -> Ready {
        client.write_all(b"x").unwrap();
        loop {
            if let [ready] = self.turn(Duration::from_secs(5))[..] {
                return ready;
            }
        }
    }

    /// A new turn, which waits for no longer than this; what has happened to clients.
    fn turn(&mut self, wait: Duration) -> Vec<Ready> {
        let port = &mut self.connections.port;
        port.wait(&mut self.events, Some(wait)).unwrap();
        let ready = TlsPort::ready(&self.events);
        ready
            .filter(|ready| ready.is_readable && ready.key < LISTEN)
            .collect()
    }

    fn on_ready(&mut self, ready: Ready) {
        let now = self.connections.port.now();
        let mut buffer = vec![0; 16 * 1024];
        let connections = &mut self.connections;
        let opening = self
            .listener
            .on_ready(ready, connections, now, 0, &mut buffer);
        assert!(opening.is_none());
    }

    /// Goes on with who waits, as one turn does.
    fn take_arrivals(&mut self) -> Vec<u64> {
        let most = self.listener.begin_arrivals();
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some(ready) = self.listener.next_deferred()
        {
            self.on_ready(ready);
            taken.push(ready.key);
        }
        taken
    }

    /// Those whose handshake is over: none of them speaks TLS.
    fn left(&self) -> u64 {
        self.gate.left.load(Ordering::Relaxed)
    }
}

fn pass(duration: Duration) {
    ELAPSED.set(ELAPSED.get() + duration);
}

#[test]
fn handshakes_that_one_turn_has_no_time_for_wait_for_the_next_in_order() {
    let mut listening = Listening::start();
    let mut clients: [_; 5] = listening.come();
    let ready = clients.each_mut().map(|client| listening.say(client));
    let [first, second, third, last, gone] = ready.map(|ready| ready.key);
    for ready in ready {
        listening.listener.defer(ready);
    }
    assert_eq!(listening.left(), 0, "those who are connected come first");
    assert_eq!(listening.take_arrivals(), [first, second]);
    // Something more happens to one that waits already.
    listening.listener.defer(ready[2]);
    assert_eq!(listening.left(), 2, "no time is left");
    let now = listening.connections.port.now();
    let sleep = listening.listener.sooner(now, None);
    assert_eq!(sleep, Some(Duration::ZERO), "the next turn is at once");
    listening.listener.forget(gone, &mut listening.connections);
    assert_eq!(listening.take_arrivals(), [third, last]);
    assert!(listening.take_arrivals().is_empty(), "each waits once");
    assert_eq!(listening.left(), 5);
}

#[test]
fn who_waits_for_the_worker_is_not_pushed_out_and_who_is_waited_for_is() {
    let mut listening = Listening::start();
    let [mut first, mut second, mut silent] = listening.come();
    let first = listening.say(&mut first);
    let waiting = listening.say(&mut second);
    listening.on_ready(first);
    listening.listener.defer(waiting);
    pass(GRACE);
    listening.gate.is_full.store(true, Ordering::Relaxed);
    let [_third] = listening.come();
    assert_eq!(listening.left(), 1, "its bytes are here");
    assert_eq!(listening.take_arrivals(), [waiting.key]);
    assert_eq!(listening.left(), 2);
    let [_fourth] = listening.come();
    assert_eq!(listening.left(), 3);
    assert_eq!(silent.read(&mut [0; 8]).unwrap(), 0, "closed upon");
    // The others are within their grace.
    let [_fifth] = listening.come();
    assert_eq!(listening.left(), 3);
}
