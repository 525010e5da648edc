//! A socket, with TLS between or without. Of rustls the form that holds no buffers: an idle stream keeps its keys only.

use mio::net::TcpStream;
use rustls::HandshakeKind;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus,
};
use rustls::{ClientConfig, ServerConfig};
use std::cell::RefCell;
use std::fmt::{self, Display};
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

/// Most bytes of ciphertext that are taken in at a time: what [`Stream::read`] is offered by its callers.
const SCRATCH_BYTES: usize = 256 * 1024;
/// Room a read needs: a record of 16 KiB and what is around it, behind the beginning of another.
const ROOM_MIN: usize = 2 * 17 * 1024;

thread_local! {
    /// Ciphertext on its way, of whichever stream is at work.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH_BYTES]);
}

/// A socket that the poll watches.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) socket: TcpStream,
    layer: Layer,
    /// The last read took all there was: the poll announces what comes after.
    is_drained: bool,
}

#[derive(Debug)]
enum Layer {
    Plain,
    Client(Box<Session<UnbufferedClientConnection>>),
    Server(Box<Session<UnbufferedServerConnection>>),
}

impl Stream {
    /// Without TLS.
    pub(crate) fn plain(socket: TcpStream) -> Self {
        Self::over(socket, Layer::Plain)
    }

    /// The client's end of TLS; the first write begins the handshake.
    /// Errors: The configuration does not allow one.
    pub(crate) fn client(socket: TcpStream, tls: &crate::tls::ClientTls) -> io::Result<Self> {
        let config: Arc<ClientConfig> = Arc::clone(&tls.config);
        let side = UnbufferedClientConnection::new(config, tls.name.clone());
        let session = Session::new(side.map_err(broken)?);
        Ok(Self::over(socket, Layer::Client(Box::new(session))))
    }

    /// The server's end.
    /// Errors: The configuration does not allow one.
    pub(crate) fn server(socket: TcpStream, config: &Arc<ServerConfig>) -> io::Result<Self> {
        let side = UnbufferedServerConnection::new(Arc::clone(config));
        let session = Session::new(side.map_err(broken)?);
        Ok(Self::over(socket, Layer::Server(Box::new(session))))
    }

    fn over(socket: TcpStream, layer: Layer) -> Self {
        Self {
            socket,
            layer,
            is_drained: false,
        }
    }

    /// The last read took all there was.
    pub(crate) fn is_drained(&self) -> bool {
        self.is_drained
    }

    /// Ciphertext waits for the socket: the next write sends it first.
    pub(crate) fn is_behind(&self) -> bool {
        match &self.layer {
            Layer::Plain => false,
            Layer::Client(session) => !session.pending.is_empty(),
            Layer::Server(session) => !session.pending.is_empty(),
        }
    }

    /// Whether a client's session was resumed, once the handshake is over; none without TLS.
    pub(crate) fn is_resumed(&self) -> Option<bool> {
        let kind = self.client_side()?.handshake_kind();
        kind.map(|kind| kind == HandshakeKind::Resumed)
    }

    /// Version, suite and key exchange that a client's server chose.
    pub(crate) fn chosen(&self) -> Option<String> {
        let side = self.client_side()?;
        let (version, suite) = (side.protocol_version()?, side.negotiated_cipher_suite()?);
        let group = side.negotiated_key_exchange_group()?.name();
        Some(format!("{version:?} {:?} {group:?}", suite.suite()))
    }

    fn client_side(&self) -> Option<&UnbufferedClientConnection> {
        match &self.layer {
            Layer::Client(session) => Some(&session.side),
            Layer::Plain | Layer::Server(_) => None,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let drained = &mut self.is_drained;
        match &mut self.layer {
            Layer::Plain => {
                let read = self.socket.read(into)?;
                *drained = read < into.len();
                Ok(read)
            }
            Layer::Client(session) => session.read(&mut self.socket, into, drained),
            Layer::Server(session) => session.read(&mut self.socket, into, drained),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.layer {
            Layer::Plain => self.socket.write(bytes),
            Layer::Client(session) => session.write(&mut self.socket, bytes),
            Layer::Server(session) => session.write(&mut self.socket, bytes),
        }
    }

    /// Sends what waits.
    fn flush(&mut self) -> io::Result<()> {
        match &mut self.layer {
            Layer::Plain => Ok(()),
            Layer::Client(session) => session.send(&mut self.socket),
            Layer::Server(session) => session.send(&mut self.socket),
        }
    }
}

/// One end of TLS: what the two of rustls have in common besides their name.
trait Side {
    type Data;
    /// Takes in records, as far as something is to be done.
    fn step<'c, 'i>(&'c mut self, records: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

impl Side for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn step<'c, 'i>(&'c mut self, records: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(records)
    }
}

impl Side for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn step<'c, 'i>(&'c mut self, records: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(records)
    }
}

/// A session of TLS over a socket that is somebody else's.
struct Session<S> {
    side: S,
    /// The beginning of a record.
    partial: Vec<u8>,
    /// Ciphertext to be sent.
    pending: Vec<u8>,
    /// The socket has taken a part of it only.
    is_blocked: bool,
    /// Plaintext may be written.
    is_open: bool,
    /// The peer has ended its side.
    is_over: bool,
}

impl<S> fmt::Debug for Session<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

fn broken(error: impl Display) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error.to_string())
}

impl<S: Side> Session<S> {
    fn new(side: S) -> Self {
        Self {
            side,
            partial: Vec::new(),
            pending: Vec::new(),
            is_blocked: false,
            is_open: false,
            is_over: false,
        }
    }

