//! What an entry means, and what matches it.

use super::fault::PatternFault;
use super::host::read_host;
use super::parts::{OriginParts, default_port, host_and_port};
use std::net::Ipv6Addr;

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
