//! A session from its first record on: records in, plaintext out, and the other way round.

use super::fragments::Fragments;
use super::scratch::{INPUT_BYTES, Scratch};
use super::server::{TlsServer, reason_of};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{Error as TlsError, PeerMisbehaved};
use std::fmt;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::mem::offset_of;
use std::sync::Arc;

/// Most bytes of a record or of a message of the handshake whose rest is still to come.
pub(super) const PARTIAL_MAX: usize = 32 * 1024;

/// Reads of the network in one read of a session: a client that always has a little more to say is not read for ever.
const READS_MAX: usize = 8;
/// Ciphertext that one read takes at most, give or take what is read at once: records may be nearly empty.
const READ_MAX: usize = 2 * INPUT_BYTES;

/// The content types of an alert, and of whatever TLS 1.3 seals.
const ALERT_RECORD: u8 = 21;
const SEALED_RECORD: u8 = 23;

/// A sealed alert of TLS 1.3: header, level and description, content type, tag. Nothing else is as short.
const SEALED_ALERT_BYTES: usize = 5 + 2 + 1 + 16;

/// A session that shakes hands or is established.
///
/// The order is that in memory: of a thousand sessions each has left the core's cache by the time of its next write, which
/// fetches one line of 64 bytes behind rustls' state and not two.
#[repr(C)]
pub(super) struct OpenSession {
    tls: UnbufferedServerConnection,
    /// The beginning of a record.
    pub(super) partial: Vec<u8>,
    /// Ciphertext that is still to be sent, and how much of it has been.
    pub(super) pending: (Vec<u8>, usize),
    /// Why the network takes nothing more: nothing is kept for it from then on.
    refusal: Option<ErrorKind>,
    /// The last byte that was sealed has not been reported as written yet.
    owes_byte: bool,
    /// What the client said was no good: nothing more is read or sealed.
    has_failed: bool,
    /// The client has ended its side.
    pub(super) is_ended: bool,
    /// The last read has taken its share, and the network may have more.
    pub(super) has_more: bool,
    /// Plaintext that the caller had no room for, and how much of it has been taken since.
    pub(super) plain: (Vec<u8>, usize),
    /// So much at the beginning of `plain` is given only with something behind it.
    held_back: usize,
    /// Where the handshake is counted, until it is over.
    pub(super) account: Option<Arc<TlsServer>>,
    /// Bytes of the network that were no plaintext, once established; see [`super::TlsSession::take_overhead`].
    pub(super) overhead: u32,
}

const _: () = assert!(
    offset_of!(OpenSession, plain) - offset_of!(OpenSession, partial) <= 64,
    "what a write looks at lies in one line of the cache"
);

pub(super) fn broken(error: impl fmt::Display) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error.to_string())
}

impl OpenSession {
    pub(super) fn new(tls: UnbufferedServerConnection, server: Arc<TlsServer>) -> Self {
        Self {
            tls,
            partial: Vec::new(),
            pending: (Vec::new(), 0),
            refusal: None,
            owes_byte: false,
            has_failed: false,
            is_ended: false,
            has_more: false,
            plain: (Vec::new(), 0),
            held_back: 0,
            account: Some(server),
            overhead: 0,
        }
    }

    pub(super) fn has_plain(&self) -> bool {
        self.plain.0.len() > self.held_back
    }

    /// Has this given in front of the first plaintext. At the beginning alone.
    pub(super) fn hold_back(&mut self, preamble: Vec<u8>) {
        self.held_back = preamble.len();
        self.plain = (preamble, 0);
    }

    /// What is to be given in front of the first plaintext.
    pub(super) fn held_back(&self) -> Option<&[u8]> {
        let held = self.plain.0.get(..self.held_back);
        held.filter(|held| !held.is_empty())
    }

    /// Gives what was decrypted before; how much.
    pub(super) fn give(&mut self, into: &mut [u8]) -> usize {
        if !self.has_plain() {
            return 0;
        }
        self.held_back = 0;
        let (held, given) = &mut self.plain;
        let count = copy(held.get(*given..).unwrap_or_default(), into);
        *given += count;
        if *given == held.len() {
            self.plain = (Vec::new(), 0);
        }
        count
    }

