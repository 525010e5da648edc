//! What proxies write of a request into its head: `X-Forwarded-For` and its kin, and `Forwarded` (RFC 7239).
//!
//! Read from the right, where the nearest proxy writes: an entry counts if whoever wrote it is trusted, which is the
//! peer for the last one, and for each further one the address that the entry before it names. So nothing that a
//! client sends is ever reached, and an entry that cannot be read ends the walk.

use crate::config::proxy::{ForwardedField, TrustedPeers};
use crate::transport::handshake::RequestHead;
use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

/// Most entries that are read: nobody has more proxies.
const HOPS_MAX: usize = 64;

/// What trusted proxies say of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Forwarding<'a> {
    /// The first address from the right that is not trusted, or the last that could be read; `None`: not even one.
    pub(super) client: Option<IpAddr>,
    /// The scheme of the client's request.
    pub(super) proto: Option<Cow<'a, str>>,
    /// The host of that request.
    pub(super) host: Option<Cow<'a, str>>,
}

/// Of `X-Forwarded-For`, `X-Forwarded-Proto`, `X-Forwarded-Host` those that are `believed`: a proxy that does not set one
/// passes on what the client wrote. Of the latter two the last value counts, which is the nearest proxy's.
pub(super) fn x_forwarded<'a>(
    head: &RequestHead<'a>,
    believed: &[ForwardedField],
    trusted: &TrustedPeers,
) -> Forwarding<'a> {
    let last = |field, name| {
        let is_believed = believed.contains(&field);
        let value = is_believed.then(|| from_the_right(head, name).next());
        value.flatten().flatten().map(Cow::Borrowed)
    };
    let mut said = Forwarding {
        client: None,
        proto: last(ForwardedField::Proto, "x-forwarded-proto"),
        host: last(ForwardedField::Host, "x-forwarded-host"),
    };
    if !believed.contains(&ForwardedField::For) {
        return said;
    }
    for entry in from_the_right(head, "x-forwarded-for").take(HOPS_MAX) {
        let Some(address) = entry.and_then(node_address) else {
            break;
        };
        said.client = Some(address);
        if !trusted.holds(address) {
            break;
        }
    }
    said
}

/// The entries of a list field, over all its lines, the last one first. `None`: one that is no text.
fn from_the_right<'a>(head: &RequestHead<'a>, name: &str) -> impl Iterator<Item = Option<&'a str>> {
    let mut lines: Vec<&[u8]> = head.values(name).collect();
    lines.reverse();
    let entries = lines.into_iter().flat_map(|line| {
        let entries = line.rsplit(|byte| *byte == b',');
        entries.map(|entry| std::str::from_utf8(entry).ok())
    });
    entries.map(|entry| entry.map(|entry| entry.trim_matches([' ', '\t'])))
}

/// An address, in brackets or not, with a port or not.
fn node_address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    let (address, port): (IpAddr, _) = match text.strip_prefix('[') {
        Some(inside) => {
            let (address, after) = inside.split_once(']')?;
            (IpAddr::V6(address.parse::<Ipv6Addr>().ok()?), after)
        }
        None => {
            let (address, port) = text.split_at(text.find(':')?);
            (IpAddr::V4(address.parse().ok()?), port)
        }
    };
    let is_port = |port: &str| {
        (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_good = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    is_good.then(|| address.to_canonical())
}

/// `Forwarded`. Of scheme and host those count that the trusted proxy nearest to the client names.
pub(super) fn forwarded<'a>(head: &RequestHead<'a>, trusted: &TrustedPeers) -> Forwarding<'a> {
    let mut said = Forwarding::default();
    let mut lines: Vec<&[u8]> = head.values("forwarded").collect();
    lines.reverse();
    let elements = lines.into_iter().flat_map(elements_from_the_right);
    for element in elements
        .filter(|element| !element.is_empty())
        .take(HOPS_MAX)
    {
        let Some(element) = parse_element(element) else {
            break;
        };
        said.proto = element.proto.or(said.proto);
        said.host = element.host.or(said.host);
        let Some(Hop::Address(address)) = element.node else {
            break;
        };
        said.client = Some(address);
        if !trusted.holds(address) {
            break;
        }
    }
    said
}

