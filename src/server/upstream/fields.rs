//! The fields of a head that belong to one connection and go no further (RFC 9110 section 7.6.1).

use hyper::HeaderMap;
use hyper::header::{CONNECTION, HeaderName};

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

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

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
