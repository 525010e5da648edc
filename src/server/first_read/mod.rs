//! What a client has said by the time it is accepted, read once, without waiting.
//!
//! Nearly every client of the chat sends its handshake at once, so this is where most of them are
//! answered: no task, no timer, no registration with the runtime, and none of hyper's buffers. Only what is
//! accepted is answered here. Everything else (half a head, the page, whatever is refused) goes to hyper with
//! the bytes read so far, as if they had not been read: the rules and the refusals are in one place.

use crate::transport::handshake::RequestHead;
use std::mem::MaybeUninit;

/// Most header fields that are looked at here; `limits.headers` may be lower. More go to hyper.
const FIELDS: usize = 64;

/// The request at the beginning of the bytes read.
pub(super) struct FirstRead<'a> {
    /// Path and query.
    pub(super) target: &'a str,
    pub(super) head: RequestHead<'a>,
    /// Bytes of the head.
    pub(super) length: usize,
}

/// Characters of a target that is compared as it is: all that a path of ours and a usual query have. Of others
/// hyper says what they mean.
fn is_usual(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/-._~%?=&+:,;@!$*'()".contains(&byte)
}

/// Parses a whole head with at most `fields_max` fields and a usual target. As hyper does: with the same crate, and
/// no leniency.
pub(super) fn parse(bytes: &[u8], fields_max: usize) -> Option<FirstRead<'_>> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
    let mut request = httparse::Request::new(&mut []);
    let parsed = request.parse_with_uninit_headers(bytes, &mut fields);
    let Ok(httparse::Status::Complete(length)) = parsed else {
        return None;
    };
    let target = request.path.filter(|path| path.starts_with('/'))?;
    if !target.bytes().all(is_usual) || request.headers.len() > fields_max {
        return None;
    }
    let fields = request.headers.iter();
    let head = RequestHead {
        method: request.method?,
        is_http_11: request.version == Some(1),
        fields: fields.map(|field| (field.name, field.value)).collect(),
    };
    Some(FirstRead {
        target,
        head,
        length,
    })
}

#[cfg(test)]
mod differential;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: &[u8] = b"GET /ws/chat/1/abc/?a=1 HTTP/1.1\r\nHost: example.com\r\n\
        Cookie: a=1\r\ncookie: b=2\r\nX-Empty:\r\n\r\n";

    #[test]
    fn a_whole_head_is_parsed_and_what_follows_it_is_left() {
        let bytes = [HEAD, b"\x81\x85rest"].concat();
        let first = parse(&bytes, FIELDS).expect("a whole head");
        assert_eq!(first.length, HEAD.len());
        assert_eq!(first.target, "/ws/chat/1/abc/?a=1");
        assert_eq!((first.head.method, first.head.is_http_11), ("GET", true));
        let cookies: Vec<_> = first.head.values("COOKIE").collect();
        assert_eq!(cookies, [b"a=1", b"b=2"]);
        assert_eq!(first.head.value("x-empty"), Some(&b""[..]));
        assert_eq!(first.head.fields.len(), 4);
    }

    #[test]
    fn whatever_is_not_usual_is_left_to_hyper() {
        let text = std::str::from_utf8(HEAD).expect("ASCII");
        for unusual in [
            text.replace("HTTP/1.1", "HTTP/2.0"),
            text.replace("Host:", "Ho st:"),
            text.replace("Host:", "Host :"),
            text.replace("a=1\r\n", "a=1\r\n folded\r\n"),
            text.replace("/ws", "*/ws"),
            text.replace("/ws", "http://example.com/ws"),
            text.replace("?a", "#a"),
            text.replace("?a", "?\u{e9}"),
            text.replace("a=1\r\n", "a=1\u{1}\r\n"),
        ] {
            assert!(parse(unusual.as_bytes(), FIELDS).is_none(), "{unusual:?}");
        }
        assert!(parse(HEAD, 4).is_some());
        assert!(parse(HEAD, 3).is_none(), "more fields than allowed");
        let many = text.replace("X-Empty:\r\n", &"x: y\r\n".repeat(FIELDS));
        assert!(parse(many.as_bytes(), usize::MAX).is_none());
    }

    proptest! {
        /// Any bytes, and any prefix of a head: an answer only for a whole one, and never a panic.
        #[test]
        fn no_bytes_are_too_strange(mut bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0..HEAD.len()) {
            drop(parse(&bytes, FIELDS));
            let mut prefix = HEAD.get(..cut).unwrap_or_default().to_vec();
            prop_assert!(parse(&prefix, FIELDS).is_none());
            prefix.append(&mut bytes);
            if let Some(first) = parse(&prefix, FIELDS) {
                prop_assert!(first.length <= prefix.len());
            }
        }
    }
}
