//! The yardstick of a bridge: a bare PUBLISH on one connection to Redis, and its message on another, in the same loop, at the same rate
//! and of the same size as what the nodes carry at that moment.

use super::store::command;
use crate::clock::SECOND;
use crate::engine::Engine;
use crate::latency::histogram;
use hdrhistogram::Histogram;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// Before the time in a payload.
const MARK: &[u8] = b"bare=";
/// Hexadecimal digits of the time.
const DIGITS: usize = 16;

/// Both ends of the round trip.
#[derive(Debug)]
pub(super) struct Bare {
    publisher: TcpStream,
    subscriber: mio::net::TcpStream,
    partial: Vec<u8>,
    channels: usize,
    payload_bytes: usize,
    interval: u64,
    next: u64,
    turn: usize,
    /// Round trips since the last sample.
    pub(super) latency: Histogram<u64>,
    /// Publications.
    pub(super) sent: u64,
    /// Of these, come back.
    pub(super) received: u64,
}

impl Bare {
    /// Connects twice and subscribes to as many channels as there are rooms.
    ///
    /// # Errors
    /// Redis is not there.
    pub(super) fn open(
        address: SocketAddr,
        channels: usize,
        rate: f64,
        payload_bytes: usize,
        engine: &Engine,
    ) -> io::Result<Self> {
        let publisher = TcpStream::connect(address)?;
        publisher.set_nodelay(true)?;
        publisher.set_nonblocking(true)?;
        let mut subscriber = TcpStream::connect(address)?;
        for number in 0..channels {
            subscriber.write_all(&command(&[b"SUBSCRIBE", channel(number).as_bytes()]))?;
        }
        subscriber.set_nonblocking(true)?;
        let mut subscriber = mio::net::TcpStream::from_std(subscriber);
        engine.watch(&mut subscriber, 0)?;
        Ok(Self {
            publisher,
            subscriber,
            partial: Vec::new(),
            channels,
            payload_bytes,
            interval: ((SECOND as f64 / rate.max(0.001)) as u64).max(1),
            next: u64::MAX,
            turn: 0,
            latency: histogram(),
            sent: 0,
            received: 0,
        })
    }

    /// Begins, half an interval beside the chat's messages.
    pub(super) fn start(&mut self, now: u64) {
        self.next = now + self.interval / 2;
    }

    /// No more publications.
    pub(super) fn stop(&mut self) {
        self.next = u64::MAX;
    }

    /// When the next publication is due.
    pub(super) fn due(&self) -> u64 {
        self.next
    }

    /// Publishes what is due; its time counts from when it was due.
    ///
    /// # Errors
    /// Redis is gone.
    pub(super) fn tick(&mut self, now: u64) -> io::Result<()> {
        while self.next <= now {
            let payload = payload(self.next, self.payload_bytes);
            let name = channel(self.turn % self.channels.max(1));
            let command = command(&[b"PUBLISH", name.as_bytes(), &payload]);
            self.skip_answers()?;
            self.publisher.write_all(&command)?;
            self.turn += 1;
            self.sent += 1;
            self.next += self.interval;
        }
        Ok(())
    }

    fn skip_answers(&mut self) -> io::Result<()> {
        let mut answers = [0; 256];
        match self.publisher.read(&mut answers) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    /// Reads what came at this time.
    ///
    /// # Errors
    /// Redis is gone.
    pub(super) fn readable(&mut self, now: u64) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.subscriber.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    self.partial.extend(buffer.get(..read).unwrap_or_default());
                    let (times, used) = times(&self.partial);
                    for time in times {
                        self.received += 1;
                        self.latency.saturating_record(now.saturating_sub(time));
                    }
                    self.partial.drain(..used);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn channel(number: usize) -> String {
    format!("loadtest:bare:{number}")
}

fn payload(time: u64, bytes: usize) -> Vec<u8> {
    let mut payload = MARK.to_vec();
    payload.extend_from_slice(format!("{time:016x}").as_bytes());
    payload.resize(bytes.max(payload.len()), b'.');
    payload
}

/// The times in the whole payloads at the front, and how many bytes may be forgotten. Payloads hold no line ends, so the next line end
/// after a mark ends its message.
fn times(bytes: &[u8]) -> (Vec<u64>, usize) {
    let (mut times, mut used) = (Vec::new(), 0);
    while let Some(rest) = bytes.get(used..)
        && let Some(end) = memchr::memmem::find(rest, b"\r\n")
    {
        let line = rest.get(..end).unwrap_or_default();
        let digits = line.strip_prefix(MARK).and_then(|line| line.get(..DIGITS));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        times.extend(digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()));
        used += end + 2;
    }
    (times, used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_split_of_the_stream_gives_the_same_times() {
        let mut stream = b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n".to_vec();
        for time in [7, 0x1234_5678_9ABC] {
            let payload = payload(time, 60);
            assert_eq!(payload.len(), 60);
            stream.extend_from_slice(&command(&[b"message", b"a", &payload]));
        }
        for cut in 0..=stream.len() {
            let (first, used) = times(&stream[..cut]);
            let (second, rest) = times(&stream[used..]);
            assert_eq!([first, second].concat(), [7, 0x1234_5678_9ABC]);
            assert_eq!(used + rest, stream.len());
        }
    }
}
