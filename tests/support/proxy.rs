//! A proxy between a node and its Redis, or a client and its node, that does what networks do: wait, trickle, cut, fall silent,
//! and say what nobody sent.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

/// What happens to the bytes, both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Weather {
    /// They pass.
    Fair,
    /// Each read waits 100 ms.
    Slow,
    /// They pass one at a time.
    Drops,
    /// Nothing passes, nothing ends.
    Silence,
    /// Every connection is reset, and new ones too.
    Cut,
    /// The node reads what no Redis says.
    Garbage,
    /// What the node says passes; what Redis answers does not.
    Deaf,
}

const ALL: [Weather; 7] = [
    Weather::Fair,
    Weather::Slow,
    Weather::Drops,
    Weather::Silence,
    Weather::Cut,
    Weather::Garbage,
    Weather::Deaf,
];

/// How long a read waits before the weather is looked at again.
const LOOK: Duration = Duration::from_millis(10);

#[derive(Debug)]
struct Sky {
    weather: AtomicU8,
    ended: AtomicBool,
}

impl Sky {
    fn now(&self) -> Weather {
        ALL[usize::from(self.weather.load(Ordering::Relaxed))]
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}

/// One proxy; its threads end with it.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    sky: Arc<Sky>,
}

impl Proxy {
    /// Listens, and passes connections on to `target`.
    pub(crate) fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let sky = Arc::new(Sky {
            weather: AtomicU8::new(Weather::Fair as u8),
            ended: AtomicBool::new(false),
        });
        let over = Arc::clone(&sky);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if over.has_ended() {
                    return;
                }
                if over.now() == Weather::Cut {
                    reset(&client);
                } else if let Ok(server) = TcpStream::connect(target) {
                    join(client, server, &over);
                }
            }
        });
        Self { address, sky }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// `redis://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Changes the weather, for connections that stand too.
    pub(crate) fn set(&self, weather: Weather) {
        self.sky.weather.store(weather as u8, Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.sky.ended.store(true, Ordering::Relaxed);
        // Wakes the listener.
        drop(TcpStream::connect(self.address));
    }
}

fn reset(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    drop(socket.set_linger(Some(Duration::ZERO)));
}

fn join(client: TcpStream, server: TcpStream, sky: &Arc<Sky>) {
    for (from, to, to_node) in [(&client, &server, false), (&server, &client, true)] {
        let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else {
            return;
        };
        let sky = Arc::clone(sky);
        thread::spawn(move || {
            pass(&from, &to, to_node, &sky);
            if sky.now() == Weather::Cut {
                reset(&from);
            }
            drop(from.shutdown(Shutdown::Both));
            drop(to.shutdown(Shutdown::Both));
        });
    }
}

/// Passes bytes until either end is gone or the weather cuts it.
fn pass(mut from: &TcpStream, mut to: &TcpStream, to_node: bool, sky: &Sky) {
    let mut buffer = [0; 16 * 1024];
    drop(from.set_read_timeout(Some(LOOK)));
    while !sky.has_ended() {
        let weather = sky.now();
        match weather {
            Weather::Cut => return,
            Weather::Deaf if !to_node => {}
            Weather::Silence | Weather::Deaf => {
                thread::park_timeout(LOOK);
                continue;
            }
            Weather::Garbage if to_node => {
                let noise = b"\x00\xff$-9\r\n*99999999\r\n!@#%\r\n";
                drop(to.write_all(noise));
                return;
            }
            Weather::Fair | Weather::Slow | Weather::Drops | Weather::Garbage => {}
        }
        let count = match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                continue;
            }
            Err(_) => return,
        };
        if weather == Weather::Slow {
            thread::park_timeout(Duration::from_millis(100));
        }
        let size = if weather == Weather::Drops { 1 } else { count };
        for piece in buffer[..count].chunks(size) {
            if to.write_all(piece).is_err() {
                return;
            }
        }
    }
}
