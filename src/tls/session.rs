//! One connection's TLS: bytes of the network on one side, of the connection on the other.
//!
//! A session is lent what it reads from and writes to; nothing here waits. Of what has been read it keeps the beginning
//! of a record whose rest is still to come, and plaintext for which the caller had no room; of what has been encrypted, the
//! part that the kernel did not take. Each is freed when it is empty, so a connection that says nothing holds its keys
//! alone.
//!
//! **What a write has done.** A record is sealed whole, and what is sealed has to be sent. Where the kernel takes only a part of
//! a record, the rest is kept here, and the write is one byte short of what was sealed: the caller sees a socket that is
//! behind, and comes back with that byte. So the last byte of what is written is reported only when the kernel has all of it;
//! of several frames in that one record (16 KiB) those in front count as taken while the rest of the record still waits.

use super::open_session::{OpenSession, PARTIAL_MAX, broken, fetch};
use super::preamble::{MeasurePreamble, Preamble};
use super::scratch::{self, FRAGMENT_BYTES, Scratch};
use super::server::TlsServer;
use rustls::server::UnbufferedServerConnection;
use std::fmt;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::sync::Arc;

/// What an established session holds while nothing is said (measured: 3.4 to 3.6 KiB).
pub(crate) const SESSION_BYTES: usize = 4 * 1024;

/// What a session holds beside that at most: a partial record, plaintext not taken, ciphertext not taken.
pub(crate) const HELD_BYTES: usize = 18 * 1024 + PARTIAL_MAX + FRAGMENT_BYTES + 1024;

/// What a session holds at most while the handshake goes on: the partial message, and the answer with the chain.
pub(crate) const HANDSHAKE_BYTES: usize = SESSION_BYTES + PARTIAL_MAX + 32 * 1024;

/// Said to whoever speaks HTTP to a port of TLS.
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 38\r\n\r\nThis port speaks TLS: ask by https://\n";

/// The content type of a record with a message of the handshake (RFC 8446 section 5.1): the first byte of every client.
const HANDSHAKE_RECORD: u8 = 22;

/// The TLS of one connection.
pub struct TlsSession(State);

enum State {
    /// The client has said nothing yet: no keys, no memory.
    Silent(Arc<TlsServer>),
    /// Likewise, and a proxy has something to say in front of TLS.
    Announced(Box<Preamble>),
    /// Shaking hands, or established.
    Open(Box<OpenSession>),
    /// What the client said is no TLS.
    Refused,
    /// No TLS at all: a client of another way in than the port's.
    Plain,
}

impl fmt::Debug for TlsSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSession")
            .field("is_established", &self.is_established())
            .finish_non_exhaustive()
    }
}

impl TlsSession {
    /// The session of a connection that was just accepted.
    #[must_use]
    pub fn new(server: &Arc<TlsServer>) -> Self {
        Self(State::Silent(Arc::clone(server)))
    }

    /// The session of a connection that speaks no TLS, on a node whose others do: what is read and written goes through as it
    /// is.
    #[must_use]
    pub fn plain() -> Self {
        Self(State::Plain)
    }

    /// The same session, where a proxy says something in front of TLS: it is given as it is, in front of the first
    /// plaintext and together with it. Without effect once something has been read.
    #[must_use]
    pub fn behind_preamble(self, measure: MeasurePreamble) -> Self {
        match self.0 {
            State::Silent(server) => {
                Self(State::Announced(Box::new(Preamble::new(server, measure))))
            }
            state => Self(state),
        }
    }

    /// Is it one of [`TlsSession::plain`]?
    #[must_use]
    pub fn is_plain(&self) -> bool {
        matches!(self.0, State::Plain)
    }

    /// Is the handshake over?
    #[must_use]
    pub fn is_established(&self) -> bool {
        match &self.0 {
            State::Open(open) => open.account.is_none(),
            State::Plain => true,
            State::Silent(_) | State::Announced(_) | State::Refused => false,
        }
    }

    /// Does it hold plaintext, or the end, that was read and not given yet? Or was the last read ended before the network
    /// had nothing more?
    #[must_use]
    pub fn holds_unread(&self) -> bool {
        matches!(&self.0, State::Open(open) if open.is_ended || open.has_more || open.has_plain())
    }

    /// What stands in front of TLS, as far as it has come, until it is given with the first plaintext.
    #[must_use]
    pub fn preamble(&self) -> Option<&[u8]> {
        match &self.0 {
            State::Announced(announced) => Some(announced.said()),
            State::Open(open) => open.held_back(),
            State::Silent(_) | State::Refused | State::Plain => None,
        }
    }

    /// Bytes that the network brought beside the plaintext, since this was last asked: headers and tags of records, and
    /// records without plaintext. Those of the handshake are not among them.
    #[must_use]
    pub fn take_overhead(&mut self) -> u32 {
        match &mut self.0 {
            State::Open(open) => std::mem::take(&mut open.overhead),
            _ => 0,
        }
    }

