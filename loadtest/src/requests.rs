//! `requests`: GETs over connections that are kept, each after the answer to the one before, or at a fixed rate: what a proxy costs and
//! what its site's visitors wait for it.

use crate::cli::{Options, Requests};
use crate::clock::{Clock, SECOND, nanos, seconds};
use crate::latency::{Latency, Times};
use crate::measure::{own_wait, process_tree};
use crate::report::write_json;
use crate::target::target;
use crate::{check_descriptors, print};
use mio::{Events, Interest, Poll, Token, net::TcpStream, unix::SourceFd};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use serde_json::json;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Connections where the flags do not say.
const CONNECTIONS: usize = 50;
const DURATION: Duration = Duration::from_secs(10);
/// The loop wakes at least this often.
const TICK: Duration = Duration::from_millis(50);
/// Not a connection.
const TIMER: Token = Token(usize::MAX);

/// A connection.
struct Visitor {
    socket: TcpStream,
    /// When the request should have gone that is under way.
    asked: u64,
    answer: Answer,
}

/// The answer that is coming.
#[derive(Debug, Default)]
struct Answer {
    head: Vec<u8>,
    /// Bytes of the body still to come; none while the head is.
    left: Option<usize>,
}

impl Answer {
    /// Some of it; true if that was the last.
    /// Errors: What is wrong with it.
    fn take(&mut self, bytes: &[u8]) -> Result<bool, String> {
        let left = match self.left {
            Some(left) => left.checked_sub(bytes.len()),
            None => {
                self.head.extend_from_slice(bytes);
                let mut headers = [httparse::EMPTY_HEADER; 64];
                let mut answer = httparse::Response::new(&mut headers);
                let parsed = answer.parse(&self.head).map_err(|e| e.to_string())?;
                let httparse::Status::Complete(end) = parsed else {
                    return Ok(false);
                };
                if answer.code != Some(200) {
                    return Err(format!("HTTP {}", answer.code.unwrap_or_default()));
                }
                let mut lengths = answer.headers.iter();
                let length = lengths.find(|h| h.name.eq_ignore_ascii_case("content-length"));
                let length = length.and_then(|h| std::str::from_utf8(h.value).ok()?.parse().ok());
                let length: usize = length.ok_or("an answer without Content-Length")?;
                let left = (end + length).checked_sub(self.head.len());
                self.head.clear();
                left
            }
        };
        let left = left.ok_or("more than the answer")?;
        self.left = (left > 0).then_some(left);
        Ok(left == 0)
    }
}

/// The loop.
struct Load {
    clock: Clock,
    poll: Poll,
    visitors: Vec<Visitor>,
    idle: Vec<usize>,
    request: Vec<u8>,
    /// Nanoseconds from one request to the next; none in a closed loop.
    interval: Option<u64>,
    next: u64,
    times: Times,
    buffer: Vec<u8>,
}