    /// Takes what the socket has, as far as `into` has room. What TLS itself says to that goes out with the next write, or at once during
    /// the handshake.
    fn read(
        &mut self,
        socket: &mut TcpStream,
        into: &mut [u8],
        drained: &mut bool,
    ) -> io::Result<usize> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut filled = 0;
            *drained = false;
            // Plaintext is shorter than its records.
            while !self.is_over && into.len() - filled >= ROOM_MIN {
                let kept = self.partial.len();
                let most = (into.len() - filled).min(scratch.len());
                let (front, space) = scratch.split_at_mut(kept);
                front.copy_from_slice(&self.partial);
                let space = space.get_mut(..most - kept).unwrap_or_default();
                let length = space.len();
                let read = match socket.read(space) {
                    Ok(read) => read,
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(error) if error.kind() == ErrorKind::WouldBlock && filled > 0 => {
                        *drained = true;
                        break;
                    }
                    Err(error) => return Err(error),
                };
                self.is_over = read == 0;
                let records = scratch.get_mut(..kept + read).unwrap_or_default();
                let place = into.get_mut(filled..).unwrap_or_default();
                let (taken, given) = self.take_in(records, place)?;
                filled += given;
                let rest = records.get(taken..).unwrap_or_default();
                if !rest.is_empty() || kept > 0 {
                    self.partial = rest.to_vec();
                }
                if !self.is_open {
                    self.send(socket)?;
                }
                if read < length && !self.is_over {
                    *drained = true;
                    break;
                }
            }
            match filled {
                0 if !self.is_over => Err(ErrorKind::WouldBlock.into()),
                filled => Ok(filled),
            }
        })
    }

    /// How much of the records was taken, and how much plaintext came of that.
    fn take_in(&mut self, records: &mut [u8], into: &mut [u8]) -> io::Result<(usize, usize)> {
        let (mut taken, mut filled) = (0, 0);
        loop {
            let rest = records.get_mut(taken..).unwrap_or_default();
            let UnbufferedStatus { discard, state } = self.side.step(rest);
            taken += discard;
            match state.map_err(broken)? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(broken)?;
                        taken += record.discard;
                        let end = filled + record.payload.len();
                        let place = into.get_mut(filled..end);
                        let place = place.ok_or_else(|| broken("more plaintext than records"))?;
                        place.copy_from_slice(record.payload);
                        filled = end;
                    }
                }
                ConnectionState::EncodeTlsData(data) => encode(data, &mut self.pending)?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.is_over = true,
                ConnectionState::WriteTraffic(_) => {
                    self.is_open = true;
                    return Ok((taken, filled));
                }
                _ => return Ok((taken, filled)),
            }
        }
    }

    /// Seals and sends. All of it counts as written: what the socket does not take waits here, and nothing is taken until that is sent.
    fn write(&mut self, socket: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
        if self.is_blocked {
            self.send(socket)?;
            if self.is_blocked {
                return Err(ErrorKind::WouldBlock.into());
            }
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let Some(sealed) = self.seal(bytes, scratch)? else {
                self.send(socket)?;
                return Err(ErrorKind::WouldBlock.into());
            };
            let sealed = scratch.get(..sealed).unwrap_or_default();
            if self.pending.is_empty() {
                let sent = write_some(socket, sealed)?;
                let rest = sealed.get(sent..).unwrap_or_default();
                self.pending.extend_from_slice(rest);
                self.is_blocked = !rest.is_empty();
            } else {
                self.pending.extend_from_slice(sealed);
                self.send(socket)?;
            }
            Ok(bytes.len())
        })
    }

    /// Seals into `scratch`, which grows as needed; the number of bytes, or none before the handshake is over.
    fn seal(&mut self, bytes: &[u8], scratch: &mut Vec<u8>) -> io::Result<Option<usize>> {
        loop {
            // With what is there of a record: rustls counts from its beginning.
            let UnbufferedStatus { discard, state } = self.side.step(&mut self.partial);
            let mut outcome = None;
            match state.map_err(broken)? {
                ConnectionState::WriteTraffic(mut traffic) => {
                    match traffic.encrypt(bytes, scratch) {
                        Ok(sealed) => outcome = Some(Some(sealed)),
                        Err(EncryptError::InsufficientSize(size)) => {
                            scratch.resize(size.required_size, 0);
                        }
                        Err(error) => return Err(broken(error)),
                    }
                }
                ConnectionState::EncodeTlsData(data) => encode(data, &mut self.pending)?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::BlockedHandshake => outcome = Some(None),
                _ => return Err(ErrorKind::NotConnected.into()),
            }
            self.partial.drain(..discard);
            if let Some(sealed) = outcome {
                return Ok(sealed);
            }
        }
    }

    /// Sends what waits, as far as the socket takes it.
    fn send(&mut self, socket: &mut TcpStream) -> io::Result<()> {
        let sent = write_some(socket, &self.pending)?;
        self.is_blocked = sent < self.pending.len();
        self.pending = self.pending.split_off(sent);
        Ok(())
    }
}

/// As much as the socket takes.
fn write_some(socket: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
        match socket.write(rest) {
            Ok(written) => sent += written,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

/// Appends what TLS itself has to say.
fn encode<D>(mut data: EncodeTlsData<'_, D>, pending: &mut Vec<u8>) -> io::Result<()> {
    let (begin, mut room) = (pending.len(), 0);
    loop {
        pending.resize(begin + room, 0);
        match data.encode(pending.get_mut(begin..).unwrap_or_default()) {
            Ok(_) => return Ok(()),
            Err(EncodeError::InsufficientSize(size)) => room = size.required_size,
            Err(error) => return Err(broken(error)),
        }
    }
}
