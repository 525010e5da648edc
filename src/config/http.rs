//! `[http]`: what the public listener does with requests that are no chat's, and what its settings may be.

use super::cors::CorsSettings;
use super::problem::Findings;
use super::setting::{BYTES_MAX, WAIT, seconds, section};
use super::units;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// hyper refuses to read with a smaller buffer.
const BUFFER_BYTES_MIN: usize = 8192;

section! {
    /// Requests that are no chat's: the site behind this node.
    ["http"] HttpSettings {
        /// Pages that a client asks for without TLS are redirected to https, and its handshakes get 403; a proxy of `proxy.trusted` says whether there is TLS.
        require_tls: bool = false, restart;
        /// Host, and port if it is not 443, to which pages are redirected; unset = the host of the request.
        https_host: Option<String> = None, restart;
        /// Address and port of a listener of its own whose every answer is a redirect to https; unset = none.
        redirect: Option<SocketAddr> = None, restart;
        /// Folder of the files that an ACME client writes for `/.well-known/acme-challenge/`, which are served without TLS too; unset = the site of `http.upstream` is asked.
        acme_folder: Option<PathBuf> = None, restart;
        /// The site behind this node, such as `http://127.0.0.1:8001` or `unix:/run/site.sock`: all that is not this node's own goes there, WebSockets too; unset = no site.
        upstream: Option<String> = None, restart;
        /// With a site the built-in chat page is off, since `/` is the site's; true = it is at `/_supportal/`, beside `/_supportal/client.js`.
        upstream_page: bool = false, restart;
        /// Most requests at the site at once; one more gets 503.
        upstream_requests: usize = 256, restart, in 1..;
        /// Most requests at the site at once from one address (IPv6: one /64); one more gets 429; 0 = no limit.
        upstream_requests_per_ip: usize = 64, restart;
        /// Longest until a connection to the site is there; then 504.
        #[serde(with = "units::duration")]
        upstream_connect_timeout: Duration = seconds(5), restart, in WAIT;
        /// Longest from the end of a request until the site begins its answer; then 504.
        #[serde(with = "units::duration")]
        upstream_head_timeout: Duration = seconds(60), restart, in WAIT;
        /// Longest that neither side of a request says, or takes, anything while its body or the answer's is under way.
        #[serde(with = "units::duration")]
        upstream_idle_timeout: Duration = seconds(60), restart, in WAIT;
        /// Longest that a client is waited for in all, with the body of its request or with what it takes of the answer, beyond what its bytes earn it; then 408, or the answer breaks off.
        #[serde(with = "units::duration")]
        client_timeout: Duration = seconds(60), restart, in WAIT;
        /// Bytes per second that a client must send or take while it is waited for: each second's worth gives it back a second of the wait; 0 = no limit.
        client_bytes_per_second: u32 = 500, restart;
        /// Longest body of a request in bytes; a longer one gets 413; 0 = no limit.
        upstream_body_bytes: usize = 128 * 1024 * 1024, restart;
        /// Longest head of an answer, and most bytes of a body held in each direction, at least 8192.
        upstream_buffer_bytes: usize = 32 * 1024, restart, in BUFFER_BYTES_MIN..=BYTES_MAX;
        /// Most connections to the site that are kept for another request; 0 = each request has one of its own.
        upstream_kept_alive: usize = 64, restart;
        /// Longest that one is kept; below the site's own keep-alive (uvicorn: 5 s).
        #[serde(with = "units::duration")]
        upstream_keep_alive_timeout: Duration = seconds(4), restart, in WAIT;
        /// Most WebSockets of the site's own, passed through; one more gets 503.
        upstream_websockets: usize = 1024, restart;
        /// Most of them from one address (IPv6: one /64); one more gets 429; 0 = no limit.
        upstream_websockets_per_ip: usize = 256, restart;
        /// Such a WebSocket on which neither side says anything for this long is closed.
        #[serde(with = "units::duration")]
        upstream_websocket_timeout: Duration = seconds(300), restart, in WAIT;
    }
    /// Pages of other origins that may ask for what is not a WebSocket (CORS).
    cors: CorsSettings,
}

/// Where a site is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SiteAddress {
    /// A name or an address, and a port.
    Tcp {
        /// Resolved anew for each connection; without the brackets of an IPv6 address.
        host: String,
        /// Of the site, 80 if none is written.
        port: u16,
    },
    /// A Unix socket.
    Socket(PathBuf),
}

/// Why a text is no address of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SiteAddressFault {
    /// Neither form.
    #[error("is neither http:// nor unix:")]
    Scheme,
    /// TLS is not spoken to a site.
    #[error("is https: the way to the site is not encrypted")]
    Tls,
    /// Something that a site's address cannot have.
    #[error("has more than a host and a port: no user, path, query or fragment")]
    More,
    /// No host.
    #[error("has no host, or one that is none")]
    Host,
    /// No port.
    #[error("has a port that is none")]
    Port,
    /// No path.
    #[error("has no absolute path behind unix:")]
    Path,
}