    /// Bytes of the buffers that it holds.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        match &self.0 {
            State::Open(open) => {
                let buffers = [&open.partial, &open.plain.0, &open.pending.0];
                buffers.map(Vec::capacity).iter().sum()
            }
            _ => 0,
        }
    }

    /// Does it hold ciphertext that the network has not taken yet? What the network refused is not held.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        matches!(&self.0, State::Open(open) if !open.pending.0.is_empty())
    }

    /// Reads from the network until that has nothing more, `into` is full, or 128 KiB have been taken, shaking hands on the
    /// way.
    ///
    /// # Errors
    /// `WouldBlock` if there is no plaintext yet: the network has said so itself, unless [`TlsSession::holds_unread`].
    /// Anything else is the end of the connection: the network's own error, or `InvalidData` for what is no TLS or broken
    /// TLS; the client has been told as far as the network took it.
    pub fn read<N: Read + Write>(&mut self, network: &mut N, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        if self.is_plain() {
            return network.read(into);
        }
        scratch::lend(|scratch| match &mut self.0 {
            State::Silent(_) | State::Announced(_) => self.begin(scratch, network, into),
            State::Open(open) => {
                let filled = open.give(into);
                if filled == into.len() {
                    return Ok(filled);
                }
                let rest = into.get_mut(filled..).unwrap_or_default();
                match open.read(scratch, network, rest, false) {
                    Ok(count) => Ok(filled + count),
                    Err(error) if filled > 0 && error.kind() == ErrorKind::WouldBlock => Ok(filled),
                    Err(error) => Err(error),
                }
            }
            _ => Err(ErrorKind::InvalidData.into()),
        })
    }

    /// Reads what a client says first.
    fn begin<N: Read + Write>(
        &mut self,
        scratch: &mut Scratch,
        network: &mut N,
        into: &mut [u8],
    ) -> io::Result<usize> {
        let input = scratch.input.get_mut(..PARTIAL_MAX).unwrap_or_default();
        let (server, preamble, said, is_short) = loop {
            let count = fetch(network, input)?.ok_or(ErrorKind::WouldBlock)?;
            let is_short = count < input.len();
            let said = input.get(..count).unwrap_or_default();
            let (server, preamble, said) = match &mut self.0 {
                State::Silent(server) => (Arc::clone(server), Vec::new(), said.to_vec()),
                State::Announced(announced) => {
                    let server = Arc::clone(&announced.server);
                    match announced.take(said) {
                        Ok(Some([preamble, said])) => (server, preamble, said),
                        Ok(None) if count == 0 => (server, Vec::new(), Vec::new()),
                        // On to the end, which may have been announced with these bytes. A header is short.
                        Ok(None) => continue,
                        Err(error) => {
                            self.0 = State::Refused;
                            server.count_failure("proxy");
                            return Err(broken(error));
                        }
                    }
                }
                State::Open(_) | State::Refused | State::Plain => {
                    return Err(ErrorKind::InvalidData.into());
                }
            };
            break (server, preamble, said, is_short);
        };
        let Some(first) = said.first() else {
            server.count_failure("closed");
            self.0 = State::Refused;
            return Ok(0);
        };
        if *first != HANDSHAKE_RECORD {
            let refused = refuse(network, &server, *first);
            self.0 = State::Refused;
            return Err(refused);
        }
        let tls = UnbufferedServerConnection::new(server.current()).map_err(broken)?;
        let mut open = Box::new(OpenSession::new(tls, server));
        open.hold_back(preamble);
        open.partial = said;
        let read = open.read(scratch, network, into, is_short);
        self.0 = State::Open(open);
        read
    }

    /// Seals these bytes in records and writes them; see the module for what the count says. Some of several slices are
    /// gathered in one record.
    ///
    /// # Errors
    /// `WouldBlock` while what was sealed before still waits; `NotConnected` before the handshake is over and
    /// after it failed; and the network's own.
    pub fn write<N: Write>(
        &mut self,
        network: &mut N,
        slices: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        match &mut self.0 {
            State::Open(open) => scratch::lend(|scratch| open.write(scratch, network, slices)),
            State::Plain => network.write_vectored(slices),
            State::Silent(_) | State::Announced(_) | State::Refused => {
                Err(ErrorKind::NotConnected.into())
            }
        }
    }

    /// Writes ciphertext that waits; true once there is none.
    ///
    /// # Errors
    /// The network's.
    pub fn flush<N: Write>(&mut self, network: &mut N) -> io::Result<bool> {
        match &mut self.0 {
            State::Open(open) => open.flush(network),
            State::Silent(_) | State::Announced(_) | State::Refused | State::Plain => Ok(true),
        }
    }

    /// Tells the client that nothing more comes (`close_notify`), behind all that was written; true once the network has
    /// taken it, else [`TlsSession::flush`] goes on.
    ///
    /// # Errors
    /// The network's.
    pub fn say_end<N: Write>(&mut self, network: &mut N) -> io::Result<bool> {
        match &mut self.0 {
            State::Open(open) => {
                let mut notice = vec![0; 64];
                let sealed = open.with_traffic(|traffic| traffic.queue_close_notify(&mut notice));
                // Before the handshake is over there is nobody to tell.
                if let Ok(count) = sealed {
                    let notice = notice.get(..count).unwrap_or_default();
                    open.pending.0.extend_from_slice(notice);
                }
                open.flush(network)
            }
            State::Silent(_) | State::Announced(_) | State::Refused | State::Plain => Ok(true),
        }
    }
}

/// Refuses a client whose first byte begins no TLS.
fn refuse<N: Write>(network: &mut N, server: &TlsServer, first: u8) -> io::Error {
    let is_http = first.is_ascii_uppercase();
    if is_http {
        server.count_failure("plain_http");
        // The socket is new: it takes this, or the client is gone.
        drop(network.write(PLAIN_HTTP));
    } else {
        server.count_failure("not_tls");
    }
    ErrorKind::InvalidData.into()
}
