//! One entry of `origin.allowed`: what it means, and whether anything will ever match it.
//!
//! Entries are read as Channels' `OriginValidator` reads them (channels 4.3 `security/websocket.py` on Python's
//! `urlsplit`): a host without a scheme is that host on any scheme and port, a leading dot adds its subdomains, an
//! entry with a scheme asks for scheme, host and port. Where this differs, it is on purpose:
//!
//! - International names are compared as browsers send them, in punycode (UTS 46). Python compares them as written,
//!   and so never.
//! - An IPv6 address without brackets is that address; Python understands `::1` alone, and takes the beginning of
//!   others for a scheme or a host.
//! - What Python fails on at every request (port 99999, half a bracket) cannot be read: the server does not start.
//!   Nor does it with what no origin has (userinfo, spaces, no host): Python takes such entries for others, or for nothing.
//!
//! What can be read and never matches is kept, matches nothing, and is named in a warning.

use super::problem::Findings;
use super::setting::section;
use std::net::{Ipv4Addr, Ipv6Addr};

section! {
    /// Which web pages may connect.
    ["origin"] OriginSettings {
        /// Pages that may connect, as in Django's ALLOWED_HOSTS (`example.com`, `.example.com`, `*`) and Channels' OriginValidator (`https://example.com:8443`, `capacitor://localhost`); an empty list = no check.
        allowed: Vec<String> = Vec::new(), restart;
    }
}

/// What an entry asks of an origin; texts are in lower case, IPv6 addresses without brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// `*`: everything, a missing header included.
    Any,
    /// `example.com` or `.example.com`: on any scheme and port.
    Host(String),
    /// `https://example.com`: scheme, host and port as well.
    Origin {
        /// Without the colon.
        scheme: String,
        /// As in `Host`.
        host: String,
        /// The one written, or the scheme's own; `None` if neither is there.
        port: Option<u16>,
    },
}

/// What is wrong with an entry, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternFault {
    /// Follows the entry in a sentence.
    pub what: String,
    /// What to write.
    pub fix: String,
}

impl PatternFault {
    fn new(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            fix: fix.into(),
        }
    }

    fn never(fix: impl Into<String>) -> Self {
        Self::new("can never match", fix)
    }
}

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

impl Pattern {
    /// Reads an entry: its meaning, and a warning if nothing or less than meant will ever match it.
    ///
    /// # Errors
    /// The entry cannot be read: why, and what to write instead.
    pub fn read(entry: &str) -> Result<(Self, Option<PatternFault>), PatternFault> {
        if entry == "*" {
            return Ok((Self::Any, None));
        }
        refuse_what_no_origin_has(entry)?;
        let text = entry.to_lowercase();
        if text.parse::<Ipv6Addr>().is_ok() {
            let fix = format!("write an IPv6 address in brackets: \"[{text}]\"");
            return Ok((
                Self::Host(text),
                Some(PatternFault::new("has no brackets", fix)),
            ));
        }
        if let Some(host) = text.strip_prefix("//") {
            let authority = host.split(['/', '?', '#']).next().unwrap_or_default();
            let fault = PatternFault::never(format!("write \"{}\"", without_port(authority)));
            return Ok((Self::Host(text.clone()), Some(fault)));
        }
        let parts = OriginParts::of(&text);
        match (parts.scheme, parts.authority) {
            (Some(scheme), Some(authority)) => with_scheme(scheme, authority, parts.rest),
            (Some(scheme), None) => without_slashes(scheme, parts.rest),
            (None, _) => without_scheme(&parts),
        }
    }

    /// Does an origin match? Scheme and host in lower case; `port` is the scheme's own if none was written.
    #[must_use]
    pub fn matches(&self, scheme: &str, host: &str, port: Option<u16>) -> bool {
        match self {
            Self::Any => true,
            Self::Host(pattern) => is_same_domain(host, pattern),
            Self::Origin {
                scheme: wanted,
                host: pattern,
                port: at,
            } => wanted == scheme && *at == port && is_same_domain(host, pattern),
        }
    }
}

/// The host of an authority, for a suggestion.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, _)) if !authority.ends_with(']') => host,
        _ => authority,
    }
}

/// An entry as messages show it: a password in it is no part of a log.
#[must_use]
pub fn shown(entry: &str) -> String {
    let hidden = entry.rsplit_once('@').and_then(|(front, host)| {
        let start = front.find("//").map_or(0, |at| at + 2);
        let (before, user) = front.split_at(start);
        let (name, _password) = user.split_once(':')?;
        Some(format!("{before}{name}:(hidden)@{host}"))
    });
    format!("{:?}", hidden.as_deref().unwrap_or(entry))
}

