//! Reads the server's `GET /ledger`, which must account for every delivery.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// The admin listener answers at once or is not worth waiting for.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What the server says it did since it started.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Ledger {
    /// Messages taken in.
    pub(crate) accepted: u64,
    /// Deliveries those should give.
    pub(crate) expected: u64,
    pub(crate) delivered: u64,
    /// Deliveries dropped, by cause.
    pub(crate) dropped: BTreeMap<String, u64>,
    pub(crate) queued: u64,
    /// What the server cannot account for.
    pub(crate) unexplained: i64,
}

impl Ledger {
    /// Deliveries dropped for any cause.
    pub(crate) fn dropped_total(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// expected - delivered - dropped - queued, by our own sum.
    pub(crate) fn residue(&self) -> i64 {
        self.expected as i64
            - self.delivered as i64
            - self.dropped_total() as i64
            - self.queued as i64
    }
}

/// Reads the ledger from an admin address such as `http://127.0.0.1:9000`.
/// Errors: Text that says what went wrong.
pub(crate) fn fetch(admin: &str) -> Result<Ledger, String> {
    let body = get(admin, "/ledger").map_err(|error| format!("{admin}/ledger: {error}"))?;
    serde_json::from_str(&body).map_err(|error| format!("{admin}/ledger: {error}"))
}

/// Reads a path of an admin listener.
/// Errors: It is not there, or answers with another status than 200.
pub(crate) fn get(admin: &str, path: &str) -> std::io::Result<String> {
    let host = admin.trim_start_matches("http://").trim_end_matches('/');
    let other = |text: &str| std::io::Error::other(text.to_owned());
    let address = host
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| other("no address"))?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    // HTTP/1.0: no chunks, and the end of the stream is the end of the body.
    write!(
        stream,
        "GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.take(1 << 20).read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| other("no HTTP answer"))?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        Some(status) => Err(other(&format!("HTTP {status}"))),
        None => Err(other("no HTTP answer")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_residue_is_what_no_cause_explains() {
        let text = r#"{"accepted":5,"expected":50,"delivered":40,
            "dropped":{"capacity":3,"expired":2},"queued":4,"unexplained":1,"node":"a"}"#;
        let ledger: Ledger = serde_json::from_str(text).unwrap();
        assert_eq!(
            (ledger.residue(), ledger.unexplained, ledger.dropped_total()),
            (1, 1, 5)
        );
    }
}