    /// Reads into a place that is not empty, while nothing that was decrypted before is left. `is_read`: what `partial`
    /// holds has just been read. `WouldBlock` is the network's own word, unless the read was cut short.
    pub(super) fn read<N: Read + Write>(
        &mut self,
        scratch: &mut Scratch,
        network: &mut N,
        into: &mut [u8],
        mut is_read: bool,
    ) -> io::Result<usize> {
        if self.has_failed {
            return Err(ErrorKind::InvalidData.into());
        }
        let (mut filled, mut reads, mut dealt_with) = (0, 0, 0);
        let input = &mut scratch.input;
        self.has_more = false;
        while filled < into.len() && !self.is_ended && !self.has_plain() {
            // Of records without any plaintext rustls takes a few.
            if dealt_with >= READ_MAX && filled > 0 {
                self.has_more = true;
                break;
            }
            let held = self.partial.len();
            if held >= PARTIAL_MAX && !is_read {
                return self.fail(network, "malformed", broken("a message is too long"));
            }
            copy(&self.partial, input);
            // No more than there is room for, so that little is held here; but a whole record.
            let most = PARTIAL_MAX.max(into.len() - filled).min(INPUT_BYTES);
            let space = input.get_mut(held..most).unwrap_or_default();
            let length = space.len();
            let count = if std::mem::take(&mut is_read) {
                0
            } else if reads == READS_MAX {
                self.has_more = true;
                break;
            } else {
                reads += 1;
                match fetch(network, space) {
                    Ok(Some(0)) => {
                        self.is_ended = true;
                        break;
                    }
                    Ok(Some(count)) => count,
                    Ok(None) => break,
                    Err(error) => return self.fail(network, "closed", error),
                }
            };
            let is_short = count < length;
            let input = input.get_mut(..held + count).unwrap_or_default();
            // Behind what is held back, not in front of it.
            let end = if self.held_back > 0 { 0 } else { into.len() };
            let place = into.get_mut(filled..end).unwrap_or_default();
            let waiting = self.plain.0.len();
            let (taken, given) = match self.take_in(input, place) {
                Ok(dealt_with) => dealt_with,
                Err(error) => return self.fail(network, reason_of(&error), broken(error)),
            };
            filled += given;
            dealt_with += taken;
            self.note_overhead(taken, given + self.plain.0.len() - waiting);
            self.partial = input.get(taken..).unwrap_or_default().to_vec();
            // A short read has emptied the socket but for the end, which may have been announced with these bytes and will
            // not be again: a caller that is given plaintext knows whether to look for it, one that is given none cannot.
            if is_short && (filled > 0 || self.has_plain()) {
                break;
            }
        }
        self.note_progress();
        self.send_own(network)?;
        if filled == 0 {
            filled = self.give(into);
        }
        match filled {
            0 if self.is_ended => Ok(0),
            0 => Err(ErrorKind::WouldBlock.into()),
            filled => Ok(filled),
        }
    }

    /// Sends what TLS has to say for itself. Whoever takes nothing more is still heard, and the next write says so; but
    /// shakes no hands.
    fn send_own<N: Write>(&mut self, network: &mut N) -> io::Result<()> {
        if let Err(refused) = self.flush(network)
            && let Some(server) = self.account.take()
        {
            self.has_failed = true;
            server.count_failure("closed");
            return Err(refused);
        }
        Ok(())
    }

    /// Counts what was beside this plaintext in what was taken.
    fn note_overhead(&mut self, taken: usize, plain: usize) {
        if self.account.is_none() {
            let bytes = u32::try_from(taken.saturating_sub(plain)).unwrap_or(u32::MAX);
            self.overhead = self.overhead.saturating_add(bytes);
        }
    }

    /// Counts a handshake that is over.
    fn note_progress(&mut self) {
        let is_over = !self.tls.is_handshaking();
        if let Some(server) = self.account.take_if(|_| is_over || self.is_ended) {
            if is_over {
                server.count_success(self.tls.handshake_kind());
            } else {
                server.count_failure("closed");
            }
        }
    }

