//! Why an address cannot be had, and what to do about it.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

/// What the system says of an address that a setting names, with the fix.
pub(crate) fn with_fix(error: io::Error, key: &str, address: SocketAddr) -> io::Error {
    let fix = match error.kind() {
        ErrorKind::AddrInUse => format!(
            "something listens there already (`ss -ltnp` names it): end that, or give {key} another port"
        ),
        ErrorKind::AddrNotAvailable => {
            let all = if address.is_ipv4() { "0.0.0.0" } else { "[::]" };
            let port = address.port();
            format!(
                "this machine has no such address: give {key} one of its own (`ip address`), or all of them by \"{all}:{port}\""
            )
        }
        ErrorKind::PermissionDenied if (1..1024).contains(&address.port()) => format!(
            "ports below 1024 need a right: `setcap cap_net_bind_service=+ep` on the program, AmbientCapabilities=CAP_NET_BIND_SERVICE or a socket unit of systemd; or give {key} a higher port"
        ),
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{error}; {fix}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_cannot_be_had_is_told_with_the_key_and_the_fix() {
        for (kind, address, fix) in [
            (
                ErrorKind::AddrInUse,
                "0.0.0.0:80",
                "give a.key another port",
            ),
            (
                ErrorKind::AddrNotAvailable,
                "192.0.2.1:80",
                "all of them by \"0.0.0.0:80\"",
            ),
            (
                ErrorKind::AddrNotAvailable,
                "[2001:db8::1]:80",
                "all of them by \"[::]:80\"",
            ),
            (ErrorKind::PermissionDenied, "0.0.0.0:443", "setcap"),
        ] {
            let address = address.parse().unwrap();
            let error = with_fix(kind.into(), "a.key", address);
            assert!(error.to_string().contains(fix), "{error}");
            assert_eq!(error.kind(), kind);
        }
        let address = "0.0.0.0:8000".parse().unwrap();
        let denied = with_fix(ErrorKind::PermissionDenied.into(), "a.key", address);
        assert!(!denied.to_string().contains("setcap"), "{denied}");
    }
}
