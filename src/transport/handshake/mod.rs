//! Strict checks of the opening handshake (RFC 6455 section 4.2.1) on a parsed request head.
//!
//! Not for paths, origins or identities: those are the server's and the auth module's. Called by
//! the server (floor 6) for each request on a WebSocket route. Pure: a [`RequestHead`] in, an [`Offer`] out.
//! The rules go from the general to the particular, and the first one broken names the refusal:
//! method, bytes and repetition of the fields that we read, host, body, upgrade,
//! protocol version, key, extensions, sub-protocols. What nobody reads is nobody's business: a field
//! that is not named here may hold whatever HTTP lets it.
//!
//! Extensions are declined: an offer that is well formed is ignored (section 9.1 lets us).

#[cfg(test)]
#[path = "../../../tests/cases/handshakes.rs"]
pub(crate) mod cases;
mod fields;
mod head;
#[cfg(test)]
mod tests;

pub use head::RequestHead;

use crate::http::Host;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use sha1::{Digest, Sha1};

/// What a client that keeps the rules offers, and what its answer needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Sub-protocols in the order of preference, each once; all may be ignored.
    pub protocols: Vec<Box<str>>,
    /// The one of these that is answered; none unless who reads the offer says so.
    pub answered: Option<&'static str>,
    /// 16 bytes in base64, as they were sent.
    key: [u8; 24],
}

impl Offer {
    /// Is this sub-protocol offered? Compared exactly (section 4.1).
    #[must_use]
    pub fn names(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|offered| **offered == *protocol)
    }
}

/// The rule that a handshake broke, as a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// Not a GET.
    Method,
    /// A byte outside printable ASCII in a field that we read.
    Bytes,
    /// A field twice that may come once.
    Duplicate,
    /// No host, or not one.
    Host,
    /// A GET with a body.
    Body,
    /// Not an upgrade to `websocket`, or one in HTTP/1.0, where it is to be ignored.
    Upgrade,
    /// Another protocol version than 13.
    Version,
    /// No key, or not 16 bytes in base64.
    Key,
    /// An offer of extensions that is not well formed.
    Extensions,
    /// An offer of sub-protocols that is not well formed.
    Protocols,
}

impl RefusalKind {
    /// Every kind, for a table of counters.
    pub const ALL: [Self; 10] = [
        Self::Method,
        Self::Bytes,
        Self::Duplicate,
        Self::Host,
        Self::Body,
        Self::Upgrade,
        Self::Version,
        Self::Key,
        Self::Extensions,
        Self::Protocols,
    ];

    /// The metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Bytes => "bytes",
            Self::Duplicate => "duplicate",
            Self::Host => "host",
            Self::Body => "body",
            Self::Upgrade => "upgrade",
            Self::Version => "version",
            Self::Key => "key",
            Self::Extensions => "extensions",
            Self::Protocols => "protocols",
        }
    }
}

/// Why a handshake is refused. The status and the header follow from the kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct HandshakeRefusal {
    /// The rule, for counting.
    pub kind: RefusalKind,
    /// A body for the client: one line, nothing of the request in it.
    pub reason: &'static str,
}

impl HandshakeRefusal {
    const fn new(kind: RefusalKind, reason: &'static str) -> Self {
        Self { kind, reason }
    }

    /// 405, 426 or 400.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self.kind {
            RefusalKind::Method => StatusCode::METHOD_NOT_ALLOWED,
            RefusalKind::Upgrade | RefusalKind::Version => StatusCode::UPGRADE_REQUIRED,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The header that tells the client what would be accepted.
    #[must_use]
    pub fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        let (name, value) = match self.kind {
            RefusalKind::Method => (header::ALLOW, "GET"),
            RefusalKind::Upgrade => (header::UPGRADE, "websocket"),
            RefusalKind::Version => (header::SEC_WEBSOCKET_VERSION, "13"),
            _ => return None,
        };
        Some((name, HeaderValue::from_static(value)))
    }
}

/// Fields that may come once. RFC 6455 section 4.2.1 and RFC 9110 section 5.3.
const SINGLE: [&str; 4] = [
    "host",
    "origin",
    "sec-websocket-key",
    "sec-websocket-version",
];