/// Django's `is_same_domain` of `django/http/request.py`.
fn is_same_domain(host: &str, pattern: &str) -> bool {
    let is_below = |domain: &str| host == domain || host.ends_with(pattern);
    host == pattern || pattern.strip_prefix('.').is_some_and(is_below)
}

fn refuse_what_no_origin_has(entry: &str) -> Result<(), PatternFault> {
    if entry.is_empty() {
        let fix = "write one host an entry, such as \"example.com\"; is there a comma too many?";
        return Err(PatternFault::new("is empty", fix));
    }
    let is_space = |c: char| c.is_whitespace() || c.is_control();
    if entry.contains(is_space) {
        let fix = "write one host an entry, such as \"example.com\"";
        return Err(PatternFault::new("has a space or a line's end in it", fix));
    }
    if entry.contains('@') {
        let fix = "write it without what stands in front of the `@`, and the `@`";
        return Err(PatternFault::new("names a user, which no origin does", fix));
    }
    if entry.contains('\\') {
        return Err(PatternFault::new("has a `\\` in it", "write it with `/`"));
    }
    Ok(())
}

fn with_scheme(
    scheme: &str,
    authority: &str,
    rest: &str,
) -> Result<(Pattern, Option<PatternFault>), PatternFault> {
    if authority.is_empty() {
        let what = "names no host";
        let fix = format!(
            "write \"{scheme}://example.com\"; pages without a host, such as files, are admitted by \"*\" alone"
        );
        return Err(PatternFault::new(what, fix));
    }
    let (host, port) = host_and_port(authority).ok_or_else(|| bad_authority(authority))?;
    let is_web = default_port(scheme).is_some();
    let (host, advice) = read_host(host, is_web)?;
    let page = match scheme {
        "ws" => Some("http"),
        "wss" => Some("https"),
        _ => None,
    };
    let advice = advice
        .or_else(|| {
            let page = page?;
            let what = "can never match: a page's origin has the scheme of the page";
            Some(PatternFault::new(
                what,
                format!("write \"{page}://{authority}\""),
            ))
        })
        .or_else(|| {
            let fix = format!("write \"{scheme}://{authority}\"");
            is_more(rest).then(|| PatternFault::new("has a path, which is not compared", fix))
        });
    let pattern = Pattern::Origin {
        scheme: scheme.to_owned(),
        host,
        port: port.or_else(|| default_port(scheme)),
    };
    Ok((pattern, advice))
}

/// `example.com:8000`: read as a scheme with nothing behind it, as Python does.
fn without_slashes(
    word: &str,
    rest: &str,
) -> Result<(Pattern, Option<PatternFault>), PatternFault> {
    let (port, _path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let authority = format!("{word}:{port}");
    let is_port = host_and_port(&authority).is_some_and(|(_, port)| port.is_some());
    if !is_port {
        if rest.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(bad_authority(&authority));
        }
        let fix = match rest.trim_start_matches('/') {
            "" => format!("write \"{word}\" if it is a host, \"{word}://example.com\" if not"),
            host => format!("write \"{word}://{host}\", or the host alone"),
        };
        let what = "has neither a port nor `//` behind its colon";
        return Err(PatternFault::new(what, fix));
    }
    let pattern = Pattern::Origin {
        scheme: word.to_owned(),
        host: String::new(),
        port: None,
    };
    let what = "can never match: without a scheme the port of an origin is not compared";
    let fix = format!("write \"{word}\" for any port, or with its scheme: \"http://{authority}\"");
    Ok((pattern, Some(PatternFault::new(what, fix))))
}

fn without_scheme(
    parts: &OriginParts<'_>,
) -> Result<(Pattern, Option<PatternFault>), PatternFault> {
    let authority = parts.authority.unwrap_or_default();
    if authority.is_empty() {
        let fix = "write one host an entry, such as \"example.com\"";
        return Err(PatternFault::new("names no host", fix));
    }
    if parts.rest.starts_with("//") {
        let fix = format!(
            "write \"https:{}\", or the host alone for any scheme",
            parts.rest
        );
        return Err(PatternFault::new("has a scheme with other characters", fix));
    }
    let (name, port) = host_and_port(authority).ok_or_else(|| bad_authority(authority))?;
    let (host, advice) = read_host(name, true)?;
    let advice = advice
        .or_else(|| {
            port?;
            let what =
                "has a port, which is not compared: without a scheme an entry is for any port";
            Some(PatternFault::new(what, format!("write \"{}\"", without_port(authority))))
        })
        .or_else(|| {
            let fix = format!("write the host alone: \"{authority}\"");
            is_more(parts.rest).then(|| PatternFault::new("has a path, which is not compared", fix))
        })
        .or_else(|| {
            let what = "is a host of this name; it does not admit the origin `null` of sandboxed pages and files";
            let fix = "write \"*\" to admit every origin, or remove it";
            (host == "null").then(|| PatternFault::new(what, fix))
        });
    Ok((Pattern::Host(host), advice))
}

