//! Addresses of servers that are asked over HTTP.

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

/// A name or an address, with or without a port.
pub(super) fn is_host_and_port(authority: &str) -> bool {
    let end = authority.find(']').map_or(0, |bracket| bracket + 1);
    let (host, port) = match authority.get(end..).and_then(|rest| rest.find(':')) {
        Some(colon) => authority.split_at(end + colon),
        None => (authority, ":0"),
    };
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
