//! What a client has said by the time it is accepted, read once, without waiting.
//!
//! Nearly every client of the chat sends its handshake at once, so this is where most of them are
//! answered: no task, no timer, no registration with the runtime, and none of hyper's buffers. Only what is
//! accepted is answered here. Everything else (half a head, the page, whatever is refused) goes to hyper with
//! the bytes read so far, as if they had not been read: the rules and the refusals are in one place.

use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, Uri, Version};
use std::mem::MaybeUninit;

/// Most header fields that are looked at here; `limits.headers` may be lower. More go to hyper.
const FIELDS: usize = 64;

/// The request at the beginning of `bytes`, and its length, if it is a whole GET of HTTP/1.1 with at most
/// `fields_max` fields. Parsed as hyper does, with the same crate and no leniency.
pub(super) fn parse(bytes: &[u8], fields_max: usize) -> Option<(Request<()>, usize)> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
    let mut head = httparse::Request::new(&mut []);
    let parsed = head.parse_with_uninit_headers(bytes, &mut fields);
    let Ok(httparse::Status::Complete(length)) = parsed else {
        return None;
    };
    let is_usual = head.method == Some("GET") && head.version == Some(1);
    if !is_usual || head.headers.len() > fields_max {
        return None;
    }
    // The only copy; the fields share it.
    let kept = Bytes::copy_from_slice(bytes.get(..length)?);
    let share = |part: &[u8]| {
        let start = part.as_ptr() as usize - bytes.as_ptr() as usize;
        kept.slice(start..start + part.len())
    };
    let mut request = Request::new(());
    *request.method_mut() = Method::GET;
    *request.version_mut() = Version::HTTP_11;
    *request.uri_mut() = Uri::from_maybe_shared(share(head.path?.as_bytes())).ok()?;
    let mut headers = HeaderMap::with_capacity(head.headers.len());
    for field in head.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        let value = HeaderValue::from_maybe_shared(share(field.value)).ok()?;
        headers.append(name, value);
    }
    *request.headers_mut() = headers;
    Some((request, length))
}

/// An answer without a body, as it goes over the wire. Without a date, which a 1xx need not have
/// (RFC 9110 section 6.6.1).
pub(super) fn encode<B>(answer: &Response<B>) -> Vec<u8> {
    let status = answer.status();
    let mut head = Vec::with_capacity(192);
    head.extend_from_slice(b"HTTP/1.1 ");
    head.extend_from_slice(status.as_str().as_bytes());
    head.push(b' ');
    head.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    for (name, value) in answer.headers() {
        head.extend_from_slice(b"\r\n");
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
    }
    head.extend_from_slice(b"\r\n\r\n");
    head
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: &[u8] = b"GET /ws/chat/1/abc/?a=1 HTTP/1.1\r\nHost: example.com\r\n\
        Cookie: a=1\r\ncookie: b=2\r\nX-Empty:\r\n\r\n";

    #[test]
    fn a_whole_head_is_parsed_and_what_follows_it_is_left() {
        let bytes = [HEAD, b"\x81\x85rest"].concat();
        let (request, length) = parse(&bytes, FIELDS).expect("a whole head");
        assert_eq!(length, HEAD.len());
        assert_eq!(request.uri(), "/ws/chat/1/abc/?a=1");
        assert_eq!(request.version(), Version::HTTP_11);
        let cookies: Vec<_> = request.headers().get_all("cookie").iter().collect();
        assert_eq!(cookies, ["a=1", "b=2"]);
        assert_eq!(request.headers()["x-empty"], "");
        assert_eq!(request.headers().len(), 4);
    }

    #[test]
    fn whatever_is_not_usual_is_left_to_hyper() {
        let text = std::str::from_utf8(HEAD).expect("ASCII");
        for unusual in [
            text.replace("GET", "HEAD"),
            text.replace("HTTP/1.1", "HTTP/1.0"),
            text.replace("HTTP/1.1", "HTTP/2.0"),
            text.replace("Host:", "Ho st:"),
            text.replace("Host:", "Host :"),
            text.replace("a=1\r\n", "a=1\r\n folded\r\n"),
            text.replace("/ws", "*/ws"),
            text.replace("a=1\r\n", "a=\u{1}\r\n"),
        ] {
            assert!(parse(unusual.as_bytes(), FIELDS).is_none(), "{unusual:?}");
        }
        assert!(parse(HEAD, 4).is_some());
        assert!(parse(HEAD, 3).is_none(), "more fields than allowed");
        let many = text.replace("X-Empty:\r\n", &"x: y\r\n".repeat(FIELDS));
        assert!(parse(many.as_bytes(), usize::MAX).is_none());
    }

    #[test]
    fn an_answer_is_written_as_the_protocol_has_it() {
        let answer = Response::builder()
            .status(101)
            .header("Upgrade", "websocket")
            .body(())
            .expect("a response");
        let wire: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n";
        assert_eq!(encode(&answer), wire);
    }

    proptest! {
        /// Any bytes, and any prefix of a head: an answer only for a whole one, and never a panic.
        #[test]
        fn no_bytes_are_too_strange(mut bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0..HEAD.len()) {
            drop(parse(&bytes, FIELDS));
            let mut prefix = HEAD.get(..cut).unwrap_or_default().to_vec();
            prop_assert!(parse(&prefix, FIELDS).is_none());
            prefix.append(&mut bytes);
            if let Some((_, length)) = parse(&prefix, FIELDS) {
                prop_assert!(length <= prefix.len());
            }
        }
    }
}
