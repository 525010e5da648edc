//! A host and a port, and the names that a host may have.

use percent_encoding::percent_decode_str;
use std::fmt;
use std::net::Ipv6Addr;

/// Where Redis listens unless it is told otherwise.
pub(in crate::config) const DEFAULT_PORT: u16 = 6379;

/// Longest name of a host: RFC 1035 section 2.3.4.
const HOST_BYTES_MAX: usize = 253;

/// What to do about a sign that ended a password too early.
pub(super) const ENCODE: &str = "in a user or a password, signs such as @ / ? # % : and spaces are percent-encoded (%40 %2F %3F %23 %25 %3A %20)";

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Name or address, an IPv6 address without its brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.parse::<Ipv6Addr>().is_ok() {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// `host:port`; without a host it is this machine. A port may be left out if there is a default.
pub(super) fn endpoint(text: &str, default: Option<u16>) -> Result<Endpoint, String> {
    let (name, number) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, rest)) => {
            name.parse::<Ipv6Addr>().map_err(|_not_shown| {
                format!("has brackets around what is no IPv6 address; {ENCODE}")
            })?;
            let number = rest.strip_prefix(':').or((rest.is_empty()).then_some(""));
            (
                name,
                number.ok_or_else(|| format!("has no : behind its brackets; {ENCODE}"))?,
            )
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    if number.contains(':') {
        let fix = "an IPv6 address stands in brackets: redis://[::1]:6379";
        return Err(format!("has more than one : in its host; {fix}; {ENCODE}"));
    }
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let port = match number {
        "" => default.ok_or("names a node without a port; write node=host:port")?,
        _ => digits
            .then(|| number.parse().ok().filter(|port| *port > 0))
            .flatten()
            .ok_or_else(|| format!("has a port that is no number from 1 to 65535; {ENCODE}"))?,
    };
    let host = match decode(name)?.as_str() {
        "" => "localhost".to_owned(),
        name => host(name)?,
    };
    Ok(Endpoint { host, port })
}

/// The name or address of a host, in lower case.
pub(in crate::config) fn host(name: &str) -> Result<String, String> {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_name = (1..=HOST_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_legal);
    if is_name || name.parse::<Ipv6Addr>().is_ok() {
        return Ok(name.to_ascii_lowercase());
    }
    let fix = "a host has letters, digits, - . and _";
    Err(format!(
        "has a host that is no name and no address; {fix}; {ENCODE}"
    ))
}

/// Without percent-encoding. A % that begins no escape stays, as in Python.
pub(super) fn decode(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_not_shown| "has an escape that is no UTF-8 (RFC 3629)")?;
    Ok(decoded.into_owned())
}
