//! `loadtest floor`: what the kernel itself costs. An epoll server that does the handshake, unmasks, copies the payload into one
//! plain frame and sends that to each member of the room (room = path): one `send` per member and frame, or with `--coalesce` one
//! per member and turn. It parses nothing beyond frame boundaries, so no server of the contract can be much cheaper.

use crate::cli;
use crate::codec::{self, Parsed, opcode};
use crate::handshake;
use crate::stream::Stream;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use rustls::ServerConfig;
use slab::Slab;
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

const LISTENER: Token = Token(usize::MAX);
/// What clients of the contract end a command with; replaced by [`EVENT_END`] so that bytes out are those of a chat event.
const COMMAND_END: &[u8] = b",\"type\":\"user\"}";
const EVENT_END: &[u8] = b",\"sender\":\"user\",\"timestamp\":\"2024-01-01T12:00:00Z\"}";

#[derive(Debug)]
struct Receiving {
    stream: Stream,
    /// Index of the room; none before the handshake.
    room: Option<u32>,
    waiting: Vec<u8>,
    partial: Vec<u8>,
}

#[derive(Debug, Default)]
struct FloorRoom {
    members: Vec<usize>,
    /// Frames of this turn, with `--coalesce`.
    turn: Vec<u8>,
}

#[derive(Debug)]
struct FloorServer {
    poll: Poll,
    tls: Option<Arc<ServerConfig>>,
    peers: Slab<Box<Receiving>>,
    names: HashMap<Box<[u8]>, u32>,
    rooms: Vec<FloorRoom>,
    dirty: Vec<u32>,
    coalesce: bool,
    /// Drop and duplicate every so many frames.
    faults: (u64, u64),
    frames: u64,
    frame: Vec<u8>,
    gone: Vec<usize>,
}

/// Serves until killed, by TLS if there is a configuration for that.
/// Errors: The address cannot be listened on, or the poll fails.
pub(crate) fn serve(args: &cli::Floor, tls: Option<Arc<ServerConfig>>) -> io::Result<()> {
    let mut listener = TcpListener::bind(args.listen)?;
    let mut floor = FloorServer {
        poll: Poll::new()?,
        tls,
        peers: Slab::new(),
        names: HashMap::new(),
        rooms: Vec::new(),
        dirty: Vec::new(),
        coalesce: args.coalesce,
        faults: (args.drop_every, args.duplicate_every),
        frames: 0,
        frame: Vec::new(),
        gone: Vec::new(),
    };
    floor
        .poll
        .registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match floor.poll.poll(&mut events, None) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &events {
            if event.token() == LISTENER {
                floor.accept(&listener);
                continue;
            }
            let id = event.token().0;
            if event.is_writable() {
                floor.continue_writing(id);
            }
            if event.is_readable() && !floor.readable(id, &mut buffer) {
                floor.remove(id);
            }
        }
        floor.end_turn();
    }
}

impl FloorServer {
    fn accept(&mut self, listener: &TcpListener) {
        while let Ok((mut socket, _)) = listener.accept() {
            let id = self.peers.vacant_key();
            let interest = Interest::READABLE | Interest::WRITABLE;
            let made = socket.set_nodelay(true).and_then(|()| {
                self.poll
                    .registry()
                    .register(&mut socket, Token(id), interest)
            });
            let made = made.and_then(|()| match &self.tls {
                Some(config) => Stream::server(socket, config),
                None => Ok(Stream::plain(socket)),
            });
            if let Ok(stream) = made {
                self.peers.insert(Box::new(Receiving {
                    stream,
                    room: None,
                    waiting: Vec::new(),
                    partial: Vec::new(),
                }));
            }
        }
    }

    /// Reads all there is; false if the peer is gone.
    fn readable(&mut self, id: usize, buffer: &mut Vec<u8>) -> bool {
        loop {
            let Some(peer) = self.peers.get_mut(id) else {
                return true;
            };
            let kept = peer.partial.len();
            if buffer.len() < kept + 64 * 1024 {
                buffer.resize(kept + 256 * 1024, 0);
            }
            let (front, space) = buffer.split_at_mut(kept);
            front.copy_from_slice(&peer.partial);
            let read = match peer.stream.read(space) {
                Ok(0) => return false,
                Ok(read) => read,
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            };
            let Some(used) = self.take(id, buffer.get_mut(..kept + read).unwrap_or_default())
            else {
                return false;
            };
            let Some(peer) = self.peers.get_mut(id) else {
                return true;
            };
            let rest = buffer.get(used..kept + read).unwrap_or_default();
            if !rest.is_empty() || kept > 0 {
                peer.partial = rest.to_vec();
            }
            if peer.stream.is_drained() {
                return true;
            }
        }
    }

