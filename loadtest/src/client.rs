//! One connection of the generator: handshake, frames in, messages out. Driven by the engine's events; holds no buffer
//! while there is nothing in it.

use crate::codec::{self, Frame, Parsed, opcode};
use crate::contract::{self, Packet};
use crate::handshake::{self, Answer};
use crate::stream::Stream;
use crate::traffic::{Notice, Receiver, Traffic};
use std::io::{ErrorKind, Read, Write};

/// Bytes a server may leave unread before the generator leaves out sends: 1 MiB, far above any socket buffer.
const OUT_BYTES_MAX: usize = 1 << 20;

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(crate) enum Phase {
    /// The socket is connecting.
    Connecting,
    /// The request is sent.
    Handshaking,
    /// Upgraded; the contract's own greeting is not over.
    Greeting,
    /// The connection can be used.
    Open,
    /// We have sent a close frame.
    Closing,
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// We closed and the server did, too.
    Ours,
    /// The connection never opened.
    Refused(String),
    /// The server ended it.
    Theirs(String),
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: Stream,
    pub(crate) phase: Phase,
    pub(crate) receiver: Receiver,
    /// Group of the plan it belongs to.
    pub(crate) group: usize,
    /// Messages under way at most in the closed loop; 0 without one.
    pub(crate) window: u32,
    /// Messages of ours that have not come back.
    pub(crate) outstanding: u32,
    /// When a message of ours came back last.
    pub(crate) progress: u64,
    /// False: leave everything in the kernel's buffer.
    pub(crate) reading: bool,
    /// Tell the group of every message of ours that came back.
    pub(crate) notify: bool,
    pub(crate) started: u64,
    /// The person who comes back if this ends.
    pub(crate) person: Option<u32>,
    welcomed: bool,
    key: String,
    out: Vec<u8>,
    partial: Vec<u8>,
    close_code: Option<u16>,
}

impl Client {
    /// A connection that is being made; `request` goes out when the socket can be written.
    pub(crate) fn new(
        stream: Stream,
        receiver: Receiver,
        group: usize,
        key: String,
        request: Vec<u8>,
        started: u64,
    ) -> Self {
        Self {
            stream,
            phase: Phase::Connecting,
            receiver,
            group,
            window: 0,
            outstanding: 0,
            progress: started,
            reading: true,
            notify: false,
            started,
            person: None,
            welcomed: false,
            key,
            out: request,
            partial: Vec::new(),
            close_code: None,
        }
    }

    /// The socket can be written.
    pub(crate) fn writable(&mut self, traffic: &mut Traffic) -> Result<(), End> {
        if self.phase == Phase::Connecting {
            if let Ok(Some(error)) = self.stream.socket.take_error() {
                return Err(End::Refused(error.kind().to_string()));
            }
            if self.stream.socket.peer_addr().is_err() {
                return Ok(());
            }
            self.phase = Phase::Handshaking;
        }
        if self.out.is_empty() && !self.stream.is_behind() {
            Ok(())
        } else {
            self.flush(traffic)
        }
    }

    /// The socket can be read.
    pub(crate) fn readable(&mut self, id: usize, traffic: &mut Traffic) -> Result<(), End> {
        if !self.reading || self.phase == Phase::Connecting {
            return Ok(());
        }
        let mut buffer = std::mem::take(&mut traffic.buffer);
        let end = self.read_all(id, traffic, &mut buffer);
        traffic.buffer = buffer;
        end?;
        // The request waits for a handshake of TLS.
        let is_asked = self.out.is_empty() || self.phase > Phase::Handshaking;
        if traffic.outgoing.is_empty() && is_asked {
            Ok(())
        } else {
            self.flush(traffic)
        }
    }

