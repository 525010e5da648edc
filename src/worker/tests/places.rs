//! Whose a place among the handshakes is when it is given back.

use crate::clock::Millis;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::worker::connections::Connections;
use crate::worker::live::LiveSettings;
use crate::worker::port::{Port, Ready, Socket, Waker};
use crate::worker::{Accepted, Gate, Handoff, Listener, PeerPlace};
use bytes::Bytes;
use parking_lot::Mutex;
use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What a place counts as until its client is known.
const OF_PROXY: u64 = 1;
/// What it counts as then.
const OF_CLIENT: u64 = 2;

/// A system that has no room to watch for writes.
#[derive(Debug, Default)]
struct CrowdedPort {
    /// Of the socket that was watched last.
    key: Cell<u64>,
}

#[derive(Debug)]
struct NoWaker;

/// A socket whose peer takes nothing and says nothing.
#[derive(Debug)]
struct BlockedSocket;

impl Waker for NoWaker {
    fn wake(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Port for CrowdedPort {
    type Socket = BlockedSocket;
    type Listening = ();
    type Waker = NoWaker;
    type Events = ();

    fn events(_capacity: usize) {}

    fn wait(&mut self, _events: &mut (), _timeout: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn ready(_events: &()) -> impl Iterator<Item = Ready> {
        std::iter::empty()
    }

    fn watch(&self, _socket: &mut BlockedSocket, key: u64) -> io::Result<()> {
        self.key.set(key);
        Ok(())
    }

    fn watch_writes(&self, _socket: &mut BlockedSocket, _key: u64) -> io::Result<()> {
        Err(ErrorKind::OutOfMemory.into())
    }

    fn unwatch(&self, _socket: &mut BlockedSocket) {}

    fn listen(&self, _listening: &mut ()) -> io::Result<()> {
        Ok(())
    }

    fn accept(&self, _listening: &()) -> io::Result<(BlockedSocket, SocketAddr)> {
        Ok((BlockedSocket, SocketAddr::from(([127, 0, 0, 1], 1))))
    }

    fn now(&self) -> Millis {
        Millis(0)
    }

    fn wall(&self) -> (u64, u32) {
        (0, 0)
    }
}

impl Read for BlockedSocket {
    fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        Err(ErrorKind::WouldBlock.into())
    }
}

impl Write for BlockedSocket {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(ErrorKind::WouldBlock.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket for BlockedSocket {
    fn last_write(&mut self) -> impl Write {
        Self
    }

    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn is_behind(&self) -> bool {
        true
    }

    fn forsake(&self) {}
}

/// Knows the client from its socket's first event on, and notes as whose each place is given back.
#[derive(Default)]
struct NotingGate(Mutex<Vec<u64>>);

impl Gate<BlockedSocket> for NotingGate {
    fn admit(&self, socket: BlockedSocket, peer: SocketAddr) -> Option<(BlockedSocket, PeerPlace)> {
        let counted = OF_PROXY;
        Some((socket, PeerPlace { peer, counted }))
    }

    fn meet(&self, _socket: &BlockedSocket, place: PeerPlace) -> Option<PeerPlace> {
        let counted = OF_CLIENT;
        Some(PeerPlace { counted, ..place })
    }

    fn accept(&self, _bytes: &[u8], _peer: SocketAddr) -> Option<Accepted> {
        None
    }

    fn leave(&self, place: PeerPlace) {
        self.0.lock().push(place.counted);
    }

    fn serve(&self, _socket: BlockedSocket, _read: Bytes, _place: PeerPlace, _left: Duration) {
        panic!("nobody has said anything");
    }

    fn hand_over(&self, _handoff: Handoff<BlockedSocket>) {
        panic!("nobody has come in");
    }
}

#[test]
fn who_cannot_be_watched_gives_the_place_back_as_whose_it_is_by_then() {
    let (config, metrics) = (Config::default(), Metrics::new());
    let of_routes = config.of_routes().expect("legal");
    let rules = LiveSettings::new(&config, &of_routes).rules;
    let mut connections = Connections::new(CrowdedPort::default(), &config, rules);
    let gate = Arc::new(NotingGate::default());
    let timeout = Duration::from_secs(5);
    let mut listener = Listener::<CrowdedPort>::new((), Arc::clone(&gate) as Arc<_>, timeout);
    listener.set_ready();
    let come = listener.accept(&mut connections, Millis(0), &metrics);
    assert!(come > 0);
    let key = connections.port.key.get();
    let ready = Ready {
        key,
        is_readable: true,
        is_read_closed: false,
        is_writable: false,
        has_failed: false,
    };
    let mut buffer = [0; 16 * 1024];
    let opening = listener.on_ready(ready, &mut connections, Millis(0), 0, &mut buffer);
    assert!(opening.is_none());
    assert_eq!(*gate.0.lock(), [OF_CLIENT]);
}
