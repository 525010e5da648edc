//! One HTTP/1.1 exchange over a plain socket: any bytes out, a parsed answer back.

use super::PATIENCE;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

/// An HTTP answer.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    /// Status code.
    pub(crate) status: u16,
    /// Header fields, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// Body, whole.
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The first header of this (lower-case) name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.text()))
    }

    /// The kind of an answer's problem document, which has to be one.
    #[track_caller]
    pub(crate) fn problem(&self) -> String {
        let text = self.text();
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{text}"
        );
        let document = self.json();
        assert_eq!(document["status"], self.status, "{text}");
        assert!(
            document["title"]
                .as_str()
                .is_some_and(|title| !title.is_empty()),
            "{text}"
        );
        let kind = document["type"]
            .as_str()
            .and_then(|kind| kind.strip_prefix("urn:supportal:problem:"));
        kind.unwrap_or_else(|| panic!("{text}")).to_owned()
    }
}

/// A connected socket with the test deadlines on it.
#[track_caller]
pub(crate) fn open(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)
        .unwrap_or_else(|error| panic!("connect to {address}: {error}"));
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("read timeout");
    stream
        .set_write_timeout(Some(PATIENCE))
        .expect("write timeout");
    stream.set_nodelay(true).expect("nodelay");
    stream
}

/// `GET path` with `Connection: close`.
#[track_caller]
pub(crate) fn get(address: SocketAddr, path: &str) -> Response {
    let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    exchange(address, head.as_bytes()).unwrap_or_else(|| panic!("{path}: closed without an answer"))
}

/// Sends `bytes` and reads one answer; `None` if the server closed without one.
#[track_caller]
pub(crate) fn exchange(address: SocketAddr, bytes: &[u8]) -> Option<Response> {
    let mut stream = open(address);
    // The server may answer and close before it has read everything; the answer still counts.
    let sent = stream.write_all(bytes);
    let response = read_response(&mut stream).map(|(response, _rest)| response);
    if response.is_none() {
        drop(sent);
    }
    drop(stream.shutdown(Shutdown::Both));
    response
}

/// Reads one answer; also returns bytes after it (WebSocket frames behind a 101).
#[track_caller]
pub(crate) fn read_response(stream: &mut impl Read) -> Option<(Response, Vec<u8>)> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = find(&bytes, b"\r\n\r\n") {
            break at + 4;
        }
        if !read_some(stream, &mut bytes) {
            return None;
        }
    };
    let mut rest = bytes.split_off(head_end);
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.get(9..12))
        .and_then(|code| code.parse().ok());
    let status = status.unwrap_or_else(|| panic!("not an HTTP answer: {head}"));
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut response = Response {
        status,
        headers,
        body: Vec::new(),
    };
    if status == 101 {
        return Some((response, rest));
    }
    let length = response
        .header("content-length")
        .and_then(|text| text.parse::<usize>().ok());
    while length.is_none_or(|length| rest.len() < length) && read_some(stream, &mut rest) {}
    response.body = match response.header("transfer-encoding") {
        Some("chunked") => dechunk(&rest),
        _ => rest,
    };
    Some((response, Vec::new()))
}

/// Appends what the socket has; false at its end.
#[track_caller]
fn read_some(stream: &mut impl Read, into: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 16 * 1024];
    match stream.read(&mut buffer) {
        Ok(0) => false,
        Ok(count) => {
            into.extend_from_slice(&buffer[..count]);
            true
        }
        Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
        Err(error) if error.kind() == ErrorKind::Interrupted => true,
        Err(error) => panic!("no answer within {PATIENCE:?}: {error}"),
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

fn dechunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(at) = find(bytes, b"\r\n") {
        let size = String::from_utf8_lossy(&bytes[..at]);
        let size = usize::from_str_radix(size.split(';').next().unwrap_or("0").trim(), 16);
        let size = size.unwrap_or(0);
        let start = at + 2;
        if size == 0 || bytes.len() < start + size {
            break;
        }
        body.extend_from_slice(&bytes[start..start + size]);
        bytes = bytes.get(start + size + 2..).unwrap_or_default();
    }
    body
}
