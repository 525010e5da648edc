//! Who is behind a new socket: what a trusted proxy says in front of its first request, read from there.

use super::admission::Full;
use super::visitor::{Peer, Proxies};
use crate::http;
use crate::metrics::{Metrics, count};
use bytes::{Bytes, BytesMut};
use std::net::IpAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// The answer when `limits.handshakes` is reached, or a worker has ended: written without reading the request.
pub(super) const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n";

/// The answer to a PROXY header that is none.
const BAD_PROXY_LINE: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// Why nobody knows who is behind a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unmet {
    /// The peer went away first.
    Gone,
    /// What a trusted proxy began with is no PROXY header.
    Malformed,
    /// The header has not come in time.
    Late,
    /// Whoever the header names has enough places among the handshakes.
    Crowded,
}

impl Unmet {
    /// Counts why, and ends the socket; one that was not understood or is one too many is told.
    ///
    /// # Cancel safety
    /// Dropping it closes the connection.
    pub(super) async fn end(self, stream: impl AsyncRead + AsyncWrite + Unpin, metrics: &Metrics) {
        let reason = match self {
            // Nothing was asked.
            Self::Gone => return,
            Self::Malformed => "proxy",
            Self::Late => "timeout",
            Self::Crowded => "handshakes",
        };
        count(&metrics.handshakes_refused, "reason", reason);
        tracing::debug!(reason, "request refused");
        match self {
            Self::Malformed => http::linger_after(stream, BAD_PROXY_LINE).await,
            Self::Crowded => tell_busy(stream).await,
            Self::Gone | Self::Late => {}
        }
    }
}

/// Answers [`BUSY`] at once or not at all: the socket's place still counts as the proxy's, which has no cap, so whoever is
/// one too many must not stay in it.
async fn tell_busy(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    // What has come already, so that the close does not reset the connection before its answer.
    let mut unread = BytesMut::with_capacity(4096);
    drop(timeout(Duration::ZERO, stream.read_buf(&mut unread)).await);
    let told = async {
        stream.write_all(BUSY).await?;
        stream.shutdown().await
    };
    drop(timeout(Duration::ZERO, told).await);
}

impl Proxies {
    /// Who is behind this socket of `address`, which has begun with the bytes `read`; and what of them is no PROXY header.
    /// `is_tls`: we end its TLS. A header that is due has to come within `left`. `move_to` is told
    /// the client's address.
    ///
    /// # Errors
    /// [`Unmet`].
    ///
    /// # Cancel safety
    /// What has been read of the socket is lost.
    pub(super) async fn meet_at(
        &self,
        stream: &mut (impl AsyncRead + Unpin),
        read: Bytes,
        (address, is_tls): (IpAddr, bool),
        left: Duration,
        move_to: impl FnOnce(IpAddr) -> Result<(), Full>,
    ) -> Result<(Peer, Bytes), Unmet> {
        let mut read = BytesMut::from(read);
        let meeting = async {
            loop {
                let met = self.meet(address, is_tls, &read);
                // Of a header that is not believed is told, so the first bytes are waited for.
                let is_silent = read.is_empty() && self.is_line_unbelieved(address);
                if let Some((peer, length)) = met.or(Err(Unmet::Malformed))?
                    && !is_silent
                {
                    return Ok((peer, read.split_off(length).freeze()));
                }
                // Bounded: a header that is too long is malformed.
                let count = stream.read_buf(&mut read).await;
                if count.or(Err(Unmet::Gone))? == 0 {
                    return Err(Unmet::Gone);
                }
            }
        };
        let met = timeout(left, meeting).await;
        let (peer, read) = met.unwrap_or(Err(Unmet::Late))?;
        move_to(peer.address).or(Err(Unmet::Crowded))?;
        Ok((peer, read))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn who_is_one_too_many_is_told_and_stays_in_no_place() {
        let (stream, mut client) = tokio::io::duplex(1024);
        let begun = Instant::now();
        Unmet::Crowded.end(stream, &Metrics::new()).await;
        let waited = begun.elapsed();
        assert!(waited < Duration::from_millis(100), "{waited:?}");
        let mut said = Vec::new();
        client.read_to_end(&mut said).await.expect("the answer");
        assert_eq!(said, BUSY);
    }
}
