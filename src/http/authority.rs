//! Who a request is for: `Host`, or the authority of an absolute target (RFC 9112 section 3.2).

use hyper::header::HOST;
use hyper::http::uri::{Authority, Scheme};
use hyper::{HeaderMap, Request, Uri, Version};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A host without its port, which says nothing about who is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'a> {
    /// A registered name, as it was sent.
    Name(&'a str),
    /// A literal address.
    Address(IpAddr),
}

/// No host, two of them, or one that is none: the request gets 400 (RFC 9112 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Host missing or malformed")]
pub struct BadHost;

impl<'a> Host<'a> {
    /// Reads `host[:port]` (RFC 3986 section 3.2). A comma, which a name may have by the letter, is refused:
    /// it is what two hosts look like that a proxy has joined.
    #[must_use]
    pub fn parse(authority: &'a [u8]) -> Option<Self> {
        let authority = std::str::from_utf8(authority).ok()?;
        let (host, port) = match authority.strip_prefix('[') {
            Some(literal) => {
                let (inside, after) = literal.split_once(']')?;
                let address: Ipv6Addr = inside.parse().ok()?;
                let port = match after {
                    "" => after,
                    after => after.strip_prefix(':')?,
                };
                (Self::Address(address.into()), port)
            }
            None => {
                let (name, port) = authority.split_once(':').unwrap_or((authority, ""));
                let address = name.parse::<Ipv4Addr>();
                let name = |_no_address| is_name(name).then_some(Self::Name(name));
                let host = address.map_or_else(name, |address| Some(Self::Address(address.into())));
                (host?, port)
            }
        };
        port.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then_some(host)
    }

    /// The host that a request is for. `None` if it names none, as HTTP/1.0 may. Of an absolute target and
    /// a `Host` the target counts, but both must be well formed.
    ///
    /// # Errors
    /// [`BadHost`].
    pub fn of<B>(request: &'a Request<B>) -> Result<Option<Self>, BadHost> {
        let mut fields = request.headers().get_all(HOST).iter();
        let field = match (fields.next(), fields.next()) {
            (Some(field), None) => Some(Self::parse(field.as_bytes()).ok_or(BadHost)?),
            (None, _) if request.version() < Version::HTTP_11 => None,
            _ => return Err(BadHost),
        };
        match request.uri().authority() {
            Some(target) => Self::parse(target.as_str().as_bytes())
                .ok_or(BadHost)
                .map(Some),
            None => Ok(field),
        }
    }

    /// Does `Host`, where there is one, name the host and port of an absolute target? The target counts, but not every
    /// reader behind us knows that.
    #[must_use]
    pub fn agrees(target: &Uri, headers: &HeaderMap) -> bool {
        let (Some(authority), Some(field)) = (target.authority(), headers.get(HOST)) else {
            return true;
        };
        let is_http = target.scheme() == Some(&Scheme::HTTP);
        let default = if is_http { 80 } else { 443 };
        let field: Option<Authority> = field.as_bytes().try_into().ok();
        field.is_some_and(|field| {
            field.host().eq_ignore_ascii_case(authority.host())
                && field.port_u16().unwrap_or(default) == authority.port_u16().unwrap_or(default)
        })
    }
}

/// A registered name that is not empty (RFC 9110 section 4.2.1), of unreserved characters, escapes and
/// sub-delimiters.
fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let mut is_legal = || {
        while let Some(byte) = bytes.next() {
            let legal = match byte {
                b'%' => [bytes.next(), bytes.next()]
                    .iter()
                    .all(|digit| digit.is_some_and(|digit| digit.is_ascii_hexdigit())),
                byte => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=".contains(&byte),
            };
            if !legal {
                return false;
            }
        }
        true
    };
    !name.is_empty() && is_legal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_addresses_with_or_without_a_port() {
        for (text, name) in [
            ("example.com", "example.com"),
            ("EXAMPLE.com:8000", "EXAMPLE.com"),
            ("example.com.", "example.com."),
            ("example.com:", "example.com"),
            ("example.com:0080", "example.com"),
            ("a_b", "a_b"),
            ("caf%C3%A9", "caf%C3%A9"),
            ("127.1", "127.1"),
            ("256.0.0.1", "256.0.0.1"),
            ("!$&'()*+;=~", "!$&'()*+;="),
        ] {
            let expected = name.to_owned() + if text.ends_with('~') { "~" } else { "" };
            assert_eq!(
                Host::parse(text.as_bytes()),
                Some(Host::Name(&expected)),
                "{text}"
            );
        }
        for (text, address) in [
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.1:8000", "127.0.0.1"),
            ("[::1]", "::1"),
            ("[::1]:8000", "::1"),
            ("[::ffff:10.0.0.1]:1", "::ffff:10.0.0.1"),
        ] {
            let address = Host::Address(address.parse().expect("an address"));
            assert_eq!(Host::parse(text.as_bytes()), Some(address), "{text}");
        }
    }

    #[test]
    fn whatever_else_is_no_host() {
        for text in [
            "",
            ":80",
            "a b",
            "a/b",
            "a@b",
            "a,b",
            "a?b",
            "a#b",
            "a\\b",
            "a\"b",
            "<a>",
            "a\tb",
            "a:b",
            "a:80:90",
            "a:-1",
            "a:+1",
            "a: 1",
            "::1",
            "[::1",
            "::1]",
            "[::1]80",
            "[::1]:x",
            "[]",
            "[1]",
            "[127.0.0.1]",
            "[fe80::1%25eth0]",
            "[v1.a]",
            "a%",
            "a%2",
            "a%zz",
            "http://a",
            "a]",
            "[a",
            "é",
        ] {
            assert_eq!(Host::parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(Host::parse(b"a\xffb"), None);
    }

    fn of(version: Version, target: &str, hosts: &[&str]) -> Result<Option<String>, BadHost> {
        let mut request = Request::builder().version(version).uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let request = request.body(()).expect("a request");
        Host::of(&request).map(|host| host.map(|host| format!("{host:?}")))
    }

    #[test]
    fn one_host_is_named_and_an_absolute_target_wins() {
        let name = |name: &str| Ok(Some(format!("Name({name:?})")));
        assert_eq!(of(Version::HTTP_11, "/x", &["a"]), name("a"));
        assert_eq!(of(Version::HTTP_11, "http://b:1/x", &["a"]), name("b"));
        assert_eq!(of(Version::HTTP_10, "/x", &["a"]), name("a"));
        assert_eq!(of(Version::HTTP_10, "/x", &[]), Ok(None));
        assert_eq!(of(Version::HTTP_10, "http://b/x", &[]), name("b"));
        for (version, target, hosts) in [
            (Version::HTTP_11, "/x", &[][..]),
            (Version::HTTP_11, "http://b/x", &[]),
            (Version::HTTP_11, "http://user@b/x", &["b"]),
            (Version::HTTP_11, "http://b/x", &["a b"]),
            (Version::HTTP_11, "/x", &["a", "a"]),
            (Version::HTTP_10, "/x", &["a", "b"]),
            (Version::HTTP_10, "/x", &[""]),
        ] {
            assert_eq!(
                of(version, target, hosts),
                Err(BadHost),
                "{target} {hosts:?}"
            );
        }
    }
}
