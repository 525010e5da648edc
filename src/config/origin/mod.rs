//! One entry of `origin.allowed`: what it means, and whether anything will ever match it.
//!
//! Entries are read as Channels' `OriginValidator` reads them (channels 4.3 `security/websocket.py` on Python's
//! `urlsplit`): a host without a scheme is that host on any scheme and port, a leading dot adds its subdomains, an
//! entry with a scheme asks for scheme, host and port. Where this differs, it is on purpose:
//!
//! - International names are compared as browsers send them, in punycode (UTS 46). Python compares them as written,
//!   and so never.
//! - An IPv6 address without brackets is that address; Python understands `::1` alone, and takes the beginning of
//!   others for a scheme or a host.
//! - What Python fails on at every request (port 99999, half a bracket) cannot be read: the server does not start.
//!   Nor does it with what no origin has (userinfo, spaces, no host): Python takes such entries for others, or for nothing.
//!
//! What can be read and never matches is kept, matches nothing, and is named in a warning.

mod fault;
mod host;
mod parts;
mod pattern;

pub use fault::PatternFault;
pub use parts::{OriginParts, default_port, host_and_port};
pub use pattern::{Pattern, shown};

use super::problem::Findings;
use super::setting::section;

section! {
    /// Which web pages may connect.
    ["origin"] OriginSettings {
        /// Pages that may connect, as in Django's ALLOWED_HOSTS (`example.com`, `.example.com`, `*`) and Channels' OriginValidator (`https://example.com:8443`, `capacitor://localhost`); an empty list = no check, or with an `auth.mode` that reads cookies the host of the request itself, and who sends no Origin (programs, curl) is refused.
        allowed: Vec<String> = Vec::new(), live;
    }
}

/// Entries that cannot be read, and what they do to each other.
pub(super) fn check(origin: &OriginSettings, found: &mut Findings) {
    origin.check_ranges(found);
    let allowed = &origin.allowed;
    for entry in allowed {
        let sentence = |what: &str| format!("{} {what}", shown(entry));
        match Pattern::read(entry) {
            Err(fault) => found.error("origin.allowed", sentence(&fault.what), fault.fix),
            Ok((_, Some(fault))) => {
                found.warn("origin.allowed", sentence(&fault.what), fault.fix);
            }
            Ok((_, None)) => {}
        }
    }
    if allowed.len() > 1 && allowed.iter().any(|entry| entry == "*") {
        let fix = "remove \"*\", or the others";
        found.warn(
            "origin.allowed",
            "\"*\" makes the other entries pointless",
            fix,
        );
    }
}
