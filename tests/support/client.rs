//! A WebSocket client over a plain socket. It builds its frames itself, so it can also break them.

use super::PATIENCE;
use super::http::{self, Response};
use super::wait::Deadline;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// The key of RFC 6455's own example; its answer is [`ACCEPT`].
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// What a server must answer to [`KEY`].
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A refusal before 101.
pub(crate) type Refusal = Response;

/// One message, or a control frame, from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A whole text message.
    Text(String),
    /// A whole binary message.
    Binary(Vec<u8>),
    /// A ping's payload.
    Ping(Vec<u8>),
    /// A pong's payload.
    Pong(Vec<u8>),
    /// The closing handshake: code and reason, if the frame carried them.
    Close(Option<(u16, String)>),
}

/// One masked frame: `first` is FIN, RSV and opcode, as in `0x81`.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | u8::try_from(length).expect("at most 125")),
        length @ 126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&u16::try_from(length).expect("16 bits").to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&MASK);
    bytes.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    bytes
}

/// The payload of a close frame.
pub(crate) fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes()[..], reason.as_bytes()].concat()
}

/// One open connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    buffer: VecDeque<u8>,
    partial: Option<(u8, Vec<u8>)>,
    ended: bool,
    /// The 101 that opened it.
    pub(crate) upgrade: Response,
}

impl Client {
    /// Opens `path`, with extra header lines as `("Name", "value")`.
    #[track_caller]
    pub(crate) fn open(
        address: SocketAddr,
        path: &str,
        extra: &[(&str, &str)],
    ) -> Result<Self, Refusal> {
        Self::open_over(http::open(address), path, extra)
    }

    /// Opens `path` over a socket with this receive buffer, whose window obeys it from the first
    /// segment on.
    #[track_caller]
    pub(crate) fn open_narrow(address: SocketAddr, path: &str, bytes: usize) -> Self {
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(bytes).expect("receive buffer");
        socket.connect(&address.into()).expect("a connection");
        Self::open_over(socket.into(), path, &[]).expect("101")
    }

