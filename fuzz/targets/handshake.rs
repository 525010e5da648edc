//! The checks of the opening handshake, on whatever bytes a request head can be made of.
//!
//! What is accepted must hold every rule of RFC 6455 section 4.2.1 as an independent reading has
//! them, and gets the 101 that it prescribes; what is refused gets a status that says why.
#![no_main]

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, Version};
use libfuzzer_sys::fuzz_target;
use sha1::{Digest, Sha1};
use supportal::internal::transport::handshake::{self, RequestHead, Offer, HandshakeRefusal, RefusalKind};

/// Base64 whose last digit may hold bits that belong to no byte.
const ANY_BITS: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// The request that hyper would hand over, or `None` if it would answer by itself.
fn request(head: &[u8]) -> Option<Request<()>> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut fields);
    if !parsed.parse(head).ok()?.is_complete() {
        return None;
    }
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(parsed.method?.as_bytes()).ok()?;
    *request.uri_mut() = parsed.path?.parse().ok()?;
    *request.version_mut() = match parsed.version? {
        0 => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    for field in parsed.headers {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        let value = HeaderValue::from_bytes(field.value).ok()?;
        request.headers_mut().append(name, value);
    }
    Some(request)
}

fn values<'a>(request: &'a Request<()>, name: &'static str) -> Vec<&'a [u8]> {
    let values = request.headers().get_all(name).iter();
    values.map(HeaderValue::as_bytes).collect()
}

fn lists(request: &Request<()>, name: &'static str, token: &str) -> bool {
    values(request, name).iter().any(|value| {
        let text = String::from_utf8_lossy(value).to_ascii_lowercase();
        let mut tokens = text.split(',');
        tokens.any(|element| element.trim_matches([' ', '\t']) == token)
    })
}

/// The rules that need no list of what a token may hold.
fn holds_the_rules(request: &Request<()>) -> bool {
    let key = values(request, "sec-websocket-key");
    let sixteen = |key: &[u8]| ANY_BITS.decode(key).is_ok_and(|bytes| bytes.len() == 16);
    let once = |name| values(request, name).len() == 1;
    let at_most_once = |name| values(request, name).len() <= 1;
    let read = |name: &HeaderName| {
        let names = [
            "host",
            "origin",
            "connection",
            "upgrade",
            "sec-websocket-key",
            "sec-websocket-version",
            "sec-websocket-extensions",
            "sec-websocket-protocol",
        ];
        names.contains(&name.as_str())
    };
    let plain = |value: &HeaderValue| value.to_str().is_ok();
    request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && once("host")
        && at_most_once("origin")
        && values(request, "transfer-encoding").is_empty()
        && values(request, "content-length")
            .iter()
            .all(|length| !length.is_empty() && length.iter().all(|digit| *digit == b'0'))
        && values(request, "sec-websocket-version") == [b"13"]
        && key.len() == 1
        && key.iter().all(|key| sixteen(key))
        && lists(request, "upgrade", "websocket")
        && lists(request, "connection", "upgrade")
        && request
            .headers()
            .iter()
            .all(|(name, value)| !read(name) || plain(value))
}

fn check_accepted(request: &Request<()>, offer: &Offer) {
    assert!(holds_the_rules(request), "accepted {request:?}");
    let offered = values(request, "sec-websocket-protocol").concat();
    assert!(offer.protocols.len() <= 64);
    for (place, protocol) in offer.protocols.iter().enumerate() {
        assert!(!protocol.is_empty() && !protocol.contains([',', ' ', '\t', '"']));
        assert!(
            !offer.protocols[..place].contains(protocol),
            "{protocol} twice"
        );
        assert!(
            offered
                .windows(protocol.len())
                .any(|part| part == protocol.as_bytes())
        );
        assert!(offer.names(protocol));
    }
    let mut hash = Sha1::new();
    hash.update(values(request, "sec-websocket-key").concat());
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let expected = STANDARD.encode(hash.finalize());
    let response = handshake::accept(offer).expect("check accepts it");
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(response.headers()["sec-websocket-accept"], expected);
    assert!(!response.headers().contains_key("sec-websocket-extensions"));
}

fn check_refused(request: &Request<()>, refusal: &HandshakeRefusal) {
    let named = refusal.header().map(|(name, _)| name.as_str().to_owned());
    let expected = match refusal.kind {
        RefusalKind::Method => (405, Some("allow")),
        RefusalKind::Upgrade => (426, Some("upgrade")),
        RefusalKind::Version => (426, Some("sec-websocket-version")),
        _ => (400, None),
    };
    assert_eq!((refusal.status().as_u16(), named.as_deref()), expected);
    let of_lists = [
        RefusalKind::Host,
        RefusalKind::Extensions,
        RefusalKind::Protocols,
    ];
    let good = holds_the_rules(request);
    assert!(
        !good || of_lists.contains(&refusal.kind),
        "{refusal:?} for {request:?}"
    );
}

fuzz_target!(|head: &[u8]| {
    let Some(request) = request(head) else {
        return;
    };
    match handshake::check(&RequestHead::of(&request)) {
        Ok(offer) => check_accepted(&request, &offer),
        Err(refusal) => check_refused(&request, &refusal),
    }
});
