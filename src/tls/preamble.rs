//! What a proxy says in front of TLS, in the clear: the header of the PROXY protocol.
//!
//! Whoever begins the session knows how to measure it. The session gives it on, unread, with the first plaintext, so whoever
//! reads the connection finds it where a connection without TLS has it.

use super::server::TlsServer;
use std::sync::Arc;

/// Measures what stands in front of TLS: its length, or `None` as long as its end has not come. Must refuse what is longer
/// than a header can be: nothing else bounds it.
pub type MeasurePreamble = fn(&[u8]) -> Result<Option<usize>, BadPreamble>;

/// What a connection begins with is not what has to stand in front of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what has to stand in front of TLS is missing or malformed")]
pub struct BadPreamble;

/// A connection that has not come to its TLS yet.
pub(super) struct Preamble {
    pub(super) server: Arc<TlsServer>,
    measure: MeasurePreamble,
    said: Vec<u8>,
}

impl Preamble {
    pub(super) fn new(server: Arc<TlsServer>, measure: MeasurePreamble) -> Self {
        Self {
            server,
            measure,
            said: Vec::new(),
        }
    }

    /// What has come of it so far.
    pub(super) fn said(&self) -> &[u8] {
        &self.said
    }

    /// Takes in what has been read: once the first byte of TLS is there, what stands in front of it, and all from that byte on.
    pub(super) fn take(&mut self, read: &[u8]) -> Result<Option<[Vec<u8>; 2]>, BadPreamble> {
        self.said.extend_from_slice(read);
        let Some(length) = (self.measure)(&self.said)? else {
            return Ok(None);
        };
        if self.said.len() <= length {
            return Ok(None);
        }
        let mut preamble = std::mem::take(&mut self.said);
        let rest = preamble.split_off(length);
        Ok(Some([preamble, rest]))
    }
}
