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
    /// Each read waits 3 ms: another town.
    Far,
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
    /// The next long answer never arrives: its connection is reset in its place. Then the weather is fair.
    Bite,
}

/// An answer is long from this many bytes on: neither a message of a few words nor what a client asks as it connects.
const LONG: usize = 4096;

const ALL: [Weather; 9] = [
    Weather::Fair,
    Weather::Slow,
    Weather::Far,
    Weather::Drops,
    Weather::Silence,
    Weather::Cut,
    Weather::Garbage,
    Weather::Deaf,
    Weather::Bite,
];

/// How long a read waits before the weather is looked at again.
const LOOK: Duration = Duration::from_millis(10);

#[derive(Debug)]
struct Sky {
    /// Errors of functions are wrapped as Redis 6.2 does.
    is_old: bool,
    weather: AtomicU8,
    ended: AtomicBool,
}

impl Sky {
    fn now(&self) -> Weather {
        ALL[usize::from(self.weather.load(Ordering::Relaxed))]
    }

    fn set(&self, weather: Weather) {
        self.weather.store(weather as u8, Ordering::Relaxed);
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
        Self::begin(target, false)
    }

    /// As [`Proxy::start`]; what a function ran into is said as Redis 6.2 says it.
    pub(crate) fn of_redis_6_2(target: SocketAddr) -> Self {
        Self::begin(target, true)
    }

    fn begin(target: SocketAddr, is_old: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let sky = Arc::new(Sky {
            is_old,
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

    /// The weather: [`Weather::Fair`] once something was bitten.
    pub(crate) fn weather(&self) -> Weather {
        self.sky.now()
    }

    /// Changes the weather, for connections that stand too.
    pub(crate) fn set(&self, weather: Weather) {
        self.sky.set(weather);
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
            let is_bitten = pass(&from, &to, to_node, &sky);
            if is_bitten || sky.now() == Weather::Cut {
                reset(&from);
                reset(&to);
            }
            drop(from.shutdown(Shutdown::Both));
            drop(to.shutdown(Shutdown::Both));
        });
    }
}

/// Do these bytes have to wait?
fn is_held(weather: Weather, to_node: bool) -> bool {
    match weather {
        Weather::Silence => true,
        Weather::Deaf => to_node,
        _ => false,
    }
}

/// Passes bytes until either end is gone or the weather cuts it. True if a long answer was bitten off.
fn pass(mut from: &TcpStream, mut to: &TcpStream, to_node: bool, sky: &Sky) -> bool {
    let mut buffer = [0; 16 * 1024];
    let mut held = Vec::new();
    drop(from.set_read_timeout(Some(LOOK)));
    while !sky.has_ended() {
        let weather = sky.now();
        match weather {
            Weather::Cut => return false,
            _ if is_held(weather, to_node) => {
                thread::park_timeout(LOOK);
                continue;
            }
            Weather::Garbage if to_node => {
                let noise = b"\x00\xff$-9\r\n*99999999\r\n!@#%\r\n";
                drop(to.write_all(noise));
                return false;
            }
            Weather::Fair
            | Weather::Slow
            | Weather::Far
            | Weather::Drops
            | Weather::Garbage
            | Weather::Silence
            | Weather::Deaf
            | Weather::Bite => {}
        }
        let count = match from.read(&mut buffer) {
            Ok(0) => return false,
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                continue;
            }
            Err(_) => return false,
        };
        // The weather may have changed while these were waited for.
        while is_held(sky.now(), to_node) && !sky.has_ended() {
            thread::park_timeout(LOOK);
        }
        if sky.now() == Weather::Cut {
            return false;
        }
        match weather {
            Weather::Slow => thread::park_timeout(Duration::from_millis(100)),
            Weather::Far => thread::park_timeout(Duration::from_millis(3)),
            Weather::Bite if to_node && count >= LONG => {
                sky.set(Weather::Fair);
                return true;
            }
            _ => {}
        }
        if sky.is_old && to_node {
            held.extend_from_slice(&buffer[..count]);
            let said = age(&mut held);
            if to.write_all(&said).is_err() {
                return false;
            }
            continue;
        }
        let size = if weather == Weather::Drops { 1 } else { count };
        for piece in buffer[..count].chunks(size) {
            if to.write_all(piece).is_err() {
                return false;
            }
        }
    }
    false
}

/// Takes out what is whole, with the errors of functions as Redis 6.2 wraps them:
/// `-READONLY You can't … script: SHA, on @user_script:9.` becomes `-ERR Error running script (call
/// to f_SHA): @user_script:9: @user_script: 9: -READONLY You can't …`. Half a line of an error stays.
fn age(held: &mut Vec<u8>) -> Vec<u8> {
    let mut said = Vec::new();
    let mut rest = held.as_slice();
    while !rest.is_empty() {
        let end = rest.windows(2).position(|two| two == b"\r\n");
        let Some(end) = end else {
            if rest[0] == b'-' {
                break;
            }
            said.extend_from_slice(rest);
            rest = &[];
            continue;
        };
        let (line, further) = rest.split_at(end + 2);
        let text = String::from_utf8_lossy(line);
        let parts = text.strip_prefix('-').and_then(|text| {
            let (code, place) = text.trim_end().split_once(" script: ")?;
            let (sha, number) = place.split_once(", on @user_script:")?;
            Some((
                code.to_owned(),
                sha.to_owned(),
                number.trim_end_matches('.').to_owned(),
            ))
        });
        match parts {
            Some((code, sha, number)) => said.extend_from_slice(
                format!("-ERR Error running script (call to f_{sha}): @user_script:{number}: @user_script: {number}: -{code}\r\n")
                    .as_bytes(),
            ),
            None => said.extend_from_slice(line),
        }
        rest = further;
    }
    *held = rest.to_vec();
    said
}
