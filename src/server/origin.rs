//! May a page of this origin connect? The semantics of Channels' `OriginValidator` (channels 4.3
//! `security/websocket.py`): what an entry means is in [`crate::config::origin`], what a request says is read here.
//!
//! Stricter than Channels with origins that no browser sends, where Python's URL parser can be misled or fails: a user
//! or a `\` in the authority, a port that is none, no scheme, or anything but printable ASCII is refused.

use crate::config::origin::{OriginParts, Pattern, default_port, host_and_port, shown};
use std::net::Ipv6Addr;

/// The list of `origin.allowed`, and what an empty one means.
#[derive(Clone, Debug, Default)]
pub struct Allowed {
    patterns: Vec<Pattern>,
    /// An empty list admits pages of the request's own host alone, not everybody.
    is_own_host: bool,
}

impl Allowed {
    /// Reads the list.
    ///
    /// # Errors
    /// An entry cannot be read. None is ever left out: a list of bad entries must not become an empty one, which is open.
    pub fn new(entries: &[String]) -> Result<Self, String> {
        let read = |entry: &String| {
            let (pattern, _advice) = Pattern::read(entry).map_err(|fault| {
                format!(
                    "origin.allowed: {} {}; {}",
                    shown(entry),
                    fault.what,
                    fault.fix
                )
            })?;
            Ok(pattern)
        };
        Ok(Self {
            patterns: entries.iter().map(read).collect::<Result<_, String>>()?,
            is_own_host: false,
        })
    }

    /// With cookies: an empty list is the host of the request, whatever its scheme and port, as an entry of a host
    /// alone would be.
    #[must_use]
    pub fn with_cookies(self, reads_cookies: bool) -> Self {
        Self {
            is_own_host: reads_cookies,
            ..self
        }
    }

    /// Does every origin pass, because the list says so?
    pub(super) fn is_any(&self) -> bool {
        self.patterns.contains(&Pattern::Any)
    }

    /// Does the origin that a request names pass? `host` is what the request is for, with or without a port.
    #[must_use]
    pub fn admits(&self, origin: Option<&[u8]>, host: Option<&str>) -> bool {
        let is_open = self.patterns.is_empty() && !self.is_own_host;
        if is_open || self.is_any() {
            return true;
        }
        let is_printable = |value: &&[u8]| value.iter().all(u8::is_ascii_graphic);
        let Some(origin) = origin
            .filter(is_printable)
            .and_then(|value| std::str::from_utf8(value).ok())
        else {
            return false;
        };
        let origin = origin.to_ascii_lowercase();
        let Some((scheme, origin_host, port)) = parse(&origin) else {
            return false;
        };
        if self.patterns.is_empty() {
            let own = host.and_then(host_and_port);
            return own.is_some_and(|(own, _)| is_same_host(own, origin_host));
        }
        let mut patterns = self.patterns.iter();
        patterns.any(|pattern| pattern.matches(scheme, origin_host, port))
    }
}

/// Are these one host? An IPv6 address may be written in more than one way.
fn is_same_host(own: &str, origin_host: &str) -> bool {
    let addresses = (own.parse::<Ipv6Addr>(), origin_host.parse::<Ipv6Addr>());
    match addresses {
        (Ok(own), Ok(other)) => own == other,
        _ => own.eq_ignore_ascii_case(origin_host),
    }
}