    /// The end of a connection by what the client said: the alert is sent if the network takes it.
    fn fail<N: Write>(
        &mut self,
        network: &mut N,
        reason: &'static str,
        error: io::Error,
    ) -> io::Result<usize> {
        self.has_failed = true;
        if let Some(server) = self.account.take() {
            server.count_failure(reason);
        }
        drop(self.flush(network));
        Err(error)
    }

    /// Lets TLS take in records: how much of `input` is dealt with, and how much plaintext went into `into`; the rest of
    /// that is held. What TLS has to say for itself is put in line.
    fn take_in(
        &mut self,
        input: &mut [u8],
        into: &mut [u8],
    ) -> Result<(usize, usize), Box<TlsError>> {
        let (mut taken, mut filled) = (0, 0);
        loop {
            let rest = input.get_mut(taken..).unwrap_or_default();
            let UnbufferedStatus { discard, state } = self.tls.process_tls_records(rest);
            taken += discard;
            let state = match state {
                Ok(state) => state,
                Err(error) => {
                    self.take_alert(input.get_mut(taken..).unwrap_or_default())?;
                    return Err(error.into());
                }
            };
            match state {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        taken += record.discard;
                        let place = into.get_mut(filled..).unwrap_or_default();
                        let count = copy(record.payload, place);
                        filled += count;
                        let later = record.payload.get(count..).unwrap_or_default();
                        self.plain.0.extend_from_slice(later);
                    }
                }
                ConnectionState::EncodeTlsData(data) => {
                    let begin = self.pending.0.len();
                    encode(data, &mut self.pending.0)?;
                    // The one alert without an error: `no_renegotiation` (RFC 5246 section 7.2.2), after which rustls
                    // would go on. No client of ours asks for that.
                    if self.pending.0.get(begin) == Some(&ALERT_RECORD) {
                        let misbehaved = PeerMisbehaved::TooManyRenegotiationRequests;
                        return Err(TlsError::from(misbehaved).into());
                    }
                }
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.is_ended = true,
                ConnectionState::ReadEarlyData(_) => {
                    return Err(TlsError::General("early data, which is off".to_owned()).into());
                }
                // Ready to write, waiting for the client, or over.
                _ => return Ok((taken, filled)),
            }
        }
    }

    /// After an error: puts in line what was to be said before it, up to the alert. Not further: rustls would look at the
    /// record at fault once more, which it takes for a mistake of ours.
    fn take_alert(&mut self, input: &mut [u8]) -> Result<(), Box<TlsError>> {
        let mut is_alert = false;
        while !is_alert
            && let Ok(ConnectionState::EncodeTlsData(data)) =
                self.tls.process_tls_records(input).state
        {
            let begin = self.pending.0.len();
            encode(data, &mut self.pending.0)?;
            is_alert = match self.pending.0.get(begin..) {
                Some([ALERT_RECORD, ..]) => true,
                Some(record @ [SEALED_RECORD, ..]) => record.len() == SEALED_ALERT_BYTES,
                _ => false,
            };
        }
        Ok(())
    }

    /// Has something sealed.
    pub(super) fn with_traffic(
        &mut self,
        mut seal: impl FnMut(&mut WriteTraffic<'_, ServerConnectionData>) -> Result<usize, EncryptError>,
    ) -> Result<usize, EncryptError> {
        if self.has_failed {
            return Err(EncryptError::EncryptExhausted);
        }
        loop {
            // With what is held of a record: rustls counts from its beginning.
            let UnbufferedStatus { discard, state } =
                self.tls.process_tls_records(&mut self.partial);
            let outcome = match state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => Some(seal(&mut traffic)),
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.pending.0)
                    .is_err()
                    .then_some(Err(EncryptError::EncryptExhausted)),
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    None
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.is_ended = true;
                    None
                }
                _ => Some(Err(EncryptError::EncryptExhausted)),
            };
            if discard > 0 {
                self.partial.drain(..discard);
            }
            if let Some(outcome) = outcome {
                return outcome;
            }
        }
    }

    /// Writes what waits; true once nothing does. After an error nothing waits any more, and each later call gives that error
    /// again.
    pub(super) fn flush<N: Write>(&mut self, network: &mut N) -> io::Result<bool> {
        let (bytes, sent) = &self.pending;
        // Nearly always; to store nothing then leaves this line of the cache clean.
        if bytes.is_empty() {
            return self.refusal.map_or(Ok(true), |kind| Err(kind.into()));
        }
        let rest = bytes.get(*sent..).unwrap_or_default();
        let outcome = put(&mut self.refusal, network, rest);
        if let Ok(count) = outcome
            && count < rest.len()
        {
            self.pending.1 += count;
            return Ok(false);
        }
        self.pending = (Vec::new(), 0);
        outcome.map(|_| true)
    }

    pub(super) fn write<N: Write>(
        &mut self,
        scratch: &mut Scratch,
        network: &mut N,
        slices: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        if !self.flush(network)? {
            return Err(ErrorKind::WouldBlock.into());
        }
        let Scratch { plain, output, .. } = scratch;
        let mut offered = Fragments::new(slices);
        let mut written = 0;
        if std::mem::take(&mut self.owes_byte) {
            written = offered.skip(1);
        }
        while let Some(fragment) = offered.next(plain) {
            let length = fragment.len();
            let sealed = loop {
                match self.with_traffic(|traffic| traffic.encrypt(fragment, output)) {
                    Ok(count) => break count,
                    Err(EncryptError::InsufficientSize(size)) => {
                        output.resize(size.required_size, 0);
                    }
                    Err(EncryptError::EncryptExhausted) => {
                        return Err(ErrorKind::NotConnected.into());
                    }
                }
            };
            written += length;
            let record = output.get(..sealed).unwrap_or_default();
            if !self.send(network, record)? {
                // A lone byte cannot be owed: nothing would be left to report.
                self.owes_byte = written > 1;
                return Ok(written - usize::from(self.owes_byte));
            }
        }
        Ok(written)
    }

    /// Sends a record, behind what waits; false if a part of it has to wait.
    fn send<N: Write>(&mut self, network: &mut N, record: &[u8]) -> io::Result<bool> {
        if !self.pending.0.is_empty() {
            self.pending.0.extend_from_slice(record);
            return self.flush(network);
        }
        let sent = put(&mut self.refusal, network, record)?;
        let rest = record.get(sent..).unwrap_or_default();
        self.pending.0.extend_from_slice(rest);
        Ok(rest.is_empty())
    }
}

