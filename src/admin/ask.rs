//! The operator's listener, asked by the command line.

use super::RELOAD;
use crate::config::Config;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Longest for the connection, and for the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Most of an answer that is read.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// Has the node with these settings read them again: its answer, and whether it has taken them. Blocks for at most twenty
/// seconds.
///
/// # Errors
/// Nobody answers at `admin.listen`, or not as a node does.
pub fn reload(config: &Config) -> io::Result<(bool, String)> {
    let address = reachable(config.admin.listen);
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let token = config
        .admin
        .token
        .as_ref()
        .map_or_else(String::new, |token| {
            format!("Authorization: Bearer {}\r\n", token.expose())
        });
    let request = format!(
        "POST {RELOAD} HTTP/1.1\r\nHost: {address}\r\n{token}Connection: close\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let read = stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer);
    read.map_err(|error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            io::Error::other(format!("no answer within {} s", PATIENCE.as_secs()))
        }
        _ => error,
    })?;
    let other = || io::Error::other("what answers there is no node");
    let (status, text) = parse(&answer).ok_or_else(other)?;
    Ok((status == "200", said(&status, text, config)))
}

/// What to tell whoever asked: of a token that is none, which key it is and where it comes from.
fn said(status: &str, text: String, config: &Config) -> String {
    if status != "401" {
        return text;
    }
    let fault = match config.admin.token {
        Some(_) => "takes another admin.token than this one",
        None => "asks for admin.token, which is not set here",
    };
    format!(
        "the node {fault}: give this command the node's own file and environment (SUPPORTAL_ADMIN__TOKEN)"
    )
}

/// Where a listener of this address is reached from its own machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, listen.port())
}

/// The status, and what was said.
fn parse(answer: &[u8]) -> Option<(String, String)> {
    let answer = String::from_utf8_lossy(answer);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?;
    Some((status.to_owned(), body.trim_end().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_its_status_and_its_body_and_nothing_else_is_one() {
        let good = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}\n";
        assert_eq!(parse(good), Some(("200".to_owned(), "{}".to_owned())));
        let bad = b"HTTP/1.1 409 Conflict\r\n\r\nno\n";
        assert_eq!(parse(bad), Some(("409".to_owned(), "no".to_owned())));
        for strange in ["", "HTTP/1.1", "HTTP/1.1 2\r\n\r\n", "SSH-2.0-x\r\n\r\n"] {
            assert_eq!(parse(strange.as_bytes()), None, "{strange}");
        }
    }

    #[test]
    fn a_listener_of_all_addresses_is_reached_at_loopback() {
        for (listen, expected) in [
            ("0.0.0.0:9000", "127.0.0.1:9000"),
            ("[::]:9000", "[::1]:9000"),
            ("10.0.0.1:9000", "10.0.0.1:9000"),
        ] {
            let listen = listen.parse().unwrap();
            assert_eq!(reachable(listen).to_string(), expected);
        }
    }
}