/// Scheme, host and port (the scheme's own if none is given) of an origin in lower case.
fn parse(origin: &str) -> Option<(&str, &str, Option<u16>)> {
    let parts = OriginParts::of(origin);
    let scheme = parts.scheme?;
    let authority = parts.authority.filter(|text| !text.contains(['\\', '@']))?;
    let (host, port) = host_and_port(authority)?;
    let port = port.or_else(|| default_port(scheme));
    (!host.is_empty()).then_some((scheme, host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(allowed: &[&str], origin: Option<&str>) -> bool {
        let entries: Vec<_> = allowed.iter().map(|&entry| entry.to_owned()).collect();
        let allowed = Allowed::new(&entries).unwrap_or_else(|what| panic!("{what}"));
        allowed.admits(origin.map(str::as_bytes), Some("gateway.example"))
    }

    #[test]
    fn with_cookies_an_empty_list_is_the_host_of_the_request() {
        let own = Allowed::new(&[]).expect("a list").with_cookies(true);
        for (host, origin, expected) in [
            (Some("example.com"), Some("https://example.com"), true),
            (Some("example.com:8443"), Some("http://Example.COM:1"), true),
            (Some("EXAMPLE.com"), Some("https://example.com"), true),
            (Some("[::1]:8000"), Some("http://[0:0::1]:3000"), true),
            (Some("127.0.0.1"), Some("http://127.0.0.1"), true),
            (Some("example.com"), Some("https://www.example.com"), false),
            (Some("www.example.com"), Some("https://example.com"), false),
            (Some("example.com"), Some("https://example.com."), false),
            (Some("example.com"), Some("https://example.com.evil"), false),
            (Some("example.com"), Some("https://evil.example"), false),
            (Some("example.com"), Some("null"), false),
            (Some("example.com"), Some("file://"), false),
            (Some("example.com"), Some(""), false),
            (Some("example.com"), Some("https://example.com@evil"), false),
            (Some("example.com"), None, false),
            (None, Some("https://example.com"), false),
        ] {
            let origin_bytes = origin.map(str::as_bytes);
            assert_eq!(
                own.admits(origin_bytes, host),
                expected,
                "{host:?} {origin:?}"
            );
        }
        let listed = Allowed::new(&["a.example".to_owned()]).expect("a list");
        let listed = listed.with_cookies(true);
        assert!(listed.admits(Some(b"https://a.example"), Some("b.example")));
        assert!(!listed.admits(Some(b"https://b.example"), Some("b.example")));
        let any = Allowed::new(&["*".to_owned()]).expect("a list");
        assert!(any.with_cookies(true).admits(None, Some("b.example")));
    }

    #[test]
    fn an_empty_list_and_a_star_admit_everything() {
        for origin in [None, Some("null"), Some("http://evil.example")] {
            assert!(admits(&[], origin) && admits(&["a.example", "*"], origin));
        }
    }

    #[test]
    fn entries_follow_allowed_hosts() {
        let table: &[(&[&str], &str, bool)] = &[
            (&["example.com"], "http://example.com", true),
            (&["example.com"], "https://EXAMPLE.com:8080", true),
            (&["example.com"], "https://example.com/path", true),
            (&["example.com"], "https://sub.example.com", false),
            (&["example.com"], "https://example.com.", false),
            (&["example.com"], "https://example.com.evil", false),
            (&[".example.com"], "https://example.com", true),
            (&[".example.com"], "https://a.b.example.com", true),
            (&[".example.com"], "https://evilexample.com", false),
            (&["*.example.com"], "https://a.example.com", false),
            (&["[::1]"], "http://[::1]:8000", true),
            (&["[::1]"], "http://[::2]:8000", false),
            (&["http://example.com"], "http://example.com:80", true),
            (&["http://example.com"], "http://example.com:8080", false),
            (&["http://example.com"], "https://example.com", false),
            (&["https://example.com"], "wss://example.com", false),
            (&["example.com:8000"], "http://example.com:8000", false),
            (&["//example.com"], "http://example.com", false),
            (&["example.com"], "null", false),
            (&["example.com"], "example.com", false),
            (&["example.com"], "file://", false),
            (&["example.com"], "", false),
            (&["example.com"], "https://evil.com\\@example.com", false),
            (&["example.com"], "https://user@example.com", false),
            (&["example.com"], "http://example.com:99999", false),
            (&["example.com"], "http://example.com:+80", false),
            (&["example.com"], "//example.com", false),
            (&["example.com"], "https://[example.com]", false),
            (&["example.com"], "https://example.com https://a.b", false),
            (&["example.com"], "https://ex\u{e4}mple.com", false),
        ];
        for (allowed, origin, expected) in table {
            assert_eq!(
                admits(allowed, Some(origin)),
                *expected,
                "{allowed:?} {origin:?}"
            );
        }
        assert!(!admits(&["example.com"], None));
    }

    #[test]
    fn names_are_compared_as_browsers_send_them() {
        for (entry, origin) in [
            (
                "https://b\u{fc}cher.example",
                "https://xn--bcher-kva.example",
            ),
            ("B\u{dc}CHER.example", "http://xn--bcher-kva.example:8080"),
            (".b\u{fc}cher.example", "https://a.xn--bcher-kva.example"),
            (
                "https://.b\u{fc}cher.example:1",
                "https://a.xn--bcher-kva.example:1",
            ),
            ("xn--bcher-kva.example", "https://xn--bcher-kva.example"),
            ("fa\u{df}.example", "https://xn--fa-hia.example"),
            (
                "\u{4f8b}\u{5b50}.\u{6d4b}\u{8bd5}",
                "https://xn--fsqu00a.xn--0zwm56d",
            ),
        ] {
            assert!(admits(&[entry], Some(origin)), "{entry} {origin}");
            assert!(!admits(&[entry], Some("https://bucher.example")), "{entry}");
        }
    }

    #[test]
    fn no_list_of_bad_entries_is_an_open_one() {
        for entry in [
            "https://example.com:99999",
            "https://user@example.com",
            "",
            " ",
        ] {
            for list in [vec![entry], vec!["a.example", entry], vec![entry, "*"]] {
                let list: Vec<_> = list.into_iter().map(str::to_owned).collect();
                let what = Allowed::new(&list).expect_err(entry);
                assert!(what.contains(&format!("{entry:?}")), "{what}");
            }
        }
    }
}