/// Reads once; `None` if nothing is there.
pub(super) fn fetch<N: Read>(network: &mut N, into: &mut [u8]) -> io::Result<Option<usize>> {
    loop {
        match network.read(into) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            outcome => return outcome.map(Some),
        }
    }
}

/// Writes as much as the network takes now; how much. An error is noted in `refusal`, and is what every later call gives.
fn put<N: Write>(
    refusal: &mut Option<ErrorKind>,
    network: &mut N,
    bytes: &[u8],
) -> io::Result<usize> {
    if let Some(kind) = *refusal {
        return Err(kind.into());
    }
    let mut sent = 0;
    while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
        let error = match network.write(rest) {
            Ok(0) => ErrorKind::WriteZero.into(),
            Ok(count) => {
                sent += count;
                continue;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => error,
        };
        *refusal = Some(error.kind());
        return Err(error);
    }
    Ok(sent)
}

/// Copies as much as there is room for; how much.
fn copy(from: &[u8], to: &mut [u8]) -> usize {
    let count = from.len().min(to.len());
    let (to, _) = to.split_at_mut(count);
    let (from, _) = from.split_at(count);
    to.copy_from_slice(from);
    count
}

/// Puts what TLS has to say for itself in line.
fn encode<D>(mut data: EncodeTlsData<'_, D>, pending: &mut Vec<u8>) -> Result<(), Box<TlsError>> {
    let begin = pending.len();
    let size = match data.encode(&mut []) {
        Ok(_) => 0,
        Err(EncodeError::InsufficientSize(size)) => size.required_size,
        Err(EncodeError::AlreadyEncoded) => return Ok(()),
    };
    pending.resize(begin + size, 0);
    let place = pending.get_mut(begin..).unwrap_or_default();
    match data.encode(place) {
        Ok(_) | Err(EncodeError::AlreadyEncoded) => Ok(()),
        Err(error) => Err(TlsError::General(error.to_string()).into()),
    }
}
