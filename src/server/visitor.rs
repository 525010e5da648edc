//! Who asks: the address, the scheme and the host of a client, as far as they can be believed.
//!
//! Everything that looks at one of the three takes it from here: limits, origins, redirects, logs, and what the site
//! is told. Of a client that connects itself they are the socket's address, whether we end its TLS, and `Host`. A
//! peer of `proxy.trusted` is believed what it says in the one place that `proxy.header` names, and nobody else is.

use super::admission;
use super::forwarded::{self, Forwarding};
use super::proxy_protocol::{self, BadProxyLine};
use crate::config::ProxySettings;
use crate::config::proxy::{ForwardedField, ProxyHeader, TrustedPeers};
use crate::http::Host;
use crate::transport::handshake::RequestHead;
use std::borrow::Cow;
use std::net::IpAddr;

/// Who is at the other end of a connection, whatever its requests say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    /// The socket's address, or what a PROXY header says.
    pub address: IpAddr,
    /// Does the connection come by TLS?
    pub is_https: bool,
    /// Are the fields that `proxy.header` names believed?
    pub is_believed: bool,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Visitor<'a> {
    /// The client's address; IPv4 in IPv6 is IPv4.
    pub client: IpAddr,
    /// Is it the client's side that is secure?
    pub is_https: bool,
    /// Host and port as the client named them; `None`: it named none, as HTTP/1.0 may.
    pub host: Option<Cow<'a, str>>,
}

impl Visitor<'_> {
    /// The same, for longer than the head that said it.
    pub(super) fn into_owned(self) -> Visitor<'static> {
        Visitor {
            client: self.client,
            is_https: self.is_https,
            host: self.host.map(|host| Cow::Owned(host.into_owned())),
        }
    }
}

/// `[proxy]`, read.
#[derive(Clone, Debug, Default)]
pub(super) struct Proxies {
    trusted: TrustedPeers,
    header: Option<ProxyHeader>,
    believed: Vec<ForwardedField>,
}

/// A trusted proxy forwards a host that is none: the request gets 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("forwarded host malformed")]
pub(super) struct BadForwardedHost;

impl Proxies {
    /// Reads the settings.
    ///
    /// # Errors
    /// An entry of `proxy.trusted` cannot be read.
    pub(super) fn new(settings: &ProxySettings) -> Result<Self, String> {
        let header = settings.header;
        Ok(Self {
            trusted: TrustedPeers::read(&settings.trusted)?,
            header: (header != ProxyHeader::None).then_some(header),
            believed: settings.believe.clone(),
        })
    }

    /// Is a peer of this address believed?
    #[must_use]
    pub(super) fn trust(&self, address: IpAddr) -> bool {
        self.header.is_some() && self.trusted.holds(address)
    }

    /// Does a peer of this address begin with a PROXY header?
    pub(super) fn announce(&self, address: IpAddr) -> bool {
        self.header == Some(ProxyHeader::ProxyProtocol) && self.trust(address)
    }

    /// What the handshakes of a socket, or of the client behind it once that is known, count as: a proxy speaks for many, also
    /// one that another proxy names, or that asks for itself.
    pub(super) fn counts_as(&self, address: IpAddr) -> u64 {
        match self.trust(address) {
            true => admission::PROXY,
            false => admission::peer_of(address),
        }
    }

    /// Who is behind a socket of this address that has begun with these bytes, and how many of them are a PROXY header,
    /// without which a trusted proxy is not understood; `None` if its end has not come yet. `is_tls`: we end its TLS.
    ///
    /// # Errors
    /// [`BadProxyLine`].
    pub(super) fn meet(
        &self,
        address: IpAddr,
        is_tls: bool,
        bytes: &[u8],
    ) -> Result<Option<(Peer, usize)>, BadProxyLine> {
        let is_trusted = self.trust(address);
        let peer = Peer {
            address: address.to_canonical(),
            is_https: is_tls,
            is_believed: is_trusted,
        };
        if !is_trusted || self.header != Some(ProxyHeader::ProxyProtocol) {
            return Ok(Some((peer, 0)));
        }
        let line = proxy_protocol::parse(bytes)?;
        Ok(line.map(|line| {
            let peer = Peer {
                address: line.client.unwrap_or(peer.address),
                is_https: is_tls || line.is_https,
                is_believed: false,
            };
            (peer, line.length)
        }))
    }

