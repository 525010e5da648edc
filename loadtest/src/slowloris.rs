//! `slowloris`: sockets that begin a request, or a TLS handshake, and say one byte at a time. Whom the server turns away or closes comes
//! back. It measures nothing: run `connect` beside it.

use crate::cli::{Options, Slowloris};
use crate::clock::{Clock, nanos, pause};
use crate::report::write_json;
use crate::tally::Tally;
use crate::target::{Target, target};
use crate::{check_descriptors, print};
use serde_json::json;
use std::io::{ErrorKind, Read, Write};
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Sockets where the flags do not say.
const CONNECTIONS: usize = 10_000;
const DURATION: Duration = Duration::from_secs(30);
/// Between two looks at what is due.
const LOOK: Duration = Duration::from_millis(2);
/// The first source address: not the one of those who are kept out, if anybody is.
const SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 1);
/// The first of 512 bytes of a ClientHello (RFC 8446 section 4.1.2), in one record.
const CLIENT_HELLO: [u8; 11] = [22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];

/// One that is open.
struct Slow {
    socket: socket2::Socket,
    said: usize,
}

/// What was seen.
#[derive(Default)]
struct Seen {
    opened: u32,
    bytes: u64,
    ended: Tally,
}

/// Runs it and shows what the server did with them.
/// Errors: Not enough descriptors, or no server.
pub(crate) fn run(
    args: &Slowloris,
    options: &Options,
    descriptors: usize,
    stop: &AtomicBool,
) -> Result<ExitCode, String> {
    let count = options.connections.unwrap_or(CONNECTIONS).max(1);
    check_descriptors(count, descriptors)?;
    let mut target = target(options, count)?;
    target.source = SOURCE;
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\nX-Slow: ", target.host);
    let (start, filling) = match args.tls {
        true => (CLIENT_HELLO.to_vec(), 0),
        false => (request.into_bytes(), b'a'),
    };
    let byte = |said: usize| start.get(said).copied().unwrap_or(filling);
    let (clock, mut seen) = (Clock::start(), Seen::default());
    let step = (nanos(args.every) / count as u64).max(1);
    let end = nanos(options.duration.unwrap_or(DURATION));
    let mut sockets: Vec<Option<Slow>> = (0..count).map(|_| None).collect();
    let mut turn = 0;
    while clock.now() < end && !stop.load(Ordering::Relaxed) {
        while turn * step <= clock.now() {
            if let Some(place) = sockets.get_mut((turn % count as u64) as usize) {
                seen.go_on(place, &target, byte)?;
            }
            turn += 1;
        }
        pause(LOOK);
    }
    let mut open = sockets.into_iter().flatten().collect::<Vec<Slow>>();
    open.retain_mut(|slow| slow.end().is_none());
    let open = open.len();
    print(&format!(
        "open {open} of {count}  opened {}  bytes {}  ended {:?}",
        seen.opened, seen.bytes, *seen.ended
    ));
    let figures =
        json!({"open": open, "opened": seen.opened, "bytes": seen.bytes, "ended": seen.ended});
    if let Some(path) = &options.json {
        write_json(path, &json!({"scenario": "slowloris", "figures": figures}))?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Slow {
    /// What the server said, or how it ended this socket; none while it waits.
    fn end(&mut self) -> Option<String> {
        let mut answer = [0; 12];
        match self.socket.read(&mut answer) {
            Ok(0) => Some("end of stream".to_owned()),
            Ok(read) => Some(String::from_utf8_lossy(answer.get(..read)?).into_owned()),
            // Nothing was said, or the socket is still connecting.
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) if error.kind() == ErrorKind::NotConnected => None,
            Err(error) => Some(error.kind().to_string()),
        }
    }
}

impl Seen {
    /// One more byte of this one, or another in its place.
    fn go_on(
        &mut self,
        place: &mut Option<Slow>,
        target: &Target,
        byte: impl Fn(usize) -> u8,
    ) -> Result<(), String> {
        let end = place.as_mut().and_then(Slow::end);
        if let Some(why) = end {
            self.ended.count(why);
            *place = None;
        }
        if place.is_none() {
            let socket = target.connect(self.opened, None);
            let socket = socket.map_err(|error| format!("{}: {error}", target.address))?;
            self.opened += 1;
            *place = Some(Slow { socket, said: 0 });
        }
        if let Some(slow) = place
            && slow.socket.write(&[byte(slow.said)]).is_ok()
        {
            slow.said += 1;
            self.bytes += 1;
        }
        Ok(())
    }
}