    fn read_all(
        &mut self,
        id: usize,
        traffic: &mut Traffic,
        buffer: &mut Vec<u8>,
    ) -> Result<(), End> {
        loop {
            let kept = self.partial.len();
            if buffer.len() < kept + 64 * 1024 {
                buffer.resize(kept + 256 * 1024, 0);
            }
            let (front, space) = buffer.split_at_mut(kept);
            front.copy_from_slice(&self.partial);
            let read = match self.stream.read(space) {
                Ok(0) => return Err(self.ended("end of stream")),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.ended(&reason(&error))),
            };
            traffic.totals.bytes_in += read as u64;
            let now = traffic.clock.now();
            let bytes = buffer.get(..kept + read).unwrap_or_default();
            let used = self.take(id, traffic, bytes, now)?;
            self.partial.clear();
            match bytes.get(used..) {
                Some(rest) if !rest.is_empty() => self.partial.extend_from_slice(rest),
                _ if self.partial.capacity() > 0 => self.partial = Vec::new(),
                _ => {}
            }
            if self.stream.is_drained() {
                return Ok(()); // The poll announces what comes after.
            }
        }
    }

    /// A close frame came, or ours was answered.
    pub(crate) fn closed_cleanly(&self) -> bool {
        self.close_code.is_some() || self.phase == Phase::Closing
    }

    fn ended(&self, what: &str) -> End {
        match (self.phase, self.close_code) {
            (Phase::Closing, _) => End::Ours,
            (Phase::Open, Some(code)) => End::Theirs(format!("close {code}")),
            (Phase::Open, None) => End::Theirs(what.to_owned()),
            _ => End::Refused(what.to_owned()),
        }
    }

    /// Everything whole in `bytes`; returns how much that was.
    fn take(
        &mut self,
        id: usize,
        traffic: &mut Traffic,
        bytes: &[u8],
        now: u64,
    ) -> Result<usize, End> {
        let mut at = 0;
        if self.phase == Phase::Handshaking {
            match handshake::read(bytes, self.key.as_bytes()) {
                Answer::Partial => return Ok(0),
                Answer::Upgraded(end) => at = end,
                Answer::Refused(status) => return Err(End::Refused(format!("HTTP {status}"))),
                Answer::Broken(why) => return Err(End::Refused(why.to_owned())),
            }
            self.key = String::new();
            if let Some(is_resumed) = self.stream.is_resumed() {
                let totals = &mut traffic.totals;
                totals.tls_resumed += u64::from(is_resumed);
                totals.tls_full += u64::from(!is_resumed);
                if totals.tls_chosen.is_none() {
                    totals.tls_chosen = self.stream.chosen();
                }
            }
            self.phase = Phase::Greeting;
            if traffic.contract.open_at_once() {
                self.opened(id, traffic, now);
            }
        }
        let mut own = 0;
        loop {
            match codec::parse(bytes, at) {
                Parsed::Frame(frame) => {
                    let payload = bytes.get(frame.payload.clone()).unwrap_or_default();
                    own += u32::from(self.frame(id, &frame, payload, traffic, now)?);
                    at = frame.payload.end;
                }
                Parsed::Partial => break,
                Parsed::Broken(why) => return Err(End::Theirs(format!("broken frame: {why}"))),
            }
        }
        if own > 0 {
            self.outstanding = self.outstanding.saturating_sub(own);
            self.progress = now;
            if self.notify {
                traffic.notices.push(Notice::Own(id));
            }
            self.refill(traffic);
        }
        Ok(at)
    }

    fn opened(&mut self, id: usize, traffic: &mut Traffic, now: u64) {
        self.phase = Phase::Open;
        traffic.totals.opened += 1;
        traffic
            .handshakes
            .saturating_record(now.saturating_sub(self.started));
        traffic.notices.push(Notice::Opened(id));
        if self.person.is_some() {
            traffic.joined(&self.receiver);
        }
    }

    /// One frame; true if a message of ours came back or was refused.
    fn frame(
        &mut self,
        id: usize,
        frame: &Frame,
        payload: &[u8],
        traffic: &mut Traffic,
        now: u64,
    ) -> Result<bool, End> {
        match frame.opcode {
            opcode::TEXT if frame.last => match traffic.contract.read(payload) {
                Packet::Chat(json) => return Ok(self.chat(json, traffic, now)),
                Packet::Open => self.answer(traffic, contract::CONNECT),
                Packet::Ping => self.answer(traffic, contract::PONG),
                Packet::Connected if self.phase == Phase::Greeting => {
                    self.opened(id, traffic, now);
                }
                Packet::Ended => return Err(self.ended("ended by its own packet")),
                Packet::Connected | Packet::Other => traffic.totals.unpublished_frames += 1,
            },
            opcode::PING => {
                let key = traffic.random.u32(..).to_ne_bytes();
                codec::write_masked(&mut traffic.outgoing, opcode::PONG, key, &[payload]);
            }
            opcode::CLOSE => {
                if let Some(&[a, b]) = payload.get(..2) {
                    self.close_code = Some(u16::from_be_bytes([a, b]));
                }
                if self.phase == Phase::Closing {
                    return Err(End::Ours);
                }
                return Err(self.ended("close without a code"));
            }
            opcode::PONG => {}
            _ => traffic.totals.unpublished_frames += 1,
        }
        Ok(false)
    }

    /// A frame of the chat contract; true if a message of ours came back or was refused.
    fn chat(&mut self, json: &[u8], traffic: &mut Traffic, now: u64) -> bool {
        if json.starts_with(b"{\"error\"") {
            let text = String::from_utf8_lossy(json.get(..160.min(json.len())).unwrap_or_default());
            traffic.totals.errors.count(text);
            let room = traffic.rooms.get_mut(self.receiver.room as usize);
            if let (Some(_), Some(room)) = (self.receiver.slot, room) {
                room.refused += 1;
                return true;
            }
            return false;
        }
        let others = traffic.totals.unpublished_frames;
        let own = traffic.arrived(&self.receiver, json, now);
        // Whoever has a welcome is in the room: what is sent from now on must come.
        if self.person.is_some() && !self.welcomed {
            self.welcomed = true;
            if traffic.totals.unpublished_frames > others {
                traffic.joined(&self.receiver);
            }
        }
        own
    }

    /// A packet of the contract's own into the outgoing buffer.
    fn answer(&self, traffic: &mut Traffic, packet: &[u8]) {
        if self.phase < Phase::Closing {
            let key = traffic.random.u32(..).to_ne_bytes();
            codec::write_masked(&mut traffic.outgoing, opcode::TEXT, key, &[packet]);
        }
    }

    /// Closed loop: as many messages as the window has room for, into the outgoing buffer.
    fn refill(&mut self, traffic: &mut Traffic) {
        while self.outstanding < self.window && self.phase == Phase::Open {
            let now = traffic.clock.now();
            self.encode(traffic, now);
        }
    }

    fn encode(&mut self, traffic: &mut Traffic, sent: u64) {
        let Receiver {
            room,
            slot: Some(slot),
            ..
        } = self.receiver
        else {
            return;
        };
        let Some(marker) = traffic.next_marker(room, slot, sent) else {
            return;
        };
        let key = traffic.random.u32(..).to_ne_bytes();
        let parts = traffic.contract.wrap(traffic.message.command(&marker));
        codec::write_masked(&mut traffic.outgoing, opcode::TEXT, key, &parts);
        self.outstanding += 1;
    }

    /// Publishes one message whose latency counts from `sent`.
    pub(crate) fn publish(&mut self, traffic: &mut Traffic, sent: u64) -> Result<(), End> {
        if self.phase != Phase::Open {
            return Ok(());
        }
        if self.out.len() > OUT_BYTES_MAX {
            traffic.totals.not_sent += 1;
            return Ok(());
        }
        self.encode(traffic, sent);
        self.flush(traffic)
    }

    /// Starts (or restarts) the closed loop.
    pub(crate) fn prime(&mut self, traffic: &mut Traffic, window: u32) -> Result<(), End> {
        (self.window, self.outstanding) = (window, 0);
        self.progress = traffic.clock.now();
        self.refill(traffic);
        self.flush(traffic)
    }

    /// Sends a close frame.
    pub(crate) fn close(&mut self, traffic: &mut Traffic) -> Result<(), End> {
        let key = traffic.random.u32(..).to_ne_bytes();
        codec::write_masked(
            &mut traffic.outgoing,
            opcode::CLOSE,
            key,
            &[&1000u16.to_be_bytes()],
        );
        self.phase = Phase::Closing;
        self.reading = true;
        self.flush(traffic)
    }

    /// Writes what waits, then the outgoing buffer, in as few writes as that takes; keeps what the socket does not take.
    fn flush(&mut self, traffic: &mut Traffic) -> Result<(), End> {
        let mut outgoing = std::mem::take(&mut traffic.outgoing);
        if !self.out.is_empty() {
            self.out.extend_from_slice(&outgoing);
            std::mem::swap(&mut self.out, &mut outgoing);
            self.out = Vec::new();
        }
        let mut done = 0;
        let mut end = Ok(());
        if outgoing.is_empty() {
            let flushed = self.stream.flush();
            end = flushed.map_err(|error| self.ended(&reason(&error)));
        }
        while let Some(rest) = outgoing.get(done..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(written) => done += written,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.out = rest.to_vec();
                    break;
                }
                Err(error) => {
                    end = Err(self.ended(&reason(&error)));
                    break;
                }
            }
        }
        traffic.totals.bytes_out += done as u64;
        outgoing.clear();
        traffic.outgoing = outgoing;
        end
    }
}

/// What an error of the stream is counted as: those of TLS say more than their kind.
fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::InvalidData => error.to_string(),
        kind => kind.to_string(),
    }
}
