//! An origin or an entry taken apart, and the ports of schemes.

use std::net::Ipv6Addr;

/// Scheme, authority and the rest of an origin or an entry.
#[derive(Clone, Copy, Debug)]
pub struct OriginParts<'a> {
    /// In front of a colon; letters, digits, `+`, `-` and `.`, the first a letter (RFC 3986 section 3.1).
    pub scheme: Option<&'a str>,
    /// Between `//` and the path, query or fragment; without a scheme, all up to there.
    pub authority: Option<&'a str>,
    /// Path, query and fragment.
    pub rest: &'a str,
}

impl<'a> OriginParts<'a> {
    /// Takes a text apart; nothing in it is refused here.
    #[must_use]
    pub fn of(text: &'a str) -> Self {
        let is_scheme = |word: &str| {
            word.starts_with(|first: char| first.is_ascii_alphabetic())
                && word
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        };
        let (scheme, after) = match text.split_once(':') {
            Some((word, after)) if is_scheme(word) => (Some(word), after),
            _ => (None, text),
        };
        let Some(behind) = after
            .strip_prefix("//")
            .or((scheme.is_none()).then_some(after))
        else {
            return Self {
                scheme,
                authority: None,
                rest: after,
            };
        };
        let end = behind.find(['/', '?', '#']).unwrap_or(behind.len());
        let (authority, rest) = behind.split_at(end);
        Self {
            scheme,
            authority: Some(authority),
            rest,
        }
    }
}

/// Host (an IPv6 address without its brackets) and port; `None` if this is no `host[:port]`.
#[must_use]
pub fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(inside) => {
            let (address, after) = inside.split_once(']')?;
            address.parse::<Ipv6Addr>().ok()?;
            if !after.is_empty() && !after.starts_with(':') {
                return None;
            }
            (address, after.strip_prefix(':').unwrap_or_default())
        }
        None => authority.split_once(':').unwrap_or((authority, "")),
    };
    if port.is_empty() {
        return Some((host, None));
    }
    // `parse` alone takes "+80".
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|_| is_number)?;
    Some((host, Some(port)))
}

/// The port of a scheme where none is written; only web pages' schemes have one.
#[must_use]
pub fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}
