//! May a page of this origin connect? The semantics of Channels' `AllowedHostsOriginValidator`
//! (channels 4.3.2 `security/websocket.py`, observed in interop.md §3.2), but for one quirk: an
//! origin with `\` or `@` in its authority is refused, where Python's URL parser can be misled.

/// One entry of `origin.allowed`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    /// `*`: everything, a missing header included.
    Any,
    /// `example.com` or `[::1]`: this host on any scheme and port.
    Host(String),
    /// `.example.com`: this domain and every subdomain.
    Domain(String),
    /// `https://example.com`: scheme, host and port.
    Origin(String, String, u16),
}

/// The list of `origin.allowed`; empty = no check.
#[derive(Clone, Debug, Default)]
pub struct Allowed(Vec<Pattern>);

impl Allowed {
    /// Reads the list. An entry that can match nothing is kept as such; `validate` warns of it.
    #[must_use]
    pub fn new(entries: &[String]) -> Self {
        Self(
            entries
                .iter()
                .filter_map(|entry| Pattern::parse(&entry.to_ascii_lowercase()))
                .collect(),
        )
    }

    /// Does the origin that a request names pass?
    #[must_use]
    pub fn admits(&self, origin: Option<&[u8]>) -> bool {
        if self.0.is_empty() || self.0.contains(&Pattern::Any) {
            return true;
        }
        let Some(origin) = origin.and_then(|value| std::str::from_utf8(value).ok()) else {
            return false;
        };
        let Some((scheme, host, port)) = parse_origin(&origin.to_ascii_lowercase()) else {
            return false;
        };
        self.0
            .iter()
            .any(|pattern| pattern.matches(&scheme, &host, port))
    }
}

impl Pattern {
    fn parse(entry: &str) -> Option<Self> {
        if entry == "*" {
            return Some(Self::Any);
        }
        if entry.contains("://") {
            let (scheme, host, port) = parse_origin(entry)?;
            return Some(Self::Origin(scheme, host, port?));
        }
        match entry.strip_prefix('.') {
            Some(domain) => Some(Self::Domain(domain.to_owned())),
            None => Some(Self::Host(entry.to_owned())),
        }
    }

    fn matches(&self, scheme: &str, host: &str, port: Option<u16>) -> bool {
        match self {
            Self::Any => true,
            Self::Host(allowed) => allowed == host,
            Self::Domain(domain) => {
                host == domain
                    || host
                        .strip_suffix(domain.as_str())
                        .is_some_and(|rest| rest.ends_with('.'))
            }
            Self::Origin(allowed_scheme, allowed_host, allowed_port) => {
                allowed_scheme == scheme && allowed_host == host && Some(*allowed_port) == port
            }
        }
    }
}

/// Scheme, host and port (the scheme's default if none is given) of an origin in lower case.
fn parse_origin(origin: &str) -> Option<(String, String, Option<u16>)> {
    let (scheme, rest) = origin.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    if authority.contains(['\\', '@']) || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (inside, after) = rest.split_once(']')?;
            let port = if after.is_empty() {
                None
            } else {
                Some(after.strip_prefix(':')?)
            };
            (format!("[{inside}]"), port)
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host.to_owned(), Some(port)),
            None => (authority.to_owned(), None),
        },
    };
    if host.is_empty() {
        return None;
    }
    let port = match port {
        Some(port) if !port.is_empty() => Some(port.parse().ok()?),
        _ => match scheme {
            "http" | "ws" => Some(80),
            "https" | "wss" => Some(443),
            _ => None,
        },
    };
    Some((scheme.to_owned(), host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(allowed: &[&str], origin: Option<&str>) -> bool {
        let entries: Vec<_> = allowed.iter().map(|&entry| entry.to_owned()).collect();
        Allowed::new(&entries).admits(origin.map(str::as_bytes))
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
}
