//! The PROXY protocol, versions 1 and 2 (haproxy's `doc/proxy-protocol.txt`): what a proxy writes in front of the
//! first request. Sans-IO: bytes in, a header or the wish for more out.
//!
//! To the letter, where readers in use are lenient: one space between the words, no zeros in front of a number, no
//! byte more than the form has room for. Whoever reads decides by the peer's address whether a header is due, and
//! never by the bytes: a header that anybody may send says nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Most bytes of a header: the signature, the longest addresses (two Unix paths), and 304 bytes of extensions.
pub const HEADER_BYTES_MAX: usize = 536;

/// Most bytes of a header of version 1, its line's end included.
const LINE_BYTES_MAX: usize = 107;

const LINE_START: &[u8] = b"PROXY ";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What a proxy says of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyLine {
    /// Who has connected to it; `None`: the proxy itself (a health check), or somebody whose address it does not know.
    pub client: Option<IpAddr>,
    /// Does it say that the client came by TLS (version 2 with the SSL extension)?
    pub is_https: bool,
    /// Bytes of the header.
    pub length: usize,
}

/// This is no header of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("PROXY header missing or malformed")]
pub struct BadProxyLine;

/// Does a header of either version begin here?
pub fn begins(bytes: &[u8]) -> bool {
    bytes.starts_with(LINE_START) || bytes.starts_with(SIGNATURE)
}

/// Reads the header at the beginning of `bytes`; `None` if its end has not come yet.
///
/// # Errors
/// Whatever comes after these bytes, they begin no header.
pub fn parse(bytes: &[u8]) -> Result<Option<ProxyLine>, BadProxyLine> {
    let begins = |start: &[u8]| {
        let common = start.len().min(bytes.len());
        bytes.get(..common) == start.get(..common)
    };
    if begins(SIGNATURE) {
        parse_binary(bytes)
    } else if begins(LINE_START) {
        parse_line(bytes)
    } else {
        Err(BadProxyLine)
    }
}

/// Version 1: `PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n`.
fn parse_line(bytes: &[u8]) -> Result<Option<ProxyLine>, BadProxyLine> {
    let room = bytes.get(..LINE_BYTES_MAX).unwrap_or(bytes);
    let Some(end) = room.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return if bytes.len() < LINE_BYTES_MAX {
            Ok(None)
        } else {
            Err(BadProxyLine)
        };
    };
    match room.get(end..) {
        Some([b'\r', b'\n', ..]) => {}
        Some(b"\r") if room.len() < LINE_BYTES_MAX => return Ok(None),
        _ => return Err(BadProxyLine),
    }
    let line = room.get(LINE_START.len()..end).ok_or(BadProxyLine)?;
    let line = std::str::from_utf8(line).or(Err(BadProxyLine))?;
    let mut words = line.split(' ');
    let client = match words.next() {
        // What follows is to be ignored.
        Some("UNKNOWN") => None,
        Some("TCP4") => Some(addresses::<Ipv4Addr>(words).ok_or(BadProxyLine)?),
        Some("TCP6") => Some(addresses::<Ipv6Addr>(words).ok_or(BadProxyLine)?),
        _ => return Err(BadProxyLine),
    };
    Ok(Some(ProxyLine {
        client,
        is_https: false,
        length: end + 2,
    }))
}

/// The first of two addresses with two ports behind them.
fn addresses<'a, A: std::str::FromStr + Into<IpAddr>>(
    mut words: impl Iterator<Item = &'a str>,
) -> Option<IpAddr> {
    let source: A = words.next()?.parse().ok()?;
    let _destination: A = words.next()?.parse().ok()?;
    let is_port = |word: &str| {
        let is_short = word == "0" || !word.starts_with('0');
        is_short && word.bytes().all(|byte| byte.is_ascii_digit()) && word.parse::<u16>().is_ok()
    };
    let has_ports = words.next().is_some_and(is_port) && words.next().is_some_and(is_port);
    (has_ports && words.next().is_none()).then(|| source.into().to_canonical())
}

/// Version 2: the signature, what it is, how long the rest is, addresses, extensions.
fn parse_binary(bytes: &[u8]) -> Result<Option<ProxyLine>, BadProxyLine> {
    const HEAD: usize = SIGNATURE.len() + 4;
    let Some(head) = bytes.get(..HEAD) else {
        return Ok(None);
    };
    let &[.., command, family, high, low] = head else {
        return Err(BadProxyLine);
    };
    let length = HEAD + usize::from(u16::from_be_bytes([high, low]));
    if length > HEADER_BYTES_MAX {
        return Err(BadProxyLine);
    }
    // What cannot become good is not waited for.
    let addresses_length = match (command, family) {
        // LOCAL: the proxy itself; whatever is said of addresses is to be ignored.
        (0x20, _) => None,
        (0x21, 0x00) => Some(0),
        (0x21, 0x11) => Some(12),
        (0x21, 0x21) => Some(36),
        (0x21, 0x31) => Some(216),
        // Another version or command, or datagrams.
        _ => return Err(BadProxyLine),
    };
    if addresses_length.is_some_and(|addresses| HEAD + addresses > length) {
        return Err(BadProxyLine);
    }
    let Some(rest) = bytes.get(HEAD..length) else {
        return Ok(None);
    };
    let Some((addresses, extensions)) =
        addresses_length.and_then(|addresses| rest.split_at_checked(addresses))
    else {
        return Ok(Some(ProxyLine {
            client: None,
            is_https: false,
            length,
        }));
    };
    let client = match family {
        0x11 => addresses.first_chunk::<4>().map(|&ip| IpAddr::from(ip)),
        0x21 => addresses.first_chunk::<16>().map(|&ip| IpAddr::from(ip)),
        _ => None,
    };
    Ok(Some(ProxyLine {
        client: client.map(|client| client.to_canonical()),
        is_https: says_tls(extensions)?,
        length,
    }))
}

/// Do the extensions (type, length, value) say that the client came by TLS? All but PP2_TYPE_SSL are skipped.
fn says_tls(mut extensions: &[u8]) -> Result<bool, BadProxyLine> {
    const SSL: u8 = 0x20;
    const CLIENT_SSL: u8 = 0x01;
    let mut says_tls = false;
    while let [kind, high, low, rest @ ..] = extensions {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, behind) = rest.split_at_checked(length).ok_or(BadProxyLine)?;
        if *kind == SSL {
            says_tls = value.first().is_some_and(|flags| flags & CLIENT_SSL != 0);
        }
        extensions = behind;
    }
    if extensions.is_empty() {
        Ok(says_tls)
    } else {
        Err(BadProxyLine)
    }
}

#[cfg(test)]
mod tests;
