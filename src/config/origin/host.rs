//! The host of an entry: as browsers send it, and whether any has it.

use super::fault::PatternFault;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A host as origins have it, and what is to be said of it. `is_web`: browsers resolve it.
pub(super) fn read_host(
    host: &str,
    is_web: bool,
) -> Result<(String, Option<PatternFault>), PatternFault> {
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
