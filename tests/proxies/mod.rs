//! Behind a proxy: who is believed about whom, which way in is secure, and which pages may ask.

mod bad;
mod claims;
mod cors;
mod django;
mod encrypted;
mod https;
mod lines;
mod places;
mod real;
mod sockets;

use crate::support::http;
use std::net::SocketAddr;

/// A handshake's head for `path` with these further lines, each with its line's end.
fn handshake(path: &str, lines: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: chat.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{lines}\r\n"
    )
}

/// A page's head.
fn page(path: &str, lines: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: chat.example\r\n{lines}\r\n")
}

/// The status of the answer to these bytes, which is the same whoever gives it: a worker, which answers handshakes at
/// once, or hyper, which is asked for all with a target that is not usual. 0: closed without one.
#[track_caller]
fn status(address: SocketAddr, bytes: &[u8]) -> u16 {
    let of = |bytes: &[u8]| http::exchange(address, bytes).map_or(0, |response| response.status);
    let status = of(bytes);
    let version = b" HTTP/1.1";
    let at = bytes
        .windows(version.len())
        .position(|window| window == version);
    if let Some((before, after)) = at.map(|at| bytes.split_at(at)) {
        let by_hyper = of(&[before, b"?|", after].concat());
        assert_eq!(status, by_hyper, "{}", bytes.escape_ascii());
    }
    status
}