/// Is there more behind the host than the slash that browsers show?
fn is_more(rest: &str) -> bool {
    !matches!(rest, "" | "/")
}

fn bad_authority(authority: &str) -> PatternFault {
    if authority.contains(['[', ']']) {
        let fix = "write an IPv6 address in brackets, such as \"[::1]\" or \"http://[::1]:8000\"";
        return PatternFault::new("has brackets without an IPv6 address between them", fix);
    }
    let port = authority.split_once(':').map_or("", |(_, port)| port);
    PatternFault::new(
        format!("has the port {port:?}"),
        "write a port from 0 to 65535, or none",
    )
}

/// A host as origins have it, and what is to be said of it. `is_web`: browsers resolve it.
fn read_host(host: &str, is_web: bool) -> Result<(String, Option<PatternFault>), PatternFault> {
    if let Ok(address) = host.parse::<Ipv6Addr>() {
        let written = address.to_string();
        let fix = format!("write it as browsers do: \"[{written}]\"");
        return Ok((
            host.to_owned(),
            (written != host).then(|| PatternFault::never(fix)),
        ));
    }
    let (dot, name) = host
        .strip_prefix('.')
        .map_or(("", host), |name| (".", name));
    if name.is_empty() && is_web {
        let fix = "write the domain behind it, such as \".example.com\"";
        return Err(PatternFault::new("is no name", fix));
    }
    let ascii = idna::domain_to_ascii_cow(name.as_bytes(), idna::AsciiDenyList::EMPTY);
    let name = ascii.map_err(|_unknown| {
        let fix = "write the name as it stands in the address bar";
        PatternFault::new("has characters that no international name has", fix)
    })?;
    // A star is no pattern to Channels but a character, and none that a host has: a warning says so.
    let is_strange = |c: &char| !c.is_ascii_alphanumeric() && !"-._*".contains(*c);
    if let Some(strange) = name.chars().find(is_strange) {
        let what = format!("has a {strange:?}, which no host has");
        return Err(PatternFault::new(
            what,
            "write one host an entry, such as \"example.com\"",
        ));
    }
    let advice = host_advice(dot, &name, is_web);
    Ok((format!("{dot}{name}"), advice))
}

fn host_advice(dot: &str, name: &str, is_web: bool) -> Option<PatternFault> {
    if let Some(domain) = name.strip_prefix("*.") {
        let fix = format!("write \".{domain}\" for the domain and its subdomains");
        return Some(PatternFault::never(fix));
    }
    if name.contains('*') {
        let fix =
            "write the name, \".example.com\" for a domain and its subdomains, or \"*\" alone";
        return Some(PatternFault::new("can never match: no host has a `*`", fix));
    }
    if let Some(host) = name.strip_suffix('.').filter(|_| is_web) {
        let what = "matches only pages whose address has the last dot as well";
        return Some(PatternFault::new(
            what,
            format!("write \"{dot}{host}\" without the last dot"),
        ));
    }
    if is_web && (name.contains("..") || name.starts_with('.')) {
        return Some(PatternFault::never("write one dot between two words"));
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_number = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
    if is_web && dot.is_empty() && is_number && name.parse::<Ipv4Addr>().is_err() {
        let fix = "write an IPv4 address as four numbers from 0 to 255, such as \"127.0.0.1\"";
        return Some(PatternFault::never(fix));
    }
    None
}

/// Entries that cannot be read, and what they do to each other.
pub(super) fn check(origin: &OriginSettings, found: &mut Findings) {
    origin.check_ranges(found);
    let allowed = &origin.allowed;
    for entry in allowed {
        let sentence = |what: &str| format!("{} {what}", shown(entry));
        match Pattern::read(entry) {
            Err(fault) => found.error("origin.allowed", sentence(&fault.what), fault.fix),
            Ok((_, Some(fault))) => {
                found.warn("origin.allowed", sentence(&fault.what), fault.fix);
            }
            Ok((_, None)) => {}
        }
    }
    if allowed.len() > 1 && allowed.iter().any(|entry| entry == "*") {
        let fix = "remove \"*\", or the others";
        found.warn(
            "origin.allowed",
            "\"*\" makes the other entries pointless",
            fix,
        );
    }
}
