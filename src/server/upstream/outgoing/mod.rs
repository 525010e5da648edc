//! The head of a request as the site gets it, or why it gets none.
//!
//! A head that another reader might read in another way is refused with 400: what we see in a request and what the site
//! sees must be the same (request smuggling, RFC 9112 section 11.2). What a client says about who it is or how it came
//! is taken away and said anew.

use super::super::refusal::RefusedRequest;
use super::super::visitor::Visitor;
use super::fault::malformed;
use super::fields::{elements, is_chunked, strip_with};
use crate::http::Host;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::http::uri::Scheme;
use hyper::{HeaderMap, Method, StatusCode, Uri, Version};
use std::net::IpAddr;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What a proxy says and a client must not: sites believe them.
fn is_said_by_proxies(name: &str) -> bool {
    matches!(
        name,
        "forwarded"
            | "x-forwarded-for"
            | "x-forwarded-host"
            | "x-forwarded-proto"
            | "x-forwarded-port"
            | "x-forwarded-prefix"
            | "x-forwarded-protocol"
            | "x-forwarded-scheme"
            | "x-forwarded-server"
            | "x-forwarded-ssl"
            | "x-scheme"
            | "front-end-https"
            | "x-client-ip"
            | "true-client-ip"
            | "x-original-url"
            | "x-rewrite-url"
            | "x-real-ip"
            // daphne takes the root of the site's addresses from it.
            | "daphne-root-path"
    )
}

/// Who asks, and how.
#[derive(Clone, Debug)]
pub(in crate::server) struct Provenance {
    /// The client's address.
    pub(in crate::server) client: IpAddr,
    /// Did it come by TLS?
    pub(in crate::server) is_https: bool,
    /// The host that the client has named.
    pub(in crate::server) host: Option<HeaderValue>,
}

impl Provenance {
    pub(in crate::server) fn of(visitor: &Visitor<'_>) -> Self {
        let host = visitor.host.as_deref();
        Self {
            client: visitor.client,
            is_https: visitor.is_https,
            host: host.and_then(|host| HeaderValue::from_str(host).ok()),
        }
    }
}

/// What kind of request it is, and how its body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestKind {
    /// An opening handshake of a WebSocket.
    pub(super) is_websocket: bool,
    /// By a chunk of no bytes, not by its length.
    pub(super) is_chunked: bool,
    /// The client waits for a 100 before it sends the body.
    pub(super) awaits_continue: bool,
}

/// Is this head an opening handshake of a WebSocket?
pub(super) fn is_websocket(method: &Method, version: Version, headers: &HeaderMap) -> bool {
    let is = |name: &HeaderName, word: &[u8]| {
        elements(headers, name).any(|element| element.eq_ignore_ascii_case(word))
    };
    *method == Method::GET
        && version == Version::HTTP_11
        && is(&CONNECTION, b"upgrade")
        && is(&UPGRADE, b"websocket")
}

/// Makes a client's head the head that the site gets; `site` is the host of a request that names none.
///
/// # Errors
/// 400 or 405: the site gets nothing.
pub(super) fn prepare(
    head: &mut Parts,
    provenance: Provenance,
    site: &HeaderValue,
) -> Result<RequestKind, RefusedRequest> {
    if matches!(head.method, Method::CONNECT | Method::TRACE) {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        return Err(RefusedRequest::new(status, "method", "method not allowed"));
    }
    let target = head.uri.path_and_query().cloned();
    let target = target.filter(|target| target.as_str().starts_with('/'));
    let target = target.ok_or(malformed("a request target begins with /"))?;
    check_host(head)?;
    let is_chunked = check_framing(&head.headers)?;
    let is_websocket = is_websocket(&head.method, head.version, &head.headers);
    let takes_trailers = elements(&head.headers, &TE).any(|coding| coding == b"trailers");
    let headers = &mut head.headers;
    // A site that knows its fields as CGI does reads `x_forwarded_for` and `x-forwarded-for` as one.
    strip_with(headers, |name| {
        is_said_by_proxies(name) || name.bytes().any(|byte| byte == b'_')
    });
    let host = match head.uri.authority() {
        Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
        None => headers.get(HOST).cloned(),
    };
    if let Some(host) = provenance.host {
        headers.insert(FORWARDED_HOST, host);
    }
    headers.insert(HOST, host.unwrap_or_else(|| site.clone()));
    if let Some(client) = address_value(provenance.client.to_canonical()) {
        headers.insert(FORWARDED_FOR, client);
    }
    let scheme = if provenance.is_https { "https" } else { "http" };
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme));
    let awaits_continue = headers
        .get(EXPECT)
        .is_some_and(|expected| expected.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if is_websocket {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.remove(SEC_WEBSOCKET_ACCEPT);
    } else if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("TE"));
    }
    if is_chunked {
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    head.uri = Uri::from(target);
    head.version = Version::HTTP_11;
    Ok(RequestKind {
        is_websocket,
        is_chunked,
        awaits_continue,
    })
}

/// An address as the value of a field. One of IPv4 is written here: the formatter takes ten times as long for it.
fn address_value(address: IpAddr) -> Option<HeaderValue> {
    let IpAddr::V4(address) = address else {
        return HeaderValue::try_from(address.to_string()).ok();
    };
    let mut text = Vec::with_capacity("255.255.255.255".len());
    for octet in address.octets() {
        if !text.is_empty() {
            text.push(b'.');
        }
        if octet >= 100 {
            text.push(b'0' + octet / 100);
        }
        if octet >= 10 {
            text.push(b'0' + octet / 10 % 10);
        }
        text.push(b'0' + octet % 10);
    }
    HeaderValue::try_from(text).ok()
}

/// One host, well formed, and that of an absolute target.
fn check_host(head: &Parts) -> Result<(), RefusedRequest> {
    let bad = || malformed("Host missing or malformed");
    let mut fields = head.headers.get_all(HOST).iter();
    match (fields.next(), fields.next()) {
        (Some(field), None) if Host::parse(field.as_bytes()).is_some() => {}
        (None, _) if head.version < Version::HTTP_11 => {}
        _ => return Err(bad()),
    }
    let (Some(authority), Some(scheme)) = (head.uri.authority(), head.uri.scheme()) else {
        return Ok(());
    };
    if *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS {
        return Err(malformed("a request target begins with / or http"));
    }
    if Host::parse(authority.as_str().as_bytes()).is_none() {
        return Err(bad());
    }
    if !Host::agrees(&head.uri, &head.headers) {
        return Err(malformed("Host differs from the request target's"));
    }
    Ok(())
}

/// One way to tell where the body ends, that no proxy before us may take away. True if it is chunks.
fn check_framing(headers: &HeaderMap) -> Result<bool, RefusedRequest> {
    const NEEDED: [HeaderName; 3] = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING];
    for name in elements(headers, &CONNECTION) {
        let is_needed = |needed: &HeaderName| name.eq_ignore_ascii_case(needed.as_ref());
        if NEEDED.iter().any(is_needed) {
            return Err(malformed(
                "Connection names a field that is not of one connection",
            ));
        }
    }
    is_chunked(headers).ok_or(malformed("the end of the body is ambiguous"))
}

#[cfg(test)]
mod tests;
