//! The fields of a head that belong to one connection and go no further (RFC 9110 section 7.6.1).

use hyper::HeaderMap;
use hyper::header::{
    CONNECTION, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};

/// Besides those that `Connection` names. `Trailer` stays: trailers are passed on.
const OF_CONNECTION: [HeaderName; 8] = [
    CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

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
    if headers.contains_key(CONNECTION) {
        let named =
            elements(headers, &CONNECTION).filter_map(|name| HeaderName::from_bytes(name).ok());
        let named: Vec<HeaderName> = named.collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in OF_CONNECTION {
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