    /// Does somebody who is not believed write into a field that is read of trusted proxies?
    pub(super) fn is_unbelieved(&self, peer: Peer, head: &RequestHead<'_>) -> bool {
        let is_there = |name| head.value(name).is_some();
        let is_written = || match self.header {
            Some(ProxyHeader::XForwardedFor) => self.believed.iter().any(|field| {
                is_there(match field {
                    ForwardedField::For => "x-forwarded-for",
                    ForwardedField::Proto => "x-forwarded-proto",
                    ForwardedField::Host => "x-forwarded-host",
                })
            }),
            Some(ProxyHeader::Forwarded) => is_there("forwarded"),
            _ => false,
        };
        !peer.is_believed && is_written()
    }

    /// Does a peer of this address, of whom no PROXY header is due, begin with one?
    pub(super) fn is_unbelieved_line(&self, address: IpAddr, bytes: &[u8]) -> bool {
        self.is_line_unbelieved(address) && proxy_protocol::begins(bytes)
    }

    /// Would a PROXY header of this address not be believed, where those of others are?
    pub(super) fn is_line_unbelieved(&self, address: IpAddr) -> bool {
        self.header == Some(ProxyHeader::ProxyProtocol) && !self.trust(address)
    }

    /// Who sends this head. `authority` is that of an absolute target, which counts before `Host` (RFC 9112 section
    /// 3.2.2).
    ///
    /// # Errors
    /// [`BadForwardedHost`].
    pub(super) fn visitor<'a>(
        &self,
        peer: Peer,
        head: &RequestHead<'a>,
        authority: Option<&'a str>,
    ) -> Result<Visitor<'a>, BadForwardedHost> {
        let said = match self.header.filter(|_| peer.is_believed) {
            Some(ProxyHeader::XForwardedFor) => {
                forwarded::x_forwarded(head, &self.believed, &self.trusted)
            }
            Some(ProxyHeader::Forwarded) => forwarded::forwarded(head, &self.trusted),
            _ => Forwarding::default(),
        };
        let is_secure = |proto: &str| {
            ["https", "wss"]
                .iter()
                .any(|secure| proto.eq_ignore_ascii_case(secure))
        };
        if let Some(host) = &said.host {
            Host::parse(host.as_bytes()).ok_or(BadForwardedHost)?;
        }
        let named = || {
            let field = || std::str::from_utf8(head.value("host")?).ok();
            authority.or_else(field).map(Cow::Borrowed)
        };
        Ok(Visitor {
            client: said.client.unwrap_or(peer.address),
            is_https: said.proto.map_or(peer.is_https, |proto| is_secure(&proto)),
            host: said.host.or_else(named),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_speaks_for_many_whoever_names_it() {
        let proxies = Proxies::new(&ProxySettings {
            trusted: vec!["10.0.0.0/8".to_owned()],
            header: ProxyHeader::ProxyProtocol,
            ..ProxySettings::default()
        });
        let proxies = proxies.expect("legal");
        let counted_behind = |client: &str| {
            let line = format!("PROXY TCP4 {client} 10.0.0.1 56324 443\r\n");
            let met = proxies.meet("10.0.0.1".parse().unwrap(), false, line.as_bytes());
            let (peer, _length) = met.expect("a header").expect("all of it");
            proxies.counts_as(peer.address)
        };
        assert_eq!(counted_behind("10.0.0.1"), admission::PROXY);
        assert_eq!(counted_behind("10.0.0.2"), admission::PROXY);
        let client = "192.0.2.1";
        let counted = admission::peer_of(client.parse().unwrap());
        assert_eq!(counted_behind(client), counted);
    }
}
