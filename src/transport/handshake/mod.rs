//! Strict checks of the opening handshake (RFC 6455 section 4.2.1) on a parsed request head.
//!
//! Not for paths, origins or identities: those are the server's and the auth module's. Called by
//! the server (floor 5) for each request on a WebSocket route. Pure, and generic over the body.
//! The rules go from the general to the particular, and the first one broken names the refusal:
//! method, HTTP version, bytes and repetition of the fields that we read, host, body, upgrade,
//! protocol version, key, extensions, sub-protocols.
//!
//! Extensions are declined: an offer that is well formed is ignored (section 9.1 lets us).

mod fields;
#[cfg(test)]
mod tests;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Version};

/// What a client offers; all of it may be ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Sub-protocols in the order of preference, each once.
    pub protocols: Vec<Box<str>>,
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
    /// Not HTTP/1.1.
    Http,
    /// A byte outside printable ASCII in a field that we read.
    Bytes,
    /// A field twice that may come once.
    Duplicate,
    /// No host, or not one.
    Host,
    /// A GET with a body.
    Body,
    /// Not an upgrade to `websocket`.
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
    pub const ALL: [Self; 11] = [
        Self::Method,
        Self::Http,
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
            Self::Http => "http",
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
pub struct Refusal {
    /// The rule, for counting.
    pub kind: RefusalKind,
    /// A body for the client: one line, nothing of the request in it.
    pub reason: &'static str,
}

impl Refusal {
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
const SINGLE: [HeaderName; 5] = [
    header::HOST,
    header::ORIGIN,
    header::AUTHORIZATION,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
];

/// Checks a request head.
///
/// # Errors
///
/// The first rule that it breaks.
pub fn check<B>(request: &Request<B>) -> Result<Offer, Refusal> {
    if request.method() != Method::GET {
        return Err(Refusal::new(RefusalKind::Method, "use GET"));
    }
    if request.version() != Version::HTTP_11 {
        return Err(Refusal::new(RefusalKind::Http, "use HTTP/1.1"));
    }
    let headers = request.headers();
    check_bytes(headers)?;
    check_single(headers)?;
    check_host(headers)?;
    check_body(headers)?;
    check_upgrade(headers)?;
    check_version(headers)?;
    check_key(headers)?;
    check_extensions(headers)?;
    Ok(Offer {
        protocols: parse_protocols(headers)?,
    })
}

/// The 101 answer to a request that [`check`] accepts. The connection's owner takes the socket
/// back with `without_shutdown` once hyper has written the answer, so nothing waits for the upgrade.
///
/// # Errors
///
/// Those of [`check`] for version and key.
pub fn accept<B>(request: &mut Request<B>) -> Result<Response<Empty<Bytes>>, Refusal> {
    check_version(request.headers())?;
    check_key(request.headers())?;
    match fastwebsockets::upgrade::upgrade(request) {
        Ok((response, _upgraded)) => Ok(response),
        Err(_) => Err(BAD_KEY),
    }
}

const BAD_KEY: Refusal = Refusal::new(
    RefusalKind::Key,
    "Sec-WebSocket-Key must be 16 bytes in base64",
);

/// Do we read this field? Then its bytes must be harmless wherever they end up.
fn is_read(name: &HeaderName) -> bool {
    *name == header::HOST
        || *name == header::ORIGIN
        || *name == header::CONNECTION
        || *name == header::UPGRADE
        || *name == header::AUTHORIZATION
        || *name == header::COOKIE
        || name.as_str().starts_with("sec-websocket-")
}

fn check_bytes(headers: &HeaderMap) -> Result<(), Refusal> {
    let harmless = |value: &HeaderValue| {
        let mut bytes = value.as_bytes().iter();
        bytes.all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
    };
    for (name, value) in headers {
        if is_read(name) && !harmless(value) {
            let reason = "header with a byte outside printable ASCII";
            return Err(Refusal::new(RefusalKind::Bytes, reason));
        }
    }
    Ok(())
}

fn check_single(headers: &HeaderMap) -> Result<(), Refusal> {
    for name in &SINGLE {
        if headers.get_all(name).iter().nth(1).is_some() {
            let reason = "header repeated that may come once";
            return Err(Refusal::new(RefusalKind::Duplicate, reason));
        }
    }
    Ok(())
}

fn check_host(headers: &HeaderMap) -> Result<(), Refusal> {
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
    if host.is_some_and(fields::is_host) {
        return Ok(());
    }
    Err(Refusal::new(RefusalKind::Host, "Host missing or malformed"))
}

fn check_body(headers: &HeaderMap) -> Result<(), Refusal> {
    let lengths = headers.get_all(header::CONTENT_LENGTH);
    let empty = lengths.iter().all(|length| length.as_bytes() == b"0");
    if empty && !headers.contains_key(header::TRANSFER_ENCODING) {
        return Ok(());
    }
    Err(Refusal::new(
        RefusalKind::Body,
        "a handshake must not have a body",
    ))
}

fn check_upgrade(headers: &HeaderMap) -> Result<(), Refusal> {
    let lists = |name: HeaderName, token: &[u8]| {
        let mut values = headers.get_all(name).iter();
        values.any(|value| {
            fields::elements(value.as_bytes()).any(|element| element.eq_ignore_ascii_case(token))
        })
    };
    if lists(header::UPGRADE, b"websocket") && lists(header::CONNECTION, b"upgrade") {
        return Ok(());
    }
    Err(Refusal::new(
        RefusalKind::Upgrade,
        "this address speaks WebSocket: send Upgrade: websocket and Connection: Upgrade",
    ))
}

fn check_version(headers: &HeaderMap) -> Result<(), Refusal> {
    match headers.get(header::SEC_WEBSOCKET_VERSION) {
        Some(version) if version.as_bytes() == b"13" => Ok(()),
        _ => Err(Refusal::new(
            RefusalKind::Version,
            "Sec-WebSocket-Version must be 13",
        )),
    }
}

fn check_key(headers: &HeaderMap) -> Result<(), Refusal> {
    match headers.get(header::SEC_WEBSOCKET_KEY) {
        Some(key) if fields::is_key(key.as_bytes()) => Ok(()),
        _ => Err(BAD_KEY),
    }
}

fn check_extensions(headers: &HeaderMap) -> Result<(), Refusal> {
    let malformed = Refusal::new(
        RefusalKind::Extensions,
        "Sec-WebSocket-Extensions is malformed",
    );
    let values = headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS);
    let mut offered = false;
    for offer in values.iter().flat_map(|v| fields::elements(v.as_bytes())) {
        if !fields::is_extension(offer) {
            return Err(malformed);
        }
        offered = true;
    }
    if !offered && values.iter().next().is_some() {
        return Err(malformed);
    }
    Ok(())
}

fn parse_protocols(headers: &HeaderMap) -> Result<Vec<Box<str>>, Refusal> {
    let malformed = Refusal::new(
        RefusalKind::Protocols,
        "Sec-WebSocket-Protocol is malformed",
    );
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let mut protocols: Vec<Box<str>> = Vec::new();
    for offer in values.iter().flat_map(|v| fields::elements(v.as_bytes())) {
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
    if protocols.is_empty() && values.iter().next().is_some() {
        return Err(malformed);
    }
    Ok(protocols)
}

/// Most sub-protocols in one offer: the search for a repeated one is quadratic.
const PROTOCOLS_MAX: usize = 64;