impl SiteAddress {
    /// Reads `http://host[:port][/]` or `unix:/path` (also `unix:///path`).
    ///
    /// # Errors
    /// What is wrong with the text; nothing of the text is in it.
    pub fn parse(text: &str) -> Result<Self, SiteAddressFault> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            // `/` alone is a folder.
            let is_path = path.starts_with('/') && path.len() > 1 && !path.contains('\0');
            return is_path
                .then(|| Self::Socket(path.into()))
                .ok_or(SiteAddressFault::Path);
        }
        let scheme = text.split_once("://");
        let authority = match scheme {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => {
                return Err(SiteAddressFault::Tls);
            }
            _ => return Err(SiteAddressFault::Scheme),
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        if authority.contains(['/', '?', '#', '@', '\\']) {
            return Err(SiteAddressFault::More);
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(literal) => {
                let (inside, after) = literal.split_once(']').ok_or(SiteAddressFault::Host)?;
                let is_address = inside.parse::<std::net::Ipv6Addr>().is_ok();
                let port = match after.strip_prefix(':') {
                    Some(port) => Some(port),
                    None if after.is_empty() => None,
                    None => return Err(SiteAddressFault::Host),
                };
                (is_address.then_some(inside), port)
            }
            None => {
                let (name, port) = match authority.split_once(':') {
                    Some((name, port)) => (name, Some(port)),
                    None => (authority, None),
                };
                let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
                let is_name = !name.is_empty() && name.bytes().all(is_part);
                (is_name.then_some(name), port)
            }
        };
        let is_number = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
        let port = match port {
            Some(port) => Some(port).filter(|port| is_number(port)).map(str::parse),
            None => Some(Ok(80)),
        };
        match (host, port) {
            (None, _) => Err(SiteAddressFault::Host),
            (Some(host), Some(Ok(port))) if port > 0 => Ok(Self::Tcp {
                host: host.to_owned(),
                port,
            }),
            _ => Err(SiteAddressFault::Port),
        }
    }
}

impl HttpSettings {
    /// The site behind this node, if there is one.
    ///
    /// # Errors
    /// What is wrong with its address.
    pub fn site(&self) -> Result<Option<SiteAddress>, SiteAddressFault> {
        self.upstream.as_deref().map(SiteAddress::parse).transpose()
    }
}

/// Ranges, and the site's address.
pub(super) fn check(http: &HttpSettings, found: &mut Findings) {
    http.check_ranges(found);
    match http.site() {
        Err(fault) => {
            let fix = "write \"http://127.0.0.1:8001\" or \"unix:/run/site.sock\"";
            found.error("http.upstream", fault.to_string(), fix);
        }
        Ok(None) if http.upstream_page => {
            let what = "is for a node with a site; without http.upstream the page is at / already";
            found.warn(
                "http.upstream_page",
                what,
                "remove it, or set http.upstream",
            );
        }
        Ok(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_a_host_with_a_port_or_a_socket() {
        let tcp = |host: &str, port| SiteAddress::Tcp {
            host: host.to_owned(),
            port,
        };
        for (text, address) in [
            ("http://127.0.0.1:8001", tcp("127.0.0.1", 8001)),
            ("HTTP://127.0.0.1:8001/", tcp("127.0.0.1", 8001)),
            ("http://django", tcp("django", 80)),
            ("http://web_1.internal:65535", tcp("web_1.internal", 65535)),
            ("http://[::1]:8001", tcp("::1", 8001)),
            ("http://[::1]/", tcp("::1", 80)),
            (
                "unix:/run/site.sock",
                SiteAddress::Socket("/run/site.sock".into()),
            ),
            (
                "unix:///run/site.sock",
                SiteAddress::Socket("/run/site.sock".into()),
            ),
        ] {
            assert_eq!(SiteAddress::parse(text), Ok(address), "{text}");
        }
    }

    #[test]
    fn whatever_else_is_no_site() {
        use SiteAddressFault as Fault;
        for (text, fault) in [
            ("", Fault::Scheme),
            ("127.0.0.1:8001", Fault::Scheme),
            ("localhost", Fault::Scheme),
            ("ftp://a", Fault::Scheme),
            ("ws://a", Fault::Scheme),
            ("http:a", Fault::Scheme),
            (" http://a", Fault::Scheme),
            ("https://a", Fault::Tls),
            ("http://", Fault::Host),
            ("http:///", Fault::Host),
            ("http://:80", Fault::Host),
            ("http://a b", Fault::Host),
            ("http://a\r\nb", Fault::Host),
            ("http://::1", Fault::Host),
            ("http://[::1", Fault::Host),
            ("http://[::1]80", Fault::Host),
            ("http://[a]:80", Fault::Host),
            ("http://é", Fault::Host),
            ("http://a:", Fault::Port),
            ("http://a:0", Fault::Port),
            ("http://a:+1", Fault::Port),
            ("http://a:65536", Fault::Port),
            ("http://a:80:90", Fault::Port),
            ("http://a:x", Fault::Port),
            ("http://user@a", Fault::More),
            ("http://user:secret@a", Fault::More),
            ("http://a/b", Fault::More),
            ("http://a//", Fault::More),
            ("http://a?b", Fault::More),
            ("http://a#b", Fault::More),
            ("http://a\\b", Fault::More),
            ("unix:", Fault::Path),
            ("unix:/", Fault::Path),
            ("unix:site.sock", Fault::Path),
            ("unix://site.sock", Fault::Path),
        ] {
            assert_eq!(SiteAddress::parse(text), Err(fault), "{text}");
        }
    }
}
