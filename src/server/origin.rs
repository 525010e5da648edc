//! May a page of this origin connect? The semantics of Channels' `OriginValidator` (channels 4.3
//! `security/websocket.py`): what an entry means is in [`crate::config::origin`], what a request says is read here.
//!
//! Stricter than Channels with origins that no browser sends, where Python's URL parser can be misled or fails: a user
//! or a `\` in the authority, a port that is none, no scheme, or anything but printable ASCII is refused.

use crate::config::origin::{OriginParts, Pattern, default_port, host_and_port, shown};

/// The list of `origin.allowed`; empty = no check.
#[derive(Clone, Debug, Default)]
pub struct Allowed(Vec<Pattern>);

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
        entries.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Does the origin that a request names pass?
    #[must_use]
    pub fn admits(&self, origin: Option<&[u8]>) -> bool {
        if self.0.is_empty() || self.0.contains(&Pattern::Any) {
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
        let Some((scheme, host, port)) = parse(&origin) else {
            return false;
        };
        self.0
            .iter()
            .any(|pattern| pattern.matches(scheme, host, port))
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
        allowed.admits(origin.map(str::as_bytes))
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
