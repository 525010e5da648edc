//! `[admin]`: the operator's listener, and what it may be.

use super::problem::Findings;
use super::secret::Secret;
use super::setting::section;
use std::net::{IpAddr, SocketAddr};

/// Shorter tokens are found by trying; 16 random bytes in hexadecimal are 32 characters.
const TOKEN_BYTES_ADVISED: usize = 16;

section! {
    /// The operator's listener.
    ["admin"] AdminSettings {
        /// Address and port of the operator's listener.
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 9000)), restart;
        /// Bearer token of the operator's listener; needed for any address but loopback. Prefer the environment to a file.
        token: Option<Secret> = None, restart;
        /// Names and addresses, without port, by which requests may call the operator's listener (`Host`); loopback's always may, and any address where it listens on more than loopback.
        hosts: Vec<String> = Vec::new(), restart;
    }
}

/// The listener is not open by accident, not that of `server`, and its token can be sent.
pub(super) fn check(admin: &AdminSettings, server: SocketAddr, found: &mut Findings) {
    admin.check_ranges(found);
    if overlap(admin.listen, server) {
        let what = format!("{} is taken by server.listen = {}", admin.listen, server);
        found.error(
            "admin.listen",
            what,
            "give the two listeners different ports",
        );
    }
    check_hosts(&admin.hosts, found);
    match &admin.token {
        // Unset and empty differ: an empty variable is a secret that was not delivered.
        Some(token) if token.expose().is_empty() => {
            let fix = "give it a value (such as 32 random characters), or unset it";
            found.error("admin.token", "is empty", fix);
        }
        Some(token) if token.expose().bytes().any(|byte| !byte.is_ascii_graphic()) => {
            let what = "has characters that no Authorization header carries";
            found.error("admin.token", what, "use printable ASCII without spaces");
        }
        Some(token) if token.expose().len() < TOKEN_BYTES_ADVISED => {
            found.warn("admin.token", "is short", "use 32 random characters");
        }
        None if !is_loopback(admin.listen.ip()) => found.error(
            "admin.listen",
            format!(
                "{} is reachable from outside, and there is no admin.token",
                admin.listen
            ),
            "set SUPPORTAL_ADMIN__TOKEN, or listen on 127.0.0.1",
        ),
        _ => {}
    }
}

fn check_hosts(hosts: &[String], found: &mut Findings) {
    for entry in hosts {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let is_label = |label: &str| !label.is_empty() && label.bytes().all(is_part);
        // `.example.com` would be every subdomain in other lists, and nobody here.
        let is_name = entry
            .strip_suffix('.')
            .unwrap_or(entry)
            .split('.')
            .all(is_label);
        if !is_name && entry.parse::<IpAddr>().is_err() {
            let fix = "write the host alone, as in \"gateway.example.com\" or \"10.0.0.5\": no scheme, port, path, star or dot in front";
            found.error("admin.hosts", format!("{entry:?} is no host"), fix);
        }
    }
}

/// Whether both cannot be bound; port 0 is a different port each time.
pub(super) fn overlap(left: SocketAddr, right: SocketAddr) -> bool {
    let same_family = left.is_ipv4() == right.is_ipv4();
    let everywhere = left.ip().is_unspecified() || right.ip().is_unspecified();
    left.port() != 0
        && left.port() == right.port()
        && (left.ip() == right.ip() || (everywhere && same_family))
}

/// Whether an address is this machine's own, in either family.
pub(crate) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}