/// Checks a request head.
///
/// # Errors
///
/// The first rule that it breaks.
pub fn check(head: &RequestHead<'_>) -> Result<Offer, HandshakeRefusal> {
    if head.method != "GET" {
        return Err(HandshakeRefusal::new(RefusalKind::Method, "use GET"));
    }
    check_bytes(head)?;
    check_single(head)?;
    check_host(head)?;
    check_body(head)?;
    check_upgrade(head)?;
    check_version(head)?;
    let key = parse_key(head)?;
    check_extensions(head)?;
    Ok(Offer {
        protocols: parse_protocols(head)?,
        answered: None,
        key,
    })
}

/// The 101 to what [`check`] has accepted, as it goes over the wire (RFC 6455 section 4.2.2): the same as
/// [`accept`] says by way of hyper, but for the date, which a 1xx need not have (RFC 9110 section 6.6.1).
#[must_use]
pub fn answer(offer: &Offer) -> Vec<u8> {
    const START: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
        upgrade: websocket\r\nsec-websocket-accept: ";
    let mut answer = Vec::with_capacity(START.len() + ACCEPT_BYTES + 4);
    answer.extend_from_slice(START);
    answer.extend_from_slice(&accept_key(&offer.key));
    if let Some(protocol) = offer.answered {
        answer.extend_from_slice(b"\r\nsec-websocket-protocol: ");
        answer.extend_from_slice(protocol.as_bytes());
    }
    answer.extend_from_slice(b"\r\n\r\n");
    answer
}

/// 20 bytes in base64.
const ACCEPT_BYTES: usize = 28;

/// What `Sec-WebSocket-Accept` says to a key (RFC 6455 section 4.2.2).
pub(crate) fn accept_key(key: &[u8]) -> [u8; ACCEPT_BYTES] {
    const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let hash = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut accept = [0; ACCEPT_BYTES];
    let written = STANDARD.encode_slice(hash, &mut accept);
    debug_assert_eq!(written, Ok(ACCEPT_BYTES));
    accept
}

/// The same for hyper. The connection's owner takes the socket back with
/// `without_shutdown` once hyper has written the answer, so nothing waits for the upgrade.
///
/// # Errors
///
/// Never for an offer that [`check`] made.
pub fn accept(offer: &Offer) -> Result<Response<Empty<Bytes>>, HandshakeRefusal> {
    let mut request = Request::new(());
    let key = HeaderValue::from_bytes(&offer.key).or(Err(BAD_KEY))?;
    let headers = request.headers_mut();
    headers.insert(header::SEC_WEBSOCKET_KEY, key);
    headers.insert(
        header::SEC_WEBSOCKET_VERSION,
        HeaderValue::from_static("13"),
    );
    match fastwebsockets::upgrade::upgrade(request) {
        Ok((mut response, _upgraded)) => {
            if let Some(protocol) = offer.answered {
                let protocol = HeaderValue::from_static(protocol);
                let headers = response.headers_mut();
                headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
            }
            Ok(response)
        }
        Err(_) => Err(BAD_KEY),
    }
}

const BAD_KEY: HandshakeRefusal = HandshakeRefusal::new(
    RefusalKind::Key,
    "Sec-WebSocket-Key must be 16 bytes in base64",
);

/// Do we read this field? Then its bytes must be harmless wherever they end up.
fn is_read(name: &str) -> bool {
    const READ: [&str; 8] = [
        "host",
        "origin",
        "connection",
        "upgrade",
        "sec-websocket-key",
        "sec-websocket-version",
        "sec-websocket-extensions",
        "sec-websocket-protocol",
    ];
    READ.iter().any(|read| name.eq_ignore_ascii_case(read))
}

fn check_bytes(head: &RequestHead<'_>) -> Result<(), HandshakeRefusal> {
    let harmless = |value: &[u8]| {
        let mut bytes = value.iter();
        bytes.all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
    };
    for (name, value) in &head.fields {
        if !harmless(value) && is_read(name) {
            let reason = "header with a byte outside printable ASCII";
            return Err(HandshakeRefusal::new(RefusalKind::Bytes, reason));
        }
    }
    Ok(())
}