    /// Handles what is whole; the number of bytes that was, or `None` to close.
    fn take(&mut self, id: usize, bytes: &mut [u8]) -> Option<usize> {
        let peer = self.peers.get_mut(id)?;
        let mut at = 0;
        let room = match peer.room {
            Some(room) => room,
            None => {
                let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
                    return (bytes.len() < 8192).then_some(0);
                };
                at = end + 4;
                self.upgrade(id, bytes.get(..at)?)?
            }
        };
        loop {
            let frame = match codec::parse(bytes, at) {
                Parsed::Frame(frame) => frame,
                Parsed::Partial => return Some(at),
                Parsed::Broken(_) => return None,
            };
            at = frame.payload.end;
            let payload = bytes.get_mut(frame.payload)?;
            codec::apply_mask(payload, frame.mask?);
            match frame.opcode {
                opcode::TEXT => self.publish(room, payload),
                opcode::CLOSE => {
                    self.frame.clear();
                    codec::write_plain(&mut self.frame, opcode::CLOSE, &[payload]);
                    let (peers, frame) = (&mut self.peers, &self.frame);
                    if let Some(peer) = peers.get_mut(id) {
                        peer.send(frame);
                    }
                    return None;
                }
                _ => {}
            }
        }
    }

    fn upgrade(&mut self, id: usize, request: &[u8]) -> Option<u32> {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut parsed = httparse::Request::new(&mut headers);
        parsed.parse(request).ok()?;
        let key = parsed
            .headers
            .iter()
            .find(|h| h.name.eq_ignore_ascii_case("sec-websocket-key"))?
            .value;
        let name = parsed.path?.as_bytes();
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            handshake::accept(key)
        );
        let room = match self.names.get(name) {
            Some(&room) => room,
            None => {
                self.rooms.push(FloorRoom::default());
                let room = (self.rooms.len() - 1) as u32;
                self.names.insert(name.into(), room);
                room
            }
        };
        self.rooms.get_mut(room as usize)?.members.push(id);
        let peer = self.peers.get_mut(id)?;
        peer.room = Some(room);
        peer.send(answer.as_bytes());
        Some(room)
    }

    fn publish(&mut self, room: u32, payload: &[u8]) {
        let Some(entry) = self.rooms.get_mut(room as usize) else {
            return;
        };
        let parts = match payload.strip_suffix(COMMAND_END) {
            Some(front) => [front, EVENT_END],
            None => [payload, b""],
        };
        if self.coalesce {
            if entry.turn.is_empty() {
                self.dirty.push(room);
            }
            codec::write_plain(&mut entry.turn, opcode::TEXT, &parts);
            return;
        }
        self.frame.clear();
        codec::write_plain(&mut self.frame, opcode::TEXT, &parts);
        for &id in &entry.members {
            let Some(peer) = self.peers.get_mut(id) else {
                continue;
            };
            self.frames += 1;
            let nth = |every: u64| every > 0 && self.frames.is_multiple_of(every);
            if nth(self.faults.0) {
                continue;
            }
            if nth(self.faults.1) {
                peer.send(&self.frame);
            }
            if !peer.send(&self.frame) {
                self.gone.push(id);
            }
        }
    }

    fn end_turn(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for room in dirty.drain(..) {
            let Some(entry) = self.rooms.get_mut(room as usize) else {
                continue;
            };
            for &id in &entry.members {
                if let Some(peer) = self.peers.get_mut(id)
                    && !peer.send(&entry.turn)
                {
                    self.gone.push(id);
                }
            }
            entry.turn.clear();
        }
        self.dirty = dirty;
        for id in std::mem::take(&mut self.gone) {
            self.remove(id);
        }
    }

    fn continue_writing(&mut self, id: usize) {
        if let Some(peer) = self.peers.get_mut(id)
            && (!peer.waiting.is_empty() || peer.stream.is_behind())
        {
            let waiting = std::mem::take(&mut peer.waiting);
            peer.send(&waiting);
        }
    }

    fn remove(&mut self, id: usize) {
        let Some(peer) = self.peers.try_remove(id) else {
            return;
        };
        if let Some(room) = peer.room.and_then(|room| self.rooms.get_mut(room as usize)) {
            room.members.retain(|&member| member != id);
        }
    }
}

impl Receiving {
    /// Sends, or queues without a limit what the socket does not take: a floor has no policy. False if the peer is gone.
    fn send(&mut self, bytes: &[u8]) -> bool {
        if !self.waiting.is_empty() {
            self.waiting.extend_from_slice(bytes);
            return true;
        }
        let written = match self.stream.write(bytes) {
            Ok(written) => written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(_) => return false,
        };
        self.waiting
            .extend_from_slice(bytes.get(written..).unwrap_or_default());
        true
    }
}
