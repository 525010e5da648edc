//! The fields of a head that belong to one connection and go no further (RFC 9110 section 7.6.1).

use hyper::HeaderMap;
use hyper::header::{CONNECTION, CONTENT_LENGTH, HeaderName, TRANSFER_ENCODING};

/// Besides those that `Connection` names. `Trailer` stays: trailers are passed on.
fn is_of_connection(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "transfer-encoding"
            | "upgrade"
            | "keep-alive"
            | "proxy-connection"
    )
}

/// The elements of a field that is a list (RFC 9110 section 5.6.1), white space around them cut off.
pub(super) fn elements<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(name).iter();
    lines
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// Takes away what belongs to the connection that the head came by.
pub(super) fn strip(headers: &mut HeaderMap) {
    strip_with(headers, |_name| false);
}

/// The same, and every field whose name `is_unwanted`.
pub(super) fn strip_with(headers: &mut HeaderMap, is_unwanted: impl Fn(&str) -> bool) {
    if headers.contains_key(CONNECTION) {
        let named =
            elements(headers, &CONNECTION).filter_map(|name| HeaderName::from_bytes(name).ok());
        let named: Vec<HeaderName> = named.collect();
        for name in named {
            headers.remove(name);
        }
    }
    // A head has few fields, and hardly any of these: looking at each once costs less than looking each of these up.
    let is_unwanted = |name: &str| is_of_connection(name) || is_unwanted(name);
    let unwanted = headers.keys().filter(|name| is_unwanted(name.as_str()));
    for name in unwanted.cloned().collect::<Vec<_>>() {
        headers.remove(name);
    }
}

/// Does a body with this head end by a chunk of no bytes, not by its length or its connection? `None` if two readers
/// could find two ends: by a length and chunks, two lengths, or a coding besides `chunked` (RFC 9112 section 6.3).
pub(super) fn is_chunked(headers: &HeaderMap) -> Option<bool> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let coding = codings.next();
    let length = lengths.next();
    if codings.next().is_some() || lengths.next().is_some() {
        return None;
    }
    match (coding, length) {
        (None, None) => Some(false),
        (None, Some(length)) => {
            let digits = length.as_bytes();
            let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
            is_number.then_some(false)
        }
        (Some(coding), None) => coding
            .as_bytes()
            .eq_ignore_ascii_case(b"chunked")
            .then_some(true),
        (Some(_), Some(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn a_body_has_one_end() {
        let of = |lines: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                let name = HeaderName::from_static(name);
                headers.append(name, HeaderValue::from_static(value));
            }
            is_chunked(&headers)
        };
        let (length, coding) = ("content-length", "transfer-encoding");
        assert_eq!(of(&[]), Some(false));
        assert_eq!(of(&[(length, "5")]), Some(false));
        assert_eq!(of(&[(coding, "Chunked")]), Some(true));
        for ambiguous in [
            &[(length, "5"), (coding, "chunked")][..],
            &[(length, "5"), (length, "5")],
            &[(length, "5, 5")],
            &[(length, "+5")],
            &[(length, "")],
            &[(coding, "gzip, chunked")],
            &[(coding, "gzip")],
            &[(coding, "identity")],
            &[(coding, "chunked"), (coding, "chunked")],
        ] {
            assert_eq!(of(ambiguous), None, "{ambiguous:?}");
        }
    }

    #[test]
    fn what_belongs_to_the_connection_goes_no_further() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Secret,,te"),
            ("connection", "x-other , \u{7f}"),
            ("x-secret", "1"),
            ("x-secret", "2"),
            ("x-other", "3"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("proxy-authenticate", "Basic"),
            ("proxy-authorization", "Basic eDp5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("trailer", "x-sum"),
            ("content-length", "5"),
            ("authorization", "Bearer x"),
        ] {
            let name = HeaderName::from_static(name);
            let value = HeaderValue::from_bytes(value.replace('\u{7f}', "\u{e9}").as_bytes());
            headers.append(name, value.expect("a value"));
        }
        strip(&mut headers);
        let left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left.len(), 3, "{left:?}");
        for name in ["trailer", "content-length", "authorization"] {
            assert!(left.contains(&name), "{name}");
        }
    }
}
