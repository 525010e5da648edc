//! The port of the simulation: a worker's view of the [`Network`].

use crate::sim::network::{Network, Outcome};
use parking_lot::Mutex;
use std::cell::Cell;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use supportal::internal::clock::{Clock, Millis};
use supportal::internal::worker::{Port, Ready, Socket, Waker};

/// The network, as both sides hold it.
pub type Shared = Arc<Mutex<Network>>;

/// Where the simulated wall clock begins.
const WALL: i64 = 1_000_000_000;

thread_local! {
    /// What a simulation's clock shows: each runs on a thread of its own.
    static ELAPSED: Cell<u64> = const { Cell::new(0) };
}

/// The clock of what is no worker: consumers, replies.
pub fn clock() -> Clock {
    Clock::simulated(|| Duration::from_millis(ELAPSED.get()))
}

/// Sets the clocks of a simulation.
pub fn set_time(network: &mut Network, now: u64) {
    network.now = now;
    ELAPSED.set(now);
}

/// One worker's port.
#[derive(Debug)]
pub struct SimPort {
    pub network: Shared,
    pub id: usize,
}

/// A server's end of a socket.
#[derive(Debug)]
pub struct SimSocket {
    network: Shared,
    pub link: usize,
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        self.network.lock().drop_server(self.link);
    }
}

/// The listening socket.
#[derive(Debug)]
pub struct SimListening(pub Shared);

impl Drop for SimListening {
    fn drop(&mut self) {
        self.0.lock().stop_listening();
    }
}

/// Wakes a port.
#[derive(Debug)]
pub struct SimWaker {
    pub network: Shared,
    pub id: usize,
}

impl Waker for SimWaker {
    fn wake(&self) -> io::Result<()> {
        self.network.lock().wake(self.id);
        Ok(())
    }
}

/// What a wait found.
pub struct Found {
    ready: Vec<Ready>,
    capacity: usize,
}

impl Port for SimPort {
    type Socket = SimSocket;
    type Listening = SimListening;
    type Waker = SimWaker;
    type Events = Found;

    fn events(capacity: usize) -> Found {
        Found {
            ready: Vec::with_capacity(capacity),
            capacity,
        }
    }

    fn wait(&mut self, events: &mut Found, _timeout: Option<Duration>) -> io::Result<()> {
        let mut network = self.network.lock();
        if network.wait(self.id, events.capacity, &mut events.ready) {
            Ok(())
        } else {
            Err(ErrorKind::Interrupted.into())
        }
    }

    fn ready(events: &Found) -> impl Iterator<Item = Ready> {
        events.ready.iter().copied()
    }

    fn watch(&self, socket: &mut SimSocket, key: u64) -> io::Result<()> {
        self.network.lock().watch(socket.link, self.id, key);
        Ok(())
    }

    fn watch_writes(&self, socket: &mut SimSocket, key: u64) -> io::Result<()> {
        self.network.lock().watch_writes(socket.link, key);
        Ok(())
    }

    fn unwatch(&self, socket: &mut SimSocket) {
        self.network.lock().unwatch(socket.link);
    }

    fn listen(&self, _listening: &mut SimListening) -> io::Result<()> {
        self.network.lock().listen(self.id);
        Ok(())
    }

    fn accept(&self, listening: &SimListening) -> io::Result<(SimSocket, SocketAddr)> {
        let link = self.network.lock().accept().ok_or(ErrorKind::WouldBlock)?;
        let socket = SimSocket {
            network: Arc::clone(&listening.0),
            link,
        };
        // Each has an address of its own: its number.
        let number = u32::try_from(link).expect("few links");
        Ok((socket, SocketAddr::from((number.to_be_bytes(), 1))))
    }

    fn now(&self) -> Millis {
        let mut network = self.network.lock();
        if network.turn_millis > 0 {
            let most = network.turn_millis;
            let now = network.now + network.choices.below(most + 1);
            set_time(&mut network, now);
        }
        Millis(network.now)
    }

    fn wall(&self) -> (u64, u32) {
        let network = self.network.lock();
        let second = WALL + network.wall_offset + (network.now / 1_000).cast_signed();
        (
            second.max(0).cast_unsigned(),
            (network.now % 1_000) as u32 * 1_000,
        )
    }
}

fn answer(outcome: Outcome) -> io::Result<usize> {
    match outcome {
        Outcome::Bytes(count) => Ok(count),
        Outcome::Blocked => Err(ErrorKind::WouldBlock.into()),
        Outcome::Interrupted => Err(ErrorKind::Interrupted.into()),
        Outcome::Reset => Err(ErrorKind::ConnectionReset.into()),
    }
}

impl Read for SimSocket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        answer(self.network.lock().read(self.link, into))
    }
}

impl Write for SimSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        answer(self.network.lock().write(self.link, &[bytes]))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let slices: Vec<&[u8]> = slices.iter().map(|slice| &**slice).collect();
        answer(self.network.lock().write(self.link, &slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket for SimSocket {
    fn last_write(&mut self) -> impl Write {
        self
    }

    fn end(&mut self) -> io::Result<()> {
        if self.network.lock().end(self.link) {
            Ok(())
        } else {
            Err(ErrorKind::NotConnected.into())
        }
    }

    fn forsake(&self) {
        self.network.lock().forsake(self.link);
    }
}
