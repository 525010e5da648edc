//! `[proxy]`: whose word counts for who asks, and where they say so.
//!
//! Nobody's by default: what a client writes into these fields itself must not move it to another address.

use super::problem::Findings;
use super::setting::{choice, choices, section};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

section! {
    /// Proxies in front of this server.
    ["proxy"] ProxySettings {
        /// Networks of the proxies that are believed (`10.0.0.0/8`, `2001:db8::/32`, `127.0.0.1`), and `unix` for whoever comes by a Unix socket; an empty list = nobody.
        trusted: Vec<String> = Vec::new(), restart;
        /// Where a trusted proxy says who asks: `x-forwarded-for` (and what of its kin `proxy.believe` names), `forwarded` (RFC 7239) or `proxy_protocol` (versions 1 and 2, in front of the first request).
        header: ProxyHeader = ProxyHeader::None, restart;
        /// With `x-forwarded-for`: which of X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host the proxies set or delete in every request, `for`, `proto` and `host`; one that is not named is passed over, since the client may have written it.
        believe: Vec<ForwardedField> = vec![ForwardedField::For], restart;
    }
}

choice! {
    /// Where a trusted proxy says who asks.
    ProxyHeader {
        /// Nowhere.
        None = "none",
        /// `X-Forwarded-For`, and its kin as far as `proxy.believe` names them.
        XForwardedFor = "x-forwarded-for",
        /// `Forwarded` of RFC 7239.
        Forwarded = "forwarded",
        /// The PROXY protocol.
        ProxyProtocol = "proxy_protocol",
    }
}

choices! {
    /// A field that a trusted proxy sets.
    ForwardedField {
        /// `X-Forwarded-For`: the client's address.
        For = "for",
        /// `X-Forwarded-Proto`: did it come by https?
        Proto = "proto",
        /// `X-Forwarded-Host`: the host that it named.
        Host = "host",
    }
}

/// The entry for whoever comes by a Unix socket.
const UNIX: &str = "unix";

/// What `proxy.trusted` names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedPeers {
    networks: Vec<IpNet>,
    /// Whoever comes by a Unix socket.
    has_unix: bool,
}

impl TrustedPeers {
    /// Reads the list.
    ///
    /// # Errors
    /// One sentence on the first entry that cannot be read: none is left out.
    pub fn read(entries: &[String]) -> Result<Self, String> {
        let mut peers = Self::default();
        for entry in entries {
            match read_entry(entry) {
                Ok(None) => peers.has_unix = true,
                Ok(Some(network)) => peers.networks.push(network),
                Err((what, fix)) => return Err(format!("proxy.trusted: {entry:?} {what}; {fix}")),
            }
        }
        Ok(peers)
    }

    /// Is this one of them? IPv4 in IPv6 is IPv4; peers of a Unix socket are [`UNIX_PEER`].
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        if address == UNIX_PEER {
            return self.has_unix;
        }
        self.networks
            .iter()
            .any(|network| network.contains(&address))
    }
}

/// A network, or `None` for [`UNIX`]; else what is wrong, and what to write.
fn read_entry(entry: &str) -> Result<Option<IpNet>, (&'static str, String)> {
    if entry == UNIX {
        return Ok(None);
    }
    let network = entry
        .parse::<IpNet>()
        .or_else(|_no_network| entry.parse::<IpAddr>().map(IpNet::from));
    let Ok(network) = network else {
        let what = match entry.trim() {
            "" => "is empty",
            trimmed if trimmed != entry => "has a space in it",
            trimmed => not_a_network(trimmed),
        };
        let fix = "write addresses, as in \"10.0.0.0/8\", \"2001:db8::/32\" or \"127.0.0.1\"";
        return Err((what, fix.to_owned()));
    };
    if let IpNet::V6(mapped) = network
        && let Some(address) = mapped.addr().to_ipv4_mapped()
    {
        let prefix = mapped.prefix_len().saturating_sub(96);
        let fix = format!("write \"{address}/{prefix}\"");
        return Err(("is an IPv4 network in IPv6", fix));
    }
    if network != network.trunc() {
        // One host, or its whole network? Half of the readers would be wrong.
        let fix = format!("write \"{}\" or \"{}\"", network.trunc(), network.addr());
        return Err(("has bits behind its prefix", fix));
    }
    Ok(Some(network))
}

