//! Entries of `origin.allowed` that can never match.
//!
//! The semantics are those of Channels' `AllowedHostsOriginValidator`: an entry is a host, and the
//! port of an origin is not compared. Django says nothing about an entry that matches nothing; here
//! the operator is told.

/// Why an entry can never match, with the entry that would; `None` for a good one.
pub(super) fn dead_entry(entry: &str) -> Option<(String, String)> {
    let never = "can never match".to_owned();
    if entry == "*" {
        return None;
    }
    if entry.is_empty() || entry.contains(char::is_whitespace) {
        return Some((
            never,
            "write one host an entry, such as \"example.com\"".to_owned(),
        ));
    }
    if let Some(domain) = entry.strip_prefix("*.") {
        return Some((
            never,
            format!("write \".{domain}\" for the domain and its subdomains"),
        ));
    }
    if let Some((scheme, rest)) = entry.split_once("//") {
        // Django's list knows hosts; Channels' own validator also knows `scheme://host:port`.
        let is_scheme = scheme.len() > 1 && scheme.ends_with(':');
        let host = rest.split(['/', ':']).next().unwrap_or_default();
        return (!is_scheme || host.is_empty()).then(|| (never, format!("write \"{host}\"")));
    }
    if let Some(host) = entry.strip_suffix('.') {
        return Some((never, format!("write \"{host}\" without the last dot")));
    }
    if entry.contains('/') {
        let host = entry.split('/').next().unwrap_or_default();
        return Some((never, format!("write the host alone: \"{host}\"")));
    }
    if entry.parse::<std::net::Ipv6Addr>().is_ok() {
        return Some((
            never,
            format!("write an IPv6 address in brackets: \"[{entry}]\""),
        ));
    }
    let past_brackets = entry.rsplit(']').next().unwrap_or(entry);
    past_brackets.contains(':').then(|| {
        let host = entry.rsplit_once(':').map_or(entry, |(host, _)| host);
        let what = "can never match: the port of an origin is not compared".to_owned();
        (what, format!("write \"{host}\""))
    })
}