/// The elements of one line, the last one first. A comma between quotes divides nothing; a quote that is escaped is
/// taken for one that is not, and its element cannot be read.
fn elements_from_the_right(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let mut is_quoted = false;
        let comma = line.iter().rposition(|byte| {
            is_quoted ^= *byte == b'"';
            *byte == b',' && !is_quoted
        });
        let (before, element) = match comma {
            Some(at) => (line.get(..at), line.get(at + 1..)?),
            None => (None, line),
        };
        rest = before;
        Some(element.trim_ascii())
    })
}

/// One `forwarded-element`.
#[derive(Debug, Default)]
struct Element<'a> {
    node: Option<Hop>,
    proto: Option<Cow<'a, str>>,
    host: Option<Cow<'a, str>>,
}

/// Whom `for` names.
#[derive(Debug, PartialEq, Eq)]
enum Hop {
    Address(IpAddr),
    /// `unknown`, or a name of the proxy's own invention (`_hidden`).
    Hidden,
}

/// Pairs with `;` between them, each name once (RFC 7239 section 4). Spaces around a `;` are let pass, as in other
/// fields' parameters: there are proxies that write them.
fn parse_element(element: &[u8]) -> Option<Element<'_>> {
    let mut parsed = Element::default();
    let mut text = std::str::from_utf8(element).ok()?;
    let (mut has_by, mut is_first) = (false, true);
    loop {
        text = text.trim_start_matches([' ', '\t']);
        if !is_first {
            if text.is_empty() {
                return Some(parsed);
            }
            text = text.strip_prefix(';')?.trim_start_matches([' ', '\t']);
        }
        is_first = false;
        // A pair may be missing.
        if text.is_empty() || text.starts_with(';') {
            continue;
        }
        let (name, rest) = text.split_once('=')?;
        let (value, rest) = parse_value(rest)?;
        text = rest;
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        let is_repeated = if is("for") {
            parsed.node.replace(parse_node(&value)?).is_some()
        } else if is("proto") {
            parsed.proto.replace(value).is_some()
        } else if is("host") {
            parsed.host.replace(value).is_some()
        } else if is("by") {
            parse_node(&value)?;
            std::mem::replace(&mut has_by, true)
        } else {
            !is_token(name)
        };
        if is_repeated {
            return None;
        }
    }
}

/// A token or a quoted string, and what follows it.
fn parse_value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ' ', '\t']).unwrap_or(text.len());
        let (token, rest) = text.split_at(end);
        return is_token(token).then_some((Cow::Borrowed(token), rest));
    };
    let mut characters = quoted.char_indices();
    let mut unescaped: Option<String> = None;
    loop {
        let (at, character) = characters.next()?;
        let before = || quoted.get(..at).unwrap_or_default();
        match character {
            '"' => {
                let value = unescaped.map_or(Cow::Borrowed(before()), Cow::Owned);
                return Some((value, characters.as_str()));
            }
            '\\' => {
                let (_, escaped) = characters.next()?;
                unescaped
                    .get_or_insert_with(|| before().to_owned())
                    .push(escaped);
            }
            '\t' | ' '..='~' => {
                if let Some(unescaped) = &mut unescaped {
                    unescaped.push(character);
                }
            }
            _ => return None,
        }
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    let is_token_byte =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// RFC 7239 section 6: an IPv6 address is in brackets, and a port may be hidden too.
fn parse_node(value: &str) -> Option<Hop> {
    let is_hidden = |name: &str| {
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        name.strip_prefix('_')
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_legal))
    };
    let name_end = match value.starts_with('[') {
        true => value.find(']')? + 1,
        false => value.find(':').unwrap_or(value.len()),
    };
    let (name, port) = value.split_at(name_end);
    let is_port = |port: &str| {
        let is_number =
            (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
        is_number || is_hidden(port)
    };
    if !port.is_empty() && !port.strip_prefix(':').is_some_and(is_port) {
        return None;
    }
    if name.eq_ignore_ascii_case("unknown") || is_hidden(name) {
        return Some(Hop::Hidden);
    }
    node_address(name).map(Hop::Address)
}

#[cfg(test)]
mod tests;
