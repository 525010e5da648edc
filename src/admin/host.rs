//! Whose names a request may call this listener by.

use crate::http::Host;
use std::net::{IpAddr, SocketAddr};

/// May a request call this listener by this name? Loopback's names and addresses, `admin.hosts`, and any address
/// where it listens on more than loopback: behind a name there may be whoever the name's owner wants, an address is
/// what was connected to. Without a host (HTTP/1.0) it is no browser.
pub(super) fn is_ours(host: Option<Host<'_>>, listen: SocketAddr, hosts: &[String]) -> bool {
    match host {
        None => true,
        Some(Host::Address(address)) => {
            let is_loopback = |address: IpAddr| address.to_canonical().is_loopback();
            let listed = |host: &String| host.parse() == Ok(address);
            is_loopback(address) || !is_loopback(listen.ip()) || hosts.iter().any(listed)
        }
        Some(Host::Name(name)) => {
            // The root's dot says nothing.
            let name = name.strip_suffix('.').unwrap_or(name);
            let under = |(_, top): (&str, &str)| top.eq_ignore_ascii_case("localhost");
            // RFC 6761 section 6.3: these names are loopback's, and nobody can own one.
            name.eq_ignore_ascii_case("localhost")
                || name.rsplit_once('.').is_some_and(under)
                || hosts
                    .iter()
                    .any(|host| host.trim_end_matches('.').eq_ignore_ascii_case(name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(listen: &str, host: &str) -> bool {
        let hosts = ["gateway.example", "Other.", "10.0.0.5", "2001:db8::1"].map(str::to_owned);
        let host = Host::parse(host.as_bytes()).expect("a host");
        is_ours(Some(host), listen.parse().expect("an address"), &hosts)
    }

    #[test]
    fn loopback_and_what_is_listed_are_ours_and_other_names_never_are() {
        for listen in [
            "127.0.0.1:9000",
            "[::1]:9000",
            "0.0.0.0:9000",
            "10.0.0.9:9000",
        ] {
            for host in [
                "localhost",
                "LOCALHOST:1",
                "localhost.",
                "admin.localhost",
                "127.0.0.1",
                "127.0.0.1:9000",
                "127.8.9.1",
                "[::1]",
                "[::1]:9000",
                "[::ffff:127.0.0.1]",
                "gateway.example",
                "GATEWAY.example:443",
                "gateway.example.",
                "other",
                "other:9000",
                "10.0.0.5:9000",
                "[2001:db8::1]:9000",
                "[2001:db8:0::1]",
            ] {
                assert!(admits(listen, host), "{host} at {listen}");
            }
            for host in [
                "evil.example",
                "localhost.evil.example",
                "notlocalhost",
                "localhost-",
                "gateway.example.evil",
                "sub.gateway.example",
                "127.0.0.1.evil.example",
                "127.1",
                "0x7f.0.0.1",
                "2130706433",
                "127.0.0.1.nip.example",
                "localtest.me",
                "%6cocalhost",
            ] {
                assert!(!admits(listen, host), "{host} at {listen}");
            }
        }
    }

    #[test]
    fn any_address_is_ours_where_more_than_loopback_listens() {
        for host in [
            "10.1.2.3:9000",
            "192.168.0.1",
            "0.0.0.0:9000",
            "[fd00::7]:9000",
        ] {
            assert!(
                admits("0.0.0.0:9000", host),
                "{host}: as a kubelet asks a pod"
            );
            assert!(admits("10.1.2.3:9000", host), "{host}");
            assert!(!admits("127.0.0.1:9000", host), "{host}");
            assert!(!admits("[::ffff:127.0.0.1]:9000", host), "{host}");
        }
        assert!(is_ours(
            None,
            "127.0.0.1:9000".parse().expect("an address"),
            &[]
        ));
    }
}