fn check_single(head: &RequestHead<'_>) -> Result<(), HandshakeRefusal> {
    for name in SINGLE {
        if head.values(name).nth(1).is_some() {
            let reason = "header repeated that may come once";
            return Err(HandshakeRefusal::new(RefusalKind::Duplicate, reason));
        }
    }
    Ok(())
}

/// HTTP/1.0 needs no host (RFC 9112 section 3.2).
fn check_host(head: &RequestHead<'_>) -> Result<(), HandshakeRefusal> {
    let is_good = match head.value("host") {
        Some(host) => Host::parse(host).is_some(),
        None => !head.is_http_11,
    };
    if is_good {
        return Ok(());
    }
    Err(HandshakeRefusal::new(
        RefusalKind::Host,
        "Host missing or malformed",
    ))
}

fn check_body(head: &RequestHead<'_>) -> Result<(), HandshakeRefusal> {
    let empty = head.values("content-length").all(fields::is_zero);
    if empty && head.value("transfer-encoding").is_none() {
        return Ok(());
    }
    Err(HandshakeRefusal::new(
        RefusalKind::Body,
        "a handshake must not have a body",
    ))
}

fn check_upgrade(head: &RequestHead<'_>) -> Result<(), HandshakeRefusal> {
    let lists = |name, token: &[u8]| {
        head.values(name)
            .any(|value| fields::elements(value).any(|element| element.eq_ignore_ascii_case(token)))
    };
    // RFC 9110 section 7.8: in HTTP/1.0 the field is to be ignored.
    if head.is_http_11 && lists("upgrade", b"websocket") && lists("connection", b"upgrade") {
        return Ok(());
    }
    Err(HandshakeRefusal::new(
        RefusalKind::Upgrade,
        "this address speaks WebSocket: send Upgrade: websocket and Connection: Upgrade in HTTP/1.1",
    ))
}

fn check_version(head: &RequestHead<'_>) -> Result<(), HandshakeRefusal> {
    if head.value("sec-websocket-version") == Some(b"13") {
        return Ok(());
    }
    Err(HandshakeRefusal::new(
        RefusalKind::Version,
        "Sec-WebSocket-Version must be 13",
    ))
}

fn parse_key(head: &RequestHead<'_>) -> Result<[u8; 24], HandshakeRefusal> {
    let key = head.value("sec-websocket-key");
    let key = key.filter(|key| fields::is_key(key)).ok_or(BAD_KEY)?;
    key.try_into().or(Err(BAD_KEY))
}

fn check_extensions(head: &RequestHead<'_>) -> Result<(), HandshakeRefusal> {
    let malformed = HandshakeRefusal::new(
        RefusalKind::Extensions,
        "Sec-WebSocket-Extensions is malformed",
    );
    const NAME: &str = "sec-websocket-extensions";
    let mut offered = false;
    for offer in head.values(NAME).flat_map(fields::elements) {
        if !fields::is_extension(offer) {
            return Err(malformed);
        }
        offered = true;
    }
    if !offered && head.value(NAME).is_some() {
        return Err(malformed);
    }
    Ok(())
}

fn parse_protocols(head: &RequestHead<'_>) -> Result<Vec<Box<str>>, HandshakeRefusal> {
    const NAME: &str = "sec-websocket-protocol";
    let malformed = HandshakeRefusal::new(
        RefusalKind::Protocols,
        "Sec-WebSocket-Protocol is malformed",
    );
    let mut protocols: Vec<Box<str>> = Vec::new();
    for offer in head.values(NAME).flat_map(fields::elements) {
        let name = std::str::from_utf8(offer).ok();
        let name = name.filter(|_| fields::is_token(offer)).ok_or(malformed)?;
        // Section 4.1: the names must all be unique.
        if protocols.iter().any(|earlier| **earlier == *name) {
            return Err(malformed);
        }
        if protocols.len() == PROTOCOLS_MAX {
            return Err(malformed);
        }
        protocols.push(name.into());
    }
    if protocols.is_empty() && head.value(NAME).is_some() {
        return Err(malformed);
    }
    Ok(protocols)
}

/// Most sub-protocols in one offer: the search for a repeated one is quadratic.
const PROTOCOLS_MAX: usize = 64;