/// Runs it and shows its figures.
/// Errors: No server, or one whose answers are not those of a good one.
pub(crate) fn run(
    args: &Requests,
    options: &Options,
    descriptors: usize,
    stop: &AtomicBool,
) -> Result<ExitCode, String> {
    let mut load = Load::open(args, options, descriptors)?;
    let duration = nanos(options.duration.unwrap_or(DURATION));
    load.until(nanos(options.warmup), stop)?;
    load.times.reset();
    let look = || (options.pid.and_then(process_tree), own_wait());
    let (begun, before) = (load.clock.now(), look());
    load.until(begun + duration, stop)?;
    let (elapsed, after) = (seconds(load.clock.now() - begun), look());
    let count = load.times.len();
    let server = after.0.zip(before.0);
    let cpu = server.map(|(after, before)| seconds(after.cpu_nanos - before.cpu_nanos));
    let waited = server.map(|(after, before)| seconds(after.wait_nanos - before.wait_nanos));
    let micros = cpu.map(|cpu| cpu * 1e6 / count.max(1) as f64);
    let (rate, latency) = (count as f64 / elapsed, Latency::of(&load.times));
    print(&format!(
        "requests/s {rate:.0}  server CPU µs/request {:.1}  p50 {:.3} ms  p99 {:.3} ms  p99.9 {:.3} ms",
        micros.unwrap_or(f64::NAN),
        latency.p50_ms,
        latency.p99_ms,
        latency.p999_ms
    ));
    let figures = json!({
        "seconds": elapsed, "requests": count, "requests_per_second": rate,
        "server_cpu": cpu.map(|cpu| cpu / elapsed), "cpu_micros_per_request": micros,
        "server_waited": waited.map(|waited| waited / elapsed),
        "generator_waited": seconds(after.1 - before.1) / elapsed,
    });
    let report = json!({"scenario": "requests", "figures": figures, "latency": latency});
    if let Some(path) = &options.json {
        write_json(path, &report)?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Load {
    fn open(args: &Requests, options: &Options, descriptors: usize) -> Result<Self, String> {
        let count = options.connections.unwrap_or(CONNECTIONS);
        check_descriptors(count, descriptors)?;
        let (target, text) = (target(options, count)?, |e: std::io::Error| e.to_string());
        let poll = Poll::new().map_err(text)?;
        let mut visitors = Vec::with_capacity(count);
        for id in 0..count {
            let socket = std::net::TcpStream::connect(target.address).map_err(text)?;
            socket.set_nodelay(true).map_err(text)?;
            socket.set_nonblocking(true).map_err(text)?;
            let mut socket = TcpStream::from_std(socket);
            let registered = poll
                .registry()
                .register(&mut socket, Token(id), Interest::READABLE);
            registered.map_err(text)?;
            visitors.push(Visitor {
                socket,
                asked: 0,
                answer: Answer::default(),
            });
        }
        let (path, host) = (&args.path, &target.host);
        Ok(Self {
            clock: Clock::start(),
            poll,
            visitors,
            idle: (0..count).collect(),
            request: format!(
                "GET {path} HTTP/1.1\r\nHost: {host}\r\n{}\r\n",
                target.lines
            )
            .into_bytes(),
            interval: options.rate.map(|rate| (SECOND as f64 / rate) as u64),
            next: 0,
            times: Times::default(),
            buffer: vec![0; 64 * 1024],
        })
    }

    /// A descriptor that becomes readable whenever a request is due: a poll counts in whole milliseconds.
    fn timer(&self) -> std::io::Result<Option<OwnedFd>> {
        let Some(interval) = self.interval else {
            return Ok(None);
        };
        let timer =
            rustix::time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK)?;
        let every = Timespec {
            tv_sec: (interval / SECOND) as i64,
            tv_nsec: (interval % SECOND) as _,
        };
        let schedule = Itimerspec {
            it_interval: every,
            it_value: every,
        };
        rustix::time::timerfd_settime(&timer, TimerfdTimerFlags::empty(), &schedule)?;
        let (source, readable) = (timer.as_raw_fd(), Interest::READABLE);
        let mut source = SourceFd(&source);
        self.poll
            .registry()
            .register(&mut source, TIMER, readable)?;
        Ok(Some(timer))
    }

    fn until(&mut self, end: u64, stop: &AtomicBool) -> Result<(), String> {
        let timer = self.timer().map_err(|error| error.to_string())?;
        let mut events = Events::with_capacity(1024);
        self.next = self.clock.now();
        while self.clock.now() < end && !stop.load(Ordering::Relaxed) {
            self.ask()?;
            match self.poll.poll(&mut events, Some(TICK)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => {
                    return Err(error.to_string());
                }
                _ => {}
            }
            for event in &events {
                match (event.token(), &timer) {
                    (TIMER, Some(timer)) => {
                        // How often it was due does not matter: the clock says what is.
                        rustix::io::read(timer, &mut [0; 8]).ok();
                    }
                    (Token(id), _) => self.read(id)?,
                }
            }
        }
        Ok(())
    }

    /// Sends what is due over connections that wait for nothing. Where all wait, a request is late, and its latency counts that.
    fn ask(&mut self) -> Result<(), String> {
        loop {
            let now = self.clock.now();
            let due = self.interval.map_or(now, |_| self.next);
            let Some(id) = self.idle.pop_if(|_| due <= now) else {
                return Ok(());
            };
            self.next += self.interval.unwrap_or(0);
            if let Some(visitor) = self.visitors.get_mut(id) {
                visitor.asked = due;
                let sent = visitor.socket.write_all(&self.request);
                sent.map_err(|error| error.to_string())?;
            }
        }
    }

    fn read(&mut self, id: usize) -> Result<(), String> {
        let Some(visitor) = self.visitors.get_mut(id) else {
            return Ok(());
        };
        loop {
            let bytes = match visitor.socket.read(&mut self.buffer) {
                Ok(0) => return Err("the server ended a connection".to_owned()),
                Ok(read) => self.buffer.get(..read).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.to_string()),
            };
            if visitor.answer.take(bytes)? {
                let took = self.clock.now().saturating_sub(visitor.asked);
                self.times.saturating_record(took);
                self.idle.push(id);
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_with_its_last_byte_wherever_it_is_cut() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        for cut in 1..whole.len() {
            let mut answer = Answer::default();
            let (a, b) = whole.split_at(cut);
            assert_eq!((answer.take(a), answer.take(b)), (Ok(false), Ok(true)));
            assert_eq!(answer.take(whole), Ok(true), "the next one");
        }
        let mut answer = Answer::default();
        assert!(answer.take(&[&whole[..], b"!"].concat()).is_err());
        assert!(
            Answer::default()
                .take(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
                .is_err()
        );
    }
}
