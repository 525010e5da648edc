//! Addresses of servers that are asked over HTTP.

use super::admin::is_loopback;
use std::net::Ipv6Addr;

/// What is wrong with an address, and the fix; `example` says how one is written, `instead` what to do without a user and a
/// password in it.
pub(super) fn url_fault(
    url: &str,
    example: &'static str,
    instead: &'static str,
) -> Option<(&'static str, &'static str)> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Some(("is not an address", example));
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if !matches!(scheme, "http" | "https") {
        Some(("is neither http nor https", example))
    } else if authority.contains('@') {
        Some(("has a user or a password in it", instead))
    } else if rest.contains('#') {
        Some(("has a fragment", "cut off the # and what follows it"))
    } else if !is_host_and_port(authority) || !rest.bytes().all(is_in_url) {
        Some(("is not an address", example))
    } else {
        None
    }
}

/// The characters of an address (RFC 3986 §2.2, §2.3).
fn is_in_url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&byte)
}

/// Can what is said to this address be read on its way: has it no TLS, and leads off this machine?
pub(super) fn is_open_to_readers(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else {
        return false;
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let (host, _) = split_port(authority);
    let literal = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let is_here = match literal.unwrap_or(host).parse() {
        Ok(address) => is_loopback(address),
        // RFC 6761 §6.3: these names are loopback's.
        Err(_no_address) => {
            let name = host.to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
    };
    !is_here
}

/// The host, and the port with its colon.
fn split_port(authority: &str) -> (&str, &str) {
    let end = authority.find(']').map_or(0, |bracket| bracket + 1);
    match authority.get(end..).and_then(|rest| rest.find(':')) {
        Some(colon) => authority.split_at(end + colon),
        None => (authority, ":0"),
    }
}

/// A name or an address, with or without a port.
pub(super) fn is_host_and_port(authority: &str) -> bool {
    let (host, port) = split_port(authority);
    let is_address = |literal: &str| literal.parse::<Ipv6Addr>().is_ok();
    let is_host = match host.strip_prefix('[') {
        Some(literal) => literal.strip_suffix(']').is_some_and(is_address),
        None => host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)),
    };
    !host.is_empty()
        && is_host
        && port
            .get(1..)
            .is_some_and(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_off_this_machine_without_tls_can_be_read() {
        for (url, expected) in [
            ("http://ollama:11434/v1", true),
            ("http://10.0.0.5/v1", true),
            ("http://[2001:db8::1]:80/", true),
            ("http://localhost.example.com/", true),
            ("http://127.0.0.1.example.com/", true),
            ("https://ollama/v1", false),
            ("http://127.0.0.1:11434/v1", false),
            ("http://127.8.9.10", false),
            ("http://[::1]:80/", false),
            ("http://[::ffff:127.0.0.1]/", false),
            ("http://LOCALHOST:1?a=b", false),
            ("http://a.localhost/", false),
        ] {
            assert_eq!(is_open_to_readers(url), expected, "{url}");
        }
    }
}
