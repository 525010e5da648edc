//! The https address of what was asked for without TLS.

use crate::http::Host;
use hyper::header::HeaderValue;

/// Where to ask instead: the same path and query at `https_host`, or at the host of the request without its port, which is
/// not that of https. `None`: the request names no host, or no path. The host is in front of whatever was asked for, so
/// nothing in a target leads elsewhere.
pub(super) fn location(
    https_host: Option<&str>,
    host: Option<&str>,
    target: &str,
) -> Option<HeaderValue> {
    if !target.starts_with('/') {
        return None;
    }
    let host = match (https_host, Host::parse(host.unwrap_or_default().as_bytes())) {
        (Some(host), _) => host.to_owned(),
        (None, Some(Host::Name(name))) => name.to_owned(),
        (None, Some(Host::Address(std::net::IpAddr::V6(address)))) => format!("[{address}]"),
        (None, Some(Host::Address(address))) => address.to_string(),
        (None, None) => return None,
    };
    HeaderValue::try_from(format!("https://{host}{target}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_and_query_are_kept_and_the_host_is_the_request_s() {
        for (https_host, host, target, expected) in [
            (None, "a.example", "/", "https://a.example/"),
            (
                None,
                "a.example:80",
                "/x?y=1&z",
                "https://a.example/x?y=1&z",
            ),
            (
                None,
                "A.example:8080",
                "/chat/1/a/",
                "https://A.example/chat/1/a/",
            ),
            (None, "127.0.0.1:80", "/", "https://127.0.0.1/"),
            (None, "[0:0::1]:80", "/", "https://[::1]/"),
            (
                None,
                "a.example",
                "//evil.example/",
                "https://a.example//evil.example/",
            ),
            (
                None,
                "a.example",
                "/\\evil.example",
                "https://a.example/\\evil.example",
            ),
            (
                None,
                "a.example",
                "/@evil.example",
                "https://a.example/@evil.example",
            ),
            (
                None,
                "a.example",
                "/%0d%0aSet-Cookie:x",
                "https://a.example/%0d%0aSet-Cookie:x",
            ),
            (
                Some("b.example:8443"),
                "a.example",
                "/x",
                "https://b.example:8443/x",
            ),
            (Some("b.example"), "", "/", "https://b.example/"),
        ] {
            let location = location(https_host, Some(host), target);
            let location = location.as_ref().and_then(|value| value.to_str().ok());
            assert_eq!(location, Some(expected), "{host} {target}");
        }
    }

    #[test]
    fn a_host_or_a_target_that_is_none_leads_nowhere() {
        for host in [
            "",
            "a b",
            "a/b",
            "evil.example#a",
            "user@a",
            "a\\b",
            "a,b",
            "a:b",
            "[::1",
            "a\r\nb",
        ] {
            assert_eq!(location(None, Some(host), "/"), None, "{host:?}");
        }
        assert_eq!(location(None, None, "/"), None);
        for target in ["", "*", "a", "http://a/", "/\r\nx", "/\u{0}"] {
            assert_eq!(location(None, Some("a"), target), None, "{target:?}");
        }
    }
}
