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
            assert_eq!(self.accept(), 1);
            client
        })
    }

    /// A client speaks, but no TLS, and what its socket says of that.
    fn say(&mut self, client: &mut TcpStream) -> Ready {
        self.say_bytes(client, b"x")
    }

    fn say_bytes(&mut self, client: &mut TcpStream, bytes: &[u8]) -> Ready {
        client.write_all(bytes).unwrap();
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

    /// A client says a piece of its hello, the first if it is to begin, and is read from.
    fn begin_to_say(&mut self, client: &mut TcpStream, begins: bool) -> Ready {
        let bytes: &[u8] = if begins { &[22, 3, 1, 62, 128] } else { b"x" };
        let ready = self.say_bytes(client, bytes);
        self.listener.defer(ready);
        assert_eq!(self.take_arrivals(), [ready.key]);
        ready
    }

    /// Goes on with who waits, as one turn does.
    fn take_arrivals(&mut self) -> Vec<u64> {
        self.take_arrivals_after(Duration::ZERO)
    }

    /// The same in a turn that has taken so long.
    fn take_arrivals_after(&mut self, taken: Duration) -> Vec<u64> {
        let most = self.listener.begin_arrivals(taken);
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some(ready) = self.listener.next_deferred()
        {
            self.on_ready(ready);
            taken.push(ready.key);
        }
        taken
    }

    fn fire_timer(&mut self, key: u64) {
        let now = self.connections.port.now();
        let (connections, metrics) = (&mut self.connections, &self.metrics);
        self.listener.on_timer(key, connections, now, metrics);
    }

    fn accept(&mut self) -> u64 {
        let now = self.connections.port.now();
        let (connections, metrics) = (&mut self.connections, &self.metrics);
        self.listener.set_ready();
        self.listener.accept(connections, now, metrics)
    }

    /// Those refused because their time was over.
    fn timed_out(&self) -> u64 {
        let refused = &self.metrics.handshakes_refused;
        refused.get_or_create(&[("reason", "timeout")]).get()
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

#[test]
fn the_longer_the_connected_take_the_more_handshakes_a_turn_goes_on_with() {
    for (millis, taken) in [(0, 2), (1, 2), (3, 6), (60_000, 10)] {
        let mut listening = Listening::start();
        let mut clients: [_; 10] = listening.come();
        for client in &mut clients {
            let ready = listening.say(client);
            listening.listener.defer(ready);
        }
        let gone_on = listening.take_arrivals_after(Duration::from_millis(millis));
        assert_eq!(gone_on.len(), taken, "{millis} ms");
    }
}

#[test]
fn who_has_spoken_in_time_is_heard_however_late_the_worker_comes_to_listen() {
    let mut listening = Listening::start();
    let [mut unheard, mut waiting, mut silent] = listening.come();
    let unheard = listening.say(&mut unheard).key;
    let waiting = listening.say(&mut waiting);
    let is_silent = listening.begin_to_say(&mut silent, true).key;
    // One has been announced to the worker, the other has not.
    listening.listener.defer(waiting);
    pass(Duration::from_secs(6));
    for key in [unheard, waiting.key, is_silent] {
        listening.fire_timer(key);
    }
    assert_eq!(listening.left(), 0, "each is looked at first");
    let now = listening.connections.port.now();
    let sleep = listening.listener.sooner(now, None);
    assert_eq!(sleep, Some(Duration::ZERO), "at once");
    let mut heard = listening.take_arrivals();
    heard.sort_unstable();
    assert_eq!(heard, [unheard, waiting.key, is_silent]);
    assert_eq!((listening.left(), listening.timed_out()), (2, 0));
    listening.fire_timer(is_silent);
    assert_eq!((listening.left(), listening.timed_out()), (3, 1));
    assert_eq!(silent.read(&mut [0; 8]).unwrap(), 0, "closed upon");
}

#[test]
fn who_comes_drop_by_drop_gives_way_and_is_given_up_whether_a_drop_waits_or_not() {
    let mut listening = Listening::start();
    let [mut first, mut second] = listening.come();
    for client in [&mut first, &mut second] {
        for drop in 0..4 {
            listening.begin_to_say(client, drop == 0);
        }
    }
    pass(GRACE);
    let ready = listening.say(&mut first);
    listening.listener.defer(ready);
    listening.gate.is_full.store(true, Ordering::Relaxed);
    let [_third] = listening.come();
    assert_eq!(listening.left(), 1);
    assert_eq!(first.read(&mut [0; 8]).unwrap_or(0), 0, "closed upon");
    pass(Duration::from_secs(5));
    let ready = listening.say(&mut second);
    listening.listener.defer(ready);
    listening.fire_timer(ready.key);
    assert_eq!((listening.left(), listening.timed_out()), (2, 1));
}

#[test]
fn who_has_begun_waits_neither_for_all_new_clients_nor_for_many_drops() {
    let mut listening = Listening::start();
    let mut clients: [_; 6] = listening.come();
    let [slow, slower, begun, new, newer, newest] = clients.each_mut();
    for (client, pieces) in [(&mut *slow, 4), (&mut *slower, 4), (&mut *begun, 1)] {
        for piece in 0..pieces {
            listening.begin_to_say(client, piece == 0);
        }
    }
    let waiting = [slow, slower, new, newer, newest, begun].map(|client| {
        let ready = listening.say(client);
        listening.listener.defer(ready);
        ready.key
    });
    let [slow, slower, new, newer, newest, begun] = waiting;
    let mut taken = listening.take_arrivals_after(Duration::from_millis(2));
    taken[..3].sort_unstable();
    let mut first = [slow, begun, new];
    first.sort_unstable();
    assert_eq!(taken[..3], first, "one of each");
    taken.extend(listening.take_arrivals());
    assert_eq!(taken.len(), 6);
    assert!(taken[3..].contains(&slower) && taken[3..].contains(&newer));
    assert_eq!(taken[5], newest);
}

#[test]
fn while_many_have_not_been_read_from_others_wait_in_the_kernel() {
    let mut listening = Listening::start();
    let mut clients: [_; 32] = listening.come();
    for client in &mut clients {
        let ready = listening.say(client);
        listening.listener.defer(ready);
    }
    let _next = TcpStream::connect(listening.address).unwrap();
    assert_eq!(listening.accept(), 0);
    assert_eq!(listening.take_arrivals().len(), 2);
    assert_eq!(listening.accept(), 1, "there is time again");
}