    /// Opens `path` over this connection.
    #[track_caller]
    pub(crate) fn open_over(
        mut stream: TcpStream,
        path: &str,
        extra: &[(&str, &str)],
    ) -> Result<Self, Refusal> {
        let address = stream.peer_addr().expect("an address");
        let mut head = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n"
        );
        for (name, value) in extra {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).expect("the request head");
        let (upgrade, rest) = http::read_response(&mut stream)
            .unwrap_or_else(|| panic!("{path}: closed without an answer"));
        if upgrade.status != 101 {
            return Err(upgrade);
        }
        assert_eq!(upgrade.header("sec-websocket-accept"), Some(ACCEPT));
        let buffer = VecDeque::from(rest);
        Ok(Self {
            stream,
            buffer,
            partial: None,
            ended: false,
            upgrade,
        })
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("send");
    }

    /// Sends bytes as they are; false if the server has closed by now.
    pub(crate) fn try_send_raw(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// One text message.
    #[track_caller]
    pub(crate) fn send_text(&mut self, text: &str) {
        self.send_raw(&frame(0x81, text.as_bytes()));
    }

    /// One binary message.
    #[track_caller]
    pub(crate) fn send_binary(&mut self, bytes: &[u8]) {
        self.send_raw(&frame(0x82, bytes));
    }

    /// One text message in these fragments.
    #[track_caller]
    pub(crate) fn send_fragments(&mut self, fragments: &[&str]) {
        for (index, fragment) in fragments.iter().enumerate() {
            let opcode = if index == 0 { 0x01 } else { 0x00 };
            let fin = if index + 1 == fragments.len() {
                0x80
            } else {
                0x00
            };
            self.send_raw(&frame(fin | opcode, fragment.as_bytes()));
        }
    }

    /// A ping.
    #[track_caller]
    pub(crate) fn ping(&mut self, payload: &[u8]) {
        self.send_raw(&frame(0x89, payload));
    }

    /// A close frame.
    #[track_caller]
    pub(crate) fn send_close(&mut self, code: u16, reason: &str) {
        self.send_raw(&frame(0x88, &close_payload(code, reason)));
    }

    /// The next message or control frame, within the deadline.
    #[track_caller]
    pub(crate) fn receive(&mut self) -> Frame {
        match self.receive_within(PATIENCE) {
            Some(frame) => frame,
            None if self.ended => panic!("the connection ended; a frame was expected"),
            None => panic!("no frame within {PATIENCE:?}"),
        }
    }

    /// The next message or control frame; `None` at the end of the stream or of `patience`.
    #[track_caller]
    pub(crate) fn receive_within(&mut self, patience: Duration) -> Option<Frame> {
        let deadline = Deadline::after(patience);
        loop {
            while let Some((first, payload)) = self.take_frame() {
                if let Some(frame) = self.assemble(first, payload) {
                    return Some(frame);
                }
            }
            if self.ended || !self.fill(deadline) {
                return None;
            }
        }
    }

    /// The next message, which must be text; pings and pongs on the way are passed over.
    #[track_caller]
    pub(crate) fn receive_text(&mut self) -> String {
        loop {
            match self.receive() {
                Frame::Text(text) => return text,
                Frame::Ping(_) | Frame::Pong(_) => {}
                other => panic!("expected a text message, got {other:?}"),
            }
        }
    }

    /// The next message, which must be JSON.
    #[track_caller]
    pub(crate) fn receive_json(&mut self) -> serde_json::Value {
        let text = self.receive_text();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("not JSON ({error}): {text}"))
    }

    /// The welcome frame, checked and dropped.
    #[track_caller]
    pub(crate) fn skip_welcome(&mut self) {
        let welcome = self.receive_json();
        assert_eq!(welcome["sender"], "system", "not a welcome: {welcome}");
    }

    /// Reads up to the close frame; returns its code (1005 if none) and reason.
    #[track_caller]
    pub(crate) fn expect_close(&mut self) -> (u16, String) {
        loop {
            if let Frame::Close(close) = self.receive() {
                return close.unwrap_or((1005, String::new()));
            }
        }
    }

    /// The server must end the stream, after whatever it still sends.
    #[track_caller]
    pub(crate) fn expect_eof(&mut self) {
        let deadline = Deadline::after(PATIENCE);
        while !self.ended {
            assert!(
                self.fill(deadline) || self.ended,
                "still open after {PATIENCE:?}"
            );
        }
    }

    /// True if nothing arrives for `quiet`.
    #[track_caller]
    pub(crate) fn is_quiet_for(&mut self, quiet: Duration) -> bool {
        self.receive_within(quiet).is_none() && !self.ended
    }

    /// Ends our direction only.
    pub(crate) fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).expect("half close");
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("linger 0");
    }

    /// The socket.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Reads at most `bytes` bytes, as a slow reader does; what came with them, answering pings if it
    /// `answers`. `None` once the stream has ended.
    #[track_caller]
    pub(crate) fn sip(&mut self, bytes: usize, answers: bool) -> Option<Vec<Frame>> {
        self.stream.set_nonblocking(true).expect("a socket option");
        let mut chunk = vec![0; bytes];
        match self.stream.read(&mut chunk) {
            Ok(0) => self.ended = true,
            Ok(count) => self.buffer.extend(&chunk[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.ended = true,
        }
        self.stream.set_nonblocking(false).expect("a socket option");
        let mut frames = Vec::new();
        while let Some((first, payload)) = self.take_frame() {
            frames.extend(self.assemble(first, payload));
        }
        for frame in &frames {
            if let (Frame::Ping(payload), true) = (frame, answers) {
                self.try_send_raw(&self::frame(0x8a, payload));
            }
        }
        (!self.ended || !frames.is_empty()).then_some(frames)
    }

    /// A small receive buffer, so that a reader that stops is slow at once.
    pub(crate) fn shrink_receive_buffer(&self, bytes: usize) {
        socket2::SockRef::from(&self.stream)
            .set_recv_buffer_size(bytes)
            .expect("receive buffer");
    }

    /// Reads once; false when the deadline passed or the stream ended.
    #[track_caller]
    fn fill(&mut self, deadline: Deadline) -> bool {
        let Some(left) = deadline.left() else {
            return false;
        };
        self.stream
            .set_read_timeout(Some(left))
            .expect("read timeout");
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => self.ended = true,
            Ok(count) => self.buffer.extend(&bytes[..count]),
            Err(error) => match error.kind() {
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => self.ended = true,
                ErrorKind::Interrupted => {}
                ErrorKind::WouldBlock | ErrorKind::TimedOut => return false,
                _ => panic!("read: {error}"),
            },
        }
        !self.ended
    }

    /// One whole frame from the buffer: its first byte and payload.
    fn take_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let at = |index: usize| self.buffer.get(index).copied();
        let (first, second) = (at(0)?, at(1)?);
        assert_eq!(second & 0x80, 0, "a server must not mask");
        let extended = match second {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mut length = if extended == 0 {
            usize::from(second)
        } else {
            0
        };
        for index in 2..2 + extended {
            length = (length << 8) | usize::from(at(index)?);
        }
        let whole = 2 + extended + length;
        if self.buffer.len() < whole {
            return None;
        }
        let payload = self.buffer.drain(..whole).skip(2 + extended).collect();
        Some((first, payload))
    }

    /// Joins fragments; control frames pass at once.
    #[track_caller]
    fn assemble(&mut self, first: u8, payload: Vec<u8>) -> Option<Frame> {
        assert_eq!(first & 0x70, 0, "reserved bits set by the server");
        match first & 0x0f {
            0x8 => {
                let close = (payload.len() >= 2).then(|| {
                    let reason = String::from_utf8(payload[2..].to_vec()).expect("close reason");
                    (u16::from_be_bytes([payload[0], payload[1]]), reason)
                });
                return Some(Frame::Close(close));
            }
            0x9 => return Some(Frame::Ping(payload)),
            0xa => return Some(Frame::Pong(payload)),
            0x0 => self
                .partial
                .as_mut()
                .expect("continuation of nothing")
                .1
                .extend(payload),
            opcode => {
                assert!(
                    self.partial.is_none(),
                    "a new message inside a fragmented one"
                );
                self.partial = Some((opcode, payload));
            }
        }
        if first & 0x80 == 0 {
            return None;
        }
        let (opcode, payload) = self.partial.take().expect("the message just joined");
        Some(match opcode {
            0x1 => Frame::Text(String::from_utf8(payload).expect("text must be UTF-8")),
            0x2 => Frame::Binary(payload),
            other => panic!("opcode {other:#x} from the server"),
        })
    }
}