/// What is wrong with this that is neither a network nor an address.
fn not_a_network(entry: &str) -> &'static str {
    let (address, prefix) = entry.split_once('/').unwrap_or((entry, ""));
    let is_number = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
    let is_name = entry
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        && entry.bytes().any(|byte| byte.is_ascii_alphabetic());
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) if is_number => "is no network: a prefix of IPv4 has at most 32 bits",
        Ok(IpAddr::V6(_)) if is_number => "is no network: a prefix of IPv6 has at most 128 bits",
        Err(_) if entry.parse::<SocketAddr>().is_ok() => "is no network: it has a port",
        Err(_) if is_name => "is no network: a name is not looked up",
        _ => "is no network",
    }
}

/// Entries that cannot be read, and keys that need each other.
pub(super) fn check(proxy: &ProxySettings, found: &mut Findings) {
    proxy.check_ranges(found);
    const TRUSTED: &str = "proxy.trusted";
    for entry in &proxy.trusted {
        match read_entry(entry) {
            Err((what, fix)) => found.error(TRUSTED, format!("{entry:?} {what}"), fix),
            Ok(Some(network)) if network.prefix_len() == 0 => found.warn(
                TRUSTED,
                format!("{entry:?} is everybody: each client may say that it is another"),
                "write the networks of the proxies, such as \"10.0.0.0/8\"",
            ),
            Ok(_) => {}
        }
    }
    let has_header = proxy.header != ProxyHeader::None;
    if has_header && proxy.trusted.is_empty() {
        found.error(
            "proxy.header",
            "counts from the proxies of proxy.trusted alone, and there are none",
            "write their networks, such as proxy.trusted = [\"127.0.0.1\"]",
        );
    }
    if !has_header && !proxy.trusted.is_empty() {
        found.error(
            TRUSTED,
            "has no effect: nothing says where these proxies write who asks",
            "set proxy.header = \"x-forwarded-for\", \"forwarded\" or \"proxy_protocol\"",
        );
    }
    const BELIEVE: &str = "proxy.believe";
    let reads_fields = proxy.header == ProxyHeader::XForwardedFor;
    if reads_fields && proxy.believe.is_empty() {
        let what = "is empty: nothing that a proxy says would be believed";
        let fix = "write the fields that it sets, such as proxy.believe = [\"for\", \"proto\"]";
        found.error(BELIEVE, what, fix);
    }
    if !reads_fields && proxy.believe != ProxySettings::default().believe {
        let what = "has no effect: it is about proxy.header = \"x-forwarded-for\"";
        found.warn(BELIEVE, what, "remove it");
    }
}

/// The address that peers of a Unix socket count as: one for all, and nobody's on a network.
pub const UNIX_PEER: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entries: &[&str]) -> Result<TrustedPeers, String> {
        let entries: Vec<_> = entries.iter().map(|&entry| entry.to_owned()).collect();
        TrustedPeers::read(&entries)
    }

    #[test]
    fn networks_hold_addresses_of_their_own_family_and_mapped_ones() {
        let peers = read(&["10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "::1"]).expect("networks");
        for (address, expected) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("11.0.0.1", false),
            ("192.0.2.1", true),
            ("192.0.2.2", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::1", false),
            ("::1", true),
            ("::2", false),
            ("127.0.0.1", false),
        ] {
            let address = address.parse().expect("an address");
            assert_eq!(peers.holds(address), expected, "{address}");
        }
        assert!(read(&["unix"]).is_ok_and(|peers| peers.holds(UNIX_PEER)));
        for others in [&[][..], &["127.0.0.1"], &["0.0.0.0/0", "::/0"]] {
            assert!(!read(others).expect("networks").holds(UNIX_PEER));
        }
    }

    #[test]
    fn an_entry_that_cannot_be_read_spoils_the_list() {
        for entry in [
            "",
            " ",
            "localhost",
            "10.0.0.0/33",
            "10.0.0/8",
            "10.0.0.0/-1",
            "10.0.0.0/",
            "10.0.0.0/08x",
            "010.0.0.1",
            "10.0.0.1:80",
            "[::1]",
            "::1/129",
            "fe80::1%eth0",
            "*",
            "10.*",
            "10.0.0.0-10.0.0.9",
            "10.0.0.0/255.0.0.0",
            "10.0.0.1,10.0.0.2",
            " 10.0.0.1",
            "::ffff:10.0.0.0/104",
            "::ffff:10.0.0.1",
            "10.0.0.1/8",
            "2001:db8::1/32",
            "UNIX",
        ] {
            let what = read(&["127.0.0.1", entry, "10.0.0.0/8"]).expect_err(entry);
            assert!(what.contains(&format!("{entry:?}")), "{what}");
        }
    }
}
